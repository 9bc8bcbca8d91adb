//! Keyed hashes and sealing: HMAC-SHA-256 and AES-256-GCM-SIV (RFC 8452), and nothing else.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, hmac};
use zeroize::Zeroizing;

use crate::certs::{RandomError, random};
use crate::clock::Timestamp;
use crate::store::{SecretOctets, SharedSecret};

/// A new secret is used when every process has had the time to hear of it, seconds.
const KNOWN_EVERYWHERE: i64 = 60;

/// The keyed hash of some parts, each with its length, so that no two lists of parts are one text.
pub(super) fn mac(key: &SecretOctets, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &**key);
    let mut context = hmac::Context::with_key(&key);
    for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.sign().as_ref());
    hash
}

/// A key for one purpose only.
pub(super) fn derive(key: &SecretOctets, purpose: &str) -> SecretOctets {
    Zeroizing::new(mac(key, purpose, &[]))
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// New random octets.
pub(super) fn secret() -> Result<SecretOctets, RandomError> {
    random().map(Zeroizing::new)
}

/// Nonce ‖ ciphertext and tag, bound to what it is of.
pub(super) fn seal(key: &SecretOctets, of: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>, RandomError> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut sealed = Zeroizing::new(plain.to_vec());
    let tag = cipher(key)
        .and_then(|cipher| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            cipher.seal_in_place_separate_tag(nonce, Aad::from(bound(of)), &mut sealed)
        })
        .map_err(|_| RandomError)?;
    Ok([&nonce[..], &sealed, tag.as_ref()].concat())
}

/// Opens it; `None` where the key or what it is of is another, or an octet was altered.
pub(super) fn open(key: &SecretOctets, of: &[&[u8]], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let len = cipher(key)
        .and_then(|cipher| {
            let opened = cipher.open_in_place(nonce, Aad::from(bound(of)), &mut plain);
            opened.map(|plain| plain.len())
        })
        .ok()?;
    plain.truncate(len);
    Some(plain)
}

fn cipher(key: &SecretOctets) -> Result<LessSafeKey, aws_lc_rs::error::Unspecified> {
    UnboundKey::new(&AES_256_GCM_SIV, &**key).map(LessSafeKey::new)
}

fn bound(of: &[&[u8]]) -> Vec<u8> {
    let mut bound = Vec::new();
    for part in of {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part);
    }
    bound
}

/// The secrets of one name, the newest first; never none.
#[derive(Clone)]
pub(super) struct Ring {
    newest: SharedSecret,
    older: Vec<SharedSecret>,
}

impl Ring {
    pub(super) fn new(secrets: Vec<SharedSecret>) -> Option<Self> {
        let mut secrets = secrets.into_iter();
        Some(Self {
            newest: secrets.next()?,
            older: secrets.collect(),
        })
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &SecretOctets> {
        let all = std::iter::once(&self.newest).chain(&self.older);
        all.map(|secret| &secret.octets)
    }

    /// The one that every process has had all along.
    pub(super) fn oldest(&self) -> &SecretOctets {
        &self.older.last().unwrap_or(&self.newest).octets
    }

    /// The one for what is new: the newest one that everybody knows.
    pub(super) fn current(&self, now: Timestamp) -> &SecretOctets {
        let known = |secret: &SharedSecret| secret.created.0 + KNOWN_EVERYWHERE <= now.0;
        let all = std::iter::once(&self.newest).chain(&self.older);
        let known = all
            .filter(|secret| known(secret))
            .map(|secret| &secret.octets);
        known.into_iter().next().unwrap_or_else(|| self.oldest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(octet: u8) -> SecretOctets {
        Zeroizing::new([octet; 32])
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_for_its_purpose_only() {
        let of: &[&[u8]] = &[b"record", b"s1"];
        let sealed = seal(&key(1), of, b"who it is").unwrap();
        assert_eq!(&open(&key(1), of, &sealed).unwrap()[..], b"who it is");
        assert!(open(&key(2), of, &sealed).is_none());
        for other in [
            &[&b"record"[..], b"s2"][..],
            &[b"opener", b"s1"],
            &[b"records1"],
            &[b"records", b"1"],
            &[],
        ] {
            assert!(open(&key(1), other, &sealed).is_none());
        }
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open(&key(1), of, &altered).is_none(), "octet {at}");
            assert!(open(&key(1), of, &sealed[..at]).is_none(), "{at} octets");
        }
        assert_ne!(sealed, seal(&key(1), of, b"who it is").unwrap());
    }

    #[test]
    fn keyed_hashes_tell_parts_apart() {
        let one = mac(&key(1), "p", &[b"ab", b"c"]);
        assert_ne!(one, mac(&key(1), "p", &[b"a", b"bc"]));
        assert_ne!(one, mac(&key(1), "pa", &[b"b", b"c"]));
        assert_ne!(one, mac(&key(2), "p", &[b"ab", b"c"]));
        assert_ne!(*derive(&key(1), "p"), *derive(&key(1), "q"));
        assert!(same(&one, &one) && !same(&one, &one[1..]));
    }

    #[test]
    fn a_new_secret_is_used_when_everybody_knows_it() {
        let secret = |octet, created| SharedSecret {
            octets: key(octet),
            created: Timestamp(created),
        };
        assert!(Ring::new(Vec::new()).is_none());
        let alone = Ring::new(vec![secret(1, 100)]).unwrap();
        assert_eq!(**alone.current(Timestamp(0)), [1; 32]);
        let two = Ring::new(vec![secret(2, 100), secret(1, 0)]).unwrap();
        assert_eq!(**two.current(Timestamp(159)), [1; 32]);
        assert_eq!(**two.current(Timestamp(160)), [2; 32]);
        assert_eq!(**two.current(Timestamp(-9)), [1; 32]);
        assert_eq!(two.all().count(), 2);
    }
}
