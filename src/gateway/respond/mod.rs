//! Answers of our own: every error and every redirect becomes a response here, and nowhere else.
//!
//! The one chooser of our status codes, from the closed list of [`ErrorCode`]. An answer says what
//! happened, on whose side and what the visitor can do, with the reference that is in the log; the
//! inner detail stays in the log. hyper's own refusals of requests it cannot parse are the one
//! exception: they are counted from the connection's error.
//!
//! Each answer carries `Appproxy-Answer: gateway` (RFC 9651; with the code as the parameter
//! `error`), so that it can be told from an application's. Fields of that beginning are deleted
//! from what applications send, so none can pretend.

mod asked;
mod carry;
mod failure;
pub(crate) mod pages;
mod words;

use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    LOCATION, REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, StatusCode};

use self::asked::Form;
use self::pages::{Language, Look, Page, Theme};
use crate::http::Body;
use crate::model::{ErrorCode, ExternalUrl, Host, HostPattern, PathPrefix, RequestId};

pub(crate) use asked::Asked;
pub(crate) use carry::{carry, count};
pub(crate) use failure::Failure;

/// The reference of a request, in answers to the visitor and in requests to the application.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Which hop made an answer.
const ANSWER: HeaderName = HeaderName::from_static("appproxy-answer");

/// The policy of what needs nothing.
const STRICTEST: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The reference on an answer, whoever made the answer.
pub(crate) fn mark(response: &mut Response<Body>, id: &RequestId) {
    // An id of ours is hexadecimal; one that is no field value is left out.
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
}

/// What every answer of the sign-in host says, which is the gateway's alone and never anything but TLS.
/// SECURITY: whoever opened the window must not exchange it under a click.
pub(crate) fn of_sign_in_host(fields: &mut HeaderMap) {
    const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    fields.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    let always = HeaderValue::from_static("max-age=31536000");
    fields.insert(STRICT_TRANSPORT_SECURITY, always);
}

/// The answer to a request that failed.
pub(crate) fn failure(
    failure: &Failure,
    asked: &Asked,
    theme: &Theme,
    id: &RequestId,
) -> Response<Body> {
    let code = failure.code;
    let closed = failure.closed.as_deref();
    let notice = closed.and_then(|closed| closed.message.as_deref());
    let (text, kind, policy) = match asked.form {
        Form::Page => {
            let language = asked.language();
            let look = Look {
                language,
                theme,
                id,
            };
            let html = pages::render(&Page::Error { code, notice }, &look);
            // Hashes of ours: always a field's value.
            let policy = HeaderValue::try_from(html.policy).unwrap_or(STRICTEST);
            (html.text, "text/html; charset=utf-8", policy)
        }
        Form::Json => (
            json(failure, notice, id.as_str()),
            "application/json",
            STRICTEST,
        ),
    };
    // The same fields for HEAD as for GET, the length among them (RFC 9110, section 9.3.2).
    let length = HeaderValue::from(text.len());
    let body = if asked.body {
        Body::full(text)
    } else {
        Body::empty()
    };
    let mut response = own(words::status(code), body, id);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    if failure.at_desk {
        of_sign_in_host(headers);
    }
    if let Ok(answer) = HeaderValue::try_from(format!("gateway;error={code}")) {
        headers.insert(ANSWER, answer);
    }
    // Whole seconds, and never before the time.
    let retry_after = failure
        .again()
        .map(|time| time.as_millis().div_ceil(1000).max(1));
    let retry_after = retry_after.and_then(|seconds| u64::try_from(seconds).ok());
    if let Some(seconds) = retry_after.or_else(|| words::retry_after(code).map(u64::from)) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let is_unknown = words::status(code) == StatusCode::UNAUTHORIZED;
    if is_unknown && (code == ErrorCode::SignInRequired || failure.challenge.is_none()) {
        challenge(&mut response);
    }
    let said = failure.challenge.as_deref().map(HeaderValue::try_from);
    if let Some(Ok(said)) = said {
        response.headers_mut().append(WWW_AUTHENTICATE, said);
    }
    response
}

