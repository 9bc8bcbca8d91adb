//! The header of the PROXY protocol, versions 1 and 2 (HAProxy's `doc/proxy-protocol.txt`): the first
//! octets of a connection that somebody passes on, and whose it is.
//!
//! Octets in, result out: nothing here reads or writes a socket.
//!
//! | what is written | what it means |
//! |---|---|
//! | `PROXY TCP4`, `PROXY TCP6`; version 2: PROXY with TCP over IPv4 or IPv6 | these are the ends of the client's connection |
//! | `PROXY UNKNOWN`; version 2: LOCAL, or PROXY of an unspecified family | nobody's: the connection's own ends count |
//! | anything else, UDP and Unix sockets too | no header: the connection is to be closed |

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::model::{Ends, ProxyProtocol};

/// The longest header, in octets: what the smallest TCP segment of any host carries (576 less the
/// heads of IP and TCP), which the specification has in mind for both versions (section 2).
pub const LONGEST: usize = 536;

/// The longest line of version 1, its CRLF included (section 2.1).
const LONGEST_LINE: usize = 107;

/// How version 1 begins.
const LINE: &[u8] = b"PROXY ";

/// How version 2 begins (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Octets of version 2 before its block: signature, version and command, family, length.
const FIXED: usize = 16;

/// The commands of version 2, and its version in the upper half.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// Families of version 2, with the transport in the lower half.
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Octets of the addresses and ports of a family.
const TCP4_ADDRESSES: usize = 12;
const TCP6_ADDRESSES: usize = 36;

/// The type of the checksum among the further parts of version 2 (section 2.2.3).
const CHECKSUM: u8 = 0x03;

/// What the octets at the beginning of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// All of them belong to a header, and more of it is to come.
    Incomplete,
    /// A header stands there; what follows it is not the header's.
    Whole {
        /// The ends of the client's connection; `None`: it is nobody's but the sender's.
        of: Option<Ends>,
        /// Octets of the header.
        length: usize,
    },
}

/// Why octets are no header. Every text completes "the connection was closed, because …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It begins with something else.
    #[error("it does not begin with a PROXY header")]
    NoHeader,
    /// No line end within 107 octets.
    #[error("its PROXY line is longer than {LONGEST_LINE} octets")]
    LongLine,
    /// The line is none of version 1.
    #[error("its PROXY line is malformed")]
    Line,
    /// Version 2 is the only one of this form.
    #[error("its PROXY header is of version {0}")]
    Version(u8),
    /// Neither LOCAL nor PROXY.
    #[error("its PROXY header has the unknown command {0}")]
    Command(u8),
    /// No TCP connection.
    #[error("its PROXY header is of the family 0x{0:02x}, which is no TCP")]
    Family(u8),
    /// It is longer than [`LONGEST`].
    #[error("its PROXY header has {0} octets, more than {LONGEST}")]
    TooLong(usize),
    /// The block ends within its addresses.
    #[error("its PROXY header is too short for its addresses")]
    TooShort,
    /// A further part reaches beyond the block.
    #[error("a part of its PROXY header reaches beyond the header's end")]
    Part,
    /// The checksum is another one.
    #[error("the checksum of its PROXY header is wrong")]
    Checksum,
}

/// Reads the header that the octets begin with. Whatever is wrong is said as soon as it can be seen,
/// so a connection that begins with something else waits for nothing.
///
/// # Errors
/// Where what is there is no beginning of a header.
pub fn read(octets: &[u8]) -> Result<Read, Fault> {
    if agrees(octets, SIGNATURE) {
        read_block(octets)
    } else if agrees(octets, LINE) {
        read_line(octets)
    } else {
        Err(Fault::NoHeader)
    }
}

/// Whether the octets are those of a beginning, as far as they go.
fn agrees(octets: &[u8], beginning: &[u8]) -> bool {
    octets.iter().zip(beginning).all(|(a, b)| a == b)
}

