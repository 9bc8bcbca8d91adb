//! A list of revoked certificates (RFC 5280, 5): what it says, and whether a key has signed it.

use rustls::pki_types::UnixTime;
use webpki::{BorrowedCertRevocationList, CertRevocationList, Error, RevocationReason};
use x509_parser::asn1_rs::{Any, FromDer as _, Tag};
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension, X509Extension};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::certificate::{Certificate, LONGEST, shown};
use crate::clock::Timestamp;
use crate::model::printable;

/// A list that can be understood. Whether it is genuine is not known until a key is found that has signed it.
#[derive(Debug, Clone)]
pub struct RevocationList {
    /// The file that it is from, for reports.
    pub file: String,
    /// Whose certificates it is about.
    pub issuer: String,
    /// The first second in which it counts.
    pub from: Timestamp,
    /// When the next one is to be there: from then on it does not count.
    pub until: Timestamp,
    /// How many certificates are on it.
    pub entries: usize,
    pub(super) issuer_raw: Vec<u8>,
    scope: Option<Scope>,
    der: Vec<u8>,
}

/// Which part of an authority's certificates a list is about (issuingDistributionPoint).
#[derive(Debug, Clone)]
struct Scope {
    servers_only: bool,
    authorities_only: bool,
    /// Where that part is fetched.
    places: Vec<String>,
}

/// What a list says of a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) since: Timestamp,
    pub(super) reason: Option<RevocationReason>,
}

/// Whether a key has signed a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    Right,
    Wrong,
    /// Nobody can tell: clients do not accept signatures of this kind.
    Unsupported,
}

impl RevocationList {
    /// Reads one list, DER.
    ///
    /// # Errors
    /// Why it cannot be used, in words about the list.
    pub fn read(der: Vec<u8>, file: String) -> Result<Self, &'static str> {
        let refused = |error| refused(&error, &der);
        let list = BorrowedCertRevocationList::from_der(&der).map_err(refused)?;
        let mut entries = 0;
        for entry in &list {
            entry.map_err(refused)?;
            entries += 1;
        }
        let head = Head::read(&der).ok_or(DAMAGED)?;
        let list = Self {
            file,
            issuer: head.issuer,
            from: head.from,
            until: head.until,
            entries,
            issuer_raw: head.issuer_raw,
            scope: head.scope,
            der: Vec::new(),
        };
        Ok(Self { der, ..list })
    }

    /// What it says of one of the issuer's certificates; `None` where that is not on it.
    pub(super) fn entry(&self, certificate: &Certificate) -> Option<Entry> {
        let list = BorrowedCertRevocationList::from_der(&self.der).ok()?;
        let list = CertRevocationList::from(list);
        let entry = list.find_serial(&certificate.serial_raw).ok()??;
        Some(Entry {
            since: timestamp(entry.revocation_date),
            reason: entry.reason_code,
        })
    }

    /// Whether a certificate that is not on it would be, were it revoked.
    pub(super) fn is_about(&self, certificate: &Certificate) -> bool {
        let Some(scope) = &self.scope else {
            return true;
        };
        let is_of_kind = match certificate.is_authority {
            true => !scope.servers_only,
            false => !scope.authorities_only,
        };
        let own = &certificate.lists_at;
        is_of_kind && (own.is_empty() || own.iter().any(|place| scope.places.contains(place)))
    }

    /// Which part of the issuer's certificates it is about, in words.
    pub(super) fn part(&self) -> String {
        let places = self.scope.iter().flat_map(|scope| &scope.places);
        let places: Vec<_> = places
            .take(3)
            .map(|place| printable(place, LONGEST))
            .collect();
        let kind = match &self.scope {
            Some(scope) if scope.servers_only => "no authorities, ",
            Some(scope) if scope.authorities_only => "authorities alone, ",
            _ => "",
        };
        format!("{kind}fetched at {}", places.join(", "))
    }

    /// Whether a key has signed it: SubjectPublicKeyInfo without its tag and length, as webpki keeps keys.
    pub(super) fn signed_by(&self, key: &[u8]) -> Signature {
        let (Some(signed), Some(key)) = (Signed::read(&self.der), Key::read(key)) else {
            return Signature::Wrong;
        };
        let mut fitting = webpki::ALL_VERIFICATION_ALGS
            .iter()
            .filter(|one| one.signature_alg_id().as_ref() == signed.algorithm)
            .filter(|one| one.public_key_alg_id().as_ref() == key.algorithm)
            .peekable();
        if fitting.peek().is_none() {
            return Signature::Unsupported;
        }
        let is_right = fitting.any(|one| {
            one.verify_signature(key.bits, signed.message, signed.signature)
                .is_ok()
        });
        match is_right {
            true => Signature::Right,
            false => Signature::Wrong,
        }
    }
}

