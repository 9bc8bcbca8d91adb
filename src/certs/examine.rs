//! The contents of a file, or what a server sent, judged whole: which key is whose, and what is wrong.

use rustls::pki_types::PrivateKeyDer;
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::contents::{Contents, Form, HeldKey};
use super::crypto::provider;
use super::diagnose::{
    Certificate, Chain, KeyKind, RevocationList, SHORTEST_RSA, Subject, Trusted, diagnose,
};
use crate::clock::Timestamp;
use crate::model::{Finding, HostPattern, Severity, printable};

/// The longest text of a request that is shown, in characters.
const LONGEST: usize = 256;

/// What is asked of a certificate.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Hosts it has to be for.
    pub hosts: &'a [HostPattern],
    /// Whom visitors trust.
    pub trusted: &'a Trusted,
    /// Lists of revoked certificates to look at.
    pub lists: &'a [RevocationList],
    /// Now.
    pub now: Timestamp,
}

/// What a file holds, and what is wrong with it.
#[derive(Debug)]
pub struct Examined {
    /// Those that can be understood, in the order of the file.
    pub certificates: Vec<Certificate>,
    /// The keys, in the order of the file.
    pub keys: Vec<ExaminedKey>,
    /// What requests ask for.
    pub requests: Vec<Request>,
    /// The leaf and its issuers; `None` where there is no certificate.
    pub chain: Option<Chain>,
    /// The worst first.
    pub findings: Vec<Finding>,
}

/// A private key.
#[derive(Debug)]
pub struct ExaminedKey {
    /// What it is.
    pub kind: KeyKind,
    /// The certificate that it belongs to, by its position.
    pub fits: Option<usize>,
    /// Its public half (SubjectPublicKeyInfo, DER); `None` where TLS cannot use the key.
    public_key: Option<Vec<u8>>,
}

/// A request for a certificate.
#[derive(Debug)]
pub struct Request {
    /// For whom.
    pub subject: String,
    /// The names it asks for.
    pub names: Vec<String>,
    /// The key it is for.
    pub key: KeyKind,
    public_key: Vec<u8>,
}

/// Judges what a file holds.
#[must_use]
pub fn examine(contents: &Contents, asked: &Asked<'_>) -> Examined {
    let mut findings = contents.findings.clone();
    let mut certificates = Vec::new();
    for (at, held) in contents.certificates.iter().enumerate() {
        match Certificate::read(held.der.clone()) {
            Some(read) => certificates.push(read),
            None => findings.push(Finding::error(
                "certificate_damaged",
                format!(
                    "certificate {} of the file cannot be understood: it is damaged or cut off",
                    at + 1
                ),
                "copy the certificate again from where it was issued",
            )),
        }
    }
    let keys: Vec<_> = contents
        .keys
        .iter()
        .map(|held| key(held, &certificates, &mut findings))
        .collect();
    let requests: Vec<_> = contents
        .requests
        .iter()
        .filter_map(|der| request(der))
        .collect();
    of_keys(contents, &certificates, &keys, &mut findings);
    of_requests(contents, &requests, &keys, &mut findings);
    if certificates.is_empty() && requests.is_empty() && findings.is_empty() {
        findings.push(match keys.is_empty() {
            true => Finding::error(
                "certificate_missing",
                "there is no certificate in the file",
                "name the file with the certificate: the leaf first, then its intermediates",
            ),
            false => Finding::info(
                "certificate_missing",
                "there is a private key in the file and no certificate",
                "name the file with the certificate, and this one with `--key`, to see whether they fit",
            ),
        });
    }
    let diagnosis = diagnose(&Subject {
        certificates: &certificates,
        keyed: keyed(&certificates, &keys),
        hosts: asked.hosts,
        trusted: asked.trusted,
        lists: asked.lists,
        ordered: contents.form != Some(Form::Pfx),
        now: asked.now,
    });
    let chain = diagnosis.map(|diagnosis| {
        findings.extend(diagnosis.findings);
        diagnosis.chain
    });
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Examined {
        certificates,
        keys,
        requests,
        chain,
        findings,
    }
}

