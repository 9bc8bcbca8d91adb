//! What is in the file of a certificate, and whether the gateway and browsers would take it: the judges of
//! `certs` decide, as in `appproxy check`.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use secrecy::SecretString;

use super::answers::path;
use crate::certs::contents::{self, Contents, Held};
use crate::certs::diagnose::{Certificate, Name, Trusted, covers};
use crate::certs::{Asked, examine, load};
use crate::clock::Timestamp;
use crate::model::{CertificateFiles, Finding, Host, HostPattern, Place};

/// What a certificate's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CertificateFile {
    /// PEM; `has_key`: the key is in it, too.
    Pem {
        has_key: bool,
    },
    Pfx,
}

/// The longest file that is looked into, in octets.
const LONGEST: u64 = 1024 * 1024;

/// What a certificate's file is, by what is in it.
pub(super) fn look(text: &str) -> Result<(PathBuf, CertificateFile), String> {
    let path = path(text)?;
    let octets = zeroize::Zeroizing::new(read(&path)?);
    let has = |words: &[u8]| octets.windows(words.len()).any(|part| part == words);
    if has(b"-----BEGIN CERTIFICATE-----") {
        let has_key = has(b"PRIVATE KEY-----");
        return Ok((path, CertificateFile::Pem { has_key }));
    }
    if has(b"-----BEGIN ") {
        let what = "has no certificate in it: name the file of the chain, leaf first";
        return Err(format!("{} {what}", path.display()));
    }
    // DER: a SEQUENCE whose first part is the version 3 (RFC 7292 section 4).
    let version = octets.get(..octets.len().min(12)).unwrap_or_default();
    if octets.first() == Some(&0x30) && version.windows(3).any(|part| part == [2, 1, 3]) {
        return Ok((path, CertificateFile::Pfx));
    }
    Err(format!(
        "{} is neither PEM nor PFX; `appproxy check-cert` tells what it is",
        path.display()
    ))
}

