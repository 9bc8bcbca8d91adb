//! `Service-Worker-Allowed`: how far an application's service worker may reach (DESIGN 8, rule 14).
//!
//! A service worker answers for every page below its scope. Without this field that is the folder of
//! its script; with it an application below a path could take over the pages of its siblings on the
//! same host. (One at the root of a host has them in its folder anyway.)

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};

use crate::http::canonical;
use crate::translate::urls::UrlMap;

const SERVICE_WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");

/// Holds the scope to the application's path, and never widens it: one that holds the whole path
/// becomes the path, and any other that does not lie below it goes. Where `translates` says so, an
/// internal one becomes external before.
pub(super) fn hold(headers: &mut HeaderMap, map: &UrlMap<'_>, translates: bool) {
    let Entry::Occupied(mut entry) = headers.entry(SERVICE_WORKER_ALLOWED) else {
        return;
    };
    let to_external = |written: &HeaderValue| {
        let written = written.to_str().ok().filter(|_| translates)?;
        HeaderValue::try_from(map.to_external(written)?).ok()
    };
    for value in entry.iter_mut() {
        if let Some(external) = to_external(value) {
            *value = external;
        }
    }
    if map.application().external.path.is_root() {
        return;
    }
    // Browsers join several into one that is no path.
    let first = entry.get();
    let is_one = entry.iter().all(|value| value == first);
    let held = first.to_str().ok().filter(|_| is_one);
    let held = held.and_then(|scope| held_to_path(scope, map));
    match held.and_then(|scope| HeaderValue::from_str(scope).ok()) {
        Some(held) => drop(entry.insert(held)),
        None => drop(entry.remove()),
    }
}

/// What an application below a path may reach of what it asked for; `None`: no more than without
/// asking.
fn held_to_path<'a>(scope: &'a str, map: &'a UrlMap<'_>) -> Option<&'a str> {
    let path = map.application().external.path.as_str();
    // SECURITY: browsers take a comma for the end of the value.
    if path.contains(',') || scope.contains(',') {
        return None;
    }
    let own = map.external_origin();
    let below = match scope.strip_prefix(own.as_str()) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) => return None,
        None => scope,
    };
    if !below.starts_with('/') {
        // The folder of the script, or one within it: its script lies below the path.
        let is_plain = below
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b));
        return (is_plain && !below.contains("..")).then_some(scope);
    }
    let end = below.find(['?', '#']).unwrap_or(below.len());
    let plain = canonical(&below[..end], true).ok()?;
    let plain = plain.as_str();
    if plain.starts_with(path) {
        return Some(scope);
    }
    let holds_path = plain.ends_with('/') && path.starts_with(plain);
    holds_path.then_some(path)
}
