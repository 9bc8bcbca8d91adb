//! Pages and what they load, as responses.

use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
};
use http::{Method, Response, StatusCode};

use super::asset::Asset;
use super::{Look, Page, render};
use crate::gateway::respond::{STRICTEST, challenge, own};
use crate::http::Body;
use crate::model::RequestId;

/// A response with a page; for HEAD, without.
pub(crate) fn page(page: &Page<'_>, look: &Look<'_>, method: &Method) -> Response<Body> {
    let html = render(page, look);
    let length = html.text.len();
    let mut response = own(page.status(), body(html.text, method), look.id);
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    // The same fields for HEAD as for GET, the length among them (RFC 9110, section 9.3.2).
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    // Hosts and hashes of ours: always a field's value.
    let policy = HeaderValue::try_from(html.policy).unwrap_or(STRICTEST);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    if response.status() == StatusCode::UNAUTHORIZED {
        challenge(&mut response);
    }
    response
}

/// A response with what a page loads; for HEAD, without. It may be kept for good.
pub(crate) fn asset(asset: Asset, method: &Method, id: &RequestId) -> Response<Body> {
    let length = asset.octets.len();
    let mut response = own(StatusCode::OK, body(asset.octets, method), id);
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, asset.content_type),
        // RFC 8246.
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        // SECURITY: a logo that is opened by itself is a document of the host it came from, and an SVG
        // may hold scripts.
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn body(octets: impl Into<bytes::Bytes>, method: &Method) -> Body {
    match *method {
        Method::HEAD => Body::empty(),
        _ => Body::full(octets.into()),
    }
}
