//! How content is encrypted: PBES2 (RFC 8018 section 6.2) and the schemes of PKCS#12
//! (RFC 7292 appendix C).

use std::fmt;

use zeroize::Zeroizing;

use super::ber::{Children, Element, INTEGER, SEQUENCE};
use super::cipher::Cipher;
use super::derive::{self, Hash, Iterations, Pbkdf2, Purpose, identifier, sequence};
use super::limits::Limits;
use super::password::Secret;
use super::{Part, PfxError};

/// How a part of a file is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encryption {
    /// The cipher and its mode.
    pub cipher: Cipher,
    /// The hash of PBKDF2, where the scheme is PBES2. `None` is one of the old schemes of PKCS#12,
    /// which all derive their keys with SHA-1.
    pub pbkdf2: Option<Hash>,
    /// How often the hash is applied to derive the key.
    pub iterations: u32,
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cipher, iterations) = (self.cipher, Iterations(self.iterations));
        match self.pbkdf2 {
            Some(hash) => write!(
                f,
                "PBES2 with {cipher}, its key from PBKDF2 with HMAC-{hash} and {iterations}"
            ),
            None => write!(
                f,
                "the old PKCS#12 scheme with {cipher}, its key from SHA-1 and {iterations}"
            ),
        }
    }
}

/// An encryption with all it takes but the password.
pub(super) struct Scheme {
    pub(super) encryption: Encryption,
    derivation: Derivation,
}

enum Derivation {
    Pkcs12 { salt: Vec<u8> },
    Pbes2 { pbkdf2: Pbkdf2, iv: Vec<u8> },
}

/// A key and an initial vector.
type Derived = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

impl Scheme {
    pub(super) fn read(algorithm: Element<'_, '_>) -> Result<Self, PfxError> {
        let (oid, mut parameters) = identifier(algorithm)?;
        let cipher = match oid.as_str() {
            "1.2.840.113549.1.5.13" => return Self::read_pbes2(parameters.need()?),
            "1.2.840.113549.1.12.1.1" => Cipher::Rc4(128),
            "1.2.840.113549.1.12.1.2" => Cipher::Rc4(40),
            "1.2.840.113549.1.12.1.3" => Cipher::TripleDes,
            "1.2.840.113549.1.12.1.4" => Cipher::TwoKeyTripleDes,
            "1.2.840.113549.1.12.1.5" => Cipher::Rc2(128),
            "1.2.840.113549.1.12.1.6" => Cipher::Rc2(40),
            other => {
                let name = match other {
                    "1.2.840.113549.1.5.1" => "PBES1 with MD2 and DES",
                    "1.2.840.113549.1.5.3" => "PBES1 with MD5 and DES",
                    "1.2.840.113549.1.5.4" => "PBES1 with MD2 and RC2",
                    "1.2.840.113549.1.5.6" => "PBES1 with MD5 and RC2",
                    "1.2.840.113549.1.5.10" => "PBES1 with SHA-1 and DES",
                    "1.2.840.113549.1.5.11" => "PBES1 with SHA-1 and RC2",
                    _ => "another scheme",
                };
                return Err(PfxError::unsupported("encryption by", name, other));
            }
        };
        let mut parts = sequence(parameters.need()?)?;
        let salt = parts.need()?.octet_string()?.into_owned();
        Ok(Self {
            encryption: Encryption {
                cipher,
                pbkdf2: None,
                iterations: derive::count(parts.need()?)?,
            },
            derivation: Derivation::Pkcs12 { salt },
        })
    }

    fn read_pbes2(parameters: Element<'_, '_>) -> Result<Self, PfxError> {
        let mut parts = sequence(parameters)?;
        let pbkdf2 = Pbkdf2::read(parts.need()?)?;
        let (oid, mut parameters) = identifier(parts.need()?)?;
        let cipher = match oid.as_str() {
            "2.16.840.1.101.3.4.1.2" => Cipher::Aes128,
            "2.16.840.1.101.3.4.1.22" => Cipher::Aes192,
            "2.16.840.1.101.3.4.1.42" => Cipher::Aes256,
            "1.2.840.113549.3.7" => Cipher::TripleDes,
            "1.2.840.113549.3.2" => {
                let (cipher, iv) = read_rc2(&mut parameters, &oid)?;
                return Self::pbes2(cipher, pbkdf2, iv);
            }
            other => {
                let name = match other {
                    "1.3.14.3.2.7" => "DES-CBC",
                    "1.2.840.113549.3.4" => "RC4",
                    "1.2.840.113549.3.9" => "RC5-CBC",
                    "2.16.840.1.101.3.4.1.6" => "AES-128-GCM",
                    "2.16.840.1.101.3.4.1.26" => "AES-192-GCM",
                    "2.16.840.1.101.3.4.1.46" => "AES-256-GCM",
                    _ => "another cipher",
                };
                return Err(PfxError::unsupported("PBES2 with", name, other));
            }
        };
        let iv = parameters.need()?.octet_string()?.into_owned();
        Self::pbes2(cipher, pbkdf2, iv)
    }

    fn pbes2(cipher: Cipher, pbkdf2: Pbkdf2, iv: Vec<u8>) -> Result<Self, PfxError> {
        if iv.len() != cipher.iv_len() {
            return Err(PfxError::Damaged(
                "an initial vector has not the length of its cipher's",
            ));
        }
        let len = pbkdf2.len.map(usize::try_from);
        if len.is_some_and(|len| len != Ok(cipher.key_len())) {
            return Err(PfxError::Damaged(
                "a derived key has not the length of its cipher's",
            ));
        }
        Ok(Self {
            encryption: Encryption {
                cipher,
                pbkdf2: Some(pbkdf2.hash),
                iterations: pbkdf2.iterations,
            },
            derivation: Derivation::Pbes2 { pbkdf2, iv },
        })
    }

