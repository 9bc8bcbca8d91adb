//! The gateways that are kept, and on whose word each is: the operator's, by the token, or that of
//! another gateway.
//!
//! SECURITY: a gateway that is taken over could otherwise have a connector knock at any door of the
//! private network. What only a gateway named is never dialled at an address that is special: the
//! connector's own machine and its link trust whoever stands on them, and a cloud's metadata service
//! hands out keys. Private addresses (10.0.0.0/8 and the like) stay allowed, since gateways stand in
//! such networks too, behind a load balancer or a VPN, and nothing tells them from others. What is
//! left of the attack is little: one TLS handshake, whose outcome nobody out there learns, at no more
//! addresses than the list of [`super::known::Known`] has places, now and then.
//!
//! Through a proxy that resolves names the address is not seen here: what the proxy dials is for its
//! own rules to say, and it stands on another machine than this one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::special::special;
use crate::model::{Endpoint, Host};
use crate::net::{Dialled, Refused};

/// Names whose addresses the operator fixed.
pub(super) type FixedHosts = BTreeMap<String, Vec<IpAddr>>;

/// A gateway that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptGateway {
    /// Where it is dialled.
    pub endpoint: Endpoint,
    /// The gateway that named it first; `None` where the token did.
    pub named_by: Option<Endpoint>,
}

impl KeptGateway {
    /// Whether it may be dialled there; `fixed` are the names whose addresses the operator fixed,
    /// which is his word for them.
    ///
    /// # Errors
    /// Where only a gateway named it, and the address is special.
    pub fn check(&self, fixed: &FixedHosts, dialled: Dialled<'_>) -> Result<(), Refused> {
        let Some(by) = &self.named_by else {
            return Ok(());
        };
        let Self { endpoint, .. } = self;
        let (at, what) = match dialled {
            Dialled::Address(address) => {
                // The kernel dials ::ffff:a.b.c.d as a.b.c.d: it is the same address.
                let ip = address.ip().to_canonical();
                let is_fixed = endpoint.host.name().is_some_and(|name| {
                    let addresses = fixed.get(name).into_iter().flatten();
                    addresses.map(IpAddr::to_canonical).any(|fixed| fixed == ip)
                });
                match special(ip) {
                    Some((what, _)) if !is_fixed => (Some(ip), what),
                    _ => return Ok(()),
                }
            }
            // RFC 6761: the proxy may take it for its own machine, and for nothing else.
            Dialled::Name(named) if named.host.name().is_some_and(is_localhost) => {
                (None, "loopback")
            }
            Dialled::Name(_) => return Ok(()),
        };
        let at = match at {
            Some(ip) if endpoint.host != Host::Address(ip) => format!("at {ip}, which is {what}"),
            _ => what.to_owned(),
        };
        Err(Refused(format!(
            "{endpoint} is {at}, and only the gateway {by} named it; if that is right, add to connector.yaml: gateways: [\"{endpoint}\"]"
        )))
    }
}

/// `localhost` and what is below it; the resolver gives them loopback and nothing else (RFC 6761).
pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// One entry of the file: `"host:port"` where the token named it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Token(String),
    Gateway { gateway: String, named_by: String },
}

/// Reads the file's text; `None` where it is no such list.
pub(super) fn read(text: &[u8]) -> Option<Vec<KeptGateway>> {
    let lines: Vec<Line> = serde_json::from_slice(text).ok()?;
    let read = |line: &Line| {
        let (gateway, named_by) = match line {
            Line::Token(gateway) => (gateway, None),
            Line::Gateway { gateway, named_by } => (gateway, Some(Endpoint::parse(named_by).ok()?)),
        };
        Some(KeptGateway {
            endpoint: Endpoint::parse(gateway).ok()?,
            named_by,
        })
    };
    lines.iter().map(read).collect()
}

