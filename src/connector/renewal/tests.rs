use std::sync::atomic::AtomicUsize;

use tempfile::TempDir;

use super::*;
use crate::certs::{Authority, ConnectorRequest, pem};
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
