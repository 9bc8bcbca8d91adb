//! A proxy on the way out of the private network.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use secrecy::SecretString;

use super::url::{Endpoint, Host};

/// What is spoken with a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyScheme {
    /// HTTP CONNECT (RFC 9110 section 9.3.6); the proxy resolves names.
    Http,
    /// SOCKS5 (RFC 1928); names are resolved here.
    Socks5,
    /// SOCKS5; the proxy resolves names.
    Socks5h,
}

/// A proxy, and what goes past it.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// What is spoken with it.
    pub scheme: ProxyScheme,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it is told about us: Basic (RFC 7617) or RFC 1929.
    pub credentials: Option<ProxyCredentials>,
    /// What is dialled without it.
    pub except: Vec<ProxyException>,
    /// Which setting named it: a key of a file, or a variable. For messages.
    pub named_by: Arc<str>,
}

/// Name and password for a proxy.
#[derive(Debug, Clone)]
pub struct ProxyCredentials {
    /// Without `:`, which ends it in Basic.
    pub username: String,
    /// At most 255 octets for SOCKS5.
    pub password: SecretString,
}

/// Something a proxy is not used for, in the manner of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyException {
    hosts: ExceptHosts,
    /// Every port where it is absent.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ExceptHosts {
    All,
    /// This name and every name below it.
    Domain(Arc<str>),
    Network(IpNet),
}

impl Proxy {
    /// Whether this target is dialled through the proxy.
    ///
    /// `localhost` and what is below it is this machine (RFC 6761), whatever a proxy would make of
    /// the name.
    #[must_use]
    pub fn serves(&self, target: &Endpoint) -> bool {
        let own = target
            .host
            .name()
            .is_some_and(|name| name == "localhost" || name.ends_with(".localhost"));
        !own && !self.except.iter().any(|e| e.matches(target))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.endpoint, self.named_by)
    }
}

impl ProxyException {
    /// Reads an entry as curl and others do: `*`, a name that stands for those below it too (a dot
    /// or `*.` before it changes nothing), an address, a network; each with a port or without.
    ///
    /// # Errors
    /// With a sentence, where the entry is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self {
                hosts: ExceptHosts::All,
                port: None,
            });
        }
        let refuse = || format!("`{text}` is neither a name, an address nor a network");
        let bare = text.trim_start_matches('[').replace(']', "");
        if let Ok(network) = bare.parse::<IpNet>() {
            return Ok(Self::network(network, None));
        }
        if let Ok(address) = bare.parse::<std::net::IpAddr>() {
            return Ok(Self::network(address.to_canonical().into(), None));
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, None),
            Some((host, digits)) => {
                let plain = digits.bytes().all(|b| b.is_ascii_digit());
                let port = digits.parse().ok().filter(|&p: &u16| plain && p != 0);
                (host, Some(port.ok_or_else(refuse)?))
            }
        };
        let name = host
            .strip_prefix("*.")
            .or_else(|| host.strip_prefix('.'))
            .unwrap_or(host);
        match Host::parse(name) {
            Ok(Host::Name(name)) => Ok(Self {
                hosts: ExceptHosts::Domain(name),
                port,
            }),
            Ok(Host::Address(address)) => Ok(Self::network(address.to_canonical().into(), port)),
            Err(_) => Err(refuse()),
        }
    }

    fn network(network: IpNet, port: Option<u16>) -> Self {
        Self {
            hosts: ExceptHosts::Network(network),
            port,
        }
    }

    fn matches(&self, target: &Endpoint) -> bool {
        let host = match (&self.hosts, &target.host) {
            (ExceptHosts::All, _) => true,
            (ExceptHosts::Domain(domain), Host::Name(name)) => name
                .strip_suffix(&**domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            (ExceptHosts::Network(network), Host::Address(address)) => {
                network.contains(&address.to_canonical())
            }
            _ => false,
        };
        host && self.port.is_none_or(|port| port == target.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(except: &[&str]) -> Proxy {
        Proxy {
            scheme: ProxyScheme::Http,
            endpoint: Endpoint::parse("proxy.corp.local:3128").unwrap(),
            credentials: None,
            except: except
                .iter()
                .map(|e| ProxyException::parse(e).unwrap())
                .collect(),
            named_by: "HTTPS_PROXY".into(),
        }
    }

    #[test]
    fn exceptions_mean_what_no_proxy_means_elsewhere() {
        let cases = [
            ("*", "gw.example.com:443", true),
            ("example.com", "example.com:443", true),
            ("example.com", "gw.example.com:443", true),
            ("example.com", "gwexample.com:443", false),
            (".example.com", "gw.example.com:443", true),
            (".example.com", "example.com:443", true),
            ("*.example.com", "a.b.example.com:443", true),
            ("EXAMPLE.com.", "gw.example.com:443", true),
            ("example.com:8443", "gw.example.com:8443", true),
            ("example.com:8443", "gw.example.com:443", false),
            ("10.0.0.0/8", "10.1.2.3:443", true),
            ("10.0.0.0/8", "11.1.2.3:443", false),
            ("10.0.0.0/8", "ten.example.com:443", false),
            ("10.1.2.3", "10.1.2.3:443", true),
            ("10.1.2.3:80", "10.1.2.3:443", false),
            ("10.1.2.3:443", "10.1.2.3:443", true),
            ("fd00::/8", "[fd00::1]:443", true),
            ("[fd00::1]", "[fd00::1]:443", true),
            ("fd00::1", "[fd00::2]:443", false),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]:443", true),
        ];
        for (except, target, expected) in cases {
            let target = Endpoint::parse(target).unwrap();
            assert_eq!(
                !proxy(&[except]).serves(&target),
                expected,
                "{except} {target}"
            );
        }
        assert_eq!(cases.len(), 20);
    }

    #[test]
    fn an_entry_without_sense_is_refused() {
        for text in ["", "a b", "10.0.0.0/99", "http://x", "x:0", "x:y", "1.2.3"] {
            assert!(ProxyException::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn this_machine_is_reached_without_a_proxy() {
        for (target, expected) in [
            ("localhost:443", false),
            ("gw.localhost:443", false),
            ("localhost.example.com:443", true),
            ("127.0.0.1:443", true),
        ] {
            let target = Endpoint::parse(target).unwrap();
            assert_eq!(proxy(&[]).serves(&target), expected, "{target}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let mut proxy = proxy(&[]);
        proxy.credentials = Some(ProxyCredentials {
            username: "svc".into(),
            password: "hunter2".into(),
        });
        assert!(!format!("{proxy:?} {proxy}").contains("hunter2"));
    }
}
