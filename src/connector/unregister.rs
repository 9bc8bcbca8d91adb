//! Leaves for good: the gateway removes this connector, then its state is deleted.

use std::io;
use std::time::Duration;

use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::identity::{Identity, StateFolder};
use super::state_error::StateError;
use super::status::Reason;
use super::tunnel::REASON;
use super::{channel, talk};
use crate::clock::Clock;
use crate::model::{ConnectorId, Endpoint};
use crate::telemetry::printable;
use crate::tunnel::control::{Down, Messages, Sender, Up};
use crate::tunnel::tls::connector_tunnel;

/// From the handshake to the gateway's word that it is done.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum UnregisterError {
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// No gateway did it, each with its own code.
    #[error(
        "no gateway could be told, so nothing was deleted:{tried}\nTry again, or delete the state here alone with `--force` and run `appproxy gateway connector remove {id}` on the gateway"
    )]
    NoGateway {
        /// This connector's identifier.
        id: ConnectorId,
        /// One line a gateway.
        tried: String,
    },
}

/// Has a gateway remove this connector, and then deletes what is kept of it. Returns who it was.
///
/// # Errors
/// Where there is no identity, or no gateway could be told; nothing is deleted then.
pub async fn unregister<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    state: &StateFolder,
    gateways: &[Endpoint],
    clock: &Clock,
    dial: impl AsyncFn(&Endpoint) -> io::Result<S>,
) -> Result<ConnectorId, UnregisterError> {
    let identity = state.stored()?;
    let mut tried = String::new();
    for gateway in gateways {
        match tell(&identity, gateway, clock, &dial).await {
            Ok(()) => {
                state.forget(Some(&identity.id))?;
                return Ok(identity.id);
            }
            Err(Reason { code, text }) => {
                tried.push_str(&format!("\n  {gateway}: error [{code}] {text}"));
            }
        }
    }
    if gateways.is_empty() {
        tried.push_str(" none is known");
    }
    let id = identity.id;
    Err(UnregisterError::NoGateway { id, tried })
}

/// Deletes what is kept of this connector and tells nobody. Returns who it was, where that can be
/// read.
///
/// # Errors
/// Where there is no identity, or it cannot be deleted.
pub fn forget(state: &StateFolder) -> Result<Option<ConnectorId>, StateError> {
    let id = match state.stored() {
        Ok(identity) => Some(identity.id),
        Err(none @ StateError::None { .. }) => return Err(none),
        // What is damaged can be deleted too.
        Err(_) => None,
    };
    state.forget(id.as_ref())?;
    Ok(id)
}

async fn tell<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    identity: &Identity,
    gateway: &Endpoint,
    clock: &Clock,
    dial: &impl AsyncFn(&Endpoint) -> io::Result<S>,
) -> Result<(), Reason> {
    let config = connector_tunnel(&identity.credentials);
    let config = config.map_err(|e| Reason::new("identity_unusable", e.to_string()))?;
    let tls = channel::open(gateway, config, dial(gateway)).await;
    let tls = tls.map_err(|e| Reason::new(e.code(), super::alerts::explain(&e)))?;
    let hello = talk::hello(&identity.id, "unregister", clock);
    match timeout(DEADLINE, talk::talk(tls, &hello, leave)).await {
        Ok(Ok(word)) => word.map_err(|why| Reason::new("connector_refused", why)),
        Ok(Err(why)) => Err(Reason::new("tunnel_ended", why)),
        Err(_) => {
            let text = format!("no answer within {} s", DEADLINE.as_secs());
            Err(Reason::new("tunnel_silent", text))
        }
    }
}

/// Has it remove this connector. The inner error is its word; the outer one how the talk ended without.
async fn leave(
    sender: &Sender,
    mut messages: Messages<Incoming>,
) -> Result<Result<(), String>, String> {
    loop {
        match messages.next().await.map_err(|e| e.to_string())? {
            Some(Down::Welcome { .. }) => {
                let said = sender.send(&Up::Unregister);
                said.map_err(|e| e.to_string())?;
            }
            // Also where it was removed before: that is what was wanted.
            Some(Down::Removed) => return Ok(Ok(())),
            Some(Down::Refused { reason }) => {
                let why = format!("it refused: {}", printable(&reason, REASON));
                return Ok(Err(why));
            }
            Some(_) => {}
            None => return Err("it closed the connection without a word".to_owned()),
        }
    }
}
