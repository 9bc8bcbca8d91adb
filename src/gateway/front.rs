//! What the gateway itself says for an application: before a request may reach it, and on top of what
//! it answers.

use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
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
    match &front.cors {
        Some(cors) => cors::after(response, cors, origin),
        // Whatever the application says: a page elsewhere would read what is one person's.
        None if published.application.signs_in() => cors::none(response),
        None => {}
    }
    let fields = response.headers_mut();
    if published.application.is_guarded() && !front.is_cached_for_all {
        hold_private(fields);
    }
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

/// What caches on the way are told beside `Cache-Control`, and go by first (RFC 9213; the others are from
/// before).
const FOR_CACHES: [&str; 3] = ["cdn-cache-control", "surrogate-control", "x-accel-expires"];

/// Has caches on the way keep nothing of what was for somebody who signed in (DESIGN 8, rule 11): they
/// would give it to anybody who asks for the same address, or for one that only looks like a picture's.
fn hold_private(fields: &mut HeaderMap) {
    for name in FOR_CACHES {
        fields.remove(name);
    }
    let values = fields.get_all(CACHE_CONTROL).iter();
    let texts: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    let joined = texts.join(",");
    let said = directives(&joined);
    let is = |directive: &&str, name: &str| {
        let own = directive.split('=').next().unwrap_or_default().trim();
        own.eq_ignore_ascii_case(name)
    };
    let opens = |directive: &&str| is(directive, "public") || is(directive, "s-maxage");
    let closes =
        |directive: &&str| is(directive, "no-store") || directive.eq_ignore_ascii_case("private");
    let opened = said.iter().any(opens);
    let closed = said.iter().any(closes);
    if closed && !opened {
        return;
    }
    let mut held: Vec<_> = said.into_iter().filter(|one| !opens(one)).collect();
    if !closed {
        held.push("private");
    }
    let held = HeaderValue::try_from(held.join(", "));
    fields.insert(
        CACHE_CONTROL,
        held.unwrap_or(HeaderValue::from_static("private")),
    );
}

/// The directives of a field, whose quoted parts may have commas (RFC 9111 section 5.2).
fn directives(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let parts = text.split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    parts
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
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
    fn rule_11_with_sign_in_an_applications_public_becomes_private() {
        for (sent, held) in [
            (&[][..], "private"),
            (&["public"], "private"),
            (&["public, max-age=60"], "max-age=60, private"),
            (&["max-age=60", "Public"], "max-age=60, private"),
            (&["max-age=60, s-maxage=600"], "max-age=60, private"),
            (&["private, s-maxage = 600"], "private"),
            (&["private, max-age=1"], "private, max-age=1"),
            (&["no-store"], "no-store"),
            (&["no-store, public"], "no-store"),
            // For one field alone: the rest would be anybody's.
            (
                &["private=\"x, public\", max-age=1"],
                "private=\"x, public\", max-age=1, private",
            ),
            (
                &["no-cache=\"a, public\""],
                "no-cache=\"a, public\", private",
            ),
            (&["max-age=\"60"], "max-age=\"60, private"),
        ] {
            let mut fields = HeaderMap::new();
            for value in sent {
                let value = HeaderValue::from_static(value);
                fields.append(CACHE_CONTROL, value);
            }
            let for_caches = HeaderValue::from_static("max-age=60");
            fields.insert("cdn-cache-control", for_caches);
            hold_private(&mut fields);
            let all: Vec<_> = fields.get_all(CACHE_CONTROL).iter().collect();
            assert_eq!(all, [held], "{sent:?}");
            assert_eq!(fields.len(), 1, "{sent:?}");
        }
    }

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
