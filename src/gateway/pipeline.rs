//! The life of a request, stage by stage, in one screen: route → authenticate → authorise →
//! forward → respond. A stage leaves what the next one demands, so none can be skipped.

use std::sync::Arc;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::Gateway;
use super::connection::Transport;
use super::forward::{self, Errand, Forwarded, WebSocket};
use super::respond::{self, Asked, Failure};
use super::route::{Found, Match};
use crate::auth;
use crate::http::{self as rules, Body, HeaderLimits, RequestHost};
use crate::model::{ErrorCode, RequestId, Scheme, Side};
use crate::telemetry::{AccessLine, Ended};
use crate::upgrade::{self, Cut, End};

/// The path that is ours on every host: nothing below it is ever an application's.
const OURS: &str = "/.appproxy";

/// Answers one request; whatever goes wrong is an answer too, and a line in the log.
pub(super) async fn handle(
    gateway: Arc<Gateway>,
    transport: Transport,
    request: Request<Incoming>,
) -> Response<Body> {
    let id = gateway.ids.next();
    let asked = Asked::of(request.method(), request.headers());
    let version = request.version();
    let mut access = AccessLine::begin(id.clone(), transport.peer.ip(), &request);
    let (mut response, websocket) =
        match decide(&gateway, transport, &id, &mut access, request).await {
            Ok(Answer::Forwarded(forwarded)) => (forwarded.response, forwarded.websocket),
            Ok(Answer::Own(response)) => (response, None),
            Err(failure) => {
                log(&failure, &id);
                access.failed(failure.code());
                let mut response = respond::failure(failure.code(), &asked, &id);
                if failure.closes() && version < Version::HTTP_2 {
                    response
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                (response, None)
            }
        };
    respond::mark(&mut response, &id);
    match websocket {
        None => respond::carry(access, response),
        Some(websocket) => {
            access.answered(response.status(), None);
            let task = run_websocket(Arc::clone(&gateway), websocket, access);
            gateway.websockets.spawn(task);
            response
        }
    }
}

/// What the visitor is not told, under the reference the visitor has.
fn log(failure: &Failure, id: &RequestId) {
    let (code, detail) = (failure.code().as_str(), failure.detail());
    match failure.code().side() {
        Side::Client => tracing::info!(request_id = %id, code, detail, "request refused"),
        _ => tracing::warn!(request_id = %id, code, detail, "request failed"),
    }
}

/// What a request that passed every stage gets.
enum Answer {
    Forwarded(Forwarded),
    /// A redirect of our own.
    Own(Response<Body>),
}

async fn decide(
    gateway: &Gateway,
    transport: Transport,
    id: &RequestId,
    access: &mut AccessLine,
    request: Request<Incoming>,
) -> Result<Answer, Failure> {
    let bad = |why: String| Failure::new(ErrorCode::BadRequest, why).closing();
    HeaderLimits::default()
        .check(request.headers())
        .map_err(|excess| Failure::new(ErrorCode::TooLarge, excess.to_string()))?;

    // Route.
    let target = rules::request_host(&request).map_err(|why| bad(why.to_string()))?;
    let no_route = || Failure::new(ErrorCode::NoRoute, "no application is published there");
    let candidates = gateway.table.host(&target.host).ok_or_else(no_route)?;
    let raw = request.uri().path();
    let path = rules::canonical(raw, candidates.path_sensitive());
    let path = path.map_err(|why| bad(why.to_string()))?.as_str();
    if path == OURS
        || path
            .strip_prefix(OURS)
            .is_some_and(|rest| rest.starts_with('/'))
    {
        return Err(no_route());
    }
    let port = target
        .port
        .unwrap_or_else(|| transport.scheme.default_port());
    let found = match candidates.find(transport.scheme, port, path) {
        Found::Application(found) => found,
        Found::Bare(found) => {
            let application = &found.published.application;
            access.routed(&application.name);
            let prefix = &application.external.path;
            return respond::redirect_bare_path(prefix, request.uri().query(), id).map(Answer::Own);
        }
        Found::Nothing if transport.scheme == Scheme::Http => {
            let found = candidates.secure(path).ok_or_else(no_route)?;
            let application = &found.published.application;
            access.routed(&application.name);
            let external = &application.external;
            let path = request.uri().path_and_query().ok_or_else(no_route)?;
            return respond::redirect_to_https(external, &target.host, path, id).map(Answer::Own);
        }
        Found::Nothing => return Err(no_route()),
    };
    let Match {
        published,
        captured,
    } = found;
    let application = &published.application;
    access.routed(&application.name);

    // Authenticate, authorise.
    let facts = auth::Facts {
        client: transport.peer.ip(),
        method: request.method(),
        path,
    };
    let identity = auth::authenticate(application, &facts)?;
    let permit = auth::authorise(&identity, application, &facts)?;

    // Forward.
    let RequestHost { host, .. } = &target;
    let errand = Errand {
        published: &published,
        captured: captured.as_ref(),
        host,
        facts: rules::Facts {
            client: transport.peer.ip(),
            scheme: transport.scheme,
            host,
            port,
            id,
        },
        id,
    };
    forward::forward(gateway, permit, &errand, access, request)
        .await
        .map(Answer::Forwarded)
}

/// Carries a WebSocket until one side ends it or the gateway stops; its access line comes then.
async fn run_websocket(gateway: Arc<Gateway>, websocket: WebSocket, access: AccessLine) {
    let WebSocket {
        client,
        application,
        place,
    } = websocket;
    let _place = place;
    // Where one end is gone before both are streams, dropping the other ends it too.
    if let (Ok(client), Ok(application)) = (client.await, application.await) {
        let cut = async {
            gateway.stop.cancelled().await;
            Cut::going_away()
        };
        let summary = upgrade::splice(TokioIo::new(client), TokioIo::new(application), cut).await;
        let ended = match summary.end {
            End::Closed(_) => Ended::Complete,
            End::Failed(upgrade::Side::Client, _) => Ended::ClientGone,
            End::Failed(upgrade::Side::Application, _) | End::Cut { .. } => Ended::Cut,
        };
        access.end(ended, summary.to_application, summary.to_client);
    }
}
