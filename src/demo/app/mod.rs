//! The demo application: an intranet site with bad habits, for people to try and for tests to use.
//!
//! It knows itself only by its internal name and says so in absolute links, redirects and cookies.
//! `GET` paths answer `HEAD` too; a method that a path does not take is 405 with `Allow`. A query
//! that cannot be read is 400 and says what it should be.
//!
//! | path | answers |
//! |---|---|
//! | `/` | the home page: relative links to all below, and absolute ones with the internal name |
//! | `/redirect` | 302 to the absolute internal `/request?from=redirect` |
//! | `/cookie` | counts visits in the cookie `demo-visits`, set with `Domain` (internal host) and `Path=/`; shows what arrived |
//! | `/form` | `GET`: a form, and the text of `?said=`, escaped; `POST text=…` (64 KiB at most): 303 to the absolute internal `/form?said=…` |
//! | `/upload` | `GET`: a form; `POST` or `PUT`: `{"octets","sha256","multipart"}` of the body, or of the first part of `multipart/form-data`; a page where `Accept` names HTML |
//! | `/ws-page` | a page whose script talks to `/ws` |
//! | `/ws` | a WebSocket that echoes messages up to 1 MiB; sets the cookie `demo-ws` in its handshake; takes the subprotocol `echo` |
//! | `/events-page` | a page that shows `/events` |
//! | `/events?n=&every_ms=` | server-sent events `id: N` and `data: <time>`, `n` of them (endless without), the first at once, then one every `every_ms` (1000); goes on after `Last-Event-ID` |
//! | `/request` | method, target, version and every header as they arrived; `{"method","target","version","headers":[[name,value]]}` where `Accept` names JSON; any method |
//! | `/download?size=` | that many octets (`10MiB`), octet `i` being `i mod 251`, with `Content-Length`, `ETag`, single ranges and `If-Range` |
//! | `/chunked?n=` | `n` (10) lines `chunk 1`…, each a chunk of its own, of unknown length |
//! | `/slow?ms=` | waits (1000) before it answers; 10 minutes at most |
//! | `/status/NNN` | that status, 200 to 599; any method |
//! | `/trailers` | a chunked body with the trailer `x-demo-sum`, for requests with `TE: trailers` |
//! | `/broken` | a chunked body that dies half way: the connection closes before the last chunk |
//! | `/big-header?n=&byte=` | a header `x-big` of `n` (1024, at most 1 MiB) octets of this hexadecimal value (`61`) |
//! | `/cancelled` | `{"cancelled","requests"}`: how many requests and streamed answers clients abandoned |
//! | `/favicon.ico`, `/static/demo.css`, `/static/demo.js` | what the pages need |

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::http::{Body, Guard};

mod pages;
mod query;
mod streams;
mod upload;
mod websocket;

/// A pause after a failed accept, so that a process out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What can be seen of a running demo application, and done to it. Clones are the same one.
#[derive(Debug, Clone)]
pub struct AppControl {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    internal: Authority,
    clock: Clock,
    delay_ms: AtomicU64,
    requests: AtomicU64,
    cancelled: AtomicU64,
}

impl AppControl {
    /// An application that takes `internal` for its name, such as `demo.corp.internal:8080`.
    #[must_use]
    pub fn new(internal: Authority, clock: Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                internal,
                clock,
                delay_ms: AtomicU64::new(0),
                requests: AtomicU64::new(0),
                cancelled: AtomicU64::new(0),
            }),
        }
    }

    /// Lets every later request wait this long, in whole milliseconds, before it is looked at.
    pub fn set_delay(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.shared.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// How long requests wait now.
    #[must_use]
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.shared.delay_ms.load(Ordering::Relaxed))
    }

    /// Requests that have arrived.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Requests whose client went away before the answer, or before the end of a streamed one.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.shared.cancelled.load(Ordering::Relaxed)
    }

    /// The absolute internal URL of a path.
    fn absolute(&self, path: &str) -> String {
        format!("http://{}{path}", self.shared.internal)
    }

    /// A cookie for the internal host.
    fn cookie(&self, name: &str, value: &str) -> String {
        let host = self.shared.internal.host();
        format!("{name}={value}; Domain={host}; Path=/")
    }
}

/// Serves until it is dropped; its connections and WebSockets end with it.
pub async fn serve(listener: TcpListener, control: AppControl) {
    let running = CancellationToken::new();
    let _end_all = running.clone().drop_guard();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Without it a small answer may wait for an acknowledgement; its failure harms nothing.
        let _ = stream.set_nodelay(true);
        let (control, open) = (control.clone(), running.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .max_headers(300)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| answer(request, control.clone(), open.clone())),
            )
            .with_upgrades();
        // A connection that breaks is its client's business.
        tokio::spawn(running.clone().run_until_cancelled_owned(connection));
    }
}

async fn answer(
    request: Request<Incoming>,
    control: AppControl,
    running: CancellationToken,
) -> Result<Response<Body>, Infallible> {
    control.shared.requests.fetch_add(1, Ordering::Relaxed);
    let mut watch = Watch::new(&control, None);
    let delay = control.delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let response = route(request, &control, running).await;
    watch.complete();
    Ok(response.unwrap_or_else(Refusal::into_response))
}

