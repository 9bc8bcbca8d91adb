//! Sessions over a real store, in one process and in two.

mod failures;
mod hand_over;
mod refresh;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;

use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::auth::assertion::Kept;
use crate::model::{ExternalUrl, Host, Person, PersonKey};
use crate::store::Fragile;

const NOW: Timestamp = Timestamp(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// For what must come, on whatever machine.
const SOON: Duration = Duration::from_secs(60);

/// A store, and the clock of everybody on it.
struct Bed {
    folder: TempDir,
    clock: Clock,
}

/// One process on it.
struct Process {
    store: Fragile,
    sessions: Arc<Sessions>,
}

impl Bed {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Clock::manual(NOW),
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("gateway.db")
    }

    async fn process(&self) -> Process {
        self.process_on(Fragile::open(&self.path()).await).await
    }

    async fn process_on(&self, store: Fragile) -> Process {
        let settings = SessionSettings::default();
        let sessions = Sessions::open(store.store(), self.clock.clone(), settings);
        let sessions = sessions.await.unwrap();
        Process { store, sessions }
    }
}

impl std::ops::Deref for Process {
    type Target = Sessions;

    fn deref(&self) -> &Sessions {
        &self.sessions
    }
}

impl Process {
    /// Signs a person in; returns the cookie's value.
    async fn sign_in(&self, name: &str) -> (String, Arc<Session>) {
        self.try_sign_in(name, self.mark()).await.unwrap()
    }

    async fn try_sign_in(
        &self,
        name: &str,
        began: LogMark,
    ) -> Result<(String, Arc<Session>), SessionError> {
        let new = NewSession {
            host: login(),
            sign_in: sign_in(name),
            device: device(),
            began,
        };
        let (ticket, session) = self.create(new).await?;
        Ok((ticket.expose_secret().to_owned(), session))
    }

    /// Hands a person's session over to the application's host, for the same browser.
    async fn below(&self, session: &Session) -> (String, Arc<Session>) {
        let code = self
            .mint_code(session, to_wiki(), CODE_LIVES)
            .await
            .unwrap();
        let code = code.expose_secret();
        let redeemed = self.redeem_code(code, &wiki(), b"nonce").await.unwrap();
        let (ticket, session) = self.create_below(redeemed, &device()).await.unwrap();
        (ticket.expose_secret().to_owned(), session)
    }

    async fn live(&self, host: &SessionHost, ticket: &str) -> Arc<Session> {
        match self.find(host, ticket.as_bytes()).await {
            Found::Live(session) => session,
            other => panic!("{other:?}"),
        }
    }

    async fn none(&self, host: &SessionHost, ticket: &str) -> NoSession {
        match self.find(host, ticket.as_bytes()).await {
            Found::None(why) => why,
            other => panic!("{other:?}"),
        }
    }
}

fn host(url: &str) -> SessionHost {
    let external = ExternalUrl::parse(url).unwrap();
    let host = url.split(['/', ':']).nth(3).unwrap();
    SessionHost::of(&external, &Host::parse(host).unwrap())
}

fn login() -> SessionHost {
    host("https://login.example.com/")
}

fn wiki() -> SessionHost {
    host("https://wiki.example.com/")
}

fn to_wiki() -> HandOver {
    HandOver {
        to: wiki(),
        nonce: NonceHash::of(b"nonce"),
        target: "/page?x=1".into(),
    }
}

