//! PFX files (PKCS#12, RFC 7292), as Windows, OpenSSL, Java, Firefox and appliances write them.
//!
//! A file is a list of parts in clear or encrypted, in which are bags with keys and certificates,
//! and mostly a MAC over it all. The order here is that of a reading: `ber` tells the elements
//! apart, `password` says how the password may have been meant, `mac` finds the spelling that
//! fits, `encryption` opens the parts with it, and `bags` takes out what is in them.
//!
//! SECURITY: a file comes from somebody who may not mean well, and is read before its MAC is
//! known to be right: the MAC's key is derived as often as the file says. So whatever it says is
//! bounded ([`MAX_SIZE`], [`MAX_ITERATIONS`], and the depth and number of elements), and nothing
//! it says is trusted to be a length.

mod bags;
mod ber;
mod cipher;
mod derive;
mod encryption;
mod limits;
mod mac;
mod opener;
mod password;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

pub use bags::{Attributes, CertificateBag, KeyBag, OtherBag};
pub use cipher::Cipher;
pub use derive::Hash;
pub use encryption::Encryption;
pub use limits::{Bound, MAX_ITERATIONS, MAX_SIZE};
pub use mac::Mac;
pub use password::Spelling;

use bags::{Found, explicit, open_key};
use ber::{Document, INTEGER, Malformed, SEQUENCE};
use derive::identifier;
use mac::MacData;
use opener::Opener;

/// A file that has been opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pfx {
    /// The private keys, in the order of the file.
    pub keys: Vec<KeyBag>,
    /// The certificates, in the order of the file, which need not be that of a chain.
    pub certificates: Vec<CertificateBag>,
    /// How many bags of other kinds there are.
    pub others: BTreeMap<OtherBag, usize>,
    /// How it was protected and written.
    pub protection: Protection,
}

/// How a file was protected and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// What vouches for it. `None`: a change of it would not be seen.
    pub mac: Option<Mac>,
    /// How its parts are encrypted, each way once.
    pub encryptions: Vec<Encryption>,
    /// How many of the keys are in clear.
    pub keys_in_clear: usize,
    /// How many of the certificates are in clear.
    pub certificates_in_clear: usize,
    /// It is written in BER, not DER: with an indefinite length, a length longer than it had to
    /// be, or a string in pieces.
    pub is_ber: bool,
    /// How many octets come after its end.
    pub octets_after: usize,
    /// How the password was read. `None`: nothing in it takes one.
    pub spelling: Option<Spelling>,
}

/// A private key that came alone.
#[derive(Clone, PartialEq, Eq)]
pub struct DecryptedKey {
    /// PKCS#8 as DER.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// How it was encrypted.
    pub encryption: Encryption,
    /// How the password was read.
    pub spelling: Spelling,
}

impl fmt::Debug for DecryptedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("DecryptedKey");
        shown.field("encryption", &self.encryption);
        shown
            .field("spelling", &self.spelling)
            .finish_non_exhaustive()
    }
}

/// What is encrypted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Bags, most often those of the certificates.
    Contents,
    /// One private key.
    Key,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contents => "a part of it (most often the certificates)",
            Self::Key => "its private key",
        })
    }
}

/// Why a file cannot be opened. None of it tells a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PfxError {
    /// It is something else.
    #[error("it is not a PFX file: {0}")]
    NotPfx(&'static str),
    /// No spelling of the password opens it.
    #[error(
        "the password is wrong: it does not fit {}, tried {}",
        shown(mac),
        joined(tried)
    )]
    WrongPassword {
        /// What it does not fit. `None`: there is no MAC, and what it decrypts to is nonsense.
        mac: Option<Mac>,
        /// How it was tried.
        tried: Vec<Spelling>,
    },
    /// It has a password, and none was given.
    #[error("it is protected by a password, and none is given")]
    PasswordNeeded,
    /// The password fits the file, but not this part of it.
    #[error("{0} is encrypted with another password than the rest")]
    OtherPassword(Part),
    /// It is protected in a way that is not read here.
    #[error("it has {what}, which is not supported; {remedy}")]
    Unsupported {
        /// What it is, with its object identifier.
        what: String,
        /// What helps.
        remedy: &'static str,
    },
    /// It is a PFX, and has changed since it was written, or was written badly.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It is beyond what is read.
    #[error("it is refused: it has {0}")]
    TooMuch(#[from] Bound),
}

fn shown(mac: &Option<Mac>) -> String {
    match mac {
        Some(mac) => format!("the MAC ({mac})"),
        None => "what is encrypted (there is no MAC)".to_owned(),
    }
}

fn joined(tried: &[Spelling]) -> String {
    let tried: Vec<_> = tried.iter().map(Spelling::to_string).collect();
    tried.join(", ")
}

impl From<Malformed> for PfxError {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Element(what) => Self::Damaged(what),
            Malformed::Bound(bound) => Self::TooMuch(bound),
        }
    }
}

impl PfxError {
    /// A password protects it, in a way that another export need not take.
    fn unsupported(how: &str, name: &str, oid: &str) -> Self {
        Self::Unsupported {
            what: format!("{how} {name} ({oid})"),
            remedy: "export it anew with AES-256 and SHA-256 (on Windows: `Export-PfxCertificate \
                     -CryptoAlgorithmOption AES256_SHA256`)",
        }
    }