/// A handler's answer.
type Answer = Result<Response<Body>, Refusal>;

/// Why a request is refused, as its sender is told.
struct Refusal {
    status: StatusCode,
    words: String,
    field: Option<(HeaderName, String)>,
}

impl Refusal {
    fn new(status: StatusCode, words: &str) -> Self {
        Self {
            status,
            words: format!("{words}\n"),
            field: None,
        }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.field = Some((name, value.to_owned()));
        self
    }

    fn into_response(self) -> Response<Body> {
        let response = text(self.status, &self.words);
        match self.field {
            Some((name, value)) => with(response, name, &value),
            None => response,
        }
    }
}

async fn route(
    request: Request<Incoming>,
    control: &AppControl,
    running: CancellationToken,
) -> Answer {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let allowed: &[Method] = match path.as_str() {
        "/form" => &[Method::GET, Method::HEAD, Method::POST],
        "/upload" => &[Method::GET, Method::HEAD, Method::POST, Method::PUT],
        "/request" => &[],
        other if other.starts_with("/status/") => &[],
        _ => &[Method::GET, Method::HEAD],
    };
    if !allowed.is_empty() && !allowed.contains(&method) {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method");
        return Err(refusal.with(ALLOW, &names.join(", ")));
    }
    let reads = method == Method::GET || method == Method::HEAD;
    match path.as_str() {
        "/" => Ok(pages::home(control)),
        "/redirect" => Ok(redirect(
            StatusCode::FOUND,
            &control.absolute("/request?from=redirect"),
        )),
        "/cookie" => Ok(pages::cookie(&request, control)),
        "/form" if reads => pages::form(&request),
        "/form" => pages::submit(request, control).await,
        "/upload" if reads => Ok(pages::upload()),
        "/upload" => upload::receive(request).await,
        "/ws-page" => Ok(pages::websocket()),
        "/ws" => websocket::open(request, control, running),
        "/events-page" => Ok(pages::events()),
        "/events" => streams::events(&request, control),
        "/request" => Ok(pages::request(&request)),
        "/download" => streams::download(&request, control),
        "/chunked" => streams::chunked(&request, control),
        "/slow" => streams::slow(&request).await,
        "/trailers" => Ok(streams::trailers()),
        "/broken" => Ok(streams::broken()),
        "/big-header" => streams::big_header(&request),
        "/cancelled" => Ok(json(&serde_json::json!({
            "cancelled": control.cancelled(),
            "requests": control.requests(),
        }))),
        "/favicon.ico" => Ok(asset("image/svg+xml", include_str!("assets/icon.svg"))),
        "/static/demo.css" => Ok(asset("text/css", include_str!("assets/demo.css"))),
        "/static/demo.js" => Ok(asset("text/javascript", include_str!("assets/demo.js"))),
        other => match other.strip_prefix("/status/") {
            Some(code) => streams::status(code),
            None => {
                let words = "the demo application has no such page";
                Err(Refusal::new(StatusCode::NOT_FOUND, words))
            }
        },
    }
}

/// Counts what a client abandons: it was dropped before it was complete.
struct Watch {
    control: AppControl,
    /// Octets that make a body of known length complete: hyper drops such a body unasked.
    left: Option<u64>,
    complete: bool,
}

impl Watch {
    fn new(control: &AppControl, length: Option<u64>) -> Self {
        Self {
            control: control.clone(),
            left: length,
            complete: length == Some(0),
        }
    }
}

impl Guard for Watch {
    fn complete(&mut self) {
        self.complete = true;
    }

    fn progress(&mut self, octets: usize) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(octets as u64);
            self.complete |= *left == 0;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.complete {
            self.control
                .shared
                .cancelled
                .fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn text(status: StatusCode, words: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(words.to_owned()));
    *response.status_mut() = status;
    with(response, CONTENT_TYPE, "text/plain; charset=utf-8")
}

fn refuse(words: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, words)
}

fn json(value: &serde_json::Value) -> Response<Body> {
    let response = Response::new(Body::full(format!("{value}\n")));
    let response = with(response, CACHE_CONTROL, "no-store");
    with(response, CONTENT_TYPE, "application/json")
}

fn asset(kind: &'static str, content: &'static str) -> Response<Body> {
    with(Response::new(Body::full(content)), CONTENT_TYPE, kind)
}

fn redirect(status: StatusCode, to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    with(response, LOCATION, to)
}

/// Adds a field; one that may not stand in a header is left out.
fn with(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
    response
}

/// The whole value of a header, as text.
fn header<'r, B>(request: &'r Request<B>, name: &HeaderName) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

/// Whether `Accept` names this media type.
fn accepts<B>(request: &Request<B>, kind: &str) -> bool {
    header(request, &http::header::ACCEPT).is_some_and(|accept| accept.contains(kind))
}

#[cfg(test)]
mod tests;