const DAMAGED: &str = "it is damaged or cut off, or no revocation list";

const VERSION_1: &str = "it is of version 1, which is not read; `openssl ca -gencrl` makes version 2 where `crlnumber` is set";

/// Why webpki does not take a list, in words.
fn refused(error: &Error, der: &[u8]) -> &'static str {
    match error {
        Error::UnsupportedDeltaCrl => {
            "it has only what changed since another list (a delta list), which is not read"
        }
        Error::UnsupportedIndirectCrl => {
            "it is about the certificates of several authorities (an indirect list), which is not read"
        }
        Error::UnsupportedRevocationReasonsPartitioning => {
            "it is about some reasons alone, which is not read"
        }
        Error::UnsupportedCrlIssuingDistributionPoint => {
            "it is about a part of the certificates and does not say where that part is fetched, which is not read"
        }
        Error::UnsupportedCrlVersion => VERSION_1,
        Error::UnsupportedCriticalExtension => {
            "it has a critical extension that is not known, so that it may not be gone by"
        }
        _ if has_no_version(der) == Some(true) => VERSION_1,
        _ => DAMAGED,
    }
}

/// Only those of version 1 do not say which they are of.
fn has_no_version(der: &[u8]) -> Option<bool> {
    let (_, whole) = Any::from_der(der).ok()?;
    let (_, list) = Any::from_der(whole.data).ok()?;
    let (_, first) = Any::from_der(list.data).ok()?;
    Some(first.header.tag() == Tag::Sequence)
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

/// What stands before and after the entries.
struct Head {
    issuer: String,
    issuer_raw: Vec<u8>,
    from: Timestamp,
    until: Timestamp,
    scope: Option<Scope>,
}

impl Head {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, whole) = Any::from_der(der).ok()?;
        let (_, list) = Any::from_der(whole.data).ok()?;
        // Version and algorithm.
        let (rest, _) = Any::from_der(list.data).ok()?;
        let (rest, _) = Any::from_der(rest).ok()?;
        let (rest, issuer) = X509Name::from_der(rest).ok()?;
        let (rest, from) = ASN1Time::from_der(rest).ok()?;
        let (mut rest, until) = ASN1Time::from_der(rest).ok()?;
        let mut scope = None;
        while let Ok((after, part)) = Any::from_der(rest) {
            rest = after;
            // Not the entries: [0].
            if part.header.tag() == Tag(0) {
                scope = Scope::read(part.data)?;
            }
        }
        Some(Self {
            issuer: shown(&issuer).unwrap_or_else(|| "without a name".to_owned()),
            issuer_raw: issuer.as_raw().to_vec(),
            from: Timestamp(from.timestamp()),
            until: Timestamp(until.timestamp()),
            scope,
        })
    }
}

