//! One allowed request into the tunnel, and its answer back.

use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::uri::{PathAndQuery, Scheme as UriScheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

use super::Gateway;
use super::exchange::{Exchange, Upload};
use super::respond::{self, Failure};
use super::route::Published;
use crate::auth::Permit;
use crate::http::{self as rules, Body, Upgrade};
use crate::model::{
    Application, Captured, Endpoint, ErrorCode, Host, HostHeader, RequestId, Scheme,
};
use crate::telemetry::AccessLine;
use crate::translate::{self, UrlMap};
use crate::tunnel::link::Place;
use crate::tunnel::wire;
use crate::upgrade;

/// Configuration excludes it.
const NO_LABEL: &str = "the internal URL's wildcard has no label to take";

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
    pub(super) place: Place,
}

/// Forwards a request for which policy gave a permit.
pub(super) async fn forward(
    gateway: &Gateway,
    permit: Permit,
    errand: &Errand<'_>,
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
    let target = target(application, errand)?;
    let map = UrlMap::new(application, errand.captured, errand.host)
        .ok_or_else(|| Failure::internal(NO_LABEL))?;
    let upload = Upload::default();
    let request = compose(request, errand, &map, &target, is_websocket)?
        .map(|body| upload.follow(respond::count(access, body)));
    let exchange = Exchange {
        gateway,
        application,
        errand,
        upload,
        is_websocket,
    };
    let (answer, place) = exchange.run(access, request).await?;
    receive(answer, &map, access, place, client, &asked)
}

/// Host and port the connector is to dial.
fn target(application: &Application, errand: &Errand<'_>) -> Result<Endpoint, Failure> {
    let internal = &application.internal;
    let host = internal
        .host_for(errand.captured)
        .ok_or_else(|| Failure::internal(NO_LABEL))?;
    Ok(Endpoint {
        host,
        port: internal.port,
    })
}

/// The request as the application is to receive it, and beside it what the connector needs.
fn compose(
    request: Request<Incoming>,
    errand: &Errand<'_>,
    map: &UrlMap<'_>,
    target: &Endpoint,
    is_websocket: bool,
) -> Result<Request<Body>, Failure> {
    let application = map.application();
    let (mut parts, body) = request.into_parts();
    let fields = &mut parts.headers;
    rules::strip_request(fields);
    rules::deny_request(fields);
    rules::join_cookies(fields);
    translate::remove_own_cookies(fields);
    translate::rewrite_origin(fields, map);
    fields.remove(HOST);
    errand.facts.set(fields);
    put(fields, wire::TARGET, &target.to_string())?;
    put(fields, wire::APPLICATION, application.name.as_str())?;
    put(fields, wire::REQUEST_ID, errand.id.as_str())?;
    put(fields, wire::PROFILE, errand.published.hash.as_str())?;
    let body = if is_websocket {
        // The connector makes a key of its own: it is the one that checks the answer.
        fields.remove(SEC_WEBSOCKET_KEY);
        fields.remove(CONTENT_LENGTH);
        parts.extensions.insert(Protocol::from_static("websocket"));
        parts.method = Method::CONNECT;
        Body::empty()
    } else if http_body::Body::is_end_stream(&body) {
        Body::empty()
    } else if parts.version == http::Version::HTTP_2 {
        Body::upload(body).with_trailers(rules::deny_request_trailers)
    } else {
        Body::incoming(body).with_trailers(rules::deny_request_trailers)
    };
    wire::mark_sensitive(fields);
    let uri = uri(application, errand, target, parts.uri.path_and_query())?;
    let pseudo = [
        parts.method.as_str().len(),
        uri.authority().map_or(0, |a| a.as_str().len()),
        uri.path_and_query().map_or(1, |p| p.as_str().len()),
        "https".len(),
        "websocket".len(),
    ];
    rules::fits_tunnel(fields, &pseudo)
        .map_err(|excess| Failure::new(ErrorCode::TooLarge, excess.to_string()))?;
    parts.uri = uri;
    parts.version = http::Version::HTTP_2;
    Ok(Request::from_parts(parts, body))
}

fn put(fields: &mut HeaderMap, name: http::HeaderName, value: &str) -> Result<(), Failure> {
    let value = HeaderValue::from_str(value)
        .map_err(|e| Failure::new(ErrorCode::Internal, format!("{name}: {e}")))?;
    fields.insert(name, value);
    Ok(())
}

/// Scheme, authority and path exactly as the application is to receive them.
fn uri(
    application: &Application,
    errand: &Errand<'_>,
    target: &Endpoint,
    path: Option<&PathAndQuery>,
) -> Result<Uri, Failure> {
    let internal = |e: &dyn std::fmt::Display| Failure::new(ErrorCode::Internal, e.to_string());
    let path = path.ok_or_else(|| internal(&"the request has no path"))?;
    let (external, inside) = (&application.external, &application.internal);
    let path = rules::map_path(&external.path, &inside.path, path)
        .ok_or_else(|| internal(&"the path is not below the published one"))?;
    let authority = match &application.host_header {
        HostHeader::Internal => inside.authority(&target.host),
        HostHeader::External => external.authority(errand.host),
        HostHeader::Fixed(name) => name.to_string(),
    };
    let scheme = match inside.scheme {
        Scheme::Http => UriScheme::HTTP,
        Scheme::Https => UriScheme::HTTPS,
    };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path);
    uri.build().map_err(|e| internal(&e))
}

/// The answer as the visitor is to receive it.
fn receive(
    answer: Response<Incoming>,
    map: &UrlMap<'_>,
    access: &mut AccessLine,
    place: Place,
    client: Option<OnUpgrade>,
    asked: &Upgrade,
) -> Result<Forwarded, Failure> {
    let (mut parts, body) = answer.into_parts();
    let micros = parts.headers.remove(wire::TIMING);
    let micros = micros.and_then(|micros| micros.to_str().ok()?.parse().ok());
    access.returned(micros.map(Duration::from_micros));
    if let Some((code, detail)) = wire::take_error(&mut parts.headers) {
        return Err(Failure::new(code, detail));
    }
    rules::strip_response(&mut parts.headers);
    rules::deny_response(&mut parts.headers);
    translate::translate_response(&mut parts.headers, map, map.application().link_translation);
    parts.version = http::Version::HTTP_11;
    // In the tunnel 200 means that the application agreed to the handshake.
    if let (Some(client), StatusCode::OK) = (client, parts.status) {
        let mut answer = Response::from_parts(parts, body);
        let application = hyper::upgrade::on(&mut answer);
        let mut response = answer.map(|_| Body::empty());
        if let Upgrade::WebSocketH1 { key } = asked {
            switch_protocols(&mut response, key)?;
        }
        let websocket = Some(WebSocket {
            client,
            application,
            place,
        });
        return Ok(Forwarded {
            response,
            websocket,
        });
    }
    let body = Body::incoming(body)
        .with_trailers(rules::deny_response_trailers)
        .with_guard(place);
    Ok(Forwarded {
        response: Response::from_parts(parts, body),
        websocket: None,
    })
}

/// The answer to a handshake of RFC 6455.
fn switch_protocols(response: &mut Response<Body>, key: &HeaderValue) -> Result<(), Failure> {
    let internal = |e: &dyn std::fmt::Display| Failure::new(ErrorCode::Internal, e.to_string());
    let key = key.to_str().map_err(|e| internal(&e))?;
    let accept = HeaderValue::from_str(&upgrade::accept_for(key)).map_err(|e| internal(&e))?;
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(())
}
