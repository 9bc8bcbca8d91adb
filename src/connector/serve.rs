//! One stream of the tunnel: what the gateway wants, whether this connector may, and the answer.

use std::convert::Infallible;
use std::sync::Arc;

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
use super::applications::{NoLongerAllowed, Term};
use super::backend::Backend;
use super::fault::BackendError;
use super::flight::{Flight, InFlight};
use super::pinned::{Client, Pinned};
use super::pool::Target;
use super::profiles::Profiles;
use super::says::Says;
use super::status::Status;
use super::tunnel::REASON;
use crate::http::{self as rules, Body, BodyError, Guard, Paced, Stalled, with_causes};
use crate::model::{ApplicationName, Endpoint, Ends, ErrorCode, Scheme, Side};
use crate::telemetry::printable;
use crate::tunnel::{Profile, ProfileHash, wire};
use crate::upgrade::{self, Cut};

/// What the streams of one tunnel share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) backend: Arc<Backend>,
    pub(super) profiles: Profiles,
    /// Connections that belong to one client connection each.
    pub(super) pinned: Arc<Pinned>,
    /// Requests and WebSockets in flight in this tunnel, a part of all there are.
    pub(super) in_flight: Arc<InFlight>,
    /// What became of it.
    pub(super) status: Arc<Status>,
    /// Ends WebSockets with Close 1001.
    pub(super) going_away: CancellationToken,
}

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
        let code = outcome.as_ref().err().map(|error| error.code);
        let measured = &self.status.measured;
        measured.answered(about.application(), code, began.elapsed());
        let mut response = match outcome {
            Ok(response) => response.map(|body| body.with_guard(about)),
            Err(error) => {
                about.no_answer(&error);
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                wire::put_error(response.headers_mut(), error.code, &error.detail);
                response
            }
        };
        wire::put_timing(response.headers_mut(), began.elapsed());
        Ok(response)
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        flight: Flight,
    ) -> Result<Response<Body>, BackendError> {
        let mut errand = Errand::take(&mut request)?;
        let Some(profile) = self.profiles.get(&errand.profile).await else {
            let detail = format!("the gateway never sent the profile {}", errand.profile);
            return Err(BackendError::new(ErrorCode::TunnelLost, detail));
        };
        errand.target.says = Says::for_request(&profile, errand.ends)?;
        let reach = self.backend.reach();
        errand.target.under = reach.number;
        let mut term = Term::new(&self.backend, reach, errand.target.endpoint.clone());
        if asks_for(&request, wire::TLS_PASSTHROUGH) {
            return Box::pin(self.passthrough(request, &errand, &profile, flight, term)).await;
        }
        if request.method() == Method::CONNECT {
            // In a box: rare beside requests, and larger than all that they need.
            return Box::pin(self.websocket(request, &errand, &profile, flight, term)).await;
        }
        let request = request.map(|body| {
            // One that the gateway breaks off without an error is not whole either.
            let body = Body::upload(body);
            if http_body::Body::is_end_stream(&body) {
                Body::empty()
            } else {
                body
            }
        });
        let client = self.client(&errand);
        let answer = self.backend.send(&errand.target, &profile, client, request);
        let mut response = within(&mut term, answer).await?;
        answer::check(&mut response)?;
        Ok(response.map(|body| {
            body.joined()
                .with_trailers(rules::deny_response_trailers)
                .with_guard(flight)
                .with_lease(term)
        }))
    }

    fn client<'a>(&'a self, errand: &'a Errand) -> Option<Client<'a>> {
        errand.client.as_deref().map(|id| Client {
            pinned: &self.pinned,
            id,
        })
    }

    /// An extended CONNECT (RFC 8441): the application sees a handshake of RFC 6455.
    async fn websocket(
        &self,
        mut request: Request<Incoming>,
        errand: &Errand,
        profile: &Profile,
        flight: Flight,
        mut term: Term,
    ) -> Result<Response<Body>, BackendError> {
        let protocol = request.extensions_mut().remove::<Protocol>();
        if protocol.as_ref().map(Protocol::as_str) != Some("websocket") {
            let detail = "the gateway asked for an upgrade other than websocket";
            return Err(BackendError::new(ErrorCode::BadRequest, detail));
        }
        let client = hyper::upgrade::on(&mut request);
        *request.method_mut() = Method::GET;
        let request = request.map(|_| Body::empty());
        let client_connection = self.client(errand);
        let upgraded = self
            .backend
            .upgrade(&errand.target, profile, client_connection, request);
        let mut response = within(&mut term, upgraded).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let mut response = response.map(|body| {
                Body::incoming(body)
                    .with_idle(profile.idle())
                    .joined()
                    .with_trailers(rules::deny_response_trailers)
                    .with_guard(flight)
                    .with_lease(term)
            });
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
                    tokio::select! {
                        () = going_away.cancelled() => Cut::going_away(),
                        // It is the policy's word (RFC 6455 section 7.4.1).
                        _ = term.ends() => Cut::new(1008, "no longer allowed"),
                    }
                };
                let application = Paced::new(TokioIo::new(application));
                upgrade::splice(TokioIo::new(client), application, cut).await;
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

