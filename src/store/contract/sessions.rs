//! Sessions: what hangs on what, what ends what, and who may renew.

use std::sync::Arc;

use futures_util::future::join_all;
use zeroize::Zeroizing;

use super::{DAY, HOUR, NOW};
use crate::clock::Timestamp;
use crate::model::SessionId;
use crate::store::{
    Changed, Lease, NewSessionRecord, Origin, SessionName, SessionRefusal, Store, Used,
};

pub(crate) fn session_id(number: u8) -> SessionId {
    SessionId::from_random([number; 16])
}

fn name(number: u8) -> SessionName {
    SessionName([number; 32])
}

/// A sign-in of this number, found by the name of the same one.
pub(crate) fn sign_in(number: u8) -> NewSessionRecord {
    NewSessionRecord {
        id: session_id(number),
        host: "https://login.example.com".into(),
        origin: Origin::SignIn {
            began: 0,
            names: vec![name(number), name(100)],
            record: vec![number; 40],
        },
        opener: vec![number; 60],
        shown: Zeroizing::new(format!("person {number}").into_bytes()),
        created: NOW,
        idle_ends: NOW.plus(HOUR),
        ends: NOW.plus(DAY),
    }
}

fn below(number: u8, parent: u8) -> NewSessionRecord {
    NewSessionRecord {
        host: "https://wiki.example.com".into(),
        origin: Origin::Session(session_id(parent)),
        ..sign_in(number)
    }
}

async fn create(store: &dyn Store, new: NewSessionRecord) {
    store.create_session(new).await.unwrap().unwrap();
}

async fn revoked(store: &dyn Store, number: u8) -> bool {
    let record = store.session(&session_id(number)).await.unwrap().unwrap();
    // What could open it goes with it.
    assert_eq!(record.revoked.is_some(), record.opener.is_empty());
    record.revoked.is_some()
}

pub(super) async fn a_session_is_stored_and_listed(store: Arc<dyn Store>) {
    assert_eq!(store.session(&session_id(1)).await.unwrap(), None);
    create(&*store, sign_in(1)).await;
    assert!(store.create_session(sign_in(1)).await.is_err(), "it exists");
    let longer = NewSessionRecord {
        ends: NOW.plus(DAY * 2),
        ..below(2, 1)
    };
    create(&*store, longer).await;

    let one = store.session(&session_id(1)).await.unwrap().unwrap();
    let new = sign_in(1);
    assert_eq!((&one.id, &one.host), (&new.id, &new.host));
    assert_eq!((one.parent, one.version, one.revoked), (None, 0, None));
    assert_eq!((&one.opener, &one.record), (&new.opener, &vec![1; 40]));
    assert_eq!((one.created, one.idle_ends), (NOW, new.idle_ends));
    let two = store.session(&session_id(2)).await.unwrap().unwrap();
    assert_eq!(two.parent, Some(session_id(1)));
    assert_eq!(two.record, vec![1; 40], "its parent's");
    assert_eq!((two.opener, two.ends), (vec![2; 60], one.ends));

    let listed = store.sessions().await.unwrap();
    let shown: Vec<_> = listed.iter().map(|one| &one.shown[..]).collect();
    assert_eq!(shown, [&b"person 2"[..], b"person 1"]);
    assert_eq!(listed[0].parent, Some(session_id(1)));
    assert_eq!((listed[1].last_used, listed[1].ends), (NOW, one.ends));
    assert_eq!(store.last_change().await.unwrap(), 0);
}

pub(super) async fn nothing_hangs_on_what_has_ended(store: Arc<dyn Store>) {
    let refused = async |new| store.create_session(new).await.unwrap().unwrap_err();
    assert_eq!(refused(below(2, 1)).await, SessionRefusal::ParentEnded);
    create(&*store, sign_in(1)).await;
    create(&*store, below(2, 1)).await;
    // One level: an application's session has none below it.
    assert_eq!(refused(below(3, 2)).await, SessionRefusal::ParentEnded);
    for created in [NOW.plus(HOUR), NOW.plus(DAY)] {
        let late = NewSessionRecord {
            created,
            ..below(3, 1)
        };
        assert_eq!(refused(late).await, SessionRefusal::ParentEnded);
    }
    store.revoke_session(&session_id(1), NOW).await.unwrap();
    assert_eq!(refused(below(3, 1)).await, SessionRefusal::ParentEnded);
    assert_eq!(store.sessions().await.unwrap().len(), 2);
}

