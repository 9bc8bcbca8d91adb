//! The files of a certificate.

use std::path::PathBuf;

use super::{Place, SecretSource};

/// A certificate chain and its key, with the places that name them. A PFX is both.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// Where the chain is named.
    pub chain_place: Place,
    /// The private key.
    pub key: PathBuf,
    /// Where the key is named.
    pub key_place: Place,
    /// What opens them.
    pub password: Option<SecretSource>,
}

impl CertificateFiles {
    /// Whether one file has both.
    #[must_use]
    pub fn is_one_file(&self) -> bool {
        self.chain == self.key
    }
}
