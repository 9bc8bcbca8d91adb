//! The certificate that a server presents.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::certs::{Presented, presented};
use crate::model::{Endpoint as Address, Finding, Host};
use crate::net::{DialError, Dialler, ResolveError, Resolver};

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
        .map_err(|error| Box::new(unreached(&error)))?;
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

/// Why there is no connection, by the step at which it ended.
pub(super) fn unreached(error: &DialError) -> Finding {
    let (code, remedy) = match error {
        DialError::Resolve(ResolveError::NoServers { .. }) => (
            "dns_no_server",
            "name a server in /etc/resolv.conf, or the address itself in the command",
        ),
        DialError::Resolve(_) => (
            "dns_failed",
            "check the name, and what your DNS says of it: `dig NAME`",
        ),
        DialError::Refused { .. } => (
            "port_closed",
            "check the port, and whether the server runs: `ss -ltn` there",
        ),
        DialError::Timeout { .. } => (
            "no_answer",
            "check the firewalls on the way, and whether the address is the right one",
        ),
        _ => (
            "unreachable",
            "check the way there: `ip route get ADDRESS`, firewalls, and proxies",
        ),
    };
    Finding::error(code, error.to_string(), remedy)
}