/// The certificate whose key is at hand: that of a server before that of an authority.
fn keyed(certificates: &[Certificate], keys: &[ExaminedKey]) -> Option<usize> {
    let fitting = || keys.iter().filter_map(|key| key.fits);
    let is_of_server = |at: &usize| certificates.get(*at).is_some_and(|one| !one.is_authority);
    let alone = certificates.iter().all(|one| one.is_authority);
    fitting()
        .find(is_of_server)
        .or_else(|| fitting().next().filter(|_| alone))
}

fn key(held: &HeldKey, certificates: &[Certificate], findings: &mut Vec<Finding>) -> ExaminedKey {
    const ANOTHER: &str = "make another key, for instance `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY`, and have a certificate issued for it";
    let loaded = provider()
        .key_provider
        .load_private_key(held.der.clone_key());
    let public_key = loaded.ok().and_then(|key| Some(key.public_key()?.to_vec()));
    let known = match &public_key {
        Some(public_key) => SubjectPublicKeyInfo::from_der(public_key)
            .ok()
            .map(|(_, info)| KeyKind::of(&info)),
        None => kind_of_private(&held.der),
    };
    let kind = known.unwrap_or_else(|| KeyKind::Other("a damaged key".to_owned()));
    if public_key.is_none() {
        findings.push(match &kind {
            KeyKind::Rsa(bits) if *bits < SHORTEST_RSA => Finding::error(
                "key_weak",
                format!("the private key is an RSA key of {bits} bits: clients and this gateway refuse less than {SHORTEST_RSA}"),
                ANOTHER,
            ),
            KeyKind::Other(kind) => Finding::error(
                "key_unsupported",
                format!("the private key is of a kind that TLS does not use here: {kind}"),
                ANOTHER,
            ),
            kind => Finding::error(
                "key_unsupported",
                format!("the private key ({kind}) is damaged"),
                "copy it again from where it was made",
            ),
        });
    }
    let is_rsa = matches!(kind, KeyKind::Rsa(_));
    if let Some(provider) = held.provider.as_deref().filter(|_| !is_rsa)
        && provider.eq_ignore_ascii_case("Microsoft Software Key Storage Provider")
    {
        findings.push(Finding::info(
            "key_provider",
            format!("the key is no RSA key, and {provider} made it: Microsoft Entra application proxy refuses that as `Invalid certificate, possible wrong password`; appproxy takes it"),
            "nothing is to be done here",
        ));
    }
    let fits = public_key.as_deref().and_then(|key| {
        certificates
            .iter()
            .position(|certificate| certificate.public_key() == key)
    });
    ExaminedKey {
        kind,
        fits,
        public_key,
    }
}

/// Whether there is one key, and it is the leaf's.
fn of_keys(
    contents: &Contents,
    certificates: &[Certificate],
    keys: &[ExaminedKey],
    findings: &mut Vec<Finding>,
) {
    if certificates.is_empty() {
        return;
    }
    // What a server sends has no key.
    let Some(form) = contents.form else {
        return;
    };
    if keys.is_empty() {
        let told = |one: &Finding| one.code.starts_with("key_") || one.severity == Severity::Error;
        if form == Form::Pfx {
            findings.push(Finding::error(
                "key_missing",
                "there is no private key in the file, only certificates",
                "export it anew with its private key: on Windows `Export-PfxCertificate`, or in the wizard `Yes, export the private key`",
            ));
        } else if !findings.iter().any(told) {
            findings.push(Finding::info(
                "key_missing",
                "there is no private key in the file",
                "where it lies in a file of its own, name that with `--key` to see whether it fits",
            ));
        }
        return;
    }
    let of_authority = keys.iter().find_map(|key| {
        let one = certificates.get(key.fits?)?;
        (one.is_authority && certificates.iter().any(|other| !other.is_authority)).then_some(one)
    });
    if let Some(authority) = of_authority {
        findings.push(Finding::error(
            "key_mismatch",
            format!("the private key is that of the authority `{}`, not of the certificate that it has issued", authority.subject),
            "name the key the certificate was requested with, and keep the authority's key where nobody else reads it",
        ));
        return;
    }
    let unused: Vec<_> = keys.iter().filter(|key| key.fits.is_none()).collect();
    if unused.len() == keys.len() {
        // What TLS cannot use was told of, and whether it fits is not known.
        if let Some(key) = unused.iter().find(|key| key.public_key.is_some()) {
            findings.push(Finding::error(
                "key_mismatch",
                format!("the private key ({}) does not belong to any certificate there", key.kind),
                "name the key the certificate was requested with, or have the certificate issued anew for this key",
            ));
        }
    } else if keys.len() > 1 {
        findings.push(Finding::warning(
            "keys_several",
            format!(
                "there are {} private keys: programs take different ones of them",
                keys.len()
            ),
            "keep the key of the certificate that is served, and no other",
        ));
    }
}