/// Whether it is an extended CONNECT of this protocol.
fn asks_for(request: &Request<Incoming>, protocol: &str) -> bool {
    let asked = request.extensions().get::<Protocol>();
    *request.method() == Method::CONNECT && asked.is_some_and(|own| own.as_str() == protocol)
}

/// An answer, unless a reload takes its application from the allow-list before.
pub(super) async fn within<T>(
    term: &mut Term,
    answer: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    tokio::select! {
        biased;
        answer = answer => answer,
        over = term.ends() => Err(BackendError::new(ErrorCode::TargetRefused, over.to_string())),
    }
}

/// The longest reference of a request that is logged.
const REFERENCE: usize = 64;

/// The longest detail that is logged: what a gateway asks for may stand in it. As long as what the
/// gateway is told.
const DETAIL: usize = 1024;

/// What the log says of a request.
struct About {
    /// As it came, cut: few requests have anything said of them.
    request_id: String,
    application: Option<ApplicationName>,
}

impl About {
    /// SECURITY: a gateway may write what it likes there, at any length; what is kept, counted and
    /// logged of it is a name and a short reference.
    fn of(fields: &HeaderMap) -> Self {
        let application = fields.get(wire::APPLICATION);
        let application =
            application.and_then(|name| ApplicationName::new(name.to_str().ok()?).ok());
        let request_id = fields.get(wire::REQUEST_ID);
        let request_id = request_id.and_then(|id| id.to_str().ok()).unwrap_or("-");
        Self {
            request_id: request_id.get(..REFERENCE).unwrap_or(request_id).to_owned(),
            application,
        }
    }

    fn request_id(&self) -> String {
        printable(&self.request_id, REFERENCE)
    }

    fn application(&self) -> &str {
        let name = self.application.as_ref();
        name.map_or("-", ApplicationName::as_str)
    }

    /// Says why there is no answer; a client that went away, or sent nonsense, is nobody's fault here.
    fn no_answer(&self, error: &BackendError) {
        let (request_id, application) = (self.request_id(), self.application());
        let (code, detail) = (error.code.as_str(), printable(&error.detail, DETAIL));
        if error.code.side() == Side::Client {
            tracing::info!(request_id, application, code, detail, "request given up");
        } else {
            tracing::warn!(
                request_id,
                application,
                code,
                detail,
                "no answer from the application"
            );
        }
    }
}

/// An answer that breaks off has no head left to say why in.
impl Guard for About {
    fn broken_by(&mut self, why: &BodyError) {
        let (code, detail) = match why.downcast_ref::<Stalled>() {
            Some(stalled) => (ErrorCode::BackendIdleTimeout, stalled.to_string()),
            None if why.is::<NoLongerAllowed>() => (ErrorCode::TargetRefused, why.to_string()),
            None => {
                let why = printable(&with_causes(&**why), REASON);
                (ErrorCode::BackendBadResponse, why)
            }
        };
        tracing::warn!(
            request_id = self.request_id(),
            application = self.application(),
            code = code.as_str(),
            detail,
            "the application's answer broke off"
        );
    }
}

/// Where a request goes and how.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) target: Target,
    profile: ProfileHash,
    /// The client connection that has a connection of its own.
    client: Option<String>,
    /// The client's connection as the client sees it.
    ends: Option<Ends>,
}

/// The longest name of a client connection; a gateway's are shorter.
const CLIENT: usize = 64;

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
        let client = match fields.remove(wire::CONNECTION) {
            None => None,
            Some(id) => match id.to_str() {
                Ok(id) if (1..=CLIENT).contains(&id.len()) => Some(id.to_owned()),
                _ => return Err(malformed("it names its client connection badly")),
            },
        };
        let ends = match fields.remove(wire::CLIENT) {
            None => None,
            Some(ends) => {
                let ends = ends.to_str().ok().and_then(|ends| ends.parse().ok());
                Some(ends.ok_or_else(|| malformed("it names its client badly"))?)
            }
        };
        fields.remove(wire::APPLICATION);
        fields.remove(wire::REQUEST_ID);
        fields.insert(HOST, authority);
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        *request.version_mut() = Version::HTTP_11;
        let target = Target {
            scheme,
            endpoint,
            says: None,
            // As it is found to be when it is served.
            under: 0,
        };
        Ok(Self {
            target,
            profile: ProfileHash::from_field(&profile),
            client,
            ends,
        })
    }
}
