//! Leaves for good: the gateway removes this connector, then its state is deleted.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::channel;
use super::identity::{Identity, StateFolder};
use super::serving::LAST_WORD;
use super::state_error::StateError;
use super::tunnel::REASON;
use crate::clock::Clock;
use crate::http::{Body, with_causes};
use crate::model::{ConnectorId, Endpoint, StreamWindow};
use crate::telemetry::printable;
use crate::tunnel::control::{self, Down, Messages, PROTOCOL_VERSION, Up};
use crate::tunnel::link;
use crate::tunnel::tls::connector_tunnel;

/// From the handshake to the gateway's word that it is done.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum UnregisterError {
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// No gateway did it.
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
            Err(why) => tried.push_str(&format!("\n  {gateway}: {why}")),
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
) -> Result<(), String> {
    let config = connector_tunnel(&identity.credentials).map_err(|e| e.to_string())?;
    let tls = channel::open(gateway, config, dial(gateway)).await;
    let tls = tls.map_err(|e| super::alerts::explain(&e))?;
    let hello = Up::Hello {
        version: PROTOCOL_VERSION,
        id: identity.id.to_string(),
        instance: "unregister".to_owned(),
        time: clock.now().0,
        // It carries no requests.
        max_streams: 0,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        features: Vec::new(),
    };
    timeout(DEADLINE, converse(tls, hello))
        .await
        .map_err(|_| format!("no answer within {} s", DEADLINE.as_secs()))?
}

/// A tunnel with a control stream and nothing else.
async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    tls: TlsStream<S>,
    hello: Up,
) -> Result<(), String> {
    let (sender, body) = control::channel();
    // The queue is empty, so the first message always fits.
    let _ = sender.send(&hello);
    let body = Arc::new(Mutex::new(Some(body)));
    let (opened, mut streams) = mpsc::channel::<Incoming>(1);
    let service = service_fn(move |request: Request<Incoming>| {
        let taken = body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut response = Response::new(Body::empty());
        match taken {
            Some(body) => {
                let _ = opened.try_send(request.into_body());
                *response.body_mut() = body;
            }
            None => *response.status_mut() = StatusCode::BAD_GATEWAY,
        }
        async move { Ok::<_, Infallible>(response) }
    });
    let (watched, alert) = super::alerts::Watched::new(tls);
    let http = link::server(StreamWindow::USUAL).serve_connection(TokioIo::new(watched), service);
    // What it says, or how the talk ended without.
    let talk = async {
        let stream = streams.recv().await.ok_or("the connection ended")?;
        let mut messages = Messages::new(stream);
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
    };
    let mut talk = std::pin::pin!(talk);
    tokio::select! {
        biased;
        told = &mut talk => told.unwrap_or_else(Err),
        ended = http => match (timeout(LAST_WORD, talk).await, alert.text(), ended) {
            // What it said last came together with the end.
            (Ok(Ok(said)), ..) => said,
            (_, Some(text), _) => Err(text),
            (_, None, Ok(())) => Err("it closed the connection".to_owned()),
            (_, None, Err(error)) => {
                Err(printable(&with_causes(&error), REASON))
            }
        },
    }
}
