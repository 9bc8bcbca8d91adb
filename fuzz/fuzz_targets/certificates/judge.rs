//! What every target of certificates asserts of a file: nothing is called right that webpki refuses, nothing
//! that is said acts on a terminal, and how the lines of a text end changes nothing.

use std::path::Path;
use std::sync::LazyLock;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor};

use crate::certs::contents::{self, Contents, Form};
use crate::certs::diagnose::{self, Certificate, End, Name, Trusted, covers};
use crate::certs::{Asked, Examined, examine};
use crate::clock::Timestamp;
use crate::model::{Finding, Host, HostPattern, Severity};

/// When `testdata/certs` is judged: 2027-01-15T08:00:00Z.
const NOW: Timestamp = Timestamp(1_800_000_000);

static ROOTS: LazyLock<Vec<CertificateDer<'static>>> = LazyLock::new(|| {
    let roots = include_bytes!("../../../testdata/certs/roots.pem");
    let read = contents::read(roots, Path::new("roots.pem"), None);
    read.certificates.into_iter().map(|held| held.der).collect()
});

static TRUSTED: LazyLock<Trusted> = LazyLock::new(|| Trusted::new(&RootCertStore::empty(), &ROOTS));

static HOSTS: LazyLock<[HostPattern; 3]> = LazyLock::new(|| {
    let host = |text| Host::parse(text).expect("it is a host");
    let Host::Name(suffix) = host("example.com") else {
        unreachable!("it is a name");
    };
    [
        HostPattern::Exact(host("wiki.example.com")),
        HostPattern::Exact(host("192.0.2.7")),
        HostPattern::Wildcard { suffix },
    ]
});

const NAMES: [&str; 6] = ["x", "x.pem", "x.der", "x.crt", "x.p7b", "x.key"];

fn asked(hosts: &[HostPattern]) -> Asked<'_> {
    Asked {
        hosts,
        trusted: &TRUSTED,
        lists: &[],
        now: NOW,
    }
}

/// What stands on terminals.
fn shown(text: &str) {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(acts), "{text:?} acts");
}

fn told(findings: &[Finding]) {
    for finding in findings {
        for text in [&finding.what, &finding.remedy] {
            shown(text);
            assert!(!text.is_empty() && !text.ends_with('.'), "{finding:?}");
        }
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(finding.code.chars().all(is_word), "{finding:?}");
    }
    let sorted = findings
        .windows(2)
        .all(|pair| pair[0].severity >= pair[1].severity);
    assert!(sorted, "{findings:?}");
}

fn reported(contents: &Contents, examined: &Examined) {
    contents.facts.iter().for_each(|fact| shown(fact));
    for one in &examined.certificates {
        for text in [
            &one.subject,
            &one.issuer,
            &one.serial,
            &one.signature,
            &one.key.to_string(),
        ] {
            shown(text);
        }
        let names = one.names.iter().flatten();
        names.for_each(|name| shown(&name.to_text()));
        one.common_name.iter().for_each(|name| shown(name));
    }
    for request in &examined.requests {
        shown(&request.subject);
        shown(&request.key.to_string());
        request.names.iter().for_each(|name| shown(name));
    }
    for key in &examined.keys {
        shown(&key.kind.to_string());
        assert!(key.fits.is_none_or(|at| at < examined.certificates.len()));
    }
    told(&examined.findings);
}

/// webpki has the last word.
fn agreed(examined: &Examined) {
    let Some(chain) = &examined.chain else {
        return;
    };
    let at = |at: &usize| &examined.certificates[*at];
    let mut positions = chain.order.clone();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(
        positions.len(),
        chain.order.len(),
        "a certificate is in its own chain twice"
    );
    let leaf = at(&chain.order[0]);
    if examined
        .findings
        .iter()
        .any(|one| one.severity == Severity::Error)
    {
        return;
    }
    assert_ne!(chain.end, End::Missing);
    let others: Vec<_> = examined
        .certificates
        .iter()
        .map(|one| one.der.clone())
        .collect();
    let own = (chain.end == End::SelfIssued).then(|| &at(&chain.order[chain.order.len() - 1]).der);
    let anchors: Vec<TrustAnchor<'_>> = ROOTS
        .iter()
        .chain(own)
        .filter_map(|der| webpki::anchor_from_trusted_cert(der).ok())
        .collect();
    let verdict = diagnose::verdict(&leaf.der, &others, &anchors, NOW);
    assert!(verdict.is_ok(), "called right, and refused: {verdict:?}");
}

