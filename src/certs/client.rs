//! Certificates of clients: whose authorities count, and what a certificate says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_parser::asn1_rs::{Oid, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT,
};
use x509_parser::x509::{AttributeTypeAndValue, X509Name, X509Version};

use super::crypto::{provider, sha256};
use super::file::read_authorities;
use crate::clock::Timestamp;
use crate::model::{CertificatePart, ClientCertificate, Finding, Place, Severity};

/// A file of authorities whose certificates count.
#[derive(Debug)]
pub struct ClientAuthorities {
    /// The file.
    pub file: PathBuf,
    /// What they are called, each with the beginning of its SHA-256.
    pub names: Vec<String>,
    /// Those that have ended, which do not count.
    pub warnings: Vec<Finding>,
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Why a certificate that a client has shown does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTrusted {
    /// It cannot be read.
    #[error("it cannot be read")]
    Malformed,
    /// It has ended, or one has that stands between it and its authority.
    #[error("it has expired")]
    Expired,
    /// It has not begun.
    #[error("it is not valid yet")]
    NotYet,
    /// None of the authorities has issued it.
    #[error("none of the authorities in `client_certificates.ca` has issued it")]
    Issuer,
    /// It is for something else.
    #[error("it is not for clients (its extended key usage)")]
    Purpose,
    /// Something else is wrong with it.
    #[error("{0}")]
    Other(String),
}

impl From<Error> for NotTrusted {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidCertificate(why) => match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::Expired
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYet
                }
                // Of an authority's name, and not by its key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Issuer,
                CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. } => Self::Purpose,
                CertificateError::BadEncoding => Self::Malformed,
                why => Self::Other(Error::InvalidCertificate(why).to_string()),
            },
            error => Self::Other(error.to_string()),
        }
    }
}

impl ClientAuthorities {
    /// Reads a file of authorities.
    ///
    /// # Errors
    /// What keeps them from being used, at the place that names the file.
    pub fn load(file: &Path, place: &Place, now: Timestamp) -> Result<Self, Box<Finding>> {
        let (roots, names, warnings) = authorities(file, place, now)?;
        let roots = Arc::new(roots);
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider());
        let verifier = builder.build().map_err(|error| {
            let what = format!("{} cannot be used: {error}", file.display());
            let remedy = "copy the file again from where it was issued";
            Box::new(Finding::error("certificate_damaged", what, remedy).at(place.clone()))
        })?;
        Ok(Self {
            file: file.to_owned(),
            names,
            warnings,
            roots,
            verifier,
        })
    }

    /// Whether it is the same file with the same authorities.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.file == other.file && self.roots.roots == other.roots.roots
    }

    /// Judges a chain, the leaf first, at this time.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn check(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), NotTrusted> {
        let (leaf, others) = chain.split_first().ok_or(NotTrusted::Malformed)?;
        let seconds = u64::try_from(now.0).map_err(|_| NotTrusted::NotYet)?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        self.verifier.verify_client_cert(leaf, others, now)?;
        Ok(())
    }

    /// What a server asks its clients with. It lets in whoever has the key of the certificate that is
    /// shown, or shows none: who that is and whether it counts is judged with each request
    /// ([`Self::check`]), which can be answered in words; a handshake that is broken off tells a person
    /// nothing.
    #[must_use]
    pub fn asking(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Asking {
            hints: self.verifier.root_hint_subjects().to_vec(),
            algorithms: provider().signature_verification_algorithms,
        })
    }
}

type Read = (RootCertStore, Vec<String>, Vec<Finding>);

