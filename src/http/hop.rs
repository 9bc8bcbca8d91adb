//! What belongs to one connection and ends there (RFC 9110 section 7.6.1), and the one upgrade
//! that passes.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version};
use hyper::ext::Protocol;

/// What a request asks its connection to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing that passes: an ordinary request. Other protocols (`h2c`) are dropped with the
    /// hop-by-hop fields, as RFC 9110 section 7.8 lets a server do.
    None,
    /// A WebSocket opened over HTTP/1.1 (RFC 6455 section 4.2.1).
    WebSocketH1 {
        /// The client's `Sec-WebSocket-Key`, which the 101 answers.
        key: HeaderValue,
    },
    /// A WebSocket opened over HTTP/2 by extended CONNECT (RFC 8441).
    WebSocketH2,
    /// It asks for something that is not proper or not offered: refused as a bad request.
    Refused(UpgradeRefusal),
}

/// Why a request for an upgrade or a tunnel was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeRefusal {
    /// CONNECT without `:protocol`: this is not a forward proxy.
    #[error("CONNECT is not offered: the gateway is not a forward proxy")]
    Connect,
    /// Extended CONNECT for something other than a WebSocket, or without scheme and path.
    #[error("extended CONNECT is offered for `:protocol` websocket, with `:scheme` and `:path`")]
    Protocol,
    /// `websocket` beside another protocol: what the peer chose could not be told.
    #[error("`Upgrade` names websocket beside another protocol: name it alone")]
    Several,
    /// Not GET.
    #[error("a WebSocket handshake is a GET request")]
    Method,
    /// `Connection` does not say `upgrade`.
    #[error("a WebSocket handshake needs `Connection: Upgrade`: a proxy in front may drop it")]
    Connection,
    /// `Sec-WebSocket-Version` is not one `13`.
    #[error("a WebSocket handshake needs one `Sec-WebSocket-Version: 13`")]
    SocketVersion,
    /// `Sec-WebSocket-Key` is not one key of 16 octets in base64.
    #[error("a WebSocket handshake needs one `Sec-WebSocket-Key` of 16 octets in base64")]
    Key,
    /// The handshake announces a body.
    #[error("a WebSocket handshake has no body")]
    Body,
}

/// Decides whether a request opens a WebSocket. Ask before [`strip_request`], which removes what
/// is looked at here.
#[must_use]
pub fn websocket_upgrade<B>(request: &Request<B>) -> Upgrade {
    let outcome = if request.method() == Method::CONNECT {
        extended_connect(request)
    } else if request.version() == Version::HTTP_11 {
        handshake(request)
    } else {
        // HTTP/1.0 cannot upgrade (RFC 9110 section 7.8), HTTP/2 does not with this field.
        Ok(Upgrade::None)
    };
    outcome.unwrap_or_else(Upgrade::Refused)
}

fn extended_connect<B>(request: &Request<B>) -> Result<Upgrade, UpgradeRefusal> {
    let Some(protocol) = request.extensions().get::<Protocol>() else {
        return Err(UpgradeRefusal::Connect);
    };
    let uri = request.uri();
    let complete = uri.scheme().is_some() && uri.path_and_query().is_some();
    if protocol.as_str() != "websocket" || !complete {
        return Err(UpgradeRefusal::Protocol);
    }
    let headers = request.headers();
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err(UpgradeRefusal::Body);
    }
    socket_version(headers)?;
    Ok(Upgrade::WebSocketH2)
}

