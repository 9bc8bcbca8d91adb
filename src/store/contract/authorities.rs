//! The cases of authorities and their rotation.

use std::sync::Arc;

use futures_util::future::join_all;
use secrecy::ExposeSecret;

use super::{DAY, HOUR, NOW};
use crate::clock::Timestamp;
use crate::store::{AuthorityRecord, Changed, Store};

pub(super) async fn the_first_authority_counts(store: Arc<dyn Store>) {
    assert!(store.authorities().await.unwrap().is_empty());
    let new = authority;
    let both = join_all([
        store.create_authority(new(1)),
        store.create_authority(new(2)),
    ])
    .await;
    let counts = store.authorities().await.unwrap().remove(0);
    for one in both {
        let mut all = one.unwrap();
        assert_eq!(all.len(), 1);
        let one = all.remove(0);
        assert_eq!(one.certificate_pem, counts.certificate_pem);
        assert_eq!(one.key_pem.expose_secret(), counts.key_pem.expose_secret());
    }
    let number = counts.certificate_pem.replace("certificate ", "");
    assert_eq!(counts.key_pem.expose_secret(), format!("key {number}"));
}

fn authority(n: u8) -> AuthorityRecord {
    AuthorityRecord {
        certificate_pem: format!("certificate {n}"),
        key_pem: format!("key {n}").into(),
        ends: None,
    }
}

pub(super) async fn a_rotation_overlaps_two_authorities_and_ends_once(store: Arc<dyn Store>) {
    let ends = NOW.plus(DAY);
    let rotate = |n| store.rotate_authority(authority(n), ends, NOW);
    assert!(!rotate(1).await.unwrap(), "there is nothing to rotate");
    store.create_authority(authority(1)).await.unwrap();
    assert!(
        !store
            .finish_rotation(Timestamp(i64::MAX), NOW)
            .await
            .unwrap()
    );
    let both = join_all([rotate(2), rotate(3)]).await;
    let begun: Vec<bool> = both.into_iter().map(Result::unwrap).collect();
    assert_eq!(begun.iter().filter(|begun| **begun).count(), 1);

    let all = store.authorities().await.unwrap();
    assert_eq!(all.len(), 2);
    let [new, old] = &all[..] else { unreachable!() };
    assert!(["certificate 2", "certificate 3"].contains(&&new.certificate_pem[..]));
    let number = new.certificate_pem.replace("certificate ", "");
    assert_eq!(new.key_pem.expose_secret(), format!("key {number}"));
    assert_eq!(new.ends, None);
    assert_eq!(
        (
            &old.certificate_pem[..],
            old.key_pem.expose_secret(),
            old.ends
        ),
        ("certificate 1", "key 1", Some(ends))
    );
    let still = store.create_authority(authority(9)).await.unwrap();
    assert_eq!(still.len(), 2, "they are what counts");

    let early = store.finish_rotation(ends.minus(HOUR), NOW).await;
    assert!(!early.unwrap(), "its time is not over");
    assert!(store.finish_rotation(ends, NOW).await.unwrap());
    assert!(!store.finish_rotation(ends, NOW).await.unwrap());
    let left = store.authorities().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].certificate_pem, new.certificate_pem);
    let changes = store.changes(0).await.unwrap();
    let what: Vec<_> = changes.into_iter().map(|change| change.what).collect();
    assert_eq!(what, [Changed::Authorities, Changed::Authorities]);
    assert!(rotate(4).await.unwrap(), "the next one may begin");
}