/// Those of a file that count. SECURITY: whoever has the key of any certificate there could issue others by
/// it, so one that is no authority's is refused; and what has ended vouches for nobody.
fn authorities(file: &Path, place: &Place, now: Timestamp) -> Result<Read, Box<Finding>> {
    let error = |code, what: String, remedy: &str| {
        Box::new(Finding::error(code, what, remedy).at(place.clone()))
    };
    let (mut roots, mut names, mut warnings) = (RootCertStore::empty(), Vec::new(), Vec::new());
    for der in read_authorities(file, place)? {
        let shown = file.display();
        let damaged = || {
            let what = format!("a certificate in {shown} cannot be understood");
            error(
                "certificate_damaged",
                what,
                "copy the file again from where it was issued",
            )
        };
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| damaged())?;
        let digest = sha256(&der);
        let name = format!("{} ({})", parsed.subject(), hexadecimal(&digest[..4]));
        if !parsed.is_ca() && parsed.version() == X509Version::V3 {
            return Err(error(
                "no_authority",
                format!("`{name}` in {shown} is no authority's certificate (no `CA:TRUE`)"),
                "write the certificate of whoever issues those that clients show; a single one is let in \
                 by `certificate: { fingerprint: … }` in a rule",
            ));
        }
        let ends = Timestamp(parsed.validity().not_after.timestamp());
        if ends < now {
            let what = format!(
                "`{name}` in {shown} ended at {}: it does not count",
                ends.to_rfc3339()
            );
            let remedy = "remove it, or bring its successor";
            warnings.push(Finding {
                severity: Severity::Warning,
                ..*error("certificate_expired", what, remedy)
            });
            continue;
        }
        names.push(name);
        roots.add(der).map_err(|_| damaged())?;
    }
    if roots.is_empty() {
        let what = format!("every authority in {} has ended", file.display());
        return Err(error("certificate_expired", what, "bring its successor"));
    }
    Ok((roots, names, warnings))
}

/// Certificates that a client may show: its own, and those up to its authority.
const MOST: usize = 5;

/// Octets of all of them.
const LARGEST: usize = 16 * 1024;

/// Names in one of them.
const MOST_NAMES: usize = 256;

/// Asks for a certificate and believes nothing but its key.
#[derive(Debug)]
struct Asking {
    /// The authorities, by which browsers choose among the certificates they have.
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Asking {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // SECURITY: nobody is known yet, and each certificate more is another way to try up to an
        // authority: what no authority issues is not even kept.
        let octets = others.iter().map(|one| one.len()).sum::<usize>() + leaf.len();
        if others.len() >= MOST || octets > LARGEST {
            let error = CertificateError::ApplicationVerificationFailure;
            return Err(Error::InvalidCertificate(error));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Reads what a client has shown, the leaf first.
///
/// # Errors
/// Where the leaf cannot be read.
pub fn read_client_certificate(
    chain: &[CertificateDer<'_>],
) -> Result<ClientCertificate, NotTrusted> {
    let (leaf, others) = chain.split_first().ok_or(NotTrusted::Malformed)?;
    let parsed = x509_parser::parse_x509_certificate(leaf);
    let (rest, parsed) = parsed.map_err(|_| NotTrusted::Malformed)?;
    if !rest.is_empty() {
        return Err(NotTrusted::Malformed);
    }
    let validity = parsed.validity();
    Ok(ClientCertificate {
        parts: parts(leaf, &parsed)?,
        not_after: validity.not_after.timestamp(),
        der: leaf.as_ref().into(),
        chain: others.iter().map(|one| one.as_ref().into()).collect(),
    })
}

type Parts = Vec<(CertificatePart, Option<Box<str>>)>;

fn parts(leaf: &[u8], parsed: &X509Certificate<'_>) -> Result<Parts, NotTrusted> {
    use CertificatePart as P;
    let mut parts = Vec::new();
    let (subject, issuer) = (parsed.subject(), parsed.issuer());
    for (name, oid, part) in [
        (subject, OID_X509_COMMON_NAME, P::CommonName),
        (subject, OID_X509_ORGANIZATION_NAME, P::Organization),
        (subject, OID_X509_ORGANIZATIONAL_UNIT, P::OrganizationalUnit),
        (issuer, OID_X509_COMMON_NAME, P::Issuer),
    ] {
        parts.extend(texts(name, &oid).map(|text| (part, text)));
    }
    let names = parsed.subject_alternative_name();
    let names = names.map_err(|_| NotTrusted::Malformed)?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    if names.clone().count() > MOST_NAMES {
        return Err(NotTrusted::Other(format!(
            "it has more than {MOST_NAMES} names"
        )));
    }
    for name in names {
        let (part, text) = match name {
            GeneralName::DNSName(text) => (P::DnsName, *text),
            GeneralName::RFC822Name(text) => (P::Email, *text),
            GeneralName::URI(text) => (P::Uri, *text),
            // Its letters cannot be read: whether it is what somebody wants nobody knows.
            GeneralName::Invalid(Tag(1), _) => {
                parts.push((P::Email, None));
                continue;
            }
            GeneralName::Invalid(Tag(2), _) => {
                parts.push((P::DnsName, None));
                continue;
            }
            GeneralName::Invalid(Tag(6), _) => {
                parts.push((P::Uri, None));
                continue;
            }
            _ => continue,
        };
        parts.push((part, Some(text.into())));
    }
    parts.push((P::Serial, Some(serial(parsed.raw_serial()).into())));
    parts.push((P::Fingerprint, Some(hexadecimal(&sha256(leaf)).into())));
    Ok(parts)
}

/// The values of an attribute of a name; `None` for one whose letters cannot be read.
fn texts<'n>(
    name: &'n X509Name<'_>,
    oid: &'n Oid<'static>,
) -> impl Iterator<Item = Option<Box<str>>> + 'n {
    let own = name
        .iter_attributes()
        .filter(move |one| one.attr_type() == oid);
    let text = |one: &AttributeTypeAndValue<'_>| one.as_str().ok().map(Into::into);
    own.map(text)
}

/// As other programs print it: the octet that keeps a number positive in DER is not part of it.
fn serial(octets: &[u8]) -> String {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    let from = zeros.min(octets.len().saturating_sub(1));
    hexadecimal(&octets[from..])
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
        KeyPair, SanType,
    };
    use tempfile::TempDir;
    use time::OffsetDateTime;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        (pem, Issuer::new(params, key))
    }

