//! What the demo's identity provider reads and says, in HTTP.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::http::Body;

pub(super) fn end_session(query: &[(String, String)]) -> Response<Body> {
    let back = one(query, "post_logout_redirect_uri").and_then(|uri| url::Url::parse(uri).ok());
    match back {
        Some(mut back) => {
            if let Some(state) = one(query, "state") {
                back.query_pairs_mut().append_pair("state", state);
            }
            see(back.as_str())
        }
        None => text(StatusCode::OK, "You are signed out."),
    }
}

pub(super) fn parameters(octets: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(octets).into_owned().collect()
}

pub(super) fn one<'a>(all: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = all.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str())
}

pub(super) fn see(to: &str) -> Response<Body> {
    let mut response = text(StatusCode::SEE_OTHER, "");
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

pub(super) fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(text.to_owned()));
    *response.status_mut() = status;
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

pub(super) fn json_of(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = text(status, &value.to_string());
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
