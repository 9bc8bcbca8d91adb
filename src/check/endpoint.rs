//! The certificate that a server presents.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::certs::{Presented, presented};
use crate::model::{Endpoint as Address, Finding, Host};
use crate::net::{Dialler, Resolver};

/// For name, connection and handshake together.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where to connect to.
    pub address: Address,
    /// What to call it in the handshake.
    pub name: Host,
}

/// Connects and shakes hands.
///
/// # Errors
/// Where no certificate came, with the reason and what to do.
pub async fn look(endpoint: &Endpoint, resolver: Resolver) -> Result<Presented, Box<Finding>> {
    let deadline = Instant::now() + PATIENCE;
    let dialler = Dialler::new(resolver);
    let stream = dialler
        .connect_tunnel(&endpoint.address, deadline)
        .await
        .map_err(|error| Box::new(error.finding()))?;
    match timeout_at(deadline, look_at(endpoint, stream)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Box::new(Finding::error(
            "tls_silent",
            format!(
                "it takes the connection and says nothing in the TLS handshake for {} s",
                PATIENCE.as_secs()
            ),
            "see whether it speaks TLS on this port, and whether a firewall stands between",
        ))),
    }
}

/// Shakes hands over a connection that is there.
pub(super) async fn look_at(
    endpoint: &Endpoint,
    stream: TcpStream,
) -> Result<Presented, Box<Finding>> {
    let name = match &endpoint.name {
        Host::Name(name) => {
            ServerName::try_from(name.to_string()).map_err(|_| Box::new(no_name(name)))?
        }
        Host::Address(address) => ServerName::from(*address),
    };
    presented(stream, name).await
}

fn no_name(name: &str) -> Finding {
    Finding::error(
        "bad_host",
        format!("`{name}` is no name that TLS can ask for"),
        "write a DNS name, such as wiki.example.com, with `--host`",
    )
}
