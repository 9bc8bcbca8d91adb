//! What is in a file: keys, certificates and others, each in a bag with its attributes
//! (RFC 7292 section 4.2).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::ber::{Document, Element, SET};
use super::derive::{identifier, sequence};
use super::encryption::{Encryption, Scheme};
use super::opener::Opener;
use super::{Bound, Part, PfxError};

/// What a bag says of what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// A name for people. As the file has it: anything may be in it, so escape it where it is shown.
    pub friendly_name: Option<String>,
    /// What ties a key to its certificate: both have the same.
    pub local_key_id: Option<Vec<u8>>,
    /// The Microsoft provider that the key was kept by (1.3.6.1.4.1.311.17.1).
    pub provider: Option<String>,
    /// It was a key of the machine, not of a user (1.3.6.1.4.1.311.17.2).
    pub is_local_machine: bool,
}

/// A private key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyBag {
    /// PKCS#8 as DER.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// What the file says of it.
    pub attributes: Attributes,
}

impl fmt::Debug for KeyBag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("KeyBag");
        shown.field("attributes", &self.attributes);
        shown.finish_non_exhaustive()
    }
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateBag {
    /// The X.509 certificate as the file has it. Whether it is one has not been looked at.
    pub der: Vec<u8>,
    /// What the file says of it.
    pub attributes: Attributes,
}

/// A bag of no use here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherBag {
    /// A list of revoked certificates.
    Crl,
    /// A secret of any kind.
    Secret,
    /// A certificate that is not X.509; SDSI is the one that has a name.
    OtherCertificate,
    /// Of a kind with this identifier.
    Unknown(String),
}

impl fmt::Display for OtherBag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crl => f.write_str("revocation list"),
            Self::Secret => f.write_str("secret"),
            Self::OtherCertificate => f.write_str("certificate other than X.509"),
            Self::Unknown(oid) => write!(f, "bag of kind {oid}"),
        }
    }
}

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) keys: Vec<KeyBag>,
    pub(super) certificates: Vec<CertificateBag>,
    pub(super) others: BTreeMap<OtherBag, usize>,
    pub(super) encryptions: Vec<Encryption>,
    pub(super) keys_in_clear: usize,
    pub(super) certificates_in_clear: usize,
    pub(super) is_ber: bool,
}

impl Found {
    /// Reads an `AuthenticatedSafe`: parts, each in clear or encrypted.
    pub(super) fn read(&mut self, safe: &[u8], opener: &mut Opener) -> Result<(), PfxError> {
        let safe = Document::parse_whole(safe, &mut opener.limits)?;
        self.is_ber |= !safe.root().is_der();
        for part in sequence(safe.root())? {
            self.read_part(part, opener)?;
        }
        Ok(())
    }

