//! The published hosts.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::Ipv6Addr;

/// Finds published hosts in text. Built once for a table, and shared.
///
/// It says which URLs are worth a question, not which are published: ports, paths and schemes are
/// for [`Links`](crate::translate::markup::Links).
#[derive(Debug, Default)]
pub struct Origins {
    /// Lower case; IPv6 addresses in brackets.
    hosts: HashSet<Box<str>>,
    /// The last two octets of them: of the hosts in a text, few end so.
    ends: Ends,
    /// One of them has a name beyond ASCII, which has more spellings than anybody could list: every
    /// such name is asked about.
    has_international: bool,
}

impl Origins {
    /// Of these hosts, lower case; of a wildcard what follows `*.`. Names beyond ASCII may be in
    /// either form, and IPv6 addresses with or without brackets.
    #[must_use]
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut origins = Self::default();
        for host in hosts {
            let is_international = |label: &str| !label.is_ascii() || label.starts_with("xn--");
            origins.has_international |= host.split('.').any(is_international);
            let host = address(host).map_or(Cow::Borrowed(host), Cow::Owned);
            let host = host.to_ascii_lowercase();
            origins.ends.insert(&host);
            origins.hosts.insert(host.into());
        }
        origins
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether the host may be one of them, or lie below one; it is made lower case.
    pub(super) fn may_have(&self, host: &mut str) -> bool {
        if host.starts_with('[') {
            return address(host).is_some_and(|host| self.hosts.contains(&*host));
        }
        if self.has_international && !host.is_ascii() {
            return true;
        }
        host.make_ascii_lowercase();
        if !self.may_end(host.as_bytes()) {
            return false;
        }
        let mut name = &*host;
        loop {
            if self.hosts.contains(name) {
                return true;
            }
            let Some((_, suffix)) = name.split_once('.') else {
                return false;
            };
            name = suffix;
        }
    }

    /// Whether one of them may end as this host in ASCII does.
    pub(super) fn may_end(&self, host: &[u8]) -> bool {
        self.ends.may_have(host)
    }
}

/// An IPv6 address in one spelling.
fn address(host: &str) -> Option<String> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address: Ipv6Addr = bare.unwrap_or(host).parse().ok()?;
    Some(format!("[{address}]"))
}

/// A bit for each pair of octets that a host may end with.
#[derive(Debug)]
struct Ends(Box<[u64; 1024]>);

impl Default for Ends {
    fn default() -> Self {
        Self(Box::new([0; 1024]))
    }
}

impl Ends {
    fn insert(&mut self, host: &str) {
        match *host.as_bytes() {
            [.., first, last] => self.set(first, last),
            // Alone, or behind other labels.
            [last] => {
                self.set(0, last);
                self.set(b'.', last);
            }
            [] => {}
        }
    }

    fn may_have(&self, host: &[u8]) -> bool {
        let (first, last) = match *host {
            [.., first, last] => (first.to_ascii_lowercase(), last.to_ascii_lowercase()),
            [last] => (0, last.to_ascii_lowercase()),
            [] => return false,
        };
        let word = self.0.get(Self::word(first, last));
        word.is_some_and(|word| word & Self::bit(last) != 0)
    }

    fn set(&mut self, first: u8, last: u8) {
        if let Some(word) = self.0.get_mut(Self::word(first, last)) {
            *word |= Self::bit(last);
        }
    }

    fn word(first: u8, last: u8) -> usize {
        usize::from(first) << 2 | usize::from(last >> 6)
    }

    fn bit(last: u8) -> u64 {
        1 << (last & 63)
    }
}