pub(super) async fn revocation_ends_what_hangs_below_and_is_noted(store: Arc<dyn Store>) {
    for number in [1, 2] {
        create(&*store, sign_in(number)).await;
        create(&*store, below(number + 10, number)).await;
        create(&*store, below(number + 20, number)).await;
    }
    let (one, two) = (session_id(11), session_id(2));
    let both = [&one, &one].map(|id| store.revoke_session(id, NOW));
    let done: Vec<bool> = join_all(both)
        .await
        .into_iter()
        .map(|r| r.unwrap())
        .collect();
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    assert!(store.revoke_session(&two, NOW).await.unwrap());
    assert!(!store.revoke_session(&session_id(9), NOW).await.unwrap());
    assert!(!store.revoke_session(&session_id(12), NOW).await.unwrap());
    for (number, ended) in [
        (1, false),
        (11, true),
        (21, false),
        (2, true),
        (12, true),
        (22, true),
    ] {
        assert_eq!(revoked(&*store, number).await, ended, "{number}");
    }
    let changes = store.changes(0).await.unwrap();
    let changes: Vec<_> = changes.into_iter().map(|c| (c.number, c.what)).collect();
    let noted = [(1, one), (2, two)].map(|(n, id)| (n, Changed::SessionRevoked(id)));
    assert_eq!(changes, noted);
}

pub(super) async fn a_name_ends_all_its_sessions_and_sign_ins_under_way(store: Arc<dyn Store>) {
    for number in [1, 2] {
        create(&*store, sign_in(number)).await;
        create(&*store, below(number + 10, number)).await;
    }
    assert_eq!(
        store.revoke_sessions(&[name(1)], None, NOW).await.unwrap(),
        Some(2)
    );
    assert_eq!(
        store.revoke_sessions(&[name(1)], None, NOW).await.unwrap(),
        Some(0)
    );
    assert!(revoked(&*store, 1).await && revoked(&*store, 11).await);
    assert!(!revoked(&*store, 2).await && !revoked(&*store, 12).await);
    // Both are noted: the second one may be meant for a sign-in under way.
    let changes = store.changes(0).await.unwrap();
    let whats: Vec<_> = changes.into_iter().map(|change| change.what).collect();
    assert_eq!(
        whats,
        [
            Changed::SessionsRevoked(name(1)),
            Changed::SessionsRevoked(name(1))
        ]
    );

    let again = |number, began, names: &[u8]| NewSessionRecord {
        origin: Origin::SignIn {
            began,
            names: names.iter().copied().map(name).collect(),
            record: vec![1],
        },
        ..sign_in(number)
    };
    for began in [0, 1] {
        let refused = store
            .create_session(again(3, began, &[5, 1]))
            .await
            .unwrap();
        assert_eq!(refused, Err(SessionRefusal::SignedOut));
    }
    create(&*store, again(3, 0, &[5])).await;
    create(&*store, again(4, 2, &[1])).await;
    assert_eq!(
        store
            .revoke_sessions(&[name(100)], None, NOW)
            .await
            .unwrap(),
        Some(2)
    );
    assert!(revoked(&*store, 12).await && !revoked(&*store, 4).await);
}

pub(super) async fn use_is_noted_to_the_minute_with_the_parent(store: Arc<dyn Store>) {
    create(&*store, sign_in(1)).await;
    create(&*store, below(2, 1)).await;
    create(&*store, below(3, 1)).await;
    let used = |number, at: Timestamp| Used {
        id: session_id(number),
        at,
        idle_ends: at.plus(HOUR),
    };
    let idle_ends = async |number| {
        let record = store.session(&session_id(number)).await.unwrap();
        record.unwrap().idle_ends
    };
    let touch = async |used: Vec<Used>| store.touch_sessions(used).await.unwrap();
    let second = std::time::Duration::from_secs(1);
    let at = NOW.plus(second * 100);
    assert_eq!(touch(vec![used(2, at), used(9, at)]).await, [session_id(9)]);
    assert_eq!(idle_ends(2).await, at.plus(HOUR));
    assert_eq!(idle_ends(1).await, at.plus(HOUR));
    assert_eq!(idle_ends(3).await, NOW.plus(HOUR));
    // Within the minute, and back in time: nothing; what was ahead for long: corrected.
    for at in [at.plus(second * 59), at.minus(second * 50)] {
        assert_eq!(touch(vec![used(2, at)]).await, []);
        assert_eq!(idle_ends(2).await, NOW.plus(second * 100).plus(HOUR));
    }
    assert_eq!(touch(vec![used(2, NOW.plus(DAY))]).await, []);
    assert_eq!(touch(vec![used(2, at)]).await, []);
    assert_eq!(idle_ends(2).await, at.plus(HOUR));
    store.revoke_session(&session_id(2), NOW).await.unwrap();
    assert_eq!(touch(vec![used(2, NOW.plus(DAY))]).await, [session_id(2)]);
    assert_eq!(store.last_change().await.unwrap(), 1);
}

