//! The `Cookie` field: one of it, and which cookies are the gateway's own.

use http::header::{self, HeaderMap, HeaderValue};

/// Joins several `Cookie` fields into one, as HTTP/2's crumbs need before HTTP/1 (RFC 9113
/// section 8.2.3). One field stays as it is.
pub fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(_)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut sensitive = first.is_sensitive();
    let mut joined = Vec::new();
    for crumb in headers.get_all(header::COOKIE) {
        sensitive |= crumb.is_sensitive();
        if crumb.is_empty() {
            continue;
        }
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    // Octets that stood in values can stand in a value.
    if let Ok(mut value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        value.set_sensitive(sensitive);
        headers.insert(header::COOKIE, value);
    }
}

/// The cookies of one field as they stand there, white space and all.
pub fn cookie_pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    std::iter::from_fn(move || {
        let field = rest?;
        let end = memchr::memchr(b';', field);
        rest = end.map(|end| &field[end + 1..]);
        Some(end.map_or(field, |end| &field[..end]))
    })
}

/// Whether a cookie, as `name=value` or as its name alone, is the gateway's own: it never reaches
/// an application, and no application sets it (DESIGN 8, rule 7).
///
/// SECURITY: whatever stands before the name is skipped (white space of any kind, quotes, the `=`
/// of a nameless cookie), because parsers that trim differently would see our name behind it.
#[must_use]
pub fn is_own_cookie(pair: &[u8]) -> bool {
    let begin = pair
        .iter()
        .position(|&b| b.is_ascii_alphanumeric() || b == b'_')
        .unwrap_or(pair.len());
    let name = &pair[begin..];
    [&b"appproxy-"[..], b"__host-appproxy", b"__secure-appproxy"]
        .iter()
        .any(|own| {
            name.get(..own.len())
                .is_some_and(|n| n.eq_ignore_ascii_case(own))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_become_one_field() {
        for (crumbs, joined) in [
            (&["a=1"][..], "a=1"),
            (&["a=1", "b=2", "c=3"], "a=1; b=2; c=3"),
            (&["a=1; b=2", "c=\"x;y\""], "a=1; b=2; c=\"x;y\""),
            (&["", "a=1", ""], "a=1"),
            (&["a=1", "a=1"], "a=1; a=1"),
        ] {
            let mut headers = HeaderMap::new();
            for crumb in crumbs {
                headers.append("cookie", HeaderValue::from_static(crumb));
            }
            join_cookies(&mut headers);
            let values: Vec<_> = headers.get_all("cookie").iter().collect();
            assert_eq!(values, [joined]);
        }
        let mut headers = HeaderMap::new();
        join_cookies(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_secret_crumb_keeps_the_whole_secret() {
        let mut headers = HeaderMap::new();
        let mut secret = HeaderValue::from_static("s=1");
        secret.set_sensitive(true);
        headers.append("cookie", HeaderValue::from_static("a=1"));
        headers.append("cookie", secret);
        join_cookies(&mut headers);
        assert!(headers.get("cookie").is_some_and(HeaderValue::is_sensitive));
    }

    #[test]
    fn rule_7_our_cookies_are_known_in_every_spelling() {
        for own in [
            "__Host-appproxy",
            "__Host-appproxy-session=x",
            "__HOST-APPPROXY=x",
            "__Secure-appproxy_x=1",
            "appproxy-anything=1",
            "Appproxy-x",
            " \t__Host-appproxy=x",
            "=__Host-appproxy=x",
            "\"__Host-appproxy\"=x",
            "\u{2000}__Host-appproxy=x",
        ] {
            assert!(is_own_cookie(own.as_bytes()), "{own:?}");
        }
        for other in [
            "",
            "=",
            "a=appproxy-x",
            "appproxy=1",
            "__Host-session=appproxy-1",
            "my-appproxy-x=1",
            "__Host-",
        ] {
            assert!(!is_own_cookie(other.as_bytes()), "{other:?}");
        }
    }
}
