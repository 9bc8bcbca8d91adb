//! What a client may not say to an application, and an application not to a client (DESIGN 8,
//! rules 5 and 14): one list, for fields and trailers, in every spelling.
//!
//! WSGI, PHP, Rails and CGI turn every separator of a field's name into `_`, so `X_Forwarded-For`
//! reaches an application as `X-Forwarded-For` does (oauth2-proxy CVE-2025-64484). Names are
//! therefore compared with any character that is neither letter nor digit standing for `-`; the
//! `http` crate has made them lower case.
//!
//! This runs for every request. It allocates nothing for fields that pass: names are compared in
//! place, and the vector of what must go takes memory with its first entry only.

use http::header::{HeaderMap, HeaderName};

/// Removes what only a proxy in front of the application may say. Run it after
/// [`super::strip_request`] and before what the gateway itself sets.
pub fn deny_request(headers: &mut HeaderMap) {
    retain(headers, |name| !is_denied(name));
}

/// The same for the trailers of a request, without whatever frames, routes, conditions or
/// authenticates a message (RFC 9110 section 6.5.1): a server may merge trailers into its fields.
pub fn deny_request_trailers(trailers: &mut HeaderMap) {
    retain(trailers, |name| !is_denied(name) && !is_control(name));
}

/// Removes from an application's answer what only the connector says, `Alt-Svc`, which would lead
/// browsers around the gateway, and `Host`, which is no field of an answer: servers that send it tell
/// the internal name.
pub fn deny_response(headers: &mut HeaderMap) {
    retain(headers, |name| !is_denied_answer(name));
}

/// The same for the trailers of an answer, without whatever frames, routes or authenticates.
pub fn deny_response_trailers(trailers: &mut HeaderMap) {
    retain(trailers, |name| {
        !is_denied_answer(name) && !is_control(name)
    });
}

/// Removes a field in every spelling that an application may take for it.
pub fn remove_spellings(headers: &mut HeaderMap, name: &HeaderName) {
    retain(headers, |other| !is_spelt(other, name.as_str()));
}

/// Removes all trailers: an application may take any of them for a field that says who somebody is.
pub fn deny_all_trailers(trailers: &mut HeaderMap) {
    trailers.clear();
}

fn retain(headers: &mut HeaderMap, keep: impl Fn(&[u8]) -> bool) {
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| !keep(name.as_str().as_bytes()))
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Every field here has let somebody be another address, host, path, method or person: peers'
/// advisories are named where there is one.
const DENIED: &[&str] = &[
    // The client's address.
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-real-ip",
    // Scheme, host, path and method (oauth2-proxy CVE-2026-40575, Traefik CVE-2026-35051).
    "front-end-https",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
    // `HTTP_PROXY` in a CGI environment (CVE-2016-5385).
    "proxy",
    // Who the person is, as common proxies say it to applications.
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "x-remote-user",
    // The request's reference: the gateway makes it.
    "x-request-id",
];

const DENIED_PREFIXES: &[&str] = &[
    "appproxy-",
    // RFC 9440 and its forerunners.
    "client-cert",
    "ssl-client-",
    "x-client-cert",
    "x-ssl-client-",
    "x-arr-clientcert",
    "x-auth-request-",
    // Envoy CVE-2023-27487.
    "x-envoy-",
    "x-forwarded-",
    // `X-Original-URL`, `-Host`, `-Forwarded-For` and the rest.
    "x-original-",
];

/// What frames a message, where it is spelt otherwise: as the field itself the gateway has read it,
/// as `Content_Length` or `Transfer_Encoding` an application alone would.
const FRAMING: &[&str] = &["content-length", "transfer-encoding"];

fn is_denied(name: &[u8]) -> bool {
    // Most fields of a browser (`accept`, `host`, `sec-fetch-…`, `user-agent`) end here.
    matches!(
        name.first(),
        Some(b'a' | b'c' | b'f' | b'p' | b'r' | b's' | b't' | b'x')
    ) && (DENIED.iter().any(|denied| is_spelt(name, denied))
        || DENIED_PREFIXES
            .iter()
            .any(|prefix| begins_spelt(name, prefix))
        || FRAMING
            .iter()
            .any(|framing| is_spelt(name, framing) && name != framing.as_bytes()))
}

fn is_denied_answer(name: &[u8]) -> bool {
    begins_spelt(name, "appproxy-") || is_spelt(name, "alt-svc") || is_spelt(name, "host")
}

/// Fields that must not come after the body.
fn is_control(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "age",
        "authentication-info",
        "authorization",
        "cache-control",
        "connection",
        "cookie",
        "date",
        "expect",
        "expires",
        "host",
        "http2-settings",
        "keep-alive",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "range",
        "referer",
        "retry-after",
        "set-cookie",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "warning",
        "www-authenticate",
        "x-request-id",
    ];
    const PREFIXES: &[&str] = &[
        "access-control-",
        "content-encoding",
        "content-length",
        "content-location",
        "content-range",
        "content-security-policy",
        "content-type",
        "if-",
        "proxy-",
        "sec-",
    ];
    NAMES.iter().any(|control| is_spelt(name, control))
        || PREFIXES.iter().any(|prefix| begins_spelt(name, prefix))
}

