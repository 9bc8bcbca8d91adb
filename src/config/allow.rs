//! The connector's allow-list as an operator writes it.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::field::Field;
use crate::model::{Endpoint, Host};

/// One line of the connector's allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// Which hosts.
    pub hosts: AllowHosts,
    /// Which port.
    pub port: u16,
}

impl fmt::Display for Allow {
    /// As an operator writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.hosts {
            AllowHosts::Exact(host) => write!(f, "{host}:{port}"),
            AllowHosts::Below(suffix) => write!(f, "*.{suffix}:{port}"),
            AllowHosts::Network(network @ IpNet::V6(_)) => write!(f, "[{network}]:{port}"),
            AllowHosts::Network(network) => write!(f, "{network}:{port}"),
        }
    }
}

/// The hosts of one line of the allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowHosts {
    /// This name or address.
    Exact(Host),
    /// Every name that ends in a dot and this suffix.
    Below(Arc<str>),
    /// Every address of this network.
    Network(IpNet),
}

const FORMS: &str = "write `host:port`, `*.suffix:port`, `10.1.0.0/16:port`, `[fd00::1]:port` or \
                     `[fd00::/8]:port`";

/// Reads one line of the list.
pub(super) fn entry(field: Field<'_>) -> Option<Allow> {
    let text = field.text()?;
    match parse(text) {
        Ok(allow) => Some(allow),
        Err(_) if text.contains('@') => field.refuse(
            "bad_allow",
            "a user name or password cannot stand here",
            FORMS,
        ),
        Err(Refused { why, instead }) => {
            let remedy = instead.map_or_else(|| FORMS.to_owned(), |form| format!("write `{form}`"));
            field.refuse(
                "bad_allow",
                format!("`{text}` cannot be allowed: {why}"),
                remedy,
            )
        }
    }
}

impl Allow {
    /// Whether this line names a target as it stands in an internal URL, before any look-up.
    #[must_use]
    pub fn names(&self, target: &Endpoint) -> bool {
        let named = match (&self.hosts, &target.host) {
            (AllowHosts::Exact(Host::Address(line)), Host::Address(address)) => {
                line.to_canonical() == address.to_canonical()
            }
            (AllowHosts::Exact(line), host) => line == host,
            (AllowHosts::Below(suffix), Host::Name(name)) => name
                .strip_suffix(&**suffix)
                .is_some_and(|rest| rest.ends_with('.')),
            (AllowHosts::Network(network), Host::Address(address)) => {
                network.contains(address) || network.contains(&address.to_canonical())
            }
            (AllowHosts::Below(_), Host::Address(_)) | (AllowHosts::Network(_), Host::Name(_)) => {
                false
            }
        };
        named && self.port == target.port
    }

    /// Whether there can be a target that this line and another one, of an allow-list, are for.
    /// What a name resolves to is not known: an address or a network may be anybody's.
    #[must_use]
    pub fn may_meet(&self, listed: &Self) -> bool {
        use AllowHosts::{Below, Exact, Network};
        let within = |name: &str, suffix: &str| {
            let rest = name.strip_suffix(suffix);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let below = |name: &str, suffix: &str| name != suffix && within(name, suffix);
        let hosts = match (&self.hosts, &listed.hosts) {
            (Exact(Host::Name(one)), Exact(Host::Name(other))) => one == other,
            (Exact(Host::Name(name)), Below(suffix)) | (Below(suffix), Exact(Host::Name(name))) => {
                below(name, suffix)
            }
            (Below(one), Below(other)) => within(one, other) || within(other, one),
            (Exact(Host::Name(_)) | Below(_), Exact(Host::Address(_)) | Network(_)) => true,
            (Exact(Host::Address(_)) | Network(_), Exact(Host::Name(_)) | Below(_)) => false,
            (Exact(Host::Address(one)), Exact(Host::Address(other))) => {
                one.to_canonical() == other.to_canonical()
            }
            (Exact(Host::Address(address)), Network(network))
            | (Network(network), Exact(Host::Address(address))) => {
                network.contains(address) || network.contains(&address.to_canonical())
            }
            (Network(one), Network(other)) => one.contains(other) || other.contains(one),
        };
        hosts && self.port == listed.port
    }
}

#[derive(Debug, PartialEq)]
struct Refused {
    why: String,
    /// What was most likely meant.
    instead: Option<String>,
}

fn refuse<T>(why: impl Into<String>, instead: Option<String>) -> Result<T, Refused> {
    Err(Refused {
        why: why.into(),
        instead,
    })
}

fn parse(text: &str) -> Result<Allow, Refused> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return refuse("it is a URL", from_url(scheme, rest));
    }
    let bracket = text.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = text[bracket..].rfind(':').map(|at| bracket + at) else {
        return refuse("the port is missing", None);
    };
    let (host, port) = (&text[..colon], &text[colon + 1..]);
    if bracket == 0 && host.contains(':') {
        let whole = text.parse::<IpNet>().is_ok() || text.parse::<std::net::Ipv6Addr>().is_ok();
        let why = "an IPv6 address or network stands in brackets before the port";
        let instead = (!whole).then(|| format!("[{host}]:{port}"));
        return refuse(why, instead);
    }
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let port = match port.parse::<u16>() {
        Ok(port) if digits && port != 0 => port,
        _ => return refuse("the port must be a number from 1 to 65535", None),
    };
    Ok(Allow {
        hosts: hosts(host, port)?,
        port,
    })
}

