//! Signing, with a store that comes and goes.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use zeroize::Zeroizing;

use super::*;
use crate::auth::SignIn;
use crate::clock::Timestamp;
use crate::model::{Person, PersonKey};
use crate::store::Fragile;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn settings() -> Arc<Assertion> {
    Arc::new(Assertion {
        header: Assertion::HEADER,
        issuer: "https://login.test".into(),
        audience: "https://wiki.test/".into(),
        claims: Arc::default(),
    })
}

fn alice() -> SignIn {
    SignIn {
        person: Person {
            key: PersonKey {
                authority: "https://sso.test/".into(),
                subject: "alice".into(),
            },
            provider: "corp".into(),
            name: None,
            email: None,
            groups: Arc::new([]),
            claims: serde_json::Map::new(),
        },
        issuer: "https://sso.test/".into(),
        subject: "alice".into(),
        sid: None,
        id_token: None,
        refresh_token: None,
        access_token: None,
        auth_time: None,
        acr: None,
        amr: Vec::new(),
        checked: NOW,
        fresh_until: None,
        asserted: Kept::default(),
    }
}

/// A process on a store that is in this folder.
async fn signer(folder: &std::path::Path, clock: &Clock) -> (Fragile, Arc<Signer>) {
    let store = Fragile::open(&folder.join("a.db")).await;
    let signer = Arc::new(Signer::new(store.store(), clock.clone()));
    let follows = Arc::clone(&signer);
    tokio::spawn(async move { follows.follow(|| true).await });
    (store, signer)
}

/// What an application makes of it, with the keys that are published.
fn verified(value: &HeaderValue, jwks: &str) -> Option<Value> {
    let token = value.to_str().unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.alg, Algorithm::ES256);
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    let keys: JwkSet = serde_json::from_str(jwks).unwrap();
    let key = keys.find(&header.kid.unwrap())?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["https://wiki.test/"]);
    validation.set_issuer(&["https://login.test"]);
    // The clock of the test is another one.
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(key).unwrap();
    let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
    Some(decoded.claims)
}

#[tokio::test]
async fn what_is_signed_is_verified_with_what_is_published_and_said_again_for_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let (_store, signer) = signer(folder.path(), &clock).await;
    let (wiki, alice) = (settings(), alice());
    let first = signer
        .assertion(&wiki, &alice.person, Some(&alice.asserted))
        .await
        .unwrap();
    assert!(first.is_sensitive());
    let jwks = signer.keys().await.unwrap().jwks(NOW);
    let said = verified(&first, &jwks).unwrap();
    assert_eq!(said["sub"], "alice");
    assert_eq!(said["exp"].as_i64(), Some(NOW.0 + 300));
    assert_eq!(
        signer
            .assertion(&wiki, &alice.person, Some(&alice.asserted))
            .await
            .unwrap(),
        first
    );
    clock.advance(Duration::from_secs(59));
    assert_eq!(
        signer
            .assertion(&wiki, &alice.person, Some(&alice.asserted))
            .await
            .unwrap(),
        first
    );
    clock.advance(Duration::from_secs(1));
    let second = signer
        .assertion(&wiki, &alice.person, Some(&alice.asserted))
        .await
        .unwrap();
    let said = verified(&second, &jwks).unwrap();
    assert_eq!(said["exp"].as_i64(), Some(NOW.0 + 360));
    // Another application with the same settings, and what is known anew, are others.
    assert_ne!(
        signer
            .assertion(&settings(), &alice.person, Some(&alice.asserted))
            .await
            .unwrap(),
        second
    );
    assert_ne!(
        signer
            .assertion(&wiki, &alice.clone().person, Some(&alice.clone().asserted))
            .await
            .unwrap(),
        second
    );
}

#[tokio::test]
async fn keys_outlive_a_process_and_are_those_of_every_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let (_one, first) = signer(folder.path(), &clock).await;
    let value = first
        .assertion(&settings(), &alice().person, None)
        .await
        .unwrap();
    let (_other, second) = signer(folder.path(), &clock).await;
    let jwks = second.keys().await.unwrap().jwks(NOW);
    assert!(verified(&value, &jwks).is_some());
}

#[tokio::test]
async fn rule_01_without_keys_nothing_is_said_and_with_known_ones_signing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let (store, away) = signer(folder.path(), &clock).await;
    store.close().await;
    let nothing = away.assertion(&settings(), &alice().person, None).await;
    assert!(matches!(nothing, Err(NotSigned::NoKeys)), "{nothing:?}");
    let (store, known) = signer(folder.path(), &clock).await;
    known.keys().await.unwrap();
    store.close().await;
    known.look();
    known
        .assertion(&settings(), &alice().person, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_key_that_another_process_made_is_published_at_once_and_signs_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let (store, signer) = signer(folder.path(), &clock).await;
    let count = |keys: &SigningKeys, now| keys.jwks(now).matches("\"kid\"").count();
    assert_eq!(count(&signer.keys().await.unwrap(), NOW), 1);
    let old = signer
        .assertion(&settings(), &alice().person, None)
        .await
        .unwrap();
    let other = Zeroizing::new([9; 32]);
    let rotated = store.store().rotate_secret(SECRET, other, 3, NOW).await;
    rotated.unwrap();
    let mut changes = signer.keys.subscribe();
    signer.look();
    // Whoever asked first may have had it looked at once more.
    let both = |keys: &Option<Arc<SigningKeys>>| keys.as_ref().is_some_and(|k| count(k, NOW) == 2);
    changes.wait_for(both).await.unwrap();
    let keys = signer.keys().await.unwrap();
    let kid = |value: &HeaderValue| {
        jsonwebtoken::decode_header(value.to_str().unwrap())
            .unwrap()
            .kid
    };
    assert_eq!(count(&keys, NOW), 2);
    let still = signer
        .assertion(&settings(), &alice().person, None)
        .await
        .unwrap();
    assert_eq!(kid(&still), kid(&old));
    clock.advance(Duration::from_secs(24 * 3600));
    let new = signer
        .assertion(&settings(), &alice().person, None)
        .await
        .unwrap();
    assert_ne!(kid(&new), kid(&old));
    let jwks = keys.jwks(clock.now());
    assert!(verified(&new, &jwks).is_some() && verified(&old, &jwks).is_some());
}
