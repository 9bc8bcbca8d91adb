//! Looks at an application step by step, in the way requests would reach it: through the allow-list,
//! the proxy and TLS of this connector. It tells facts; whoever asked says what they mean.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::applications::Applications;
use super::backend::Backend;
use super::fault::BackendError;
use super::pool::Target;
use super::probe::{malformed, request, target, within};
use super::reach::Reach;
use crate::certs::presented;
use crate::http::Body;
use crate::model::{ErrorCode, Host, Scheme};
use crate::telemetry::printable;
use crate::tunnel::{Fault, Inspect, Inspected, Profile, Secured};

/// What this program calls itself.
const AGENT: &str = concat!("appproxy/", env!("CARGO_PKG_VERSION"), " check");

/// The longest text of an application's that is told.
const LONGEST: usize = 1024;

/// Authentication schemes that are told.
const SCHEMES: usize = 8;

/// So much of a first page is looked at, in octets.
const PAGE: usize = 1024 * 1024;

/// For a first page, from its head on.
const LONGEST_BODY: Duration = Duration::from_secs(2);

/// For the question whether the other scheme is spoken.
const OTHER: Duration = Duration::from_secs(2);

impl Applications {
    /// Looks at an application as a connector with this configuration reaches it, and at its first page: the
    /// beginning of it, where it is one (HTML).
    pub async fn inspect(&self, asked: &Inspect) -> (Inspected, Option<Vec<u8>>) {
        let (found, answer) = inspect(&self.backend, asked).await;
        let page = match answer.filter(is_page) {
            Some(answer) => Some(beginning(answer.into_body()).await),
            None => None,
        };
        (found, page)
    }
}

fn is_page(answer: &Response<Body>) -> bool {
    let fields = answer.headers();
    let is_html = fields.get(CONTENT_TYPE).is_some_and(|of_type| {
        let of_type = of_type.as_bytes().to_ascii_lowercase();
        of_type.starts_with(b"text/html") || of_type.starts_with(b"application/xhtml+xml")
    });
    answer.status().is_success() && is_html && !fields.contains_key(CONTENT_ENCODING)
}

/// What comes of a body in time, and not more than is looked at.
async fn beginning(mut body: Body) -> Vec<u8> {
    let mut page = Vec::new();
    let until = Instant::now() + LONGEST_BODY;
    while page.len() < PAGE
        && let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await
    {
        let data = frame.into_data().unwrap_or_default();
        let room = PAGE - page.len();
        page.extend_from_slice(data.get(..room).unwrap_or(&data));
    }
    page
}

/// Looks at an application; with the answer, if there is one.
pub(super) async fn inspect(
    backend: &Backend,
    asked: &Inspect,
) -> (Inspected, Option<Response<Body>>) {
    let mut found = Inspected::default();
    let answer = match steps(backend, asked, &mut found).await {
        Ok(answer) => answer,
        Err(BackendError { code, detail }) => {
            found.fault = Some(Fault {
                code: code.as_str().to_owned(),
                detail: printable(&detail, LONGEST),
            });
            None
        }
    };
    (found, answer)
}

async fn steps(
    backend: &Backend,
    asked: &Inspect,
    found: &mut Inspected,
) -> Result<Option<Response<Body>>, BackendError> {
    let profile = Profile::parse(&asked.profile).map_err(malformed)?;
    let target = target(&asked.scheme, &asked.target, &profile, backend)?;
    let reach = backend.reach();
    let began = Instant::now();
    let deadline = began + profile.connect();
    let stream = reach.dial_for(&target, deadline).await?;
    found.connect_ms = Some(millis(began));
    found.address = stream.peer_addr().ok().map(|at| at.to_string());
    found.through = reach.proxy_for(&target.endpoint);
    let Some(path) = &asked.path else {
        return Ok(None);
    };
    match target.scheme {
        // One at a time: some applications serve no more.
        Scheme::Http => drop(stream),
        Scheme::Https => {
            let secured = secure(&reach, &target, &profile, stream, deadline).await;
            found.tls = match secured {
                Ok(stream) => Some(describe(&stream)),
                Err(error) => {
                    found.speaks = speaks_http(&reach, &target).await;
                    return Err(error);
                }
            };
        }
    }
    let request = request(path, Some(&asked.authority), &target, AGENT).map_err(malformed)?;
    let began = Instant::now();
    let sent = backend.send(&target, &profile, None, request);
    let response = match within(&profile, &target, sent).await {
        Ok(response) => {
            found.first_byte_ms = Some(millis(began));
            found.status = Some(response.status().as_u16());
            tell_head(response.headers(), found);
            response
        }
        Err(error) => {
            if target.scheme == Scheme::Http {
                found.speaks = speaks_tls(&reach, &target).await;
            }
            return Err(error);
        }
    };
    // Many a server says in plain words that it wants TLS on this port.
    if target.scheme == Scheme::Http && found.status == Some(400) {
        drop(response);
        found.speaks = speaks_tls(&reach, &target).await;
        return Ok(None);
    }
    Ok(Some(response))
}

