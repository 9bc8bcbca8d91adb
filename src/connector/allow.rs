//! The connector's allow-list: what it may reach is its own operator's word, never the gateway's.
//!
//! It is asked twice. [`AllowList::check_target`] judges name and port before any look-up;
//! [`Allowed::check_address`] judges the very address that is dialled, since whoever answers for a
//! name may answer with anything.
//!
//! Some addresses are special: the connector's own machine, its link, a cloud's metadata service,
//! and whatever spells one of these in IPv6. A name or a wide network never opens them; only a
//! line that names them does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use super::named::is_localhost;
use super::special::special;
use crate::config::{Allow, AllowHosts};
use crate::model::{Endpoint, Host};
use crate::net::{self, Dialled};

/// What this connector may reach; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct AllowList {
    lines: Arc<Lines>,
}

/// The lines in the form in which they are asked, and the fixed hosts.
#[derive(Debug)]
struct Lines {
    names: BTreeSet<(Arc<str>, u16)>,
    /// Suffixes without their leading dot.
    below: Vec<(Arc<str>, u16)>,
    /// Single addresses stand here as networks of one.
    networks: Vec<(IpNet, u16)>,
    fixed: BTreeMap<String, Vec<IpAddr>>,
}

/// A target the list does not exclude: the proof that a dial may begin.
#[derive(Debug, Clone)]
pub(super) struct Allowed {
    lines: Arc<Lines>,
    target: Endpoint,
    /// Whether a line names the target's name; otherwise only its address can count.
    by_name: bool,
}

/// Why a target or an address may not be reached, with the line that would change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    target: Endpoint,
    reason: Reason,
    /// What to add to `allow:`.
    line: Endpoint,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    /// No line names it.
    NotListed,
    /// It resolved to an address that no line names.
    NotListedAs(IpAddr),
    /// It is, or resolved to, an address that needs a line of its own.
    Special(IpAddr, &'static str),
    /// A proxy would resolve it, and no line names it.
    ResolvedElsewhere,
    /// The dialler asks about another port than the target's.
    OtherPort(u16),
}

impl AllowList {
    /// Takes the lines as configured, and the names whose addresses the operator fixed: with such
    /// a name a line names its addresses too.
    #[must_use]
    pub(super) fn new(lines: Vec<Allow>, fixed: &BTreeMap<String, Vec<IpAddr>>) -> Self {
        let mut names = BTreeSet::new();
        let mut below = Vec::new();
        let mut networks = Vec::new();
        for Allow { hosts, port } in lines {
            match hosts {
                AllowHosts::Exact(Host::Name(name)) => {
                    names.insert((name, port));
                }
                AllowHosts::Exact(Host::Address(address)) => {
                    networks.push((IpNet::from(address.to_canonical()), port));
                }
                AllowHosts::Below(suffix) => below.push((suffix, port)),
                AllowHosts::Network(network) => networks.push((canonical(network), port)),
            }
        }
        let fixed = fixed.iter().map(|(name, addresses)| {
            let addresses = addresses.iter().map(IpAddr::to_canonical);
            (name.clone(), addresses.collect())
        });
        Self {
            lines: Arc::new(Lines {
                names,
                below,
                networks,
                fixed: fixed.collect(),
            }),
        }
    }

    /// Judges a target by its name or address and its port, before anything is looked up.
    ///
    /// # Errors
    /// Where no line can ever permit it.
    pub(super) fn check_target(&self, target: &Endpoint) -> Result<Allowed, Refusal> {
        let allowed = |by_name| Allowed {
            lines: Arc::clone(&self.lines),
            target: target.clone(),
            by_name,
        };
        match &target.host {
            Host::Address(address) => {
                let allowed = allowed(false);
                allowed.check_address(SocketAddr::new(*address, target.port))?;
                Ok(allowed)
            }
            Host::Name(name) if self.lines.name_listed(name, target.port) => Ok(allowed(true)),
            // Its address may lie in a network of the list.
            Host::Name(_) if self.lines.networks.iter().any(|&(_, p)| p == target.port) => {
                Ok(allowed(false))
            }
            Host::Name(_) => Err(Refusal {
                target: target.clone(),
                reason: Reason::NotListed,
                line: target.clone(),
            }),
        }
    }
}

