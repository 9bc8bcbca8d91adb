//! What others test their own programs with: PKCS #12 files of pyca/cryptography, and the chains of NIST's
//! Public Key Interoperability Test Suite. `make vectors` fetches both.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use appproxy::certs::contents;
use appproxy::certs::diagnose::{self, Certificate, Subject, Trusted};
use appproxy::certs::pfx::{self, Pfx, PfxError};
use appproxy::certs::{Asked, examine, provider};
use appproxy::clock::Timestamp;
use appproxy::model::Severity;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// When all is judged: 2027-01-15T08:00:00Z.
const NOW: Timestamp = Timestamp(1_800_000_000);

const AUTHORITY: &str = "pkcs12/ca/ca.pem";
const KEY: &str = "pkcs12/ca/ca_key.pem";
const DSA: &str = "x509/custom/dsa_selfsigned_ca.pem";
const SITE: &str = "x509/cryptography.io.pem";
const ISSUER: &str = "x509/letsencryptx3.pem";

fn folder() -> PathBuf {
    PathBuf::from(env::var_os("VECTORS").expect("`make vectors` says where they are"))
}

fn certificates(folder: &Path, file: &str) -> Vec<CertificateDer<'static>> {
    let octets = fs::read(folder.join(file)).unwrap();
    let read = contents::read(&octets, Path::new(file), None);
    assert!(!read.certificates.is_empty(), "{file}: {:?}", read.findings);
    read.certificates.into_iter().map(|held| held.der).collect()
}

/// Each PKCS #12 file: its password, whether the key is in it, and its certificates with what they are called;
/// as tests/hazmat/primitives/test_pkcs12.py of pyca/cryptography has it.
const PKCS12: &str = "\
cert-aes256cbc-no-key | cryptography | | authority
cert-key-aes256cbc | cryptography | key | authority
cert-none-key-none | cryptography | key | authority
cert-rc2-key-3des | cryptography | key | authority
java-truststore | | | dsa=cert1, issuer
name-1-no-pwd | | key | authority=name, site, issuer
name-1-pwd | password | key | authority=name, site, issuer
name-2-3-no-pwd | | key | authority, site=name2, issuer=name3
name-2-3-pwd | password | key | authority, site=name2, issuer=name3
name-2-no-pwd | | key | authority, site=name2, issuer
name-2-pwd | password | key | authority, site=name2, issuer
name-3-no-pwd | | key | authority, site, issuer=name3
name-3-pwd | password | key | authority, site, issuer=name3
name-all-no-pwd | | key | authority=name, site=name2, issuer=name3
name-all-pwd | password | key | authority=name, site=name2, issuer=name3
name-unicode-no-pwd | | key | authority=☺, site=ä, issuer=ç
name-unicode-pwd | password | key | authority=☺, site=ä, issuer=ç
no-cert-key-aes256cbc | cryptography | key |
no-cert-name-2-no-pwd | | | site=name2, issuer
no-cert-name-2-pwd | password | | site=name2, issuer
no-cert-name-3-no-pwd | | | site, issuer=name3
no-cert-name-3-pwd | password | | site, issuer=name3
no-cert-name-all-no-pwd | | | site=name2, issuer=name3
no-cert-name-all-pwd | password | | site=name2, issuer=name3
no-cert-name-unicode-no-pwd | | | site=☹, issuer=ï
no-cert-name-unicode-pwd | password | | site=☹, issuer=ï
no-cert-no-name-no-pwd | | | site, issuer
no-cert-no-name-pwd | password | | site, issuer
no-name-no-pwd | | key | authority, site, issuer
no-name-pwd | password | key | authority, site, issuer
no-password | | key | authority=cryptography CA";

/// One line of it.
struct Row<'a> {
    name: &'a str,
    password: &'a str,
    has_key: bool,
    /// Files, and what a PKCS #12 file calls them.
    held: Vec<(&'static str, &'a str)>,
}