fn is_spelt(name: &[u8], rule: &str) -> bool {
    name.len() == rule.len() && begins_spelt(name, rule)
}

fn begins_spelt(name: &[u8], rule: &str) -> bool {
    name.len() >= rule.len()
        && name
            .iter()
            .zip(rule.as_bytes())
            .all(|(a, b)| a == b || (*b == b'-' && !a.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    const NEVER: &[&str] = &[
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Real-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Client-Cert",
        "Client-Cert-Chain",
        "X-SSL-Client-Verify",
        "X-Original-URL",
        "X-Original-Host",
        "X-Rewrite-URL",
        "X-Envoy-Original-Path",
        "X-Envoy-External-Address",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "Proxy",
        "Remote-User",
        "X-Request-Id",
        "Appproxy-Target",
        "Appproxy-Authorization",
        "Appproxy-User",
    ];

    const ALWAYS: &[&str] = &[
        "accept",
        "accept-encoding",
        "authorization",
        "client-hints",
        "content-type",
        "cookie",
        "forward",
        "host",
        "origin",
        "prefer",
        "proxy-status",
        "referer",
        "remote",
        "sec-fetch-mode",
        "soapaction",
        "traceparent",
        "user-agent",
        "x-csrf-token",
        "x-forward",
        "x-requested-with",
        "xforwardedfor",
    ];

    /// Every spelling of a name with each separator as `-`, `_` or `.`.
    fn spellings(name: &str) -> Vec<String> {
        name.chars().fold(vec![String::new()], |all, c| {
            let choices: &[char] = if c == '-' { &['-', '_', '.'] } else { &[c] };
            all.iter()
                .flat_map(|s| choices.iter().map(move |c| format!("{s}{c}")))
                .collect()
        })
    }

    fn after(rule: fn(&mut HeaderMap), name: &str) -> Option<usize> {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(&name, HeaderValue::from_static("1"));
        headers.append(&name, HeaderValue::from_static("2"));
        headers.append("x-neutral", HeaderValue::from_static("3"));
        rule(&mut headers);
        Some(headers.get_all(&name).iter().count())
    }

    #[test]
    fn rule_5_denied_fields_go_in_every_spelling() {
        let mut seen = 0;
        for name in NEVER {
            for spelling in spellings(name) {
                seen += 1;
                for rule in [deny_request, deny_request_trailers] {
                    assert_eq!(after(rule, &spelling), Some(0), "{spelling}");
                    let upper = spelling.to_uppercase();
                    assert_eq!(after(rule, &upper), Some(0), "{upper}");
                }
            }
        }
        assert!(seen > 200, "{seen}");
        for name in ALWAYS {
            assert_eq!(after(deny_request, name), Some(2), "{name}");
        }
    }

    #[test]
    fn rule_5_what_frames_a_message_passes_in_no_second_spelling() {
        for name in ["Content-Length", "Transfer-Encoding"] {
            for spelling in spellings(name) {
                let expected = if spelling == name { 2 } else { 0 };
                assert_eq!(after(deny_request, &spelling), Some(expected), "{spelling}");
            }
        }
    }

    #[test]
    fn rule_5_trailers_neither_frame_nor_route_nor_authenticate() {
        for name in [
            "Transfer-Encoding",
            "Content-Length",
            "Content-Type",
            "Content-Encoding",
            "Content-Range",
            "Host",
            "Authorization",
            "Cookie",
            "Set-Cookie",
            "Cache-Control",
            "If-Match",
            "Range",
            "Expect",
            "TE",
            "Trailer",
            "Connection",
            "Upgrade",
            "Proxy-Authorization",
            "Location",
            "Max-Forwards",
            "Sec-Fetch-Site",
            "Origin",
        ] {
            for spelling in spellings(name) {
                for rule in [deny_request_trailers, deny_response_trailers] {
                    assert_eq!(after(rule, &spelling), Some(0), "{spelling}");
                }
            }
        }
        for name in [
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "digest",
            "content-digest",
            "content-md5",
            "server-timing",
            "x-checksum",
        ] {
            for rule in [deny_request_trailers, deny_response_trailers] {
                assert_eq!(after(rule, name), Some(2), "{name}");
            }
        }
    }

    #[test]
    fn rule_14_an_answer_says_nothing_in_our_name_and_names_no_other_way_in() {
        for name in [
            "Appproxy-Error",
            "appproxy_timing",
            "Alt-Svc",
            "alt_svc",
            "Host",
        ] {
            for rule in [deny_response, deny_response_trailers] {
                assert_eq!(after(rule, name), Some(0), "{name}");
            }
        }
        for name in ["set-cookie", "location", "x-forwarded-for", "alt-svc-used"] {
            assert_eq!(after(deny_response, name), Some(2), "{name}");
        }
    }
}
