//! The one host a request is for (DESIGN 8, rule 3).

use http::uri::Scheme as UriScheme;
use http::{Request, Version, header};

use crate::model::{Host, UrlError};

/// What a request names as its host, in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHost {
    /// Name or address.
    pub host: Host,
    /// The port, where one was written.
    pub port: Option<u16>,
}

/// Why a request has no one host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostRefusal {
    /// Neither `Host` nor `:authority`; HTTP/1.0 has to send one too.
    #[error("the request names no host: send `Host`")]
    Missing,
    /// More than one `Host` field.
    #[error("the request has several `Host` fields: send one")]
    Several,
    /// `Host` and the target name different hosts.
    #[error("`Host` and the request's target name different hosts")]
    Disagree,
    /// A user name or password in front of the host.
    #[error("a user name cannot stand in a request's host")]
    UserInformation,
    /// A port that is not a number from 1 to 65535.
    #[error("the port of the request's host is not a number from 1 to 65535")]
    Port,
    /// Octets that no host name has.
    #[error("the request's host is not ASCII")]
    NotAscii,
    /// Not a host.
    #[error("the request's host is not one: {0}")]
    Invalid(#[from] UrlError),
}

/// Finds the one host a request is for: from `Host`, from an absolute-form target or
/// `:authority`, and from both only where they agree.
///
/// # Errors
/// Where there is none, more than one, or one that is malformed: a bad request.
pub fn request_host<B>(request: &Request<B>) -> Result<RequestHost, HostRefusal> {
    let mut fields = request.headers().get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(HostRefusal::Several);
    }
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    let Some(field) = field else {
        // HTTP/1 needs `Host` beside an absolute-form target too (RFC 9112 section 3.2).
        return match target {
            Some(target) if request.version() >= Version::HTTP_2 => parse(target),
            _ => Err(HostRefusal::Missing),
        };
    };
    let field = std::str::from_utf8(field.as_bytes()).map_err(|_| HostRefusal::NotAscii)?;
    let host = parse(field)?;
    match target {
        None => Ok(host),
        // The usual case is parsed once.
        Some(target) if target.eq_ignore_ascii_case(field) => Ok(host),
        Some(target) => {
            let default = default_port(request.uri().scheme());
            let target = parse(target)?;
            let port = |h: &RequestHost| h.port.or(default);
            if target.host == host.host && port(&target) == port(&host) {
                Ok(host)
            } else {
                Err(HostRefusal::Disagree)
            }
        }
    }
}

fn default_port(scheme: Option<&UriScheme>) -> Option<u16> {
    let scheme = scheme?;
    if *scheme == UriScheme::HTTPS {
        Some(443)
    } else if *scheme == UriScheme::HTTP {
        Some(80)
    } else {
        None
    }
}

