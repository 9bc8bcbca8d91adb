//! One tunnel as the connector sees it: the control stream beside the requests.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::profiles::Profiles;
use super::renewal::Renewal;
use super::serve::Server;
use super::supervisor::{DIAL, Shared};
use crate::http::Body;
use crate::model::ErrorCode;
use crate::tunnel::control::{self, Down, Messages, PROTOCOL_VERSION, Up};
use crate::tunnel::{link, wire};

/// Why a tunnel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was drained.
    Stopped,
    /// The connector was removed at the gateway.
    Removed,
    /// Anything else, in words; it is dialled again.
    Lost(String),
}

/// One tunnel as the connector sees it.
pub(super) struct Tunnel {
    server: Server,
    hello: Up,
    control: Mutex<Control>,
    renewal: Arc<Renewal>,
    /// The gateway asks for another tunnel in the place of this one.
    pub(super) replace: CancellationToken,
    /// The gateway said welcome: application streams may come.
    pub(super) welcome: CancellationToken,
    /// The control stream has ended, and the tunnel with it.
    pub(super) over: CancellationToken,
}

#[derive(Default)]
struct Control {
    sender: Option<control::Sender>,
    opened: bool,
    ended: Option<Ended>,
}

impl Tunnel {
    pub(super) fn new(shared: &Shared) -> Self {
        let supervisor = &shared.supervisor;
        Self {
            server: Server {
                backend: Arc::clone(&supervisor.backend),
                profiles: Profiles::new(),
                in_flight: Arc::clone(&shared.in_flight),
                going_away: shared.going_away.clone(),
            },
            hello: Up::Hello {
                version: PROTOCOL_VERSION,
                id: supervisor.identity.id().to_string(),
                instance: supervisor.instance.clone(),
                time: supervisor.clock.now().0,
                max_streams: link::MAX_STREAMS,
                software: env!("CARGO_PKG_VERSION").to_owned(),
            },
            control: Mutex::default(),
            renewal: Arc::clone(&supervisor.renewal),
            replace: CancellationToken::new(),
            welcome: CancellationToken::new(),
            over: CancellationToken::new(),
        }
    }

    pub(super) async fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        if is_control(&request) {
            return Ok(self.open_control(request));
        }
        // The welcome comes first and on another stream, so a request may be read before it is.
        if timeout(DIAL, self.welcome.cancelled()).await.is_err() {
            // A gateway that sends requests and no welcome is not one of ours.
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            wire::put_error(
                response.headers_mut(),
                ErrorCode::TunnelLost,
                "no welcome yet",
            );
            return Ok(response);
        }
        self.server.serve(request).await
    }

    fn open_control(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (sender, body) = control::channel();
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut control.opened, true) {
            drop(control);
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::CONFLICT;
            return response;
        }
        // The queue is empty, so the first message always fits.
        let _ = sender.send(&self.hello);
        control.sender = Some(sender);
        drop(control);
        let tunnel = Arc::clone(&self);
        tokio::spawn(async move {
            let ended = tunnel.listen(request.into_body()).await;
            let mut control = tunnel
                .control
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            control.ended = Some(ended);
            drop(control);
            tunnel.over.cancel();
        });
        Response::new(body)
    }

    /// Follows the gateway's messages to the end of the control stream.
    async fn listen(self: &Arc<Self>, body: Incoming) -> Ended {
        let mut messages = Messages::new(body);
        loop {
            match messages.next().await {
                Ok(Some(Down::Welcome { time, .. })) => {
                    self.renewal.welcomed(self, time);
                    self.welcome.cancel();
                }
                Ok(Some(Down::Profile { hash, profile })) => {
                    // The tunnel ends, and with it what a line for each such message would fill.
                    if let Err(wrong) = self.server.profiles.learn(hash, &profile) {
                        return Ended::Lost(wrong.to_string());
                    }
                }
                Ok(Some(Down::Removed)) => return Ended::Removed,
                Ok(Some(Down::Refused { reason })) => {
                    return Ended::Lost(format!("the gateway refuses this connector: {reason}"));
                }
                Ok(Some(
                    message @ (Down::Renewed { .. }
                    | Down::Authorities { .. }
                    | Down::RenewalRefused { .. }),
                )) => self.renewal.hear(message),
                Ok(Some(Down::Drain { .. })) => self.replace.cancel(),
                Ok(Some(Down::Probe { .. } | Down::Unknown)) => {}
                Ok(None) => return Ended::Lost("the gateway closed the tunnel".to_owned()),
                Err(error) => return Ended::Lost(error.to_string()),
            }
        }
    }

    /// Tells the gateway something; `false` where the control stream is not open, or stuck.
    pub(super) fn say(&self, message: &Up) -> bool {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = control.sender.as_ref();
        sender.is_some_and(|sender| sender.send(message).is_ok())
    }

    /// Ends our half of the control stream.
    pub(super) fn hang_up(&self) {
        self.control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sender = None;
    }

    pub(super) fn reason(&self) -> Option<Ended> {
        self.control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended
            .clone()
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}

/// The control stream is told from requests by what no request lacks: a target.
fn is_control(request: &Request<Incoming>) -> bool {
    request.method() == Method::POST
        && request.uri().path() == wire::CONTROL_PATH
        && !request.headers().contains_key(wire::TARGET)
}
