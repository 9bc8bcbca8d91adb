//! Certificates with their keys, and authorities to trust, from PEM files: each fault named with what
//! to do about it.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::client::ClientAuthorities;
use super::crypto::provider;
use super::pem_file::{Looked, is_encrypted, is_key, read, read_authorities, sections};
use crate::clock::Timestamp;
use crate::model::{CertificateFiles, Finding, Host, HostPattern, Place, Severity};

/// A certificate ready to serve, and what it is for.
#[derive(Debug, Clone)]
pub struct LoadedCertificate {
    /// Chain and key.
    pub key: Arc<CertifiedKey>,
    /// The names, wildcards and addresses of the leaf.
    pub names: Vec<HostPattern>,
    /// When the leaf ends.
    pub not_after: Timestamp,
    /// What will be a problem for visitors, though the gateway can start with it.
    pub warnings: Vec<Finding>,
}

/// The certificates of a configuration, and the authorities whose certificates its clients may show.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// For people, chosen by server name.
    pub certificates: Vec<LoadedCertificate>,
    /// Each file once.
    pub client_authorities: Vec<Arc<ClientAuthorities>>,
}

impl Loaded {
    /// Whether these are the same chains and the same authorities.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let (own, others) = (&self.certificates, &other.certificates);
        let (trusted, others_trusted) = (&self.client_authorities, &other.client_authorities);
        own.len() == others.len()
            && own
                .iter()
                .zip(others)
                .all(|(a, b)| a.key.cert == b.key.cert)
            && trusted.len() == others_trusted.len()
            && trusted
                .iter()
                .zip(others_trusted)
                .all(|(a, b)| a.is_same_as(b))
    }
}

/// Reads a chain and its key and checks that visitors can be served with them.
///
/// # Errors
/// Everything that keeps the gateway from using them, each at the place that names the file.
pub fn load(files: &CertificateFiles, now: Timestamp) -> Result<LoadedCertificate, Vec<Finding>> {
    let (certified, leaf) = load_pair(files)?;
    if leaf.names.is_empty() {
        return Err(vec![
            Finding::error(
                "certificate_names",
                format!(
                    "the certificate in {} has no DNS name or address in its subjectAltName, and browsers accept nothing else",
                    files.chain.display()
                ),
                "have it issued anew with the names people open as subjectAltName",
            )
            .at(files.chain_place.clone()),
        ]);
    }
    Ok(LoadedCertificate {
        warnings: warnings(&leaf, &certified.cert, files, now, "browsers refuse"),
        names: leaf.names,
        not_after: leaf.not_after,
        key: Arc::new(certified),
    })
}

/// Reads what a client shows of itself: a chain and its key. Its names are nobody's business here.
///
/// # Errors
/// As [`load`].
pub fn load_client(
    files: &CertificateFiles,
    now: Timestamp,
) -> Result<LoadedCertificate, Vec<Finding>> {
    let (certified, leaf) = load_pair(files)?;
    Ok(LoadedCertificate {
        warnings: warnings(&leaf, &certified.cert, files, now, "applications refuse"),
        names: leaf.names,
        not_after: leaf.not_after,
        key: Arc::new(certified),
    })
}

/// Reads certificates of authorities, any number in one file.
///
/// # Errors
/// What keeps them from being used, at the place that names the file.
pub fn load_authorities(path: &Path, place: &Place) -> Result<RootCertStore, Box<Finding>> {
    let fault = |code, what: String, remedy: &str| {
        Box::new(Finding::error(code, what, remedy).at(place.clone()))
    };
    let mut roots = RootCertStore::empty();
    for der in read_authorities(path, place)? {
        if roots.add(der).is_err() {
            return Err(fault(
                "certificate_damaged",
                format!("a certificate in {} cannot be understood", path.display()),
                "copy the file again from where it was issued",
            ));
        }
    }
    Ok(roots)
}

fn load_pair(files: &CertificateFiles) -> Result<(CertifiedKey, Leaf), Vec<Finding>> {
    let chain = read(&files.chain, &files.chain_place).and_then(|text| read_chain(&text, files));
    let key = read(&files.key, &files.key_place).and_then(|text| read_key(&text, files));
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            let found = [chain.err(), key.err()].into_iter().flatten();
            return Err(found.map(|finding| *finding).collect());
        }
    };
    let leaf = Leaf::read(&chain, files)?;
    let certified = CertifiedKey::new(chain, key);
    if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) =
        certified.keys_match()
    {
        return Err(vec![mismatch(&certified, files)]);
    }
    Ok((certified, leaf))
}