/// A 401 must name a scheme (RFC 9110, section 15.5.2). A registered one would make browsers ask for a
/// password that nobody has.
fn challenge(response: &mut Response<Body>) {
    let scheme = HeaderValue::from_static("Appproxy realm=\"appproxy\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
}

/// Sends a visitor of the plain-HTTP listener to the same place over TLS.
///
/// Scheme and port are the configuration's, and so is the host: `host`, taken from the request,
/// counts only for a wildcard, and only where the wildcard matches it.
///
/// # Errors
/// Where `external` does not publish `host`, or the target cannot stand in a header field.
pub(crate) fn redirect_to_https(
    external: &ExternalUrl,
    host: &Host,
    target: &PathAndQuery,
    id: &RequestId,
) -> Result<Response<Body>, Failure> {
    let host = match &external.host {
        HostPattern::Exact(own) => own,
        pattern @ HostPattern::Wildcard { .. } if pattern.matches(host).is_some() => host,
        HostPattern::Wildcard { .. } => {
            let detail = format!("{external} does not publish the host {host}");
            return Err(Failure::new(ErrorCode::NoRoute, detail));
        }
    };
    // `OPTIONS *` is about the server as a whole.
    let target = match target.as_str() {
        "*" => "/",
        target => target,
    };
    moved(format!("https://{}{target}", external.authority(host)), id)
}

/// Sends a visitor of `/wiki` to `/wiki/`, where the application's relative links resolve.
///
/// Same-origin by construction: the target is a path of the configuration, which cannot begin
/// with `//`, and the query changes nothing about where it leads.
///
/// # Errors
/// Where the query cannot stand in a header field.
pub(crate) fn redirect_bare_path(
    prefix: &PathPrefix,
    query: Option<&str>,
    id: &RequestId,
) -> Result<Response<Body>, Failure> {
    let path = prefix.as_str();
    moved(
        query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")),
        id,
    )
}

/// Sends a visitor of an application's root to its home.
///
/// Same-origin by construction: configuration has seen to it that `home` is a path.
///
/// # Errors
/// Where it cannot stand in a header field, which configuration excludes.
pub(crate) fn redirect_home(home: &str, id: &RequestId) -> Result<Response<Body>, Failure> {
    let home =
        HeaderValue::from_str(home).map_err(|e| Failure::internal(format!("home_path: {e}")))?;
    let mut response = own(StatusCode::FOUND, Body::empty(), id);
    response.headers_mut().insert(LOCATION, home);
    Ok(response)
}

/// Tells search engines to stay away (RFC 9309).
pub(crate) fn robots(method: &Method, id: &RequestId) -> Response<Body> {
    const TEXT: &str = "User-agent: *\nDisallow: /\n";
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => Body::full(TEXT.to_owned()),
    };
    let mut response = own(StatusCode::OK, body, id);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(TEXT.len()));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, kind);
    response
}

/// Public keys (RFC 7517 section 8.5.2). They are nobody's secret and change once a month, a day before
/// they are needed; whoever verifies may keep them for a while.
pub(crate) fn jwks(text: String, method: &Method, id: &RequestId) -> Response<Body> {
    let length = HeaderValue::from(text.len());
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => Body::full(text),
    };
    let mut response = own(StatusCode::OK, body, id);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length);
    for (name, value) in [
        (CONTENT_TYPE, "application/jwk-set+json"),
        (CACHE_CONTROL, "public, max-age=300"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// 308 keeps the method and the body, which 301 may not (RFC 9110, section 15.4.9).
fn moved(location: String, id: &RequestId) -> Result<Response<Body>, Failure> {
    let location = HeaderValue::try_from(location)
        .map_err(|e| Failure::new(ErrorCode::BadRequest, format!("redirect target: {e}")))?;
    let mut response = own(StatusCode::PERMANENT_REDIRECT, Body::empty(), id);
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// An answer without a body.
pub(crate) fn plain(status: StatusCode, id: &RequestId) -> Response<Body> {
    own(status, Body::empty(), id)
}

/// What every answer of ours carries.
fn own(status: StatusCode, body: Body, id: &RequestId) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (ANSWER, "gateway"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    mark(&mut response, id);
    response
}

fn json(failure: &Failure, notice: Option<&str>, id: &str) -> String {
    let code = failure.code;
    let mut error = serde_json::json!({
        "code": code.as_str(),
        "status": words::status(code).as_u16(),
        // For programs, which read one language.
        "message": Language::English.say(words::message(code)),
        "side": code.side().as_str(),
        "request_id": id,
    });
    if let Some(notice) = notice {
        error["notice"] = notice.into();
    }
    if let Some(url) = &failure.sign_in {
        error["sign_in_url"] = url.as_str().into();
    }
    let mut text = serde_json::json!({ "error": error }).to_string();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
