//! One allowed request into the tunnel, and its answer back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, SEC_WEBSOCKET_KEY, WWW_AUTHENTICATE,
};
use http::uri::{PathAndQuery, Scheme as UriScheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

use super::Gateway;
use super::affinity::{Client, Wish};
use super::choice::Hold;
use super::client_tls;
use super::exchange::Exchange;
use super::lease::Lease;
use super::limits::Ticket;
use super::pins::Pins;
use super::published::Published;
use super::respond::{self, Failure};
use super::sign_on::{self, Told};
use super::translated::Looking;
use super::upload::Upload;
use super::websocket;
use crate::auth::Permit;
use crate::http::{self as rules, Body, Guard, Upgrade};
use crate::model::{
    Affinity, Captured, ClientCertificate, Ends, ErrorCode, Host, RequestId, Scheme,
};
use crate::telemetry::AccessLine;
use crate::translate::{self, Table, UrlMap};
use crate::tunnel::wire;

/// Configuration excludes it.
pub(super) const NO_LABEL: &str = "the internal URL's wildcard has no label to take";

/// What the gateway knows of a request beside the request itself.
#[derive(Debug)]
pub(super) struct Errand<'a> {
    /// What its connectors must know of the application.
    pub(super) published: &'a Published,
    /// The label a wildcard stood for.
    pub(super) captured: Option<&'a Captured>,
    /// The host people used.
    pub(super) host: &'a Host,
    /// Facts for the application.
    pub(super) facts: rules::Facts<'a>,
    pub(super) id: &'a RequestId,
    /// The client's connection.
    pub(super) ends: Ends,
    /// The certificate that its client has shown, where it counts.
    pub(super) certificate: Option<&'a ClientCertificate>,
    /// Where links between applications lead.
    pub(super) links: &'a Arc<Table>,
    /// What the client connection holds on to, where the application signs connections in.
    pub(super) pins: Option<&'a Pins>,
}

/// What came of it.
pub(super) struct Forwarded {
    pub(super) response: Response<Body>,
    /// Both ends of a WebSocket that was agreed to.
    pub(super) websocket: Option<WebSocket>,
}

/// The two ends of a WebSocket, before both have become streams of octets.
pub(super) struct WebSocket {
    pub(super) client: OnUpgrade,
    pub(super) application: OnUpgrade,
    pub(super) held: Held,
}

/// What a request has until its answer has ended.
pub(super) struct Held {
    _hold: Option<Hold>,
    _ticket: Ticket,
}

impl Held {
    pub(super) const fn new(hold: Option<Hold>, ticket: Ticket) -> Self {
        Self {
            _hold: hold,
            _ticket: ticket,
        }
    }
}

impl Guard for Held {}

/// `Origin`, `Destination` and the like as they came: what an application is to see of them depends
/// on which of its internal URLs is asked.
pub(super) struct Origins([(HeaderName, Vec<HeaderValue>); 4]);

impl Origins {
    pub(super) fn of(fields: &HeaderMap) -> Self {
        Self(translate::TOWARDS_ONE_URL.map(|name| {
            let values = fields.get_all(&name).iter().cloned().collect();
            (name, values)
        }))
    }

    fn put_back(&self, fields: &mut HeaderMap) {
        for (name, values) in &self.0 {
            fields.remove(name);
            for value in values {
                fields.append(name, value.clone());
            }
        }
    }
}

