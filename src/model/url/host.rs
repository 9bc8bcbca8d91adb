//! Hosts, and the wildcards that stand for them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::UrlError;

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
    pub(super) fn parse(text: &str) -> Result<Self, UrlError> {
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
