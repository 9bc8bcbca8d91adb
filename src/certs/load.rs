//! Certificates with their keys, and authorities to trust, from files: each fault named with what to do
//! about it.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret as _, SecretString};

use super::client::ClientAuthorities;
use super::contents::{self, Contents, Form};
use super::crypto::{provider, system_roots};
use super::diagnose::{Certificate, Name, Trusted};
use super::examine::{Asked, Examined, examine};
use super::file::{Looked, named, open_to_all, read, read_authorities};
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
pub fn load(
    files: &CertificateFiles,
    password: Option<&SecretString>,
    now: Timestamp,
) -> Result<LoadedCertificate, Vec<Finding>> {
    let (loaded, examined) = load_pair(files, password, now)?;
    if loaded.names.is_empty() {
        let nameless = examined
            .findings
            .into_iter()
            .filter(|one| one.code == "certificate_names");
        let found: Vec<_> = nameless
            .map(|one| named(one, &files.chain, &files.chain_place))
            .collect();
        if !found.is_empty() {
            return Err(found);
        }
    }
    Ok(loaded)
}

/// Reads what a client shows of itself: a chain and its key. Its names are nobody's business here.
///
/// # Errors
/// As [`load`].
pub fn load_client(
    files: &CertificateFiles,
    password: Option<&SecretString>,
    now: Timestamp,
) -> Result<LoadedCertificate, Vec<Finding>> {
    // What it is for, and who trusts it, is the application's business.
    const OF_ITS_TIME: [&str; 4] = [
        "certificate_expired",
        "certificate_not_yet_valid",
        "certificate_ends_soon",
        "clock_wrong",
    ];
    const OF_ITS_FILE: [&str; 2] = ["chain_order", "key_file_open"];
    let (mut loaded, _) = load_pair(files, password, now)?;
    loaded
        .warnings
        .retain(|one| OF_ITS_TIME.contains(&one.code) || OF_ITS_FILE.contains(&one.code));
    Ok(loaded)
}

/// Reads certificates of authorities, any number in one file.
///
/// # Errors
/// What keeps them from being used, at the place that names the file.
pub fn load_authorities(path: &Path, place: &Place) -> Result<RootCertStore, Box<Finding>> {
    let mut roots = RootCertStore::empty();
    for der in read_authorities(path, place)? {
        if roots.add(der).is_err() {
            let damaged = Finding::error(
                "certificate_damaged",
                "a certificate in it cannot be understood",
                "copy the file again from where it was issued",
            );
            return Err(Box::new(named(damaged, path, place)));
        }
    }
    Ok(roots)
}

/// Reads a private key that signs something else than TLS.
///
/// # Errors
/// What keeps it from being used, at the place that names the file.
pub fn load_private_key(
    path: &Path,
    place: &Place,
) -> Result<PrivateKeyDer<'static>, Box<Finding>> {
    let mut contents = contents::read(&read(path, place)?, path, None);
    let fault = contents
        .findings
        .into_iter()
        .find(|one| one.severity == Severity::Error);
    if let Some(fault) = fault {
        return Err(Box::new(named(fault, path, place)));
    }
    match contents.keys.pop() {
        Some(key) => Ok(key.der),
        None => Err(Box::new(named(
            no_key(contents.certificates.is_empty()),
            path,
            place,
        ))),
    }
}