fn handshake<B>(request: &Request<B>) -> Result<Upgrade, UpgradeRefusal> {
    let headers = request.headers();
    let mut protocols = 0_usize;
    let mut websocket = false;
    for protocol in list(headers, &header::UPGRADE) {
        protocols += 1;
        websocket |= protocol.eq_ignore_ascii_case(b"websocket");
    }
    if !websocket {
        return Ok(Upgrade::None);
    }
    if protocols > 1 {
        return Err(UpgradeRefusal::Several);
    }
    if request.method() != Method::GET {
        return Err(UpgradeRefusal::Method);
    }
    if !list(headers, &header::CONNECTION).any(|o| o.eq_ignore_ascii_case(b"upgrade")) {
        return Err(UpgradeRefusal::Connection);
    }
    let announced = headers.get_all(header::CONTENT_LENGTH);
    if headers.contains_key(header::TRANSFER_ENCODING) || announced.iter().any(|l| l != "0") {
        return Err(UpgradeRefusal::Body);
    }
    socket_version(headers)?;
    let key = single(headers, &header::SEC_WEBSOCKET_KEY)
        .filter(|key| is_socket_key(key.as_bytes()))
        .ok_or(UpgradeRefusal::Key)?;
    Ok(Upgrade::WebSocketH1 { key: key.clone() })
}

fn socket_version(headers: &HeaderMap) -> Result<(), UpgradeRefusal> {
    match single(headers, &header::SEC_WEBSOCKET_VERSION) {
        Some(version) if version == "13" => Ok(()),
        _ => Err(UpgradeRefusal::SocketVersion),
    }
}

/// 16 octets in base64: 22 of its letters and `==`.
fn is_socket_key(key: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphanumeric() || *b == b'+' || *b == b'/';
    key.strip_suffix(b"==")
        .is_some_and(|rest| rest.len() == 22 && rest.iter().all(letter))
}

/// The value of a field that must stand exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The members of a comma-separated field (RFC 9110 section 5.6.1), empty ones left out.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What belongs to the client's connection, and the handshake that the connector makes anew.
static OF_A_REQUEST: [HeaderName; 11] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::SEC_WEBSOCKET_KEY,
    PROXY_CONNECTION,
    KEEP_ALIVE,
    HTTP2_SETTINGS,
];

/// What belongs to the connection that an answer came on.
static OF_AN_ANSWER: [HeaderName; 10] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::SEC_WEBSOCKET_ACCEPT,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_CONNECTION,
    KEEP_ALIVE,
];

