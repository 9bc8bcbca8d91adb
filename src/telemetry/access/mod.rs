//! One structured line for each request.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, StatusCode, Version};
use tokio::time::Instant;

use super::requests::{self, InFlight, Outcome, RequestMeter};
use crate::model::{ConnectorId, ErrorCode, RequestId};

/// What these lines are known by in the log.
pub(super) const TARGET: &str = "access";

/// The most octets of a method, host or path that are logged, so that a request cannot write
/// more log than it sends.
const LONGEST: usize = 1024;

/// How a request ended. That a client goes away is no error, of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The answer was handed over to its end; a WebSocket was closed by either side.
    Complete,
    /// The client went away before, also while it was still waiting.
    ClientGone,
    /// The application or the tunnel broke off, or we did.
    Cut,
}

impl Ended {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::Cut => "cut",
        }
    }
}

/// What is known of one request, written as one event of the target `access`, and counted, when this
/// is dropped.
///
/// Made when the request's head was read, filled in on the way, then carried by the answer's
/// body, or moved into the task of an upgraded connection. A line dropped before its end is known
/// says `client_gone`: the future that held it was given up.
///
/// The query is not logged: it carries one-time codes, tokens and what people search for. The
/// log's own time stamp is the time of the end; `duration_ms` leads back to the beginning.
#[derive(Debug)]
pub struct AccessLine {
    id: RequestId,
    client: IpAddr,
    method: Method,
    host: Named,
    path: Option<PathAndQuery>,
    /// None where it is no request, and TLS is passed on.
    version: Option<Version>,
    started: Instant,
    forwarded: Option<Instant>,
    times: Option<Times>,
    status: Option<StatusCode>,
    code: Option<ErrorCode>,
    application: Option<InFlight>,
    connector: Option<ConnectorId>,
    person: Option<Arc<str>>,
    octets_in: Option<OctetsIn>,
    /// What the answer's body will have, where it is known.
    length: Option<u64>,
    octets_out: u64,
    ended: Ended,
    upgraded: bool,
}

/// The host as the request named it; clones of parts that are shared, not copied.
#[derive(Debug)]
enum Named {
    Target(Authority),
    Field(HeaderValue),
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    gateway: Duration,
    tunnel: Option<Duration>,
    backend: Option<Duration>,
}

impl AccessLine {
    /// Begins the line of `request`, and its clock.
    #[must_use]
    pub fn begin<B>(id: RequestId, client: IpAddr, request: &Request<B>) -> Self {
        let host = match (request.uri().authority(), request.headers().get(HOST)) {
            (Some(authority), _) => Named::Target(authority.clone()),
            (None, Some(field)) => Named::Field(field.clone()),
            (None, None) => Named::Nothing,
        };
        Self {
            id,
            client,
            method: request.method().clone(),
            host,
            path: request.uri().path_and_query().cloned(),
            version: Some(request.version()),
            started: Instant::now(),
            forwarded: None,
            times: None,
            status: None,
            code: None,
            application: None,
            connector: None,
            person: None,
            octets_in: None,
            length: None,
            octets_out: 0,
            ended: Ended::ClientGone,
            upgraded: false,
        }
    }

    /// Begins the line of a connection whose requests nobody sees; `host` is its server name.
    #[must_use]
    pub fn of_connection(id: RequestId, client: IpAddr, host: &str) -> Self {
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        let host = host.parse::<Authority>();
        let mut line = Self::begin(id, client, &request);
        line.host = host.map_or(Named::Nothing, Named::Target);
        line.path = None;
        line.version = None;
        line.upgraded = true;
        line
    }

    /// The reference of the request.
    #[must_use]
    pub const fn id(&self) -> &RequestId {
        &self.id
    }

    /// The client's address.
    #[must_use]
    pub const fn client(&self) -> IpAddr {
        self.client
    }

    /// Who it is from, as the log is to say it.
    #[must_use]
    pub fn person(&self) -> Option<&str> {
        self.person.as_deref()
    }

