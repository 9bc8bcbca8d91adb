//! A small HTTP/1.1 server for those who watch: `/metrics`, `/healthz`, `/readyz`, and `/status`
//! where there is one. It tells no secrets and takes no orders.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;

use self::places::Places;
use super::Recorder;
use super::metrics::Page;

mod places;

/// For the head of a request. Whoever watches sends it in one piece.
const HEAD: Duration = Duration::from_secs(2);

/// For a connection from its beginning to its end; it carries one request.
const WHOLE: Duration = Duration::from_secs(15);

/// Connections of one listener at once; for more see [`Places::take`].
const CONNECTIONS: usize = 32;

/// Octets of a head: nobody who watches has much to say.
const HEAD_OCTETS: usize = 16 * 1024;

/// After a failed accept: the usual reason is that no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// What can be asked of a gateway or a connector.
pub trait Observed: Send + Sync + 'static {
    /// Writes what is so at the moment.
    fn samples(&self, page: &mut Page);

    /// What keeps it from serving, a sentence each; nothing where it serves.
    fn missing(&self) -> BoxFuture<'_, Vec<String>>;

    /// All there is to tell, for `/status`; `None` where there is no such page.
    fn status(&self) -> Option<serde_json::Value>;
}

/// Who can reach a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Programs of this machine, a browser among them.
    Machine,
    /// Whoever the operator let in: another network, or the owner of a socket's file.
    Invited,
}

impl Reach {
    /// Of a listener at this address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical().is_loopback() {
            true => Self::Machine,
            false => Self::Invited,
        }
    }
}

/// The pages, whoever asks for them.
#[derive(Clone)]
pub struct Endpoint {
    recorder: Option<Recorder>,
    observed: Arc<dyn Observed>,
}

impl Endpoint {
    /// Pages about this.
    #[must_use]
    pub fn new(recorder: Option<Recorder>, observed: Arc<dyn Observed>) -> Self {
        Self { recorder, observed }
    }

    /// Serves a TCP listener for ever. Its places are its own: what happens on the network takes
    /// none from whoever asks over the unix socket.
    pub async fn serve_tcp(self, listener: TcpListener) {
        let address = listener.local_addr();
        let reach = address.map_or(Reach::Machine, |address| Reach::of(address.ip()));
        let places = Places::new(CONNECTIONS);
        loop {
            let accepted = listener.accept().await;
            let accepted = accepted.map(|(stream, _)| stream);
            self.take(&places, reach, accepted).await;
        }
    }

    /// Serves a unix socket for ever.
    pub async fn serve_unix(self, listener: UnixListener) {
        let places = Places::new(CONNECTIONS);
        loop {
            let accepted = listener.accept().await;
            let accepted = accepted.map(|(stream, _)| stream);
            self.take(&places, Reach::Invited, accepted).await;
        }
    }

    /// Gives a connection a task of its own, once there is a place for it.
    async fn take<S>(&self, places: &Arc<Places>, reach: Reach, accepted: io::Result<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(stream) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            return;
        };
        let Some(place) = places.take().await else {
            return;
        };
        let endpoint = self.clone();
        tokio::spawn(async move {
            let (endpoint, place) = (&endpoint, &place);
            let service = service_fn(|request| async move {
                place.has_spoken();
                Ok::<_, Infallible>(endpoint.answer(reach, &request).await)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_header_size(HEAD_OCTETS)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // What goes wrong is the other end's doing, and nothing to us.
            tokio::select! {
                _ = timeout(WHOLE, connection) => {}
                () = place.wanted() => {}
            }
        });
    }

    async fn answer(&self, reach: Reach, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let methods = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, methods);
            return response;
        }
        if !request.body().is_end_stream() {
            return text(
                StatusCode::BAD_REQUEST,
                "there is a body, and none belongs here\n",
            );
        }
        // SECURITY: a page in a browser on this machine can have a name of its own point here (DNS
        // rebinding) and then read what it is told; the name it used is in Host.
        if reach == Reach::Machine && !request.headers().get(HOST).is_none_or(names_this_machine) {
            return text(
                StatusCode::MISDIRECTED_REQUEST,
                "use an address or localhost: other names are not answered here\n",
            );
        }
        match request.uri().path() {
            "/metrics" => page(StatusCode::OK, PROMETHEUS, self.metrics()),
            "/healthz" => text(StatusCode::OK, "alive\n"),
            "/readyz" => self.ready().await,
            "/status" => match self.observed.status() {
                Some(status) => page(StatusCode::OK, JSON, format!("{status:#}\n")),
                None => text(StatusCode::NOT_FOUND, "there is no /status here\n"),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /metrics, /healthz and /readyz\n",
            ),
        }
    }

    fn metrics(&self) -> String {
        let mut page = Page::default();
        self.observed.samples(&mut page);
        let mut text = page.into_text();
        if let Some(recorder) = &self.recorder {
            text.push_str(&recorder.render());
        }
        text
    }

    async fn ready(&self) -> Response<Full<Bytes>> {
        let missing = self.observed.missing().await;
        if missing.is_empty() {
            return text(StatusCode::OK, "ready\n");
        }
        let mut lines = String::new();
        for what in missing {
            let _ = writeln!(lines, "{what}");
        }
        page(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines)
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Endpoint")
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    page(status, TEXT, text.to_owned())
}

fn page(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// An address, or `localhost` and what is below it, with a port or without.
fn names_this_machine(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => {
            host
        }
        _ => host,
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    bare.unwrap_or(host).parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