/// What is said to be for a host, webpki says too.
fn named(one: &Certificate) {
    let Ok(entity) = webpki::EndEntityCert::try_from(&one.der) else {
        return;
    };
    for host in ["wiki.example.com", "example.com", "192.0.2.7"] {
        let pattern = HostPattern::Exact(Host::parse(host).expect("it is a host"));
        let name = ServerName::try_from(host).expect("it is a name");
        if covers(one, &pattern) {
            let verdict = entity.verify_is_valid_for_subject_name(&name);
            let odd = one
                .names
                .iter()
                .flatten()
                .any(|name| matches!(name, Name::Other(_)));
            assert!(
                verdict.is_ok() || odd,
                "{host}: {verdict:?}, {:?}",
                one.names
            );
        }
    }
}

fn ders(contents: &Contents) -> (Vec<&[u8]>, Vec<&[u8]>) {
    let certificates = contents.certificates.iter().map(|held| &*held.der);
    let keys = contents.keys.iter().map(|held| held.der.secret_der());
    (certificates.collect(), keys.collect())
}

/// However lines end, and wherever a text is cut off between two of them.
fn as_text(octets: &[u8], whole: &Contents, password: Option<&str>) {
    let is_wide = octets
        .iter()
        .take(4)
        .any(|octet| *octet == 0 || *octet > 0xf0);
    if is_wide || octets.contains(&b'\r') {
        return;
    }
    let mut dos = Vec::with_capacity(octets.len() * 2);
    for octet in octets {
        if *octet == b'\n' {
            dos.push(b'\r');
        }
        dos.push(*octet);
    }
    if dos.len() <= contents::LONGEST_FILE {
        let read = contents::read(&dos, Path::new("x"), password);
        assert_eq!(ders(&read), ders(whole), "with the line ends of DOS");
    }
    let lines: Vec<_> = octets
        .iter()
        .enumerate()
        .filter(|(_, octet)| **octet == b'\n')
        .collect();
    let Some((end, _)) = lines.get(lines.len() / 2) else {
        return;
    };
    let cut = contents::read(&octets[..*end], Path::new("x"), password);
    if cut.form == Some(Form::Pem) {
        assert!(
            ders(whole).0.starts_with(&ders(&cut).0),
            "a part has what the whole has not"
        );
    }
}

/// Reads a file under one of a few names, with or without a password, and judges it.
pub(crate) fn judged(octets: &[u8], how: u8) {
    let password = (how & 0x80 > 0).then_some("Secret123");
    let name = NAMES[usize::from(how >> 4 & 7) % NAMES.len()];

    let contents = contents::read(octets, Path::new(name), password);
    let held: usize = ders(&contents).0.iter().map(|der| der.len()).sum();
    assert!(
        held <= octets.len(),
        "{held} octets out of {}",
        octets.len()
    );
    let examined = examine(&contents, &asked(&*HOSTS));
    let again = contents::read(octets, Path::new(name), password);
    assert_eq!(
        examined.findings,
        examine(&again, &asked(&*HOSTS)).findings,
        "once so, once so"
    );
    let said = examined
        .findings
        .iter()
        .map(|one| one.what.len() + one.remedy.len());
    let said: usize = said.sum();
    assert!(
        said <= 32 * octets.len() + 32_768,
        "{said} octets to say of {}",
        octets.len()
    );
    reported(&contents, &examined);
    examined.certificates.iter().for_each(named);
    agreed(&examined);
    agreed(&examine(&contents, &asked(&[])));
    let (lists, found) = contents::revocation_lists(octets, Path::new(name));
    told(&found);
    lists.iter().for_each(|list| shown(&list.issuer));
    if contents.form == Some(Form::Pem) {
        as_text(octets, &contents, password);
    }
}