/// Forwards a request for which policy gave a permit.
pub(super) async fn forward(
    gateway: &Gateway,
    permit: Permit,
    errand: &Errand<'_>,
    lease: Lease,
    access: &mut AccessLine,
    mut request: Request<Incoming>,
) -> Result<Forwarded, Failure> {
    let application = permit.application();
    let asked = rules::websocket_upgrade(&request);
    if let Upgrade::Refused(why) = &asked {
        return Err(Failure::new(ErrorCode::BadRequest, why.to_string()));
    }
    let is_websocket = asked != Upgrade::None;
    let client = is_websocket.then(|| hyper::upgrade::on(&mut request));
    let mut map = UrlMap::new(application, errand.captured, errand.host)
        .ok_or_else(|| Failure::internal(NO_LABEL))?;
    let wish = wish(errand, request.headers());
    let ticket = gateway
        .clients
        .admit(application, &errand.published.load, errand.facts.client)?;
    let upload = Upload::default();
    if permit.hides_authorization() {
        request.headers_mut().remove(AUTHORIZATION);
    }
    let told = sign_on::prepare(gateway, errand.published, &permit).await?;
    let (request, looking) = compose(request, errand, &map, (&permit, told), is_websocket)?;
    let request = match &looking {
        Some(looking) => {
            let (mut parts, body) = request.into_parts();
            let body = body.with_limit(application.limits.body);
            let body = looking.send_back(&mut parts, body).await;
            Request::from_parts(parts, body)
        }
        None => request,
    };
    let request = request
        .map(|body| body.with_limit(application.limits.body))
        .map(|body| upload.follow(respond::count(access, body)))
        .map(|body| body.with_lease(lease));
    let origins = Origins::of(request.headers());
    let exchange = Exchange {
        gateway,
        application,
        errand,
        upload,
        is_websocket,
        origins,
        wish,
    };
    let shared = exchange.errand.pins.is_none();
    let whole = looking.as_ref().and_then(|looking| looking.whole(&request));
    let mut answered = exchange.run(access, &mut map, request).await?;
    if let Some((looking, whole)) = looking.as_ref().zip(whole)
        && looking.is_part(&answered.response)
    {
        // Its octets are not those of the translated text.
        drop(answered);
        answered = exchange.run(access, &mut map, whole).await?;
    }
    if shared
        && rules::carries_connection_authentication(answered.response.headers(), &WWW_AUTHENTICATE)
    {
        say_what_is_needed(errand.published);
    }
    let mark = (wish != Wish::Mark(answered.mark)).then_some(answered.mark);
    let held = Held::new(answered.hold, ticket);
    let url = answered.url;
    let answer = (answered.response, looking.map(|looking| (looking, url)));
    let mut forwarded = receive(answer, &map, access, held, client, &asked).await?;
    // A visitor of somebody else, or of nobody yet, belongs to whoever answered.
    if let (Some(cookie), Some(mark)) = (&errand.published.cookie, mark) {
        cookie.set(forwarded.response.headers_mut(), mark);
    }
    Ok(forwarded)
}

/// Said once: whoever runs the application finds people who are asked for their password for ever.
fn say_what_is_needed(published: &Published) {
    if !published.asks_for_connections.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            application = %published.application.name,
            "the application asks for NTLM or Negotiate: NTLM does not work unless \
             `connection_authentication: true` is set for it; Kerberos works either way"
        );
    }
}

/// Whom the request should go to.
fn wish(errand: &Errand<'_>, fields: &HeaderMap) -> Wish {
    let published = errand.published;
    match (&published.cookie, published.application.affinity) {
        (Some(cookie), _) => cookie.read(fields).map_or(Wish::Anybody, Wish::Mark),
        (None, Some(Affinity::Address)) => Wish::Address(Client::at(errand.facts.client)),
        (None, _) => Wish::Anybody,
    }
}

/// The request as the application is to receive it, and beside it what the connector needs; only
/// where it goes is not in it yet.
fn compose<'e>(
    request: Request<Incoming>,
    errand: &'e Errand<'e>,
    map: &UrlMap<'_>,
    (permit, told): (&Permit, Told<'_>),
    is_websocket: bool,
) -> Result<(Request<Body>, Option<Looking<'e>>), Failure> {
    let application = map.application();
    let (mut parts, body) = request.into_parts();
    let looking = match is_websocket {
        true => None,
        false => Looking::prepare(errand, permit, &mut parts, !body.is_end_stream())?,
    };
    let fields = &mut parts.headers;
    rules::strip_request(fields);
    rules::deny_request(fields);
    rules::join_cookies(fields);
    translate::remove_own_cookies(fields);
    fields.remove(HOST);
    sign_on::tell(fields, &application.sign_on, told, errand.id);
    if let Some(settings) = &application.client_certificates {
        client_tls::remove_claimed(fields, settings);
        if let Some(certificate) = errand.certificate {
            client_tls::tell(fields, settings, certificate, errand.id);
        }
    }
    put_beside(fields, errand)?;
    let trailers = match application.sign_on.deleted.is_empty() {
        true => rules::deny_request_trailers,
        false => rules::deny_all_trailers,
    };
    let body = if is_websocket {
        // The connector makes a key of its own: it is the one that checks the answer.
        fields.remove(SEC_WEBSOCKET_KEY);
        fields.remove(CONTENT_LENGTH);
        parts.extensions.insert(Protocol::from_static("websocket"));
        parts.method = Method::CONNECT;
        Body::empty()
    } else if body.is_end_stream() {
        Body::empty()
    } else if parts.version == http::Version::HTTP_2 {
        Body::upload(body).joined().with_trailers(trailers)
    } else {
        Body::incoming(body).joined().with_trailers(trailers)
    };
    wire::mark_sensitive(fields);
    let path = parts.uri.path_and_query();
    let path = path.ok_or_else(|| Failure::internal("the request has no path"))?;
    parts.uri = inside(errand.published, path)?;
    parts.version = http::Version::HTTP_2;
    Ok((Request::from_parts(parts, body), looking))
}