    /// The path that was asked for, without the query.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_ref().map(PathAndQuery::path)
    }

    /// The connector in whose tunnel it went last.
    #[must_use]
    pub const fn connector(&self) -> Option<&ConnectorId> {
        self.connector.as_ref()
    }

    /// The application it was routed to, by what counts that application's requests.
    pub fn routed(&mut self, application: &Arc<RequestMeter>) {
        self.application = Some(application.begin());
    }

    /// It goes into a tunnel of this connector now; said again when it is tried on another.
    pub fn forwarded(&mut self, connector: &ConnectorId) {
        self.connector = Some(connector.clone());
        self.forwarded = Some(Instant::now());
    }

    /// The head of the answer came out of the tunnel; `backend` is how long the connector waited
    /// for the application, where it said so.
    pub fn returned(&mut self, backend: Option<Duration>) {
        self.returned_at(Instant::now(), backend);
    }

    fn returned_at(&mut self, now: Instant, backend: Option<Duration>) {
        let Some(forwarded) = self.forwarded else {
            return;
        };
        let away = now.duration_since(forwarded);
        self.times = Some(Times {
            gateway: forwarded.duration_since(self.started),
            tunnel: backend.map(|backend| away.saturating_sub(backend)),
            backend,
        });
    }

    /// The status that is sent to the client, and the octets its body will have where that is
    /// known.
    pub fn answered(&mut self, status: StatusCode, length: Option<u64>) {
        self.status = Some(status);
        self.length = length;
    }

    /// It is a WebSocket: over HTTP/2 the status does not say so.
    pub fn upgraded(&mut self) {
        self.upgraded = true;
    }

    /// Octets of the answer's body went out.
    pub fn sent(&mut self, octets: usize) {
        self.octets_out += octets as u64;
    }

    /// How the answer's body ended. Where nobody says so, the client went away, unless it has all
    /// of the answer already.
    pub fn ended(&mut self, ended: Ended) {
        self.ended = ended;
    }

    /// Whose request it is, as far as the log is to say so.
    pub fn of_person(&mut self, person: Arc<str>) {
        self.person = Some(person);
    }

    /// The request, or the answer on its way, ended with this code.
    pub fn failed(&mut self, code: ErrorCode) {
        self.code = Some(code);
    }

    /// Counts what the client sends; for the request's body to carry.
    #[must_use]
    pub fn octets_in(&mut self) -> OctetsIn {
        self.octets_in.get_or_insert_with(OctetsIn::default).clone()
    }

    /// Ends the line of a connection that has no body of its own: an upgraded one, or one closed
    /// without an answer. `sent` and `received` are octets as the client's side counts them.
    pub fn end(mut self, ended: Ended, received: u64, sent: u64) {
        self.octets_in().add(received);
        self.octets_out += sent;
        self.ended = ended;
    }

    /// Whether all of the answer was taken, though the body was not read to its end: hyper drops
    /// a body unread where the answer has none, and after as many octets as it announced.
    fn is_whole(&self) -> bool {
        self.status.is_some_and(|status| {
            self.method == Method::HEAD
                || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
                || self.length == Some(self.octets_out)
        })
    }

    fn write(&self) {
        let host = match &self.host {
            Named::Target(authority) => bounded(authority.as_str().as_bytes()),
            Named::Field(field) => bounded(field.as_bytes()),
            Named::Nothing => Cow::Borrowed(""),
        };
        // User information before the host would be a password.
        let host = host.rsplit('@').next().unwrap_or_default();
        let path = bounded(self.path.as_ref().map_or("", |p| p.path()).as_bytes());
        let times = self.times.as_ref();
        tracing::info!(
            target: TARGET,
            request_id = self.id.as_str(),
            client = %self.client,
            method = &*bounded(self.method.as_str().as_bytes()),
            host,
            path = &*path,
            protocol = protocol(self.version),
            status = self.status.map(|s| s.as_u16()),
            error = self.code.map(ErrorCode::as_str),
            application = self.application.as_ref().map(InFlight::application),
            person = self.person.as_deref(),
            connector = self.connector.as_ref().map(ConnectorId::as_str),
            gateway_ms = times.map(|t| milliseconds(t.gateway)),
            tunnel_ms = times.and_then(|t| t.tunnel).map(milliseconds),
            backend_ms = times.and_then(|t| t.backend).map(milliseconds),
            duration_ms = milliseconds(self.started.elapsed()),
            octets_in = self.octets_in.as_ref().map_or(0, OctetsIn::count),
            octets_out = self.octets_out,
            ended = self.ended.as_str(),
            "request"
        );
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        if self.ended == Ended::ClientGone && self.is_whole() {
            self.ended = Ended::Complete;
        }
        let times = self.times;
        let outcome = Outcome {
            status: self.status,
            code: self.code,
            took: (!self.upgraded).then(|| self.started.elapsed()),
            parts: [
                times.map(|times| times.gateway),
                times.and_then(|times| times.tunnel),
                times.and_then(|times| times.backend),
            ],
            octets: [
                self.octets_in.as_ref().map_or(0, OctetsIn::count),
                self.octets_out,
            ],
        };
        requests::ended(self.application.as_ref(), &outcome);
        self.write();
    }
}

/// Counts the octets of a request's body, which may still flow when the answer begins.
#[derive(Debug, Clone, Default)]
pub struct OctetsIn(Arc<AtomicU64>);

impl OctetsIn {
    /// This many more.
    pub fn add(&self, octets: u64) {
        self.0.fetch_add(octets, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

const fn protocol(version: Option<Version>) -> &'static str {
    let Some(version) = version else {
        return "TLS";
    };
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "other",
    }
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The text, cut where it is too long; only such a one, or one that is not UTF-8, is copied.
/// Control characters are escaped by both forms of the log.
fn bounded(octets: &[u8]) -> Cow<'_, str> {
    if octets.len() <= LONGEST {
        return String::from_utf8_lossy(octets);
    }
    let kept = octets.get(..LONGEST).unwrap_or_default();
    let mut text = String::from_utf8_lossy(kept).into_owned();
    text.push('…');
    Cow::Owned(text)
}

#[cfg(test)]
mod tests;