impl<'a> Row<'a> {
    fn read(line: &'a str) -> Self {
        let parts: Vec<_> = line.split('|').map(str::trim).collect();
        let held = parts[3].split(", ").filter(|one| !one.is_empty());
        let held = held.map(|one| {
            let (file, called) = one.split_once('=').unwrap_or((one, ""));
            let file = match file {
                "authority" => AUTHORITY,
                "dsa" => DSA,
                "site" => SITE,
                "issuer" => ISSUER,
                other => panic!("no file `{other}`"),
            };
            (file, called)
        });
        Self {
            name: parts[0],
            password: parts[1],
            has_key: parts[2] == "key",
            held: held.collect(),
        }
    }
}

/// Whether the file holds what it should: the certificates octet by octet.
fn compare(folder: &Path, row: &Row<'_>, read: &Pfx) {
    let name = row.name;
    let expected: Vec<_> = row
        .held
        .iter()
        .map(|(file, called)| {
            (
                certificates(folder, file).remove(0).to_vec(),
                (*called).to_owned(),
            )
        })
        .collect();
    let found: Vec<_> = read
        .certificates
        .iter()
        .map(|one| {
            let called = one.attributes.friendly_name.clone().unwrap_or_default();
            (one.der.clone(), called)
        })
        .collect();
    assert!(found == expected, "{name}: other certificates");
    let public = |key: PrivateKeyDer<'static>| {
        let key = provider().key_provider.load_private_key(key).unwrap();
        key.public_key().unwrap().to_vec()
    };
    let key = fs::read(folder.join(KEY)).unwrap();
    let key = contents::read(&key, Path::new(KEY), None).keys.remove(0);
    let expected: Vec<_> = row.has_key.then(|| public(key.der)).into_iter().collect();
    // In `no-password` it names its curve once more, so its octets are others.
    let keys = read
        .keys
        .iter()
        .map(|one| PrivatePkcs8KeyDer::from(one.pkcs8.to_vec()).into());
    let keys: Vec<_> = keys.map(public).collect();
    assert!(keys == expected, "{name}: another key");
}

