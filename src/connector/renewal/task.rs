//! The task that renews: when it is due, whom to ask, what to do where it fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::super::identity::{Identity, StateFolder};
use super::super::supervisor::DIAL;
use super::super::{channel, late};
use super::{Final, Renewal};
use crate::clock::Timestamp;
use crate::model::Endpoint;
use crate::net::Dialler;
use crate::telemetry::printable;
use crate::tunnel::control::{Down, Up};
use crate::tunnel::enrol::RefusalCode;

/// How long a gateway may take to answer over a tunnel.
const ANSWER: Duration = Duration::from_secs(10);

/// How many tunnels are asked before the attempt counts as failed.
const TUNNELS: usize = 3;

/// The wall clock is looked at this often: it may be set, and a machine may sleep over the end.
const LOOK: Duration = Duration::from_secs(10);

/// The longest pause between two attempts, in seconds; less where a whole life is short.
const PAUSE_MOST: u64 = 600;

/// The longest pause while the certificate has ended and nothing is served, in seconds.
const PAUSE_ENDED: u64 = 60;

/// Renewals because of a new authority are spread over this time, in seconds; less where a whole
/// life is short.
const SPREAD_MOST: u64 = 300;

/// The longest reason of a gateway that is shown.
const REASON: usize = 512;

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
    gateways: Vec<Endpoint>,
    messages: mpsc::Receiver<Down>,
    due: Timestamp,
    failures: u32,
    /// Not to be tried before.
    not_before: Instant,
    said: String,
    /// Since when the identity in use is in use.
    since: Instant,
}

impl Task {
    pub(super) fn new(
        renewal: Arc<Renewal>,
        state: StateFolder,
        dialler: Dialler,
        gateways: Vec<Endpoint>,
        messages: mpsc::Receiver<Down>,
    ) -> Self {
        Self {
            due: due(&renewal.identity.identity()),
            renewal,
            state,
            dialler,
            gateways,
            messages,
            failures: 0,
            not_before: Instant::now(),
            said: String::new(),
            since: Instant::now(),
        }
    }

    /// Renews until `stop`, or until it is clear that nobody will ever renew it.
    pub(in crate::connector) async fn run(mut self, stop: &CancellationToken) -> Option<Final> {
        let renewal = Arc::clone(&self.renewal);
        loop {
            let next = self.next();
            tokio::select! {
                Some(message) = self.messages.recv() => {
                    if let Down::Authorities { authorities } = message {
                        self.trust(&authorities);
                    }
                }
                () = tokio::time::sleep_until(next) => {}
                () = renewal.wake.notified() => {}
                () = stop.cancelled() => return None,
            }
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

    /// A gateway whose own clock is wrong refuses the next certificate too: one that is new is not
    /// renewed for it again at once.
    fn is_refused(&self) -> bool {
        let young = Duration::from_secs((self.life() / 10).min(3600));
        self.renewal.refused.load(Ordering::Relaxed) && self.since.elapsed() >= young
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
        (now + left).max(self.not_before)
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
            tracing::warn!(reason, until, "certificate not renewed; trying again");
            self.said = reason;
        }
    }

    async fn attempt(&mut self) -> Result<(), Failure> {
        let needs_late = self.has_ended() || self.is_refused();
        match self.over_tunnel().await {
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
            // What was said before is no answer to this.
            while let Ok(stale) = self.messages.try_recv() {
                if let Down::Authorities { authorities } = stale {
                    self.trust(&authorities);
                }
            }
            if !tunnel.say(&Up::Renew { csr: csr.clone() }) {
                continue;
            }
            match timeout(ANSWER, self.answer()).await {
                Ok(Some(Down::Renewed { chain, authorities })) => {
                    return self.take(&chain, &authorities);
                }
                Ok(Some(Down::RenewalRefused { reason })) => {
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

    /// The next message that is about a renewal.
    async fn answer(&mut self) -> Option<Down> {
        loop {
            match self.messages.recv().await? {
                Down::Authorities { authorities } => self.trust(&authorities),
                other => return Some(other),
            }
        }
    }

    /// By proof of the key at every gateway that is known, until one renews.
    async fn late(&mut self) -> Result<(), Failure> {
        let mut gateways = self.gateways.clone();
        // What the gateways handed down since the start is in the state.
        let kept = self.state.gateways().unwrap_or_default();
        gateways.extend(kept.into_iter().filter(|g| !self.gateways.contains(g)));
        let csr = self.csr()?;
        let (mut failed, mut refusals) = (Vec::new(), Vec::new());
        for gateway in &gateways {
            let dialling = async {
                let deadline = Instant::now() + DIAL;
                let dialled = self.dialler.connect_tunnel(gateway, deadline).await;
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
        (self.due, self.since) = (due, Instant::now());
        self.renewal.refused.store(false, Ordering::Relaxed);
        tracing::info!(until = until.to_rfc3339(), "certificate renewed");
        Ok(())
    }

    /// A gateway, over a tunnel on which it proved itself, told which authorities count now.
    fn trust(&mut self, authorities: &[String]) {
        let present = self.renewal.identity.identity();
        let next = match present.trusting(authorities) {
            Ok(next) if next.credentials.authorities == present.credentials.authorities => return,
            Ok(next) => next,
            Err(what) => {
                tracing::warn!(what, "the gateway's new authorities cannot be used");
                return;
            }
        };
        let (count, renew) = (next.credentials.authorities.len(), !next.is_of_issuing());
        if let Err(reason) = self.adopt(next) {
            tracing::warn!(reason, "the gateway's new authorities cannot be kept");
            return;
        }
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
    let two_thirds = Duration::from_secs(life / 3 * 2 + life % 3 * 2 / 3);
    identity.issued.plus(two_thirds).minus(early)
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
        let (_, task) = Renewal::new(
            Arc::new(identity),
            clock.clone(),
            state,
            dialler,
            Vec::new(),
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
        rig.task.state.forget().unwrap();
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

    #[tokio::test(start_paused = true)]
    async fn a_gateway_with_a_wrong_clock_does_not_have_a_new_certificate_renewed_over_and_over() {
        let rig = rig();
        rig.task.renewal.refused();
        assert!(!rig.task.is_due(), "it is new");
        tokio::time::sleep(Duration::from_secs(3601)).await;
        assert!(rig.task.is_due());
    }
}
