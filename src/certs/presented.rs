//! What a server presents in a TLS handshake, whatever it is worth.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::crypto::provider;
use crate::model::Finding;

/// A handshake that came about, or as much of it.
#[derive(Debug, Default)]
pub struct Presented {
    /// The certificates in the order they were sent.
    pub chain: Vec<CertificateDer<'static>>,
    /// Version and cipher suite, in words; `None` where the handshake failed afterwards.
    pub how: Option<String>,
}

/// Shakes hands and hangs up. Nothing is sent but the handshake.
///
/// # Errors
/// Where no certificate came, with the reason and what to do.
pub async fn presented<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    name: ServerName<'static>,
) -> Result<Presented, Box<Finding>> {
    let recorder = Arc::new(Recorder::default());
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Box::new(internal(&error)))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let shaken = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    let chain = std::mem::take(&mut *recorder.0.lock().unwrap_or_else(PoisonError::into_inner));
    match shaken {
        Ok(stream) => {
            let (_, connection) = stream.get_ref();
            let version = connection
                .protocol_version()
                .map(|version| format!("{version:?}"));
            let suite = connection
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()));
            let how = [version, suite].into_iter().flatten().collect::<Vec<_>>();
            Ok(Presented {
                chain,
                how: Some(how.join(", ")),
            })
        }
        // A client certificate that is demanded, or a key that this client cannot use: the chain is there.
        Err(_) if !chain.is_empty() => Ok(Presented { chain, how: None }),
        Err(error) => Err(Box::new(fault(&error))),
    }
}

fn internal(error: &rustls::Error) -> Finding {
    Finding::error(
        "tls_failed",
        format!("TLS cannot be set up here: {error}"),
        "report this",
    )
}

fn fault(error: &io::Error) -> Finding {
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => Finding::error(
            "tls_not_spoken",
            "it does not speak TLS on this port: what it answered is something else, such as plain HTTP",
            "name the port of HTTPS, or write `http://` where plain HTTP is meant",
        ),
        Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => Finding::error(
            "tls_name_unknown",
            "it has no certificate for this name and refuses the handshake (alert unrecognized_name)",
            "give that server a certificate for this name; `appproxy check-cert HOST:PORT --host NAME` asks it for another one",
        ),
        Some(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)) => Finding::error(
            "tls_too_old",
            "it speaks only versions of TLS before 1.2, which browsers refuse too",
            "update it, or switch on TLS 1.2 there",
        ),
        Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)) => Finding::error(
            "tls_no_cipher",
            "it shares no cipher suite with this client, or has no certificate for the name (alert handshake_failure)",
            "switch on ECDHE with AES-GCM or ChaCha20 there",
        ),
        Some(error) => Finding::error(
            "tls_failed",
            format!("the TLS handshake failed: {error}"),
            "see the log of the server",
        ),
        None => Finding::error(
            "tls_closed",
            format!("it ended the connection in the TLS handshake: {error}"),
            "see whether it speaks TLS on this port, and whether a firewall stands between",
        ),
    }
}

/// A server without the key of what it presents is refused, as every client does: the certificate would be
/// called right. Keys that cannot be used here are told of by themselves.
fn proven(
    verified: Result<HandshakeSignatureValid, rustls::Error>,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    match verified {
        Err(rustls::Error::InvalidCertificate(CertificateError::BadSignature)) => verified,
        _ => Ok(HandshakeSignatureValid::assertion()),
    }
}

/// Takes every certificate, and keeps it.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<CertificateDer<'static>>>);

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        let mut chain = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *chain = all.map(|one| one.clone().into_owned()).collect();
        // SECURITY: nothing is sent over the connection, so there is nothing to protect.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        proven(verify_tls12_signature(
            message,
            cert,
            signature,
            &algorithms,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        proven(verify_tls13_signature(
            message,
            cert,
            signature,
            &algorithms,
        ))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = provider()
            .signature_verification_algorithms
            .supported_schemes();
        // Servers with old keys show their certificates only to whoever takes these.
        schemes.extend([
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::ED448,
        ]);
        schemes
    }
}
