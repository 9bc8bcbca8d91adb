//! Dials a gateway on one of its ways: TCP, and TLS with this connector's certificate.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::channel::AttemptError;
use super::status::{Failed, Why};
use super::supervisor::Supervisor;
use super::{alerts, unopened};
use crate::http::with_causes;
use crate::model::Host;
use crate::net::{Dialled, Route};
use crate::tunnel::tls::{ALPN_TUNNEL, GatewayRefusal};

/// For the TCP connection to a gateway and TLS together; and then again until the gateway has said welcome.
pub const DIAL: Duration = Duration::from_secs(5);

impl Supervisor {
    /// A connection whose two ends know each other; or why there is none, in words.
    pub(super) async fn dial(&self, route: &Route) -> Result<TlsStream<TcpStream>, Failed> {
        self.renewal.usable().await;
        let gateway = route.gateway();
        let deadline = Instant::now() + DIAL;
        let permitted = |dialled: Dialled<'_>| self.known.permit(gateway, dialled);
        let dialling = self.dialler.connect_route(route, &permitted, deadline);
        let stream = dialling.await?;
        // The name in the handshake is for routing on the way; what is verified is the fixed name.
        let name = match &gateway.host {
            Host::Name(name) => ServerName::try_from(name.to_string())
                .map_err(|e| Failed::new(Why::Tls, "unreachable", e.to_string()))?,
            Host::Address(address) => ServerName::from(*address),
        };
        let connector = TlsConnector::from(self.identity.tls());
        let stream = timeout_at(deadline, connector.connect(name, stream))
            .await
            .map_err(|_| {
                let text = format!("{route} did not finish the TLS handshake within {DIAL:?}");
                Failed::new(Why::Timeout, AttemptError::Silent(DIAL).code(), text)
            })?
            .map_err(|error| match GatewayRefusal::of(&error) {
                Some(refusal) => {
                    let text = format!("{route}: {}", alerts::of(refusal));
                    Failed::new(Why::Untrusted, unopened::code_of(refusal), text)
                }
                None => {
                    let text = format!("TLS with {route} failed: {}", with_causes(&error));
                    Failed::new(Why::Tls, AttemptError::Handshake(error).code(), text)
                }
            })?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN_TUNNEL) {
            let text = format!(
                "{route} did not agree to the tunnel's protocol (ALPN): something in between changes TLS"
            );
            let code = AttemptError::NoAlpn(String::new()).code();
            return Err(Failed::new(Why::Alpn, code, text));
        }
        Ok(stream)
    }
}
