//! A client's connection, as both of its ends see it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Where a connection comes from and what it leads to. An IPv4 address is never written as an IPv6
/// one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    source: SocketAddr,
    destination: SocketAddr,
}

/// What is no pair of two addresses with their ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two addresses with their ports belong here")]
pub struct NoEnds;

impl Ends {
    /// The ends of a connection.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        // A mapped address is the IPv4 address it stands for, in rules and in the log. What else an
        // IPv6 address of a socket has (zone, flow) means nothing elsewhere.
        let plain = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        Self {
            source: plain(source),
            destination: plain(destination),
        }
    }

    /// The client's address.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// The address that the client reached.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }
}

/// The two addresses with their ports, source first, one space between them.
impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.source, self.destination)
    }
}

impl FromStr for Ends {
    type Err = NoEnds;

    fn from_str(text: &str) -> Result<Self, NoEnds> {
        let (source, destination) = text.split_once(' ').ok_or(NoEnds)?;
        let read = |text: &str| text.parse().map_err(|_| NoEnds);
        Ok(Self::new(read(source)?, read(destination)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_as_they_are_written() {
        for (written, read) in [
            (
                "192.0.2.7:50000 198.51.100.1:443",
                "192.0.2.7:50000 198.51.100.1:443",
            ),
            (
                "[2001:db8::7]:0 [2001:db8::1]:65535",
                "[2001:db8::7]:0 [2001:db8::1]:65535",
            ),
            (
                "[::ffff:192.0.2.7]:1 [2001:db8::1%3]:2",
                "192.0.2.7:1 [2001:db8::1]:2",
            ),
        ] {
            let ends: Ends = written.parse().unwrap();
            assert_eq!(ends.to_string(), read);
            assert_eq!(read.parse(), Ok(ends));
        }
        for bad in [
            "",
            "192.0.2.7:1",
            "192.0.2.7 192.0.2.8",
            "192.0.2.7:1  192.0.2.8:2",
            "192.0.2.7:1 192.0.2.8:2 ",
            "192.0.2.7:65536 192.0.2.8:2",
            "a:1 b:2",
        ] {
            assert_eq!(bad.parse::<Ends>(), Err(NoEnds), "{bad:?}");
        }
    }
}
