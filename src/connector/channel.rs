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

use crate::model::{Endpoint, Host};
use crate::telemetry::printable;
use crate::tunnel::enrol::{
    Answer, DEADLINE, Enrol, LineError, Refused, Request, read_line, write_line,
};
use crate::tunnel::tls::GatewayRefusal;

/// Dialling and TLS together.
const DIAL_DEADLINE: Duration = Duration::from_secs(5);

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
    let tls = timeout(DIAL_DEADLINE, connect)
        .await
        .map_err(|_| AttemptError::Silent(DIAL_DEADLINE))??;
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