    fn leaf(
        issuer: &Issuer<'_, KeyPair>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<CertificateDer<'static>> {
        let at = |t: i64| OffsetDateTime::from_unix_timestamp(t).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "kiosk-7");
        name.push(DnType::OrganizationName, "Example");
        params.subject_alt_names = vec![
            SanType::DnsName("kiosk-7.corp.test".try_into().unwrap()),
            SanType::Rfc822Name("kiosk@corp.test".try_into().unwrap()),
            SanType::URI("urn:kiosk:7".try_into().unwrap()),
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = at(NOW.0 - 60);
        params.not_after = at(NOW.0 + 60);
        params.serial_number = Some(vec![0x0a, 0x1b].into());
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        vec![params.signed_by(&key, issuer).unwrap().der().clone()]
    }

    #[test]
    fn a_certificate_counts_by_its_issuer_its_dates_and_its_purpose() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("ca.pem");
        let (pem, own) = authority("Devices");
        let (_, other) = authority("Devices");
        std::fs::write(&file, pem).unwrap();
        let trusted = ClientAuthorities::load(&file, &Place::default(), NOW).unwrap();
        let good = leaf(&own, |_| {});
        for (what, chain, now, expected) in [
            ("good", good.clone(), NOW, Ok(())),
            (
                "late",
                good.clone(),
                Timestamp(NOW.0 + 61),
                Err(NotTrusted::Expired),
            ),
            (
                "early",
                good.clone(),
                Timestamp(NOW.0 - 61),
                Err(NotTrusted::NotYet),
            ),
            // The name alone proves nothing.
            ("other", leaf(&other, |_| {}), NOW, Err(NotTrusted::Issuer)),
            (
                "server",
                leaf(&own, |params| {
                    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                }),
                NOW,
                Err(NotTrusted::Purpose),
            ),
            // For anything.
            (
                "any",
                leaf(&own, |params| params.extended_key_usages = Vec::new()),
                NOW,
                Ok(()),
            ),
            ("none", Vec::new(), NOW, Err(NotTrusted::Malformed)),
            (
                "odd",
                vec![CertificateDer::from(vec![0x30, 0])],
                NOW,
                Err(NotTrusted::Malformed),
            ),
        ] {
            assert_eq!(trusted.check(&chain, now), expected, "{what}");
        }
        assert!(
            trusted.is_same_as(&ClientAuthorities::load(&file, &Place::default(), NOW).unwrap())
        );
        std::fs::write(&file, authority("Devices").0).unwrap();
        assert!(
            !trusted.is_same_as(&ClientAuthorities::load(&file, &Place::default(), NOW).unwrap())
        );
    }