#[test]
#[ignore = "it wants what `make vectors` fetches"]
fn pkcs12_files_of_pyca_open() {
    let folder = folder();
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(folder.join("pkcs12")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "p12") {
            seen.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    let rows: Vec<_> = PKCS12.lines().map(Row::read).collect();
    assert_eq!(rows.len(), 31);
    assert_eq!(seen, rows.iter().map(|row| row.name.to_owned()).collect());
    let trusted = Trusted::new(&RootCertStore::empty(), &certificates(&folder, AUTHORITY));
    let asked = Asked {
        hosts: &[],
        trusted: &trusted,
        lists: &[],
        now: NOW,
    };
    for row in &rows {
        let (name, password) = (row.name, row.password);
        let octets = fs::read(folder.join("pkcs12").join(format!("{name}.p12"))).unwrap();
        let read = pfx::read(&octets, Some(password));
        compare(
            &folder,
            row,
            &read.unwrap_or_else(|error| panic!("{name}: {error}")),
        );
        let without = pfx::read(&octets, None);
        if password.is_empty() {
            compare(
                &folder,
                row,
                &without.unwrap_or_else(|error| panic!("{name}: {error}")),
            );
        } else {
            assert_eq!(without, Err(PfxError::PasswordNeeded), "{name}");
        }
        let wrong = pfx::read(&octets, Some("another"));
        assert!(
            matches!(wrong, Err(PfxError::WrongPassword { .. })),
            "{name}: {wrong:?}"
        );
        // What it holds is judged, whatever that comes to.
        let contents = contents::read(&octets, Path::new("x.p12"), Some(password));
        let examined = examine(&contents, &asked);
        assert_eq!(
            (examined.keys.len(), examined.certificates.len()),
            (usize::from(row.has_key), row.held.len()),
            "{name}: {:?}",
            examined.findings
        );
    }
}

/// Tests of PKITS by section, without `Valid` or `Invalid` and `Test…EE.crt`, and how many files each section
/// has. What is left out is about policies and revocation lists, of which nothing here knows.
const SECTIONS: [(&str, usize); 8] = [
    // 4.1
    (
        "CertificatePath CASignature EESignature DSASignatures DSAParameterInheritance DSASignature",
        6,
    ),
    // 4.2
    (
        "CAnotBeforeDate EEnotBeforeDate pre2000UTCnotBeforeDate GeneralizedTimenotBeforeDate \
      CAnotAfterDate EEnotAfterDate pre2000UTCEEnotAfterDate GeneralizedTimenotAfterDate",
        8,
    ),
    // 4.3
    (
        "NameChaining NameChainingOrder NameChainingWhitespace NameChainingCapitalization NameUIDs \
      RFC3280MandatoryAttributeTypes RFC3280OptionalAttributeTypes UTF8StringEncodedNames \
      RolloverfromPrintableStringtoUTF8String UTF8StringCaseInsensitiveMatch",
        11,
    ),
    // 4.4, as far as it is about serial numbers and revocation itself
    (
        "NegativeSerialNumber LongSerialNumber RevokedCA RevokedEE",
        7,
    ),
    // 4.5
    (
        "BasicSelfIssuedOldWithNew BasicSelfIssuedNewWithOld BasicSelfIssuedCRLSigningKey",
        8,
    ),
    // 4.6
    (
        "MissingbasicConstraints cAFalse basicConstraintsNotCritical pathLenConstraint \
      SelfIssuedpathLenConstraint",
        17,
    ),
    // 4.7
    (
        "keyUsageCriticalkeyCertSignFalse keyUsageNotCriticalkeyCertSignFalse keyUsageNotCritical \
      keyUsageCriticalcRLSignFalse keyUsageNotCriticalcRLSignFalse",
        5,
    ),
    // 4.13
    (
        "DNnameConstraints RFC822nameConstraints DNandRFC822nameConstraints DNSnameConstraints \
      URInameConstraints",
        38,
    ),
];

/// What webpki refuses although it is valid, and why.
const REFUSED: [(&str, &str); 7] = [
    (
        "constraints for directory names, e-mail addresses and URIs are not implemented",
        "DNandRFC822nameConstraintsTest27 DNnameConstraintsTest1 DNnameConstraintsTest4 \
      DNnameConstraintsTest5 DNnameConstraintsTest6 DNnameConstraintsTest11 \
      DNnameConstraintsTest14 DNnameConstraintsTest18 DNnameConstraintsTest19 \
      RFC822nameConstraintsTest21 RFC822nameConstraintsTest23 RFC822nameConstraintsTest25 \
      URInameConstraintsTest34 URInameConstraintsTest36",
    ),
    (
        "nor is DSA",
        "DSASignaturesTest4 DSAParameterInheritanceTest5",
    ),
    ("nor issuerUniqueID", "NameUIDsTest6"),
    ("nor a date before 1970", "pre2000UTCnotBeforeDateTest3"),
    (
        "names are compared octet by octet",
        "NameChainingWhitespaceTest3 NameChainingWhitespaceTest4 NameChainingCapitalizationTest5 \
      RolloverfromPrintableStringtoUTF8StringTest10 UTF8StringCaseInsensitiveMatchTest11",
    ),
    (
        "authorities that issued themselves are counted",
        "SelfIssuedpathLenConstraintTest15 SelfIssuedpathLenConstraintTest17",
    ),
    (
        "the leaf is an authority",
        "pathLenConstraintTest8 pathLenConstraintTest14",
    ),
];

/// What webpki accepts although it is not valid, and why.
const ACCEPTED: [(&str, &str); 2] = [
    (
        "it is told of no revocation",
        "BasicSelfIssuedOldWithNewTest2 BasicSelfIssuedNewWithOldTest5 \
      BasicSelfIssuedCRLSigningKeyTest7 NegativeSerialNumberTest15 LongSerialNumberTest18 \
      RevokedCATest2 RevokedEETest3 keyUsageCriticalcRLSignFalseTest4 \
      keyUsageNotCriticalcRLSignFalseTest5",
    ),
    (
        "it does not look whether an authority may sign certificates: the diagnosis does",
        "keyUsageCriticalkeyCertSignFalseTest1 keyUsageNotCriticalkeyCertSignFalseTest2",
    ),
];

/// The files of such a list.
fn listed(list: &[(&str, &str)], front: &str) -> BTreeSet<String> {
    let names = list.iter().flat_map(|(_, names)| names.split_whitespace());
    names.map(|name| format!("{front}{name}EE.crt")).collect()
}

/// The section's test that a file is of.
fn stem(file: &str) -> Option<&str> {
    let (name, _) = file.strip_suffix("EE.crt")?.rsplit_once("Test")?;
    name.strip_prefix("Valid")
        .or_else(|| name.strip_prefix("Invalid"))
}

#[test]
#[ignore = "it wants what `make vectors` fetches"]
fn chains_of_pkits_are_never_judged_more_leniently_than_webpki_judges_them() {
    let folder = folder().join("x509/PKITS_data/certs");
    let mut leaves = BTreeSet::new();
    let mut pool = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if file.ends_with("EE.crt") {
            leaves.extend(stem(&file).is_some().then_some(file));
        } else if file != "TrustAnchorRootCertificate.crt" {
            pool.push(file);
        }
    }
    for (names, count) in SECTIONS {
        let names: Vec<_> = names.split_whitespace().collect();
        let seen = |name: &&str| {
            leaves
                .iter()
                .filter(|file| stem(file) == Some(name))
                .count()
        };
        assert!(names.iter().all(|name| seen(name) > 0), "{names:?}");
        assert_eq!(names.iter().map(seen).sum::<usize>(), count, "{names:?}");
    }
    let of_section = |file: &str| {
        let mut names = SECTIONS
            .iter()
            .flat_map(|(names, _)| names.split_whitespace());
        names.any(|name| stem(file) == Some(name))
    };
    leaves.retain(|file| of_section(file));
    pool.sort();
    let pool: Vec<_> = pool
        .iter()
        .flat_map(|file| certificates(&folder, file))
        .collect();
    let root = certificates(&folder, "TrustAnchorRootCertificate.crt");
    let anchors = [webpki::anchor_from_trusted_cert(&root[0]).unwrap()];
    let trusted = Trusted::new(&RootCertStore::empty(), &root);
    let (mut refused, mut accepted, mut untold) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for file in &leaves {
        let leaf = certificates(&folder, file).remove(0);
        let verdict = diagnose::verdict(&leaf, &pool, &anchors, NOW);
        let all = std::iter::once(&leaf).chain(&pool).cloned();
        let certificates: Vec<_> = all.filter_map(Certificate::read).collect();
        assert!(certificates[0].der == leaf, "{file} cannot be understood");
        let diagnosis = diagnose::diagnose(&Subject {
            certificates: &certificates,
            keyed: Some(0),
            hosts: &[],
            trusted: &trusted,
            lists: &[],
            ordered: false,
            now: NOW,
        });
        let findings = diagnosis.unwrap().findings.into_iter();
        let errors: Vec<_> = findings
            .filter(|one| one.severity == Severity::Error)
            .collect();
        assert!(
            verdict.is_ok() || !errors.is_empty(),
            "{file}: called right, and refused for {verdict:?}"
        );
        // Most of them have no name that a browser could open.
        let faulty = errors.iter().any(|one| one.code != "certificate_names");
        match (file.starts_with("Valid"), &verdict) {
            (true, Err(_)) => drop(refused.insert(file.clone())),
            (true, Ok(())) => assert!(!faulty, "{file} is valid: {errors:?}"),
            (false, Ok(())) => drop(accepted.insert(file.clone())),
            (false, Err(_)) => {}
        }
        if verdict.is_err() && !faulty {
            untold.insert(file.clone());
        }
    }
    assert_eq!(leaves.len(), 100);
    assert_eq!(refused, listed(&REFUSED, "Valid"));
    assert_eq!(accepted, listed(&ACCEPTED, "Invalid"));
    assert!(untold.is_empty(), "{untold:?}");
}