fn load_pair(
    files: &CertificateFiles,
    password: Option<&SecretString>,
    now: Timestamp,
) -> Result<(LoadedCertificate, Examined), Vec<Finding>> {
    let (contents, broken) = read_pair(files, password)?;
    if !broken.is_empty() {
        return Err(broken);
    }
    let asked = Asked {
        hosts: &[],
        trusted: visitors_trust(),
        lists: &[],
        now,
    };
    let examined = examine(&contents, &asked);
    let certified = certified(&contents, &examined, files)?;
    let leaf = certified
        .cert
        .first()
        .and_then(|der| Certificate::read(der.clone()));
    let Some(leaf) = leaf else {
        let damaged = Finding::error(
            "certificate_damaged",
            "the first certificate in it cannot be understood",
            "copy the certificate again from where it was issued",
        );
        return Err(vec![named(damaged, &files.chain, &files.chain_place)]);
    };
    let worth_a_word = examined
        .findings
        .iter()
        .filter(|one| one.severity > Severity::Info);
    let warnings = worth_a_word.map(|one| {
        let warning = Finding {
            severity: Severity::Warning,
            ..one.clone()
        };
        named(warning, &files.chain, &files.chain_place)
    });
    let open = open_to_all(&files.key, &files.key_place);
    let loaded = LoadedCertificate {
        warnings: warnings.chain(open).collect(),
        names: patterns(&leaf),
        not_after: leaf.not_after,
        key: Arc::new(certified),
    };
    Ok((loaded, examined))
}

/// Chain and key of the files together, and what keeps them from being used.
fn read_pair(
    files: &CertificateFiles,
    password: Option<&SecretString>,
) -> Result<(Contents, Vec<Finding>), Vec<Finding>> {
    let look = |path: &Path, place: &Place| -> Looked<Contents> {
        let password = password.map(|secret| secret.expose_secret());
        Ok(contents::read(&read(path, place)?, path, password))
    };
    let is_error = |one: &Finding| one.severity == Severity::Error;
    let together = files.is_one_file();
    let chain = look(&files.chain, &files.chain_place);
    let key = (!together)
        .then(|| look(&files.key, &files.key_place))
        .transpose();
    let (mut chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            let found = [chain.err(), key.err()].into_iter().flatten();
            return Err(found.map(|finding| *finding).collect());
        }
    };
    let mut broken = Vec::new();
    // A key in the chain's file is nobody's where another file has it.
    let of_chain = |one: &Finding| {
        together || !one.code.starts_with("key_") && !one.code.starts_with("password_")
    };
    let of_chain = chain
        .findings
        .iter()
        .filter(|one| is_error(one) && of_chain(one));
    broken.extend(of_chain.map(|one| named(one.clone(), &files.chain, &files.chain_place)));
    if broken.is_empty() && chain.certificates.is_empty() {
        let missing = no_certificate(!chain.keys.is_empty());
        broken.push(named(missing, &files.chain, &files.chain_place));
    }
    if let Some(key) = key {
        let own = key.findings.iter().filter(|one| is_error(one));
        let own: Vec<_> = own
            .map(|one| named(one.clone(), &files.key, &files.key_place))
            .collect();
        if own.is_empty() && key.keys.is_empty() {
            let missing = no_key(key.certificates.is_empty());
            broken.push(named(missing, &files.key, &files.key_place));
        }
        broken.extend(own);
        chain.findings.retain(|one| !is_error(one));
        chain.keys = key.keys;
    } else if broken.is_empty() && chain.keys.is_empty() {
        broken.push(named(no_key(false), &files.key, &files.key_place));
    }
    Ok((chain, broken))
}

