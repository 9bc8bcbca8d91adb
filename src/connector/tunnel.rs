//! One tunnel as the connector sees it: the control stream beside the requests.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::dial::DIAL;
use super::flight::InFlight;
use super::known::Known;
use super::pinned::Pinned;
use super::probe::{Probe, Prober};
use super::profiles::Profiles;
use super::renewal::Renewal;
use super::serve::Server;
use super::status::Reason;
use super::supervisor::Shared;
use crate::http::Body;
use crate::model::{Endpoint, ErrorCode};
use crate::telemetry::printable;
use crate::tunnel::control::{self, Down, Feature, Messages, PROTOCOL_VERSION, Up};
use crate::tunnel::{Inspect, link, wire};

/// What a gateway is told of a tunnel that is given up: nobody ends what is still in it.
const LEAVING: Duration = Duration::from_secs(3600);

/// The longest text of a gateway or an application that is shown as a reason.
pub(super) const REASON: usize = 512;

/// Why a tunnel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was drained.
    Stopped,
    /// The connector was removed at the gateway.
    Removed,
    /// Anything else; it is dialled again.
    Lost(Reason),
}

impl Ended {
    /// SECURITY: what a gateway says may stand in it, at any length, again with each tunnel.
    pub(super) fn lost(code: &'static str, why: &str) -> Self {
        Self::Lost(Reason::new(code, printable(why, REASON)))
    }
}

impl From<JoinError> for Ended {
    fn from(error: JoinError) -> Self {
        Self::lost("internal", &error.to_string())
    }
}

/// One tunnel as the connector sees it.
pub(super) struct Tunnel {
    server: Server,
    hello: Up,
    control: Mutex<Control>,
    renewal: Arc<Renewal>,
    /// What tells it from other tunnels.
    pub(super) number: u64,
    prober: Prober,
    /// To whom it leads, as the gateway was named.
    gateway: Endpoint,
    known: Arc<Known>,
    /// This end needs it no more: it is drained.
    pub(super) leaving: CancellationToken,
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
    /// What is in flight in it is a part of what is in flight on its way.
    pub(super) fn new(shared: &Shared, gateway: &Endpoint, way: &Arc<InFlight>) -> Self {
        let supervisor = &shared.supervisor;
        Self {
            server: Server {
                backend: Arc::clone(&supervisor.backend),
                profiles: Profiles::new(),
                pinned: Pinned::new(),
                in_flight: InFlight::part_of(way),
                status: Arc::clone(&supervisor.status),
                going_away: shared.going_away.clone(),
            },
            hello: Up::Hello {
                version: PROTOCOL_VERSION,
                id: supervisor.identity.id().to_string(),
                instance: supervisor.instance.clone(),
                time: supervisor.clock.now().0,
                max_streams: link::streams(supervisor.stream_window),
                software: env!("CARGO_PKG_VERSION").to_owned(),
                features: Feature::OURS.to_vec(),
            },
            control: Mutex::default(),
            renewal: Arc::clone(&supervisor.renewal),
            number: supervisor.renewal.number(),
            prober: Prober::new(),
            gateway: gateway.clone(),
            known: Arc::clone(&supervisor.known),
            leaving: CancellationToken::new(),
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
            tunnel.server.pinned.close();
            tunnel.over.cancel();
        });
        Response::new(body)
    }

    /// Follows the gateway's messages to the end of the control stream.
    async fn listen(self: &Arc<Self>, body: Incoming) -> Ended {
        let mut messages = Messages::new(body);
        loop {
            match messages.next().await {
                // SECURITY: said again and again, it would be work and lines in the log each time.
                Ok(Some(Down::Welcome { .. })) if self.welcome.is_cancelled() => {}
                Ok(Some(Down::Welcome { time, gateways })) => {
                    self.renewal.welcomed(self, time);
                    self.known.handed_down(&self.gateway, &gateways);
                    self.welcome.cancel();
                }
                Ok(Some(Down::Profile { hash, profile })) => {
                    // The tunnel ends, and with it what a line for each such message would fill.
                    if let Err(wrong) = self.server.profiles.learn(hash, &profile) {
                        return Ended::lost(self.broke(), &wrong.to_string());
                    }
                }
                Ok(Some(Down::Removed)) => return Ended::Removed,
                Ok(Some(Down::Refused { reason })) => {
                    let why = format!("the gateway refuses this connector: {reason}");
                    return Ended::lost("connector_refused", &why);
                }
                Ok(Some(
                    message @ (Down::Renewed { .. }
                    | Down::Authorities { .. }
                    | Down::RenewalRefused { .. }),
                )) => self.renewal.hear(self.number, message),
                Ok(Some(Down::Drain { .. })) => self.replace.cancel(),
                Ok(Some(Down::Closed { connection })) => self.server.pinned.end(&connection),
                Ok(Some(Down::Probe {
                    id,
                    scheme,
                    target,
                    profile,
                    path,
                    authority,
                })) => self.probe(Probe {
                    id,
                    scheme,
                    target,
                    profile,
                    path,
                    authority,
                }),
                Ok(Some(Down::Inspect { id, inspect })) => self.look(id, inspect),
                // One that cannot be told is at its end.
                Ok(Some(Down::Measure { id })) => drop(self.say(&Up::Measured { id })),
                // Only who asks for them has a use for applications.
                Ok(Some(Down::Application { .. } | Down::Applications { .. } | Down::Unknown)) => {}
                Ok(None) => return Ended::lost(self.broke(), "the gateway closed the tunnel"),
                Err(error) => return Ended::lost(self.broke(), &error.to_string()),
            }
        }
    }

    /// The word for a connection that ends now: it was a tunnel from the welcome on.
    pub(super) fn broke(&self) -> &'static str {
        match self.welcome.is_cancelled() {
            true => "tunnel_lost",
            false => "tunnel_ended",
        }
    }

    /// Tries whether an application is alive.
    fn probe(self: &Arc<Self>, probe: Probe) {
        let tunnel = Arc::clone(self);
        self.beside(async move {
            let Server {
                backend, profiles, ..
            } = &tunnel.server;
            tunnel.prober.carry_out(probe, backend, profiles).await
        });
    }

    /// Looks at an application step by step.
    fn look(self: &Arc<Self>, id: u64, asked: Inspect) {
        let tunnel = Arc::clone(self);
        self.beside(async move {
            let backend = &tunnel.server.backend;
            tunnel.prober.look(id, &asked, backend).await
        });
    }

    /// Says what comes of this, beside everything else, until the tunnel ends.
    fn beside(self: &Arc<Self>, work: impl Future<Output = Option<Up>> + Send + 'static) {
        let tunnel = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                said = work => {
                    if let Some(said) = said {
                        tunnel.say(&said);
                    }
                }
                () = tunnel.over.cancelled() => {}
            }
        });
    }

    /// Tells the gateway something; `false` where the control stream is not open, or stuck.
    pub(super) fn say(&self, message: &Up) -> bool {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = control.sender.as_ref();
        sender.is_some_and(|sender| sender.send(message).is_ok())
    }

    /// Has the gateway end it as soon as it carries nothing: only there it is known what is on its
    /// way.
    pub(super) fn leave(&self) {
        self.leaving.cancel();
        // One that cannot be told is at its end.
        let _ = self.say(&Up::Drain {
            deadline_s: LEAVING.as_secs(),
        });
    }

    /// Requests and WebSockets in flight in it.
    pub(super) fn in_flight(&self) -> usize {
        self.server.in_flight.count()
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