/// A file that has to be there.
pub(super) fn existing(text: &str) -> Result<PathBuf, String> {
    let path = path(text)?;
    read(&path).map(|octets| {
        drop(zeroize::Zeroizing::new(octets));
        path
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let found = std::fs::metadata(path).map_err(cannot)?;
    if !found.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    if found.len() > LONGEST {
        return Err(format!("{} is too long for a certificate", path.display()));
    }
    std::fs::read(path).map_err(cannot)
}

/// Loads a certificate as the gateway does.
///
/// # Errors
/// What the gateway, and so `appproxy check`, refuses it for.
pub(super) fn loaded(
    chain: &Path,
    key: &Path,
    password: Option<&SecretString>,
    now: Timestamp,
) -> Result<Leaf, Vec<Finding>> {
    let files = CertificateFiles {
        chain: chain.to_owned(),
        chain_place: Place::default(),
        key: key.to_owned(),
        key_place: Place::default(),
        password: None,
    };
    let loaded = load(&files, password, now)?;
    let leaf = loaded.key.cert.first().and_then(|der| Leaf::read(der, now));
    leaf.ok_or_else(|| vec![damaged()])
}

/// The certificate of a file before its key or password is known; `None` where that is needed to
/// see it.
///
/// # Errors
/// What no key and no password could mend.
pub(super) fn alone(
    file: &Path,
    kind: CertificateFile,
    now: Timestamp,
) -> Result<Option<Leaf>, String> {
    let found = match loaded(file, file, None, now) {
        Ok(leaf) => return Ok(Some(leaf)),
        Err(found) => found,
    };
    if let Some(fault) = found.iter().find(|one| !is_asked_for_later(one, kind)) {
        return Err(words(fault));
    }
    match kind {
        CertificateFile::Pfx => Ok(None),
        CertificateFile::Pem { .. } => {
            let octets = zeroize::Zeroizing::new(read(file)?);
            let held = contents::read(&octets, file, None).certificates;
            let first = held.first().and_then(|held| Leaf::read(&held.der, now));
            let first = first.ok_or_else(|| words(&damaged()))?;
            // An authority before others: the order is wrong, which shows once the key is there.
            let is_leaf = held.len() == 1 || !first.read.is_authority;
            Ok(is_leaf.then_some(first))
        }
    }
}

/// Whether a fault is about what is asked for after the file: the key of a chain, or a password.
pub(super) fn is_asked_for_later(fault: &Finding, kind: CertificateFile) -> bool {
    let of_key = matches!(kind, CertificateFile::Pem { .. }) && fault.code.starts_with("key_");
    of_key || fault.code.starts_with("password_")
}

fn damaged() -> Finding {
    Finding::error(
        "certificate_damaged",
        "the first certificate in it cannot be understood",
        "copy the certificate again from where it was issued",
    )
}

/// A finding as an answer to whoever typed the name of a file.
pub(super) fn words(finding: &Finding) -> String {
    format!("{}; {}", finding.what, finding.remedy)
}

/// The hosts a certificate has to be for, as far as they are known when it is named.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) domain: Host,
    /// Those that are settled already.
    pub(super) hosts: Vec<Host>,
    /// How many there will be.
    pub(super) count: usize,
}

/// The certificate that visitors are shown.
#[derive(Debug)]
pub(super) struct Leaf {
    read: Certificate,
    der: CertificateDer<'static>,
    now: Timestamp,
}

impl Leaf {
    pub(super) fn read(der: &CertificateDer<'_>, now: Timestamp) -> Option<Self> {
        let der = der.clone().into_owned();
        let read = Certificate::read(der.clone())?;
        Some(Self { read, der, now })
    }

    /// Whether browsers take it for a host.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(super) fn covers(&self, host: &Host) -> Result<(), String> {
        match self.refused(&[HostPattern::Exact(host.clone())]) {
            Some(fault) => Err(words(&fault)),
            None => Ok(()),
        }
    }

    /// What is wrong with its names.
    pub(super) fn refused(&self, hosts: &[HostPattern]) -> Option<Finding> {
        let contents = Contents {
            certificates: vec![Held {
                der: self.der.clone(),
                friendly_name: None,
            }],
            ..Contents::default()
        };
        let asked = Asked {
            hosts,
            // Who has issued it is not what is asked.
            trusted: &Trusted::new(&RootCertStore::empty(), &[]),
            lists: &[],
            now: self.now,
        };
        let of_names = ["certificate_names", "name_not_covered"];
        let mut found = examine(&contents, &asked).findings.into_iter();
        found.find(|one| of_names.contains(&one.code))
    }

    /// Whether the hosts of a first configuration can all be hosts of this certificate.
    ///
    /// # Errors
    /// Which cannot, and what to do.
    pub(super) fn fits(&self, wanted: &Wanted) -> Result<(), String> {
        let known: Vec<_> = wanted
            .hosts
            .iter()
            .cloned()
            .map(HostPattern::Exact)
            .collect();
        if let Some(fault) = self.refused(&known) {
            return Err(words(&fault));
        }
        if wanted.hosts.len() >= wanted.count {
            return Ok(());
        }
        let domain = &wanted.domain;
        let suffix = format!(".{domain}");
        let is_below = |name: &str| name == domain.to_string() || name.ends_with(&suffix);
        let mut names: Vec<_> = self.dns_names().collect();
        names.sort();
        names.dedup();
        let bare = |name: &String| is_below(name.strip_prefix("*.").unwrap_or(name));
        if !names.iter().any(bare) && !covers(&self.read, &HostPattern::Exact(domain.clone())) {
            return Err(format!(
                "the certificate is for no host of {domain} (it is for {}): browsers would refuse what is \
                 published there; name one for `*.{domain}`, or for each host that people open",
                self.all_names()
            ));
        }
        let is_for_many = names.len() >= wanted.count || names.iter().any(|n| n.starts_with("*."));
        match is_for_many {
            true => Ok(()),
            false => Err(format!(
                "the certificate is for {} alone, and people sign in at one host and open the application at \
                 another; name one for both, such as for `*.{domain}`",
                self.all_names()
            )),
        }
    }

    fn dns_names(&self) -> impl Iterator<Item = String> {
        let names = self.read.names.iter().flatten();
        names.filter_map(|name| match name {
            Name::Dns(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
    }

    /// For a sentence.
    fn all_names(&self) -> String {
        /// More than this nobody reads.
        const MOST: usize = 20;
        let names = self.read.names.iter().flatten();
        let names: Vec<_> = names.map(Name::to_text).take(MOST).collect();
        names.join(", ")
    }
}
