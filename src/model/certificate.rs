//! The files of a certificate.

use std::path::PathBuf;

use super::Place;

/// A certificate chain and its key, both PEM, with the places that name them.
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
}