    /// Whether any part opens, of a file whose MAC does not fit: then it is not the password that
    /// is wrong.
    ///
    /// # Errors
    /// Where it has no parts, or one of them shows that the file is damaged or too much.
    pub(super) fn any_opens(&mut self, safe: &[u8], opener: &mut Opener) -> Result<bool, PfxError> {
        let safe = Document::parse_whole(safe, &mut opener.limits)?;
        for part in sequence(safe.root())? {
            match self.read_part(part, opener) {
                Err(PfxError::TooMuch(Bound::Iterations)) => break,
                Err(e @ (PfxError::Damaged(_) | PfxError::TooMuch(_))) => return Err(e),
                _ if opener.spelling().is_some() => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    fn read_part(&mut self, part: Element<'_, '_>, opener: &mut Opener) -> Result<(), PfxError> {
        // It counts as one: of an altered file, every part is tried.
        opener.limits.bag()?;
        let (oid, mut rest) = identifier(part)?;
        match oid.as_str() {
            "1.2.840.113549.1.7.1" => {
                let contents = explicit(rest.need()?)?.octet_string()?;
                self.read_contents(&contents, false, opener)
            }
            "1.2.840.113549.1.7.6" => {
                let mut data = sequence(explicit(rest.need()?)?)?;
                data.need()?.number()?;
                let mut info = sequence(data.need()?)?;
                info.need()?.oid()?;
                let scheme = self.scheme(info.need()?)?;
                let content = info.need()?.octets_tagged(0x80)?;
                let plain = opener.open(&scheme, &content, Part::Contents)?;
                self.read_contents(&plain, true, opener)
            }
            other => {
                let name = match other {
                    "1.2.840.113549.1.7.3" => "a certificate's key (enveloped data)",
                    _ => "another kind of content",
                };
                Err(PfxError::without_password(name, other))
            }
        }
    }

    fn scheme(&mut self, algorithm: Element<'_, '_>) -> Result<Scheme, PfxError> {
        let scheme = Scheme::read(algorithm)?;
        if !self.encryptions.contains(&scheme.encryption) {
            self.encryptions.push(scheme.encryption);
        }
        Ok(scheme)
    }

    fn read_contents(
        &mut self,
        contents: &[u8],
        is_encrypted: bool,
        opener: &mut Opener,
    ) -> Result<(), PfxError> {
        let contents = Document::parse_whole(contents, &mut opener.limits)?;
        self.is_ber |= !contents.root().is_der();
        self.read_bags(contents.root(), is_encrypted, opener)
    }

    /// Reads `SafeContents`. They may be nested, no deeper than a document is.
    fn read_bags(
        &mut self,
        bags: Element<'_, '_>,
        is_encrypted: bool,
        opener: &mut Opener,
    ) -> Result<(), PfxError> {
        for bag in sequence(bags)? {
            opener.limits.bag()?;
            let (oid, mut rest) = identifier(bag)?;
            let value = explicit(rest.need()?)?;
            let attributes = rest.next().map(read_attributes).transpose()?;
            let attributes = attributes.unwrap_or_default();
            let other = match oid.as_str() {
                "1.2.840.113549.1.12.10.1.1" => {
                    self.keys_in_clear += usize::from(!is_encrypted);
                    self.keys.push(KeyBag {
                        pkcs8: read_key(value)?,
                        attributes,
                    });
                    continue;
                }
                "1.2.840.113549.1.12.10.1.2" => {
                    let (scheme, content) = self.encrypted_key(value)?;
                    let pkcs8 = open_key(&scheme, &content, opener)?;
                    self.keys.push(KeyBag { pkcs8, attributes });
                    continue;
                }
                "1.2.840.113549.1.12.10.1.3" => {
                    let (oid, mut rest) = identifier(value)?;
                    if oid == "1.2.840.113549.1.9.22.1" {
                        let der = explicit(rest.need()?)?.octet_string()?.into_owned();
                        self.certificates_in_clear += usize::from(!is_encrypted);
                        self.certificates.push(CertificateBag { der, attributes });
                        continue;
                    }
                    OtherBag::OtherCertificate
                }
                "1.2.840.113549.1.12.10.1.6" => {
                    self.read_bags(value, is_encrypted, opener)?;
                    continue;
                }
                "1.2.840.113549.1.12.10.1.4" => OtherBag::Crl,
                "1.2.840.113549.1.12.10.1.5" => OtherBag::Secret,
                _ => OtherBag::Unknown(oid),
            };
            *self.others.entry(other).or_default() += 1;
        }
        Ok(())
    }

    /// Reads an `EncryptedPrivateKeyInfo` (RFC 5208 section 6).
    pub(super) fn encrypted_key<'a>(
        &mut self,
        info: Element<'_, 'a>,
    ) -> Result<(Scheme, Cow<'a, [u8]>), PfxError> {
        let mut parts = sequence(info)?;
        let scheme = self.scheme(parts.need()?)?;
        let content = parts.need()?.octet_string()?;
        Ok((scheme, content))
    }
}

pub(super) fn open_key(
    scheme: &Scheme,
    content: &[u8],
    opener: &mut Opener,
) -> Result<Zeroizing<Vec<u8>>, PfxError> {
    let plain = opener.open(scheme, content, Part::Key)?;
    let key = Document::parse_whole(&plain, &mut opener.limits)?;
    read_key(key.root())
}

/// A `PrivateKeyInfo` (RFC 5958 section 2) as DER, as far as its outline goes: what is in it
/// depends on its algorithm.
fn read_key(info: Element<'_, '_>) -> Result<Zeroizing<Vec<u8>>, PfxError> {
    let mut parts = sequence(info)?;
    parts.need()?.number()?;
    identifier(parts.need()?)?;
    parts.need()?.octet_string()?;
    Ok(info.der())
}

/// What is in `[0] EXPLICIT`.
pub(super) fn explicit<'d, 'a>(element: Element<'d, 'a>) -> Result<Element<'d, 'a>, PfxError> {
    let mut inner = element.within(0xa0, "an element has no content")?;
    Ok(inner.need()?)
}

/// Reads attributes; one that has another type of value than it should counts as not there.
fn read_attributes(set: Element<'_, '_>) -> Result<Attributes, PfxError> {
    let mut attributes = Attributes::default();
    for attribute in set.within(SET, "the attributes of a bag are no set")? {
        let (oid, mut rest) = identifier(attribute)?;
        let value = rest.next().and_then(|values| values.children().next());
        match oid.as_str() {
            "1.2.840.113549.1.9.20" => attributes.friendly_name = value.and_then(text),
            "1.2.840.113549.1.9.21" => {
                let id = value.and_then(|value| value.octet_string().ok());
                attributes.local_key_id = id.map(Cow::into_owned);
            }
            "1.3.6.1.4.1.311.17.1" => attributes.provider = value.and_then(text),
            "1.3.6.1.4.1.311.17.2" => attributes.is_local_machine = true,
            _ => {}
        }
    }
    Ok(attributes)
}

/// Text of the types that are written there: BMPString by the book, and UTF8String,
/// PrintableString and IA5String by some.
fn text(value: Element<'_, '_>) -> Option<String> {
    let octets = value.content();
    match value.tag() {
        0x1e => {
            let units = octets.as_chunks().0.iter().copied().map(u16::from_be_bytes);
            let characters = char::decode_utf16(units);
            Some(
                characters
                    .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        0x0c | 0x13 | 0x16 => Some(String::from_utf8_lossy(octets).into_owned()),
        _ => None,
    }
}