fn hosts(text: &str, port: u16) -> Result<AllowHosts, Refused> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if inner.unwrap_or(text).contains('/') {
        return network(inner, text, port);
    }
    if let Some(suffix) = text.strip_prefix("*.") {
        return match Host::parse(suffix) {
            Ok(Host::Name(suffix)) => Ok(AllowHosts::Below(suffix)),
            Ok(Host::Address(_)) => refuse("`*.` stands before a name, never an address", None),
            Err(error) => refuse(error.to_string(), None),
        };
    }
    if text.contains('*') {
        return refuse("`*` can only stand as `*.` before a suffix", None);
    }
    match Host::parse(text) {
        Ok(host) => Ok(AllowHosts::Exact(host)),
        Err(error) => refuse(error.to_string(), None),
    }
}

/// `inner` is what stands in brackets, which is where an IPv6 network belongs and no other.
fn network(inner: Option<&str>, text: &str, port: u16) -> Result<AllowHosts, Refused> {
    let written = inner.unwrap_or(text);
    let Ok(net) = written.parse::<IpNet>() else {
        return refuse("this is not a network", None);
    };
    let meant = match net.trunc() {
        IpNet::V4(net) => format!("{net}:{port}"),
        IpNet::V6(net) => format!("[{net}]:{port}"),
    };
    if inner.is_some() != matches!(net, IpNet::V6(_)) {
        let why = "brackets stand around an IPv6 network, and only there";
        return refuse(why, Some(meant));
    }
    if net != net.trunc() {
        let why = "the address has bits beyond the length of the network";
        return refuse(why, Some(meant));
    }
    Ok(AllowHosts::Network(net))
}

fn from_url(scheme: &str, rest: &str) -> Option<String> {
    let authority = rest.split(['/', '?', '#']).next()?;
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let bare = Host::parse(authority).is_ok();
    let instead = if bare {
        format!("{authority}:{port}")
    } else {
        authority.to_owned()
    };
    parse(&instead).is_ok().then_some(instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<AllowHosts> {
        parse(text).ok().map(|allow| allow.hosts)
    }

    #[test]
    fn every_form_is_read() {
        let exact = |host| Host::parse(host).ok().map(AllowHosts::Exact);
        let net = |net: &str| net.parse().ok().map(AllowHosts::Network);
        assert_eq!(read("Wiki.corp.local:8888"), exact("wiki.corp.local"));
        assert_eq!(read("10.1.2.3:80"), exact("10.1.2.3"));
        assert_eq!(read("[fd00::1]:80"), exact("[fd00::1]"));
        assert_eq!(
            read("*.corp.local:443"),
            Some(AllowHosts::Below("corp.local".into()))
        );
        assert_eq!(read("10.1.0.0/16:80"), net("10.1.0.0/16"));
        assert_eq!(read("[fd00::/8]:443"), net("fd00::/8"));
        assert_eq!(parse("a.b:65535").map(|a| a.port), Ok(65535));
    }

    #[test]
    fn everything_else_is_refused_with_what_was_meant() {
        let instead = |text| parse(text).err().and_then(|e| e.instead);
        assert_eq!(instead("http://wiki:8888/a"), Some("wiki:8888".into()));
        assert_eq!(instead("https://wiki/"), Some("wiki:443".into()));
        assert_eq!(instead("10.1.2.3/16:80"), Some("10.1.0.0/16:80".into()));
        assert_eq!(instead("[10.0.0.0/8]:80"), Some("10.0.0.0/8:80".into()));
        assert_eq!(instead("fd00::/8:443"), Some("[fd00::/8]:443".into()));
        for bad in [
            "wiki",
            "wiki:",
            "wiki:0",
            "wiki:+1",
            "wiki:http",
            "wiki:99999",
            ":80",
            "*:80",
            "*:*",
            "a.*.b:80",
            "*.:80",
            "*.10.0.0.1:80",
            "10.0.0.0/33:80",
            "[fd00::1:80",
            "fd00::1",
            "fd00::/8",
            "[]:80",
            "a b:80",
            "wiki:80/path",
            "é/8:80",
            "]:80",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_names_targets_by_what_their_url_says() {
        let names = |line: &str, target: &str| {
            let line = parse(line).unwrap();
            line.names(&Endpoint::parse(target).unwrap())
        };
        for (line, target, expected) in [
            ("wiki.corp.local:443", "wiki.corp.local:443", true),
            ("wiki.corp.local:443", "wiki.corp.local:8443", false),
            ("*.corp.local:443", "a.b.corp.local:443", true),
            ("*.corp.local:443", "corp.local:443", false),
            ("*.corp.local:443", "evilcorp.local:443", false),
            ("10.1.0.0/16:443", "10.1.2.3:443", true),
            ("10.1.0.0/16:443", "[::ffff:10.1.2.3]:443", true),
            ("10.1.0.0/16:443", "10.2.2.3:443", false),
            ("10.1.0.0/16:443", "wiki.corp.local:443", false),
            ("10.1.2.3:443", "[::ffff:10.1.2.3]:443", true),
            ("[fd00::1]:443", "[fd00::1]:443", true),
        ] {
            assert_eq!(names(line, target), expected, "{line} {target}");
        }
    }
}
