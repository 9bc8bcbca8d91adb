//! What the gateway itself says for an application: before a request may reach it, and on top of what
//! it answers.

use http::header::{HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
use http::{Method, Request, Response};

use super::cors;
use super::published::Published;
use super::respond::{self, Failure};
use crate::http::{self as rules, Body};
use crate::model::{ErrorCode, RequestId, Scheme};

use std::net::IpAddr;

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Where search engines ask.
pub(super) const ROBOTS: &str = "/robots.txt";

/// Decides whether the application is not asked at all: it is closed for this client, or the answer is
/// ours. `path` is the one routing decided on.
///
/// # Errors
/// Where it is closed.
pub(super) fn before<B>(
    published: &Published,
    client: IpAddr,
    path: &str,
    request: &Request<B>,
    id: &RequestId,
) -> Result<Option<Response<Body>>, Failure> {
    let front = &published.application.front;
    if let Some(closed) = &front.maintenance
        && !closed.is_open_for(client)
    {
        let why = "`maintenance` is set for the application";
        return Err(Failure::new(ErrorCode::Maintenance, why).closed_for(closed));
    }
    if let Some(answer) = cors::preflight(&published.application, request, id)? {
        return Ok(Some(answer));
    }
    if !is_read(request) {
        return Ok(None);
    }
    if front.denies_robots && path == ROBOTS {
        return Ok(Some(respond::robots(request.method(), id)));
    }
    let is_root = path == published.application.external.path.as_str();
    match &front.home {
        Some(home) if is_root && request.uri().query().is_none() => {
            respond::redirect_home(home, id).map(Some)
        }
        _ => Ok(None),
    }
}

/// A page, or what a search engine asks for; no handshake.
pub(super) fn is_read<B>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && rules::websocket_upgrade(request) == rules::Upgrade::None
}

/// Adds what the gateway says to an answer, and takes away what is not for one application to say
/// (DESIGN 8, rule 14).
pub(super) fn after<B>(
    response: &mut Response<B>,
    published: &Published,
    scheme: Scheme,
    origin: Option<&HeaderValue>,
) {
    let front = &published.application.front;
    if let Some(cors) = &front.cors {
        cors::after(response, cors, origin);
    }
    let fields = response.headers_mut();
    match (&published.hsts, scheme) {
        // Browsers pass it over where it did not come over TLS (RFC 6797 section 8.1).
        (_, Scheme::Http) => drop(fields.remove(STRICT_TRANSPORT_SECURITY)),
        (Some(hsts), Scheme::Https) => {
            fields.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        (None, Scheme::Https) => hold_to_host(fields),
    }
    if front.denies_robots {
        let stay_away = HeaderValue::from_static("noindex, nofollow");
        fields.insert(X_ROBOTS_TAG, stay_away);
    }
    if published.shares_host && !front.clears_site_data {
        fields.remove(CLEAR_SITE_DATA);
    }
}

/// Leaves of what an application promises for its host what is for this host alone: it does not own
/// the names below, nor what browsers are delivered with.
fn hold_to_host(fields: &mut HeaderMap) {
    let mut values = fields.get_all(STRICT_TRANSPORT_SECURITY).iter();
    let Some(first) = values.next() else {
        return;
    };
    // Browsers read the first one alone (RFC 6797 section 8.1).
    let directives = first.as_bytes().split(|&b| b == b';');
    let held = directives.filter(|directive| {
        let name = directive.split(|&b| b == b'=').next().unwrap_or_default();
        let name = name.trim_ascii();
        !name.eq_ignore_ascii_case(b"includesubdomains") && !name.eq_ignore_ascii_case(b"preload")
    });
    let held = held.collect::<Vec<_>>().join(&b';');
    match HeaderValue::from_bytes(held.trim_ascii()) {
        Ok(held) => drop(fields.insert(STRICT_TRANSPORT_SECURITY, held)),
        Err(_) => drop(fields.remove(STRICT_TRANSPORT_SECURITY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_14_an_application_promises_for_its_own_host_alone() {
        for (sent, held) in [
            ("max-age=1", "max-age=1"),
            ("max-age=1; includeSubDomains", "max-age=1"),
            ("max-age=1;INCLUDESUBDOMAINS;preload", "max-age=1"),
            ("includeSubDomains ; max-age=\"1\"", "max-age=\"1\""),
            ("max-age=1; includeSubDomains=; preload = x", "max-age=1"),
            ("max-age=0", "max-age=0"),
            ("", ""),
        ] {
            let mut fields = HeaderMap::new();
            fields.append(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(sent));
            let second = HeaderValue::from_static("max-age=9; includeSubDomains");
            fields.append(STRICT_TRANSPORT_SECURITY, second);
            hold_to_host(&mut fields);
            let all: Vec<_> = fields.get_all(STRICT_TRANSPORT_SECURITY).iter().collect();
            assert_eq!(all, [held], "{sent}");
        }
        let mut fields = HeaderMap::new();
        hold_to_host(&mut fields);
        assert!(fields.is_empty());
    }
}