fn device() -> Device {
    Device {
        user_agent: "Mozilla/5.0 ".repeat(40),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

fn sign_in(name: &str) -> SignIn {
    SignIn {
        person: Person {
            key: PersonKey {
                authority: "https://idp.example".into(),
                subject: format!("oid-{name}").into(),
            },
            provider: "corp".into(),
            name: Some(name.into()),
            email: Some(format!("{name}@example.com").into()),
            groups: ["all".into(), "staff".into()].into(),
            claims: serde_json::from_str(r#"{"department": "R&D"}"#).unwrap(),
        },
        issuer: "https://idp.example".into(),
        subject: format!("sub-{name}"),
        sid: Some(format!("sid-{name}")),
        id_token: Some("the.id.token".into()),
        refresh_token: Some("refresh-0".into()),
        access_token: Some(("access-0".into(), NOW.plus(HOUR))),
        auth_time: Some(NOW.minus(MINUTE)),
        acr: Some("mfa".into()),
        amr: vec!["pwd".into(), "otp".into()],
        checked: NOW,
        fresh_until: Some(NOW.plus(HOUR)),
        asserted: Kept::default(),
    }
}

async fn cut(session: &Session) {
    let cut = session.revoked().cancelled();
    tokio::time::timeout(SOON, cut).await.unwrap();
}

#[tokio::test]
async fn a_session_is_found_here_and_after_a_restart_with_all_it_knows() {
    let bed = Bed::new();
    let first = bed.process().await;
    let (ticket, made) = first.sign_in("alice").await;
    assert!(ticket.len() < 512);
    let again = bed.process().await;
    for found in [
        first.live(&login(), &ticket).await,
        again.live(&login(), &ticket).await,
    ] {
        assert_eq!(found.id(), made.id());
        assert_eq!(found.sign_in_id(), made.id());
        assert_eq!((found.host(), found.created()), (&login(), NOW));
        assert_eq!(found.ends(), NOW.plus(HOUR * 8));
        let (is, was) = (found.sign_in(), sign_in("alice"));
        assert_eq!(found.person(), was.person);
        assert_eq!((&is.sid, &is.acr, &is.amr), (&was.sid, &was.acr, &was.amr));
        assert_eq!((is.auth_time, is.checked), (was.auth_time, was.checked));
        assert_eq!(is.fresh_until, was.fresh_until);
        let token = |token: &Option<SecretString>| token.as_ref().unwrap().expose_secret().len();
        assert_eq!((token(&is.id_token), token(&is.refresh_token)), (12, 9));
    }
    let listed = first.list().await.unwrap();
    let shown = listed[0].shown.clone().unwrap();
    assert_eq!(shown.email.as_deref(), Some("alice@example.com"));
    assert_eq!(shown.user_agent.len(), 200);
    // Neither the file nor what is printed says who it is, or has what opens it.
    let mut dump = Vec::new();
    for entry in std::fs::read_dir(bed.folder.path()).unwrap() {
        dump.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let printed = format!(
        "{made:?} {:?} {first:?}",
        made.sign_in(),
        first = first.sessions
    );
    dump.extend(printed.as_bytes());
    let holds = |text: &str| dump.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(holds(made.id().as_str()), "the dump is a real one");
    let secret = ticket.split('.').nth(1).unwrap();
    for text in [
        "alice@example.com",
        "sid-alice",
        "refresh-0",
        "staff",
        "R&D",
        secret,
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[tokio::test]
async fn a_ticket_that_was_judged_before_opens_in_no_other_spelling() {
    let bed = Bed::new();
    let process = bed.process().await;
    let (ticket, session) = process.sign_in("alice").await;
    for _ in 0..2 {
        process.live(&login(), &ticket).await;
        for at in 0..ticket.len() {
            let mut altered = ticket.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            let why = process.none(&login(), &altered).await;
            assert_eq!(why, NoSession::Forged, "{at}");
        }
        for altered in [
            format!("{ticket}A"),
            format!("{ticket}."),
            format!(" {ticket}"),
        ] {
            let why = process.none(&login(), &altered).await;
            assert_eq!(why, NoSession::Forged, "{altered}");
        }
    }
    process.revoke(session.id()).await.unwrap();
    assert_eq!(process.none(&login(), &ticket).await, NoSession::Revoked);
}

#[tokio::test]
async fn what_is_none_says_why() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let (ticket, _) = one.sign_in("alice").await;
    let (revoked, session) = one.sign_in("bob").await;
    one.revoke(session.id()).await.unwrap();
    for process in [&one, &other] {
        let none = async |ticket: &str| process.none(&login(), ticket).await;
        assert_eq!(none(&ticket.replace('.', "_")).await, NoSession::Forged);
        assert_eq!(none("").await, NoSession::Forged);
        assert_eq!(none(&revoked).await, NoSession::Revoked);
        assert_eq!(none(&revoked).await, NoSession::Revoked, "once more");
        for elsewhere in [
            "https://wiki.example.com/",
            "https://login.example.com:8443/",
            "http://login.example.com/",
        ] {
            let why = process.none(&host(elsewhere), &ticket).await;
            assert_eq!(why, NoSession::OtherHost, "{elsewhere}");
        }
        process.live(&login(), &ticket).await;
    }
    let session = one.live(&login(), &ticket).await;
    bed.clock.advance(HOUR * 24 * 5);
    for process in [&one, &other, &bed.process().await] {
        assert_eq!(process.none(&login(), &ticket).await, NoSession::Expired);
    }
    cut(&session).await;
    bed.clock.advance(HOUR);
    one.shared
        .store
        .sweep_sessions(bed.clock.now())
        .await
        .unwrap();
    assert_eq!(other.none(&login(), &ticket).await, NoSession::Unknown);
}

#[tokio::test]
async fn a_revocation_in_one_process_is_a_cut_in_the_other() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let (alice, root) = one.sign_in("alice").await;
    let (at_wiki, below) = one.below(&root).await;
    let (bob, _) = one.sign_in("bob").await;
    let there = [
        other.live(&login(), &alice).await,
        other.live(&wiki(), &at_wiki).await,
    ];
    let bob_there = other.live(&login(), &bob).await;
    assert!(one.revoke(root.id()).await.unwrap());
    // Here at once, and there as soon as it hears of it.
    assert!(root.revoked().is_cancelled() && below.revoked().is_cancelled());
    for session in &there {
        cut(session).await;
    }
    assert_eq!(other.none(&wiki(), &at_wiki).await, NoSession::Revoked);
    assert_eq!(one.none(&login(), &alice).await, NoSession::Revoked);
    assert!(!bob_there.revoked().is_cancelled());
    assert!(!one.revoke(root.id()).await.unwrap(), "it is over");

    // An application's session alone: the person's goes on.
    let (_, root) = one.sign_in("carol").await;
    let (at_wiki, below) = one.below(&root).await;
    let there = other.live(&wiki(), &at_wiki).await;
    assert!(one.revoke(below.id()).await.unwrap());
    cut(&there).await;
    assert!(!root.revoked().is_cancelled());
}

/// A provider that names both a session of its own and the person ends what belongs to that session, and
/// what belongs to none: not what the person has in another browser.
#[tokio::test]
async fn a_sid_and_a_subject_end_one_session_and_those_without_a_sid() {
    let bed = Bed::new();
    let one = bed.process().await;
    let (_, with_sid) = one.sign_in("alice").await;
    let other = NewSession {
        host: login(),
        sign_in: SignIn {
            sid: Some("sid-other".into()),
            ..sign_in("alice")
        },
        device: device(),
        began: one.mark(),
    };
    let (_, elsewhere) = one.create(other).await.unwrap();
    let without = NewSession {
        host: login(),
        sign_in: SignIn {
            sid: None,
            ..sign_in("alice")
        },
        device: device(),
        began: one.mark(),
    };
    let (_, without) = one.create(without).await.unwrap();
    let token = LogoutToken {
        issuer: "https://idp.example",
        jti: "both",
        ends: NOW.plus(HOUR),
        of: LoggedOutOf::Session("sid-alice", Some("sub-alice")),
    };
    let done = one.log_out(&token).await.unwrap();
    assert_eq!(done, LoggedOut::Ended(2));
    assert!(with_sid.revoked().is_cancelled() && without.revoked().is_cancelled());
    assert!(!elsewhere.revoked().is_cancelled());
}

/// The ticket says whose it was when nothing is kept of the session any more.
#[tokio::test]
async fn a_ticket_tells_its_owner_for_good() {
    let bed = Bed::new();
    let one = bed.process().await;
    let (alice, session) = one.sign_in("alice").await;
    let (again, _) = one.sign_in("alice").await;
    let (bob, _) = one.sign_in("bob").await;
    let owner = |ticket: &str| one.owner_of(ticket.as_bytes());
    assert_eq!(owner(&alice), Some(session.owner()));
    assert_eq!(owner(&alice), owner(&again));
    assert_ne!(owner(&alice), owner(&bob));
    one.revoke(session.id()).await.unwrap();
    assert_eq!(owner(&alice), owner(&again));
    assert_eq!(owner(&alice.replace('.', ".A")), None);
}

#[tokio::test]
async fn a_session_has_so_many_requests_at_once_and_remembers_what_was_confirmed() {
    let bed = Bed::new();
    let one = bed.process().await;
    let (_, root) = one.sign_in("alice").await;
    let (_, below) = one.below(&root).await;
    let first = root.request(2).unwrap();
    let second = below.request(2).unwrap();
    assert!(root.request(2).is_none() && below.request(2).is_none());
    drop(first);
    let third = root.request(2).unwrap();
    assert!(below.request(2).is_none());
    drop((second, third));
    assert!(below.request(1).is_some());
    assert!(!below.has_confirmed(&wiki()));
    root.confirm(wiki());
    assert!(below.has_confirmed(&wiki()) && !below.has_confirmed(&login()));
}

#[tokio::test]
async fn a_person_a_subject_and_a_sid_end_what_is_theirs_and_sign_ins_under_way() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let key = |name: &str| sign_in(name).person.key;
    for round in 0..4 {
        let (ticket, root) = one.sign_in("alice").await;
        let (_, below) = one.below(&root).await;
        let (_, bob) = one.sign_in("bob").await;
        let there = other.live(&login(), &ticket).await;
        let began = one.mark();
        let ended = match round {
            0 => one.revoke_person(&key("alice")).await.unwrap(),
            1 => one
                .revoke_sid("https://idp.example", "sid-alice")
                .await
                .unwrap(),
            round => {
                let of = match round {
                    2 => LoggedOutOf::Session("sid-alice", None),
                    _ => LoggedOutOf::Subject("sub-alice"),
                };
                let jti = format!("jti-{round}");
                let token = LogoutToken {
                    issuer: "https://idp.example",
                    jti: &jti,
                    ends: NOW.plus(HOUR),
                    of,
                };
                let done = one.log_out(&token).await.unwrap();
                let again = other.log_out(&token).await.unwrap();
                assert_eq!(again, LoggedOut::Repeated);
                assert_eq!(done, LoggedOut::Ended(2));
                2
            }
        };
        assert_eq!(ended, 2, "{round}");
        assert!(root.revoked().is_cancelled() && below.revoked().is_cancelled());
        cut(&there).await;
        assert!(!bob.revoked().is_cancelled());
        // A clock that was set back would not have let it pass.
        bed.clock.set(NOW.minus(MINUTE * 10));
        let late = one.try_sign_in("alice", began).await.unwrap_err();
        bed.clock.set(NOW);
        let refused = matches!(late, SessionError::Refused(SessionRefusal::SignedOut));
        assert!(refused, "{late}");
        // What begins after it was heard of is another sign-in.
        while one.mark() == began {
            tokio::task::yield_now().await;
        }
        one.sign_in("alice").await;
        one.revoke_person(&key("alice")).await.unwrap();
        one.revoke_person(&key("bob")).await.unwrap();
        while one.shared.store.last_change().await.unwrap() > one.mark().0 {
            tokio::task::yield_now().await;
        }
    }
    // Another issuer's names are other names.
    let (_, alice) = one.sign_in("alice").await;
    let ended = one.revoke_sid("https://evil.example", "sid-alice").await;
    assert_eq!(ended.unwrap(), 0);
    assert!(!alice.revoked().is_cancelled());
    let first = one.remember_jti("https://idp.example", "x", NOW.plus(HOUR));
    assert!(first.await.unwrap());
    let again = other.remember_jti("https://idp.example", "x", NOW.plus(HOUR));
    assert!(!again.await.unwrap());
}

#[tokio::test]
async fn a_session_ends_by_idleness_unless_it_is_used_anywhere() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let (at_login, root) = one.sign_in("alice").await;
    let (ticket, _) = one.below(&root).await;
    let idle = HOUR * 8;
    one.live(&wiki(), &ticket).await;
    let there = other.live(&wiki(), &ticket).await;
    bed.clock.advance(idle - MINUTE);
    one.live(&wiki(), &ticket).await;
    follow::tell(&one.shared).await;
    bed.clock.advance(MINUTE * 2);
    // There nobody used it; the store knows better. The person's own session goes on with it.
    assert!(there.ends() <= bed.clock.now());
    let found = other.live(&wiki(), &ticket).await;
    assert!(Arc::ptr_eq(&found, &there));
    assert!(!there.revoked().is_cancelled());
    other.live(&login(), &at_login).await;
    follow::tell(&other.shared).await;
    bed.clock.advance(idle);
    for process in [&one, &other] {
        assert_eq!(process.none(&wiki(), &ticket).await, NoSession::Expired);
        assert_eq!(process.none(&login(), &at_login).await, NoSession::Expired);
    }
    cut(&there).await;
}

#[tokio::test]
async fn use_is_told_once_a_minute_and_settings_count_from_the_next_use_on() {
    let bed = Bed::new();
    let one = bed.process().await;
    let (ticket, session) = one.sign_in("alice").await;
    let pending = || one.shared.memory.take_used(10).len();
    assert_eq!(pending(), 0);
    for _ in 0..100 {
        one.live(&login(), &ticket).await;
    }
    assert_eq!(pending(), 0, "it was stored a moment ago");
    bed.clock.advance(MINUTE);
    for _ in 0..100 {
        one.live(&login(), &ticket).await;
    }
    assert_eq!(pending(), 1);
    one.set(SessionSettings {
        idle: HOUR,
        ..SessionSettings::default()
    });
    one.live(&login(), &ticket).await;
    assert_eq!(session.ends(), NOW.plus(MINUTE).plus(HOUR));
}

#[tokio::test]
async fn a_clock_that_jumps_ten_minutes_ends_nothing_for_good() {
    let bed = Bed::new();
    let one = bed.process().await;
    one.set(SessionSettings {
        idle: MINUTE * 5,
        absolute: HOUR,
        ..SessionSettings::default()
    });
    let (ticket, _) = one.sign_in("alice").await;
    bed.clock.set(NOW.plus(MINUTE * 10));
    assert_eq!(one.none(&login(), &ticket).await, NoSession::Expired);
    one.shared
        .store
        .sweep_sessions(bed.clock.now())
        .await
        .unwrap();
    one.shared.memory.sweep(bed.clock.now());
    bed.clock.set(NOW);
    one.live(&login(), &ticket).await;
    // And back: nothing lives longer than it would have.
    bed.clock.set(NOW.minus(MINUTE * 10));
    let session = one.live(&login(), &ticket).await;
    follow::tell(&one.shared).await;
    assert!(session.ends() <= NOW.plus(HOUR));
    bed.clock.set(NOW.plus(HOUR));
    assert_eq!(one.none(&login(), &ticket).await, NoSession::Expired);
}

#[tokio::test]
async fn memory_is_bounded_and_what_is_held_is_still_cut() {
    let bed = Bed::new();
    let one = bed.process().await;
    one.set(SessionSettings {
        capacity: 10,
        ..SessionSettings::default()
    });
    let (held, session) = one.sign_in("alice").await;
    let id = session.id().clone();
    let mut tickets = Vec::new();
    for n in 0..40 {
        bed.clock.advance(Duration::from_secs(1));
        tickets.push(one.sign_in(&format!("p{n}")).await.0);
    }
    let known = || one.shared.memory.len();
    assert!(known() <= 11, "{}", known());
    // The latest are those that are left, and all can be read again.
    one.store
        .execute("UPDATE sessions SET host = 'x' || host")
        .await;
    one.live(&login(), tickets.last().unwrap()).await;
    one.store
        .execute("UPDATE sessions SET host = substr(host, 2)")
        .await;
    for ticket in &tickets {
        one.live(&login(), ticket).await;
    }
    assert!(known() <= 11, "{}", known());
    let same = one.live(&login(), &held).await;
    assert!(Arc::ptr_eq(&same, &session));
    bed.process().await.revoke(&id).await.unwrap();
    cut(&session).await;
}

#[test]
fn ten_thousand_sessions_are_cut_by_their_names_alone() {
    let memory = Memory::default();
    let index = Zeroizing::new([3; 32]);
    let keep: Vec<_> = (0..10_000_u32)
        .map(|n| {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&n.to_be_bytes());
            let id = SessionId::from_random(octets);
            let person = sign_in(&format!("p{}", n % 5000));
            let root = Root::new(id.clone(), Zeroizing::new([1; 32]), 0, person, &index);
            let session = memory.insert(0, Arc::new(root), 20_000, |root| Session {
                id,
                host: login(),
                created: NOW,
                absolute: NOW.plus(HOUR),
                idle: NOW.plus(HOUR).0.into(),
                noted: NOW.0.into(),
                proof: [0; 32],
                judged: None.into(),
                revoked: root.revoked.child_token(),
                root,
            });
            session.unwrap()
        })
        .collect();
    let name = names::person(&index, &sign_in("p7").person.key);
    assert_eq!(memory.cut_named(&name), 2);
    let cut = keep.iter().filter(|s| s.revoked().is_cancelled());
    assert_eq!(cut.count(), 2);
    assert_eq!(memory.len(), 9_998);
    memory.sweep(NOW.plus(HOUR));
    assert_eq!(memory.len(), 0);
    assert!(keep.iter().all(|session| session.revoked().is_cancelled()));
}

#[tokio::test]
async fn a_state_opens_here_for_its_purpose_in_its_time() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let value = ("https://wiki.example.com".to_owned(), vec![1_u8, 2]);
    let seal = || one.seal_state("state", &value, MINUTE * 15).unwrap();
    let open =
        |process: &Process, text: &str| process.open_state::<(String, Vec<u8>)>("state", text);
    let text = seal();
    assert!(!text.contains("wiki"));
    for process in [&one, &other] {
        assert_eq!(open(process, &text).unwrap(), value);
    }
    let forged = Err(StateError::Forged);
    assert_eq!(one.open_state::<(String, Vec<u8>)>("target", &text), forged);
    assert_eq!(
        one.open_state::<Vec<u8>>("state", &text),
        Err(StateError::Forged)
    );
    for bad in [
        "",
        "AAAA",
        "!",
        &text[1..],
        &text[..text.len() - 1],
        &format!("{text}A"),
    ] {
        assert_eq!(open(&one, bad), forged, "{bad}");
    }
    for at in 0..text.len() {
        let mut altered = text.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(open(&one, &String::from_utf8(altered).unwrap()), forged);
    }
    let long = "x".repeat(8 * 1024);
    assert!(one.seal_state("state", &long, MINUTE).is_err());
    assert_eq!(open(&one, &long), forged);
    bed.clock.set(NOW.minus(MINUTE * 10));
    assert_eq!(open(&one, &text).unwrap(), value);
    bed.clock.set(NOW.plus(MINUTE * 15));
    assert_eq!(open(&one, &text), Err(StateError::Expired));
}

