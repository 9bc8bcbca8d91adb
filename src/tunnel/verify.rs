//! What each end demands of the other's certificate.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};

use super::hint;
use crate::certs::{AUTHORITY_NAME, GATEWAY_NAME, PeerConnector, Pin, provider};
use crate::clock::Timestamp;
use crate::telemetry::printable;

/// A method that both kinds of verifier must have and neither is ever asked for.
macro_rules! tls_1_2_is_not_spoken {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
        }
    };
}

/// id-kp-serverAuth (RFC 5280 section 4.2.1.12), as the octets of its OID.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

/// The longest issuer's name that is shown: anybody on the way may present a certificate.
const ISSUER: usize = 256;

/// Why a connector does not trust what it dialled. The issuer of the presented certificate is what
/// tells an operator which device on the way breaks TLS open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayRefusal {
    /// Not one of our certificates at all.
    #[error(
        "the certificate presented there was issued by `{issuer}`, not by an appproxy gateway's own authority: something on the way inspects TLS or removes ALPN, or the address is not a gateway's"
    )]
    Foreign {
        /// The issuer's name.
        issuer: String,
    },
    /// An appproxy gateway of another installation.
    #[error("this is a gateway of another installation: its authority is not the one known here")]
    OtherAuthority,
    /// A certificate of the right authority that is no gateway's, such as a connector's.
    #[error("the certificate presented there is not for a gateway's role")]
    Role,
    /// Its time is over. What the clock here says is not told: it would be another reason with
    /// every second.
    #[error(
        "the gateway's certificate has expired, at {}. A gateway renews it every day, so this host's clock is probably ahead: set it right",
        .0.to_rfc3339()
    )]
    Expired(Timestamp),
    /// Its time has not come.
    #[error(
        "the gateway's certificate is not valid yet, but from {} on: this host's clock is behind; set it right",
        .0.to_rfc3339()
    )]
    NotYetValid(Timestamp),
    /// Not a certificate, or not properly signed.
    #[error("the gateway's certificate cannot be verified: {0}")]
    Malformed(String),
}

impl GatewayRefusal {
    /// The refusal in the error of a handshake, if that is why it failed.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
                other.source()?.downcast_ref::<Self>()
            }
            _ => None,
        }
    }
}

impl From<GatewayRefusal> for rustls::Error {
    fn from(refusal: GatewayRefusal) -> Self {
        CertificateError::Other(OtherError(Arc::new(refusal))).into()
    }
}

/// What a connector knows of its gateways' authority.
#[derive(Debug)]
pub(super) enum Trust {
    /// The certificates of those it was handed.
    Authorities(Vec<CertificateDer<'static>>),
    /// The pin in a token.
    Pin(Pin),
}

/// Verifies a gateway: chain, role and the fixed name; never the dialled one.
pub(super) struct GatewayVerifier {
    trust: Trust,
    /// What the gateway is told of it, so that it shows the right certificate.
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for GatewayVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayVerifier")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl GatewayVerifier {
    pub(super) fn new(trust: Trust) -> Self {
        let pins = match &trust {
            Trust::Pin(pin) => vec![*pin],
            Trust::Authorities(kept) => kept.iter().filter_map(|a| Pin::of_authority(a)).collect(),
        };
        Self {
            trust,
            hints: pins.iter().map(hint::name).collect(),
            algorithms: provider().signature_verification_algorithms,
        }
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), GatewayRefusal> {
        // webpki looks at dates and roles before the signature; of a stranger's certificate only
        // its issuer is worth telling.
        let named: Vec<_> = match &self.trust {
            Trust::Authorities(kept) => kept.iter().filter(|a| names_as_issuer(leaf, a)).collect(),
            Trust::Pin(pin) => {
                let pinned = |c: &&CertificateDer<'_>| Pin::of_authority(c).as_ref() == Some(pin);
                let pinned = rest.iter().filter(pinned);
                pinned.filter(|a| names_as_issuer(leaf, a)).collect()
            }
        };
        if named.is_empty() {
            return Err(unknown_issuer(leaf));
        }
        let malformed = |e: webpki::Error| GatewayRefusal::Malformed(e.to_string());
        let anchors = named.into_iter().map(webpki::anchor_from_trusted_cert);
        let anchors = anchors.collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        let parsed = webpki::EndEntityCert::try_from(leaf).map_err(malformed)?;
        parsed
            .verify_for_usage(
                self.algorithms.all,
                &anchors,
                &[],
                now,
                // Required: a certificate without any role is not a gateway's either.
                webpki::KeyUsage::required(SERVER_AUTH),
                None,
                None,
            )
            .map_err(|e| refusal(e, leaf))?;
        if !is_for_gateways(&parsed) {
            return Err(GatewayRefusal::Role);
        }
        Ok(())
    }
}

fn refusal(error: webpki::Error, leaf: &CertificateDer<'_>) -> GatewayRefusal {
    let timestamp = |t: UnixTime| Timestamp(i64::try_from(t.as_secs()).unwrap_or(i64::MAX));
    match error {
        webpki::Error::UnknownIssuer => unknown_issuer(leaf),
        // Another authority of ours has the same name and another key.
        webpki::Error::InvalidSignatureForPublicKey => GatewayRefusal::OtherAuthority,
        webpki::Error::CertExpired { not_after, .. } => {
            GatewayRefusal::Expired(timestamp(not_after))
        }
        webpki::Error::CertNotValidYet { not_before, .. } => {
            GatewayRefusal::NotYetValid(timestamp(not_before))
        }
        webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::CaUsedAsEndEntity => {
            GatewayRefusal::Role
        }
        error => GatewayRefusal::Malformed(error.to_string()),
    }
}

fn names_as_issuer(leaf: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> bool {
    let leaf = x509_parser::parse_x509_certificate(leaf);
    let authority = x509_parser::parse_x509_certificate(authority);
    match (leaf, authority) {
        (Ok((_, leaf)), Ok((_, authority))) => {
            leaf.issuer().as_raw() == authority.subject().as_raw()
        }
        _ => false,
    }
}

fn is_for_gateways(leaf: &webpki::EndEntityCert<'_>) -> bool {
    ServerName::try_from(GATEWAY_NAME)
        .is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok())
}

fn unknown_issuer(leaf: &CertificateDer<'_>) -> GatewayRefusal {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(leaf) else {
        return GatewayRefusal::Malformed("it is not a certificate".to_owned());
    };
    // What inspects TLS copies the names of the certificate it replaces, and signs with its own.
    let ours = parsed.issuer().to_string() == format!("CN={AUTHORITY_NAME}");
    let gateways = webpki::EndEntityCert::try_from(leaf).is_ok_and(|leaf| is_for_gateways(&leaf));
    if ours && gateways {
        return GatewayRefusal::OtherAuthority;
    }
    GatewayRefusal::Foreign {
        issuer: printable(&parsed.issuer().to_string(), ISSUER),
    }
}

impl ServerCertVerifier for GatewayVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    tls_1_2_is_not_spoken!();

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        Some(&self.hints)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies a connector: chain and dates by webpki, then that it is exactly what we issue.
#[derive(Debug)]
pub(super) struct ConnectorVerifier {
    pub(super) chain: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for ConnectorVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        PeerConnector::from_certificate(end_entity)
            .map_err(|e| CertificateError::Other(OtherError(Arc::new(e))))?;
        Ok(verified)
    }

    tls_1_2_is_not_spoken!();

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
