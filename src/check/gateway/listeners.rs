//! Ports: whether the gateway has them, or could.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::Known;
use crate::check::{Area, Line};
use crate::model::Finding;

/// Where the unit of the gateway's service is.
const UNITS: [&str; 2] = [
    "/etc/systemd/system/appproxy-gateway.service",
    "/usr/lib/systemd/system/appproxy-gateway.service",
];

/// For a connection to a port of this host.
const KNOCK: Duration = Duration::from_millis(500);

/// Looks at each address that the configuration names.
pub(super) fn look(known: &Known<'_>) -> Vec<Line> {
    let listen = &known.config.listen;
    let named = [
        ("listen.https", &listen.https[..]),
        ("listen.http", &listen.http[..]),
        ("listen.tunnel", &listen.tunnel[..]),
        ("listen.metrics", listen.metrics.as_slice()),
    ];
    let all = named
        .into_iter()
        .flat_map(|(key, addresses)| addresses.iter().map(move |address| (key, *address)));
    all.map(|(key, address)| of_address(key, address, known.runs))
        .collect()
}

fn of_address(key: &str, address: SocketAddr, runs: bool) -> Line {
    let subject = format!("{key} {address}");
    let error = match TcpListener::bind(address) {
        Ok(_) if runs => return Line::found(Area::Listeners, subject, not_open()),
        Ok(_) => return Line::pass(Area::Listeners, subject, "free"),
        Err(error) => error,
    };
    let finding = match error.kind() {
        io::ErrorKind::AddrInUse if runs => {
            return Line::pass(Area::Listeners, subject, IN_USE);
        }
        io::ErrorKind::AddrInUse => taken(address.port()),
        io::ErrorKind::PermissionDenied => return forbidden(subject, address, runs),
        io::ErrorKind::AddrNotAvailable => Finding::error(
            "address_not_here",
            format!("this host has no address {}", address.ip()),
            "write one of its own (`ip address`), or `[::]` for all of them",
        ),
        _ => Finding::error(
            "port_unusable",
            format!("nothing can listen there: {error}"),
            "check the address and the port",
        ),
    };
    Line::found(Area::Listeners, subject, finding)
}

const IN_USE: &str = "in use, and a gateway runs here";

fn not_open() -> Finding {
    Finding::error(
        "port_not_open",
        "the gateway runs, and nothing listens on this port",
        "restart it: `listen` counts from the start on alone",
    )
}

fn taken(port: u16) -> Finding {
    Finding::error(
        "port_taken",
        "another program listens on this port, so the gateway cannot start",
        format!("see which one it is: `ss -ltnp 'sport = :{port}'`; end it, or write another port"),
    )
}

/// This account may not try the port. Somebody who listens there can be heard all the same, and the service may be
/// allowed what this account is not.
fn forbidden(subject: String, address: SocketAddr, runs: bool) -> Line {
    let finding = match (somebody_listens(address), runs) {
        (true, true) => return Line::pass(Area::Listeners, subject, IN_USE),
        (true, false) => taken(address.port()),
        (false, true) => not_open(),
        (false, false) if service_may() => {
            let seen = "free; this account may not listen there, and the service may";
            return Line::pass(Area::Listeners, subject, seen);
        }
        (false, false) => Finding::error(
            "port_forbidden",
            "this account may not listen on ports below 1024",
            "run it as the service does (`AmbientCapabilities=CAP_NET_BIND_SERVICE`), run this check as that account, or write a port from 1024 on",
        ),
    };
    Line::found(Area::Listeners, subject, finding)
}

fn somebody_listens(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    TcpStream::connect_timeout(&SocketAddr::new(ip, address.port()), KNOCK).is_ok()
}

/// Whether the unit of the service, the package's or the operator's, gives it ports below 1024.
fn service_may() -> bool {
    let units = UNITS
        .iter()
        .filter_map(|unit| fs::read_to_string(unit).ok());
    units.into_iter().any(|unit| {
        let mut lines = unit.lines();
        lines.any(|line| {
            line.starts_with("AmbientCapabilities=") && line.contains("CAP_NET_BIND_SERVICE")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &Line) -> Option<&'static str> {
        line.finding().map(|finding| finding.code)
    }

    #[test]
    fn a_port_is_free_or_taken_or_nowhere() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(
            code(&of_address("listen.https", address, false)),
            Some("port_taken")
        );
        assert_eq!(code(&of_address("listen.https", address, true)), None);
        drop(taken);
        assert_eq!(code(&of_address("listen.https", address, false)), None);
        assert_eq!(
            code(&of_address("listen.https", address, true)),
            Some("port_not_open")
        );
        let elsewhere = "192.0.2.1:443".parse().unwrap();
        assert_eq!(
            code(&of_address("listen.https", elsewhere, false)),
            Some("address_not_here")
        );
    }

    #[test]
    fn a_port_that_this_account_may_not_try_is_knocked_at() {
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = there.local_addr().unwrap();
        let told = |runs| forbidden("x".to_owned(), address, runs);
        assert_eq!(code(&told(true)), None);
        assert_eq!(code(&told(false)), Some("port_taken"));
        drop(there);
        assert_eq!(code(&told(true)), Some("port_not_open"));
        let expected = (!service_may()).then_some("port_forbidden");
        assert_eq!(code(&told(false)), expected);
    }
}
