//! What webpki says of a chain: the code that browsers' counterparts and connectors of ours judge with.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::clock::Timestamp;

/// Judges a chain as a TLS client does.
///
/// # Errors
/// What it is refused for.
pub fn verdict(
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: Timestamp,
) -> Result<(), Error> {
    let since_epoch = Duration::from_secs(u64::try_from(now.0).unwrap_or(0));
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            anchors,
            others,
            UnixTime::since_unix_epoch(since_epoch),
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map(|_| ())
}
