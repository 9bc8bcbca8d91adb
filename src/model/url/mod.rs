//! External and internal URLs in one normal form.
//!
//! Hosts are compared as lower-case ASCII without a trailing dot; paths by octets, on segment
//! boundaries. Parsing leans on the `url` crate; what it would silently repair (backslashes, user
//! information, queries, dot segments) is refused here with a reason.

mod host;
mod path;

use std::fmt;
use std::sync::Arc;

pub use host::{Captured, Host, HostPattern};
pub use path::PathPrefix;

/// Why a URL, host or path was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL at all.
    #[error("`{0}` is not a URL: {1}")]
    Syntax(String, String),
    /// Neither http nor https.
    #[error("`{0}` must begin with https:// or http://")]
    Scheme(String),
    /// A user name, password, query or fragment.
    #[error("a {0} cannot be part of a published URL")]
    Part(&'static str),
    /// The path does not end in `/`.
    #[error("`{0}` must end in `/`: an application is published with everything below its path")]
    NoTrailingSlash(String),
    /// The path has something whose meaning differs between servers.
    #[error("the path `{0}` has {1}")]
    Path(String, &'static str),
    /// The host is not a DNS name, an address or a wildcard of the permitted form.
    #[error("`{0}` is not a host: {1}")]
    Host(String, &'static str),
    /// A wildcard inside that the outside does not have, or the other way round.
    #[error("the external host `{0}` has no wildcard, so the internal host cannot have one")]
    Wildcard(String),
}

/// http or https.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The scheme as it stands before `://`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that need not be written.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Where people open an application.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExternalUrl {
    /// https, or http where the operator wants it.
    pub scheme: Scheme,
    /// Exact, or a wildcard.
    pub host: HostPattern,
    /// The port of the URL; the listener's own port never counts.
    pub port: u16,
    /// The path it is published under.
    pub path: PathPrefix,
}

/// The host of an internal URL; with a wildcard it takes the label of the external one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InternalHost {
    /// This host.
    Exact(Host),
    /// `*.corp.local`: the captured label before this suffix.
    Wildcard {
        /// What follows `*.`.
        suffix: Arc<str>,
    },
}

/// Where a connector finds an application.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InternalUrl {
    /// http or https towards the application.
    pub scheme: Scheme,
    /// Its host as the connector resolves it.
    pub host: InternalHost,
    /// Its port.
    pub port: u16,
    /// The path that stands for the external one.
    pub path: PathPrefix,
}

struct Parts<'a> {
    scheme: Scheme,
    host: &'a str,
    port: u16,
    path: PathPrefix,
}

/// Splits a URL without repairing anything: what the `url` crate would change is refused.
fn split(text: &str) -> Result<Parts<'_>, UrlError> {
    if text
        .chars()
        .any(|c| c.is_ascii_control() || c == ' ' || c == '\\')
    {
        let why = "it has a space, a control character or a backslash".to_owned();
        return Err(UrlError::Syntax(text.to_owned(), why));
    }
    let (scheme, rest) = if let Some(rest) = text.strip_prefix("https://") {
        (Scheme::Https, rest)
    } else if let Some(rest) = text.strip_prefix("http://") {
        (Scheme::Http, rest)
    } else {
        return Err(UrlError::Scheme(text.to_owned()));
    };
    if rest.contains('#') {
        return Err(UrlError::Part("fragment"));
    }
    if rest.contains('?') {
        return Err(UrlError::Part("query"));
    }
    let Some(slash) = rest.find('/') else {
        return Err(UrlError::NoTrailingSlash(text.to_owned()));
    };
    let (authority, path) = rest.split_at(slash);
    if authority.contains('@') {
        return Err(UrlError::Part("user name"));
    }
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[bracket..].rfind(':') {
        Some(colon) => {
            let digits = &authority[bracket + colon + 1..];
            let port = parse_port(digits).ok_or_else(|| {
                let why = format!("`{digits}` is not a port from 1 to 65535");
                UrlError::Syntax(text.to_owned(), why)
            })?;
            (&authority[..bracket + colon], port)
        }
        None => (authority, scheme.default_port()),
    };
    Ok(Parts {
        scheme,
        host,
        port,
        path: PathPrefix::new(path)?,
    })
}

impl ExternalUrl {
    /// Reads an external URL, such as `https://wiki.example.com/` or `https://*.apps.example.com:8443/x/`.
    ///
    /// # Errors
    /// With what is wrong and why.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let Parts {
            scheme,
            host,
            port,
            path,
        } = split(text)?;
        Ok(Self {
            scheme,
            host: HostPattern::parse(host)?,
            port,
            path,
        })
    }

    /// `host` or `host:port`, the port only where it is not the scheme's own, for a request to `host`.
    #[must_use]
    pub fn authority(&self, host: &Host) -> String {
        authority(self.scheme, host, self.port)
    }
}

impl InternalUrl {
    /// Reads an internal URL, such as `http://wiki.corp.local:8888/`.
    ///
    /// # Errors
    /// With what is wrong and why.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let Parts {
            scheme,
            host,
            port,
            path,
        } = split(text)?;
        let host = match HostPattern::parse(host)? {
            HostPattern::Exact(host) => InternalHost::Exact(host),
            HostPattern::Wildcard { suffix } => InternalHost::Wildcard { suffix },
        };
        Ok(Self {
            scheme,
            host,
            port,
            path,
        })
    }

    /// The host for a request, with the captured label in the wildcard's place; `None` where the
    /// wildcard has no label to take, which configuration excludes.
    #[must_use]
    pub fn host_for(&self, captured: Option<&Captured>) -> Option<Host> {
        match (&self.host, captured) {
            (InternalHost::Exact(host), _) => Some(host.clone()),
            (InternalHost::Wildcard { suffix }, Some(label)) => {
                Some(Host::Name(format!("{}.{suffix}", label.as_str()).into()))
            }
            (InternalHost::Wildcard { .. }, None) => None,
        }
    }

    /// `host` or `host:port`, the port only where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self, host: &Host) -> String {
        authority(self.scheme, host, self.port)
    }
}

