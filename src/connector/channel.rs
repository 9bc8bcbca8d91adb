//! The channel of enrolment, from the connector's side: dial, TLS, one line up, one line down.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dial::DIAL;
use crate::model::{Endpoint, Host};
use crate::telemetry::printable;
use crate::tunnel::enrol::{
    Answer, DEADLINE, Enrol, LineError, Refused, Request, read_line, write_line,
};
use crate::tunnel::tls::GatewayRefusal;

/// The longest refusal that is shown.
const MESSAGE: usize = 1024;

/// Why one gateway could not be used.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// It cannot be reached.
    #[error("cannot be reached: {0}")]
    Dial(io::Error),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It is not the gateway the token was made by.
    #[error("{0}")]
    Untrusted(GatewayRefusal),
    /// The TLS handshake failed otherwise.
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    /// Something on the way does not pass the protocol on.
    #[error(
        "`{0}` was not chosen in the TLS handshake: something on the way removes ALPN, or the gateway is too old"
    )]
    NoAlpn(String),
    /// The connection broke during the conversation.
    #[error("the connection broke: {0}")]
    Line(#[from] LineError),
    /// It wants another attempt later.
    #[error("{}", .0.message)]
    Later(Refused),
    /// The request could not be made.
    #[error("the certificate request cannot be made: {0}")]
    Request(#[from] rcgen::Error),
    /// Its answer does not hold together.
    #[error("the gateway's answer cannot be used: {0}")]
    Answer(&'static str),
}

/// Finishes dialling a gateway and shakes hands: it proves itself as `config` wants it, and speaks what that
/// offers. The name it is dialled by is sent and proves nothing.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Endpoint,
    config: ClientConfig,
    dialling: impl Future<Output = io::Result<S>>,
) -> Result<TlsStream<S>, AttemptError> {
    let name = match &gateway.host {
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|e| AttemptError::Dial(io::Error::other(e)))?,
        Host::Address(address) => ServerName::from(*address),
    };
    let offered = config.alpn_protocols.first().cloned().unwrap_or_default();
    let connect = async {
        let stream = dialling.await.map_err(AttemptError::Dial)?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|e| match GatewayRefusal::of(&e) {
                Some(refusal) => AttemptError::Untrusted(refusal.clone()),
                None => AttemptError::Handshake(e),
            })
    };
    let tls = timeout(DIAL, connect)
        .await
        .map_err(|_| AttemptError::Silent(DIAL))??;
    if tls.get_ref().1.alpn_protocol() != Some(&offered[..]) {
        let offered = String::from_utf8_lossy(&offered).into_owned();
        return Err(AttemptError::NoAlpn(offered));
    }
    Ok(tls)
}

/// A request for a certificate of this key, as it travels.
pub(super) fn request(key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    // The gateway takes nothing but the key, so nothing else is told.
    params.distinguished_name = DistinguishedName::new();
    Ok(Enrol::encode_csr(params.serialize_request(key)?.der()))
}

/// Asks and hears the answer.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut tls: TlsStream<S>,
    request: &Request,
) -> Result<Answer, AttemptError> {
    let converse = async {
        write_line(&mut tls, request).await?;
        read_line(&mut tls).await
    };
    let answer = timeout(DEADLINE, converse)
        .await
        .map_err(|_| AttemptError::Silent(DEADLINE))??;
    Ok(match answer {
        Answer::Refused(Refused { code, message }) => Answer::Refused(Refused {
            code,
            message: printable(&message, MESSAGE),
        }),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType};
    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::sign::CertifiedKey;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::certs::{Authority, ConnectorRequest, provider};
    use crate::clock::Clock;
    use crate::model::{ConnectorId, GroupName};
    use crate::tunnel::tls::{
        Credentials, connector_enrol, connector_late, connector_tunnel, gateway_enrol,
    };

    fn credentials(authority: &Authority) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key);
        let request = ConnectorRequest::from_der(csr.unwrap().der()).unwrap();
        let (id, group) = (
            ConnectorId::from_random([1; 12]),
            GroupName::new("hq").unwrap(),
        );
        let now = Clock::system().now();
        let life = Duration::from_secs(60);
        let issued = authority.issue_connector(&request, &id, &group, now, life);
        Credentials {
            chain: vec![issued.unwrap().certificate],
            key: PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
            authorities: vec![authority.certificate().clone()],
        }
    }

    /// What a device that opens TLS presents: a certificate of its own for the dialled name.
    fn intercepting() -> Arc<CertifiedKey> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["gw.example.com".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Corp Inspector");
        let der: CertificateDer<'static> = params.self_signed(&key).unwrap().der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Arc::new(CertifiedKey::from_der(vec![der], key, &provider()).unwrap())
    }

    /// A server that takes every client and echoes whichever protocols it is told.
    fn server(leaf: Arc<CertifiedKey>, alpn: &[&[u8]]) -> ServerConfig {
        let mut config = gateway_enrol(leaf).unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        config
    }

    #[tokio::test]
    async fn interception_and_stripped_alpn_are_named_on_every_channel() {
        let now = Clock::system().now();
        let (own, other) = (
            Authority::create(now).unwrap(),
            Authority::create(now).unwrap(),
        );
        let gateway = Endpoint::parse("gw.example.com:443").unwrap();
        let inspector = "issued by `CN=Corp Inspector`, not by an appproxy gateway's own authority: something on the way inspects TLS or removes ALPN";
        let installation = "a gateway of another installation";
        let mut seen = 0;
        for protocol in ["tunnel", "enrolment", "late renewal"] {
            let config = || match protocol {
                "tunnel" => connector_tunnel(&credentials(&own)).unwrap(),
                "enrolment" => connector_enrol(own.pin()).unwrap(),
                _ => connector_late(vec![own.certificate().clone()]).unwrap(),
            };
            let alpn = config().alpn_protocols.remove(0);
            let stripped = format!(
                "`{}` was not chosen in the TLS handshake: something on the way removes ALPN",
                String::from_utf8_lossy(&alpn)
            );
            for (leaf, echoed, expected) in [
                (intercepting(), &[&alpn[..]][..], inspector),
                // A device that knows nothing of the protocol does both: its issuer says more.
                (intercepting(), &[], inspector),
                (own.issue_gateway(now).unwrap(), &[], &stripped),
                (other.issue_gateway(now).unwrap(), &[&alpn], installation),
            ] {
                let (near, far) = tokio::io::duplex(64 * 1024);
                let acceptor = TlsAcceptor::from(Arc::new(server(leaf, echoed)));
                let accepting = tokio::spawn(async move { acceptor.accept(near).await.map(drop) });
                let dialling = std::future::ready(Ok(far));
                let error = open(&gateway, config(), dialling).await.unwrap_err();
                let text = error.to_string();
                assert!(text.contains(expected), "{protocol}: {text}");
                // Its end of a handshake that failed is not what is tested.
                let _ = accepting.await.unwrap();
                seen += 1;
            }
            let (near, far) = tokio::io::duplex(64 * 1024);
            let leaf = own.issue_gateway(now).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(server(leaf, &[&alpn])));
            let accepting = tokio::spawn(async move { acceptor.accept(near).await.map(drop) });
            let dialling = std::future::ready(Ok(far));
            open(&gateway, config(), dialling).await.unwrap();
            accepting.await.unwrap().unwrap();
            seen += 1;
        }
        assert_eq!(seen, 15);
    }
}
