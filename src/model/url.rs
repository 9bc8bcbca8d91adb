//! External and internal URLs in one normal form.
//!
//! Hosts are compared as lower-case ASCII without a trailing dot; paths by octets, on segment
//! boundaries. Parsing leans on the `url` crate; what it would silently repair (backslashes, user
//! information, queries, dot segments) is refused here with a reason.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

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

/// One host: a DNS name in lower-case ASCII without trailing dot, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name, IDN in its ASCII form.
    Name(Arc<str>),
    /// An address; IPv6 is written in brackets.
    Address(IpAddr),
}

impl Host {
    /// Reads a host as it stands in a URL or a `Host` field: case, one trailing dot and IDN are
    /// normalised; octal, hexadecimal and shortened IPv4 forms are refused, as is everything the
    /// `url` crate would decode or repair.
    ///
    /// # Errors
    /// Where the text is no such host.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let refuse = |why| UrlError::Host(text.to_owned(), why);
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner
                .strip_suffix(']')
                .ok_or_else(|| refuse("`]` is missing"))?;
            let address: Ipv6Addr = inner
                .parse()
                .map_err(|_| refuse("not an IPv6 address in brackets"))?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text)
                .map_err(|_| refuse("not a valid international name"))?
        };
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        check_labels(name).map_err(refuse)?;
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
            return Err(refuse(
                "a name cannot end in a number, and this is not a full IPv4 address",
            ));
        }
        Ok(Self::Name(name.into()))
    }

    /// The DNS name; `None` for an address.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Address(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// LDH labels, and `_`, which intranets use.
fn check_labels(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > 253 {
        return Err("it is longer than 253 characters");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("it has an empty label");
        }
        if label.len() > 63 {
            return Err("a label is longer than 63 characters");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a label begins or ends with `-`");
        }
        if !label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err("a label has a character other than letters, digits, `-` and `_`");
        }
    }
    Ok(())
}

/// The host of an external URL: exact, or with one `*` as its whole leftmost label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host only.
    Exact(Host),
    /// Any one label before this suffix, which has no leading dot: `*.apps.example.com`.
    Wildcard {
        /// What follows `*.`.
        suffix: Arc<str>,
    },
}

/// The label a wildcard stood for in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured(Arc<str>);

impl Captured {
    /// Takes a label: letters, digits and inner hyphens (RFC 1123), nothing else, since it lands
    /// in an internal name.
    #[must_use]
    pub fn new(label: &str) -> Option<Self> {
        let good = !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        good.then(|| Self(label.into()))
    }

    /// The label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, UrlError> {
        let Some(suffix) = text.strip_prefix("*.") else {
            return Host::parse(text).map(Self::Exact);
        };
        match Host::parse(suffix)? {
            Host::Name(suffix) if suffix.contains('.') || &*suffix == "localhost" => {
                Ok(Self::Wildcard { suffix })
            }
            Host::Name(_) => Err(UrlError::Host(
                text.to_owned(),
                "a wildcard must stand below a domain, such as `*.example.com`",
            )),
            Host::Address(_) => Err(UrlError::Host(
                text.to_owned(),
                "a wildcard cannot stand before an address",
            )),
        }
    }

    /// Whether the pattern stands for this host, and with which label.
    #[must_use]
    pub fn matches(&self, host: &Host) -> Option<Option<Captured>> {
        match self {
            Self::Exact(own) => (own == host).then_some(None),
            Self::Wildcard { suffix } => {
                let (label, rest) = host.name()?.split_once('.')?;
                (rest == &**suffix)
                    .then(|| Captured::new(label))
                    .flatten()
                    .map(Some)
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Wildcard { suffix } => write!(f, "*.{suffix}"),
        }
    }
}

/// A published path: begins and ends in `/`, without escapes or dot segments, so that what a
/// request's path must begin with is one sequence of octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix(Arc<str>);

impl PathPrefix {
    /// Takes a path such as `/` or `/wiki/`.
    ///
    /// # Errors
    /// Where the path is not of that form.
    pub fn new(path: &str) -> Result<Self, UrlError> {
        let refuse = |why| UrlError::Path(path.to_owned(), why);
        if !path.starts_with('/') {
            return Err(refuse("no `/` at its beginning"));
        }
        if !path.ends_with('/') {
            return Err(UrlError::NoTrailingSlash(path.to_owned()));
        }
        if path.contains("//") {
            return Err(refuse("an empty segment (`//`)"));
        }
        if path.split('/').any(|s| s == "." || s == "..") {
            return Err(refuse("a dot segment"));
        }
        if let Some(bad) = path.bytes().find(|&b| !is_plain_path_octet(b)) {
            return Err(refuse(match bad {
                b'%' => "an escape (`%`): publish the path above it",
                b'\\' => "a backslash",
                b';' => "a `;`",
                _ => "a character that would have to be escaped: publish the path above it",
            }));
        }
        if path == "/.appproxy/" || path.starts_with("/.appproxy/") {
            return Err(refuse(
                "the beginning `/.appproxy/`, which is the gateway's own on every host",
            ));
        }
        Ok(Self(path.into()))
    }

    /// The root, `/`.
    #[must_use]
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The path, with both its slashes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// What remains of a request's path below this prefix, without a leading slash; `None` where
    /// the path is not below it. `/wiki` itself is not below `/wiki/`: see [`PathPrefix::is_bare`].
    #[must_use]
    pub fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.0)
    }

    /// Whether `path` is this prefix without its last slash: the visitor is sent to the form with it.
    #[must_use]
    pub fn is_bare(&self, path: &str) -> bool {
        !self.is_root() && self.0.strip_suffix('/') == Some(path)
    }
}

fn is_plain_path_octet(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&b)
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