async fn secure(
    reach: &Reach,
    target: &Target,
    profile: &Profile,
    stream: TcpStream,
    deadline: Instant,
) -> Result<TlsStream<TcpStream>, BackendError> {
    let endpoint = &target.endpoint;
    let secured = reach.secure(endpoint, stream, profile.protocol(), Arc::default());
    timeout_at(deadline, secured).await.unwrap_or_else(|_| {
        let detail = format!("{endpoint} did not finish the TLS handshake in time");
        Err(BackendError::new(ErrorCode::BackendConnectTimeout, detail))
    })
}

fn describe(stream: &TlsStream<TcpStream>) -> Secured {
    let (_, connection) = stream.get_ref();
    let version = connection.protocol_version();
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    let leaf = leaf.and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
    let (issuer, not_after) = leaf.map_or_else(Default::default, |(_, leaf)| {
        let issuer = printable(&leaf.issuer().to_string(), LONGEST);
        (issuer, leaf.validity().not_after.timestamp())
    });
    Secured {
        version: version.map_or_else(String::new, |version| format!("{version:?}")),
        issuer,
        not_after,
    }
}

fn tell_head(fields: &HeaderMap, found: &mut Inspected) {
    let text = |octets: &[u8]| printable(&String::from_utf8_lossy(octets), LONGEST);
    found.location = fields.get(LOCATION).map(|value| text(value.as_bytes()));
    for value in fields.get_all(WWW_AUTHENTICATE).iter().take(SCHEMES) {
        let scheme = value.as_bytes().split(u8::is_ascii_whitespace).next();
        let scheme = text(scheme.unwrap_or_default()).to_ascii_lowercase();
        if !found.challenges.contains(&scheme) {
            found.challenges.push(scheme);
        }
    }
}

/// Whether plain HTTP is spoken where TLS was wanted.
async fn speaks_http(reach: &Reach, target: &Target) -> Option<String> {
    let ask = async {
        let mut stream = reach.dial_for(target, Instant::now() + OTHER).await.ok()?;
        let asked = format!(
            "HEAD / HTTP/1.1\r\nHost: {}\r\nUser-Agent: {AGENT}\r\nConnection: close\r\n\r\n",
            target.endpoint
        );
        stream.write_all(asked.as_bytes()).await.ok()?;
        let mut begin = [0; 5];
        stream.read_exact(&mut begin).await.ok()?;
        (begin == *b"HTTP/").then(|| "http".to_owned())
    };
    timeout(OTHER, ask).await.ok().flatten()
}

/// Whether TLS is spoken where plain HTTP was wanted. What it presents is worth nothing here.
async fn speaks_tls(reach: &Reach, target: &Target) -> Option<String> {
    let name = match &target.endpoint.host {
        Host::Name(name) => ServerName::try_from(name.to_string()).ok()?,
        Host::Address(address) => ServerName::from(*address),
    };
    let ask = async {
        let stream = reach.dial_for(target, Instant::now() + OTHER).await.ok()?;
        presented(stream, name).await.ok()?;
        Some("https".to_owned())
    };
    timeout(OTHER, ask).await.ok().flatten()
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
