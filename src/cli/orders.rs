//! The gateway's admin socket: orders of this machine's administrator, in HTTP/1.1 and JSON.
//!
//! SECURITY: the file is its owner's alone; whoever may open it is the administrator.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use url::form_urlencoded;

use super::Exit;
use super::reload::Reloader;
use crate::certs;
use crate::config::{Described, GatewayConfig};
use crate::gateway::{Question, Visitor};
use crate::net::SocketFile;
use crate::telemetry;
use crate::translate::crawl::Crawled;
use crate::tunnel::Viewed;

/// For the head of an order.
const HEAD: Duration = Duration::from_secs(5);

/// For an order and its answer: a reload reads thousands of files at most.
const WHOLE: Duration = Duration::from_secs(60);

/// What is told of an application.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// By each connector, of each internal URL.
    pub(super) viewed: Vec<Viewed>,
    /// Of its pages.
    pub(super) crawled: Crawled,
}

/// For connectors to look at an application, and tell.
const INSPECTION: Duration = Duration::from_secs(9);

/// Orders at once.
const AT_ONCE: usize = 8;

/// After a failed accept: the usual reason is that no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Octets of an answer: the settings of tens of thousands of applications fit.
const ANSWER: usize = 64 << 20;

/// Where orders go.
pub(super) mod paths {
    /// Reads the configuration again.
    pub(in crate::cli) const RELOAD: &str = "/reload";
    /// What would become of a request: `url`, `method`, `ip`.
    pub(in crate::cli) const EXPLAIN: &str = "/explain";
    /// Logs from another `level` on.
    pub(in crate::cli) const LOG_LEVEL: &str = "/log-level";
    /// The connectors that have a tunnel.
    pub(in crate::cli) const CONNECTED: &str = "/connected";
    /// Which file it goes by, whether that says what is in force, and what it has of its host.
    pub(in crate::cli) const IN_FORCE: &str = "/in-force";
    /// What connectors find at an `application`, and on so many of its `pages`.
    pub(in crate::cli) const INSPECT: &str = "/inspect";
    /// The configuration in force, described.
    pub(in crate::cli) const CONFIGURATION: &str = "/configuration";
}

/// The socket as long as it takes orders.
#[derive(Debug)]
pub(super) struct Taking {
    _file: SocketFile,
    _task: AbortOnDropHandle<()>,
}

/// Takes orders at a socket file from now on.
pub(super) async fn take(reloader: &Arc<Reloader>, path: &Path) -> io::Result<Taking> {
    let (file, listener, was_alive) = SocketFile::open(path).await?;
    if was_alive {
        tracing::warn!(
            path = %path.display(),
            "another gateway took orders at this socket, and this one does now; where both are to go on, give each its own with `listen.admin`"
        );
    }
    let task = tokio::spawn(serve(Arc::clone(reloader), listener));
    Ok(Taking {
        _file: file,
        _task: AbortOnDropHandle::new(task),
    })
}

async fn serve(reloader: Arc<Reloader>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // SECURITY: the socket is open to others for the moment between its name and its permissions,
        // and lies where its folder allows.
        if !is_administrator(&stream) {
            continue;
        }
        let reloader = Arc::clone(&reloader);
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(|request| async {
                Ok::<_, Infallible>(answer(&reloader, request).await)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever went away before the answer has its order carried out all the same.
            let _ = timeout(WHOLE, connection).await;
        });
    }
}