/// The text of the file.
pub(super) fn text(kept: &[KeptGateway]) -> String {
    let line = |kept: &KeptGateway| match &kept.named_by {
        None => Line::Token(kept.endpoint.to_string()),
        Some(by) => Line::Gateway {
            gateway: kept.endpoint.to_string(),
            named_by: by.to_string(),
        },
    };
    let lines: Vec<Line> = kept.iter().map(line).collect();
    serde_json::json!(lines).to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn kept(gateway: &str, by: Option<&str>) -> KeptGateway {
        KeptGateway {
            endpoint: Endpoint::parse(gateway).unwrap(),
            named_by: by.map(|by| Endpoint::parse(by).unwrap()),
        }
    }

    /// A gateway, where it would be dialled, and whether it is where only a gateway named it.
    #[rustfmt::skip]
    const TABLE: &[(&str, &str, bool)] = &[
        ("gw.test:443", "192.0.2.1", true),
        ("gw.test:443", "10.1.2.3", true),
        ("gw.test:443", "192.168.1.1", true),
        ("gw.test:443", "fd00::1", true),
        ("10.1.2.3:443", "10.1.2.3", true),
        ("gw.test:443", "127.0.0.1", false),
        ("gw.test:443", "::ffff:127.0.0.1", false),
        ("localhost:443", "::1", false),
        ("127.0.0.1:22", "127.0.0.1", false),
        ("[::ffff:127.0.0.1]:22", "::ffff:127.0.0.1", false),
        ("0.0.0.0:22", "0.0.0.0", false),
        ("[::]:22", "::", false),
        ("169.254.169.254:80", "169.254.169.254", false),
        ("gw.test:80", "169.254.1.1", false),
        ("gw.test:80", "fe80::1", false),
        ("gw.test:80", "64:ff9b::a9fe:a9fe", false),
        ("gw.test:80", "2002:7f00:1::", false),
        ("224.0.0.1:80", "224.0.0.1", false),
        ("gw.test:80", "255.255.255.255", false),
        // The operator fixed one of its addresses, and not the other.
        ("fixed.test:443", "127.0.0.1", true),
        ("fixed.test:443", "127.0.0.2", false),
    ];

    #[test]
    fn what_only_a_gateway_named_is_not_dialled_at_special_addresses() {
        let fixed = BTreeMap::from([(
            "fixed.test".to_owned(),
            vec!["::ffff:127.0.0.1".parse().unwrap()],
        )]);
        assert_eq!(TABLE.len(), 21);
        for &(gateway, ip, allowed) in TABLE {
            let named = kept(gateway, Some("gw1.test:443"));
            let address = SocketAddr::new(ip.parse().unwrap(), named.endpoint.port);
            let checked = named.check(&fixed, Dialled::Address(address));
            assert_eq!(checked.is_ok(), allowed, "{gateway} at {ip}: {checked:?}");
            if let Err(refused) = checked {
                for part in [
                    named.endpoint.to_string(),
                    "gw1.test:443".to_owned(),
                    format!("gateways: [\"{}\"]", named.endpoint),
                ] {
                    assert!(refused.0.contains(&part), "{refused}");
                }
            }
            // The token's word is the operator's.
            let token = kept(gateway, None).check(&fixed, Dialled::Address(address));
            assert_eq!(token, Ok(()), "{gateway} at {ip}");
        }
    }

    #[test]
    fn a_name_that_a_proxy_resolves_is_refused_only_where_it_is_this_very_machines() {
        let none = BTreeMap::new();
        for (gateway, allowed) in [
            ("gw.test:443", true),
            ("localhost:22", false),
            ("a.localhost:22", false),
            ("notlocalhost:22", true),
        ] {
            let named = kept(gateway, Some("gw1.test:443"));
            let checked = named.check(&none, Dialled::Name(&named.endpoint));
            assert_eq!(checked.is_ok(), allowed, "{gateway}: {checked:?}");
        }
    }

    #[test]
    fn the_file_says_on_whose_word_each_gateway_is_kept() {
        let both = [
            kept("gw1.test:443", None),
            kept("[2001:db8::1]:443", Some("gw1.test:443")),
        ];
        let written = text(&both);
        assert_eq!(
            written,
            "[\"gw1.test:443\",{\"gateway\":\"[2001:db8::1]:443\",\"named_by\":\"gw1.test:443\"}]\n"
        );
        assert_eq!(read(written.as_bytes()).unwrap(), both);
        for damaged in [
            "",
            "{}",
            "[1]",
            "[\"no port\"]",
            "[{\"gateway\":\"gw1.test:443\"}]",
            "[{\"gateway\":\"gw1.test:443\",\"named_by\":\"\"}]",
        ] {
            assert_eq!(read(damaged.as_bytes()), None, "{damaged}");
        }
    }
}
