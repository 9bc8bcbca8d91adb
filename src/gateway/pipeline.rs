//! The life of a request, stage by stage, in one screen: route → authenticate → authorise →
//! forward → respond. A stage leaves what the next one demands, so none can be skipped.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONNECTION, EXPECT, ORIGIN};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::Gateway;
use super::admit;
use super::affinity::Client;
use super::client_tls;
use super::connection::Transport;
use super::crowd::Busy;
use super::forward::{self, Errand, Forwarded};
use super::front;
use super::identify::{self, Wanted, identify};
use super::lease::{Granted, Lease};
use super::published::Published;
use super::respond::{self, Asked, Failure};
use super::route::{Candidates, Found, Match};
use super::sign_in::Visit;
use super::websocket;
use crate::auth::{self, ShownCertificate};
use crate::clock::Timestamp;
use crate::http::{self as rules, Body, Fault, HeaderLimits, RequestHost};
use crate::model::{Application, Captured, ConnectorId, ErrorCode, Host, RequestId, Scheme, Side};
use crate::telemetry::AccessLine;
use crate::translate::Table;

/// The path that is ours on every host: nothing below it is ever an application's.
const OURS: &str = "/.appproxy";

/// Whether a path is ours, and never an application's.
pub(super) fn is_ours(path: &str) -> bool {
    let rest = path.strip_prefix(OURS);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers one request; whatever goes wrong is an answer too, and a line in the log. Where another
/// was refused before it was one, this stands in for it.
pub(super) async fn handle(
    gateway: Arc<Gateway>,
    transport: Transport,
    busy: Busy,
    refused: Option<Fault>,
    request: Request<Incoming>,
) -> Response<Body> {
    let id = gateway.ids.next();
    let asked = Asked::of(request.method(), request.headers());
    let version = request.version();
    let mut closes = false;
    let origin = request.headers().get(ORIGIN).cloned();
    let expects = request.headers().contains_key(EXPECT);
    let mut access = AccessLine::begin(id.clone(), transport.peer.ip(), &request);
    let mut routed = None;
    let decided = match refused {
        None => {
            let about = About {
                transport: &transport,
                id: &id,
                access: &mut access,
                routed: &mut routed,
            };
            decide(&gateway, about, request).await
        }
        Some(fault) => Err(refusal(fault)),
    };
    let (mut response, websocket) = match decided {
        Ok(Answer::Forwarded(forwarded, lease)) => match forwarded.websocket {
            Some(websocket) => (forwarded.response, Some((websocket, lease))),
            None => {
                let response = forwarded.response;
                (response.map(|body| body.with_lease(lease)), None)
            }
        },
        Ok(Answer::Own(response)) => {
            closes |= expects;
            (response, None)
        }
        Err(failure) => {
            if !failure.is_said() {
                log(&failure, &access);
            }
            if failure.denies() {
                identify::record(&failure, &access, routed.as_deref());
            }
            access.failed(failure.code());
            // A body that was not asked for does not come, or comes all the same.
            closes |= expects || failure.closes();
            let current = gateway.current();
            (
                respond::failure(&failure, &asked, &current.theme, &id),
                None,
            )
        }
    };
    if let Some(published) = &routed {
        front::after(&mut response, published, transport.scheme, origin.as_ref());
    }
    // Asked for late: the drain may have begun while the application took its time.
    closes |= gateway.drain.has_begun();
    if closes && version < Version::HTTP_2 && websocket.is_none() {
        let fields = response.headers_mut();
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    respond::mark(&mut response, &id);
    if response.status().canonical_reason().is_none() {
        // hyper has a word of its own for it.
        let none = ReasonPhrase::from_static(b"");
        response.extensions_mut().insert(none);
    }
    match websocket {
        None => respond::carry(access, response).map(|body| body.with_guard(busy)),
        Some((websocket, lease)) => {
            access.answered(response.status(), None);
            access.upgraded();
            let task = websocket::run(Arc::clone(&gateway), websocket, lease, access, busy);
            gateway.websockets.spawn(task);
            response
        }
    }
}

/// What the visitor is not told, under the reference the visitor has.
fn log(failure: &Failure, access: &AccessLine) {
    let id = access.id();
    let connector = access.connector().map(ConnectorId::as_str);
    let (code, detail) = (failure.code().as_str(), failure.detail());
    match failure.code().side() {
        Side::Client => {
            tracing::info!(request_id = %id, connector, code, detail, "request refused")
        }
        _ => tracing::warn!(request_id = %id, connector, code, detail, "request failed"),
    }
}

/// A head that the parser was not given.
fn refusal(fault: Fault) -> Failure {
    let code = match fault.is_too_large() {
        true => ErrorCode::TooLarge,
        false => ErrorCode::BadRequest,
    };
    Failure::new(code, fault.to_string()).closing()
}

/// What a request that passed every stage gets.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, which is taken apart at once"
)]
enum Answer {
    Forwarded(Forwarded, Lease),
    /// A redirect of our own.
    Own(Response<Body>),
}

