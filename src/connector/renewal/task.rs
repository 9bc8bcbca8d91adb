//! The task that renews: when it is due, whom to ask, what to do where it fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::super::dial::DIAL;
use super::super::identity::{Identity, StateFolder};
use super::super::known::Known;
use super::super::tunnel::REASON;
use super::super::{channel, late};
use super::{Final, LOOK, Renewal};
use crate::clock::Timestamp;
use crate::net::{Dialled, Dialler};
use crate::telemetry::printable;
use crate::tunnel::control::{Down, Up};
use crate::tunnel::enrol::RefusalCode;

/// How long a gateway may take to answer over a tunnel.
const ANSWER: Duration = Duration::from_secs(10);

/// How many tunnels are asked before the attempt counts as failed.
const TUNNELS: usize = 3;

/// Before authorities are written again where that failed.
const KEEP_AGAIN: Duration = Duration::from_secs(10);

/// The longest pause between two attempts, in seconds; less where a whole life is short.
const PAUSE_MOST: u64 = 600;

/// The longest pause while the certificate has ended and nothing is served, in seconds.
const PAUSE_ENDED: u64 = 60;

/// Renewals because of a new authority are spread over this time, in seconds; less where a whole
/// life is short.
const SPREAD_MOST: u64 = 300;

/// Why an attempt brought nothing.
enum Failure {
    /// There is nobody to ask yet.
    NoTunnel,
    Again(String),
    Final(Final),
}

/// The task of renewal.
#[derive(Debug)]
pub(in crate::connector) struct Task {
    renewal: Arc<Renewal>,
    state: StateFolder,
    dialler: Dialler,
    known: Arc<Known>,
    due: Timestamp,
    failures: u32,
    /// Not to be tried before.
    not_before: Instant,
    said: String,
    /// Why authorities that were told cannot be used; the same again is no news.
    unusable: String,
    /// The last authorities told, where they could not be kept, and when that is tried again.
    unkept: Option<(Vec<String>, Instant)>,
    /// When the last renewal was; none since the start.
    renewed: Option<Instant>,
}

impl Task {
    pub(super) fn new(
        renewal: Arc<Renewal>,
        state: StateFolder,
        dialler: Dialler,
        known: Arc<Known>,
    ) -> Self {
        Self {
            due: due(&renewal.identity.identity()),
            renewal,
            state,
            dialler,
            known,
            failures: 0,
            not_before: Instant::now(),
            said: String::new(),
            unusable: String::new(),
            unkept: None,
            renewed: None,
        }
    }

    /// Renews until `stop`, or until it is clear that nobody will ever renew it.
    pub(in crate::connector) async fn run(mut self, stop: &CancellationToken) -> Option<Final> {
        let renewal = Arc::clone(&self.renewal);
        loop {
            let next = self.next();
            tokio::select! {
                message = renewal.heard.next() => {
                    if let Down::Authorities { authorities } = message {
                        self.trust(&authorities);
                    }
                }
                () = tokio::time::sleep_until(next) => {}
                () = renewal.wake.notified() => {}
                () = stop.cancelled() => return None,
            }
            self.keep_again();
            if !self.is_due() || Instant::now() < self.not_before {
                continue;
            }
            let attempt = tokio::select! {
                attempt = self.attempt() => attempt,
                () = stop.cancelled() => return None,
            };
            match attempt {
                Ok(()) => {
                    self.failures = 0;
                    self.said.clear();
                }
                Err(Failure::NoTunnel) => {}
                Err(Failure::Again(reason)) => self.failed(reason),
                Err(Failure::Final(why)) => return Some(why),
            }
        }
    }

    fn is_due(&self) -> bool {
        let now = self.renewal.clock.now();
        now >= self.due || self.has_ended() || self.is_refused()
    }

    fn has_ended(&self) -> bool {
        self.renewal.clock.now() >= self.renewal.identity.identity().not_after
    }

    /// A gateway whose own clock is wrong refuses the next certificate too: one that was just
    /// renewed is not renewed for it again at once. One that is from the disk may have any age.
    fn is_refused(&self) -> bool {
        let young = Duration::from_secs((self.life() / 10).min(3600));
        let is_young = self.renewed.is_some_and(|at| at.elapsed() < young);
        self.renewal.refused.load(Ordering::Relaxed) && !is_young
    }

    fn life(&self) -> u64 {
        self.renewal.identity.identity().life()
    }

