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
    use std::fmt::Write as _;

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

    /// One line: the host, a character of which is one octet; its normal form with the port if there
    /// is one; or why it is refused.
    type Row = (String, Option<String>, Option<String>);

    #[test]
    fn rule_3_every_spelling_has_one_normal_form_or_is_refused() {
        let table = include_str!("../../testdata/hosts/spellings.jsonl");
        let mut seen = 0;
        let mut wrong = String::new();
        for line in table.lines() {
            let (host, normal, why): Row = serde_json::from_str(line).unwrap();
            let octets: Vec<u8> = host.chars().map(|c| u8::try_from(c).unwrap()).collect();
            let expected = normal.ok_or_else(|| why.unwrap());
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                let found = ask(version, "/", &[&octets]);
                if found != expected {
                    let _ = writeln!(wrong, "{line}\n    is {found:?} over {version:?}");
                }
            }
            if expected.is_ok() {
                let target = format!("https://{host}/x");
                assert_eq!(ask(Version::HTTP_2, &target, &[]), expected, "{host}");
                assert_eq!(
                    ask(Version::HTTP_11, &target, &[&octets]),
                    expected,
                    "{host}"
                );
            }
            seen += 1;
        }
        assert!(wrong.is_empty(), "\n{wrong}");
        assert_eq!(seen, 108);
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
