//! The keys: P-256, the same for all gateways on a store, sealed in it, rotated by whoever comes first.

use std::time::Duration;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde_json::json;
use zeroize::Zeroizing;

use super::LIFE;
use crate::certs::{random, sha256};
use crate::clock::Timestamp;
use crate::store::{SecretOctets, SharedSecret, Store, StoreError};

/// What the store calls them.
pub const SECRET: &str = "assertion keys";

/// How long a key is the newest.
const PERIOD: Duration = Duration::from_secs(30 * 24 * 3600);

/// A new key is published for so long before it signs: whoever verifies may keep what was published for a
/// day, as many do, and has it then.
const PUBLISHED_BEFORE: Duration = Duration::from_secs(24 * 3600);

/// And an old one after it signed the last time, on top of what it signed being good.
const PUBLISHED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Older keys that the store keeps: none of them is needed any more when the next one comes.
const KEPT: u32 = 3;

/// A number is no key where it is 0 or beyond the curve's order: one of 2³².
const ATTEMPTS: usize = 8;

/// The keys of a moment.
pub struct SigningKeys {
    /// The newest first; never none.
    all: Vec<SigningKey>,
}

/// Without what is secret.
impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids = self.all.iter().map(|key| &key.id);
        f.debug_list().entries(ids).finish()
    }
}

struct SigningKey {
    pair: EcdsaKeyPair,
    created: Timestamp,
    /// Its thumbprint (RFC 7638).
    id: String,
    /// The point, base64url.
    x: String,
    y: String,
    /// The header of what it signs, base64url.
    header: String,
}

impl SigningKeys {
    /// Those of the store. One is made where there is none, or where the newest has been that for long
    /// enough.
    pub(super) async fn current(store: &dyn Store, now: Timestamp) -> Result<Self, StoreError> {
        let mut stored = store.secrets(SECRET, scalar()?, now).await?;
        let is_old = |newest: &SharedSecret| newest.created.plus(PERIOD) <= now;
        if stored.first().is_some_and(is_old) {
            // Of two gateways that do so at once there are two new keys, which does no harm.
            store.rotate_secret(SECRET, scalar()?, KEPT, now).await?;
            tracing::info!("a new key for assertions is published; it signs after a day");
            stored = store.secrets(SECRET, scalar()?, now).await?;
        }
        Self::new(&stored)
    }

    fn new(stored: &[SharedSecret]) -> Result<Self, StoreError> {
        let all: Option<Vec<_>> = stored.iter().map(SigningKey::new).collect();
        let all = all.filter(|all| !all.is_empty());
        let damaged = || StoreError::Damaged(format!("the secret `{SECRET}` is no key"));
        Ok(Self {
            all: all.ok_or_else(damaged)?,
        })
    }

    /// The one that signs: the newest that everybody has had the time to fetch, or the first there was.
    fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        let mut all = self.all.iter();
        let known = all.find(|key| key.created.plus(PUBLISHED_BEFORE) <= now);
        known.or_else(|| self.all.last())
    }

    /// Those that verify what may be about: the one that signs, what will, and what did a while ago.
    fn published(&self, now: Timestamp) -> impl Iterator<Item = &SigningKey> {
        let since = |next: &SigningKey| next.created.plus(PUBLISHED_BEFORE);
        self.all.iter().enumerate().filter_map(move |(at, key)| {
            let Some(next) = at.checked_sub(1).and_then(|at| self.all.get(at)) else {
                return Some(key);
            };
            let until = since(next).plus(LIFE).plus(PUBLISHED_AFTER);
            (now < until).then_some(key)
        })
    }

    /// A JWK Set (RFC 7517), of public keys alone.
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> String {
        let keys: Vec<_> = self
            .published(now)
            .map(|key| {
                json!({
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
                    "kid": key.id, "x": key.x, "y": key.y,
                })
            })
            .collect();
        json!({ "keys": keys }).to_string()
    }

    /// Signs claims (RFC 7515 section 3.1).
    pub(super) fn sign(&self, claims: &str, now: Timestamp) -> Option<HeaderValue> {
        let key = self.signing(now)?;
        let mut text = format!("{}.", key.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = key.pair.sign(&SystemRandom::new(), text.as_bytes()).ok()?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        let mut value = HeaderValue::try_from(text).ok()?;
        // Nobody has it twice, and nobody else is to.
        value.set_sensitive(true);
        Some(value)
    }
}