pub(super) async fn one_at_a_time_renews_and_a_lost_fence_writes_nothing(store: Arc<dyn Store>) {
    create(&*store, sign_in(1)).await;
    create(&*store, below(2, 1)).await;
    let id = session_id(1);
    let granted = |lease| match lease {
        Lease::Granted {
            fence,
            record,
            version,
        } => (fence, record, version),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        store.begin_refresh(&session_id(9), NOW).await.unwrap(),
        Lease::Gone
    );
    assert_eq!(
        store.begin_refresh(&session_id(2), NOW).await.unwrap(),
        Lease::Gone
    );
    let both = join_all([NOW, NOW].map(|now| store.begin_refresh(&id, now))).await;
    let leases: Vec<Lease> = both.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        leases.iter().filter(|lease| **lease == Lease::Held).count(),
        1
    );
    let (fence, record, version) = granted(leases.into_iter().find(|l| *l != Lease::Held).unwrap());
    assert_eq!((record, version), (vec![1; 40], 0));

    // The lease is over: the next one has the right, and the first one none any more.
    let second = std::time::Duration::from_secs(1);
    let held = store.begin_refresh(&id, NOW.plus(second * 29)).await;
    assert_eq!(held.unwrap(), Lease::Held);
    let later = NOW.plus(second * 30);
    let (next, ..) = granted(store.begin_refresh(&id, later).await.unwrap());
    assert!(next > fence);
    assert!(!store.end_refresh(&id, fence, Some(vec![7])).await.unwrap());
    assert!(!store.end_refresh(&id, fence, None).await.unwrap());
    assert!(store.end_refresh(&id, next, Some(vec![8])).await.unwrap());
    assert!(
        !store.end_refresh(&id, next, Some(vec![9])).await.unwrap(),
        "once"
    );
    let below = store.session(&session_id(2)).await.unwrap().unwrap();
    assert_eq!((below.record, below.version), (vec![8], 1));

    // Given back without anything new.
    let (third, record, version) = granted(store.begin_refresh(&id, later).await.unwrap());
    assert_eq!((record, version), (vec![8], 1));
    assert!(store.end_refresh(&id, third, None).await.unwrap());
    // What a clock gave that was ahead is nobody's when it is right again.
    granted(store.begin_refresh(&id, later.plus(HOUR)).await.unwrap());
    let (fifth, _, version) = granted(store.begin_refresh(&id, later).await.unwrap());
    assert_eq!(version, 1);

    store.revoke_session(&id, NOW).await.unwrap();
    assert!(!store.end_refresh(&id, fifth, Some(vec![9])).await.unwrap());
    assert_eq!(
        store.begin_refresh(&id, later.plus(DAY)).await.unwrap(),
        Lease::Gone
    );
    assert!(revoked(&*store, 1).await);
}

pub(super) async fn what_has_ended_is_swept_after_a_while(store: Arc<dyn Store>) {
    // 1 and what is below end by idleness; 2 is revoked; 3 is used.
    for number in [1, 2, 3] {
        create(&*store, sign_in(number)).await;
        create(&*store, below(number + 10, number)).await;
    }
    store.revoke_session(&session_id(2), NOW).await.unwrap();
    store.revoke_sessions(&[name(9)], None, NOW).await.unwrap();
    let used = Used {
        id: session_id(13),
        at: NOW.plus(HOUR),
        idle_ends: NOW.plus(DAY * 9),
    };
    store.touch_sessions(vec![used]).await.unwrap();
    let second = std::time::Duration::from_secs(1);
    // When, what goes, and what is left. A revoked one ends by idleness like any other.
    for (when, goes, left) in [
        (NOW.plus(HOUR * 2).minus(second), 0, 6),
        (NOW.plus(HOUR * 2), 4, 2),
        (NOW.plus(DAY + HOUR).minus(second), 0, 2),
        (NOW.plus(DAY + HOUR), 2, 0),
    ] {
        assert_eq!(store.sweep_sessions(when).await.unwrap(), goes, "{when:?}");
        assert_eq!(store.sessions().await.unwrap().len(), left, "{when:?}");
    }
    let long = NewSessionRecord {
        idle_ends: NOW.plus(DAY * 2),
        ends: NOW.plus(DAY * 2),
        ..sign_in(2)
    };
    create(&*store, long).await;
    store.revoke_session(&session_id(2), NOW).await.unwrap();
    let just = NOW.plus(DAY).minus(second);
    assert_eq!(store.sweep_sessions(just).await.unwrap(), 0);
    assert_eq!(store.sweep_sessions(NOW.plus(DAY)).await.unwrap(), 1);
    // After a day the tombstone is gone, after a week what the log has of sessions; numbers go on.
    create(&*store, sign_in(9)).await;
    assert_eq!(store.changes(0).await.unwrap().len(), 3);
    store.sweep_sessions(NOW.plus(DAY * 7)).await.unwrap();
    let left = store.changes(0).await.unwrap();
    let left: Vec<_> = left.into_iter().map(|c| (c.number, c.what)).collect();
    assert_eq!(left, [(3, Changed::SessionRevoked(session_id(2)))]);
    store.revoke_sessions(&[name(9)], None, NOW).await.unwrap();
    assert_eq!(store.last_change().await.unwrap(), 4);
}
