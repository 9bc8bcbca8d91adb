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
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::{Allow, AllowHosts};
use crate::model::{Endpoint, Host};
use crate::net;

/// What this connector may reach; cheap to clone.
#[derive(Debug, Clone)]
pub struct AllowList {
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
pub struct Allowed {
    lines: Arc<Lines>,
    target: Endpoint,
    /// Whether a line names the target's name; otherwise only its address can count.
    by_name: bool,
}

/// Why a target or an address may not be reached, with the line that would change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
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
    /// The dialler asks about another port than the target's.
    OtherPort(u16),
}

impl AllowList {
    /// Takes the lines as configured, and the names whose addresses the operator fixed: with such
    /// a name a line names its addresses too.
    #[must_use]
    pub fn new(lines: Vec<Allow>, fixed: &BTreeMap<String, Vec<IpAddr>>) -> Self {
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
    pub fn check_target(&self, target: &Endpoint) -> Result<Allowed, Refusal> {
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

impl Allowed {
    /// Judges the address about to be dialled for this target.
    ///
    /// # Errors
    /// Where no line names the address, or the address is special and only its name is listed.
    pub fn check_address(&self, address: SocketAddr) -> Result<(), Refusal> {
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

/// `localhost` and what is below it; the resolver gives them loopback and nothing else (RFC 6761).
fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
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

/// Special IPv4 ranges, the narrower first.
const SPECIAL_V4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(169, 254, 169, 254), 32, METADATA),
    // Container and pod credentials of Amazon.
    (Ipv4Addr::new(169, 254, 170, 2), 32, METADATA),
    (Ipv4Addr::new(169, 254, 170, 23), 32, METADATA),
    // Alibaba, Azure, Oracle (classic).
    (Ipv4Addr::new(100, 100, 100, 200), 32, METADATA),
    (Ipv4Addr::new(168, 63, 129, 16), 32, METADATA),
    (Ipv4Addr::new(192, 0, 0, 192), 32, METADATA),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    // Linux dials 0.0.0.0 as the machine itself.
    (Ipv4Addr::new(0, 0, 0, 0), 8, "the unspecified address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::BROADCAST, 32, "broadcast"),
];

/// Special IPv6 ranges, the narrower first.
const SPECIAL_V6: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 128, "the unspecified address"),
    // Amazon (metadata, pod credentials), Google, Oracle, Scaleway, Linode.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32, METADATA),
    (
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        128,
        METADATA,
    ),
    (
        Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
        128,
        METADATA,
    ),
    (
        Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
        128,
        METADATA,
    ),
    (
        Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1),
        128,
        METADATA,
    ),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
    // Ways to spell IPv4 that nothing current uses (RFC 4291 2.5.5.1, RFC 2765, RFC 4380), and
    // local NAT64 (RFC 8215), where the place of the IPv4 address is not known.
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4-compatible address"),
    (
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0),
        96,
        "an IPv4-translated address",
    ),
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        32,
        "a Teredo address",
    ),
    (
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0),
        48,
        "a local NAT64 address",
    ),
];

const METADATA: &str = "a cloud's metadata service";

/// 6to4 (RFC 3056) carries an IPv4 address behind 16 bits, NAT64 (RFC 6052) behind 96: special
/// where the address inside is.
const CARRIERS: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
];

/// What is special about an address, and the range that shares it; a network line that lies
/// within that range names it.
fn special(ip: IpAddr) -> Option<(&'static str, IpNet)> {
    match ip {
        IpAddr::V4(v4) => {
            let (what, range) = special_v4(v4)?;
            Some((what, range.into()))
        }
        IpAddr::V6(v6) => {
            let plain = SPECIAL_V6.iter().find_map(|&(start, length, what)| {
                let range = Ipv6Net::new(start, length).ok()?;
                range.contains(&v6).then_some((what, range))
            });
            let carried = || {
                CARRIERS.iter().find_map(|&(start, length)| {
                    let carrier = Ipv6Net::new(start, length).ok()?;
                    if !carrier.contains(&v6) {
                        return None;
                    }
                    let shift = 96 - u32::from(length);
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "the 32 bits are what is meant"
                    )]
                    let inner = (v6.to_bits() >> shift) as u32;
                    let (what, inner) = special_v4(Ipv4Addr::from_bits(inner))?;
                    let bits = start.to_bits() | (u128::from(inner.addr().to_bits()) << shift);
                    let range =
                        Ipv6Net::new(Ipv6Addr::from_bits(bits), length + inner.prefix_len());
                    Some((what, range.ok()?))
                })
            };
            let (what, range) = plain.or_else(carried)?;
            Some((what, range.into()))
        }
    }
}

fn special_v4(ip: Ipv4Addr) -> Option<(&'static str, Ipv4Net)> {
    SPECIAL_V4.iter().find_map(|&(start, length, what)| {
        let range = Ipv4Net::new(start, length).ok()?;
        range.contains(&ip).then_some((what, range))
    })
}
