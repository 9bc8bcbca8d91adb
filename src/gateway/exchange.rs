//! A request and its answer through a tunnel: the choice of it, the deadline, and another attempt
//! where one is allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Gateway;
use super::forward::Errand;
use super::health::Changed;
use super::respond::Failure;
use super::route::Published;
use super::tunnels::{Lease, Tunnel, Wanted};
use crate::http::{Body, Guard};
use crate::model::{Application, ErrorCode};
use crate::telemetry::AccessLine;
use crate::tunnel::link::Place;
use crate::tunnel::retry::{self, Attempt};
use crate::tunnel::wire;

/// Tunnels tried for one request.
const TRIES: usize = 3;

/// What a connector may take on top of the application's own time before its silence is a fault of
/// its own.
const GRACE: Duration = Duration::from_secs(5);

/// One request on its way.
pub(super) struct Exchange<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) application: &'a Application,
    pub(super) errand: &'a Errand<'a>,
    pub(super) upload: Upload,
    pub(super) is_websocket: bool,
}

/// What became of the client's body: where it broke off, no tunnel and no application is to blame.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload {
    broken: Arc<AtomicBool>,
    done: CancellationToken,
}

impl Upload {
    pub(super) fn follow(&self, body: Body) -> Body {
        if body.is_end_stream() {
            self.done.cancel();
            return body;
        }
        body.with_guard(self.clone())
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

impl Guard for Upload {
    fn complete(&mut self) {
        self.done.cancel();
    }

    fn broken(&mut self) {
        self.broken.store(true, Ordering::Release);
    }
}

/// Why an attempt gave no answer.
enum Unanswered {
    /// With the request itself where it was handed back.
    NotProcessed(Option<Box<Request<Body>>>, String),
    Lost(String),
}

impl Exchange<'_> {
    /// Sends the request, again where that is allowed, and gives its answer and the place it holds.
    pub(super) async fn run(
        &self,
        access: &mut AccessLine,
        request: Request<Body>,
    ) -> Result<(Response<Incoming>, Place), Failure> {
        let method = match self.is_websocket {
            true => Method::GET,
            false => request.method().clone(),
        };
        let kept = request.body().is_end_stream().then(|| again(&request));
        let mut next = Some(request);
        let (mut tried, mut deaths) = (Vec::new(), 0);
        let mut lease = self.first(kept.is_some()).await?;
        loop {
            access.forwarded(&lease.tunnel.connector);
            let Some(request) = next.take().or_else(|| kept.as_ref().map(again)) else {
                return Err(Failure::internal(
                    "a request that is gone was to be sent again",
                ));
            };
            let began = Instant::now();
            let attempt = self.attempt(&lease, request).await;
            let (outcome, why, answer) = match attempt {
                Ok(answer) => match failure_of(&answer) {
                    Some(code) if retry::never_reached(code) => {
                        self.failed(&lease, code.as_str());
                        (Attempt::Failed(code), code.to_string(), Some(answer))
                    }
                    code => {
                        self.answered(&lease, began.elapsed(), code);
                        return Ok((answer, lease.place));
                    }
                },
                Err(Unanswered::NotProcessed(request, why)) => {
                    next = request.map(|request| *request);
                    (Attempt::NotProcessed, why, None)
                }
                Err(Unanswered::Lost(_)) if self.upload.is_broken() => return Err(broken_off()),
                Err(Unanswered::Lost(why)) => {
                    deaths += 1;
                    self.failed(&lease, &why);
                    (Attempt::Lost, why, None)
                }
            };
            let body = match (&kept, &next) {
                (Some(_), _) => retry::Body::None,
                (None, Some(_)) => retry::Body::Whole,
                (None, None) => retry::Body::Begun,
            };
            tried.push(Arc::clone(&lease.tunnel));
            let may = tried.len() < TRIES && retry::may_repeat(outcome, &method, body, deaths);
            let other = may.then(|| self.another(&tried, outcome)).flatten();
            match (other, answer) {
                (Some(other), _) => {
                    tracing::info!(
                        request_id = %self.errand.id,
                        from = ?lease.tunnel,
                        to = ?other.tunnel,
                        why,
                        "request sent again"
                    );
                    lease = other;
                }
                (None, Some(answer)) => return Ok((answer, lease.place)),
                (None, None) => return Err(Failure::new(ErrorCode::TunnelLost, why)),
            }
        }
    }

    async fn attempt(
        &self,
        lease: &Lease,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let tunnel = &lease.tunnel;
        let Published { profile, hash, .. } = self.errand.published;
        // A connector that takes no more messages is as good as gone.
        if let Err(stuck) = tunnel.tell(hash, profile) {
            let why = format!("{tunnel:?}: {stuck}");
            return Err(Unanswered::NotProcessed(Some(Box::new(request)), why));
        }
        let waiting = tunnel.begin();
        let timeouts = &self.application.timeouts;
        let patience = timeouts.connect + timeouts.first_byte + GRACE;
        let overdue = async {
            self.upload.done.cancelled().await;
            sleep(patience).await;
        };
        let mut requests = tunnel.requests();
        let sent = requests.try_send_request(request);
        let answer = tokio::select! {
            answer = sent => answer,
            () = overdue => {
                let why = format!("{tunnel:?} has not answered within {patience:?}, though it is alive");
                return Err(Unanswered::Lost(why));
            }
        };
        match answer {
            Ok(response) => {
                waiting.answered();
                Ok(response)
            }
            Err(mut error) => {
                let request = error.take_message().map(Box::new);
                let error = error.into_error();
                let why = format!("{tunnel:?} was lost: {}", chain(&error));
                if request.is_some() || is_refused(&error) {
                    return Err(Unanswered::NotProcessed(request, why));
                }
                Err(Unanswered::Lost(why))
            }
        }
    }

    /// A tunnel for the first attempt. In a gateway's first seconds its connectors are still on
    /// their way back, and a request of theirs waits for one of them.
    async fn first(&self, may_try: bool) -> Result<Lease, Failure> {
        let groups = self.application.connectors.groups();
        let wanted = Wanted {
            groups,
            application: &self.application.name,
            tried: &[],
            may_try,
        };
        let tunnels = &self.gateway.tunnels;
        let code = match tunnels.choose(&wanted) {
            Ok(lease) => return Ok(lease),
            Err(ErrorCode::NoConnector) => {
                let returning = &self.gateway.returning;
                let Some((until, _waits)) = returning.wait_for(groups) else {
                    return Err(self.nobody(ErrorCode::NoConnector));
                };
                loop {
                    // Begun before the look, so that none falls between the two.
                    let another = tunnels.another();
                    match tunnels.choose(&wanted) {
                        Ok(lease) => return Ok(lease),
                        Err(ErrorCode::NoConnector) => {}
                        Err(code) => break code,
                    }
                    if timeout_at(until, another).await.is_err() {
                        break ErrorCode::NoConnector;
                    }
                }
            }
            Err(code) => code,
        };
        Err(self.nobody(code))
    }

    fn nobody(&self, code: ErrorCode) -> Failure {
        let groups = self.application.connectors.groups();
        let groups: Vec<&str> = groups.iter().map(|group| group.as_str()).collect();
        let detail = match code {
            ErrorCode::TunnelBusy => {
                "every tunnel of the groups carries as many requests as it may"
            }
            _ => "no connector of the groups is connected",
        };
        Failure::new(code, format!("{detail}: {}", groups.join(", ")))
    }

    /// A tunnel for another attempt. Where the connector could not reach the application, another
    /// of its tunnels would not either.
    fn another(&self, tried: &[Arc<Tunnel>], outcome: Attempt) -> Option<Lease> {
        let wanted = Wanted {
            groups: self.application.connectors.groups(),
            application: &self.application.name,
            tried,
            may_try: false,
        };
        let lease = self.gateway.tunnels.choose(&wanted).ok()?;
        let same = tried.iter().any(|t| t.connector == lease.tunnel.connector);
        let useless = same && matches!(outcome, Attempt::Failed(_));
        (!useless).then_some(lease)
    }

    fn answered(&self, lease: &Lease, took: Duration, code: Option<ErrorCode>) {
        let now = Instant::now();
        // Only an answer of the application itself says that it was reached.
        if code.is_some() {
            lease.health.was_slow(took, now);
        } else if lease.health.answered(took, now) == Changed::Returned {
            tracing::info!(connector = %lease.tunnel.connector, application = %self.application.name, "connector reaches the application again, and is chosen");
        }
    }

    fn failed(&self, lease: &Lease, why: &str) {
        let patience = self.application.timeouts.connect;
        if lease.health.failed(patience, Instant::now()) == Changed::Ejected {
            tracing::warn!(connector = %lease.tunnel.connector, application = %self.application.name, why, "connector does not reach the application, and is not chosen for it until it does");
        }
    }
}

/// Why there is no answer of the application, where the connector says so.
fn failure_of(answer: &Response<Incoming>) -> Option<ErrorCode> {
    let word = answer.headers().get(wire::ERROR)?;
    let code = word.to_str().ok().and_then(ErrorCode::from_word);
    Some(code.unwrap_or(ErrorCode::TunnelLost))
}

/// The same request once more; it has no body.
fn again(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(Body::empty());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    *copy.version_mut() = request.version();
    if let Some(protocol) = request.extensions().get::<Protocol>() {
        copy.extensions_mut().insert(protocol.clone());
    }
    copy
}

fn broken_off() -> Failure {
    let detail = "the request's body broke off: malformed chunks, or its sender stopped";
    Failure::new(ErrorCode::BadRequest, detail).closing()
}

/// Whether the other end refused the stream as a whole, before it did anything.
fn is_refused(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            return error.reason() == Some(h2::Reason::REFUSED_STREAM);
        }
        source = cause.source();
    }
    false
}

fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
