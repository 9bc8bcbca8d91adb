//! The listeners of a gateway: handed in by whoever starts it, or its own.

use std::net::{SocketAddr, TcpListener as StdListener};

use tokio::net::TcpListener;

use super::{Exit, unusable};
use crate::config::GatewayConfig;
use crate::net;

/// The listeners a supervisor handed in.
pub(super) fn inherited(config: &GatewayConfig) -> Result<Vec<StdListener>, Exit> {
    let inherited = net::inherited_listeners()
        .map_err(|e| Exit::failed(format!("cannot take the inherited listeners: {e}")))?;
    let (have, wanted) = (
        inherited.len(),
        [
            config.listen.https.len(),
            config.listen.http.len(),
            config.listen.tunnel.len(),
            usize::from(config.listen.metrics.is_some()),
        ]
        .iter()
        .sum::<usize>(),
    );
    if have > wanted {
        let text = format!("{have} listeners were handed in, the configuration names {wanted}");
        return Err(Exit::Findings(vec![unusable(&config.places.listen, text)]));
    }
    Ok(inherited)
}

/// The configured listeners: https, http, tunnel. The inherited ones take their places in that
/// order, and the one for metrics comes last.
pub(super) fn listeners(
    config: &GatewayConfig,
    inherited: &mut impl Iterator<Item = StdListener>,
) -> Result<[Vec<TcpListener>; 3], Exit> {
    let mut open = |addresses: &[SocketAddr]| -> Result<Vec<TcpListener>, Exit> {
        addresses
            .iter()
            .map(|&address| take_or_bind(inherited, address))
            .collect()
    };
    let listen = &config.listen;
    Ok([
        open(&listen.https)?,
        open(&listen.http)?,
        open(&listen.tunnel)?,
    ])
}

/// Where they listen.
pub(super) fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    let all = listeners.iter();
    all.filter_map(|one| one.local_addr().ok()).collect()
}

/// In a line of the log.
pub(super) fn joined(addresses: &[SocketAddr]) -> String {
    let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    all.join(" ")
}

fn take_or_bind(
    inherited: &mut impl Iterator<Item = StdListener>,
    address: SocketAddr,
) -> Result<TcpListener, Exit> {
    let listener = match inherited.next() {
        Some(listener) => Ok(listener),
        // Its error names the address.
        None => net::bind(address),
    };
    listener
        .and_then(TcpListener::from_std)
        .map_err(|error| Exit::failed(error.to_string()))
}