fn read_line(octets: &[u8]) -> Result<Read, Fault> {
    let within = octets.get(..LONGEST_LINE).unwrap_or(octets);
    let Some(end) = within.iter().position(|&octet| octet == b'\n') else {
        return match within.len() {
            LONGEST_LINE => Err(Fault::LongLine),
            _ => Ok(Read::Incomplete),
        };
    };
    let line = within[..end]
        .strip_prefix(LINE)
        .and_then(|line| line.strip_suffix(b"\r"))
        .ok_or(Fault::Line)?;
    let of = if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        // Whatever stands behind the word is not to be looked at.
        None
    } else {
        Some(ends_of_line(line).ok_or(Fault::Line)?)
    };
    Ok(Read::Whole {
        of,
        length: end + 1,
    })
}

/// `TCP4 192.0.2.7 192.0.2.1 50000 443`.
fn ends_of_line(line: &[u8]) -> Option<Ends> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let family = words.next()?;
    let mut address = || -> Option<IpAddr> {
        let text = words.next()?;
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => None,
        }
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let text = words.next()?;
        let plain = text.bytes().all(|octet| octet.is_ascii_digit());
        let plain = plain && (text == "0" || !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| plain)
    };
    let (from, to) = (port()?, port()?);
    let ends = Ends::new(
        SocketAddr::new(source, from),
        SocketAddr::new(destination, to),
    );
    words.next().is_none().then_some(ends)
}

fn read_block(octets: &[u8]) -> Result<Read, Fault> {
    let command = octets.get(SIGNATURE.len()).copied();
    match command {
        None | Some(LOCAL | PROXY) => {}
        Some(octet) if octet >> 4 != LOCAL >> 4 => return Err(Fault::Version(octet >> 4)),
        Some(octet) => return Err(Fault::Command(octet & 0x0f)),
    }
    // The family of a LOCAL header is to be ignored, whatever it is.
    let family = octets.get(SIGNATURE.len() + 1).copied();
    let family = family.map(|family| match command {
        Some(LOCAL) => UNSPECIFIED,
        _ => family,
    });
    let least = match family {
        None | Some(UNSPECIFIED) => 0,
        Some(TCP4) => TCP4_ADDRESSES,
        Some(TCP6) => TCP6_ADDRESSES,
        Some(other) => return Err(Fault::Family(other)),
    };
    let Some(&[high, low]) = octets.get(FIXED - 2..FIXED) else {
        return Ok(Read::Incomplete);
    };
    let block = usize::from(u16::from_be_bytes([high, low]));
    let length = FIXED + block;
    if length > LONGEST {
        return Err(Fault::TooLong(length));
    }
    if block < least {
        return Err(Fault::TooShort);
    }
    let Some(header) = octets.get(..length) else {
        return Ok(Read::Incomplete);
    };
    let of = ends_of_block(family.unwrap_or(UNSPECIFIED), &header[FIXED..]);
    if of.is_some() {
        check_parts(header, FIXED + least)?;
    }
    Ok(Read::Whole { of, length })
}

/// Addresses, then ports, each source first and in network byte order. `None` of a family that has
/// none.
fn ends_of_block(family: u8, block: &[u8]) -> Option<Ends> {
    let (source, destination, ports): (IpAddr, IpAddr, _) = match family {
        TCP4 => {
            let (source, rest) = block.split_first_chunk::<4>()?;
            let (destination, rest) = rest.split_first_chunk::<4>()?;
            (IpAddr::from(*source), IpAddr::from(*destination), rest)
        }
        TCP6 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            let (destination, rest) = rest.split_first_chunk::<16>()?;
            (IpAddr::from(*source), IpAddr::from(*destination), rest)
        }
        _ => return None,
    };
    let &[a, b, c, d] = ports.first_chunk::<4>()?;
    Some(Ends::new(
        SocketAddr::new(source, u16::from_be_bytes([a, b])),
        SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    ))
}

/// Walks over the further parts of a header, which stand behind its addresses: each has a type, a
/// length and a value. None is of use here; a checksum has to be right.
fn check_parts(header: &[u8], from: usize) -> Result<(), Fault> {
    let mut rest = header.get(from..).unwrap_or_default();
    while !rest.is_empty() {
        let (&[kind, high, low], behind) = rest.split_first_chunk::<3>().ok_or(Fault::Part)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, behind) = behind.split_at_checked(length).ok_or(Fault::Part)?;
        if kind == CHECKSUM {
            let said: [u8; 4] = value.try_into().map_err(|_| Fault::Part)?;
            // It was made while zeros stood in its place.
            let after = header.len() - behind.len();
            let before = header.iter().take(after - said.len());
            let octets = before.chain(&[0; 4]).chain(&header[after..]);
            if crc32c(octets) != u32::from_be_bytes(said) {
                return Err(Fault::Checksum);
            }
        }
        rest = behind;
    }
    Ok(())
}

