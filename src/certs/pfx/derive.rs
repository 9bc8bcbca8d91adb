//! From a password to a key: the derivation of PKCS#12 (RFC 7292 appendix B.2) and PBKDF2
//! (RFC 8018 section 5.2), with the hashes they are built on.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::PfxError;
use super::ber::{Children, Element, Malformed};
use super::limits::Limits;

/// A hash that a MAC or a derivation is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, which Windows writes.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256, which OpenSSL 3 writes.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

impl Hash {
    /// The hash of a `DigestInfo`.
    pub(super) fn from_digest(oid: &str) -> Result<Self, PfxError> {
        Ok(match oid {
            "1.3.14.3.2.26" => Self::Sha1,
            "2.16.840.1.101.3.4.2.4" => Self::Sha224,
            "2.16.840.1.101.3.4.2.1" => Self::Sha256,
            "2.16.840.1.101.3.4.2.2" => Self::Sha384,
            "2.16.840.1.101.3.4.2.3" => Self::Sha512,
            other => {
                let name = match other {
                    "1.2.840.113549.2.2" => "MD2",
                    "1.2.840.113549.2.5" => "MD5",
                    "2.16.840.1.101.3.4.2.5" => "SHA-512/224",
                    "2.16.840.1.101.3.4.2.6" => "SHA-512/256",
                    "2.16.840.1.101.3.4.2.7" => "SHA3-224",
                    "2.16.840.1.101.3.4.2.8" => "SHA3-256",
                    "2.16.840.1.101.3.4.2.9" => "SHA3-384",
                    "2.16.840.1.101.3.4.2.10" => "SHA3-512",
                    "1.2.643.7.1.1.2.2" | "1.2.643.7.1.1.2.3" => "GOST R 34.11-2012",
                    _ => "another hash",
                };
                return Err(PfxError::unsupported("a MAC with", name, other));
            }
        })
    }

    /// The hash of an HMAC.
    pub(super) fn from_hmac(oid: &str) -> Result<Self, PfxError> {
        Ok(match oid {
            "1.2.840.113549.2.7" => Self::Sha1,
            "1.2.840.113549.2.8" => Self::Sha224,
            "1.2.840.113549.2.9" => Self::Sha256,
            "1.2.840.113549.2.10" => Self::Sha384,
            "1.2.840.113549.2.11" => Self::Sha512,
            other => {
                let name = match other {
                    "1.2.840.113549.2.6" => "HMAC-MD5",
                    "1.2.840.113549.2.12" => "HMAC-SHA-512/224",
                    "1.2.840.113549.2.13" => "HMAC-SHA-512/256",
                    _ => "another HMAC",
                };
                return Err(PfxError::unsupported(
                    "a derivation or MAC with",
                    name,
                    other,
                ));
            }
        })
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            // For legacy use only, which this is.
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => hmac::HMAC_SHA224,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    /// In octets.
    pub(super) fn len(self) -> usize {
        self.digest().output_len()
    }
}

/// How often the hash is applied for a key of some octets; there is no derivation for less than
/// the price of one.
fn cost(hash: Hash, iterations: u32, len: usize) -> u64 {
    let blocks = u64::try_from(len.div_ceil(hash.len())).unwrap_or(u64::MAX);
    u64::from(iterations).saturating_mul(blocks).max(1)
}

/// What the octets are for: the diversifier of RFC 7292 appendix B.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Key,
    InitialVector,
    Mac,
}

/// The derivation of PKCS#12, of a password in UTF-16.
pub(super) fn pkcs12(
    hash: Hash,
    (wide, salt): (&[u8], &[u8]),
    iterations: u32,
    purpose: Purpose,
    len: usize,
    limits: &mut Limits,
) -> Result<Zeroizing<Vec<u8>>, PfxError> {
    limits.iterations(cost(hash, iterations, len))?;
    let algorithm = hash.digest();
    let block = algorithm.block_len();
    let id = match purpose {
        Purpose::Key => 1,
        Purpose::InitialVector => 2,
        Purpose::Mac => 3,
    };
    let diversifier = vec![id; block];
    let room = salt.len().next_multiple_of(block) + wide.len().next_multiple_of(block);
    let mut input: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(room));
    for part in [salt, wide] {
        let filled = part.len().next_multiple_of(block);
        input.extend(part.iter().cycle().take(filled));
    }
    let mut derived = Zeroizing::new(Vec::with_capacity(len + hash.len()));
    loop {
        let mut first = digest::Context::new(algorithm);
        first.update(&diversifier);
        first.update(&input);
        let mut hashed = first.finish();
        for _ in 1..iterations {
            hashed = digest::digest(algorithm, hashed.as_ref());
        }
        derived.extend_from_slice(hashed.as_ref());
        if derived.len() >= len {
            derived.truncate(len);
            return Ok(derived);
        }
        // Each block of the input, as one number, grows by the hash and one.
        let mut filled: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(block));
        filled.extend(hashed.as_ref().iter().cycle().take(block));
        for number in input.chunks_exact_mut(block) {
            let mut carry = 1;
            for (digit, add) in number.iter_mut().zip(filled.iter()).rev() {
                let [high, low] = (u16::from(*digit) + u16::from(*add) + carry).to_be_bytes();
                *digit = low;
                carry = u16::from(high);
            }
        }
    }
}