    #[test]
    fn what_is_no_authority_and_what_has_ended_vouches_for_nobody() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("ca.pem");
        let (pem, own) = authority("Devices");
        let pem_of = |der: &CertificateDer<'_>| super::super::pem("CERTIFICATE", der);
        let load = |text: String| {
            std::fs::write(&file, text).unwrap();
            ClientAuthorities::load(&file, &Place::default(), NOW)
        };
        let device = pem_of(&leaf(&own, |_| {})[0]);
        assert_eq!(load(device.clone()).unwrap_err().code, "no_authority");
        assert_eq!(
            load(format!("{pem}{device}")).unwrap_err().code,
            "no_authority"
        );
        let at = |t: i64| OffsetDateTime::from_unix_timestamp(t).unwrap();
        let old = leaf(&own, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_after = at(NOW.0 - 1);
        });
        let old = pem_of(&old[0]);
        assert_eq!(load(old.clone()).unwrap_err().code, "certificate_expired");
        let both = load(format!("{old}{pem}")).unwrap();
        assert_eq!((both.names.len(), both.warnings.len()), (1, 1));
        assert!(
            both.names[0].starts_with("CN=Devices ("),
            "{:?}",
            both.names
        );
        assert_eq!(load(String::new()).unwrap_err().code, "file_empty");
        assert_eq!(load("nothing".to_owned()).unwrap_err().code, "file_unknown");
    }

    #[test]
    fn a_serial_number_is_written_as_other_programs_print_it() {
        for (octets, expected) in [
            (&[0x00, 0x9f, 0x01][..], "9f01"),
            (&[0x0a, 0x1b], "0a1b"),
            (&[0x00], "00"),
            (&[0x00, 0x00, 0x01], "01"),
            (&[], ""),
        ] {
            assert_eq!(serial(octets), expected);
        }
    }

    #[test]
    fn what_no_authority_issues_is_not_looked_at() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("ca.pem");
        let (pem, own) = authority("Devices");
        std::fs::write(&file, pem).unwrap();
        let asking = ClientAuthorities::load(&file, &Place::default(), NOW)
            .unwrap()
            .asking();
        let leaf = leaf(&own, |_| {}).remove(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let takes =
            |others: &[CertificateDer<'_>]| asking.verify_client_cert(&leaf, others, now).is_ok();
        assert!(takes(&[]) && takes(&vec![leaf.clone(); MOST - 1]));
        assert!(!takes(&vec![leaf.clone(); MOST]));
        assert!(!takes(&[CertificateDer::from(vec![0x30; LARGEST])]));
        let many = self::leaf(&own, |params| {
            let name = |n: usize| SanType::DnsName(format!("n{n}.test").try_into().unwrap());
            params.subject_alt_names = (0..=MOST_NAMES).map(name).collect();
        });
        assert!(matches!(
            read_client_certificate(&many),
            Err(NotTrusted::Other(_))
        ));
    }

    #[test]
    fn what_a_certificate_says_is_read() {
        use CertificatePart as P;
        let (_, own) = authority("Devices");
        let chain = leaf(&own, |params| {
            params
                .distinguished_name
                .push(DnType::OrganizationalUnitName, "Lobby");
        });
        let read = read_client_certificate(&chain).unwrap();
        for (part, expected) in [
            (P::CommonName, "kiosk-7"),
            (P::Organization, "Example"),
            (P::OrganizationalUnit, "Lobby"),
            (P::DnsName, "kiosk-7.corp.test"),
            (P::Email, "kiosk@corp.test"),
            (P::Uri, "urn:kiosk:7"),
            (P::Issuer, "Devices"),
            (P::Serial, "0a1b"),
        ] {
            let values: Vec<_> = read.values(part).collect();
            assert_eq!(values, [expected], "{}", part.as_str());
        }
        let fingerprint = read.values(P::Fingerprint).next().unwrap();
        assert_eq!(fingerprint, hexadecimal(&sha256(&chain[0])));
        assert_eq!(read.not_after, NOW.0 + 60);
        for bad in [&[][..], &[CertificateDer::from(vec![1, 2, 3])]] {
            assert_eq!(read_client_certificate(bad), Err(NotTrusted::Malformed));
        }
    }
}
