//! A certificate to try with, where there is none yet.

use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::answers::Answers;
use super::leaf::Leaf;
use crate::clock::Timestamp;
use crate::model::{Host, HostPattern};

/// Long enough for a trial, and short enough that nobody stays with it.
const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How far a browser's clock may be behind.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// A self-signed certificate and its key, PEM.
pub(super) struct Trial {
    pub(super) chain: String,
    pub(super) key: Zeroizing<String>,
}

/// Whether one can be made that browsers take for hosts below a domain.
///
/// # Errors
/// What would be refused, and what to do.
pub(super) fn fits(domain: &Host, now: Timestamp) -> Result<(), String> {
    let host = Host::parse(&format!("login.{domain}")).map_err(|error| error.to_string())?;
    let names = vec![domain.to_string(), format!("*.{domain}")];
    let made = trial(names, now)?;
    let der = CertificateDer::from_pem_slice(made.chain.as_bytes());
    let der = der.map_err(|error| format!("the certificate cannot be made: {error}"))?;
    let leaf = Leaf::read(&der, now);
    let fault = leaf.and_then(|leaf| leaf.refused(&[HostPattern::Exact(host)]));
    match fault {
        None => Ok(()),
        Some(fault) => Err(format!(
            "`appproxy check`, and every browser, would refuse the certificate that is written for this domain: {}; \
             write a domain below it, such as apps.{domain}, or begin with --certificate FILE and one that \
             names each host",
            fault.what
        )),
    }
}

/// Makes one for these names. It is no authority's, so that who makes a browser trust it trusts it with
/// nothing else.
pub(super) fn trial(names: Vec<String>, now: Timestamp) -> Result<Trial, String> {
    let refuse = |error: rcgen::Error| format!("the certificate cannot be made: {error}");
    let at = |t: Timestamp| {
        OffsetDateTime::from_unix_timestamp(t.0)
            .map_err(|_| "the clock shows a time that no certificate can carry".to_owned())
    };
    let mut params = CertificateParams::new(names).map_err(refuse)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "appproxy gateway init, for trying out");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = at(now.minus(BACKDATED))?;
    params.not_after = at(now.plus(LIFE))?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(refuse)?;
    let certificate = params.self_signed(&key).map_err(refuse)?;
    Ok(Trial {
        chain: certificate.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

/// The domain, every name below it, and what else people open; each once.
pub(super) fn names(answers: &Answers) -> Vec<String> {
    let domain = &answers.domain;
    let mut names = vec![domain.to_string(), format!("*.{domain}")];
    let suffix = format!(".{domain}");
    let covered = |host: &Host| {
        let name = host.to_string();
        let label = name.strip_suffix(&suffix);
        host == domain || label.is_some_and(|label| !label.contains('.'))
    };
    let sign_in = answers.sign_in().map(|sign_in| &sign_in.host);
    for host in sign_in.into_iter().chain([&answers.external]) {
        let name = host.to_string();
        if !covered(host) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