/// The chain in its order, with the key of its leaf.
fn certified(
    contents: &Contents,
    examined: &Examined,
    files: &CertificateFiles,
) -> Result<CertifiedKey, Vec<Finding>> {
    let at_key = |one: &Finding| {
        if one.code == "key_mismatch" && !files.is_one_file() {
            let what = format!(
                "the private key in {} does not belong to the certificate in {}",
                files.key.display(),
                files.chain.display()
            );
            let mismatch = Finding::error(one.code, what, one.remedy.clone());
            return vec![mismatch.at(files.key_place.clone())];
        }
        vec![named(one.clone(), &files.key, &files.key_place)]
    };
    let held = examined.keys.iter().position(|key| key.fits.is_some());
    let held = held.and_then(|at| Some((contents.keys.get(at)?, examined.keys.get(at)?.fits?)));
    let unusable = examined
        .findings
        .iter()
        .find(|one| one.severity == Severity::Error && one.code.starts_with("key_"));
    let Some((key, position)) = held else {
        let damaged = Finding::error(
            "certificate_damaged",
            "the first certificate in it cannot be understood",
            "copy the certificate again from where it was issued",
        );
        return Err(match unusable {
            Some(fault) => at_key(fault),
            None => vec![named(damaged, &files.chain, &files.chain_place)],
        });
    };
    if position > 0 && contents.form != Some(Form::Pfx) {
        let order = Finding::error(
            "chain_order",
            format!(
                "the chain is in the wrong order: the certificate of the key is number {}, and it must be the first",
                position + 1
            ),
            "put the leaf first, then each certificate's issuer",
        );
        return Err(vec![named(order, &files.chain, &files.chain_place)]);
    }
    if let Some(fault) = unusable {
        return Err(at_key(fault));
    }
    let chain = match (contents.form, &examined.chain) {
        // A PFX has no order of its own.
        (Some(Form::Pfx), Some(chain)) => {
            let members = chain
                .order
                .iter()
                .filter_map(|&at| examined.certificates.get(at));
            members.map(|one| one.der.clone()).collect()
        }
        _ => contents
            .certificates
            .iter()
            .map(|held| held.der.clone())
            .collect::<Vec<CertificateDer<'static>>>(),
    };
    let signing = provider()
        .key_provider
        .load_private_key(key.der.clone_key());
    let signing = signing.map_err(|error| {
        let damaged = Finding::error(
            "key_unsupported",
            format!("the private key is of a kind that TLS does not use here: {error}"),
            "use an ECDSA key (P-256, P-384, P-521), an RSA key of 2048 bits or more, or Ed25519",
        );
        at_key(&damaged)
    })?;
    Ok(CertifiedKey::new(chain, signing))
}

/// Whom browsers trust, as far as this host knows.
fn visitors_trust() -> &'static Trusted {
    static TRUSTED: LazyLock<Trusted> = LazyLock::new(|| Trusted::new(&system_roots(), &[]));
    &TRUSTED
}

fn no_certificate(holds_key: bool) -> Finding {
    if holds_key {
        Finding::error(
            "certificate_missing",
            "it holds a private key and no certificate",
            "name the certificate chain here and the private key under `key`: the two may be exchanged",
        )
    } else {
        Finding::error(
            "certificate_missing",
            "it holds no certificate",
            "the file must hold a section `-----BEGIN CERTIFICATE-----`: the leaf first, then its intermediates",
        )
    }
}

fn no_key(is_empty: bool) -> Finding {
    if is_empty {
        Finding::error(
            "key_missing",
            "it holds no private key",
            "the file must hold a section `-----BEGIN PRIVATE KEY-----` (or `EC PRIVATE KEY`, `RSA PRIVATE KEY`)",
        )
    } else {
        Finding::error(
            "key_missing",
            "it holds a certificate and no private key",
            "name the private key here and the certificate chain under `chain`: the two may be exchanged; a PFX has to be exported with its private key",
        )
    }
}

