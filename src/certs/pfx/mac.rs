//! What vouches for the whole file: the MAC of PKCS#12 (RFC 7292 section 4) or PBMAC1 (RFC 9879,
//! which replaces RFC 9579).

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::hmac;

use super::PfxError;
use super::ber::Element;
use super::derive::{self, Hash, Iterations, Pbkdf2, Purpose, identifier, sequence};
use super::limits::Limits;
use super::password::Secret;

/// How a file is protected against changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac {
    /// The hash of the HMAC.
    pub hash: Hash,
    /// The hash of PBKDF2, where it is PBMAC1; `None` is the derivation of PKCS#12.
    pub pbkdf2: Option<Hash>,
    /// How often the hash is applied to derive the key.
    pub iterations: u32,
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hash, iterations) = (self.hash, Iterations(self.iterations));
        match self.pbkdf2 {
            Some(of) => write!(
                f,
                "PBMAC1 with HMAC-{hash}, its key from PBKDF2 with HMAC-{of} and {iterations}"
            ),
            None => write!(
                f,
                "HMAC-{hash}, its key from the derivation of PKCS#12 and {iterations}"
            ),
        }
    }
}

/// A MAC with all it takes but the password.
pub(super) struct MacData<'a> {
    pub(super) mac: Mac,
    derivation: Derivation,
    tag: Cow<'a, [u8]>,
}

enum Derivation {
    Pkcs12 { salt: Vec<u8> },
    Pbkdf2 { pbkdf2: Pbkdf2, len: usize },
}

impl<'a> MacData<'a> {
    pub(super) fn read(data: Element<'_, 'a>) -> Result<Self, PfxError> {
        let mut parts = sequence(data)?;
        let mut info = sequence(parts.need()?)?;
        let (oid, mut parameters) = identifier(info.need()?)?;
        let tag = info.need()?.octet_string()?;
        if oid != "1.2.840.113549.1.5.14" {
            let hash = Hash::from_digest(&oid)?;
            let salt = parts.need()?.octet_string()?.into_owned();
            let iterations = parts.next().map_or(Ok(1), derive::count)?;
            return Ok(Self {
                mac: Mac {
                    hash,
                    pbkdf2: None,
                    iterations,
                },
                derivation: Derivation::Pkcs12 { salt },
                tag,
            });
        }
        // The salt and iterations of `MacData` are not used then.
        let mut parameters = sequence(parameters.need()?)?;
        let pbkdf2 = Pbkdf2::read(parameters.need()?)?;
        let hash = Hash::from_hmac(&identifier(parameters.need()?)?.0)?;
        // SECURITY: RFC 9879 wants the length, and 20 octets at least. With a key of one octet, a
        // forged MAC would fit one password of 256. What is longer than a block of SHA-512 would be
        // no stronger.
        let len = pbkdf2.len.and_then(|len| usize::try_from(len).ok());
        let Some(len @ 20..=128) = len else {
            return Err(PfxError::Damaged(
                "its MAC (PBMAC1) has no key of 20 to 128 octets",
            ));
        };
        Ok(Self {
            mac: Mac {
                hash,
                pbkdf2: Some(pbkdf2.hash),
                iterations: pbkdf2.iterations,
            },
            derivation: Derivation::Pbkdf2 { pbkdf2, len },
            tag,
        })
    }

    /// The octets of a spelling that the key is derived from.
    pub(super) fn octets<'s>(&self, secret: &'s Secret) -> &'s [u8] {
        match self.derivation {
            Derivation::Pkcs12 { .. } => &secret.wide,
            Derivation::Pbkdf2 { .. } => &secret.octets,
        }
    }

    /// Whether it is the MAC of the content.
    pub(super) fn fits(
        &self,
        secret: &Secret,
        content: &[u8],
        limits: &mut Limits,
    ) -> Result<bool, PfxError> {
        let Mac {
            hash, iterations, ..
        } = self.mac;
        let password = self.octets(secret);
        let key = match &self.derivation {
            Derivation::Pkcs12 { salt } => {
                let from = (password, salt.as_slice());
                derive::pkcs12(hash, from, iterations, Purpose::Mac, hash.len(), limits)
            }
            Derivation::Pbkdf2 { pbkdf2, len } => pbkdf2.derive(password, *len, limits),
        }?;
        let key = hmac::Key::new(hash.hmac(), &key);
        Ok(hmac::verify(&key, content, &self.tag).is_ok())
    }
}
