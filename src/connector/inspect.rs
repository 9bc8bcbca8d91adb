//! Looks at an application step by step, in the way requests would reach it: through the allow-list,
//! the proxy and TLS of this connector. It tells facts; whoever asked says what they mean.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{LOCATION, WWW_AUTHENTICATE};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::applications::Applications;
use super::backend::Backend;
use super::fault::BackendError;
use super::pool::Target;
use super::probe::{request, within};
use super::reach::Reach;
use super::says::Says;
use crate::certs::presented;
use crate::model::{Endpoint, ErrorCode, Host, Scheme};
use crate::telemetry::printable;
use crate::tunnel::{Fault, Inspect, Inspected, Profile, Secured};

/// What this program calls itself.
const AGENT: &str = concat!("appproxy/", env!("CARGO_PKG_VERSION"), " check");

/// The longest text of an application's that is told.
const LONGEST: usize = 1024;

/// Authentication schemes that are told.
const SCHEMES: usize = 8;

/// For the question whether the other scheme is spoken.
const OTHER: Duration = Duration::from_secs(2);

impl Applications {
    /// Looks at an application as a connector with this configuration reaches it.
    pub async fn inspect(&self, asked: &Inspect) -> Inspected {
        inspect(&self.backend, asked).await
    }
}

/// Looks at an application.
pub(super) async fn inspect(backend: &Backend, asked: &Inspect) -> Inspected {
    let mut found = Inspected::default();
    if let Err(BackendError { code, detail }) = steps(backend, asked, &mut found).await {
        found.fault = Some(Fault {
            code: code.as_str().to_owned(),
            detail: printable(&detail, LONGEST),
        });
    }
    found
}

async fn steps(
    backend: &Backend,
    asked: &Inspect,
    found: &mut Inspected,
) -> Result<(), BackendError> {
    let malformed = |what: String| BackendError::new(ErrorCode::BadRequest, what);
    let profile = Profile::parse(&asked.profile).map_err(|e| malformed(e.to_string()))?;
    let scheme = match asked.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => return Err(malformed(format!("there is no scheme `{other}`"))),
    };
    let endpoint = Endpoint::parse(&asked.target).map_err(|e| malformed(e.to_string()))?;
    let target = Target {
        scheme,
        endpoint,
        says: Says::for_probe(&profile),
        under: backend.number(),
    };
    let reach = backend.reach();
    let began = Instant::now();
    let deadline = began + profile.connect();
    let stream = reach.dial_for(&target, deadline).await?;
    found.connect_ms = Some(millis(began));
    found.address = stream.peer_addr().ok().map(|at| at.to_string());
    found.through = reach.proxy_for(&target.endpoint);
    let Some(path) = &asked.path else {
        return Ok(());
    };
    match scheme {
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
    // The head is enough; the rest of the answer ends with its connection.
    let sent = backend.send(&target, &profile, None, request);
    match within(&profile, &target, sent).await {
        Ok(response) => {
            found.first_byte_ms = Some(millis(began));
            found.status = Some(response.status().as_u16());
            tell_head(response.headers(), found);
        }
        Err(error) => {
            if scheme == Scheme::Http {
                found.speaks = speaks_tls(&reach, &target).await;
            }
            return Err(error);
        }
    }
    // Many a server says in plain words that it wants TLS on this port.
    if scheme == Scheme::Http && found.status == Some(400) {
        found.speaks = speaks_tls(&reach, &target).await;
    }
    Ok(())
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