impl SigningKey {
    fn new(stored: &SharedSecret) -> Option<Self> {
        let public = point(&stored.octets)?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &*stored.octets,
            &public,
        );
        // SEC 1 section 2.3.3: a mark, and the two coordinates.
        let (x, y) = public.strip_prefix(&[4])?.split_at_checked(32)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(sha256(canonical.as_bytes()));
        let header = json!({ "alg": "ES256", "kid": id, "typ": "JWT" }).to_string();
        Some(Self {
            pair: pair.ok()?,
            created: stored.created,
            header: URL_SAFE_NO_PAD.encode(header),
            id,
            x,
            y,
        })
    }
}

/// The public key of a private one; `None` where that is none.
fn point(scalar: &SecretOctets) -> Option<Vec<u8>> {
    let key = PrivateKey::from_private_key(&ECDH_P256, &**scalar).ok()?;
    let public = key.compute_public_key().ok()?;
    Some(public.as_ref().to_vec())
}

/// A new private key.
fn scalar() -> Result<SecretOctets, StoreError> {
    for _ in 0..ATTEMPTS {
        let octets = random().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let octets = Zeroizing::new(octets);
        if point(&octets).is_some() {
            return Ok(octets);
        }
    }
    Err(StoreError::Unavailable("no random number is a key".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn stored(octet: u8, created: i64) -> SharedSecret {
        SharedSecret {
            octets: Zeroizing::new([octet; 32]),
            created: Timestamp(created),
        }
    }

    /// The example of RFC 7515 appendix A.3: the key, as private and public.
    #[test]
    fn a_public_key_is_the_private_one_s() {
        let octets = URL_SAFE_NO_PAD.decode("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
        let mut scalar = SecretOctets::default();
        scalar.copy_from_slice(&octets.unwrap());
        let key = SigningKey::new(&SharedSecret {
            octets: scalar,
            created: Timestamp(0),
        });
        let key = key.unwrap();
        assert_eq!(key.x, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        assert_eq!(key.y, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    }

    #[test]
    fn what_is_no_key_is_damage_and_no_other_key() {
        for octet in [0, 0xff] {
            let keys = SigningKeys::new(&[stored(octet, 0)]);
            assert!(matches!(keys, Err(StoreError::Damaged(_))), "{octet}");
        }
        assert!(SigningKeys::new(&[]).is_err());
        assert!(point(&scalar().unwrap()).is_some());
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_until_nothing_it_signed_is_good() {
        let id = |octet| SigningKey::new(&stored(octet, 0)).unwrap().id;
        let (old, new) = (id(1), id(2));
        let alone = SigningKeys::new(&[stored(1, 0)]).unwrap();
        assert_eq!(alone.signing(Timestamp(0)).unwrap().id, old);
        let rotated = 30 * DAY;
        let keys = SigningKeys::new(&[stored(2, rotated), stored(1, 0)]).unwrap();
        let over = rotated + 2 * DAY + 300;
        for (now, signs, published) in [
            (rotated, &old, vec![&new, &old]),
            (rotated + DAY - 1, &old, vec![&new, &old]),
            (rotated + DAY, &new, vec![&new, &old]),
            (over - 1, &new, vec![&new, &old]),
            (over, &new, vec![&new]),
            // A clock that was set back.
            (0, &old, vec![&new, &old]),
        ] {
            assert_eq!(&keys.signing(Timestamp(now)).unwrap().id, signs, "{now}");
            let all: Vec<_> = keys.published(Timestamp(now)).map(|key| &key.id).collect();
            assert_eq!(all, published, "{now}");
        }
        let text = keys.jwks(Timestamp(rotated));
        assert!(!text.contains("\"d\""), "{text}");
        assert!(!format!("{keys:?}").contains(&URL_SAFE_NO_PAD.encode([2; 32])));
    }

    #[tokio::test]
    async fn keys_are_rotated_by_whoever_finds_them_old_and_are_the_same_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::Fragile::open(&folder.path().join("a.db")).await;
        let store = store.store();
        let at = async |now| SigningKeys::current(&*store, Timestamp(now)).await.unwrap();
        let ids = |keys: &SigningKeys| keys.all.iter().map(|k| k.id.clone()).collect::<Vec<_>>();
        let first = at(0).await;
        assert_eq!(ids(&first), ids(&at(30 * DAY - 1).await));
        let second = at(30 * DAY).await;
        assert_eq!(ids(&second)[1..], ids(&first));
        assert_eq!(ids(&second), ids(&at(31 * DAY).await));
        let mut before = second;
        for month in 2..10 {
            let now = month * 30 * DAY;
            let keys = at(now).await;
            assert_ne!(ids(&keys)[0], ids(&before)[0]);
            // What signed a moment ago is there.
            let signed = before.signing(Timestamp(now - 1)).unwrap().id.clone();
            assert!(keys.published(Timestamp(now)).any(|key| key.id == signed));
            assert!(keys.all.len() <= 4, "{keys:?}");
            before = keys;
        }
    }
}
