//! Private keys as files have them.

use rustls::pki_types::PrivateKeyDer;

use crate::model::Finding;

/// A private key of a file.
#[derive(Debug)]
pub struct HeldKey {
    /// As it is there, decrypted.
    pub der: PrivateKeyDer<'static>,
    /// What a PFX calls it.
    pub friendly_name: Option<String>,
    /// What kept it on Windows, such as `Microsoft Software Key Storage Provider`.
    pub provider: Option<String>,
    /// Whether it was a key of the machine there, not of a person.
    pub is_local_machine: bool,
}

pub(super) fn key_of(der: &[u8]) -> Option<PrivateKeyDer<'static>> {
    let key = PrivateKeyDer::try_from(der).ok()?;
    Some(key.clone_key())
}

pub(super) fn unsupported_key(kind: &str) -> Finding {
    Finding::error(
        "key_unsupported",
        format!("the private key is {kind}, which TLS does not use"),
        "make an ECDSA key on P-256 or an RSA key of 2048 bits or more, and have a certificate issued for it",
    )
}
