//! One at a time asks the provider again, and nobody is signed out by a race.

use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::*;

/// What the provider says the `number`th time.
fn renewed(known: &SignIn, number: u32) -> Asked {
    Asked::Renewed(Box::new(SignIn {
        refresh_token: Some(format!("refresh-{number}").into()),
        person: Person {
            groups: [format!("group-{number}").into()].into(),
            ..known.person.clone()
        },
        sid: Some("another".into()),
        ..known.clone()
    }))
}

fn groups(session: &Session) -> String {
    session.person().groups.join(",")
}

#[tokio::test]
async fn many_at_once_ask_once_and_all_sessions_of_the_sign_in_know() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let (at_login, root) = one.sign_in("alice").await;
    let (at_wiki, below) = one.below(&root).await;
    let there = other.live(&wiki(), &at_wiki).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let ask = || {
        let asked = Arc::clone(&asked);
        move |known: Arc<SignIn>| async move {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            assert_eq!(
                known.refresh_token.as_ref().unwrap().expose_secret(),
                "refresh-0"
            );
            renewed(&known, 1)
        }
    };
    let all = join_all((0..20).map(|n| {
        let session = if n % 2 == 0 { &root } else { &below };
        one.refresh(session, ask())
    }));
    assert_eq!(all.await, vec![Refreshed::Renewed; 20]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(
        (groups(&root), groups(&below)),
        ("group-1".into(), "group-1".into())
    );
    // There it is not known before somebody asks, which is then not for the provider to answer.
    assert_eq!(groups(&there), "all,staff");
    let learnt = other.refresh(&there, ask()).await;
    assert_eq!(
        (learnt, groups(&there)),
        (Refreshed::Renewed, "group-1".into())
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // After a restart too, and by its first names it is revoked.
    let again = bed.process().await;
    let found = again.live(&login(), &at_login).await;
    assert_eq!(groups(&found), "group-1");
    let ended = again.revoke_sid("https://idp.example", "sid-alice").await;
    assert_eq!(ended.unwrap(), 2);
    cut(&there).await;
    assert_eq!(other.refresh(&there, ask()).await, Refreshed::Ended);
}

#[tokio::test]
async fn a_provider_that_refuses_ends_it_and_one_that_fails_does_not() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let (ticket, root) = one.sign_in("alice").await;
    assert_eq!(
        one.refresh(&root, async |_| Asked::Failed).await,
        Refreshed::Old
    );
    // It is left alone for a while.
    let pause = one.refresh(&root, async |_| panic!("asked again")).await;
    assert_eq!(pause, Refreshed::Old);
    // Another process may have more luck.
    let there = other.live(&login(), &ticket).await;
    assert_eq!(
        other.refresh(&there, async |_| Asked::Refused).await,
        Refreshed::Ended
    );
    cut(&root).await;
    assert_eq!(one.none(&login(), &ticket).await, NoSession::Revoked);

    let (ticket, bob) = one.sign_in("bob").await;
    let mallory = async |known: Arc<SignIn>| {
        let mut new = SignIn::clone(&known);
        new.person.key.subject = "oid-mallory".into();
        Asked::Renewed(Box::new(new))
    };
    assert_eq!(one.refresh(&bob, mallory).await, Refreshed::Ended);
    assert_eq!(other.none(&login(), &ticket).await, NoSession::Revoked);
}

#[tokio::test]
async fn a_request_that_goes_away_leaves_the_renewal_to_its_end() {
    let bed = Bed::new();
    let one = bed.process().await;
    let (_, root) = one.sign_in("alice").await;
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ask = {
        let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
        move |known: Arc<SignIn>| async move {
            begun.notify_one();
            go.notified().await;
            renewed(&known, 1)
        }
    };
    {
        let asking = one.refresh(&root, ask);
        tokio::select! {
            _ = asking => panic!("it cannot be done"),
            () = begun.notified() => {}
        }
    }
    go.notify_one();
    let later = one.refresh(&root, async |_| panic!("asked twice")).await;
    assert_eq!(later, Refreshed::Renewed);
}

#[tokio::test]
async fn the_loser_waits_for_the_other_process() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let (ticket, root) = one.sign_in("alice").await;
    let there = other.live(&login(), &ticket).await;
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ask = {
        let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
        move |known: Arc<SignIn>| async move {
            begun.notify_one();
            go.notified().await;
            renewed(&known, 1)
        }
    };
    let loser = async {
        begun.notified().await;
        let waiting = other.refresh(&there, async |_| panic!("both ask"));
        let let_go = async {
            tokio::task::yield_now().await;
            go.notify_one();
        };
        tokio::join!(waiting, let_go).0
    };
    let (winner, _) = tokio::join!(one.refresh(&root, ask), loser);
    assert_eq!(winner, Refreshed::Renewed);
    // On a slow machine the loser has gone on with what it had; it learns the next time.
    other.live(&login(), &ticket).await;
    other
        .refresh(&there, async |_| panic!("nothing is to be asked"))
        .await;
    assert_eq!(groups(&there), "group-1");
}

#[tokio::test]
async fn a_refusal_under_a_lost_fence_reads_again_first() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let (ticket, root) = one.sign_in("alice").await;
    let there = other.live(&login(), &ticket).await;
    for slow in [Asked::Refused, Asked::Failed, renewed(&root.sign_in(), 9)] {
        let number = 1 + u32::try_from(root.root.current.load().version).unwrap();
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let ask = {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            move |_| async move {
                begun.notify_one();
                go.notified().await;
                slow
            }
        };
        root.root.renewal().not_before = None;
        let faster = async {
            begun.notified().await;
            // The lease of a process that hangs is over.
            bed.clock.advance(Duration::from_secs(31));
            let done = other.refresh(&there, move |known| async move { renewed(&known, number) });
            assert_eq!(done.await, Refreshed::Renewed);
            go.notify_one();
        };
        let (slower, ()) = tokio::join!(one.refresh(&root, ask), faster);
        assert_ne!(slower, Refreshed::Ended);
        root.root.renewal().not_before = None;
        one.refresh(&root, async |_| Asked::Failed).await;
        assert_eq!(groups(&root), format!("group-{number}"));
        assert!(!root.revoked().is_cancelled());
    }
    one.live(&login(), &ticket).await;
}
