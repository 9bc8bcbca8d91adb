//! What a certificate says, as far as a diagnosis asks.

use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, ServerName};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS, OID_X509_COMMON_NAME};
use x509_parser::x509::X509Name;

use super::kind::{KeyKind, signature};
use super::list::places;
use crate::certs::sha256;
use crate::clock::Timestamp;
use crate::model::printable;

/// The longest text of a certificate that is shown, in characters.
///
/// SECURITY: whoever made the certificate wrote it, and it stands on terminals and in logs.
pub(super) const LONGEST: usize = 256;

/// How many unknown extensions are told of.
const MOST: usize = 12;

/// A certificate that can be understood.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Whole, as it was given.
    pub der: CertificateDer<'static>,
    /// What it is for, for reports: its common name, or the whole subject, or its first name.
    pub subject: String,
    /// Who issued it, in the same way.
    pub issuer: String,
    /// The first second in which it is valid.
    pub not_before: Timestamp,
    /// The last second in which it is valid.
    pub not_after: Timestamp,
    /// The serial number, hexadecimal with colons.
    pub serial: String,
    /// The common name of the subject.
    pub common_name: Option<String>,
    /// The names, addresses and the rest of `subjectAltName`; `None` where there is none.
    pub names: Option<Vec<Name>>,
    /// The key it is for.
    pub key: KeyKind,
    /// How it is signed, in words.
    pub signature: String,
    /// Whether it may issue others (`CA:TRUE`).
    pub is_authority: bool,
    /// Whether TLS clients cannot read `subjectAltName`, so that no name of it counts.
    pub(super) names_are_damaged: bool,
    pub(super) signature_is_weak: bool,
    pub(super) public_key: Vec<u8>,
    pub(super) subject_raw: Vec<u8>,
    pub(super) issuer_raw: Vec<u8>,
    pub(super) key_id: Option<Vec<u8>>,
    pub(super) issuer_key_id: Option<Vec<u8>>,
    pub(super) usage: Option<Usage>,
    pub(super) purposes: Option<Purposes>,
    /// Where the issuer's certificate can be fetched (RFC 5280, 4.2.2.1).
    pub(super) issuer_at: Vec<String>,
    /// Where the list is fetched that tells whether it is revoked (RFC 5280, 4.2.1.13).
    pub(super) lists_at: Vec<String>,
    pub(super) serial_raw: Vec<u8>,
    pub(super) unknown_critical: Vec<String>,
    pub(super) version: u32,
    pub(super) must_staple: bool,
    pub(super) serial_is_positive: bool,
}

/// One of the names in `subjectAltName`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Name {
    /// A DNS name, as it is written.
    Dns(String),
    /// An address.
    Address(IpAddr),
    /// What no URL's host can be: the kind.
    Other(&'static str),
}

/// Of `keyUsage`, what matters to a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) signs: bool,
    pub(super) issues: bool,
    pub(super) lists: bool,
}

/// Of `extendedKeyUsage`, what matters to a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purposes {
    pub(super) servers: bool,
    pub(super) clients: bool,
    pub(super) any: bool,
}

impl Certificate {
    /// Reads one certificate, DER. `None` where it cannot be understood.
    #[must_use]
    pub fn read(der: CertificateDer<'static>) -> Option<Self> {
        let (rest, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut extensions = Extensions::default();
        for extension in parsed.extensions() {
            extensions.take(
                extension.parsed_extension(),
                extension.critical,
                &extension.oid.to_id_string(),
            )?;
        }
        let (signature, signature_is_weak) = signature(&parsed.signature_algorithm);
        let names = extensions.names;
        let subject = shown(parsed.subject())
            .or_else(|| {
                names
                    .as_ref()
                    .and_then(|names| names.first().map(Name::to_text))
            })
            .unwrap_or_else(|| "without a name".to_owned());
        let read = Self {
            subject,
            issuer: shown(parsed.issuer()).unwrap_or_else(|| "without a name".to_owned()),
            not_before: Timestamp(parsed.validity().not_before.timestamp()),
            not_after: Timestamp(parsed.validity().not_after.timestamp()),
            serial: printable(&parsed.raw_serial_as_string(), LONGEST),
            common_name: common_name(parsed.subject()),
            names,
            key: KeyKind::of(parsed.public_key()),
            signature,
            is_authority: extensions.is_authority,
            names_are_damaged: names_are_damaged(&der),
            signature_is_weak,
            public_key: parsed.public_key().raw.to_vec(),
            subject_raw: parsed.subject().as_raw().to_vec(),
            issuer_raw: parsed.issuer().as_raw().to_vec(),
            key_id: extensions.key_id,
            issuer_key_id: extensions.issuer_key_id,
            usage: extensions.usage,
            purposes: extensions.purposes,
            issuer_at: extensions.issuer_at,
            lists_at: extensions.lists_at,
            serial_raw: parsed.raw_serial().to_vec(),
            unknown_critical: extensions.unknown_critical,
            version: version(&parsed),
            must_staple: extensions.must_staple,
            serial_is_positive: is_positive(parsed.raw_serial()),
            der: CertificateDer::from(Vec::new()),
        };
        Some(Self { der, ..read })
    }

    /// Whether it says that it issued itself.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject_raw == self.issuer_raw
            && (self.issuer_key_id.is_none() || self.issuer_key_id == self.key_id)
    }

    /// Whether `other` can be its issuer, by names and key identifiers.
    pub(super) fn may_be_issued_by(&self, other: &Self) -> bool {
        let ids_differ = self
            .issuer_key_id
            .as_ref()
            .zip(other.key_id.as_ref())
            .is_some_and(|(wanted, has)| wanted != has);
        self.issuer_raw == other.subject_raw && !ids_differ
    }

