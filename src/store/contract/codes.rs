//! Shared secrets, and what may come once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use zeroize::Zeroizing;

use super::{HOUR, NOW};
use crate::store::{Changed, Once, SessionName, SharedSecret, Store};

fn first(secrets: &[SharedSecret]) -> Vec<u8> {
    secrets.iter().map(|secret| secret.octets[0]).collect()
}

pub(super) async fn the_first_secret_counts_and_newer_ones_stand_before_it(store: Arc<dyn Store>) {
    let new = |octet| Zeroizing::new([octet; 32]);
    let all = join_all((1..=8).map(|octet| store.secrets("a", new(octet), NOW))).await;
    let all: Vec<_> = all.into_iter().map(|got| first(&got.unwrap())).collect();
    assert!(
        all.iter().all(|got| *got == all[0] && got.len() == 1),
        "{all:?}"
    );
    assert_eq!(
        first(&store.secrets("b", new(77), NOW).await.unwrap()),
        [77]
    );

    let later = NOW.plus(HOUR);
    store.rotate_secret("a", new(20), 1, later).await.unwrap();
    let two = store.secrets("a", new(99), later).await.unwrap();
    assert_eq!(first(&two), [20, all[0][0]]);
    assert_eq!((two[0].created, two[1].created), (later, NOW));
    assert_eq!(*two[0].octets, [20; 32]);
    store.rotate_secret("a", new(21), 1, later).await.unwrap();
    assert_eq!(
        first(&store.secrets("a", new(99), NOW).await.unwrap()),
        [21, 20]
    );
    store.rotate_secret("a", new(22), 0, later).await.unwrap();
    assert_eq!(
        first(&store.secrets("a", new(99), NOW).await.unwrap()),
        [22]
    );
    assert_eq!(
        first(&store.secrets("b", new(99), NOW).await.unwrap()),
        [77]
    );
    let changes = store.changes(0).await.unwrap();
    assert!(
        changes
            .iter()
            .all(|c| c.what == Changed::SecretRotated("a".into()))
    );
    assert_eq!(changes.len(), 3);
    assert!(
        !format!("{two:?}").contains("20, 20"),
        "it prints no secret"
    );
}

pub(super) async fn a_code_is_gone_once_presented(store: Arc<dyn Store>) {
    let ends = NOW.plus(Duration::from_secs(60));
    let put = async |n: u8, now| store.put_code([n; 32], vec![n; 9], now, ends).await;
    for n in [1, 2, 3] {
        assert!(put(n, NOW).await.unwrap());
    }
    assert!(put(1, NOW).await.is_err(), "it exists");
    let twenty = (0..20).map(|_| store.take_code([1; 32], NOW));
    let taken: Vec<_> = join_all(twenty)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let payloads: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(payloads, [vec![1; 9]]);
    assert_eq!(store.take_code([9; 32], NOW).await.unwrap(), None);
    let just = ends.minus(Duration::from_secs(1));
    assert_eq!(
        store.take_code([2; 32], just).await.unwrap(),
        Some(vec![2; 9])
    );
    assert_eq!(store.take_code([3; 32], ends).await.unwrap(), None);
    assert_eq!(
        store.take_code([3; 32], NOW).await.unwrap(),
        None,
        "it is gone all the same"
    );
    assert_eq!(store.last_change().await.unwrap(), 0);
}

fn once(octet: u8) -> Once {
    Once {
        name: SessionName([octet; 32]),
        until: NOW.plus(HOUR),
    }
}

pub(super) async fn what_was_remembered_is_no_news(store: Arc<dyn Store>) {
    let same = (0..20).map(|_| store.remember(once(1)));
    let news: Vec<_> = join_all(same)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(news.iter().filter(|first| **first).count(), 1);
    assert!(store.remember(once(2)).await.unwrap());
    let until = once(1).until;
    let just = until.plus(HOUR).minus(Duration::from_secs(1));
    store.sweep_sessions(just).await.unwrap();
    assert!(!store.remember(once(1)).await.unwrap());
    store.sweep_sessions(until.plus(HOUR)).await.unwrap();
    assert!(store.remember(once(1)).await.unwrap());
}

pub(super) async fn what_asks_for_a_revocation_twice_is_heard_once(store: Arc<dyn Store>) {
    let name = SessionName([9; 32]);
    let names = [name];
    let revoke = |octet| store.revoke_sessions(&names, Some(once(octet)), NOW);
    let same = join_all((0..5).map(|_| revoke(1))).await;
    let done = same.into_iter().filter_map(Result::unwrap);
    assert_eq!(done.collect::<Vec<_>>(), [0]);
    assert_eq!(revoke(2).await.unwrap(), Some(0));
    assert!(!store.remember(once(2)).await.unwrap());
    let changes = store.changes(0).await.unwrap();
    assert_eq!(changes.len(), 2, "a repetition is nothing");
}