#[tokio::test]
async fn keys_are_rotated_under_way() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let (ticket, _) = one.sign_in("alice").await;
    let state = one.seal_state("s", &1, HOUR * 24).unwrap();
    let heard = async |process: &Process| {
        while process.shared.store.last_change().await.unwrap() > process.mark().0 {
            tokio::task::yield_now().await;
        }
    };
    one.rotate_keys().await.unwrap();
    heard(&one).await;
    heard(&other).await;
    bed.clock.advance(MINUTE * 2);
    let new = one.sign_in("bob").await.0;
    let new_state = one.seal_state("s", &2, HOUR * 24).unwrap();
    for process in [&one, &other] {
        process.live(&login(), &ticket).await;
        process.live(&login(), &new).await;
        assert_eq!(process.open_state("s", &state), Ok(1));
        assert_eq!(process.open_state("s", &new_state), Ok(2));
    }
    other.rotate_keys().await.unwrap();
    heard(&one).await;
    heard(&other).await;
    for process in [&one, &other] {
        assert_eq!(process.none(&login(), &ticket).await, NoSession::Forged);
        process.live(&login(), &new).await;
        assert_eq!(
            process.open_state::<i32>("s", &state),
            Err(StateError::Forged)
        );
        assert_eq!(process.open_state("s", &new_state), Ok(2));
    }
    // By what people are found is not rotated.
    let ended = one.revoke_person(&sign_in("alice").person.key).await;
    assert_eq!(ended.unwrap(), 1);
}
