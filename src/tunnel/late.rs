//! The proof of a late renewal: whoever shows an ended certificate has its key, here and now.
//!
//! What is signed is keying material that TLS derives for this channel alone (RFC 8446 section 7.5;
//! RFC 9266 binds to a channel the same way), so that a proof seen elsewhere is worth nothing.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ConnectionCommon, SignatureScheme};

use crate::certs::provider;

/// Ours alone, and no label of a document.
const LABEL: &[u8] = b"EXPORTER-appproxy-renew-late";

/// What a proof says, before the channel's own octets: a signature by this key can mean nothing else.
const CONTEXT: &[u8] = b"appproxy 1 renews late over the channel ";

/// What one channel has that no other has.
#[derive(Clone)]
pub struct Channel([u8; 32]);

/// A proof could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the old key cannot sign: {0}")]
pub struct ProofError(#[from] rustls::Error);

impl Channel {
    /// Of a TLS connection whose handshake is done.
    ///
    /// # Errors
    /// Where it is not.
    pub fn of<Data>(connection: &ConnectionCommon<Data>) -> Result<Self, rustls::Error> {
        connection
            .export_keying_material([0; 32], LABEL, None)
            .map(Self)
    }

    fn message(&self) -> Vec<u8> {
        [CONTEXT, &self.0].concat()
    }

    /// Signs with a P-256 key.
    ///
    /// # Errors
    /// Where the key is of another kind.
    pub fn prove(&self, key: &PrivateKeyDer<'static>) -> Result<Vec<u8>, ProofError> {
        let key = provider().key_provider.load_private_key(key.clone_key())?;
        let signer = key
            .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
            .ok_or_else(|| rustls::Error::General("its key is not on the curve P-256".into()))?;
        Ok(signer.sign(&self.message())?)
    }

    /// Whether the key of this certificate has signed.
    #[must_use]
    pub fn is_proven(&self, certificate: &CertificateDer<'_>, proof: &[u8]) -> bool {
        webpki::EndEntityCert::try_from(certificate).is_ok_and(|leaf| {
            let algorithm = webpki::aws_lc_rs::ECDSA_P256_SHA256;
            leaf.verify_signature(algorithm, &self.message(), proof)
                .is_ok()
        })
    }

    #[cfg(test)]
    pub(crate) fn test(octet: u8) -> Self {
        Self([octet; 32])
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Channel")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn der(key: &KeyPair) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(key.serialize_der()).into()
    }

    #[test]
    fn a_proof_holds_for_one_key_and_one_channel() {
        let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let leaf = CertificateParams::default().self_signed(&own).unwrap();
        let (here, there) = (Channel::test(1), Channel::test(2));
        let proof = here.prove(&der(&own)).unwrap();
        assert!(here.is_proven(leaf.der(), &proof));
        assert!(!there.is_proven(leaf.der(), &proof));
        let stolen = here.prove(&der(&other)).unwrap();
        for bad in [&stolen[..], &proof[1..], b""] {
            assert!(!here.is_proven(leaf.der(), bad));
        }
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        assert!(here.prove(&der(&p384)).is_err());
    }
}