impl AllowList {
    /// Whether what goes on to a target since the list `before` may go on under this one. The address
    /// is not known any more: where it was let in by its name it has to be named here too, and no
    /// line and no fixed address that could have let it in may be gone.
    pub(super) fn keeps(&self, before: &Self, target: &Endpoint) -> bool {
        let (now, before) = (&self.lines, &before.lines);
        let Host::Name(name) = &target.host else {
            return self.check_target(target).is_ok();
        };
        let named = now.name_listed(name, target.port) || !before.name_listed(name, target.port);
        let mut networks = before.networks.iter().filter(|(_, p)| *p == target.port);
        named
            && networks.all(|line| now.networks.contains(line))
            && now.fixed.get(&**name) == before.fixed.get(&**name)
    }
}

impl Allowed {
    /// Judges what is about to be dialled for this target.
    ///
    /// # Errors
    /// As [`Allowed::check_address`] does; and where a proxy would resolve a name that no line
    /// names: a network in the list says nothing about a name whose address is not seen here.
    pub(super) fn check(&self, dialled: Dialled<'_>) -> Result<(), Refusal> {
        match dialled {
            Dialled::Address(address) => self.check_address(address),
            Dialled::Name(target) if self.by_name && *target == self.target => Ok(()),
            Dialled::Name(_) => Err(Refusal {
                target: self.target.clone(),
                reason: Reason::ResolvedElsewhere,
                line: self.target.clone(),
            }),
        }
    }

    /// Judges the address about to be dialled for this target.
    ///
    /// # Errors
    /// Where no line names the address, or the address is special and only its name is listed.
    pub(super) fn check_address(&self, address: SocketAddr) -> Result<(), Refusal> {
        let refuse = |reason, line| {
            Err(Refusal {
                target: self.target.clone(),
                reason,
                line,
            })
        };
        if address.port() != self.target.port {
            return refuse(Reason::OtherPort(address.port()), self.target.clone());
        }
        // The kernel dials ::ffff:a.b.c.d as a.b.c.d: it is the same address.
        let ip = address.ip().to_canonical();
        let special = special(ip);
        let own_line = Endpoint {
            host: Host::Address(ip),
            port: self.target.port,
        };
        let listed = |network: &IpNet| match special {
            // SECURITY: 0.0.0.0/0 is meant for applications, not for the connector's own machine
            // or the cloud's keys; such a line names a special address only if it holds nothing else.
            Some((_, range)) => network.contains(&ip) && range.contains(network),
            None => network.contains(&ip),
        };
        let networks = self.lines.networks.iter();
        if networks
            .clone()
            .any(|(n, port)| *port == self.target.port && listed(n))
        {
            return Ok(());
        }
        let Host::Name(name) = &self.target.host else {
            return match special {
                Some((what, _)) => refuse(Reason::Special(ip, what), own_line),
                None => refuse(Reason::NotListed, own_line),
            };
        };
        let operators_word = self.lines.fixes(name, ip) || (is_localhost(name) && is_loopback(ip));
        match special {
            None if self.by_name => Ok(()),
            Some(_) if self.by_name && operators_word => Ok(()),
            Some((what, _)) if !operators_word => refuse(Reason::Special(ip, what), own_line),
            _ => refuse(Reason::NotListedAs(ip), self.target.clone()),
        }
    }
}

impl Lines {
    fn name_listed(&self, name: &Arc<str>, port: u16) -> bool {
        self.names.contains(&(Arc::clone(name), port))
            || self.below.iter().any(|(suffix, p)| {
                let label = name
                    .strip_suffix(&**suffix)
                    .and_then(|n| n.strip_suffix('.'));
                *p == port && label.is_some_and(|label| !label.is_empty())
            })
    }