/// Puts beside a request what the application is told of its way, and what the connector needs.
pub(super) fn put_beside(fields: &mut HeaderMap, errand: &Errand<'_>) -> Result<(), Failure> {
    let application = &errand.published.application;
    errand.facts.set(fields);
    put(fields, wire::APPLICATION, application.name.as_str())?;
    put(fields, wire::REQUEST_ID, errand.id.as_str())?;
    put(fields, wire::PROFILE, errand.published.hash.as_str())?;
    if application.proxy_protocol.is_some() {
        put(fields, wire::CLIENT, &errand.ends.to_string())?;
    }
    Ok(())
}

/// The path as the application is to receive it.
pub(super) fn inside(published: &Published, path: &PathAndQuery) -> Result<Uri, Failure> {
    let application = &published.application;
    let (external, internal) = (&application.external.path, application.internal.path());
    let path = rules::map_path(external, internal, path);
    let path = path.ok_or_else(|| Failure::internal("the path is not below the published one"))?;
    Ok(Uri::from(path))
}

/// Points a request at the internal URL that was chosen: scheme, authority and path are exactly as
/// that is to receive them. `origins` are there where it has been pointed at another one before.
pub(super) fn aim(
    request: &mut Request<Body>,
    map: &UrlMap<'_>,
    origins: Option<&Origins>,
    connection: Option<&str>,
) -> Result<(), Failure> {
    let path = request.uri().path_and_query().cloned();
    let scheme = match map.internal().scheme {
        Scheme::Http => UriScheme::HTTP,
        Scheme::Https => UriScheme::HTTPS,
    };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(map.host_header())
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let uri = uri.build().map_err(|e| Failure::internal(e.to_string()))?;
    let pseudo = [
        request.method().as_str().len(),
        uri.authority().map_or(0, |a| a.as_str().len()),
        uri.path_and_query().map_or(1, |p| p.as_str().len()),
        "https".len(),
        "websocket".len(),
    ];
    *request.uri_mut() = uri;
    let fields = request.headers_mut();
    if let Some(origins) = origins {
        origins.put_back(fields);
    }
    translate::translate_request(fields, map, &map.application().link_translation)
        .map_err(|outside| Failure::new(ErrorCode::BadRequest, outside.to_string()))?;
    if let Some(connection) = connection {
        put(fields, wire::CONNECTION, connection)?;
        wire::mark_sensitive(fields);
    }
    put(fields, wire::TARGET, &map.target().to_string())?;
    rules::fits_tunnel(fields, &pseudo)
        .map_err(|excess| Failure::new(ErrorCode::TooLarge, excess.to_string()))
}

pub(super) fn put(
    fields: &mut HeaderMap,
    name: http::HeaderName,
    value: &str,
) -> Result<(), Failure> {
    let value = HeaderValue::from_str(value)
        .map_err(|e| Failure::new(ErrorCode::Internal, format!("{name}: {e}")))?;
    fields.insert(name, value);
    Ok(())
}

/// The answer as the visitor is to receive it.
async fn receive(
    (answer, looking): (Response<Incoming>, Option<(Looking<'_>, usize)>),
    map: &UrlMap<'_>,
    access: &mut AccessLine,
    held: Held,
    client: Option<OnUpgrade>,
    asked: &Upgrade,
) -> Result<Forwarded, Failure> {
    let (mut parts, body) = answer.into_parts();
    access.returned(wire::take_timing(&mut parts.headers));
    if let Some((code, detail)) = wire::take_error(&mut parts.headers) {
        return Err(Failure::new(code, detail));
    }
    rules::strip_response(&mut parts.headers);
    rules::deny_response(&mut parts.headers);
    translate::translate_response(&mut parts.headers, map, &map.application().link_translation);
    parts.version = http::Version::HTTP_11;
    let is_error = parts.status.is_client_error() || parts.status.is_server_error();
    if client.is_some() && is_error {
        let (id, application) = (access.id(), &map.application().name);
        let status = parts.status.as_u16();
        tracing::info!(request_id = %id, %application, status, code = "websocket_refused", "the application refuses a WebSocket");
    }
    // In the tunnel 200 means that the application agreed to the handshake.
    if let (Some(client), StatusCode::OK) = (client, parts.status) {
        let mut answer = Response::from_parts(parts, body);
        let application = hyper::upgrade::on(&mut answer);
        let mut response = answer.map(|_| Body::empty());
        if let Upgrade::WebSocketH1 { key } = asked {
            websocket::switch_protocols(&mut response, key)?;
        }
        let websocket = Some(WebSocket {
            client,
            application,
            held,
        });
        return Ok(Forwarded {
            response,
            websocket,
        });
    }
    let body = Body::incoming(body);
    let body = match looking {
        Some((looking, url)) => looking.look(url, &mut parts, body).await,
        None => body,
    };
    let body = body
        .with_trailers(rules::deny_response_trailers)
        .with_patience(map.application().timeouts.idle)
        .with_guard(held);
    Ok(Forwarded {
        response: Response::from_parts(parts, body),
        websocket: None,
    })
}