/// Whether it is root, or the account that this process runs as.
fn is_administrator(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

async fn answer(reloader: &Arc<Reloader>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, paths::RELOAD) => {
            // In a task of its own: half a reload is none, whoever stops to wait for it.
            let reloader = Arc::clone(reloader);
            let reload = tokio::spawn(async move { reloader.reload("order").await });
            match reload.await {
                Ok(reloaded) => json(StatusCode::OK, &reloaded),
                Err(error) => json(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            }
        }
        (&Method::GET, paths::CONFIGURATION) => {
            let config = reloader.gateway().config();
            json(StatusCode::OK, &Described::of(&config))
        }
        (&Method::GET, paths::CONNECTED) => {
            let connected = reloader.gateway().connected();
            let ids: Vec<_> = connected.iter().map(ToString::to_string).collect();
            json(StatusCode::OK, &ids)
        }
        (&Method::GET, paths::IN_FORCE) => json(StatusCode::OK, &reloader.in_force().await),
        (&Method::GET, paths::INSPECT) => {
            let of = |name| parameter(request.uri().query(), name).unwrap_or_default();
            let (name, pages) = (of("application"), of("pages").parse().unwrap_or(1));
            let (gateway, deadline) = (reloader.gateway(), Instant::now() + INSPECTION);
            let inspected = gateway.inspect(&name, deadline);
            match tokio::join!(inspected, gateway.crawl(&name, pages, deadline)) {
                (Some(viewed), Some(crawled)) => json(StatusCode::OK, &Told { viewed, crawled }),
                _ => json(StatusCode::NOT_FOUND, &format!("no application `{name}`")),
            }
        }
        (&Method::GET, paths::EXPLAIN) => match question(request.uri().query()) {
            Ok(question) => json(StatusCode::OK, &reloader.gateway().explain(&question)),
            Err(why) => json(StatusCode::BAD_REQUEST, &why),
        },
        (&Method::POST, paths::LOG_LEVEL) => {
            let query = request.uri().query();
            match telemetry::set_level(parameter(query, "level").as_deref()) {
                Ok(level) => {
                    tracing::info!(level, "log level changed");
                    json(StatusCode::OK, &level)
                }
                Err(error) => json(StatusCode::BAD_REQUEST, &error.to_string()),
            }
        }
        (_, path) => json(StatusCode::NOT_FOUND, &format!("no such order: {path}")),
    }
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn question(query: Option<&str>) -> Result<Question, String> {
    let missing = |name: &str| format!("`{name}` is missing or wrong");
    let of = |name: &str| parameter(query, name).ok_or_else(|| missing(name));
    let method: Method = of("method")?.parse().map_err(|_| missing("method"))?;
    let client = of("ip")?.parse().map_err(|_| missing("ip"))?;
    let person = parameter(query, "person").map(|text| serde_json::from_str(&text));
    let person = person.transpose().map_err(|_| missing("person"))?;
    let certificate = parameter(query, "certificate").map(|text| {
        let der = BASE64.decode(text).ok()?;
        certs::read_client_certificate(&[der.into()]).ok()
    });
    let visitor = Visitor {
        person,
        service_token: parameter(query, "token"),
        certificate: match certificate {
            Some(read) => Some(read.ok_or_else(|| missing("certificate"))?),
            None => None,
        },
    };
    Question::new(&of("url")?, method, client, visitor).map_err(|error| error.to_string())
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Why a gateway that runs was not understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unheard {
    /// It takes connections at its socket, and says nothing.
    #[error("it gave no answer within {0:?}")]
    Silent(Duration),
    /// The socket is another account's.
    #[error("{0}: run this as root, or as the account that the gateway runs as")]
    Denied(io::Error),
    /// It cannot be asked for another reason.
    #[error("{0}")]
    Failed(String),
}

/// Gives an order to the gateway of a configuration; `None` where none runs.
///
/// # Errors
/// Where the order cannot be given, or its answer is not understood.
pub(super) fn order<T: DeserializeOwned>(
    config: &GatewayConfig,
    method: Method,
    path: &str,
) -> Result<Option<T>, Exit> {
    ask(config, method, path, WHOLE).map_err(|error| {
        let socket = config.admin_socket();
        let socket = socket.display();
        Exit::failed(format!("the gateway cannot be asked at {socket}: {error}"))
    })
}

/// The same, for those who wait so long and no longer.
///
/// # Errors
/// Where the order cannot be given, its answer is not understood, or it does not come in time.
pub(super) fn ask<T: DeserializeOwned>(
    config: &GatewayConfig,
    method: Method,
    path: &str,
    patience: Duration,
) -> Result<Option<T>, Unheard> {
    let socket = config.admin_socket();
    let runtime = super::runtime(None).map_err(|exit| Unheard::Failed(exit.texts().join("; ")))?;
    let conversation = async { timeout(patience, converse(&socket, method, path)).await };
    match runtime.block_on(conversation) {
        Ok(Ok(text)) => serde_json::from_slice(&text).map(Some).map_err(|error| {
            Unheard::Failed(format!(
                "its answer is not understood ({error}); is it of another version?"
            ))
        }),
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            io::ErrorKind::PermissionDenied => Err(Unheard::Denied(error)),
            _ => Err(Unheard::Failed(error.to_string())),
        },
        Err(_) => Err(Unheard::Silent(patience)),
    }
}

/// That no gateway runs, for those who need one.
pub(super) fn not_running(config: &GatewayConfig) -> Exit {
    Exit::failed(format!(
        "no gateway runs with {} (nobody answers at {}): start it with `appproxy gateway --config {}`; if one does, the file names another store or `listen.admin` now than it was started with, and it has to be restarted",
        config.file.display(),
        config.admin_socket().display(),
        config.file.display()
    ))
}

async fn converse(socket: &Path, method: Method, path: &str) -> io::Result<Bytes> {
    let stream = UnixStream::connect(socket).await?;
    let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = requests.send_request(request).await;
    let answer = answer.map_err(io::Error::other)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    if !status.is_success() {
        let why: String = serde_json::from_slice(&body).unwrap_or_default();
        return Err(io::Error::other(format!("it answered {status}: {why}")));
    }
    Ok(body)
}