/// PBKDF2 and what a file says of it.
#[derive(Debug, Clone)]
pub(super) struct Pbkdf2 {
    pub(super) hash: Hash,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    /// How many octets are to be derived, where the file says.
    pub(super) len: Option<u32>,
}

impl Pbkdf2 {
    /// Reads a `KeyDerivationFunc`, which has to be PBKDF2.
    pub(super) fn read(algorithm: Element<'_, '_>) -> Result<Self, PfxError> {
        let (oid, mut parameters) = identifier(algorithm)?;
        if oid != "1.2.840.113549.1.5.12" {
            let name = match oid.as_str() {
                "1.3.6.1.4.1.11591.4.11" => "scrypt",
                _ => "another derivation",
            };
            return Err(PfxError::unsupported("keys derived with", name, &oid));
        }
        let mut parts = sequence(parameters.need()?)?;
        let salt = parts.need()?;
        if salt.is(super::ber::SEQUENCE) {
            let what = "a salt that the file does not give";
            return Err(PfxError::unsupported("keys derived with", what, &oid));
        }
        let salt = salt.octet_string()?.into_owned();
        let iterations = count(parts.need()?)?;
        let mut rest = parts.clone().peekable();
        let len = match rest.next_if(|next| next.is(super::ber::INTEGER)) {
            Some(len) => Some(len.number()?),
            None => None,
        };
        let hash = match rest.next() {
            Some(prf) => Hash::from_hmac(&identifier(prf)?.0)?,
            None => Hash::Sha1,
        };
        Ok(Self {
            hash,
            salt,
            iterations,
            len,
        })
    }

    pub(super) fn derive(
        &self,
        password: &[u8],
        len: usize,
        limits: &mut Limits,
    ) -> Result<Zeroizing<Vec<u8>>, PfxError> {
        limits.iterations(cost(self.hash, self.iterations, len))?;
        let mut derived = Zeroizing::new(vec![0; len]);
        let algorithm = match self.hash {
            Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
            Hash::Sha224 => {
                self.derive_by_hand(password, &mut derived);
                return Ok(derived);
            }
        };
        let iterations = NonZeroU32::new(self.iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(algorithm, iterations, &self.salt, password, &mut derived);
        Ok(derived)
    }

    /// The library has no PBKDF2 with SHA-224.
    fn derive_by_hand(&self, password: &[u8], derived: &mut [u8]) {
        let key = hmac::Key::new(self.hash.hmac(), password);
        for (index, block) in (1_u32..).zip(derived.chunks_mut(self.hash.len())) {
            let mut first = hmac::Context::with_key(&key);
            first.update(&self.salt);
            first.update(&index.to_be_bytes());
            let mut tag = first.sign();
            let mut sum = Zeroizing::new(tag.as_ref().to_vec());
            for _ in 1..self.iterations {
                tag = hmac::sign(&key, tag.as_ref());
                for (sum, octet) in sum.iter_mut().zip(tag.as_ref()) {
                    *sum ^= octet;
                }
            }
            for (octet, sum) in block.iter_mut().zip(sum.iter()) {
                *octet = *sum;
            }
        }
    }
}

/// An `AlgorithmIdentifier`: its identifier and what comes after it.
pub(super) fn identifier<'d, 'a>(
    algorithm: Element<'d, 'a>,
) -> Result<(String, Children<'d, 'a>), Malformed> {
    let mut parts = sequence(algorithm)?;
    let oid = parts.need()?.oid()?;
    Ok((oid, parts))
}

pub(super) fn sequence<'d, 'a>(element: Element<'d, 'a>) -> Result<Children<'d, 'a>, Malformed> {
    element.within(
        super::ber::SEQUENCE,
        "a sequence is expected, and not there",
    )
}

/// A number of iterations, in words.
pub(super) struct Iterations(pub(super) u32);

impl fmt::Display for Iterations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 iteration"),
            other => write!(f, "{other} iterations"),
        }
    }
}

/// A count of iterations.
pub(super) fn count(element: Element<'_, '_>) -> Result<u32, PfxError> {
    match element.number()? {
        0 => Err(PfxError::Damaged("a derivation has no iterations")),
        count => Ok(count),
    }
}