/// Removes what belongs to the client's connection. `TE` stays as exactly `trailers` where the
/// client said so, and `Trailer` stays: the fields it announces pass.
///
/// `Sec-WebSocket-Key` goes too: the connector makes its own towards the application.
pub fn strip_request(headers: &mut HeaderMap) {
    remove_named(headers);
    let trailers = list(headers, &header::TE).any(|t| t.eq_ignore_ascii_case(b"trailers"));
    remove_all(headers, &OF_A_REQUEST);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes what belongs to the connection an answer came on; `Trailer` stays.
///
/// `Sec-WebSocket-Accept` goes too: it answers the key of one hop. Check it before.
pub fn strip_response(headers: &mut HeaderMap) {
    remove_named(headers);
    remove_all(headers, &OF_AN_ANSWER);
}

/// One pass over the fields: names are compared by number, which costs less than a look-up for each
/// of those that are mostly not there.
fn remove_all(headers: &mut HeaderMap, names: &[HeaderName]) {
    let there = headers.keys().filter(|name| names.contains(name));
    let there: Vec<HeaderName> = there.cloned().collect();
    for name in there {
        headers.remove(name);
    }
}

/// Removes the fields that `Connection` names.
///
/// SECURITY: `Connection: X-Forwarded-For, Cookie` would let a client choose which fields of ours
/// or which essentials the application never sees (Traefik CVE-2024-45410), so those are kept.
fn remove_named(headers: &mut HeaderMap) {
    // Usual options (`keep-alive`, `close`, `upgrade`) name no field that is present and
    // unhandled, so nothing is allocated.
    let mut named = Vec::new();
    for option in list(headers, &header::CONNECTION) {
        if let Ok(name) = HeaderName::from_bytes(option)
            && headers.contains_key(&name)
            && !is_protected(&name)
        {
            named.push(name);
        }
    }
    for name in named {
        headers.remove(name);
    }
}

/// Fields that no `Connection` option removes: those that say what a message is, whom it is from
/// and what may be done with it, and those handled by name above.
fn is_protected(name: &HeaderName) -> bool {
    const PREFIXES: &[&str] = &[
        "access-control-",
        "appproxy-",
        "content-",
        "if-",
        "sec-",
        "x-forwarded-",
    ];
    const NAMES: &[&str] = &[
        "accept-ranges",
        "authorization",
        "cache-control",
        "cookie",
        "date",
        "etag",
        "expires",
        "forwarded",
        "host",
        "last-modified",
        "location",
        "origin",
        "range",
        "referer",
        "set-cookie",
        "strict-transport-security",
        "te",
        "traceparent",
        "trailer",
        "vary",
        "www-authenticate",
        "x-content-type-options",
        "x-frame-options",
        "x-real-ip",
        "x-request-id",
    ];
    let name = name.as_str();
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn names(headers: &HeaderMap) -> Vec<String> {
        let mut names: Vec<_> = headers.keys().map(|n| n.as_str().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn rule_5_hop_by_hop_fields_end_here() {
        let mut headers = map(&[
            ("connection", "close, X-Mine , ,"),
            ("connection", "x-also"),
            ("x-mine", "1"),
            ("x-also", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("proxy-authorization", "Basic x"),
            ("proxy-authenticate", "Basic"),
            ("expect", "100-continue"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "chat"),
            ("trailer", "x-sum"),
            ("accept", "*/*"),
        ]);
        strip_request(&mut headers);
        assert_eq!(
            names(&headers),
            ["accept", "sec-websocket-protocol", "trailer"]
        );

        let mut headers = map(&[
            ("connection", "x-mine"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "x"),
            ("sec-websocket-protocol", "chat"),
            ("proxy-authenticate", "Basic"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x-sum"),
            ("set-cookie", "a=b"),
        ]);
        strip_response(&mut headers);
        assert_eq!(
            names(&headers),
            ["sec-websocket-protocol", "set-cookie", "trailer"]
        );
    }

    #[test]
    fn rule_5_a_connection_option_cannot_remove_what_is_ours_or_essential() {
        let kept = [
            "host",
            "content-length",
            "content-type",
            "authorization",
            "cookie",
            "origin",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-user",
            "x-request-id",
            "appproxy-target",
            "sec-websocket-protocol",
            "trailer",
        ];
        let mut headers = HeaderMap::new();
        for name in kept {
            headers.insert(name, HeaderValue::from_static("1"));
            let option = HeaderValue::try_from(name.to_uppercase());
            headers.append(header::CONNECTION, option.unwrap());
        }
        strip_request(&mut headers);
        for name in kept {
            assert!(headers.contains_key(name), "{name}");
        }
        assert!(!headers.contains_key("connection"));
    }

    #[test]
    fn te_is_trailers_or_nothing() {
        for (sent, kept) in [
            ("trailers", Some("trailers")),
            ("Trailers", Some("trailers")),
            ("gzip;q=0.5, trailers", Some("trailers")),
            ("gzip", None),
            ("trailers;q=1", None),
            ("", None),
        ] {
            let mut headers = map(&[("te", sent), ("connection", "TE")]);
            strip_request(&mut headers);
            let te: Vec<_> = headers.get_all("te").iter().collect();
            assert_eq!(te, Vec::from_iter(kept), "{sent}");
        }
    }

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn proper() -> Request<()> {
        let mut request = Request::get("/chat").body(()).unwrap();
        *request.headers_mut() = map(&[
            ("host", "a.example"),
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ]);
        request
    }

    #[test]
    fn a_proper_handshake_is_a_websocket() {
        let empty = changed(&Change::Field("content-length", &["0"]));
        for request in [proper(), empty] {
            let key = HeaderValue::from_static(KEY);
            assert_eq!(websocket_upgrade(&request), Upgrade::WebSocketH1 { key });
        }
    }

    /// A proper handshake with one change: another request line, or a field set to these values.
    enum Change {
        Line(Method, Version),
        Field(&'static str, &'static [&'static str]),
    }

    fn changed(change: &Change) -> Request<()> {
        let mut request = proper();
        match change {
            Change::Line(method, version) => {
                *request.method_mut() = method.clone();
                *request.version_mut() = *version;
            }
            Change::Field(name, values) => {
                request.headers_mut().remove(*name);
                for value in *values {
                    request
                        .headers_mut()
                        .append(*name, HeaderValue::from_static(value));
                }
            }
        }
        request
    }

    #[test]
    fn rule_8_only_websocket_upgrades_pass() {
        use Change::{Field, Line};
        for change in [
            Field("upgrade", &["h2c"]),
            Field("upgrade", &["TLS/1.0, h2c"]),
            Field("upgrade", &[]),
            Line(Method::GET, Version::HTTP_10),
            Line(Method::GET, Version::HTTP_2),
        ] {
            assert_eq!(websocket_upgrade(&changed(&change)), Upgrade::None);
        }
    }

    #[test]
    fn rule_8_a_handshake_that_is_not_proper_is_refused() {
        use Change::{Field, Line};
        use UpgradeRefusal as Why;
        const VERSION: &str = "sec-websocket-version";
        for (change, why) in [
            (Field("upgrade", &["websocket, h2c"]), Why::Several),
            (Field("upgrade", &["websocket", "h2c"]), Why::Several),
            (Field("upgrade", &["websocket", "websocket"]), Why::Several),
            (Line(Method::POST, Version::HTTP_11), Why::Method),
            (Line(Method::CONNECT, Version::HTTP_11), Why::Connect),
            (Field("connection", &["keep-alive"]), Why::Connection),
            (Field("connection", &[]), Why::Connection),
            (Field(VERSION, &["8"]), Why::SocketVersion),
            (Field(VERSION, &["13", "13"]), Why::SocketVersion),
            (Field(VERSION, &[]), Why::SocketVersion),
            (Field("sec-websocket-key", &[]), Why::Key),
            (Field("sec-websocket-key", &[KEY, KEY]), Why::Key),
            (Field("sec-websocket-key", &["short=="]), Why::Key),
            (
                Field("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZ_=="]),
                Why::Key,
            ),
            (Field("content-length", &["5"]), Why::Body),
            (Field("transfer-encoding", &["chunked"]), Why::Body),
        ] {
            let outcome = websocket_upgrade(&changed(&change));
            assert_eq!(outcome, Upgrade::Refused(why));
        }
    }

    #[test]
    fn extended_connect_opens_a_websocket_and_nothing_else() {
        let connect = |protocol: Option<&'static str>, target: &str| {
            let mut request = Request::builder().method("CONNECT").uri(target);
            request = request.version(Version::HTTP_2);
            request = request.header("sec-websocket-version", "13");
            if let Some(protocol) = protocol {
                request = request.extension(Protocol::from_static(protocol));
            }
            request.body(()).unwrap()
        };
        let whole = "https://a.example/chat";
        for (request, expected) in [
            (connect(Some("websocket"), whole), Upgrade::WebSocketH2),
            (
                connect(Some("connect-udp"), whole),
                Upgrade::Refused(UpgradeRefusal::Protocol),
            ),
            (
                connect(Some("websocket"), "a.example:443"),
                Upgrade::Refused(UpgradeRefusal::Protocol),
            ),
            (
                connect(None, "a.example:443"),
                Upgrade::Refused(UpgradeRefusal::Connect),
            ),
        ] {
            assert_eq!(websocket_upgrade(&request), expected);
        }
        let mut request = connect(Some("websocket"), whole);
        request
            .headers_mut()
            .insert("content-length", HeaderValue::from_static("0"));
        assert_eq!(
            websocket_upgrade(&request),
            Upgrade::Refused(UpgradeRefusal::Body)
        );
    }
}