    /// When to look again. The clock may be set, so a far end is not slept for in one piece.
    fn next(&self) -> Instant {
        let left = self.due.0.saturating_sub(self.renewal.clock.now().0);
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(LOOK);
        let now = Instant::now();
        // What is due and has nobody to ask waits for a tunnel, and looks now and then.
        let left = if left.is_zero() {
            Duration::from_secs(1)
        } else {
            left
        };
        let next = (now + left).max(self.not_before);
        let keep_at = self.unkept.as_ref().map(|(_, at)| *at);
        keep_at.map_or(next, |at| next.min(at))
    }

    fn failed(&mut self, reason: String) {
        let most = if self.has_ended() {
            PAUSE_ENDED
        } else {
            PAUSE_MOST
        };
        let most = (self.life() / 30).clamp(1, most);
        let pause = Duration::from_secs((1_u64 << self.failures.min(16)).min(most));
        self.failures = self.failures.saturating_add(1);
        // Between a half and the whole: a fleet does not come back in step.
        let half = pause / 2;
        self.not_before = Instant::now() + half + fraction(half);
        // The same reason again and again is said once.
        if self.said != reason {
            let until = self.renewal.identity.identity().not_after.to_rfc3339();
            tracing::warn!(
                code = "identity_not_renewed",
                reason,
                until,
                "certificate not renewed; trying again"
            );
            self.said = reason;
        }
    }

    async fn attempt(&mut self) -> Result<(), Failure> {
        let needs_late = self.has_ended() || self.is_refused();
        let asked = self.over_tunnel().await;
        self.renewal.heard.ask(None);
        match asked {
            Ok(()) => Ok(()),
            Err(_) if needs_late => self.late().await,
            Err(failure) => Err(failure),
        }
    }

    fn csr(&self) -> Result<String, Failure> {
        let key = &self.renewal.identity.identity().credentials.key;
        KeyPair::from_der_and_sign_algo(key, &PKCS_ECDSA_P256_SHA256)
            .and_then(|key| channel::request(&key))
            .map_err(|e| Failure::Again(format!("a request cannot be made: {e}")))
    }

    async fn over_tunnel(&mut self) -> Result<(), Failure> {
        let csr = self.csr()?;
        let mut failure = Failure::NoTunnel;
        for tunnel in self.renewal.live().into_iter().rev().take(TUNNELS) {
            self.renewal.heard.ask(Some(tunnel.number));
            if !tunnel.say(&Up::Renew { csr: csr.clone() }) {
                continue;
            }
            match timeout(ANSWER, self.answer()).await {
                Ok(Down::Renewed { chain, authorities }) => {
                    return self.take(&chain, &authorities);
                }
                Ok(Down::RenewalRefused { reason }) => {
                    let reason = printable(&reason, REASON);
                    failure = Failure::Again(format!("the gateway refused: {reason}"));
                }
                Ok(_) | Err(_) => {
                    let text = format!("no answer over the tunnel within {ANSWER:?}");
                    failure = Failure::Again(text);
                }
            }
        }
        Err(failure)
    }

    /// The answer of the tunnel that was asked.
    async fn answer(&mut self) -> Down {
        let renewal = Arc::clone(&self.renewal);
        loop {
            match renewal.heard.next().await {
                Down::Authorities { authorities } => self.trust(&authorities),
                other => return other,
            }
        }
    }

    /// By proof of the key at every gateway that is known, until one renews.
    async fn late(&mut self) -> Result<(), Failure> {
        let gateways = self.known.all();
        let csr = self.csr()?;
        let (mut failed, mut refusals) = (Vec::new(), Vec::new());
        for gateway in &gateways {
            let dialling = async {
                let deadline = Instant::now() + DIAL;
                let permitted = |dialled: Dialled<'_>| self.known.permit(gateway, dialled);
                let dialled = self
                    .dialler
                    .connect_named(gateway, &permitted, deadline)
                    .await;
                dialled.map_err(io::Error::other)
            };
            let identity = self.renewal.identity.identity();
            let now = self.renewal.clock.now();
            match late::renew(gateway, &identity, &csr, now, dialling).await {
                Ok(renewed) => {
                    self.renewal.skew.measure(now.0, renewed.time);
                    return self.take(&renewed.chain, &renewed.authorities);
                }
                Err(late::Refused::Final(refused)) => refusals.push((gateway, refused)),
                Err(late::Refused::Again(why)) => failed.push(format!("{gateway}: {why}")),
            }
        }
        match refusals.into_iter().next() {
            Some((gateway, refused)) if failed.is_empty() => {
                Err(Failure::Final(match refused.code {
                    RefusalCode::ConnectorRemoved => Final::Removed,
                    _ => Final::Register(format!("{gateway} refused: {}", refused.message)),
                }))
            }
            Some((gateway, refused)) => Err(Failure::Again(format!(
                "{gateway} refused: {}; {}",
                refused.message,
                failed.join("; ")
            ))),
            None => Err(Failure::Again(failed.join("; "))),
        }
    }