fn read_chain(text: &[u8], files: &CertificateFiles) -> Looked<Vec<CertificateDer<'static>>> {
    let path = files.chain.display();
    let sections = sections(text, &files.chain, &files.chain_place)?;
    let holds_key = sections.iter().any(|(kind, _)| is_key(*kind)) || is_encrypted(text);
    let chain: Vec<_> = sections
        .into_iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    if !chain.is_empty() {
        return Ok(chain);
    }
    let (what, remedy) = if holds_key {
        (
            format!("{path} holds a private key and no certificate"),
            "name the certificate chain here and the private key under `key`: the two may be exchanged",
        )
    } else {
        (
            format!("{path} holds no certificate"),
            "the file must hold a section `-----BEGIN CERTIFICATE-----`: the leaf first, then its intermediates",
        )
    };
    let missing = Finding::error("certificate_missing", what, remedy);
    Err(Box::new(missing.at(files.chain_place.clone())))
}

/// Reads a private key that signs something else than TLS.
///
/// # Errors
/// What keeps it from being used, at the place that names the file.
pub fn load_private_key(
    path: &Path,
    place: &Place,
) -> Result<PrivateKeyDer<'static>, Box<Finding>> {
    private_key(&read(path, place)?, path, place)
}

fn read_key(text: &[u8], files: &CertificateFiles) -> Looked<Arc<dyn SigningKey>> {
    let key = private_key(text, &files.key, &files.key_place)?;
    provider().key_provider.load_private_key(key).map_err(|_| {
        let path = files.key.display();
        let finding = Finding::error(
            "key_unsupported",
            format!("the private key in {path} is damaged or of a kind TLS does not use"),
            "use an ECDSA key (P-256, P-384, P-521), an RSA key of 2048 bits or more, or Ed25519",
        );
        Box::new(finding.at(files.key_place.clone()))
    })
}

fn private_key(text: &[u8], path: &Path, place: &Place) -> Looked<PrivateKeyDer<'static>> {
    let fault = |code, what: String, remedy: &str| {
        let finding = Finding::error(code, what, remedy);
        Err(Box::new(finding.at(place.clone())))
    };
    if is_encrypted(text) {
        return fault(
            "key_encrypted",
            format!("the private key in {} is encrypted", path.display()),
            "write it without a passphrase (`openssl pkey -in KEY -out NEW`) into a file only appproxy can read",
        );
    }
    let sections = sections(text, path, place)?;
    let holds_certificate = sections
        .iter()
        .any(|(kind, _)| *kind == SectionKind::Certificate);
    let key = sections
        .into_iter()
        .find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
    match key {
        Some(key) => Ok(key),
        None if holds_certificate => fault(
            "key_missing",
            format!("{} holds a certificate and no private key", path.display()),
            "name the private key here and the certificate chain under `chain`: the two may be exchanged",
        ),
        None => fault(
            "key_missing",
            format!("{} holds no private key", path.display()),
            "the file must hold a section `-----BEGIN PRIVATE KEY-----` (or `EC PRIVATE KEY`, `RSA PRIVATE KEY`)",
        ),
    }
}

fn mismatch(certified: &CertifiedKey, files: &CertificateFiles) -> Finding {
    let fits = certified.cert.iter().position(|certificate| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&certified.key))
            .keys_match()
            .is_ok()
    });
    match fits {
        Some(position) => Finding::error(
            "chain_order",
            format!(
                "the chain in {} is in the wrong order: the certificate of the key is number {}, and it must be the first",
                files.chain.display(),
                position + 1
            ),
            "put the leaf first, then each certificate's issuer",
        )
        .at(files.chain_place.clone()),
        None => Finding::error(
            "key_mismatch",
            format!(
                "the private key in {} does not belong to the certificate in {}",
                files.key.display(),
                files.chain.display()
            ),
            "name the key the certificate was requested with, or have the certificate issued anew for this key",
        )
        .at(files.key_place.clone()),
    }
}

