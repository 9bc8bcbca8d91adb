//! Which of its addresses this machine would use towards another.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address from which the system would dial `peer` now. No packet is sent for it.
///
/// # Errors
/// Where there is no way to it.
pub fn source_towards(peer: SocketAddr) -> io::Result<IpAddr> {
    let unspecified: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((unspecified, 0))?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_is_dialled_from_loopback() {
        let source = source_towards("127.0.0.1:9".parse().unwrap()).unwrap();
        assert_eq!(source, Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn where_there_is_no_way_it_is_said() {
        // Nobody has a route to the unspecified port of a multicast scope that does not exist.
        let nowhere: SocketAddr = "[fe80::1%4000000000]:9".parse().unwrap();
        assert!(source_towards(nowhere).is_err());
    }
}
