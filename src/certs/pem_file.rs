//! A PEM file and its sections.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use zeroize::Zeroizing;

use crate::model::{Finding, Place};

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

/// A path as it is from wherever one reads it.
fn whole(path: &Path) -> Cow<'_, Path> {
    std::path::absolute(path).map_or(Cow::Borrowed(path), Cow::Owned)
}

/// The PEM sections of a file. No octet of it gets into the finding: it could be a key's.
pub(super) fn sections(
    text: &[u8],
    path: &Path,
    place: &Place,
) -> Looked<Vec<(SectionKind, Vec<u8>)>> {
    if !contains(text, b"-----BEGIN ") {
        let not_pem = Finding::error(
            "not_pem",
            format!(
                "{} is not PEM: it has no line `-----BEGIN …-----`",
                path.display()
            ),
            "convert it to PEM, for instance with `openssl x509 -inform der` or `openssl pkcs12`",
        );
        return Err(Box::new(not_pem.at(place.clone())));
    }
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|e| {
            let what = match e {
                pem::Error::MissingSectionEnd { .. } => {
                    "a section has no end line: it may be cut off"
                }
                pem::Error::IllegalSectionStart { .. } => "a line `-----BEGIN …-----` is malformed",
                _ => "a section is not valid base64",
            };
            let damaged = Finding::error(
                "pem_damaged",
                format!("{} is damaged: {what}", path.display()),
                "copy the file again, whole",
            );
            Box::new(damaged.at(place.clone()))
        })
}

pub(super) fn is_key(kind: SectionKind) -> bool {
    matches!(
        kind,
        SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey
    )
}

pub(super) fn is_encrypted(text: &[u8]) -> bool {
    contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || contains(text, b"Proc-Type: 4,ENCRYPTED")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The certificates in a file of authorities, of which there is one at least.
pub(super) fn read_authorities(
    path: &Path,
    place: &Place,
) -> Result<Vec<CertificateDer<'static>>, Box<Finding>> {
    let text = read(path, place)?;
    let sections = sections(&text, path, place)?.into_iter();
    let certificates = sections.filter(|(kind, _)| *kind == SectionKind::Certificate);
    let all: Vec<_> = certificates
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    match all.is_empty() {
        false => Ok(all),
        true => {
            let missing = Finding::error(
                "certificate_missing",
                format!("{} holds no certificate", path.display()),
                "the file must hold a section `-----BEGIN CERTIFICATE-----` for each authority",
            );
            Err(Box::new(missing.at(place.clone())))
        }
    }
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
