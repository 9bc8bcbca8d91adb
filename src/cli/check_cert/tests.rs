//! Every file of `testdata/certs`: what is said of it, whether it is what its maker put in, and whether it
//! agrees with OpenSSL.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use serde::Deserialize;

use super::report::Report;
use crate::certs::contents;
use crate::certs::diagnose::{RevocationList, Trusted, covers};
use crate::certs::{Asked, Examined, examine};
use crate::clock::Timestamp;
use crate::model::{Finding, HostPattern, Severity};

const FOLDER: &str = "testdata/certs";

/// When the files are judged: 2027-01-15T08:00:00Z.
const NOW: Timestamp = Timestamp(1_800_000_000);

#[derive(Debug, Deserialize)]
struct Case {
    file: String,
    password: Option<String>,
    construct: String,
    hosts: Vec<String>,
    faults: Vec<String>,
    openssl: Openssl,
    #[serde(default)]
    lists: Vec<String>,
}

/// What OpenSSL said when the files were made.
#[derive(Debug, Deserialize)]
struct Openssl {
    opens: bool,
    keys: usize,
    certificates: usize,
    matches: Option<bool>,
    verify: Option<String>,
    hosts: BTreeMap<String, bool>,
    #[serde(default)]
    lists: Vec<String>,
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("cases.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The revocation lists that are tried with a file.
fn lists(case: &Case) -> (Vec<RevocationList>, Vec<Finding>) {
    let (mut all, mut unread) = (Vec::new(), Vec::new());
    for name in &case.lists {
        let octets = std::fs::read(Path::new(FOLDER).join("lists").join(name)).unwrap();
        let (lists, found) = contents::revocation_lists(&octets, Path::new(name));
        assert!(!lists.is_empty() || !found.is_empty(), "{name}");
        all.extend(lists);
        unread.extend(found);
    }
    (all, unread)
}

/// The file read and judged, with the maker's own roots trusted and no others.
fn examined(case: &Case) -> (Examined, String) {
    let path = Path::new(FOLDER).join("files").join(&case.file);
    let octets = std::fs::read(&path).unwrap();
    let roots = std::fs::read(Path::new(FOLDER).join("roots.pem")).unwrap();
    let roots = contents::read(&roots, Path::new("roots.pem"), None);
    let roots: Vec<_> = roots
        .certificates
        .into_iter()
        .map(|held| held.der)
        .collect();
    assert!(!roots.is_empty());
    let trusted = Trusted::new(&RootCertStore::empty(), &roots);
    let hosts: Vec<HostPattern> = case
        .hosts
        .iter()
        .map(|host| super::host_pattern(host).unwrap())
        .collect();
    let (lists, unread) = lists(case);
    let asked = Asked {
        hosts: &hosts,
        trusted: &trusted,
        lists: &lists,
        now: NOW,
    };
    let contents = contents::read(&octets, Path::new(&case.file), case.password.as_deref());
    let mut examined = examine(&contents, &asked);
    super::told_of_lists(&mut examined, unread);
    let report = Report {
        target: &case.file,
        how: None,
        contents: &contents,
        examined: &examined,
        asked: &asked,
    };
    let text = report.text();
    let programs: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(
        programs["findings"].as_array().unwrap().len(),
        examined.findings.len()
    );
    (examined, text)
}

#[test]
fn every_file_is_told_of_as_expected() {
    let mut wrong = String::new();
    let (cases, mut named) = (cases(), HashSet::new());
    assert!(cases.len() >= 252, "only {} cases", cases.len());
    for case in &cases {
        let (_, text) = examined(case);
        // A file stands in several cases with another password each.
        let name = (1..).map(|at| match at {
            1 => format!("{}.txt", case.file),
            at => format!("{}.{at}.txt", case.file),
        });
        let name = name
            .into_iter()
            .find(|name| named.insert(name.clone()))
            .unwrap();
        let path = Path::new(FOLDER).join("expected").join(name);
        let whole = format!("{}\n\n{text}", case.construct);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &whole).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if expected != whole {
            let _ = writeln!(
                wrong,
                "{}:\n--- expected\n{expected}\n--- is\n{whole}",
                path.display()
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let there: HashSet<PathBuf> = std::fs::read_dir(Path::new(FOLDER).join("expected"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into())
        .collect();
    assert_eq!(there.len(), named.len(), "there are texts of no case");
}

/// The codes that tell of a fault, by the maker's word for it; one of them is enough. Empty: right as it is.
const CODES: &[(&str, &[&str])] = &[
    ("wrong-password", &["password_wrong"]),
    (
        "wrong-password-or-damaged",
        &["password_wrong", "pfx_damaged"],
    ),
    ("password-needed", &["password_needed", "key_encrypted"]),
    ("password-unneeded", &[]),
    ("password-line-end", &["password_spelling"]),
    ("password-quotes", &["password_spelling"]),
    ("password-misread", &["password_spelling"]),
    ("password-characters", &["password_characters"]),
    ("password-empty", &["password_empty"]),
    ("password-null", &["password_empty"]),
    ("old-encryption", &["encryption_old"]),
    ("old-key-encryption", &["key_encrypted"]),
    ("unsupported-encryption", &["encryption_unsupported"]),
    ("no-mac", &["integrity_none"]),
    ("key-unencrypted", &["key_in_clear"]),
    ("too-many-iterations", &["file_hostile"]),
    ("too-deep", &["file_hostile"]),
    (
        "truncated",
        &[
            "pfx_damaged",
            "der_damaged",
            "pem_damaged",
            "certificate_damaged",
        ],
    ),
    ("trailing-octets", &["octets_after"]),
    ("ber", &[]),
    ("software-ksp-ec", &["key_provider"]),
    ("no-key", &["key_missing"]),
    ("no-certificate", &["certificate_missing"]),
    ("key-mismatch", &["key_mismatch"]),
    ("several-keys", &["keys_several"]),
    ("several-leaves", &["chain_extra"]),
    ("duplicate-certificate", &["chain_extra"]),
    (
        "missing-intermediate",
        &["chain_incomplete", "signature_invalid"],
    ),
    ("missing-intermediate-unknown", &["chain_incomplete"]),
    ("wrong-order", &["chain_order"]),
    (
        "root-included",
        &["root_included", "issuer_unknown", "chain_extra"],
    ),
    ("extra-certificate", &["chain_extra"]),
    ("public-key-only", &["certificate_missing", "key_missing"]),
    ("csr", &["request_only"]),
    ("crl", &["certificate_missing"]),
    ("pkcs7", &["key_missing"]),
    ("ssh-key", &["file_unknown", "key_unsupported"]),
    ("java-keystore", &["file_unknown"]),
    ("not-a-certificate", &["file_unknown"]),
    ("empty-file", &["file_empty"]),
    ("extension-lies", &["file_extension"]),
    ("byte-order-mark", &["file_encoding"]),
    ("utf-16", &["file_encoding"]),
    ("end-line-missing", &["pem_damaged"]),
    ("labels-differ", &["pem_damaged"]),
    ("line-ends", &["file_encoding"]),
    ("base64-broken", &["pem_damaged"]),
    ("line-breaks-lost", &["pem_damaged"]),
    ("line-breaks-escaped", &["pem_damaged"]),
    ("indented", &["file_encoding"]),
    ("dashes-replaced", &["pem_damaged", "file_unknown"]),
    ("base64-of-pem", &["file_unknown"]),
    ("base64-without-pem", &["file_unknown"]),
    ("trusted-certificate", &["certificate_trusted"]),
    ("weak-key", &["key_weak"]),
    ("unsupported-key", &["key_unsupported"]),
    ("uncommon-key", &["key_unusual"]),
    ("weak-signature", &["signature_weak"]),
    ("expired", &["certificate_expired"]),
    ("not-yet-valid", &["certificate_not_yet_valid"]),
    ("ends-soon", &["certificate_ends_soon"]),
    ("valid-too-long", &["certificate_lifetime"]),
    ("intermediate-expired", &["chain_expired", "chain_extra"]),
    ("self-signed", &["self_signed", "certificate_is_authority"]),
    ("authority-as-leaf", &["certificate_is_authority"]),
    ("unknown-authority", &["issuer_unknown", "chain_incomplete"]),
    (
        "issuer-key-differs",
        &["signature_invalid", "chain_incomplete"],
    ),
    ("issuer-no-authority", &["issuer_not_authority"]),
    ("signature-wrong", &["signature_invalid"]),
    ("cross-signed", &[]),
    ("crossed-order", &["chain_extra"]),
    ("extension-twice", &["certificate_damaged", "chain_refused"]),
    ("no-san", &["certificate_names"]),
    ("san-empty", &["certificate_names"]),
    ("san-no-dns", &["certificate_names"]),
    ("san-not-ascii", &["name_useless", "certificate_names"]),
    ("san-underscore", &[]),
    ("san-trailing-dot", &["name_useless", "certificate_names"]),
    ("host-not-covered", &["name_not_covered"]),
    ("wildcard-depth", &["name_not_covered"]),
    ("wildcard-apex", &["name_not_covered"]),
    ("wildcard-partial", &["name_useless", "certificate_names"]),
    ("wildcard-place", &["name_useless", "certificate_names"]),
    // Which names are public suffixes is a list of its own; a single label is told of.
    ("wildcard-public-suffix", &[]),
    (
        "no-extended-usage",
        &["usage_missing", "certificate_is_authority"],
    ),
    ("usage-not-server", &["usage_wrong", "issuer_not_authority"]),
    ("key-usage", &["usage_wrong"]),
    ("name-constraints", &["name_constraints"]),
    ("path-length", &["path_length"]),
    ("unknown-critical", &["critical_extension"]),
    ("serial-not-positive", &["certificate_serial"]),
    ("version-1", &["certificate_version"]),
    ("must-staple", &["must_staple"]),
    ("revoked", &["revoked"]),
    ("list-expired", &["crl_expired"]),
    ("list-not-yet-valid", &["crl_not_yet_valid"]),
    ("list-other-issuer", &["crl_other_issuer"]),
    ("list-signature", &["crl_signature"]),
    ("list-partial", &["crl_partial"]),
    ("list-unreadable", &["crl_unreadable"]),
];

#[test]
fn what_was_put_into_a_file_is_found_in_it() {
    let (mut wrong, mut told) = (String::new(), 0);
    for case in cases() {
        let (examined, _) = examined(&case);
        let codes: HashSet<_> = examined.findings.iter().map(|one| one.code).collect();
        for word in &case.faults {
            // Of what cannot be read nothing else is said.
            let unread = [
                "file_unknown",
                "file_hostile",
                "request_only",
                "certificate_missing",
                "certificate_damaged",
            ];
            let implied = ["no-key", "no-certificate", "missing-intermediate"];
            if implied.contains(&&**word) && unread.iter().any(|code| codes.contains(code)) {
                continue;
            }
            let (_, wanted) = CODES.iter().find(|(known, _)| known == word).unwrap();
            told += 1;
            if !wanted.is_empty() && !wanted.iter().any(|code| codes.contains(code)) {
                let _ = writeln!(
                    wrong,
                    "{} ({}): {word} is not among {codes:?}",
                    case.file, case.construct
                );
            }
        }
        let is_bad = examined
            .findings
            .iter()
            .any(|one| one.severity == Severity::Error);
        if case.faults.is_empty() && is_bad {
            let _ = writeln!(
                wrong,
                "{} ({}) is right: {codes:?}",
                case.file, case.construct
            );
        }
    }
    assert!(told >= 200, "only {told} faults");
    assert!(wrong.is_empty(), "{wrong}");
}

/// Where we and OpenSSL differ, and why.
const UNLIKE: &[(&str, &str)] = &[
    (
        "pfx-misread-mac.pfx",
        "we try the spellings of MAC and encryption each by itself",
    ),
    (
        "pfx-latin1.pfx",
        "we try the spellings of MAC and encryption each by itself",
    ),
    ("pfx-scrypt.pfx", "we refuse scrypt by name"),
    ("key-scrypt.pem", "we refuse scrypt by name"),
    (
        "key-dek-info.pem",
        "the old form of an encrypted key is refused by name",
    ),
    ("pem-mac.pem", "we read it, and say that others do not"),
    ("pem-utf16.pem", "we read it, and say that others do not"),
    ("pem-indented.pem", "we read it, and say that others do not"),
    (
        "pem-no-end-inside.pem",
        "where a section has no end, we take the next one, and OpenSSL the one with the key",
    ),
    (
        "key-rsa1024.pem",
        "too weak for TLS here, so it is not known whether it fits",
    ),
    (
        "key-rsa-pss.pem",
        "not for TLS here, so it is not known whether it fits",
    ),
    (
        "key-ed448.pem",
        "not for TLS here, so it is not known whether it fits",
    ),
    (
        "key-secp256k1.pem",
        "not for TLS here, so it is not known whether it fits",
    ),
    (
        "key-brainpool.pem",
        "not for TLS here, so it is not known whether it fits",
    ),
    (
        "key-dsa.pem",
        "not for TLS here, so it is not known whether it fits",
    ),
    ("crl.pem", "a revocation list holds nothing for us"),
    ("crl.der", "a revocation list holds nothing for us"),
];

#[test]
fn openssl_says_the_same() {
    let (mut wrong, mut compared, mut unlike) = (String::new(), 0, HashSet::new());
    for case in cases() {
        let (examined, _) = examined(&case);
        let theirs = &case.openssl;
        let mut differs = Vec::new();
        let has = !examined.certificates.is_empty()
            || !examined.keys.is_empty()
            || !examined.requests.is_empty();
        if has != theirs.opens {
            differs.push(format!("opens: {has}, OpenSSL {}", theirs.opens));
        } else if theirs.opens {
            let ours = (examined.keys.len(), examined.certificates.len());
            if ours != (theirs.keys, theirs.certificates) {
                differs.push(format!(
                    "{ours:?} keys and certificates, OpenSSL {:?}",
                    (theirs.keys, theirs.certificates)
                ));
            }
            let fits = examined.keys.iter().any(|key| key.fits.is_some());
            if theirs.matches.is_some_and(|matches| matches != fits) {
                differs.push(format!(
                    "the key fits: {fits}, OpenSSL {:?}",
                    theirs.matches
                ));
            }
        }
        let worst = examined.findings.iter().map(|one| one.severity).max();
        if let Some(verdict) = &theirs.verify {
            compared += 1;
            let is_good = matches!(worst, None | Some(Severity::Info));
            if verdict != "ok" && is_good {
                differs.push(format!("nothing is wrong, OpenSSL {verdict}"));
            }
        }
        // A pasted password opens the file here.
        let is_pasted = examined
            .findings
            .iter()
            .any(|one| one.code == "password_spelling");
        let is_known = UNLIKE.iter().any(|(file, _)| *file == case.file);
        if is_known && !differs.is_empty() {
            unlike.insert(case.file);
        } else if !differs.is_empty() && !is_pasted {
            let _ = writeln!(
                wrong,
                "{} ({}): {}",
                case.file,
                case.construct,
                differs.join("; ")
            );
        }
    }
    assert_eq!(
        unlike.len(),
        UNLIKE.len(),
        "of {UNLIKE:?} only {unlike:?} differ"
    );
    assert!(compared >= 100, "only {compared} verdicts");
    assert!(wrong.is_empty(), "{wrong}");
}

/// What OpenSSL says of a chain with lists, and what we do; one of several codes is enough.
const OF_LISTS: &[(&str, &[&str])] = &[
    ("ok", &[]),
    ("certificate revoked", &["revoked"]),
    ("CRL has expired", &["crl_expired"]),
    ("CRL is not yet valid", &["crl_not_yet_valid"]),
    ("CRL signature failure", &["crl_signature"]),
    ("key usage does not include CRL signing", &["crl_signature"]),
    ("unable to get local issuer certificate", &["crl_signature"]),
    // By the issuer's name or its key identifier it passes a list over; a delta alone it does not go by.
    (
        "unable to get certificate CRL",
        &["crl_other_issuer", "crl_signature", "crl_unreadable"],
    ),
    ("different CRL scope", &["crl_partial"]),
    ("cannot be read", &["crl_unreadable"]),
];

#[test]
fn openssl_says_the_same_of_revocation_lists() {
    let (mut wrong, mut compared) = (String::new(), 0);
    for case in cases().iter().filter(|case| !case.lists.is_empty()) {
        let (examined, _) = examined(case);
        let codes = examined.findings.iter().map(|one| one.code);
        let mut codes: Vec<_> = codes
            .filter(|code| *code == "revoked" || code.starts_with("crl_"))
            .collect();
        // OpenSSL goes by lists that webpki does not take.
        let ours = match case.file.as_str() {
            "revoked-version-1.pem" => Some("crl_unreadable"),
            "revoked-list-sha1.pem" => Some("crl_signature"),
            _ => None,
        };
        if let Some(ours) = ours {
            assert_eq!(case.openssl.lists, ["certificate revoked"], "{}", case.file);
            assert_eq!(codes, [ours], "{}", case.file);
            continue;
        }
        for theirs in &case.openssl.lists {
            let (_, ours) = OF_LISTS.iter().find(|(said, _)| said == theirs).unwrap();
            let at = codes.iter().position(|code| ours.contains(code));
            if let Some(at) = at {
                codes.remove(at);
            } else if !ours.is_empty() {
                let _ = writeln!(wrong, "{}: OpenSSL {theirs}", case.file);
            }
        }
        if !codes.is_empty() {
            let _ = writeln!(wrong, "{}: {codes:?}, and not OpenSSL", case.file);
        }
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} cases");
    assert!(wrong.is_empty(), "{wrong}");
}

/// Where a name is covered for OpenSSL (`verify -verify_hostname`) and not for us, or the reverse, and why.
const UNLIKE_HOSTS: &[(&str, &str)] = &[
    (
        "pem-issuer-key.pem",
        "OpenSSL was asked about the certificate that the key fits, which is the authority's",
    ),
    (
        "pem-no-end-inside.pem",
        "where a section has no end, we take the next one, and OpenSSL the one with the key",
    ),
    (
        "name-none.pem",
        "without DNS names it takes the common name",
    ),
    (
        "name-empty.pem",
        "without DNS names it takes the common name",
    ),
    (
        "name-email.pem",
        "without DNS names it takes the common name",
    ),
    (
        "version-1.pem",
        "without DNS names it takes the common name",
    ),
    ("wildcard-partial.pem", "it takes `w*.example.com`"),
    (
        "twice-names.pem",
        "the names are there twice, and clients refuse it whatever they are",
    ),
];

#[test]
fn openssl_takes_a_certificate_for_the_same_hosts() {
    let (mut wrong, mut compared, mut unlike) = (String::new(), 0, HashSet::new());
    for case in cases() {
        let (examined, _) = examined(&case);
        let leaf = examined.chain.as_ref().map(|chain| chain.order[0]);
        let Some(leaf) = leaf.map(|at| &examined.certificates[at]) else {
            continue;
        };
        for (host, theirs) in &case.openssl.hosts {
            let pattern = super::host_pattern(host).unwrap();
            let ours = covers(leaf, &pattern);
            let told = format!("is not for {host}");
            let told = examined
                .findings
                .iter()
                .any(|one| one.code == "name_not_covered" && one.what.contains(&told));
            assert_eq!(told, !ours, "{}: {host}", case.file);
            compared += 1;
            if ours == *theirs {
                continue;
            }
            if UNLIKE_HOSTS.iter().any(|(file, _)| *file == case.file) {
                unlike.insert(case.file.clone());
            } else {
                let _ = writeln!(wrong, "{}: {host}: {ours}, OpenSSL {theirs}", case.file);
            }
        }
    }
    assert_eq!(
        unlike.len(),
        UNLIKE_HOSTS.len(),
        "of {UNLIKE_HOSTS:?} only {unlike:?} differ"
    );
    assert!(compared >= 200, "only {compared} hosts");
    assert!(wrong.is_empty(), "{wrong}");
}