/// The names a URL can have.
fn patterns(leaf: &Certificate) -> Vec<HostPattern> {
    let pattern = |name: &Name| match name {
        Name::Dns(name) => match name.strip_prefix("*.") {
            Some(suffix) => match Host::parse(suffix).ok()? {
                Host::Name(suffix) => Some(HostPattern::Wildcard { suffix }),
                Host::Address(_) => None,
            },
            None => Host::parse(name).ok().map(HostPattern::Exact),
        },
        Name::Address(address) => Some(HostPattern::Exact(Host::Address(*address))),
        Name::Other(_) => None,
    };
    leaf.names.iter().flatten().filter_map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
        KeyPair, SanType,
    };
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
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let leaf = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        Issued {
            leaf: leaf.pem(),
            key: key.serialize_pem(),
            authority,
        }
    }

    fn try_load(chain: &str, key: &str) -> Result<LoadedCertificate, Vec<Finding>> {
        try_load_of_mode(chain, key, (0o700, 0o644))
    }

    fn try_load_of_mode(
        chain: &str,
        key: &str,
        (of_folder, mode): (u32, u32),
    ) -> Result<LoadedCertificate, Vec<Finding>> {
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(of_folder)).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            if text != "(none)" {
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
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
            password: None,
        };
        load(&files, None, NOW)
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
        let codes: Vec<_> = loaded.warnings.iter().map(|f| f.code).collect();
        assert_eq!(codes, ["issuer_unknown"]);
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
    fn a_key_that_everybody_can_read_is_told_of() {
        let issued = issue(|_| ());
        let chain = format!("{}{}", issued.leaf, issued.authority);
        for (modes, expected) in [
            ((0o755, 0o644), Some("certificates[0].key")),
            ((0o711, 0o604), Some("certificates[0].key")),
            ((0o755, 0o640), None),
            ((0o755, 0o600), None),
            // Nobody else comes that far.
            ((0o750, 0o644), None),
        ] {
            let loaded = try_load_of_mode(&chain, &issued.key, modes).unwrap();
            let mut warnings = loaded.warnings.into_iter();
            let found = warnings.find(|one| one.code == "key_file_open");
            let place = found.map(|one| one.place.unwrap().key);
            assert_eq!(place.as_deref(), expected, "{modes:?}");
        }
    }

    #[test]
    fn each_fault_is_a_finding_where_the_file_is_named() {
        let (a, b) = (issue(|_| ()), issue(|_| ()));
        let nameless = issue(|p| p.subject_alt_names.clear());
        let encrypted = std::fs::read_to_string("testdata/certs/files/key-encrypted.pem").unwrap();
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
            ("hello", &a.key, "file_unknown", "chain"),
            (&a.leaf, "hello", "file_unknown", "key"),
            (cut, &a.key, "pem_damaged", "chain"),
            (other, &a.key, "certificate_missing", "chain"),
            (&a.key, &a.key, "certificate_missing", "chain"),
            (no_certificate, &a.key, "certificate_damaged", "chain"),
            (&a.leaf, &a.leaf, "key_missing", "key"),
            (&a.leaf, other, "key_missing", "key"),
            (&a.leaf, &encrypted, "password_needed", "key"),
            (&a.leaf, old_encrypted, "key_encrypted", "key"),
            (&a.leaf, damaged, "der_damaged", "key"),
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
            (
                &expired.leaf,
                &expired.key,
                vec!["certificate_expired", "chain_incomplete"],
            ),
            (
                &early.leaf,
                &early.key,
                vec!["certificate_not_yet_valid", "chain_incomplete"],
            ),
            (
                &odd,
                &early.key,
                vec![
                    "certificate_not_yet_valid",
                    "chain_incomplete",
                    "chain_extra",
                ],
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
        let loaded = try_load(&stranger.leaf, &stranger.key).unwrap();
        let found: Vec<_> = loaded.warnings.iter().map(|f| f.code).collect();
        assert_eq!(found, ["chain_incomplete"]);
    }

    #[test]
    fn a_pfx_is_chain_and_key_in_whatever_order() {
        let load_pfx = |name: &str, password: &str| {
            let path = std::path::PathBuf::from("testdata/certs/files").join(name);
            let files = CertificateFiles {
                chain: path.clone(),
                chain_place: Place::default(),
                key: path,
                key_place: Place::default(),
                password: None,
            };
            load(&files, Some(&password.to_owned().into()), NOW)
        };
        for name in ["pfx-modern.pfx", "pfx-legacy.pfx", "pfx-wrong-order.pfx"] {
            let loaded = load_pfx(name, "Secret123").unwrap();
            assert!(loaded.key.keys_match().is_ok(), "{name}");
            assert!(loaded.key.cert.len() >= 2, "{name}");
            let host = HostPattern::Exact(Host::parse("wiki.example.com").unwrap());
            assert!(loaded.names.contains(&host), "{name}");
        }
        let wrong = load_pfx("pfx-modern.pfx", "other").unwrap_err();
        assert_eq!(wrong[0].code, "password_wrong");
        assert!(
            wrong[0]
                .what
                .starts_with("testdata/certs/files/pfx-modern.pfx: ")
        );
        let keyless = load_pfx("pfx-no-key.pfx", "Secret123").unwrap_err();
        assert_eq!(keyless[0].code, "key_missing");
    }
}