struct Leaf {
    names: Vec<HostPattern>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Leaf {
    fn read(
        chain: &[CertificateDer<'static>],
        files: &CertificateFiles,
    ) -> Result<Self, Vec<Finding>> {
        let parse = |der: &CertificateDer<'static>| {
            x509_parser::parse_x509_certificate(der)
                .ok()
                .and_then(|(_, parsed)| {
                    Some(Self {
                        names: names(&parsed)?,
                        not_before: Timestamp(parsed.validity().not_before.timestamp()),
                        not_after: Timestamp(parsed.validity().not_after.timestamp()),
                    })
                })
        };
        chain.first().and_then(parse).ok_or_else(|| {
            vec![
                Finding::error(
                    "certificate_damaged",
                    format!(
                        "the first certificate in {} cannot be understood",
                        files.chain.display()
                    ),
                    "copy the certificate again from where it was issued",
                )
                .at(files.chain_place.clone()),
            ]
        })
    }
}

/// The names of a leaf; `None` where the extension is damaged. Names no URL can have are left out.
fn names(leaf: &X509Certificate<'_>) -> Option<Vec<HostPattern>> {
    let Some(extension) = leaf.subject_alternative_name().ok()? else {
        return Some(Vec::new());
    };
    let pattern = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => match name.strip_prefix("*.") {
            Some(suffix) => match Host::parse(suffix).ok()? {
                Host::Name(suffix) => Some(HostPattern::Wildcard { suffix }),
                Host::Address(_) => None,
            },
            None => Host::parse(name).ok().map(HostPattern::Exact),
        },
        GeneralName::IPAddress(octets) => {
            let address = match octets.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(*octets).ok()?),
                16 => IpAddr::from(<[u8; 16]>::try_from(*octets).ok()?),
                _ => return None,
            };
            Some(HostPattern::Exact(Host::Address(address)))
        }
        _ => None,
    };
    Some(
        extension
            .value
            .general_names
            .iter()
            .filter_map(pattern)
            .collect(),
    )
}