impl Scope {
    /// Looks for it among the extensions of a list. The outer `None`: something in them is damaged.
    fn read(extensions: &[u8]) -> Option<Option<Self>> {
        let (_, all) = Any::from_der(extensions).ok()?;
        let (mut rest, mut found) = (all.data, None);
        while !rest.is_empty() {
            let (after, extension) = X509Extension::from_der(rest).ok()?;
            rest = after;
            match extension.parsed_extension() {
                ParsedExtension::IssuingDistributionPoint(part) => {
                    found = Some(Self {
                        servers_only: part.only_contains_user_certs,
                        authorities_only: part.only_contains_ca_certs,
                        places: places(part.distribution_point.as_ref()),
                    });
                }
                ParsedExtension::ParseError { .. } => return None,
                _ => {}
            }
        }
        Some(found)
    }
}

/// The URIs of a distribution point.
pub(super) fn places(point: Option<&DistributionPointName<'_>>) -> Vec<String> {
    let Some(DistributionPointName::FullName(names)) = point else {
        return Vec::new();
    };
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    uris.collect()
}

/// What is signed of a list, and how.
struct Signed<'a> {
    message: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let (_, whole) = Any::from_der(der).ok()?;
        let (rest, _) = Any::from_der(whole.data).ok()?;
        let message = whole.data.get(..whole.data.len() - rest.len())?;
        let (rest, algorithm) = Any::from_der(rest).ok()?;
        let (_, signature) = Any::from_der(rest).ok()?;
        Some(Self {
            message,
            algorithm: algorithm.data,
            signature: whole_octets(signature.data)?,
        })
    }
}

/// A public key, and what kind it is of.
struct Key<'a> {
    algorithm: &'a [u8],
    bits: &'a [u8],
}

impl<'a> Key<'a> {
    fn read(info: &'a [u8]) -> Option<Self> {
        let (rest, algorithm) = Any::from_der(info).ok()?;
        let (_, bits) = Any::from_der(rest).ok()?;
        Some(Self {
            algorithm: algorithm.data,
            bits: whole_octets(bits.data)?,
        })
    }
}

/// The octets of a BIT STRING, none of whose bits is unused.
fn whole_octets(bits: &[u8]) -> Option<&[u8]> {
    match bits {
        [0, octets @ ..] => Some(octets),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::super::chain::inside;
    use super::*;

    fn list(name: &str) -> Vec<u8> {
        fs::read(format!("testdata/certs/lists/{name}.crl")).unwrap()
    }

    fn certificates(name: &str) -> Vec<Certificate> {
        let text = fs::read(format!("testdata/certs/files/{name}.pem")).unwrap();
        let all = CertificateDer::pem_slice_iter(&text).map(Result::unwrap);
        all.map(|der| Certificate::read(der).unwrap()).collect()
    }

    fn read(der: &[u8]) -> Result<RevocationList, &'static str> {
        RevocationList::read(der.to_vec(), "list".to_owned())
    }

    #[test]
    fn no_changed_list_is_signed_by_the_key() {
        let whole = list("revoked-part-right");
        let certificates = certificates("revoked-part-right");
        let key = inside(&certificates[1].public_key);
        let right = read(&whole).unwrap();
        assert_eq!(right.signed_by(key), Signature::Right);
        assert_eq!(
            (right.entries, right.issuer.as_str()),
            (1, "Example Issuing CA")
        );
        let other = inside(&certificates[0].public_key);
        assert_eq!(right.signed_by(other), Signature::Unsupported);
        let mut readable = 0;
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(list) = read(&changed) {
                readable += 1;
                assert_ne!(list.signed_by(key), Signature::Right, "bit {bit}");
            }
        }
        assert!(readable > 2000, "only {readable} can be read");
    }

    #[test]
    fn a_list_is_read_whole_or_not_at_all() {
        let whole = list("revoked-key");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} octets");
        }
        assert!(read(&[&*whole, b"\0"].concat()).is_err());
    }

    #[test]
    fn why_a_list_is_not_read_is_told() {
        for (name, words) in [
            ("revoked-delta", "delta list"),
            ("revoked-version-1", "version 1"),
            ("revoked-list-cut", "cut off"),
        ] {
            let told = read(&list(name)).unwrap_err();
            assert!(told.contains(words), "{name}: {told}");
        }
    }
}
