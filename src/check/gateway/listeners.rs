//! Ports: whether the gateway has them, or could.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::Known;
use crate::check::{Area, Line};
use crate::model::Finding;

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
        Ok(_) if runs => {
            let finding = Finding::error(
                "port_not_open",
                "the gateway runs, and nothing listens on this port",
                "restart it: `listen` counts from the start on alone",
            );
            return Line::found(Area::Listeners, subject, finding);
        }
        Ok(_) => return Line::pass(Area::Listeners, subject, "free"),
        Err(error) => error,
    };
    let port = address.port();
    let finding = match error.kind() {
        io::ErrorKind::AddrInUse if runs => {
            return Line::pass(Area::Listeners, subject, "in use, and a gateway runs here");
        }
        io::ErrorKind::AddrInUse => Finding::error(
            "port_taken",
            "another program listens on this port, so the gateway cannot start",
            format!(
                "see which one it is: `ss -ltnp 'sport = :{port}'`; end it, or write another port"
            ),
        ),
        io::ErrorKind::PermissionDenied => Finding::error(
            "port_forbidden",
            "this account may not listen on ports below 1024",
            "run it as the service does (`AmbientCapabilities=CAP_NET_BIND_SERVICE`), run this check as that account, or write a port from 1024 on",
        ),
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
}