fn authority(scheme: Scheme, host: &Host, port: u16) -> String {
    if port == scheme.default_port() {
        host.to_string()
    } else {
        format!("{host}:{port}")
    }
}

impl fmt::Display for ExternalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_url(f, self.scheme, &self.host, self.port, &self.path)
    }
}

impl fmt::Display for InternalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            InternalHost::Exact(host) => write_url(f, self.scheme, host, self.port, &self.path),
            InternalHost::Wildcard { suffix } => write_url(
                f,
                self.scheme,
                &format_args!("*.{suffix}"),
                self.port,
                &self.path,
            ),
        }
    }
}

fn write_url(
    f: &mut fmt::Formatter<'_>,
    scheme: Scheme,
    host: &dyn fmt::Display,
    port: u16,
    path: &PathPrefix,
) -> fmt::Result {
    write!(f, "{}://{host}", scheme.as_str())?;
    if port != scheme.default_port() {
        write!(f, ":{port}")?;
    }
    f.write_str(path.as_str())
}

/// A host and port to dial or to be dialled at, such as `gw1.example.com:443`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Name or address.
    pub host: Host,
    /// Port; never 0.
    pub port: u16,
}

impl Endpoint {
    /// Reads `host:port`; the port is required.
    ///
    /// # Errors
    /// Where host or port is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let refuse = |why| UrlError::Host(text.to_owned(), why);
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| refuse("the port is missing: write host:port"))?;
        let port = parse_port(port).ok_or_else(|| refuse("the port must be from 1 to 65535"))?;
        Ok(Self {
            host: Host::parse(host)?,
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A port in plain digits, without sign and not 0.
fn parse_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|&port| plain && port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_normal_form() {
        for (text, normal) in [
            ("Wiki.Example.COM", "wiki.example.com"),
            ("wiki.example.com.", "wiki.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("my_host.corp", "my_host.corp"),
        ] {
            assert_eq!(
                Host::parse(text).map(|h| h.to_string()),
                Ok(normal.into()),
                "{text}"
            );
        }
        for bad in [
            "",
            ".",
            "a..b",
            "a..",
            "-a.b",
            "a-.b",
            "a b",
            "a/b",
            "a@b",
            "a:1",
            "a%2eb",
            "0x7f.1",
            "127.1",
            "2130706433",
            "1.2.3.4.5",
            "[::1",
            "[1.2.3.4]",
            "::1",
            "a\u{0}b",
            "*",
            "*.example.com",
        ] {
            assert!(Host::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn urls_are_read_and_written_in_one_form() {
        for (text, normal) in [
            ("https://wiki.example.com/", "https://wiki.example.com/"),
            ("https://Wiki.Example.com:443/", "https://wiki.example.com/"),
            (
                "http://wiki.example.com:80/a/b/",
                "http://wiki.example.com/a/b/",
            ),
            (
                "https://*.apps.example.com:8443/x/",
                "https://*.apps.example.com:8443/x/",
            ),
            ("https://[::1]:8443/", "https://[::1]:8443/"),
        ] {
            assert_eq!(
                ExternalUrl::parse(text).map(|u| u.to_string()),
                Ok(normal.into()),
                "{text}"
            );
        }
        for bad in [
            "wiki.example.com",
            "ftp://a/",
            "https:/a/",
            "https://a",
            "https://a/b",
            "https://a/?q",
            "https://a/#f",
            "https://u@a.b/",
            "https://a.b:0/",
            "https://a.b:99999/",
            "https://a.b:+80/",
            "https://a.b:/",
            "https://a\\b/",
            "https://a.b//",
            "https://a.b/../",
            "https://a.b/%61/",
            "https://a.b/x;y/",
            "https://a.*.b/",
            "https://*.com/",
            "https://*/",
            "https://*.1.2.3.4/",
            "https://a.b/.appproxy/",
        ] {
            assert!(ExternalUrl::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_wildcard_takes_exactly_one_plain_label() {
        let url = ExternalUrl::parse("https://*.apps.example.com/").map(|u| u.host);
        let label = |host: &str| {
            let host = Host::parse(host).ok()?;
            url.as_ref()
                .ok()?
                .matches(&host)
                .flatten()
                .map(|c| c.as_str().to_owned())
        };
        assert_eq!(label("a.apps.example.com"), Some("a".into()));
        assert_eq!(label("apps.example.com"), None);
        assert_eq!(label("a.b.apps.example.com"), None);
        assert_eq!(label("a_b.apps.example.com"), None);
        let internal = InternalUrl::parse("http://*.corp.local:8080/").ok();
        let host = internal.and_then(|u| u.host_for(Captured::new("a").as_ref()));
        assert_eq!(host.map(|h| h.to_string()), Some("a.corp.local".into()));
    }

    #[test]
    fn paths_match_on_segment_boundaries() {
        let wiki = PathPrefix::new("/wiki/");
        let wiki = wiki.as_ref();
        assert_eq!(wiki.map(|p| p.rest("/wiki/a")), Ok(Some("a")));
        assert_eq!(wiki.map(|p| p.rest("/wiki")), Ok(None));
        assert_eq!(wiki.map(|p| p.rest("/wikipedia/")), Ok(None));
        assert_eq!(wiki.map(|p| p.is_bare("/wiki")), Ok(true));
    }
}
