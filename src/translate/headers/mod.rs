//! Header fields in which an application names itself or is named, and whose cookies are whose.

mod cookies;
mod field;
mod links;
mod policy;
mod resources;
mod scope;

use std::collections::HashSet;

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};

use super::markup::{Changed, Hash, hashes_of};
use super::urls::UrlMap;
use crate::model::LinkTranslation;
pub use cookies::remove_own_cookies;
pub(super) use policy::policies;
pub use resources::Outside;

/// Fields of an answer that are one URL.
const URLS: [HeaderName; 4] = [
    header::LOCATION,
    header::CONTENT_LOCATION,
    HeaderName::from_static("sourcemap"),
    HeaderName::from_static("x-sourcemap"),
];

/// What makes an external value of one that an application wrote; nothing where it stays.
type Translation = fn(&[u8], &UrlMap<'_>) -> Option<Vec<u8>>;

/// Fields of an answer with URLs, origins or hosts inside.
const OTHERS: [(HeaderName, Translation); 6] = [
    (header::LINK, links::link),
    (header::REFRESH, links::refresh),
    (
        HeaderName::from_static("reporting-endpoints"),
        links::endpoints,
    ),
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
    (header::CONTENT_SECURITY_POLICY, policy::policies),
    (
        header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
        policy::policies,
    ),
];

/// Prepares the fields of an application's answer for the browser: where `what.headers` says so,
/// the URLs, origins and hosts of the application in them become external. Cookies are confined
/// to their host, and to domains that are listed, and service workers to its path, in any case.
pub fn translate_response(headers: &mut HeaderMap, map: &UrlMap<'_>, what: &LinkTranslation) {
    scope::hold(headers, map, what.headers);
    let map = what.headers.then_some(map);
    cookies::translate(headers, map, &what.cookie_domains);
    let Some(map) = map else {
        return;
    };
    for name in URLS {
        change_each(headers, name, |url| {
            field::change_url(url, |url| map.to_external(url))
        });
    }
    for (name, translation) in OTHERS {
        change_each(headers, name, |value| translation(value, map));
    }
}

/// Fields with policies that say what code of a page may run.
const POLICIES: [HeaderName; 2] = [
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
];

/// What policies of the page name by hashes: code inside the page.
#[must_use]
pub fn named_hashes(headers: &HeaderMap) -> HashSet<Hash> {
    let values = POLICIES.iter().flat_map(|name| headers.get_all(name));
    values
        .into_iter()
        .flat_map(|value| hashes_of(value.as_bytes()))
        .collect()
}

/// Removes policies that name code by its hash from an answer without the page: those that came with it name
/// what such code has become.
pub fn remove_policies_with_hashes(headers: &mut HeaderMap) {
    if !named_hashes(headers).is_empty() {
        for name in POLICIES {
            headers.remove(name);
        }
    }
}

/// Lets policies name what has changed inside the page.
pub fn admit_changed(headers: &mut HeaderMap, changed: &[Changed]) {
    for name in POLICIES {
        change_each(headers, name, |value| policy::admit(value, changed));
    }
}

/// Prepares the fields of a request for the application. `Origin` and `Referer` are rewritten for
/// one that is not shown the external host, so that its own checks against cross-site requests
/// compare like with like; a foreign origin passes unchanged (DESIGN 8, rule 18). WebDAV's
/// `Destination` and `If` become internal where `what.headers` says so.
///
/// # Errors
/// Where `Destination` or `If` names a resource outside the published path, whatever `what` says
/// (DESIGN 8, rule 2).
pub fn translate_request(
    headers: &mut HeaderMap,
    map: &UrlMap<'_>,
    what: &LinkTranslation,
) -> Result<(), Outside> {
    for name in [header::ORIGIN, header::REFERER] {
        change_each(headers, name, |url| {
            field::change_url(url, |url| map.to_internal(url))
        });
    }
    resources::translate(headers, map, what)
}

/// The fields of a request that depend on which internal URL is asked.
pub const TOWARDS_ONE_URL: [HeaderName; 4] = [
    header::ORIGIN,
    header::REFERER,
    resources::DESTINATION,
    resources::IF,
];

fn origin(value: &[u8], map: &UrlMap<'_>) -> Option<Vec<u8>> {
    let origin = std::str::from_utf8(value).ok()?;
    map.origin_to_external(origin).map(String::into_bytes)
}

fn change_each(
    headers: &mut HeaderMap,
    name: HeaderName,
    change: impl Fn(&[u8]) -> Option<Vec<u8>>,
) {
    let Entry::Occupied(mut values) = headers.entry(name) else {
        return;
    };
    for value in values.iter_mut() {
        let changed = change(value.as_bytes());
        if let Some(changed) = changed.and_then(|octets| HeaderValue::try_from(octets).ok()) {
            *value = changed;
        }
    }
}

#[cfg(test)]
mod tests;