    fn fixes(&self, name: &str, ip: IpAddr) -> bool {
        self.fixed.get(name).is_some_and(|all| all.contains(&ip))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            reason,
            line,
        } = self;
        match reason {
            Reason::NotListed => write!(f, "this connector's allow-list does not name {target}")?,
            Reason::NotListedAs(ip) => write!(
                f,
                "this connector's allow-list names neither {target} nor its address {ip}"
            )?,
            Reason::Special(ip, what) if target.host == Host::Address(*ip) => write!(
                f,
                "{target} is {what}, which this connector reaches only by a line of its own"
            )?,
            Reason::Special(ip, what) => write!(
                f,
                "{target} is at {ip}, which is {what} and which this connector reaches only by a line of its own"
            )?,
            Reason::ResolvedElsewhere => write!(
                f,
                "this connector's allow-list does not name {target}, whose address only the proxy learns"
            )?,
            Reason::OtherPort(port) => {
                return write!(f, "{target} was allowed, not port {port}");
            }
        }
        write!(
            f,
            "; to permit it, add to connector.yaml: allow: [\"{line}\"]"
        )
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for net::Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.to_string())
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}

/// Networks of IPv4-mapped addresses are IPv4 networks.
fn canonical(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && v6.prefix_len() >= 96
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Ok(v4) = Ipv4Net::new(v4, v6.prefix_len() - 96)
    {
        return v4.trunc().into();
    }
    network.trunc()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::net::testing::{DnsServer, Reply};
    use crate::net::{DialError, Dialler};

    /// `name:port`, `*.suffix:port`, `address:port` or `network/length:port`, as configured.
    fn line(text: &str) -> Allow {
        let (hosts, port) = text.rsplit_once(':').unwrap();
        let hosts = if let Some(suffix) = hosts.strip_prefix("*.") {
            AllowHosts::Below(suffix.into())
        } else if hosts.contains('/') {
            AllowHosts::Network(hosts.parse().unwrap())
        } else {
            AllowHosts::Exact(Host::parse(hosts).unwrap())
        };
        let port = port.parse().unwrap();
        Allow { hosts, port }
    }

    fn list(lines: &str) -> AllowList {
        let fixed = BTreeMap::from([
            (
                "local.corp.test".to_owned(),
                vec!["127.0.0.1".parse().unwrap()],
            ),
            (
                "keys.corp.test".to_owned(),
                vec!["::ffff:169.254.169.254".parse().unwrap()],
            ),
        ]);
        AllowList::new(lines.split_whitespace().map(line).collect(), &fixed)
    }

    /// Judges a target that resolves to `dialled`.
    fn judge(lines: &str, target: &str, dialled: &str) -> Result<(), Refusal> {
        let target = Endpoint::parse(target).unwrap();
        let dialled = SocketAddr::new(dialled.parse().unwrap(), target.port);
        list(lines).check_target(&target)?.check_address(dialled)
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Verdict {
        Reached,
        Refused,
    }
    use Verdict::{Reached, Refused};

    /// Lines, a target, what it resolves to.
    #[rustfmt::skip]
    const TABLE: &[(&str, &str, &str, Verdict)] = &[
        // An empty list, and lines for something else.
        ("", "wiki.corp.test:80", "10.0.0.1", Refused),
        ("", "10.0.0.1:80", "10.0.0.1", Refused),
        ("", "localhost:80", "127.0.0.1", Refused),
        ("other.corp.test:80", "wiki.corp.test:80", "10.0.0.1", Refused),
        // Names: whole, in normal form, with their port.
        ("wiki.corp.test:80", "wiki.corp.test:80", "10.0.0.1", Reached),
        ("wiki.corp.test:80", "WIKI.Corp.Test.:80", "10.0.0.1", Reached),
        ("Wiki.corp.test.:80", "wiki.corp.test:80", "fd00::1", Reached),
        ("b\u{fc}cher.test:80", "xn--bcher-kva.test:80", "10.0.0.1", Reached),
        ("wiki.corp.test:80", "wiki.corp.test:8080", "10.0.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:443", "10.0.0.1", Refused),
        ("wiki.corp.test:80", "xwiki.corp.test:80", "10.0.0.1", Refused),
        ("wiki.corp.test:80", "a.wiki.corp.test:80", "10.0.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test.evil.test:80", "10.0.0.1", Refused),
        ("wiki.corp.test:80", "corp.test:80", "10.0.0.1", Refused),
        ("wiki.corp.test:80", "10.0.0.1:80", "10.0.0.1", Refused),
        // Wildcards: below, never the suffix itself, on label boundaries.
        ("*.corp.test:443", "wiki.corp.test:443", "10.0.0.1", Reached),
        ("*.corp.test:443", "a.b.corp.test:443", "10.0.0.1", Reached),
        ("*.corp.test:443", "corp.test:443", "10.0.0.1", Refused),
        ("*.corp.test:443", "evilcorp.test:443", "10.0.0.1", Refused),
        ("*.corp.test:443", "corp.test.evil.test:443", "10.0.0.1", Refused),
        ("*.corp.test:443", "wiki.corp.test:80", "10.0.0.1", Refused),
        ("*.corp.test:443", "10.0.0.1:443", "10.0.0.1", Refused),
        // Addresses and networks.
        ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.1", Reached),
        ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.2", Refused),
        ("10.0.0.1:80", "10.0.0.1:81", "10.0.0.1", Refused),
        ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.2", Refused),
        ("10.0.0.1:80", "[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", Reached),
        ("[::ffff:10.0.0.1]:80", "10.0.0.1:80", "10.0.0.1", Reached),
        ("[fd00::1]:80", "[fd00:0:0::1]:80", "fd00::1", Reached),
        ("[fd00::1]:80", "[fd00::2]:80", "fd00::2", Refused),
        ("10.1.0.0/16:80", "10.1.255.255:80", "10.1.255.255", Reached),
        ("10.1.0.7/16:80", "10.1.255.255:80", "10.1.255.255", Reached),
        ("10.1.0.0/16:80", "10.2.0.0:80", "10.2.0.0", Refused),
        ("10.1.0.0/16:80", "10.1.0.1:8080", "10.1.0.1", Refused),
        ("::ffff:10.1.0.0/112:80", "10.1.2.3:80", "10.1.2.3", Reached),
        ("10.1.0.0/16:80", "[::ffff:10.1.2.3]:80", "::ffff:10.1.2.3", Reached),
        ("fd00::/8:80", "[fd12::1]:80", "fd12::1", Reached),
        ("fd00::/8:80", "10.0.0.1:80", "10.0.0.1", Refused),
        // A name whose address lies in a network, and one whose address does not.
        ("10.1.0.0/16:80", "any.test:80", "10.1.0.1", Reached),
        ("10.1.0.0/16:80", "any.test:80", "10.2.0.1", Refused),
        ("10.1.0.0/16:80", "any.test:81", "10.1.0.1", Refused),
        // Special addresses behind a name, a wildcard or a wide network.
        ("wiki.corp.test:80", "wiki.corp.test:80", "127.0.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "127.1.2.3", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "::1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "::ffff:127.0.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "::127.0.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "::ffff:0:127.0.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "2002:7f00:1::", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "2002:a9fe:a9fe::1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "64:ff9b::127.0.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "64:ff9b::169.254.169.254", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "64:ff9b:1::10.0.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "2001:0:7f00:1::80ff:fffe", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "0.0.0.0", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "0.1.2.3", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "::", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "169.254.169.254", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "169.254.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "100.100.100.200", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "168.63.129.16", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "fd00:ec2::254", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "fd20:ce::254", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "fe80::1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "224.0.0.1", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "239.255.255.255", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "255.255.255.255", Refused),
        ("wiki.corp.test:80", "wiki.corp.test:80", "ff02::1", Refused),
        ("*.corp.test:80", "wiki.corp.test:80", "127.0.0.1", Refused),
        ("0.0.0.0/0:80", "127.0.0.1:80", "127.0.0.1", Refused),
        ("0.0.0.0/0:80", "169.254.169.254:80", "169.254.169.254", Refused),
        ("0.0.0.0/0:80", "any.test:80", "127.0.0.1", Refused),
        ("::/0:80", "[::1]:80", "::1", Refused),
        ("::/0:80", "[fe80::1]:80", "fe80::1", Refused),
        ("::/0:80", "127.0.0.1:80", "127.0.0.1", Refused),
        ("126.0.0.0/7:80", "127.0.0.1:80", "127.0.0.1", Refused),
        ("169.254.0.0/16:80", "169.254.169.254:80", "169.254.169.254", Refused),
        ("2002::/16:80", "[2002:7f00:1::]:80", "2002:7f00:1::", Refused),
        ("64:ff9b::/96:80", "[64:ff9b::7f00:1]:80", "64:ff9b::7f00:1", Refused),
        // The same carriers with an ordinary address inside are ordinary.
        ("wiki.corp.test:80", "wiki.corp.test:80", "64:ff9b::203.0.113.1", Reached),
        ("wiki.corp.test:80", "wiki.corp.test:80", "2002:cb00:7101::1", Reached),
        ("0.0.0.0/0:80", "203.0.113.1:80", "203.0.113.1", Reached),
        ("::/0:80", "[2001:db8::1]:80", "2001:db8::1", Reached),
        // Lines that name special addresses.
        ("127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", Reached),
        ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", "::ffff:7f00:1", Reached),
        ("127.0.0.1:80", "127.0.0.2:80", "127.0.0.2", Refused),
        ("127.0.0.1:80", "[::127.0.0.1]:80", "::127.0.0.1", Refused),
        ("127.0.0.1:80", "[64:ff9b::127.0.0.1]:80", "64:ff9b::127.0.0.1", Refused),
        ("127.0.0.0/8:80", "127.0.0.2:80", "127.0.0.2", Reached),
        ("127.0.0.0/8:80", "any.test:80", "127.0.0.2", Reached),
        ("169.254.169.254:80", "169.254.169.254:80", "169.254.169.254", Reached),
        ("169.254.0.0/16:80", "169.254.1.1:80", "169.254.1.1", Reached),
        ("fe80::/10:80", "[fe80::1]:80", "fe80::1", Reached),
        ("[::1]:80", "[::1]:80", "::1", Reached),
        ("[64:ff9b::7f00:1]:80", "[64:ff9b::127.0.0.1]:80", "64:ff9b::127.0.0.1", Reached),
        ("64:ff9b::7f00:0/104:80", "[64:ff9b::127.0.0.1]:80", "64:ff9b::127.0.0.1", Reached),
        ("64:ff9b:1::/48:80", "wiki.corp.test:80", "64:ff9b:1::10.0.0.1", Reached),
        // localhost named in the list is loopback and nothing else.
        ("localhost:80", "localhost:80", "127.0.0.1", Reached),
        ("localhost:80", "LOCALHOST.:80", "::1", Reached),
        ("app.localhost:80", "app.localhost:80", "127.0.0.1", Reached),
        ("*.localhost:80", "app.localhost:80", "::1", Reached),
        ("localhost:80", "app.localhost:80", "127.0.0.1", Refused),
        ("localhost:80", "localhost:80", "169.254.169.254", Refused),
        ("10.0.0.1:80", "localhost:80", "127.0.0.1", Refused),
        ("notlocalhost:80", "notlocalhost:80", "127.0.0.1", Refused),
        // A fixed host: the operator wrote the address, and that one only.
        ("local.corp.test:80", "local.corp.test:80", "127.0.0.1", Reached),
        ("*.corp.test:80", "local.corp.test:80", "127.0.0.1", Reached),
        ("*.corp.test:80", "keys.corp.test:80", "169.254.169.254", Reached),
        ("local.corp.test:80", "local.corp.test:80", "127.0.0.2", Refused),
        ("other.corp.test:80", "local.corp.test:80", "127.0.0.1", Refused),
        ("10.0.0.1:80", "local.corp.test:80", "127.0.0.1", Refused),
    ];

    #[test]
    fn the_list_is_what_it_says() {
        assert_eq!(TABLE.len(), 110);
        for (lines, target, dialled, expected) in TABLE {
            let got = judge(lines, target, dialled);
            let verdict = if got.is_ok() { Reached } else { Refused };
            assert_eq!(verdict, *expected, "{lines:?} {target} {dialled}: {got:?}");
            // What a refusal says to add is enough.
            if let Err(refusal) = got
                && !matches!(refusal.reason, Reason::OtherPort(_))
            {
                let text = refusal.to_string();
                let (_, rest) = text.split_once("allow: [\"").unwrap();
                let added = format!("{lines} {}", rest.strip_suffix("\"]").unwrap());
                let again = judge(&added, target, dialled);
                // A name's line may reveal that its address needs one too.
                let added = again
                    .as_ref()
                    .err()
                    .map(|second| format!("{added} {}", second.line));
                let reached = added.is_none_or(|added| judge(&added, target, dialled).is_ok());
                // An address target that is not what gets dialled stays refused.
                let literal = matches!(refusal.target.host, Host::Address(ip)
                    if ip.to_canonical() != dialled.parse::<IpAddr>().unwrap().to_canonical());
                assert!(reached || literal, "{text}");
            }
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        let text = |lines, target, dialled| judge(lines, target, dialled).unwrap_err().to_string();
        assert_eq!(
            text("", "Wiki.corp.local:8888", "10.0.0.1"),
            "this connector's allow-list does not name wiki.corp.local:8888; to permit it, add to connector.yaml: allow: [\"wiki.corp.local:8888\"]"
        );
        assert_eq!(
            text(
                "wiki.corp.local:80",
                "wiki.corp.local:80",
                "::ffff:169.254.169.254"
            ),
            "wiki.corp.local:80 is at 169.254.169.254, which is a cloud's metadata service and which this connector reaches only by a line of its own; to permit it, add to connector.yaml: allow: [\"169.254.169.254:80\"]"
        );
        assert!(text("", "[::1]:80", "::1").ends_with("allow: [\"[::1]:80\"]"));
        let other = list("a.test:80").check_target(&Endpoint::parse("a.test:80").unwrap());
        let other = other.unwrap().check_address("10.0.0.1:81".parse().unwrap());
        assert!(matches!(other.unwrap_err().reason, Reason::OtherPort(81)));
    }

    /// The ranges, written a second time by hand, that nothing may open by accident.
    fn special_v4_bits() -> impl Strategy<Value = u32> {
        prop_oneof![
            any::<u32>().prop_map(|n| 0x7f00_0000 | (n >> 8)),
            any::<u32>().prop_map(|n| n >> 8),
            any::<u32>().prop_map(|n| 0xa9fe_0000 | (n >> 16)),
            any::<u32>().prop_map(|n| 0xe000_0000 | (n >> 4)),
            Just(0xffff_ffff),
            Just(0xa9fe_a9fe),
            Just(0x6464_64c8),
        ]
    }

    fn special_address() -> impl Strategy<Value = IpAddr> {
        let v6 = |bits: u128| IpAddr::from(Ipv6Addr::from_bits(bits));
        prop_oneof![
            special_v4_bits().prop_map(|b| Ipv4Addr::from_bits(b).into()),
            special_v4_bits().prop_map(move |b| v6(0xffff_0000_0000 | u128::from(b))),
            special_v4_bits().prop_map(move |b| v6(u128::from(b))),
            special_v4_bits().prop_map(move |b| v6(0xffff_0000_0000_0000 | u128::from(b))),
            (special_v4_bits(), any::<u128>())
                .prop_map(move |(b, n)| v6((0x2002 << 112) | (u128::from(b) << 80) | (n >> 48))),
            special_v4_bits().prop_map(move |b| v6((0x0064_ff9b << 96) | u128::from(b))),
            any::<u128>().prop_map(move |n| v6((0x2001_0000 << 96) | (n >> 32))),
            any::<u128>().prop_map(move |n| v6((0x3fa << 118) | (n >> 10))),
            any::<u128>().prop_map(move |n| v6((0xff << 120) | (n >> 8))),
            Just(v6(1)),
            Just(v6(0)),
            Just("fd00:ec2::254".parse().unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn nothing_special_is_reached_without_a_line_that_names_it(
            address in special_address(),
            wide in proptest::collection::vec(proptest::sample::select(vec![
                "0.0.0.0/0:80", "::/0:80", "0.0.0.0/1:80", "128.0.0.0/1:80", "126.0.0.0/7:80",
                "160.0.0.0/4:80", "100.64.0.0/10:80", "192.0.0.0/3:80", "2000::/3:80",
                "2002::/16:80", "64:ff9b::/96:80", "64::/16:80", "fc00::/7:80", "fd00::/8:80",
                "fc00::/6:80", "::ffff:0:0/96:80", "::/8:80", "10.0.0.0/8:80", "wiki.corp.test:80",
                "*.corp.test:80", "*.test:80", "localhost.test:80", "198.51.100.1:80",
            ]), 0..23),
        ) {
            let wide = wide.join(" ");
            let dialled = address.to_string();
            let literal = Endpoint { host: Host::Address(address), port: 80 };
            for target in [literal.to_string(), "wiki.corp.test:80".into(), "any.test:80".into()] {
                prop_assert!(judge(&wide, &target, &dialled).is_err(), "{target} {wide}");
                // The other way round: its own line opens it, whatever else is listed.
                let named = format!("{wide} {}", Endpoint { host: Host::Address(address), port: 80 });
                prop_assert_eq!(judge(&named, &target, &dialled), Ok(()));
            }
        }

        #[test]
        fn without_a_line_nothing_at_all_is_reached(bits in any::<u128>(), v4 in any::<bool>(), port in 1u16..) {
            #[expect(clippy::cast_possible_truncation, reason = "any 32 bits do")]
            let ip: IpAddr = if v4 { Ipv4Addr::from_bits(bits as u32).into() } else { Ipv6Addr::from_bits(bits).into() };
            let target = Endpoint { host: Host::Address(ip), port };
            prop_assert!(list("").check_target(&target).is_err());
        }
    }

    #[tokio::test]
    async fn a_name_that_turns_to_loopback_after_the_first_look_is_not_dialled() {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let dns = DnsServer::start(move |_, kind| {
            if kind != 1 {
                return Reply::Addresses(vec![]);
            }
            let first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            let answer = if first { "203.0.113.1" } else { "127.0.0.1" };
            Reply::Addresses(vec![answer.parse().unwrap()])
        })
        .await;
        let inside = net::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = inside.local_addr().unwrap().port();
        let target = Endpoint::parse(&format!("wiki.corp.test:{port}")).unwrap();
        let allowed = list(&target.to_string()).check_target(&target).unwrap();

        let resolver = dns.resolver();
        let first = resolver.resolve(&target.host).await.unwrap();
        assert_eq!(
            allowed.check_address(SocketAddr::new(first[0], port)),
            Ok(())
        );

        let permitted = |dialled: Dialled<'_>| allowed.check(dialled).map_err(net::Refused::from);
        let deadline = Instant::now() + Duration::from_secs(20);
        let dialled = Dialler::new(resolver)
            .connect_backend(&target, &permitted, deadline)
            .await;
        let error = dialled.unwrap_err();
        assert!(matches!(error, DialError::NotPermitted(_)), "{error:?}");
        assert!(
            error
                .to_string()
                .contains(&format!("allow: [\"127.0.0.1:{port}\"]")),
            "{error}"
        );
        let accepted = inside.accept().map(|_| ()).map_err(|error| error.kind());
        assert_eq!(accepted, Err(std::io::ErrorKind::WouldBlock));
    }
}
