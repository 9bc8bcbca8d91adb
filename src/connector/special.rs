//! Addresses that a name or a wide network never opens: this machine, its link, a cloud's metadata,
//! and what spells one of these in IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

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
pub(super) fn special(ip: IpAddr) -> Option<(&'static str, IpNet)> {
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
