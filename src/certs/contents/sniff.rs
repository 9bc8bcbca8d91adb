//! What a file is, whatever it is called.

use std::path::Path;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// PKCS #12: keys and certificates under a password.
    Pfx,
    /// Sections in base64.
    Pem,
    /// One certificate, DER.
    Certificate,
    /// One private key, DER, in whatever form.
    Key,
    /// One private key, encrypted (PKCS #8), DER.
    EncryptedKey,
    /// Certificates and no key (PKCS #7, RFC 2315).
    Pkcs7,
    /// A request for a certificate (PKCS #10), DER.
    Request,
    /// A list of revoked certificates, DER.
    RevocationList,
}

impl Form {
    /// In words, as an object.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pfx => "a PFX file (PKCS #12)",
            Self::Pem => "a PEM file",
            Self::Certificate => "a certificate in binary form (DER)",
            Self::Key => "a private key in binary form (DER)",
            Self::EncryptedKey => "an encrypted private key in binary form (DER)",
            Self::Pkcs7 => "a PKCS #7 file",
            Self::Request => "a certificate request in binary form (DER)",
            Self::RevocationList => "a revocation list in binary form (DER)",
        }
    }

    /// What a file with this name should be, where its name says so.
    fn promised(path: &Path) -> Option<(&'static [Self], &'static str)> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match &*extension {
            "pfx" | "p12" => (&[Self::Pfx], "a PFX file"),
            "pem" => (&[Self::Pem], "a PEM file"),
            "der" => (
                &[
                    Self::Certificate,
                    Self::Key,
                    Self::EncryptedKey,
                    Self::Request,
                    Self::RevocationList,
                ],
                "binary (DER)",
            ),
            "crt" | "cer" => (&[Self::Certificate, Self::Pem], "a certificate"),
            "key" => (&[Self::Key, Self::EncryptedKey, Self::Pem], "a key"),
            "p7b" | "p7c" | "p7s" => (&[Self::Pkcs7], "a PKCS #7 file"),
            "csr" | "req" | "p10" => (&[Self::Request, Self::Pem], "a certificate request"),
            _ => return None,
        })
    }

    /// What the name promises in place of what it is; `None` where it says nothing, or the truth.
    pub(super) fn belied_by(self, path: &Path) -> Option<&'static str> {
        let (promised, words) = Self::promised(path)?;
        (!promised.contains(&self)).then_some(words)
    }
}

/// What binary contents are, by how they begin. `None` for everything else.
pub(super) fn binary(octets: &[u8]) -> Option<Form> {
    const ENCRYPTION: [&[u8]; 2] = [
        // PBES2 and its kin, and those of PKCS #12.
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05",
        b"\x06\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01",
    ];
    const SIGNED: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    let body = inside(octets, 0x30)?;
    Some(match body {
        [0x02, 0x01, 0x03, 0x30, ..] => Form::Pfx,
        // PKCS #8, PKCS #1, SEC 1.
        [0x02, 0x01, 0x00 | 0x01, 0x30, ..]
        | [0x02, 0x01, 0x00, 0x02, ..]
        | [0x02, 0x01, 0x01, 0x04, ..] => Form::Key,
        _ if body.starts_with(SIGNED) => Form::Pkcs7,
        _ => {
            let first = inside(body, 0x30)?;
            if ENCRYPTION.iter().any(|oid| first.starts_with(oid)) {
                Form::EncryptedKey
            } else if matches!(first, [0x02, 0x01, 0x00, 0x30, ..]) {
                Form::Request
            } else if matches!(first, [0xa0, ..])
                || matches!(first, [0x02, length, ..] if *length > 1)
            {
                // With a version, or, in version 1, a serial number first.
                Form::Certificate
            } else if matches!(first, [0x02, 0x01, 0x01, 0x30, ..] | [0x30, ..]) {
                Form::RevocationList
            } else {
                return None;
            }
        }
    })
}

/// What is in a value with this tag: as much as there is.
fn inside(octets: &[u8], tag: u8) -> Option<&[u8]> {
    let [first, length, rest @ ..] = octets else {
        return None;
    };
    if *first != tag {
        return None;
    }
    match length {
        0..=0x80 => Some(rest),
        0x81..=0x84 => rest.get(usize::from(length & 0x7f)..),
        _ => None,
    }
}

/// What contents look like that are neither PEM nor DER, in words.
pub(super) fn stranger(octets: &[u8]) -> &'static str {
    let text = octets.trim_ascii();
    let begins = |front: &[u8]| {
        let start = text.get(..front.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(front))
    };
    let has = |part: &[u8]| octets.windows(part.len()).any(|window| window == part);
    if has(b"BEGIN CERTIFICATE") || has(b"PRIVATE KEY") {
        "the five `-` before and after `BEGIN` have become something else, as word processors do"
    } else if octets.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) {
        "it is a Java keystore (JKS)"
    } else if octets.starts_with(b"PK\x03\x04") {
        "it is a ZIP archive: unpack it first"
    } else if octets.starts_with(&[0x1f, 0x8b]) {
        "it is packed with gzip: unpack it first"
    } else if begins(b"<!doctype") || begins(b"<html") || begins(b"<?xml") {
        "it is a web page: the download may have wanted a sign-in"
    } else if begins(b"{") {
        "it is JSON: the certificate may be a value in it"
    } else if begins(b"ssh-") || begins(b"ecdsa-sha2") {
        "it is a public key of SSH, which is something else than a certificate"
    } else if begins(b"LS0tLS1CRUdJTi") {
        "it is a PEM file in base64 once more: decode it with `base64 -d`"
    } else if begins(b"MII") {
        "it is base64 without the line `-----BEGIN CERTIFICATE-----` before it and `-----END CERTIFICATE-----` after it"
    } else {
        "it is none of PFX, PEM, DER and PKCS #7"
    }
}

/// The name as it stands in commands.
///
/// SECURITY: somebody may paste them, and whoever made the file may have named it.
pub(super) fn pasted(path: &Path) -> String {
    let name = path.display().to_string();
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-+:@%".contains(&octet);
    if name.bytes().all(plain) && !name.starts_with('-') {
        name
    } else {
        "FILE".to_owned()
    }
}
