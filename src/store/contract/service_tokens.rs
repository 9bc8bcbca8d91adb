//! Tokens that programs show.

use std::sync::Arc;

use super::{HOUR, NOW};
use crate::clock::Timestamp;
use crate::model::ApplicationName;
use crate::store::{Changed, NewServiceToken, ServiceTokenRecord, Store};

fn new(number: u8, name: &str, created: Timestamp) -> NewServiceToken {
    NewServiceToken {
        id: format!("s{number}"),
        name: name.to_owned(),
        secret_hash: [number; 32],
        applications: vec![ApplicationName::new("wiki").unwrap()],
        paths: vec!["/api".to_owned()],
        created,
        expires: created.plus(HOUR),
    }
}

pub(super) async fn service_tokens_are_listed_used_and_revoked_once(store: Arc<dyn Store>) {
    let later = NOW.plus(HOUR);
    for token in [
        new(1, "ci", NOW),
        new(2, "ci", later),
        new(3, "backup", later),
    ] {
        store.create_service_token(token).await.unwrap();
    }
    let twice = store.create_service_token(new(1, "ci", NOW)).await;
    assert!(twice.is_err(), "an identifier stands for one");
    let listed = store.service_tokens().await.unwrap();
    let first = new(1, "ci", NOW);
    let expected = ServiceTokenRecord {
        id: first.id,
        name: first.name,
        secret_hash: first.secret_hash,
        applications: first.applications,
        paths: first.paths,
        created: first.created,
        expires: first.expires,
        revoked: None,
        last_used: None,
    };
    assert_eq!(listed[2], expected);
    let ids: Vec<_> = listed.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["s3", "s2", "s1"]);

    let used = vec![("s1".to_owned(), later), ("gone".to_owned(), later)];
    store.touch_service_tokens(used).await.unwrap();
    let used = vec![("s1".to_owned(), NOW)];
    store.touch_service_tokens(used).await.unwrap();
    let last_used = |listed: &[ServiceTokenRecord]| listed[2].last_used;
    let listed = store.service_tokens().await.unwrap();
    assert_eq!(last_used(&listed), Some(later), "never back in time");

    // By identifier one, by name all that are left.
    assert_eq!(store.revoke_service_tokens("s1", NOW).await.unwrap(), 1);
    assert_eq!(store.revoke_service_tokens("s1", later).await.unwrap(), 0);
    assert_eq!(store.revoke_service_tokens("ci", later).await.unwrap(), 1);
    assert_eq!(store.revoke_service_tokens("none", later).await.unwrap(), 0);
    let listed = store.service_tokens().await.unwrap();
    let revoked: Vec<_> = listed.iter().map(|one| one.revoked).collect();
    assert_eq!(revoked, [None, Some(later), Some(NOW)]);
    // Three were made, and two revocations found something.
    let changes = store.changes(0).await.unwrap();
    assert_eq!(changes.len(), 5);
    assert!(changes.iter().all(|one| one.what == Changed::ServiceTokens));
}
