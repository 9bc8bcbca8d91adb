//! `Set-Cookie` and `Cookie`: whose cookies are whose, and for which host and path.

use http::header::{self, Entry, HeaderMap, HeaderValue};

use crate::http::{cookie_pairs, is_own_cookie};
use crate::model::Host;
use crate::translate::urls::UrlMap;

/// `Set-Cookie` loses a `Domain` that is not among `domains` and cannot name a cookie of ours
/// whatever `map` says (DESIGN 8, rule 7); its `Path` is translated like a URL where there is one.
/// Everything else is kept octet by octet: browsers know attributes that we do not.
pub(super) fn translate(headers: &mut HeaderMap, map: Option<&UrlMap<'_>>, domains: &[Host]) {
    let Entry::Occupied(cookies) = headers.entry(header::SET_COOKIE) else {
        return;
    };
    let (_, cookies) = cookies.remove_entry_mult();
    let cookies: Vec<HeaderValue> = cookies
        .filter_map(|cookie| match set_cookie(cookie.as_bytes(), map, domains) {
            SetCookie::Unchanged => Some(cookie),
            SetCookie::Changed(octets) => HeaderValue::from_bytes(&octets).ok(),
            SetCookie::Ours => None,
        })
        .collect();
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
}

enum SetCookie {
    Unchanged,
    Changed(Vec<u8>),
    /// It would set a cookie of the gateway's.
    Ours,
}

/// Splits as browsers do, at every `;` (RFC 6265 section 5.2): quotes mean nothing there.
fn set_cookie(octets: &[u8], map: Option<&UrlMap<'_>>, domains: &[Host]) -> SetCookie {
    let mut parts = octets.split(|&b| b == b';');
    let pair = parts.next().unwrap_or_default();
    if is_own_cookie(pair) {
        return SetCookie::Ours;
    }
    // Neither name nor value: browsers ignore it, attributes and all.
    if matches!(pair.trim_ascii(), b"" | b"=") {
        return SetCookie::Unchanged;
    }
    // Browsers take a `__Host-` cookie with `Path=/` only.
    let host_cookie = pair
        .trim_ascii()
        .get(..7)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"__host-"));
    let map = map.filter(|_| !host_cookie);
    let mut changed = false;
    let mut written = pair.to_vec();
    for part in parts {
        let equals = part.iter().position(|&b| b == b'=');
        let (name, value) = part.split_at(equals.unwrap_or(part.len()));
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"domain") && !is_listed(value, domains) {
            // Every other value than our own host is a parent's, a foreign one's or refused by
            // browsers; without `Domain` the cookie is for this host alone.
            changed = true;
            continue;
        }
        written.push(b';');
        let path = if name.eq_ignore_ascii_case(b"path") {
            map.and_then(|map| cookie_path(value, map))
        } else {
            None
        };
        match path {
            Some(path) => {
                changed = true;
                let before = part.len() - value.len();
                written.extend_from_slice(&part[..before]);
                written.push(b'=');
                written.extend_from_slice(path.as_bytes());
            }
            None => written.extend_from_slice(part),
        }
    }
    if changed {
        SetCookie::Changed(written)
    } else {
        SetCookie::Unchanged
    }
}

/// Whether the value of `Domain`, which begins with `=`, is one of these. Browsers pass over a dot
/// at its beginning (RFC 6265 section 5.2.3).
fn is_listed(value: &[u8], domains: &[Host]) -> bool {
    let domain = value.strip_prefix(b"=").unwrap_or_default().trim_ascii();
    let domain = domain.strip_prefix(b".").unwrap_or(domain);
    let is = |host: &Host| {
        host.name()
            .is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(domain))
    };
    domains.iter().any(is)
}

/// The external path for the value of `Path`, which begins with `=`; `None` where it stays.
fn cookie_path(value: &[u8], map: &UrlMap<'_>) -> Option<String> {
    let path = value.strip_prefix(b"=")?.trim_ascii();
    let path = std::str::from_utf8(path).ok()?;
    map.path_to_external(path).filter(|mapped| mapped != path)
}

/// Removes the gateway's own cookies from a request and leaves all others octet by octet.
pub fn remove_own_cookies(headers: &mut HeaderMap) {
    let is_ours = |value: &HeaderValue| cookie_pairs(value.as_bytes()).any(is_own_cookie);
    if !headers.get_all(header::COOKIE).iter().any(is_ours) {
        return;
    }
    let Entry::Occupied(fields) = headers.entry(header::COOKIE) else {
        return;
    };
    let (_, fields) = fields.remove_entry_mult();
    let fields: Vec<HeaderValue> = fields.filter_map(without_own).collect();
    for field in fields {
        headers.append(header::COOKIE, field);
    }
}

fn without_own(field: HeaderValue) -> Option<HeaderValue> {
    if !cookie_pairs(field.as_bytes()).any(is_own_cookie) {
        return Some(field);
    }
    let pairs = cookie_pairs(field.as_bytes());
    let kept: Vec<&[u8]> = pairs.filter(|pair| !is_own_cookie(pair)).collect();
    let mut value = HeaderValue::from_bytes(kept.join(&b';').trim_ascii_start()).ok()?;
    value.set_sensitive(field.is_sensitive());
    (!value.is_empty()).then_some(value)
}