/// Splits `host` or `host:port`.
fn parse(authority: &str) -> Result<RequestHost, HostRefusal> {
    if !authority.is_ascii() {
        return Err(HostRefusal::NotAscii);
    }
    if authority.is_empty() {
        return Err(HostRefusal::Missing);
    }
    if authority.contains('@') {
        return Err(HostRefusal::UserInformation);
    }
    // The colons of an IPv6 address stand inside its brackets.
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[bracket..].find(':') {
        None => (authority, None),
        Some(colon) => {
            let (host, port) = authority.split_at(bracket + colon);
            let digits = &port[1..];
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            let port = digits.parse().ok().filter(|&port| plain && port != 0_u16);
            (host, Some(port.ok_or(HostRefusal::Port)?))
        }
    };
    Ok(RequestHost {
        host: Host::parse(host)?,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(version: Version, target: &str, hosts: &[&[u8]]) -> Result<String, String> {
        let mut request = Request::builder().uri(target).version(version);
        for host in hosts {
            request = request.header("host", *host);
        }
        let request = request.body(()).map_err(|e| format!("http: {e}"))?;
        match request_host(&request) {
            Ok(RequestHost { host, port }) => Ok(match port {
                Some(port) => format!("{host} {port}"),
                None => host.to_string(),
            }),
            Err(HostRefusal::Invalid(_)) => Err("Invalid".into()),
            Err(why) => Err(format!("{why:?}")),
        }
    }

    #[test]
    fn rule_3_one_host_in_one_normal_form() {
        for (host, normal) in [
            ("app.example.com", "app.example.com"),
            ("APP.Example.COM.", "app.example.com"),
            ("APP.Example.COM.:443", "app.example.com 443"),
            ("app.example.com:08443", "app.example.com 8443"),
            ("XN--bcher-kva.example", "xn--bcher-kva.example"),
            ("192.0.2.1:8443", "192.0.2.1 8443"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
            ("[::1]:8443", "[::1] 8443"),
        ] {
            let expected = Ok(normal.to_owned());
            let bytes = host.as_bytes();
            assert_eq!(ask(Version::HTTP_11, "/", &[bytes]), expected, "{host}");
            assert_eq!(ask(Version::HTTP_10, "/", &[bytes]), expected, "{host}");
            assert_eq!(ask(Version::HTTP_2, "/", &[bytes]), expected, "{host}");
            let target = format!("https://{host}/x");
            assert_eq!(ask(Version::HTTP_2, &target, &[]), expected, "{host}");
            assert_eq!(ask(Version::HTTP_11, &target, &[bytes]), expected, "{host}");
        }
    }

    #[test]
    fn rule_3_everything_else_is_refused() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "Missing"),
            (b"user@app.example.com", "UserInformation"),
            (b"app.example.com@evil.example", "UserInformation"),
            (b"app.example.com:", "Port"),
            (b"app.example.com:0", "Port"),
            (b"app.example.com:+443", "Port"),
            (b"app.example.com:99999", "Port"),
            (b"app.example.com:443:443", "Port"),
            (b"::1", "Port"),
            (b"[::1", "Port"),
            (b"[::1]x", "Invalid"),
            (b"a.example, b.example", "Invalid"),
            (b"a.example/x", "Invalid"),
            (b"a..example", "Invalid"),
            (b"a example", "Invalid"),
            (b"a%2eexample", "Invalid"),
            (b"0x7f.1", "Invalid"),
            (b"127.1", "Invalid"),
            (b"*.example.com", "Invalid"),
            ("b\u{fc}cher.example".as_bytes(), "NotAscii"),
            (b"b\xfccher.example", "NotAscii"),
        ];
        for (host, why) in cases {
            let answer = ask(Version::HTTP_11, "/", &[host]);
            assert_eq!(answer, Err((*why).to_owned()), "{host:?}");
        }
    }

    #[test]
    fn rule_3_exactly_one_host_and_the_target_agrees() {
        use Version as V;
        let a: &[u8] = b"a.example";
        let b: &[u8] = b"b.example";
        type Case<'a> = (Version, &'a str, &'a [&'a [u8]], Result<&'a str, &'a str>);
        let cases: &[Case<'_>] = &[
            (V::HTTP_11, "/", &[], Err("Missing")),
            (V::HTTP_10, "/", &[], Err("Missing")),
            (V::HTTP_2, "/", &[], Err("Missing")),
            (V::HTTP_11, "/", &[a, a], Err("Several")),
            (V::HTTP_2, "https://a.example/", &[a, a], Err("Several")),
            (V::HTTP_11, "https://a.example/", &[], Err("Missing")),
            (V::HTTP_11, "https://b.example/", &[a], Err("Disagree")),
            (V::HTTP_2, "https://a.example/", &[b], Err("Disagree")),
            (V::HTTP_2, "https://A.example./", &[a], Ok("a.example")),
            (V::HTTP_2, "https://a.example:443/", &[a], Ok("a.example")),
            (V::HTTP_2, "https://a.example:80/", &[a], Err("Disagree")),
            (V::HTTP_11, "http://a.example:80/", &[a], Ok("a.example")),
            (V::HTTP_2, "https://a.example:8443/", &[a], Err("Disagree")),
            (
                V::HTTP_2,
                "https://u@a.example/",
                &[a],
                Err("UserInformation"),
            ),
            (
                V::HTTP_2,
                "https://u@a.example/",
                &[],
                Err("UserInformation"),
            ),
        ];
        for (version, target, hosts, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(ask(*version, target, hosts), expected, "{target} {hosts:?}");
        }
    }
}