fn of_requests(
    contents: &Contents,
    requests: &[Request],
    keys: &[ExaminedKey],
    findings: &mut Vec<Finding>,
) {
    if contents.requests.len() > requests.len() {
        findings.push(Finding::error(
            "der_damaged",
            "the certificate request is damaged or cut off",
            "copy the file again, or make another request",
        ));
    }
    for request in requests {
        findings.push(Finding::error(
            "request_only",
            format!(
                "it is a request for a certificate for {}, not a certificate",
                request.subject
            ),
            "send it to the authority, and name the file with what comes back",
        ));
        let own = keys.iter().filter_map(|key| key.public_key.as_ref());
        if !keys.is_empty() && own.clone().all(|key| *key != request.public_key) {
            findings.push(Finding::error(
                "key_mismatch",
                "the private key does not belong to the request",
                "name the key that the request was made with, or make another request with this one",
            ));
        }
        if request.names.is_empty() {
            findings.push(Finding::warning(
                "certificate_names",
                "the request asks for no subjectAltName, at which alone browsers look",
                "make it anew with `-addext subjectAltName=DNS:NAME`, unless the authority adds the names itself",
            ));
        }
    }
}

fn request(der: &[u8]) -> Option<Request> {
    let (_, parsed) = X509CertificationRequest::from_der(der).ok()?;
    let info = &parsed.certification_request_info;
    let extensions = parsed.requested_extensions();
    let names = extensions
        .into_iter()
        .flatten()
        .filter_map(|one| match one {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        });
    let names = names.flatten().map(|name| match name {
        GeneralName::DNSName(name) => printable(name, LONGEST),
        other => printable(&other.to_string(), LONGEST),
    });
    let names: Vec<_> = names.collect();
    let subject =
        Some(printable(&info.subject.to_string(), LONGEST)).filter(|text| !text.is_empty());
    Some(Request {
        subject: subject
            .or_else(|| names.first().cloned())
            .unwrap_or_else(|| "nobody".to_owned()),
        names,
        key: KeyKind::of(&info.subject_pki),
        public_key: info.subject_pki.raw.to_vec(),
    })
}

/// What a private key is that TLS cannot use.
fn kind_of_private(key: &PrivateKeyDer<'_>) -> Option<KeyKind> {
    let (_, whole) = Any::from_der(key.secret_der()).ok()?;
    // The version.
    let (rest, _) = Any::from_der(whole.data).ok()?;
    match key {
        PrivateKeyDer::Pkcs8(_) => {
            let (rest, algorithm) = AlgorithmIdentifier::from_der(rest).ok()?;
            match KeyKind::of_algorithm(&algorithm) {
                KeyKind::Rsa(_) => {
                    let (_, octets) = Any::from_der(rest).ok()?;
                    let (_, inner) = Any::from_der(octets.data).ok()?;
                    let (rest, _) = Any::from_der(inner.data).ok()?;
                    Some(KeyKind::Rsa(bits(rest)?))
                }
                kind => Some(kind),
            }
        }
        PrivateKeyDer::Pkcs1(_) => Some(KeyKind::Rsa(bits(rest)?)),
        PrivateKeyDer::Sec1(_) => {
            // The key, then [0] the curve.
            let (rest, _) = Any::from_der(rest).ok()?;
            let (_, parameters) = Any::from_der(rest).ok()?;
            let (_, curve) = Any::from_der(parameters.data).ok()?;
            let oid = curve.as_oid().ok()?;
            Some(KeyKind::of_curve(Some(&oid.to_id_string())))
        }
        _ => None,
    }
}

/// How long the integer is that comes first.
fn bits(der: &[u8]) -> Option<usize> {
    let (_, modulus) = Any::from_der(der).ok()?;
    let significant = modulus.data.iter().skip_while(|octet| **octet == 0);
    let octets: Vec<u8> = significant.copied().collect();
    let first = octets.first()?;
    Some(octets.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0))
}