    /// Checks what a gateway gave, keeps it, and takes it into use, in this order.
    fn take(&mut self, chain: &str, authorities: &[String]) -> Result<(), Failure> {
        let present = self.renewal.identity.identity();
        let next = present.renewed(chain, authorities).map_err(|what| {
            Failure::Again(format!("the gateway's answer cannot be used: {what}"))
        })?;
        let until = next.not_after;
        let due = due(&next);
        self.adopt(next).map_err(Failure::Again)?;
        (self.due, self.renewed) = (due, Some(Instant::now()));
        self.unkept = None;
        self.renewal.refused.store(false, Ordering::Relaxed);
        tracing::info!(until = until.to_rfc3339(), "certificate renewed");
        Ok(())
    }

    /// A gateway, over a tunnel on which it proved itself, told which authorities count now.
    fn trust(&mut self, authorities: &[String]) {
        self.unkept = None;
        let present = self.renewal.identity.identity();
        let next = match present.trusting(authorities) {
            Ok(next) if next.credentials.authorities == present.credentials.authorities => return,
            Ok(next) => next,
            Err(what) => return self.not_trusted(what.to_owned()),
        };
        let (count, renew) = (next.credentials.authorities.len(), !next.is_of_issuing());
        if let Err(reason) = self.adopt(next) {
            // A gateway says it once: it is not told what could not be kept.
            self.unkept = Some((authorities.to_vec(), Instant::now() + KEEP_AGAIN));
            return self.not_trusted(reason);
        }
        self.unusable.clear();
        tracing::info!(
            authorities = count,
            "the gateways' authorities have changed"
        );
        if renew {
            let spread = Duration::from_secs((self.life() / 30).clamp(1, SPREAD_MOST));
            self.due = self
                .renewal
                .clock
                .now()
                .plus(fraction(spread))
                .min(self.due);
        }
    }

    /// The disk may have room again.
    fn keep_again(&mut self) {
        if let Some((authorities, _)) = self.unkept.take_if(|(_, at)| *at <= Instant::now()) {
            self.trust(&authorities);
        }
    }

    /// SECURITY: a gateway may tell nonsense as often as it likes, and does not fill the disk with it.
    fn not_trusted(&mut self, reason: String) {
        if self.unusable != reason {
            tracing::warn!(
                code = "authorities_unusable",
                reason,
                "the gateway's new authorities cannot be used"
            );
            self.unusable = reason;
        }
    }

    /// On disk first: a connector that went on with what it could not keep would be lost with its
    /// next start.
    fn adopt(&self, next: Identity) -> Result<(), String> {
        let keep = self.state.keep_renewed(&next);
        keep.map_err(|e| {
            format!(
                "what the gateway gave cannot be kept, so the old certificate stays in use: {e}"
            )
        })?;
        let replaced = self.renewal.identity.replace(next);
        replaced.map_err(|e| format!("TLS cannot be set up with it: {e}"))
    }
}

/// When to renew: at two thirds of the life, and up to a fifteenth of it before that, so that
/// connectors that were enrolled together do not come together.
fn due(identity: &Identity) -> Timestamp {
    let life = identity.life();
    let early = fraction(Duration::from_secs(life / 15));
    identity.renewal().minus(early)
}

