//! What a visitor sees: a request like any other, through the gateway's public port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::DemoError;
use crate::certs;
use crate::http::{Body, BodyError};

/// Longer than the gateway takes to give up on anything.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest answer that is read, in octets.
const LONGEST: usize = 1 << 20;

/// Asks the gateway as a visitor does.
pub(super) struct Probe {
    address: SocketAddr,
    host: String,
    tls: TlsConnector,
}

/// What the visitor got.
pub(super) struct Seen {
    pub(super) status: StatusCode,
    /// The error's code, sentence and reference, where the gateway answered itself.
    pub(super) error: Option<SeenError>,
}

/// An error of the gateway's as its JSON says it.
#[derive(Debug, serde::Deserialize)]
pub(super) struct SeenError {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) request_id: String,
}

#[derive(serde::Deserialize)]
struct Answer {
    error: SeenError,
}

impl Probe {
    /// Trusts `authority` alone, as `curl --cacert` does.
    pub(super) fn new(
        address: SocketAddr,
        host: &str,
        authority: CertificateDer<'static>,
    ) -> Result<Self, DemoError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let tls = rustls::ClientConfig::builder_with_provider(certs::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address,
            host: host.to_owned(),
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    /// Opens the home page.
    pub(super) async fn look(&self) -> Result<Seen, BodyError> {
        tokio::time::timeout(PATIENCE, self.ask()).await?
    }

    async fn ask(&self) -> Result<Seen, BodyError> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(self.host.clone())?;
        let stream = self.tls.connect(name, stream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get("/")
            .header(HOST, format!("{}:{}", self.host, self.address.port()))
            .header(ACCEPT, "application/json")
            .body(Body::empty())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let text = Limited::new(response.into_body(), LONGEST)
            .collect()
            .await?
            .to_bytes();
        let error = serde_json::from_slice::<Answer>(&text)
            .ok()
            .map(|answer| answer.error);
        Ok(Seen { status, error })
    }
}