    /// The octets of a spelling that the key is derived from.
    pub(super) fn octets<'s>(&self, secret: &'s Secret) -> &'s [u8] {
        match self.derivation {
            Derivation::Pkcs12 { .. } => &secret.wide,
            Derivation::Pbes2 { .. } => &secret.octets,
        }
    }

    pub(super) fn derive(&self, secret: &Secret, limits: &mut Limits) -> Result<Derived, PfxError> {
        let cipher = self.encryption.cipher;
        let password = self.octets(secret);
        match &self.derivation {
            Derivation::Pkcs12 { salt } => {
                let mut derived = |purpose, len| {
                    let iterations = self.encryption.iterations;
                    let from = (password, salt.as_slice());
                    derive::pkcs12(Hash::Sha1, from, iterations, purpose, len, limits)
                };
                let key = derived(Purpose::Key, cipher.key_len())?;
                let iv = match cipher.iv_len() {
                    0 => Zeroizing::new(Vec::new()),
                    len => derived(Purpose::InitialVector, len)?,
                };
                Ok((key, iv))
            }
            Derivation::Pbes2 { pbkdf2, iv } => {
                let key = pbkdf2.derive(password, cipher.key_len(), limits)?;
                Ok((key, Zeroizing::new(iv.clone())))
            }
        }
    }

    /// Decrypts content with what is derived from one spelling.
    pub(super) fn decrypt(&self, (key, iv): &Derived, content: &[u8], part: Part) -> Opened {
        let cipher = self.encryption.cipher;
        // Two blocks of the smaller ciphers tell whether the password fits. So a wrong spelling
        // costs no more than its derivation, however long the content is.
        let head = content.get(..16).unwrap_or(content);
        let Some(head) = cipher.decrypt(key, iv, head) else {
            return Opened::Nonsense;
        };
        if !begins_like(part, &head, content.len(), cipher.block_len()) {
            return Opened::Nonsense;
        }
        let Some(mut plain) = cipher.decrypt(key, iv, content) else {
            return Opened::Nonsense;
        };
        if cipher.block_len() == 1 {
            return Opened::Content(plain);
        }
        // RFC 8018 section 6.1.1: as many octets as each of them says.
        let pad = plain.last().map_or(0, |last| usize::from(*last));
        let len = plain.len().saturating_sub(pad);
        let padding = plain.get(len..).unwrap_or_default();
        let is_padding = padding.iter().all(|octet| usize::from(*octet) == pad);
        if !(1..=cipher.block_len()).contains(&pad) || !is_padding {
            return Opened::Damaged;
        }
        plain.truncate(len);
        Opened::Content(plain)
    }
}

/// What decryption gave.
pub(super) enum Opened {
    Content(Zeroizing<Vec<u8>>),
    /// It begins as it should and does not end so: the password fits, and the content is damaged.
    Damaged,
    /// Another password, most likely.
    Nonsense,
}

/// The parameters of RC2 (RFC 8018 appendix B.2.3).
fn read_rc2(parameters: &mut Children<'_, '_>, oid: &str) -> Result<(Cipher, Vec<u8>), PfxError> {
    let mut parts = sequence(parameters.need()?)?;
    let first = parts.need()?;
    let (bits, iv) = match first.is(INTEGER) {
        true => {
            let bits = match first.number()? {
                160 => 40,
                120 => 64,
                58 => 128,
                _ => {
                    let name = "RC2-CBC with an unusual length of key";
                    return Err(PfxError::unsupported("PBES2 with", name, oid));
                }
            };
            (bits, parts.need()?)
        }
        // RFC 8018: 32 bits, which nobody has written.
        false => {
            let name = "RC2-CBC with a key of 32 bits";
            return Err(PfxError::unsupported("PBES2 with", name, oid));
        }
    };
    Ok((Cipher::Rc2(bits), iv.octet_string()?.into_owned()))
}

/// Whether the first octets of content are those of what should be there: a sequence as long as
/// the content but for its padding, and the beginning of the first element in it. Of wrong keys,
/// one in some hundred million gets so far; of short contents, one in some hundred thousand.
fn begins_like(part: Part, head: &[u8], len: usize, block: usize) -> bool {
    let [SEQUENCE, first, rest @ ..] = head else {
        return false;
    };
    let (count, announced) = match first {
        0x80 => (0, None),
        0..0x80 => (0, Some(usize::from(*first))),
        _ => {
            let count = usize::from(first & 0x7f);
            let digits = rest.get(..count.min(4)).unwrap_or_default().iter();
            let announced = digits.fold(0, |n, digit| n << 8 | usize::from(*digit));
            (count, Some(announced))
        }
    };
    let inner = rest.get(count..).unwrap_or_default();
    let is_fitting = announced.is_none_or(|announced| {
        let left = len.checked_sub(2 + count + announced);
        left.is_some_and(|left| left <= if block == 1 { 0 } else { block })
    });
    is_fitting
        && match part {
            Part::Key => inner.starts_with(&[INTEGER, 1]),
            Part::Contents => inner.first() == Some(&SEQUENCE) || announced == Some(0),
        }
}
