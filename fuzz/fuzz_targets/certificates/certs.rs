//! What reads and judges certificates.

#[path = "../../../src/certs/contents/mod.rs"]
pub mod contents;
#[path = "../../../src/certs/diagnose/mod.rs"]
pub mod diagnose;
#[path = "../../../src/certs/examine.rs"]
mod examine;
#[path = "pfx.rs"]
pub mod pfx;

pub use examine::{Asked, Examined, examine};

pub fn sha256(octets: &[u8]) -> [u8; 32] {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
    hash.as_ref().try_into().expect("it has 32 octets")
}

mod crypto {
    use std::sync::{Arc, LazyLock};

    use rustls::crypto::CryptoProvider;

    pub fn provider() -> Arc<CryptoProvider> {
        static PROVIDER: LazyLock<Arc<CryptoProvider>> =
            LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        Arc::clone(&PROVIDER)
    }
}