/// What is known of a request beside itself, and what becomes known.
struct About<'a> {
    transport: &'a Transport,
    id: &'a RequestId,
    access: &'a mut AccessLine,
    /// Whose it is, where that was found out.
    routed: &'a mut Option<Arc<Published>>,
}

impl About<'_> {
    fn routed(&mut self, published: &Arc<Published>) {
        self.access.routed(&published.meter);
        *self.routed = Some(Arc::clone(published));
    }
}

fn no_route() -> Failure {
    Failure::new(ErrorCode::NoRoute, "no application is published there")
}

/// What a path gets below which nothing is published: the way to where something is, or nothing.
fn elsewhere(
    found: Found,
    candidates: &Candidates<'_>,
    (host, port, path): (&Host, u16, &str),
    about: &mut About<'_>,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (scheme, id) = (about.transport.scheme, about.id);
    if let Found::Bare(found) = &found {
        about.routed(&found.published);
        let prefix = &found.published.application.external.path;
        return respond::redirect_bare_path(prefix, request.uri().query(), id);
    }
    if scheme == Scheme::Http {
        let found = candidates.secure(path).ok_or_else(no_route)?;
        about.routed(&found.published);
        let external = &found.published.application.external;
        let path = request.uri().path_and_query().ok_or_else(no_route)?;
        return respond::redirect_to_https(external, host, path, id);
    }
    let is_robots = path == front::ROBOTS && front::is_read(request);
    if is_robots && candidates.denies_robots(scheme, port) {
        return Ok(respond::robots(request.method(), id));
    }
    Err(no_route())
}

fn bad(why: &impl std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::BadRequest, why.to_string()).closing()
}

/// Where a request wants to go, if its head is one that can be judged at all.
fn check_head(request: &Request<Incoming>) -> Result<RequestHost, Failure> {
    HeaderLimits::default()
        .check(request.headers())
        .map_err(|excess| Failure::new(ErrorCode::TooLarge, excess.to_string()))?;
    rules::check_clear(request).map_err(|why| bad(&why))?;
    rules::request_host(request).map_err(|why| bad(&why))
}

/// What a request asks for, as it is forwarded.
fn errand<'a>(
    published: &'a Arc<Published>,
    captured: Option<&'a Captured>,
    (host, port): (&'a Host, u16),
    (transport, certificate, links): (&'a Transport, &'a ShownCertificate, &'a Arc<Table>),
    id: &'a RequestId,
) -> Errand<'a> {
    let pins = published.application.connection_authentication;
    Errand {
        published,
        captured,
        host,
        facts: rules::Facts {
            client: transport.peer.ip(),
            scheme: transport.scheme,
            host,
            port,
            id,
        },
        id,
        ends: transport.ends,
        certificate: certificate.verified().map(|one| &**one),
        links,
        pins: pins.then_some(&*transport.pins),
    }
}