/// CRC-32C (RFC 9260 appendix A), bit by bit: a header is short, and few have one.
fn crc32c<'a>(octets: impl Iterator<Item = &'a u8>) -> u32 {
    /// The polynomial 0x1edc6f41, its lowest bit first.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !octets.fold(!0, |crc, &octet| {
        (0..8).fold(crc ^ u32::from(octet), |crc: u32, _| {
            let carry = crc & 1;
            (crc >> 1) ^ (POLYNOMIAL * carry)
        })
    })
}

/// Writes the header of a connection; `None`: it is nobody's but the sender's own, as one that asks
/// whether the receiver is alive.
#[must_use]
pub fn write(version: ProxyProtocol, of: Option<&Ends>) -> Vec<u8> {
    match (version, of.map(OneFamily::of)) {
        (ProxyProtocol::V1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (ProxyProtocol::V1, Some(ends)) => ends.line().into_bytes(),
        (ProxyProtocol::V2, None) => [SIGNATURE, &[LOCAL, UNSPECIFIED, 0, 0]].concat(),
        (ProxyProtocol::V2, Some(ends)) => ends.block(),
    }
}

/// Two ends in one family, which a header has one of.
enum OneFamily {
    V4([Ipv4Addr; 2], [u16; 2]),
    V6([Ipv6Addr; 2], [u16; 2]),
}

impl OneFamily {
    fn of(ends: &Ends) -> Self {
        let both = [ends.source(), ends.destination()];
        let ports = both.map(|end| end.port());
        match both.map(|end| end.ip()) {
            [IpAddr::V4(source), IpAddr::V4(destination)] => Self::V4([source, destination], ports),
            mixed => {
                let mapped = mixed.map(|address| match address {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    IpAddr::V6(v6) => v6,
                });
                Self::V6(mapped, ports)
            }
        }
    }

    fn line(&self) -> String {
        let (family, [source, destination], [from, to]) = match self {
            Self::V4(both, ports) => ("TCP4", both.map(|v4| v4.to_string()), ports),
            Self::V6(both, ports) => ("TCP6", both.map(|v6| Groups(v6).to_string()), ports),
        };
        format!("PROXY {family} {source} {destination} {from} {to}\r\n")
    }

    fn block(&self) -> Vec<u8> {
        let (family, addresses, ports) = match self {
            Self::V4(both, ports) => (TCP4, both.map(|v4| v4.octets()).concat(), ports),
            Self::V6(both, ports) => (TCP6, both.map(|v6| v6.octets()).concat(), ports),
        };
        let ports = ports.map(u16::to_be_bytes).concat();
        // 36 at most.
        let length = u8::try_from(addresses.len() + ports.len()).unwrap_or(u8::MAX);
        let head = [PROXY, family, 0, length];
        [SIGNATURE, &head, &addresses, &ports].concat()
    }
}

/// An IPv6 address in hexadecimal groups throughout: the grammar of version 1 knows no dots in one.
struct Groups(Ipv6Addr);

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.to_ipv4_mapped().is_none() {
            return self.0.fmt(f);
        }
        for (number, group) in self.0.segments().into_iter().enumerate() {
            if number > 0 {
                f.write_char(':')?;
            }
            write!(f, "{group:x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(text: &str) -> Option<Ends> {
        (text != "-").then(|| text.parse().unwrap())
    }

    fn whole(octets: &[u8], of: &str) {
        let expected = Read::Whole {
            of: ends(of),
            length: octets.len(),
        };
        let name = String::from_utf8_lossy(octets);
        // What follows is the client's, whatever it is.
        for behind in [&b""[..], b"GET / HTTP/1.1\r\n", LINE, SIGNATURE, b"\n"] {
            let all = [octets, behind].concat();
            assert_eq!(read(&all), Ok(expected), "{name:?}");
        }
        for length in 0..octets.len() {
            let part = read(&octets[..length]);
            assert_eq!(part, Ok(Read::Incomplete), "{length} of {name:?}");
        }
    }

    /// A header of version 2.
    fn block(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xc3, 0x50, 0x01, 0xbb];
    const V4_ENDS: &str = "192.0.2.7:50000 198.51.100.1:443";

    /// A header of TCP over IPv4 with these further parts.
    fn with_parts(parts: &[u8]) -> Vec<u8> {
        block(PROXY, TCP4, &[V4, parts].concat())
    }

    #[test]
    fn lines_of_version_1_are_read_to_their_end_and_no_further() {
        let long = format!(
            "PROXY UNKNOWN {}\r\n",
            "f".repeat(LONGEST_LINE - "PROXY UNKNOWN \r\n".len())
        );
        for (line, of) in [
            ("PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n", V4_ENDS),
            (
                "PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n",
                "255.255.255.255:65535 0.0.0.0:0",
            ),
            (
                "PROXY TCP6 2001:DB8::7 2001:db8:0:0:0:0:0:1 1 2\r\n",
                "[2001:db8::7]:1 [2001:db8::1]:2",
            ),
            // As `inet_ntop` of common senders writes one.
            (
                "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c633:6401 50000 443\r\n",
                V4_ENDS,
            ),
            ("PROXY UNKNOWN\r\n", "-"),
            ("PROXY UNKNOWN \r\n", "-"),
            ("PROXY UNKNOWN any\0thing \u{e9} TCP4 1.2.3.4\r\n", "-"),
            (&long, "-"),
        ] {
            whole(line.as_bytes(), of);
        }
    }

    #[test]
    fn what_is_not_exactly_a_line_of_version_1_is_refused() {
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY  TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY TCP4  192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 \r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n",
            "PROXY TCP4\t192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1\n2\r\n",
            "PROXY UNKNOWN\n",
            "PROXY UNKNOWN\rX\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY unknown\r\n",
            "PROXY TCP4 192.0.2.07 192.0.2.1 1 2\r\n",
            "PROXY TCP4 192.0.2 192.0.2.1 1 2\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n",
            "PROXY TCP4 0x7f.0.0.1 192.0.2.1 1 2\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY TCP6 2001:db8::1%1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n",
            "PROXY TCP6 1::2::3 2001:db8::2 1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 01 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 00 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 -1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n",
            "PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY TCP5 192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY tcp4 192.0.2.7 192.0.2.1 1 2\r\n",
        ] {
            assert_eq!(read(line.as_bytes()), Err(Fault::Line), "{line:?}");
        }
        let line = format!("PROXY UNKNOWN {}", "f".repeat(LONGEST_LINE));
        assert_eq!(
            read(&line.as_bytes()[..LONGEST_LINE - 1]),
            Ok(Read::Incomplete)
        );
        for length in LONGEST_LINE..line.len() {
            let line = &line.as_bytes()[..length];
            assert_eq!(read(line), Err(Fault::LongLine));
            assert_eq!(read(&[line, b"\r\n"].concat()), Err(Fault::LongLine));
        }
    }

    #[test]
    fn blocks_of_version_2_are_read_to_their_end_and_no_further() {
        // Octet by octet, as `send-proxy-v2` of HAProxy writes one.
        whole(
            b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c\
              \xc0\x00\x02\x07\xc6\x33\x64\x01\xc3\x50\x01\xbb",
            V4_ENDS,
        );
        let mut v6 = vec![0x20, 0x01, 0x0d, 0xb8];
        v6.extend([0; 11]);
        v6.extend([7]);
        v6.extend([0; 10]);
        v6.extend([0xff, 0xff, 192, 0, 2, 1, 0, 1, 0, 2]);
        whole(&block(PROXY, TCP6, &v6), "[2001:db8::7]:1 192.0.2.1:2");
        for (command, family, octets) in [
            (LOCAL, UNSPECIFIED, &b""[..]),
            (LOCAL, TCP4, V4),
            (LOCAL, TCP4, b"\xff"),
            (LOCAL, 0xff, b"anything"),
            (LOCAL, UNSPECIFIED, &[0x20; LONGEST - FIXED]),
            (PROXY, UNSPECIFIED, b""),
            (PROXY, UNSPECIFIED, b"\xffanything"),
        ] {
            whole(&block(command, family, octets), "-");
        }
        let longest = LONGEST - FIXED - V4.len() - 3;
        let mut parts = vec![0xee];
        parts.extend(u16::try_from(longest).unwrap().to_be_bytes());
        parts.extend(vec![b'x'; longest]);
        for parts in [
            &b"\x04\x00\x00"[..],
            b"\x04\x00\x03abc\x01\x00\x02h2",
            b"\xff\x00\x01\xff",
            &parts,
        ] {
            whole(&with_parts(parts), V4_ENDS);
        }
    }

    #[test]
    fn a_checksum_is_believed_where_it_is_right_wherever_it_stands() {
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
        assert_eq!(crc32c([0; 32].iter()), 0x8a91_36aa);
        for (before, behind) in [
            (&b""[..], &b""[..]),
            (b"\x04\x00\x01x", b""),
            (b"", b"\x05\x00\x02id"),
        ] {
            let at = FIXED + V4.len() + before.len() + 3;
            let parts = [before, b"\x03\x00\x04\0\0\0\0", behind].concat();
            let mut header = with_parts(&parts);
            let sum = crc32c(header.iter()).to_be_bytes();
            header[at..at + 4].copy_from_slice(&sum);
            whole(&header, V4_ENDS);
            // Of another type it would be no checksum.
            for spoilt in (FIXED..header.len()).filter(|spoilt| *spoilt != at - 3) {
                let mut header = header.clone();
                header[spoilt] ^= 1;
                assert!(read(&header).is_err(), "{spoilt}");
            }
        }
        let short = with_parts(b"\x03\x00\x03abc");
        assert_eq!(read(&short), Err(Fault::Part));
    }

    #[test]
    fn what_is_not_exactly_a_block_of_version_2_is_refused_as_soon_as_it_shows() {
        let mut unix = vec![b'/'; 216];
        unix[0] = 0;
        for (header, shows, fault) in [
            (block(0x11, TCP4, V4), 13, Fault::Version(1)),
            (block(0x30, TCP4, V4), 13, Fault::Version(3)),
            (block(0x22, TCP4, V4), 13, Fault::Command(2)),
            (block(0x2f, TCP4, V4), 13, Fault::Command(15)),
            (block(PROXY, 0x12, V4), 14, Fault::Family(0x12)),
            (block(PROXY, 0x10, V4), 14, Fault::Family(0x10)),
            (block(PROXY, 0x01, V4), 14, Fault::Family(0x01)),
            (block(PROXY, 0x22, &[0; 36]), 14, Fault::Family(0x22)),
            (block(PROXY, 0x31, &unix), 14, Fault::Family(0x31)),
            (block(PROXY, 0x32, &unix), 14, Fault::Family(0x32)),
            (block(PROXY, 0x41, V4), 14, Fault::Family(0x41)),
            (block(PROXY, TCP4, &V4[1..]), 16, Fault::TooShort),
            (block(PROXY, TCP4, b""), 16, Fault::TooShort),
            (block(PROXY, TCP6, &[0; 35]), 16, Fault::TooShort),
            (block(LOCAL, 0, &[0; 521]), 16, Fault::TooLong(537)),
            (block(PROXY, 0, &[0; 65535]), 16, Fault::TooLong(65551)),
            (with_parts(b"\x04"), 29, Fault::Part),
            (with_parts(b"\x04\x00"), 30, Fault::Part),
            (with_parts(b"\x04\x00\x01"), 31, Fault::Part),
            (with_parts(b"\x04\x00\x02x"), 32, Fault::Part),
            (with_parts(b"\x04\xff\xffx"), 32, Fault::Part),
            (with_parts(b"\x04\x00\x00\x00"), 32, Fault::Part),
        ] {
            for length in 0..header.len() {
                let expected = match length {
                    _ if length < shows => Ok(Read::Incomplete),
                    _ => Err(fault),
                };
                assert_eq!(read(&header[..length]), expected, "{length} {fault}");
            }
            assert_eq!(read(&header), Err(fault));
        }
    }

    #[test]
    fn what_begins_with_something_else_is_seen_at_its_first_octet_that_differs() {
        for (octets, differs) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], 0),
            (b"POST / HTTP/1.1\r\n", 1),
            (b"PROXY\r\n", 5),
            (b"PROXY\tUNKNOWN\r\n", 5),
            (b"proxy UNKNOWN\r\n", 0),
            (b" PROXY UNKNOWN\r\n", 0),
            (b"\x16\x03\x01\x02\x00\x01", 0),
            (b"PRI * HTTP/2.0\r\n", 2),
            (b"\r\nGET / HTTP/1.1\r\n", 2),
            (b"\r\n\r\n\0\r\nQUIT\r", 11),
        ] {
            for length in 0..=octets.len() {
                let expected = match length {
                    _ if length <= differs => Ok(Read::Incomplete),
                    _ => Err(Fault::NoHeader),
                };
                assert_eq!(read(&octets[..length]), expected, "{octets:?}");
            }
        }
    }

    #[test]
    fn headers_are_written_as_the_specification_has_them() {
        let text = |of| String::from_utf8(write(ProxyProtocol::V1, ends(of).as_ref())).unwrap();
        for (of, line) in [
            ("-", "PROXY UNKNOWN\r\n"),
            (V4_ENDS, "PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n"),
            (
                "[2001:db8::7]:1 [2001:db8::1]:2",
                "PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n",
            ),
            // One family is for both.
            (
                "192.0.2.7:1 [2001:db8::1]:2",
                "PROXY TCP6 0:0:0:0:0:ffff:c000:207 2001:db8::1 1 2\r\n",
            ),
        ] {
            assert_eq!(text(of), line);
        }
        let local = write(ProxyProtocol::V2, None);
        assert_eq!(local, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00");
        let proxied = write(ProxyProtocol::V2, ends(V4_ENDS).as_ref());
        assert_eq!(proxied, block(PROXY, TCP4, V4));
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        let v4 = any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits)));
        let v6 = any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits)));
        (prop_oneof![v4, v6], any::<u16>()).prop_map(SocketAddr::from)
    }

    fn any_octets() -> impl Strategy<Value = Vec<u8>> {
        let tail = || prop::collection::vec(any::<u8>(), 0..600);
        let word = prop::sample::select(vec![
            "TCP4",
            "TCP6",
            "UNKNOWN",
            " ",
            "  ",
            "1",
            "01",
            "65535",
            "192.0.2.7",
            "2001:db8::1",
            "\r\n",
            "\r",
            "\n",
        ]);
        let words = prop::collection::vec(word, 0..12).prop_map(|words| words.concat());
        let head = prop::sample::select(vec![LOCAL, PROXY, 0x22, 0x11]);
        let family = prop::sample::select(vec![UNSPECIFIED, TCP4, TCP6, 0x31]);
        prop_oneof![
            tail(),
            words.prop_map(|words| [LINE, words.as_bytes()].concat()),
            (head, family, 0..600_u16, tail()).prop_map(|(command, family, length, tail)| {
                let fixed = [SIGNATURE, &[command, family], &length.to_be_bytes()].concat();
                [fixed, tail].concat()
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(source in address(), destination in address()) {
            let ends = Ends::new(source, destination);
            for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
                for of in [None, Some(ends)] {
                    let header = write(version, of.as_ref());
                    prop_assert!(header.len() <= LONGEST_LINE);
                    let length = header.len();
                    prop_assert_eq!(read(&header), Ok(Read::Whole { of, length }));
                    for length in 0..length {
                        prop_assert_eq!(read(&header[..length]), Ok(Read::Incomplete));
                    }
                }
            }
        }

        /// The reader of a socket relies on it: what is incomplete is the header's alone, and a
        /// decision holds whatever comes behind.
        #[test]
        fn any_octets_are_judged_the_same_however_they_come(octets in any_octets()) {
            let mut decided = None;
            for length in 0..=octets.len() {
                let now = read(&octets[..length]);
                match decided {
                    Some(before) => prop_assert_eq!(now, before),
                    None if now == Ok(Read::Incomplete) => prop_assert!(length < LONGEST),
                    None => {
                        if let Ok(Read::Whole { length: header, .. }) = now {
                            prop_assert_eq!(header, length);
                        }
                        decided = Some(now);
                    }
                }
            }
        }
    }
}
