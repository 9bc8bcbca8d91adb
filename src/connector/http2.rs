//! A request as an application is to receive it over HTTP/2, on a connection that others share.

use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Request, Uri, Version};

use super::pool::Target;
use crate::http::{Body, fits_http2};
use crate::model::ErrorCode;

/// Trailers that might end a connection are left out; the body is whole without them.
pub(super) fn without_excess(trailers: &mut HeaderMap) {
    if fits_http2(trailers).is_err() {
        tracing::warn!(
            code = "too_large",
            "a request's trailers are too large for HTTP/2 and were left out"
        );
        trailers.clear();
    }
}

/// Writes a request as HTTP/2 wants it: `Host` becomes `:authority` (RFC 9113 section 8.3.1).
pub(super) fn to_http2(
    target: &Target,
    request: &mut Request<Body>,
) -> Result<(), (ErrorCode, String)> {
    let host = request.headers_mut().remove(HOST);
    let bad = |why: String| (ErrorCode::BadRequest, why);
    let host = host.ok_or_else(|| bad("the request in the tunnel has no authority".to_owned()))?;
    let authority = Authority::try_from(host.as_bytes()).map_err(|e| bad(e.to_string()))?;
    let path = request.uri().path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(target.scheme.as_str())
        .authority(authority)
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build();
    *request.uri_mut() = uri.map_err(|e| bad(e.to_string()))?;
    *request.version_mut() = Version::HTTP_2;
    // SECURITY: some servers end the connection for one head too large, and with it everybody's
    // requests.
    fits_http2(request.headers()).map_err(|excess| (ErrorCode::TooLarge, excess.to_string()))
}