/// What a decision looks at.
fn facts_of<'a>(
    request: &'a Request<Incoming>,
    path: rules::CanonicalPath<'a>,
    (client, host, now): (IpAddr, &'a Host, Timestamp),
    certificate: &'a ShownCertificate,
    application: &'a Application,
) -> auth::Facts<'a> {
    auth::Facts {
        client,
        method: request.method(),
        is_websocket: rules::websocket_upgrade(request) != rules::Upgrade::None,
        path,
        query: request.uri().query(),
        now,
        fields: request.headers(),
        certificate,
        external: &application.external,
        host,
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "the stages in their order, in one screen"
)]
async fn decide(
    gateway: &Arc<Gateway>,
    mut about: About<'_>,
    request: Request<Incoming>,
) -> Result<Answer, Failure> {
    let (transport, id) = (about.transport, about.id);
    let client = transport.peer.ip();
    let current = gateway.current();
    current.rates.admit(Client::at(client))?;

    // Route.
    let target = check_head(&request)?;
    client_tls::check(&current, transport, &target.host)?;
    let port = target
        .port
        .unwrap_or_else(|| transport.scheme.default_port());
    let at = (transport.scheme, &target.host, port);
    let visit = Visit::new(gateway, &current, at, client, id);
    let request = match visit.at_desk(request).await {
        Ok(request) => request,
        Err(answer) => return answer.map(Answer::Own),
    };
    let candidates = current.table.host(&target.host).ok_or_else(no_route)?;
    let path = rules::canonical(request.uri().path(), candidates.path_sensitive());
    let clear = path.map_err(|why| bad(&why))?;
    let path = clear.as_str();
    if is_ours(path) {
        let external = candidates.signs_in_at(transport.scheme, port);
        let path = path.to_owned();
        let answer = visit.at_application_host(external, &path, request).await;
        return answer.map(Answer::Own);
    }
    if let Some(own) = identify::metadata(&current, &candidates, at, &request, id) {
        return Ok(Answer::Own(own));
    }
    let found = match candidates.find(transport.scheme, port, path) {
        Found::Application(found) => found,
        other => {
            let asked = (&target.host, port, path);
            return elsewhere(other, &candidates, asked, &mut about, &request).map(Answer::Own);
        }
    };
    let Match {
        published,
        captured,
    } = found;
    let application = &published.application;
    about.routed(&published);
    if let Some(own) = admit::before(&published, client, path, &request, id)? {
        return Ok(Answer::Own(own));
    }

    // Authenticate, authorise.
    let now = gateway.clock.now();
    let from = (client, &target.host, now);
    let client_tls = transport.client_tls.as_deref();
    let certificate = client_tls::shown_to(application, client_tls, &current, now);
    let facts = facts_of(&request, clear, from, &certificate, application);
    let guard = auth::guard_of(application, clear)?;
    let wanted = Wanted {
        application,
        guard,
        facts: &facts,
    };
    let identity = match identify(&visit, wanted, &request, about.access).await {
        Ok(identity) => identity,
        Err(Some(answer)) => return answer.map(Answer::Own),
        Err(None) => {
            // In a box: rare beside other requests.
            let answer = Box::pin(visit.form(&application.external, request)).await;
            return answer.map(Answer::Own);
        }
    };
    let permit = match wanted.authorise(&visit, &identity, &request, id) {
        Ok(permit) => permit,
        Err(answer) => return (*answer).map(Answer::Own),
    };
    let path = request.uri().path_and_query().ok_or_else(no_route)?;
    let in_use = admit::place_of(&identity, current.config.requests_per_session)?;
    let whose = (identity, about.access.person().map(Into::into), in_use);
    let of = transport.client_tls.as_ref();
    let at = (transport.scheme, port, path);
    let granted = Granted::new(id, &facts, at, &permit, whose, of);
    let mut lease = Lease::new(gateway, &current, &granted);
    // What a client sends goes on when its answer has come, and may end for itself.
    let of_upload = Lease::new(gateway, &current, &granted);

    // Forward.
    let host = (&target.host, port);
    let errand = errand(
        &published,
        captured.as_ref(),
        host,
        (transport, &certificate, &current.links),
        id,
    );
    tokio::select! {
        biased;
        failure = lease.ends() => Err(failure),
        forwarded = forward::forward(gateway, permit, &errand, of_upload, about.access, request) => {
            forwarded.map(|forwarded| Answer::Forwarded(forwarded, lease))
        }
    }
}
