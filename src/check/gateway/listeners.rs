//! Ports: whether the gateway has them, or could.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::{GATEWAY_UNIT, Known, Running};
use crate::check::system::unit;
use crate::check::{Area, Line};
use crate::model::Finding;

/// For a connection to a port of this host.
const KNOCK: Duration = Duration::from_millis(500);

/// The gateway that runs, as far as its ports go.
#[derive(Debug, Clone, Copy)]
enum Runs<'a> {
    /// There is none.
    No,
    /// It does not tell where it listens.
    Somewhere,
    /// It listens there.
    At(&'a [SocketAddr]),
}

impl Runs<'_> {
    const fn any(self) -> bool {
        !matches!(self, Self::No)
    }

    /// Whether it may have this address: who hands in a listener may have it listen on all addresses where the
    /// configuration has one, and the reverse.
    fn may_have(self, address: SocketAddr) -> bool {
        let Self::At(listening) = self else {
            return self.any();
        };
        listening.iter().any(|own| {
            let fits = own.ip() == address.ip();
            let is_all = own.ip().is_unspecified() || address.ip().is_unspecified();
            own.port() == address.port() && (fits || is_all)
        })
    }
}

/// Looks at each address that the configuration names.
pub(super) fn look(known: &Known<'_>) -> Vec<Line> {
    let listen = &known.config.listen;
    let named = [
        ("listen.https", &listen.https[..]),
        ("listen.http", &listen.http[..]),
        ("listen.tunnel", &listen.tunnel[..]),
        ("listen.metrics", listen.metrics.as_slice()),
    ];
    let runs = match &known.running {
        Running::No => Runs::No,
        Running::Told {
            listening: Some(listening),
            ..
        } => Runs::At(listening),
        Running::Told { .. } | Running::Unheard => Runs::Somewhere,
    };
    let all = named
        .into_iter()
        .flat_map(|(key, addresses)| addresses.iter().map(move |address| (key, *address)));
    all.map(|(key, address)| of_address(key, address, runs))
        .collect()
}

fn of_address(key: &str, address: SocketAddr, runs: Runs<'_>) -> Line {
    let subject = format!("{key} {address}");
    let error = match TcpListener::bind(address) {
        Ok(_) if runs.any() => return Line::found(Area::Listeners, subject, not_open()),
        Ok(_) => return Line::pass(Area::Listeners, subject, "free"),
        Err(error) => error,
    };
    let finding = match error.kind() {
        io::ErrorKind::AddrInUse => return in_use(subject, address, runs),
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

/// Somebody listens there: the gateway, or another.
fn in_use(subject: String, address: SocketAddr, runs: Runs<'_>) -> Line {
    match runs.may_have(address) {
        true => Line::pass(Area::Listeners, subject, IN_USE),
        false => Line::found(Area::Listeners, subject, taken(address.port(), runs)),
    }
}

const IN_USE: &str = "in use, and a gateway runs here";

fn not_open() -> Finding {
    Finding::error(
        "port_not_open",
        "the gateway runs, and nothing listens on this port",
        "restart it: `listen` counts from the start on alone",
    )
}

fn taken(port: u16, runs: Runs<'_>) -> Finding {
    let (what, then) = match runs.any() {
        true => (
            "another program listens on this port, and not the gateway that runs",
            "end it and restart the gateway",
        ),
        false => (
            "another program listens on this port, so the gateway cannot start",
            "end it",
        ),
    };
    let remedy =
        format!("see which one it is: `ss -ltnp 'sport = :{port}'`; {then}, or write another port");
    Finding::error("port_taken", what, remedy)
}

/// This account may not try the port. Somebody who listens there can be heard all the same, and the service may be
/// allowed what this account is not.
fn forbidden(subject: String, address: SocketAddr, runs: Runs<'_>) -> Line {
    let finding = match (somebody_listens(address), runs.any()) {
        (true, _) => return in_use(subject, address, runs),
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
    unit(GATEWAY_UNIT).is_some_and(|unit| {
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
        let at = [address];
        let everywhere = [SocketAddr::new(
            Ipv4Addr::UNSPECIFIED.into(),
            address.port(),
        )];
        let elsewhere = ["127.0.0.1:1".parse().unwrap()];
        let told = |runs| code(&of_address("listen.https", address, runs));
        assert_eq!(told(Runs::No), Some("port_taken"));
        for runs in [Runs::Somewhere, Runs::At(&at), Runs::At(&everywhere)] {
            assert_eq!(told(runs), None, "{runs:?}");
        }
        // A gateway runs, and it is another who has the port.
        assert_eq!(told(Runs::At(&elsewhere)), Some("port_taken"));
        drop(taken);
        assert_eq!(told(Runs::No), None);
        assert_eq!(told(Runs::Somewhere), Some("port_not_open"));
        assert_eq!(told(Runs::At(&elsewhere)), Some("port_not_open"));
        let nowhere = "192.0.2.1:443".parse().unwrap();
        assert_eq!(
            code(&of_address("listen.https", nowhere, Runs::No)),
            Some("address_not_here")
        );
    }

    #[test]
    fn a_port_that_this_account_may_not_try_is_knocked_at() {
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = there.local_addr().unwrap();
        let told = |runs| code(&forbidden("x".to_owned(), address, runs));
        assert_eq!(told(Runs::Somewhere), None);
        assert_eq!(told(Runs::No), Some("port_taken"));
        assert_eq!(told(Runs::At(&[])), Some("port_taken"));
        drop(there);
        assert_eq!(told(Runs::Somewhere), Some("port_not_open"));
        let expected = (!service_may()).then_some("port_forbidden");
        assert_eq!(told(Runs::No), expected);
    }
}
