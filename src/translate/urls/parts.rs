//! URLs in their parts, where browsers and we read them alike.

use memchr::{memchr, memchr2};

use crate::model::{Host, PathPrefix, Scheme};

/// 253 characters of a name, four octets each where they are not ASCII, and a port.
const LONGEST_AUTHORITY: usize = 1024;

/// An absolute, protocol-relative or root-relative URL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'u> {
    /// Scheme and authority, or `//` and authority, as they are written; empty where the path is
    /// all that is.
    pub(super) origin: &'u str,
    /// Begins with a slash, or is empty behind an authority.
    path: &'u str,
    /// Query and fragment.
    pub(super) tail: &'u str,
}

impl<'u> Parts<'u> {
    pub(super) fn read(url: &'u str) -> Option<Self> {
        let end = memchr2(b'?', b'#', url.as_bytes()).unwrap_or(url.len());
        let (before, tail) = url.split_at(end);
        // Browsers take `\` for `/` and skip tabs inside URLs. What we and they would read
        // differently is left as it came.
        let is_bad = |bad, octet: u8| bad | (octet == b'\\') | octet.is_ascii_control();
        if before.bytes().fold(false, is_bad) {
            return None;
        }
        let end = if before.starts_with("//") {
            end_of_authority(before, 2)
        } else if before.starts_with('/') {
            0
        } else {
            let scheme = memchr(b':', before.as_bytes())?;
            if !before[scheme..].starts_with("://") {
                return None;
            }
            end_of_authority(before, scheme + 3)
        };
        let (origin, path) = before.split_at(end);
        Some(Self { origin, path, tail })
    }

    /// As browsers ask for it.
    pub(super) fn path(&self) -> &'u str {
        if self.path.is_empty() { "/" } else { self.path }
    }
}

fn end_of_authority(before: &str, begin: usize) -> usize {
    let length = memchr(b'/', &before.as_bytes()[begin..]);
    length.map_or(before.len(), |length| begin + length)
}

/// Scheme, if one is written, and authority.
pub(super) fn split_origin(origin: &str) -> Option<(Option<Scheme>, &str)> {
    if let Some(authority) = origin.strip_prefix("//") {
        return Some((None, authority));
    }
    let (scheme, authority) = origin.split_once("://")?;
    Some((Some(read_scheme(scheme)?), authority))
}

pub(super) fn read_scheme(scheme: &str) -> Option<Scheme> {
    [Scheme::Https, Scheme::Http]
        .into_iter()
        .find(|s| scheme.eq_ignore_ascii_case(s.as_str()))
}

/// The host in its normal form, and the port if one is written.
pub(super) fn read_authority(authority: &str) -> Option<(Host, Option<u16>)> {
    // No name is longer, in any script; reading one takes more than linear time.
    if authority.len() > LONGEST_AUTHORITY {
        return None;
    }
    let (host, port) = split_port(authority)?;
    Some((Host::parse(host).ok()?, port))
}

/// `host` and port; `None` with user information or a malformed port.
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    if authority.contains('@') {
        return None;
    }
    // The colons of an IPv6 address stand inside its brackets.
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[bracket..].find(':') else {
        return Some((authority, None));
    };
    let (host, port) = authority.split_at(bracket + colon);
    let digits = &port[1..];
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let port = digits.parse().ok().filter(|_| plain)?;
    Some((host, Some(port)))
}

/// Puts `to` in the place of `from`; a path that is `from` without its last slash stays without.
pub(super) fn replace_prefix(from: &PathPrefix, to: &PathPrefix, path: &str) -> Option<String> {
    exchange_prefix(from, to, path).map(|(prefix, rest)| [prefix, rest].concat())
}

/// As [`replace_prefix`], in two parts.
pub(super) fn exchange_prefix<'p>(
    from: &PathPrefix,
    to: &'p PathPrefix,
    path: &'p str,
) -> Option<(&'p str, &'p str)> {
    let to = to.as_str();
    if let Some(rest) = from.rest(path) {
        return Some((to, rest));
    }
    if !from.is_bare(path) {
        return None;
    }
    let bare = to.strip_suffix('/').filter(|bare| !bare.is_empty());
    Some((bare.unwrap_or(to), ""))
}