fn warnings(
    leaf: &Leaf,
    chain: &[CertificateDer<'static>],
    files: &CertificateFiles,
    now: Timestamp,
    refused: &str,
) -> Vec<Finding> {
    let path = files.chain.display();
    let warning = |code, what: String, remedy: &str| Finding {
        severity: Severity::Warning,
        ..Finding::error(code, what, remedy).at(files.chain_place.clone())
    };
    let mut found = Vec::new();
    if now > leaf.not_after {
        found.push(warning(
            "certificate_expired",
            format!(
                "the certificate in {path} expired at {}: {refused} it",
                leaf.not_after.to_rfc3339()
            ),
            "renew it, or check this host's clock",
        ));
    }
    if now < leaf.not_before {
        found.push(warning(
            "certificate_not_yet_valid",
            format!(
                "the certificate in {path} is valid only from {}: {refused} it until then",
                leaf.not_before.to_rfc3339()
            ),
            "wait, or check this host's clock",
        ));
    }
    let parsed: Vec<_> = chain
        .iter()
        .filter_map(|der| x509_parser::parse_x509_certificate(der).ok())
        .collect();
    let broken = parsed
        .windows(2)
        .position(|pair| pair[0].1.issuer().as_raw() != pair[1].1.subject().as_raw());
    if let Some(position) = broken {
        found.push(warning(
            "chain_order",
            format!(
                "in the chain of {path} certificate {} did not issue certificate {}: some clients refuse it",
                position + 2,
                position + 1
            ),
            "put the leaf first, then each certificate's issuer, and nothing else",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
    use tempfile::TempDir;
    use time::OffsetDateTime;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);
    const DAY: i64 = 86_400;

    /// A leaf, its key and the authority that issued it, as PEM.
    struct Issued {
        leaf: String,
        key: String,
        authority: String,
    }

    fn issue(change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let at = |t: i64| OffsetDateTime::from_unix_timestamp(t).unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "Issuer");
        let authority = ca.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![
            "Wiki.example.com".to_owned(),
            "*.apps.example.com".to_owned(),
        ])
        .unwrap();
        params
            .subject_alt_names
            .push(SanType::IpAddress("2001:db8::1".parse().unwrap()));
        params.not_before = at(NOW.0 - DAY);
        params.not_after = at(NOW.0 + DAY);
        change(&mut params);
        let leaf = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        Issued {
            leaf: leaf.pem(),
            key: key.serialize_pem(),
            authority,
        }
    }

    fn try_load(chain: &str, key: &str) -> Result<LoadedCertificate, Vec<Finding>> {
        let folder = TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            if text != "(none)" {
                std::fs::write(&path, text).unwrap();
            }
            path
        };
        let place = |key: &str| Place {
            key: format!("certificates[0].{key}"),
            ..Place::default()
        };
        let files = CertificateFiles {
            chain: file("chain.pem", chain),
            chain_place: place("chain"),
            key: file("key.pem", key),
            key_place: place("key"),
        };
        load(&files, NOW)
    }

    /// Code, key and one word of the sentence of each finding.
    fn findings(chain: &str, key: &str) -> Vec<(&'static str, String)> {
        let found = try_load(chain, key).unwrap_err();
        let line = |f: Finding| {
            assert!(!f.what.is_empty() && !f.remedy.is_empty() && !f.what.ends_with('.'));
            let key = f.place.unwrap().key;
            (
                f.code,
                key.trim_start_matches("certificates[0].").to_owned(),
            )
        };
        found.into_iter().map(line).collect()
    }

    #[test]
    fn a_chain_and_its_key_load_with_all_names() {
        let issued = issue(|_| ());
        let loaded = try_load(&format!("{}{}", issued.leaf, issued.authority), &issued.key);
        let loaded = loaded.unwrap();
        assert_eq!(loaded.key.cert.len(), 2);
        assert!(loaded.warnings.is_empty());
        assert_eq!(loaded.not_after, Timestamp(NOW.0 + DAY));
        let suffix = "apps.example.com".into();
        assert_eq!(
            loaded.names,
            [
                HostPattern::Exact(Host::parse("wiki.example.com").unwrap()),
                HostPattern::Wildcard { suffix },
                HostPattern::Exact(Host::parse("[2001:db8::1]").unwrap()),
            ]
        );
    }

    #[test]
    fn each_fault_is_a_finding_where_the_file_is_named() {
        let (a, b) = (issue(|_| ()), issue(|_| ()));
        let nameless = issue(|p| p.subject_alt_names.clear());
        let encrypted = a.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let damaged = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cut = &a.leaf[..a.leaf.len() - 40];
        let reversed = format!("{}{}", a.authority, a.leaf);
        let other = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
        for (chain, key, code, place) in [
            ("(none)", &*a.key, "file_unreadable", "chain"),
            (&*a.leaf, "(none)", "file_unreadable", "key"),
            (" \n", &a.key, "file_empty", "chain"),
            (&a.leaf, "", "file_empty", "key"),
            ("hello", &a.key, "not_pem", "chain"),
            (&a.leaf, "hello", "not_pem", "key"),
            (cut, &a.key, "pem_damaged", "chain"),
            (other, &a.key, "certificate_missing", "chain"),
            (&a.key, &a.key, "certificate_missing", "chain"),
            (no_certificate, &a.key, "certificate_damaged", "chain"),
            (&a.leaf, &a.leaf, "key_missing", "key"),
            (&a.leaf, other, "key_missing", "key"),
            (&a.leaf, &encrypted, "key_encrypted", "key"),
            (&a.leaf, old_encrypted, "key_encrypted", "key"),
            (&a.leaf, damaged, "key_unsupported", "key"),
            (&a.leaf, &b.key, "key_mismatch", "key"),
            (&reversed, &a.key, "chain_order", "chain"),
            (&nameless.leaf, &nameless.key, "certificate_names", "chain"),
        ] {
            assert_eq!(findings(chain, key), [(code, place.to_owned())]);
        }
        // Both files at fault: both are said.
        let both = findings(&a.key, &a.leaf);
        assert_eq!(both.len(), 2, "{both:?}");
    }

    #[test]
    fn what_only_some_visitors_meet_is_a_warning() {
        let at = |t: i64| OffsetDateTime::from_unix_timestamp(t).unwrap();
        let expired = issue(|p| p.not_after = at(NOW.0 - 1));
        let early = issue(|p| p.not_before = at(NOW.0 + 1));
        let stranger = issue(|_| ());
        let odd = format!("{}{}", early.leaf, early.leaf);
        for (chain, key, codes) in [
            (&expired.leaf, &expired.key, vec!["certificate_expired"]),
            (&early.leaf, &early.key, vec!["certificate_not_yet_valid"]),
            (
                &odd,
                &early.key,
                vec!["certificate_not_yet_valid", "chain_order"],
            ),
        ] {
            let loaded = try_load(chain, key).unwrap();
            let found: Vec<_> = loaded.warnings.iter().map(|f| f.code).collect();
            assert_eq!(found, codes);
            assert!(
                loaded
                    .warnings
                    .iter()
                    .all(|f| f.severity == Severity::Warning)
            );
        }
        assert!(
            try_load(&stranger.leaf, &stranger.key)
                .unwrap()
                .warnings
                .is_empty()
        );
    }
}