/// A random part of a time, of whole milliseconds.
fn fraction(of: Duration) -> Duration {
    let millis = u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
    // Without randomness all come in step, which is no reason not to come.
    let random = crate::certs::random().map_or(0, u64::from_ne_bytes);
    Duration::from_millis(random % millis.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tempfile::TempDir;

    use super::*;
    use crate::certs::{Authority, ConnectorRequest, pem};
    use crate::clock::Clock;
    use crate::connector::StateError;
    use crate::connector::current::CurrentIdentity;
    use crate::model::{ConnectorId, GroupName};
    use crate::net::Resolver;

    const NOW: Timestamp = Timestamp(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    /// A connector's certificate for the key of a request, PEM.
    fn issue(authority: &Authority, csr: &str, id: u8, at: Timestamp) -> String {
        use base64::Engine as _;
        let der = base64::engine::general_purpose::STANDARD.decode(csr);
        let request = ConnectorRequest::from_der(&der.unwrap()).unwrap();
        let id = ConnectorId::from_random([id; 12]);
        let group = GroupName::new("hq").unwrap();
        let issued = authority.issue_connector(&request, &id, &group, at, DAY * 90);
        issued.unwrap().pem
    }

    struct Rig {
        authority: Authority,
        folder: TempDir,
        clock: Clock,
        task: Task,
    }

    fn rig() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::new(folder.path());
        let authority = Authority::create(NOW).unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let chain = issue(&authority, &channel::request(&key).unwrap(), 1, NOW);
        let text = format!(
            "{}{chain}{}",
            key.serialize_pem(),
            authority.certificate_pem()
        );
        state.keep_identity(&text).unwrap();
        let clock = Clock::manual(NOW);
        let identity = CurrentIdentity::new(state.stored().unwrap()).unwrap();
        let dialler = Dialler::new(Resolver::new(&[], std::collections::BTreeMap::new()));
        let hosts = std::collections::BTreeMap::new();
        let known = Known::new(Vec::new(), Vec::new(), hosts, state.clone(), identity.id());
        let (_, task) = Renewal::new(
            Arc::new(identity),
            clock.clone(),
            state,
            dialler,
            Arc::new(known),
        );
        Rig {
            authority,
            folder,
            clock,
            task,
        }
    }

    impl Rig {
        /// What is in use, and what is on disk.
        fn ends(&self) -> [Timestamp; 2] {
            let kept = self.task.state.stored().unwrap().not_after;
            [self.task.renewal.identity.identity().not_after, kept]
        }

        fn take(&mut self, chain: &str, authorities: &[String]) -> Result<(), String> {
            match self.task.take(chain, authorities) {
                Ok(()) => Ok(()),
                Err(Failure::Again(reason)) => Err(reason),
                Err(_) => panic!("another failure"),
            }
        }

        fn csr(&self) -> String {
            self.task.csr().unwrap_or_else(|_| panic!("no request"))
        }
    }

    #[test]
    fn renewal_is_due_at_two_thirds_of_the_life_at_the_latest_and_not_in_step() {
        for (life, from, to) in [
            (90 * 86_400, 54 * 86_400, 60 * 86_400),
            (15, 9, 10),
            (10, 6, 6),
        ] {
            let mut identity = rig().task.renewal.identity.identity();
            identity.issued = NOW;
            identity.not_after = Timestamp(NOW.0 + life);
            let dues: Vec<i64> = (0..200).map(|_| due(&identity).0 - NOW.0).collect();
            let (first, last) = (dues.iter().min().unwrap(), dues.iter().max().unwrap());
            assert!(
                (from..=to).contains(first) && (from..=to).contains(last),
                "{life}: {first}..{last}"
            );
            if life > 1000 {
                assert!(last - first > life / 30, "{life}: {first}..{last}");
            }
        }
    }

    #[test]
    fn the_next_certificate_is_checked_kept_and_only_then_used() {
        let mut rig = rig();
        let later = NOW.plus(DAY * 60);
        let (old_end, new_end) = (NOW.plus(DAY * 90), later.plus(DAY * 90));
        let csr = rig.csr();
        let trusted = vec![rig.authority.certificate_pem()];
        let other_key = KeyPair::generate().unwrap();
        let other_csr = channel::request(&other_key).unwrap();
        let stranger = Authority::create(NOW).unwrap();
        let gateway = rig.authority.issue_gateway(later).unwrap();
        let gateway = pem("CERTIFICATE", &gateway.cert[0]);
        let good = issue(&rig.authority, &csr, 1, later);
        let mut seen = 0;
        for (chain, authorities, expected) in [
            (
                &issue(&rig.authority, &other_csr, 1, later),
                &trusted,
                "its key does not fit",
            ),
            (
                &issue(&rig.authority, &csr, 2, later),
                &trusted,
                "another connector",
            ),
            (
                &issue(&stranger, &csr, 1, later),
                &trusted,
                "of none of its authorities",
            ),
            (&gateway, &trusted, "not a connector's"),
            (&String::new(), &trusted, "cannot be read"),
            (&good, &Vec::new(), "no authority"),
            (&good, &vec![good.clone()], "one of its authorities is none"),
            (&good, &vec![trusted[0].clone(); 9], "too many"),
        ] {
            let refused = rig.take(chain, authorities).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
            assert_eq!(rig.ends(), [old_end, old_end], "{expected}");
            seen += 1;
        }
        assert_eq!(seen, 8);
        rig.take(&good, &trusted).unwrap();
        assert_eq!(rig.ends(), [new_end, new_end]);
        assert!(rig.task.due >= later.plus(DAY * 54));
    }

    #[test]
    fn what_cannot_be_kept_is_not_used_and_somebody_elses_identity_stays() {
        let mut rig = rig();
        let later = NOW.plus(DAY * 60);
        let (csr, trusted) = (rig.csr(), vec![rig.authority.certificate_pem()]);
        let good = issue(&rig.authority, &csr, 1, later);
        // As a full disk does: the new file cannot be made.
        let in_the_way = rig.folder.path().join("identity.pem.new");
        std::fs::create_dir(&in_the_way).unwrap();
        let refused = rig.take(&good, &trusted).unwrap_err();
        assert!(
            refused.contains("the old certificate stays in use"),
            "{refused}"
        );
        assert_eq!(rig.ends(), [NOW.plus(DAY * 90); 2]);
        std::fs::remove_dir(&in_the_way).unwrap();

        // Somebody registered anew while the connector ran.
        let own = std::fs::read(rig.folder.path().join("identity.pem")).unwrap();
        let key = KeyPair::generate().unwrap();
        let csr = channel::request(&key).unwrap();
        let text = format!(
            "{}{}{}",
            key.serialize_pem(),
            issue(&rig.authority, &csr, 2, NOW),
            trusted[0]
        );
        rig.task.state.keep_identity(&text).unwrap();
        let refused = rig.take(&good, &trusted).unwrap_err();
        assert!(refused.contains("another one by now"), "{refused}");
        assert_eq!(
            rig.task.state.stored().unwrap().id,
            ConnectorId::from_random([2; 12])
        );
        // Or unregistered: no ghost.
        let refused = rig
            .task
            .state
            .forget(Some(&ConnectorId::from_random([1; 12])));
        assert!(matches!(refused, Err(StateError::Replaced(_))));
        // Somebody writes at this moment: they come one after the other.
        let writes = rig.task.state.lock().unwrap();
        let state = rig.task.state.clone();
        let (done, forgotten) = std::sync::mpsc::channel();
        let forgets = std::thread::spawn(move || done.send(state.forget(None)));
        let early = forgotten.recv_timeout(Duration::from_millis(100));
        assert!(early.is_err() && rig.task.state.has_identity());
        drop(writes);
        forgotten.recv().unwrap().unwrap();
        forgets.join().unwrap().unwrap();
        let refused = rig.take(&good, &trusted).unwrap_err();
        assert!(refused.contains("there is no identity"), "{refused}");
        assert!(!rig.task.state.has_identity());
        std::fs::write(rig.folder.path().join("identity.pem"), own).unwrap();
        rig.take(&good, &trusted).unwrap();
    }

    #[test]
    fn another_authority_is_kept_and_asks_for_its_certificate_soon() {
        let mut rig = rig();
        let new = Authority::create(NOW).unwrap();
        let old_pem = rig.authority.certificate_pem();
        let far = rig.task.due;
        rig.task.trust(std::slice::from_ref(&old_pem));
        assert_eq!(rig.task.due, far, "nothing is new");
        rig.task.trust(&["nonsense".to_owned()]);
        let kept = |rig: &Rig| {
            rig.task
                .state
                .stored()
                .unwrap()
                .credentials
                .authorities
                .len()
        };
        assert_eq!(kept(&rig), 1);

        let both = [new.certificate_pem(), old_pem];
        rig.task.trust(&both);
        assert_eq!(kept(&rig), 2);
        assert!(rig.task.due <= NOW.plus(Duration::from_secs(SPREAD_MOST)));
        let csr = rig.csr();
        let chain = issue(&new, &csr, 1, NOW.plus(DAY));
        rig.take(&chain, &both).unwrap();
        let far = rig.task.due;
        assert!(far > NOW.plus(DAY * 50));
        // The old one is dropped: there is nothing to renew for it.
        rig.task.trust(&both[..1]);
        assert_eq!((kept(&rig), rig.task.due), (1, far));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_fail_come_slower_and_slower_and_an_ended_certificate_is_waited_for() {
        let mut rig = rig();
        let mut before = Duration::ZERO;
        for failures in 0..12 {
            rig.task.failed("no".to_owned());
            let pause = rig.task.not_before - Instant::now();
            let whole = Duration::from_secs((1 << failures).min(PAUSE_MOST));
            assert!(
                pause >= whole / 2 && pause <= whole,
                "{failures}: {pause:?}"
            );
            before = before.max(pause);
        }
        assert!(before >= Duration::from_secs(PAUSE_MOST / 2));

        assert!(!rig.task.is_due());
        let renewal = Arc::clone(&rig.task.renewal);
        renewal.usable().await;
        rig.clock.advance(DAY * 91);
        assert!(rig.task.is_due());
        let waits = Arc::new(AtomicUsize::new(0));
        let (done, waiting) = (Arc::clone(&waits), Arc::clone(&renewal));
        let dial = tokio::spawn(async move {
            waiting.usable().await;
            done.fetch_add(1, Ordering::Relaxed);
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(waits.load(Ordering::Relaxed), 0, "no handshake in vain");
        let chain = issue(&rig.authority, &rig.csr(), 1, rig.clock.now());
        let trusted = vec![rig.authority.certificate_pem()];
        rig.take(&chain, &trusted).unwrap();
        dial.await.unwrap();
        assert_eq!(waits.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_writes_into_the_state_in_one_process_takes_turns() {
        let rig = rig();
        let state = &rig.task.state;
        let identity = &rig.task.renewal.identity.identity();
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    for _ in 0..20 {
                        state.clone().keep_named(&identity.id, &[]).unwrap();
                    }
                });
                threads.spawn(|| {
                    for _ in 0..20 {
                        state.clone().keep_renewed(identity).unwrap();
                    }
                });
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn authorities_that_cannot_be_kept_are_kept_later() {
        let rig = rig();
        let new = Authority::create(NOW).unwrap();
        let both = vec![new.certificate_pem(), rig.authority.certificate_pem()];
        let in_the_way = rig.folder.path().join("identity.pem.new");
        std::fs::create_dir(&in_the_way).unwrap();
        let renewal = Arc::clone(&rig.task.renewal);
        let mut changes = renewal.identity.changes();
        // Its own renewal, which would keep them too, is far.
        let Rig { task, folder, .. } = rig;
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { task.run(&stop).await }
        });
        renewal.hear(
            1,
            Down::Authorities {
                authorities: both.clone(),
            },
        );
        assert!(timeout(KEEP_AGAIN * 3, changes.changed()).await.is_err());
        std::fs::remove_dir(&in_the_way).unwrap();
        let kept = timeout(KEEP_AGAIN * 2, changes.changed()).await;
        kept.unwrap().unwrap();
        let stored = StateFolder::new(folder.path()).stored().unwrap();
        assert_eq!(stored.credentials.authorities.len(), 2);
        stop.cancel();
        assert_eq!(running.await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_from_the_disk_that_is_refused_is_renewed_at_once() {
        let rig = rig();
        assert!(!rig.task.is_due());
        rig.task.renewal.refused();
        assert!(rig.task.is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_ahead_and_is_set_right_holds_nobody_up() {
        let rig = rig();
        rig.clock.advance(DAY * 91);
        let renewal = Arc::clone(&rig.task.renewal);
        let mut dial = tokio::spawn(async move { renewal.usable().await });
        assert!(timeout(LOOK * 3, &mut dial).await.is_err());
        rig.clock.set(NOW.plus(DAY));
        timeout(LOOK * 2, dial).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_with_a_wrong_clock_does_not_have_a_new_certificate_renewed_over_and_over() {
        let mut rig = rig();
        let chain = issue(&rig.authority, &rig.csr(), 1, NOW);
        let trusted = vec![rig.authority.certificate_pem()];
        rig.take(&chain, &trusted).unwrap();
        rig.task.renewal.refused();
        assert!(!rig.task.is_due(), "it is new");
        tokio::time::sleep(Duration::from_secs(3601)).await;
        assert!(rig.task.is_due());
    }
}
