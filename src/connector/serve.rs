//! One stream of the tunnel: what the gateway wants, whether this connector may, and the answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer;
use super::backend::Backend;
use super::fault::BackendError;
use super::pool::Target;
use super::profiles::Profiles;
use crate::http::{self as rules, Body, Guard};
use crate::model::{Endpoint, ErrorCode, Scheme};
use crate::tunnel::{Profile, ProfileHash, wire};
use crate::upgrade::{self, Cut};

/// What the streams of one tunnel share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) backend: Arc<Backend>,
    pub(super) profiles: Profiles,
    /// Requests and WebSockets in flight, over all tunnels: a stopping connector says how many.
    pub(super) in_flight: Arc<InFlight>,
    /// Ends WebSockets with Close 1001.
    pub(super) going_away: CancellationToken,
}

/// Counts what is in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight(AtomicUsize);

/// One request or WebSocket in flight.
struct Flight(Arc<InFlight>);

impl InFlight {
    fn begin(self: &Arc<Self>) -> Flight {
        self.0.fetch_add(1, Ordering::AcqRel);
        Flight(Arc::clone(self))
    }

    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Guard for Flight {}

impl Server {
    /// Answers one application stream; whatever goes wrong is an answer too, with its code.
    pub(super) async fn serve(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let flight = self.in_flight.begin();
        let began = Instant::now();
        let about = About::of(request.headers());
        let outcome = self.answer(request, flight).await;
        let mut response = outcome.unwrap_or_else(|error| {
            tracing::warn!(
                request_id = about.request_id,
                application = about.application,
                code = error.code.as_str(),
                detail = error.detail,
                "no answer from the application"
            );
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            wire::put_error(response.headers_mut(), error.code, &error.detail);
            response
        });
        let micros =
            HeaderValue::from(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        response.headers_mut().insert(wire::TIMING, micros);
        Ok(response)
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        flight: Flight,
    ) -> Result<Response<Body>, BackendError> {
        let errand = Errand::take(&mut request)?;
        let Some(profile) = self.profiles.get(&errand.profile).await else {
            let detail = format!("the gateway never sent the profile {}", errand.profile);
            return Err(BackendError::new(ErrorCode::TunnelLost, detail));
        };
        if request.method() == Method::CONNECT {
            return self
                .websocket(request, &errand.target, &profile, flight)
                .await;
        }
        let request = request.map(|body| {
            let body = Body::incoming(body);
            if http_body::Body::is_end_stream(&body) {
                Body::empty()
            } else {
                body
            }
        });
        let mut response = self.backend.send(&errand.target, &profile, request).await?;
        answer::check(&mut response)?;
        Ok(response.map(|body| {
            body.with_trailers(rules::deny_response_trailers)
                .with_guard(flight)
        }))
    }

    /// An extended CONNECT (RFC 8441): the application sees a handshake of RFC 6455.
    async fn websocket(
        &self,
        mut request: Request<Incoming>,
        target: &Target,
        profile: &Profile,
        flight: Flight,
    ) -> Result<Response<Body>, BackendError> {
        let protocol = request.extensions_mut().remove::<Protocol>();
        if protocol.as_ref().map(Protocol::as_str) != Some("websocket") {
            let detail = "the gateway asked for an upgrade other than websocket";
            return Err(BackendError::new(ErrorCode::BadRequest, detail));
        }
        let client = hyper::upgrade::on(&mut request);
        *request.method_mut() = Method::GET;
        let request = request.map(|_| Body::empty());
        let mut response = self.backend.upgrade(target, profile, request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let mut response = response.map(|body| Body::incoming(body).with_guard(flight));
            answer::check(&mut response)?;
            return Ok(response);
        }
        let application = hyper::upgrade::on(&mut response);
        let going_away = self.going_away.clone();
        tokio::spawn(async move {
            let _flight = flight;
            // Where the gateway is gone before the answer, both ends are dropped here.
            if let (Ok(client), Ok(application)) = (client.await, application.await) {
                let cut = async {
                    going_away.cancelled().await;
                    Cut::going_away()
                };
                upgrade::splice(TokioIo::new(client), TokioIo::new(application), cut).await;
            }
        });
        let mut response = response.map(|_| Body::empty());
        for name in [
            CONNECTION,
            UPGRADE,
            SEC_WEBSOCKET_ACCEPT,
            CONTENT_LENGTH,
            TRANSFER_ENCODING,
        ] {
            response.headers_mut().remove(name);
        }
        *response.status_mut() = StatusCode::OK;
        answer::check(&mut response)?;
        Ok(response)
    }
}

/// What the log says of a request.
struct About {
    request_id: String,
    application: String,
}

impl About {
    fn of(fields: &HeaderMap) -> Self {
        let text = |name| {
            let value = fields
                .get(name)
                .map(HeaderValue::as_bytes)
                .unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        Self {
            request_id: text(wire::REQUEST_ID),
            application: text(wire::APPLICATION),
        }
    }
}

/// Where a request goes and how.
#[derive(Debug)]
struct Errand {
    target: Target,
    profile: ProfileHash,
}

impl Errand {
    /// Reads what stands in the tunnel's fields, and leaves the request as the application is to
    /// receive it.
    fn take(request: &mut Request<Incoming>) -> Result<Self, BackendError> {
        let malformed = |what: &str| BackendError::new(ErrorCode::BadRequest, what);
        let scheme = match request.uri().scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(malformed("the request in the tunnel has no scheme")),
        };
        let authority = request
            .uri()
            .authority()
            .ok_or_else(|| malformed("it has no authority"))?;
        let authority = HeaderValue::from_str(authority.as_str())
            .map_err(|_| malformed("its authority cannot stand in a field"))?;
        let path = request.uri().path_and_query().cloned();
        let fields = request.headers_mut();
        let mut take = |name, what| {
            let value = fields.remove(name).ok_or_else(|| malformed(what))?;
            value
                .to_str()
                .map(str::to_owned)
                .map_err(|_| malformed(what))
        };
        let target = take(wire::TARGET, "it has no target")?;
        let profile = take(wire::PROFILE, "it names no profile")?;
        let endpoint = Endpoint::parse(&target).map_err(|e| malformed(&e.to_string()))?;
        fields.remove(wire::APPLICATION);
        fields.remove(wire::REQUEST_ID);
        fields.insert(HOST, authority);
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        *request.version_mut() = Version::HTTP_11;
        let target = Target { scheme, endpoint };
        Ok(Self {
            target,
            profile: ProfileHash::from_field(&profile),
        })
    }
}