    /// The key it is for (SubjectPublicKeyInfo, DER).
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Where one can fetch the list that tells whether it is revoked; `None` where it names no such place.
    #[must_use]
    pub fn list_at(&self) -> Option<String> {
        let is_of_web = |place: &&String| place.starts_with("http:") || place.starts_with("https:");
        let place = self.lists_at.iter().find(is_of_web)?;
        Some(printable(place, LONGEST))
    }

    /// SHA-256 of the whole, hexadecimal with colons.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = sha256(&self.der);
        let octets: Vec<_> = hash.iter().map(|octet| format!("{octet:02X}")).collect();
        octets.join(":")
    }
}

impl Name {
    /// As it stands in a report.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Dns(name) => name.clone(),
            Self::Address(address) => address.to_string(),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }
}

#[derive(Debug, Default)]
struct Extensions {
    names: Option<Vec<Name>>,
    is_authority: bool,
    key_id: Option<Vec<u8>>,
    issuer_key_id: Option<Vec<u8>>,
    usage: Option<Usage>,
    purposes: Option<Purposes>,
    issuer_at: Vec<String>,
    lists_at: Vec<String>,
    unknown_critical: Vec<String>,
    must_staple: bool,
}

/// TLS feature (RFC 7633), which x509-parser does not read: `status_request` in it is "must-staple".
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";

impl Extensions {
    /// `None` where the extension is damaged.
    fn take(&mut self, extension: &ParsedExtension<'_>, critical: bool, oid: &str) -> Option<()> {
        match extension {
            ParsedExtension::ParseError { .. } => return None,
            ParsedExtension::SubjectAlternativeName(names) => {
                self.names = Some(names.general_names.iter().map(name).collect());
            }
            ParsedExtension::BasicConstraints(constraints) => self.is_authority = constraints.ca,
            ParsedExtension::SubjectKeyIdentifier(id) => self.key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.issuer_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::KeyUsage(usage) => {
                self.usage = Some(Usage {
                    signs: usage.digital_signature(),
                    issues: usage.key_cert_sign(),
                    lists: usage.crl_sign(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(purposes) => {
                self.purposes = Some(Purposes {
                    servers: purposes.server_auth,
                    clients: purposes.client_auth,
                    any: purposes.any,
                });
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                let places = access.accessdescs.iter();
                let places =
                    places.filter(|a| a.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS);
                self.issuer_at = places
                    .filter_map(|a| match &a.access_location {
                        GeneralName::URI(uri) => Some(printable(uri, LONGEST)),
                        _ => None,
                    })
                    .collect();
            }
            ParsedExtension::UnsupportedExtension { .. } if oid == TLS_FEATURE => {
                self.must_staple = true;
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                let points = points.points.iter();
                let all = points.flat_map(|one| places(one.distribution_point.as_ref()));
                self.lists_at = all.collect();
            }
            // What webpki has a rule for (RFC 5280, 4.2) is not unknown.
            ParsedExtension::NameConstraints(_)
            | ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::PolicyConstraints(_) => {}
            _ if critical && self.unknown_critical.len() < MOST => {
                self.unknown_critical.push(printable(oid, LONGEST));
            }
            _ => {}
        }
        Some(())
    }
}

fn name(name: &GeneralName<'_>) -> Name {
    match name {
        GeneralName::DNSName(name) => {
            let shown = printable(name, LONGEST);
            // SECURITY: without what acts on a terminal it would be another name.
            if shown == *name {
                Name::Dns(shown)
            } else {
                Name::Other("a damaged name")
            }
        }
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            address.map_or(Name::Other("a damaged address"), Name::Address)
        }
        GeneralName::RFC822Name(_) => Name::Other("an e-mail address"),
        GeneralName::URI(_) => Name::Other("a URI"),
        GeneralName::DirectoryName(_) => Name::Other("a directory name"),
        GeneralName::OtherName(..) => Name::Other("another kind of name"),
        GeneralName::Invalid(..) => Name::Other("a damaged name"),
        _ => Name::Other("a name of another kind"),
    }
}

/// Whether webpki can read names no further: it is stricter with DER than x509-parser, and has the last word.
fn names_are_damaged(der: &CertificateDer<'_>) -> bool {
    let Ok(nobody) = ServerName::try_from("nobody.invalid") else {
        return true;
    };
    webpki::EndEntityCert::try_from(der).is_ok_and(|entity| {
        let verdict = entity.verify_is_valid_for_subject_name(&nobody);
        !matches!(verdict, Ok(()) | Err(webpki::Error::CertNotValidForName(_)))
    })
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    let mut names = name.iter_by_oid(&OID_X509_COMMON_NAME);
    Some(printable(names.next()?.as_str().ok()?, LONGEST))
}

/// The common name, or all of it.
pub(super) fn shown(name: &X509Name<'_>) -> Option<String> {
    let whole = || Some(printable(&name.to_string(), LONGEST)).filter(|text| !text.is_empty());
    common_name(name)
        .filter(|text| !text.is_empty())
        .or_else(whole)
}

/// As RFC 5280 4.1.2.2 wants it.
fn is_positive(integer: &[u8]) -> bool {
    integer.first().is_some_and(|first| *first < 0x80) && integer.iter().any(|octet| *octet > 0)
}

fn version(parsed: &X509Certificate<'_>) -> u32 {
    parsed.version().0.saturating_add(1)
}
