//! Sealing: what is secret in the store is AES-256-GCM-SIV under a key kept outside of it.
//!
//! A sealed value is key id (8 octets) ‖ nonce (12) ‖ ciphertext and tag. GCM-SIV, so that a nonce
//! repeated by a cloned machine reveals no more than that two values are equal (RFC 8452).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::StoreError;

pub(super) const KEY_LEN: usize = 32;
const ID_LEN: usize = 8;

/// The keys of a store: one seals, it and the older ones open.
pub struct StoreKeys {
    sealing: Key,
    older: Vec<Key>,
}

/// Octets that are wiped when they are dropped.
pub(super) type KeyOctets = Zeroizing<[u8; KEY_LEN]>;

struct Key {
    id: [u8; ID_LEN],
    octets: KeyOctets,
}

/// What a sealed value is: bound to it, so that one cannot be put in the place of another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// A constant that shows whether a key fits the store.
    Check,
    /// The authority's private key.
    AuthorityKey,
    /// A whole store.
    Backup,
    /// A secret that gateways share, behind its name.
    SharedSecret,
    /// What lists show of a session, behind its identifier.
    SessionShown,
}

impl Purpose {
    fn bound(self) -> &'static str {
        match self {
            Self::Check => "appproxy store 1: meta.check",
            Self::AuthorityKey => "appproxy store 1: authority.key",
            Self::Backup => "appproxy store 1: backup",
            Self::SharedSecret => "appproxy store 1: secrets.sealed",
            Self::SessionShown => "appproxy store 1: sessions.shown",
        }
    }
}

/// A value that was sealed.
pub(super) struct Opened {
    pub(super) plain: Zeroizing<Vec<u8>>,
    /// Sealed by an older key: to be sealed anew.
    pub(super) stale: bool,
}

impl StoreKeys {
    pub(super) fn new(sealing: KeyOctets, older: Vec<KeyOctets>) -> Self {
        Self {
            sealing: Key::new(sealing),
            older: older.into_iter().map(Key::new).collect(),
        }
    }

    /// Seals under the first key.
    pub(super) fn seal(&self, purpose: Purpose, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let failed = |_| StoreError::Unavailable("sealing failed: no random numbers".into());
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
        let mut sealed = Zeroizing::new(plain.to_vec());
        let tag = self
            .sealing
            .cipher()
            .and_then(|cipher| {
                cipher.seal_in_place_separate_tag(
                    Nonce::assume_unique_for_key(nonce),
                    Aad::from(purpose.bound()),
                    &mut sealed,
                )
            })
            .map_err(failed)?;
        Ok([&self.sealing.id[..], &nonce, &sealed, tag.as_ref()].concat())
    }

    /// Opens what any of the keys sealed for this purpose.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`] where none of the keys sealed it, [`StoreError::Damaged`] where
    /// one did and the value was altered since.
    pub(super) fn open(&self, purpose: Purpose, sealed: &[u8]) -> Result<Opened, StoreError> {
        let damaged = || StoreError::Damaged(format!("`{}` was altered", purpose.bound()));
        let (id, rest) = sealed.split_first_chunk::<ID_LEN>().ok_or_else(damaged)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let key = std::iter::once(&self.sealing)
            .chain(&self.older)
            .find(|key| key.id == *id)
            .ok_or(StoreError::WrongKey)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let len = key
            .cipher()
            .and_then(|cipher| {
                cipher
                    .open_in_place(
                        Nonce::assume_unique_for_key(*nonce),
                        Aad::from(purpose.bound()),
                        &mut plain,
                    )
                    .map(|plain| plain.len())
            })
            .map_err(|_| damaged())?;
        plain.truncate(len);
        Ok(Opened {
            plain,
            stale: *id != self.sealing.id,
        })
    }
}

/// How many keys there are, never which.
impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKeys({} of them)", 1 + self.older.len())
    }
}

impl Key {
    fn new(octets: KeyOctets) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"appproxy store key id");
        hash.update(&*octets);
        let mut id = [0; ID_LEN];
        for (to, from) in id.iter_mut().zip(hash.finish().as_ref()) {
            *to = *from;
        }
        Self { id, octets }
    }

    /// Made for each use, so that the key lies nowhere but in `octets`, which is wiped.
    fn cipher(&self) -> Result<LessSafeKey, aws_lc_rs::error::Unspecified> {
        UnboundKey::new(&AES_256_GCM_SIV, &*self.octets).map(LessSafeKey::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(sealing: u8, older: &[u8]) -> StoreKeys {
        let octets = |o: u8| Zeroizing::new([o; KEY_LEN]);
        StoreKeys::new(octets(sealing), older.iter().map(|o| octets(*o)).collect())
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_purpose_only() {
        let sealed = keys(1, &[]).seal(Purpose::AuthorityKey, b"secret").unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"secret"));

        let opened = keys(1, &[]).open(Purpose::AuthorityKey, &sealed).unwrap();
        assert_eq!((&opened.plain[..], opened.stale), (&b"secret"[..], false));
        let opened = keys(2, &[3, 1])
            .open(Purpose::AuthorityKey, &sealed)
            .unwrap();
        assert_eq!((&opened.plain[..], opened.stale), (&b"secret"[..], true));

        let other_key = keys(2, &[3]).open(Purpose::AuthorityKey, &sealed);
        assert!(matches!(other_key, Err(StoreError::WrongKey)));
        let other_purpose = keys(1, &[]).open(Purpose::Check, &sealed);
        assert!(matches!(other_purpose, Err(StoreError::Damaged(_))));
    }

    #[test]
    fn no_altered_octet_and_no_shortened_value_opens() {
        let keys = keys(1, &[]);
        let sealed = keys.seal(Purpose::Check, b"value").unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(keys.open(Purpose::Check, &altered).is_err(), "octet {at}");
            assert!(
                keys.open(Purpose::Check, &sealed[..at]).is_err(),
                "{at} octets"
            );
        }
    }

    #[test]
    fn equal_values_are_sealed_differently_and_keys_print_nothing() {
        let keys = keys(0x41, &[]);
        let seal = || keys.seal(Purpose::Check, b"value").unwrap();
        assert_ne!(seal(), seal());
        assert_eq!(format!("{keys:?}"), "StoreKeys(1 of them)");
    }
}