    /// Something else than a password protects it.
    fn without_password(name: &str, oid: &str) -> Self {
        Self::Unsupported {
            what: format!("protection by {name} ({oid})"),
            remedy: "export it anew with a password",
        }
    }
}

/// Reads a file. Without a password, both none and the empty one are tried.
///
/// # Errors
/// Where it is no PFX, its password is another or is needed, it is damaged, it is protected in a
/// way that is not supported, or it is beyond the bounds.
pub fn read(file: &[u8], password: Option<&str>) -> Result<Pfx, PfxError> {
    read_within(file, password, MAX_ITERATIONS)
}

/// As [`read`], with another bound for the iterations of all derivations together.
///
/// # Errors
/// As [`read`].
pub fn read_within(file: &[u8], password: Option<&str>, iterations: u32) -> Result<Pfx, PfxError> {
    if file.len() > MAX_SIZE {
        return Err(Bound::Size.into());
    }
    let mut opener = Opener::new(password, iterations);
    let document = match Document::parse(file, &mut opener.limits) {
        Ok(document) => document,
        Err(Malformed::Element(_)) if !begins_like_pfx(file) => {
            return Err(PfxError::NotPfx(looks_like(file)));
        }
        Err(malformed) => return Err(malformed.into()),
    };
    let root = document.root();
    let mut parts = root.children();
    let is_version_3 = parts
        .next()
        .is_some_and(|version| version.number() == Ok(3));
    if !root.is(SEQUENCE) || !is_version_3 {
        return Err(PfxError::NotPfx(looks_like(file)));
    }
    let (oid, mut rest) = identifier(parts.need()?)?;
    if oid != "1.2.840.113549.1.7.1" {
        let name = match oid.as_str() {
            "1.2.840.113549.1.7.2" => "a signature in place of a MAC",
            _ => "another kind of content",
        };
        return Err(PfxError::without_password(name, &oid));
    }
    let safe = explicit(rest.need()?)?.octet_string()?;
    let mac = parts.next().map(MacData::read).transpose()?;
    let mut found = Found {
        is_ber: !root.is_der(),
        ..Found::default()
    };
    if let Some(mac) = &mac
        && !opener.verify(mac, &safe)?
    {
        return Err(match found.any_opens(&safe, &mut opener)? {
            true => PfxError::Damaged("the password opens it, but its MAC does not fit"),
            false => opener.refusal(),
        });
    }
    found.read(&safe, &mut opener)?;
    Ok(Pfx {
        keys: found.keys,
        certificates: found.certificates,
        others: found.others,
        protection: Protection {
            mac: mac.map(|data| data.mac),
            encryptions: found.encryptions,
            keys_in_clear: found.keys_in_clear,
            certificates_in_clear: found.certificates_in_clear,
            is_ber: found.is_ber,
            octets_after: document.octets_after(),
            spelling: opener.spelling(),
        },
    })
}

/// Decrypts a private key that came alone: an `EncryptedPrivateKeyInfo` (RFC 5958 section 3),
/// which in PEM is an `ENCRYPTED PRIVATE KEY`.
///
/// # Errors
/// As [`read`].
pub fn decrypt_key(der: &[u8], password: Option<&str>) -> Result<DecryptedKey, PfxError> {
    decrypt_key_within(der, password, MAX_ITERATIONS)
}

/// As [`decrypt_key`], with another bound for the iterations.
///
/// # Errors
/// As [`read`].
pub fn decrypt_key_within(
    der: &[u8],
    password: Option<&str>,
    iterations: u32,
) -> Result<DecryptedKey, PfxError> {
    if der.len() > MAX_SIZE {
        return Err(Bound::Size.into());
    }
    let mut opener = Opener::new(password, iterations);
    let document = Document::parse(der, &mut opener.limits)?;
    let (scheme, content) = Found::default().encrypted_key(document.root())?;
    let pkcs8 = open_key(&scheme, &content, &mut opener)?;
    Ok(DecryptedKey {
        pkcs8,
        encryption: scheme.encryption,
        spelling: opener.spelling().unwrap_or(Spelling::AsGiven),
    })
}

/// Whether it begins with the header of a PFX, so that what does not fit after it is damage.
fn begins_like_pfx(file: &[u8]) -> bool {
    let [SEQUENCE, first, rest @ ..] = file else {
        return false;
    };
    let count = match first {
        0x81..0x85 => usize::from(first & 0x7f),
        _ => 0,
    };
    rest.get(count..)
        .is_some_and(|inner| inner.starts_with(&[INTEGER, 1, 3]))
}

/// What else is handed in as a PFX.
fn looks_like(file: &[u8]) -> &'static str {
    const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    let is_base64 = |octet: &u8| octet.is_ascii_alphanumeric() || b"+/=\r\n".contains(octet);
    let head = file.get(..20).unwrap_or(file);
    match file {
        [] => "it is empty",
        [b'-', b'-', b'-', ..] | [b'B', b'a', b'g', b' ', ..] => "it is PEM text",
        [b'M', b'I', ..] if file.iter().all(is_base64) => "it is base64 text; decode it first",
        [0xfe, 0xed, 0xfe, 0xed, ..] => {
            "it is a Java key store (JKS); convert it with `keytool -importkeystore`"
        }
        [SEQUENCE, ..] if head.windows(SIGNED_DATA.len()).any(|w| w == SIGNED_DATA) => {
            "it is a PKCS#7 file (.p7b), which has certificates and no key"
        }
        _ => "it does not begin like one; it may be a bare certificate or key",
    }
}
