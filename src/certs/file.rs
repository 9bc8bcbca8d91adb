//! A file of certificates, and where it is named.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::contents;
use crate::model::{Finding, Place, Severity};

/// One look at one file; boxed, since a finding is much larger than what is looked for.
pub(super) type Looked<T> = Result<T, Box<Finding>>;

pub(super) fn read(path: &Path, place: &Place) -> Looked<Zeroizing<Vec<u8>>> {
    let unreadable = |e: &io::Error| {
        let remedy = match e.kind() {
            io::ErrorKind::NotFound => {
                "check the path: there is no such file; one that does not begin with `/` starts at \
                 the folder of the configuration file"
            }
            io::ErrorKind::PermissionDenied => {
                "let the account appproxy runs as read the file and every folder above it"
            }
            _ => "check that the path names a readable file",
        };
        Finding::error(
            "file_unreadable",
            format!("cannot read {}: {e}", whole(path).display()),
            remedy,
        )
        .at(place.clone())
    };
    let text = Zeroizing::new(std::fs::read(path).map_err(|e| Box::new(unreadable(&e)))?);
    if text.trim_ascii().is_empty() {
        return Err(Box::new(
            Finding::error(
                "file_empty",
                format!("{} is empty", path.display()),
                "write the PEM text into it, or name another file",
            )
            .at(place.clone()),
        ));
    }
    Ok(text)
}

/// A key that every account of this host can read: the file, and the way to it.
pub(super) fn open_to_all(path: &Path, place: &Place) -> Option<Finding> {
    // A root without accounts is a container's, where nobody else is.
    if !Path::new("/etc/passwd").exists() {
        return None;
    }
    let mode_of = |path: &Path| Some(std::fs::metadata(path).ok()?.permissions().mode());
    let file = std::fs::canonicalize(path).ok()?;
    let mode = mode_of(&file)?;
    let mut folders = file.ancestors().skip(1);
    let is_open = mode & 0o004 != 0
        && folders.all(|folder| mode_of(folder).is_some_and(|mode| mode & 0o001 != 0));
    is_open.then(|| {
        let file = file.display();
        Finding::warning(
            "key_file_open",
            format!("every account of this host can read the private key in {file} (mode {:04o})", mode & 0o7777),
            format!("keep it for the account that appproxy runs as: `chgrp appproxy {file}` and `chmod 640 {file}`"),
        )
        .at(place.clone())
    })
}

/// A path as it is from wherever one reads it.
fn whole(path: &Path) -> Cow<'_, Path> {
    std::path::absolute(path).map_or(Cow::Borrowed(path), Cow::Owned)
}

/// How what is for `check-cert` alone begins, at the end of a remedy.
const OF_THE_COMMAND: &str = "; for `check-cert`, ";

/// A finding about the file at `path`, at the place of the configuration that names it.
pub(super) fn named(finding: Finding, path: &Path, place: &Place) -> Finding {
    let line = finding.place.as_ref().map_or(0, |place| place.line);
    let line = if line > 0 {
        format!(":{line}")
    } else {
        String::new()
    };
    // In a configuration a password has a key of its own, and there is no `--ca`.
    let remedy = match finding.code {
        "password_needed" => {
            "write where the password is beside it: `password: { file: FILE }`".to_owned()
        }
        "chain_incomplete" | "issuer_unknown" => {
            let (remedy, _) = finding
                .remedy
                .split_once(OF_THE_COMMAND)
                .unwrap_or((finding.remedy.as_str(), ""));
            remedy.to_owned()
        }
        _ => finding.remedy.clone(),
    };
    Finding {
        what: format!("{}{line}: {}", path.display(), finding.what),
        remedy,
        ..finding
    }
    .at(place.clone())
}

/// The certificates in a file of authorities, of which there is one at least.
pub(super) fn read_authorities(
    path: &Path,
    place: &Place,
) -> Result<Vec<CertificateDer<'static>>, Box<Finding>> {
    let contents = contents::read(&read(path, place)?, path, None);
    let is_of_key =
        |one: &Finding| one.code.starts_with("key_") || one.code.starts_with("password_");
    let mut faults = contents.findings.into_iter();
    let fault = faults.find(|one| one.severity == Severity::Error && !is_of_key(one));
    if let Some(fault) = fault {
        return Err(Box::new(named(fault, path, place)));
    }
    if contents.certificates.is_empty() {
        let missing = Finding::error(
            "certificate_missing",
            "it holds no certificate",
            "the file must hold a section `-----BEGIN CERTIFICATE-----` for each authority",
        );
        return Err(Box::new(named(missing, path, place)));
    }
    Ok(contents
        .certificates
        .into_iter()
        .map(|held| held.der)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_is_told_as_it_was_tried() {
        let place = Place {
            file: "connector.yaml".into(),
            line: 5,
            column: 9,
            key: "backend_tls[0].ca".to_owned(),
        };
        let found = read(Path::new("nowhere/ca.pem"), &place).unwrap_err();
        let tried = std::env::current_dir().unwrap().join("nowhere/ca.pem");
        let expected = format!("cannot read {}: ", tried.display());
        assert!(found.what.starts_with(&expected), "{found}");
        assert!(
            found
                .remedy
                .contains("starts at the folder of the configuration file"),
            "{found}"
        );
        assert_eq!(found.place, Some(place));
    }
}
