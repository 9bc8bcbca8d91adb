//! Visitors that stay with one connector and one internal URL: by a cookie, or by their address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::header::{self, HeaderMap, HeaderValue};

use crate::certs::sha256;
use crate::model::{ApplicationName, ConnectorId, ExternalUrl, InternalUrl, Scheme};

/// What stands for one connector and one internal URL where visitors see it. The same at every
/// gateway, and after a restart.
///
/// SECURITY: a digest over the connector's identifier, which has 96 random bits and is shown to no
/// visitor. Without it nobody tells from a mark which of two names it was made of, or makes one. A
/// mark that was stolen or made up is a wish among what policy allows anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u64);

/// Whom a request should go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Anybody.
    Anybody,
    /// Whoever has this mark.
    Mark(Mark),
    /// Whoever stands first for this client.
    Address(Client),
}

/// One client as far as addresses tell: an IPv4 address, or the /64 of an IPv6 one, in which a
/// single machine has as many addresses as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Client(u128);

impl Mark {
    /// The mark of one connector's way to one internal URL.
    pub(super) fn of(
        connector: &ConnectorId,
        application: &ApplicationName,
        url: &InternalUrl,
    ) -> Self {
        Self(digest(&format!("{connector} {application} {url}")))
    }

    /// Where it stands in the order of one client; the highest is the first. Each client has an
    /// order of its own (rendezvous hashing), so what one that goes leaves behind is spread over
    /// all the others, and nobody else moves.
    pub(super) fn rank(self, client: Client) -> u64 {
        mix(self.0 ^ client.hash())
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Client {
    /// The client at an address.
    pub(super) fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
        })
    }

    /// A number that is different for different clients.
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    pub(super) fn hash(self) -> u64 {
        mix(mix((self.0 >> 64) as u64) ^ self.0 as u64)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.0);
        match address.to_ipv4_mapped() {
            Some(v4) => v4.fmt(f),
            None => write!(f, "{address}/64"),
        }
    }
}

/// The cookie of one application.
#[derive(Debug)]
pub(super) struct Cookie {
    name: String,
    attributes: &'static str,
}

impl Cookie {
    /// The cookie of the application at this external URL. `__Host-` wants the path `/`, so the
    /// name tells applications of one host apart, by what every visitor knows.
    pub(super) fn of(external: &ExternalUrl) -> Self {
        let tag = digest(&external.to_string()) >> 32;
        match external.scheme {
            Scheme::Https => Self {
                name: format!("__Host-appproxy-to-{tag:08x}"),
                attributes: "; Path=/; Secure; HttpOnly; SameSite=Lax",
            },
            Scheme::Http => Self {
                name: format!("appproxy-to-{tag:08x}"),
                attributes: "; Path=/; HttpOnly; SameSite=Lax",
            },
        }
    }

    /// The mark that a visitor brings; of several the first.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<Mark> {
        let fields = headers.get_all(header::COOKIE).iter();
        let mut pairs = fields.flat_map(|field| field.as_bytes().split(|&b| b == b';'));
        let value = pairs.find_map(|pair| {
            let pair = pair.trim_ascii();
            pair.strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")
        })?;
        let hexadecimal = value.len() == 16 && value.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(value).ok().filter(|_| hexadecimal)?;
        u64::from_str_radix(text, 16).ok().map(Mark)
    }

    /// Has a visitor bring this mark from now on, for as long as the browser is open.
    pub(super) fn set(&self, headers: &mut HeaderMap, mark: Mark) {
        let Self { name, attributes } = self;
        // Letters, digits and what attributes are made of.
        if let Ok(mut value) = HeaderValue::try_from(format!("{name}={mark}{attributes}")) {
            value.set_sensitive(true);
            headers.append(header::SET_COOKIE, value);
        }
    }
}

fn digest(text: &str) -> u64 {
    let octets = sha256(format!("appproxy affinity {text}").as_bytes());
    octets
        .iter()
        .take(8)
        .fold(0, |sum, &octet| sum << 8 | u64::from(octet))
}

/// Spreads what differs in a few bits over all of them (SplitMix64).
pub(super) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(count: u8) -> Vec<Mark> {
        let application = ApplicationName::new("wiki").unwrap();
        let url = InternalUrl::parse("http://wiki.corp.local/").unwrap();
        let connector = |n| ConnectorId::from_random([n; 12]);
        (0..count)
            .map(|n| Mark::of(&connector(n), &application, &url))
            .collect()
    }

    fn first(marks: &[Mark], client: Client) -> Mark {
        let best = marks.iter().max_by_key(|mark| mark.rank(client));
        *best.unwrap()
    }

    fn client(n: u32) -> Client {
        Client::at(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn clients_are_spread_evenly_and_move_only_where_they_must() {
        const CLIENTS: u32 = 4000;
        let five = marks(5);
        let four = &five[..4];
        let mut counts = [0_u32; 5];
        let mut moved = 0;
        for n in 0..CLIENTS {
            let with = first(&five, client(n));
            let without = first(four, client(n));
            counts[five.iter().position(|mark| *mark == with).unwrap()] += 1;
            if with == five[4] {
                moved += 1;
            } else {
                assert_eq!(with, without, "only those of the one that went move");
            }
        }
        assert_eq!(moved, counts[4]);
        assert!(
            counts.iter().all(|count| (700..900).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_client_is_an_address_or_a_subnet() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:0:0:2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("192.0.2.1"), at("::ffff:192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        assert_eq!(at("2001:db8::1").to_string(), "2001:db8::/64");
        assert_eq!(at("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }

    fn cookie(external: &str) -> Cookie {
        Cookie::of(&ExternalUrl::parse(external).unwrap())
    }

    #[test]
    fn a_cookie_is_written_and_read() {
        let mark = marks(1)[0];
        for (url, begin, end) in [
            (
                "https://wiki.example.com/a/",
                "__Host-appproxy-to-",
                "; Path=/; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                "http://wiki.example.com/a/",
                "appproxy-to-",
                "; Path=/; HttpOnly; SameSite=Lax",
            ),
        ] {
            let cookie = cookie(url);
            let mut headers = HeaderMap::new();
            cookie.set(&mut headers, mark);
            let set = headers["set-cookie"].to_str().unwrap().to_owned();
            assert!(set.starts_with(begin) && set.ends_with(end), "{set}");
            assert!(!set.contains("wiki"), "{set}");
            assert!(crate::http::is_own_cookie(set.as_bytes()), "{set}");
            let (pair, _) = set.split_once(';').unwrap();
            let mut headers = HeaderMap::new();
            headers.append("cookie", HeaderValue::from_static("a=1"));
            let field = format!("b=2;{pair}; c=3");
            headers.append("cookie", HeaderValue::try_from(field).unwrap());
            assert_eq!(cookie.read(&headers), Some(mark));
        }
    }

    #[test]
    fn what_is_no_mark_is_no_wish() {
        let cookie = cookie("https://wiki.example.com/");
        for value in [
            "",
            "1",
            "+123456789abcdef",
            "0123456789abcdefg",
            "0123456789abcdeg",
        ] {
            let mut headers = HeaderMap::new();
            let field = format!("{}={value}", cookie.name);
            headers.append("cookie", HeaderValue::try_from(field).unwrap());
            assert_eq!(cookie.read(&headers), None, "{value}");
        }
        assert_eq!(cookie.read(&HeaderMap::new()), None);
    }

    #[test]
    fn applications_of_one_host_have_cookies_of_their_own() {
        let (a, b) = (
            cookie("https://x.example.com/a/"),
            cookie("https://x.example.com/b/"),
        );
        assert_ne!(a.name, b.name);
    }
}
