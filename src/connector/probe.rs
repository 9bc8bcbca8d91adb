//! Tries for a gateway whether an application is alive, in the way requests would reach it: through
//! the allow-list, the proxy and TLS of this connector.

use std::sync::Arc;

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::backend::Backend;
use super::fault::BackendError;
use super::inspect::inspect;
use super::pool::Target;
use super::profiles::Profiles;
use super::says::Says;
use crate::http::Body;
use crate::model::{Endpoint, ErrorCode, Scheme};
use crate::tunnel::control::Up;
use crate::tunnel::{Inspect, Profile, ProfileHash};

/// Probes under way for one tunnel. More wait for their turn.
const AT_ONCE: usize = 16;

/// Probes that wait: a gateway that asks for more than that gets no answer to what is beyond.
const WAITING: usize = 1024;

/// What this program calls itself.
const AGENT: &str = concat!("appproxy/", env!("CARGO_PKG_VERSION"), " health check");

/// What a gateway wants tried: the fields of `Down::Probe`.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) id: u64,
    pub(super) scheme: String,
    pub(super) target: String,
    pub(super) profile: ProfileHash,
    pub(super) path: Option<String>,
    pub(super) authority: Option<String>,
}

/// The probes of one tunnel.
#[derive(Debug)]
pub(super) struct Prober {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Prober {
    pub(super) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// Looks at an application; `None` where too many wait already.
    pub(super) async fn look(&self, id: u64, asked: &Inspect, backend: &Backend) -> Option<Up> {
        let _queued = Arc::clone(&self.queue).try_acquire_owned().ok()?;
        let _turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        // The head is enough; the rest of the answer ends with its connection.
        let (found, _) = inspect(backend, asked).await;
        let found = Box::new(found);
        Some(Up::Inspected { id, found })
    }

    /// Carries a probe out; `None` where too many wait already.
    pub(super) async fn carry_out(
        &self,
        probe: Probe,
        backend: &Backend,
        profiles: &Profiles,
    ) -> Option<Up> {
        let _queued = Arc::clone(&self.queue).try_acquire_owned().ok()?;
        let _turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let began = Instant::now();
        let outcome = try_it(&probe, backend, profiles).await;
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, error) = match outcome {
            Ok(status) => (status, None),
            Err(error) => (None, Some(error)),
        };
        Some(Up::Probed {
            id: probe.id,
            ms,
            status,
            error: error.as_ref().map(|e| e.code.as_str().to_owned()),
            detail: error.map(|e| e.detail),
        })
    }
}

/// What a gateway's words do not make sense for.
pub(super) fn malformed(what: impl ToString) -> BackendError {
    BackendError::new(ErrorCode::BadRequest, what.to_string())
}

/// The application that a gateway means by these words.
pub(super) fn target(
    scheme: &str,
    endpoint: &str,
    profile: &Profile,
    backend: &Backend,
) -> Result<Target, BackendError> {
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => return Err(malformed(format!("there is no scheme `{other}`"))),
    };
    Ok(Target {
        scheme,
        endpoint: Endpoint::parse(endpoint).map_err(malformed)?,
        says: Says::for_probe(profile),
        under: backend.number(),
    })
}

/// The status of the answer; `None` where only a connection was wanted.
async fn try_it(
    probe: &Probe,
    backend: &Backend,
    profiles: &Profiles,
) -> Result<Option<u16>, BackendError> {
    let Some(profile) = profiles.get(&probe.profile).await else {
        let detail = format!("the gateway never sent the profile {}", probe.profile);
        return Err(BackendError::new(ErrorCode::TunnelLost, detail));
    };
    let target = target(&probe.scheme, &probe.target, &profile, backend)?;
    let trial = async {
        let Some(path) = &probe.path else {
            backend.try_reach(&target, &profile).await?;
            return Ok(None);
        };
        let authority = probe.authority.as_deref();
        let request = request(path, authority, &target, AGENT).map_err(malformed)?;
        // The head is enough; the rest of the answer ends with its connection.
        let response = backend.send(&target, &profile, None, request).await?;
        Ok(Some(response.status().as_u16()))
    };
    within(&profile, &target, trial).await
}

/// Connection and answer together have the time of the first byte.
pub(super) async fn within<T>(
    profile: &Profile,
    target: &Target,
    trial: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    let limit = profile.first_byte();
    timeout(limit, trial).await.unwrap_or_else(|_| {
        let detail = format!("{} did not answer within {limit:?}", target.endpoint);
        Err(BackendError::new(
            ErrorCode::BackendFirstByteTimeout,
            detail,
        ))
    })
}

/// A request for a path, and nothing else.
pub(super) fn request(
    path: &str,
    authority: Option<&str>,
    target: &Target,
    agent: &'static str,
) -> Result<Request<Body>, String> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path
        .parse::<Uri>()
        .ok()
        .filter(|uri| path.starts_with('/') && uri.path().starts_with('/'))
        .ok_or_else(|| format!("`{path}` is no path"))?;
    let authority = authority.map_or_else(|| target.endpoint.to_string(), str::to_owned);
    let authority = HeaderValue::from_str(&authority).map_err(|e| e.to_string())?;
    let fields = request.headers_mut();
    fields.insert(HOST, authority);
    fields.insert(USER_AGENT, HeaderValue::from_static(agent));
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gateway_asks_for_is_a_path_and_nothing_else() {
        let target = Target {
            scheme: Scheme::Http,
            endpoint: Endpoint::parse("wiki.corp.local:8888").unwrap(),
            says: None,
            under: 1,
        };
        let made = request("/healthz?full=1", Some("wiki.corp.local"), &target, AGENT).unwrap();
        assert_eq!(made.uri(), "/healthz?full=1");
        assert_eq!(made.headers()[HOST], "wiki.corp.local");
        let made = request("/", None, &target, AGENT).unwrap();
        assert_eq!(made.headers()[HOST], "wiki.corp.local:8888");
        for bad in ["", "healthz", "http://elsewhere/", "/a b", "/\r\nX: y"] {
            assert!(request(bad, None, &target, AGENT).is_err(), "{bad:?}");
        }
        assert!(request("/", Some("a\r\nX: y"), &target, AGENT).is_err());
    }
}
