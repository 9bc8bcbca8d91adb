//! Socket options and listening sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

use crate::model::CongestionControl;

/// Unsent octets the kernel holds for a tunnel. More would only be a queue behind which small
/// answers wait: beside a download under loss, 64 KiB answers in an eighteenth of the time, and it
/// costs nothing otherwise.
const TUNNEL_UNSENT: u32 = 64 * 1024;

/// Unsent octets the kernel holds for a client or an application. Without a bound it is megabytes
/// for each that takes nothing, and a few hundred of these fill what all sockets of a machine may have
/// together (`net.ipv4.tcp_mem`); then every connection stalls.
const UNSENT: u32 = 256 * 1024;

/// After this long without an acknowledgement the kernel gives a tunnel up. Longer than one
/// missed PING and its deadline (5 s each), so that the kernel ends only what no PING can.
const TUNNEL_UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// Idle time before the kernel asks whether a peer is alive: below the 350 s and 240 s after which
/// the common load balancers forget a connection.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Unanswered questions after which the connection is dead.
const KEEPALIVE_RETRIES: u32 = 4;

/// Connections that may wait for `accept`: a burst after a restart must not meet refusals. The
/// kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What the sockets of tunnels are set to, at both ends.
#[derive(Debug, Default)]
pub struct TunnelSockets {
    congestion: Option<CongestionControl>,
    /// That the system does not do that is said once.
    said: AtomicBool,
}

impl TunnelSockets {
    /// With this congestion control; the system's default where there is none.
    #[must_use]
    pub fn new(congestion: Option<CongestionControl>) -> Self {
        Self {
            congestion,
            said: AtomicBool::new(false),
        }
    }

    /// Sets what a tunnel's socket needs. What the system refuses is logged and left: the tunnel
    /// works without.
    pub fn tune(&self, stream: &TcpStream) {
        let socket = SockRef::from(stream);
        set("TCP_NODELAY", socket.set_tcp_nodelay(true));
        set(
            "TCP_NOTSENT_LOWAT",
            socket.set_tcp_notsent_lowat(TUNNEL_UNSENT),
        );
        set(
            "TCP_USER_TIMEOUT",
            socket.set_tcp_user_timeout(Some(TUNNEL_UNACKNOWLEDGED)),
        );
        if let Some(congestion) = &self.congestion
            && let Err(error) = set_congestion(&socket, congestion)
            && !self.said.swap(true, Ordering::Relaxed)
        {
            let remedy = remedy(congestion, &error);
            tracing::warn!(code = "congestion_unusable", %congestion, %error, remedy, "this congestion control cannot be used; tunnels have the system's default");
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn set_congestion(socket: &SockRef<'_>, congestion: &CongestionControl) -> io::Result<()> {
    socket.set_tcp_congestion(congestion.as_str().as_bytes())
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn set_congestion(_: &SockRef<'_>, _: &CongestionControl) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What to do where the system does not take a congestion control.
fn remedy(congestion: &CongestionControl, error: &io::Error) -> String {
    let list = |name: &str| {
        let list = std::fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_{name}"));
        list.map_or_else(|_| "not known".to_owned(), |list| list.trim().to_owned())
    };
    let available = list("available_congestion_control");
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "the kernel has: {available}; on its host run `modprobe tcp_{congestion}`, or write one of these as `congestion`"
        ),
        io::ErrorKind::PermissionDenied => {
            let allowed = list("allowed_congestion_control");
            format!(
                "the kernel has: {available}, and lets everybody use: {allowed}; run `sysctl -w net.ipv4.tcp_allowed_congestion_control=\"{allowed} {congestion}\"`, or write one of the latter as `congestion`"
            )
        }
        _ => format!(
            "the kernel has: {available}; take `congestion` out of the configuration where it has none of use"
        ),
    }
}

/// Sets what the socket of a client or an application needs. What the system refuses is logged
/// and left.
pub fn tune_client(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    set("TCP_NODELAY", socket.set_tcp_nodelay(true));
    set("TCP_NOTSENT_LOWAT", socket.set_tcp_notsent_lowat(UNSENT));
    set("SO_KEEPALIVE", socket.set_tcp_keepalive(&keepalive));
}

fn set(option: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(option, %error, "socket option not set");
    }
}

/// Listens on an address; `[::]` takes IPv4 as well, also on a system without IPv6. The socket
/// does not block, as tokio wants it.
///
/// # Errors
/// With the address and what to do, where the system does not give the socket.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listen = |address: SocketAddr| {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // Without it a restart has to wait until the last connections' TIME_WAIT is over.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    let no_ipv6 = |error: &io::Error| {
        address.is_ipv6()
            && address.ip().is_unspecified()
            && matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable
            )
    };
    match listen(address) {
        Err(error) if no_ipv6(&error) => listen((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        result => result,
    }
    .map_err(|error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "; another program listens there, or this one already runs (see: ss -ltnp 'sport = :{}')",
                address.port()
            ),
            io::ErrorKind::PermissionDenied => {
                "; a port below 1024 needs CAP_NET_BIND_SERVICE, or let the service manager pass the socket".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => {
                "; no interface of this machine has that address".to_owned()
            }
            _ => String::new(),
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{remedy}"))
    })
}

/// The TCP listeners a service manager or a former process passed on (`LISTEN_FDS`, with
/// `LISTEN_FDS_FIRST_FD` where they do not begin at 3, and `LISTEN_PID` only where it is set), in
/// their order; none where nothing was passed. Takes them out of the environment, so call it once,
/// before there are threads.
///
/// # Errors
/// Where one of them is not a listening TCP socket.
pub fn inherited_listeners() -> io::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::with_capacity(passed.len());
    for index in 0..passed.len() {
        let explain = |error: io::Error| {
            let text = format!("LISTEN_FDS: socket {index} cannot be used: {error}");
            io::Error::new(error.kind(), text)
        };
        let Some(listener) = passed.take_tcp_listener(index).map_err(explain)? else {
            continue;
        };
        if !SockRef::from(&listener).is_listener().map_err(explain)? {
            return Err(explain(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it does not listen",
            )));
        }
        listener.set_nonblocking(true).map_err(explain)?;
        listeners.push(listener);
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        (dialled, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn the_system_takes_every_option() {
        let (tunnel, client) = connected().await;
        TunnelSockets::default().tune(&tunnel);
        let socket = SockRef::from(&tunnel);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), TUNNEL_UNSENT);
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(TUNNEL_UNACKNOWLEDGED)
        );
        tune_client(&client);
        let socket = SockRef::from(&client);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_RETRIES);
    }

    fn congestion_of(stream: &TcpStream) -> String {
        let name = SockRef::from(stream).tcp_congestion().unwrap();
        let name = name.split(|&octet| octet == 0).next().unwrap();
        String::from_utf8(name.to_vec()).unwrap()
    }

    fn named(name: &str) -> TunnelSockets {
        TunnelSockets::new(Some(CongestionControl::new(name).unwrap()))
    }

    #[tokio::test]
    async fn a_tunnel_has_the_congestion_control_that_is_asked_for() {
        let (dialled, accepted) = connected().await;
        let usual = congestion_of(&dialled);
        TunnelSockets::default().tune(&dialled);
        assert_eq!(congestion_of(&dialled), usual);
        let allowed = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
        let allowed = std::fs::read_to_string(allowed).unwrap();
        let other = allowed.split_whitespace().find(|&name| name != usual);
        // Where the kernel has only one, that.
        let wanted = other.unwrap_or(&usual);
        for stream in [&dialled, &accepted] {
            let sockets = named(wanted);
            sockets.tune(stream);
            assert_eq!(congestion_of(stream), wanted);
            assert!(!sockets.said.load(Ordering::Relaxed));
        }
    }

    #[tokio::test]
    async fn a_congestion_control_that_the_kernel_does_not_have_leaves_the_usual_one() {
        let (dialled, _accepted) = connected().await;
        let usual = congestion_of(&dialled);
        let sockets = named("no-such_one");
        sockets.tune(&dialled);
        assert_eq!(congestion_of(&dialled), usual);
        assert!(sockets.said.load(Ordering::Relaxed));
        assert!(SockRef::from(&dialled).tcp_nodelay().unwrap());
    }

    #[test]
    fn what_to_do_about_a_congestion_control_is_said_by_the_kernels_answer() {
        let bbr = CongestionControl::new("bbr").unwrap();
        let said = |kind: io::ErrorKind| remedy(&bbr, &kind.into());
        let available = "/proc/sys/net/ipv4/tcp_available_congestion_control";
        let available = std::fs::read_to_string(available).unwrap();
        for (kind, expected) in [
            (io::ErrorKind::NotFound, "modprobe tcp_bbr"),
            (
                io::ErrorKind::PermissionDenied,
                "tcp_allowed_congestion_control",
            ),
            (io::ErrorKind::Unsupported, "take `congestion` out"),
        ] {
            let text = said(kind);
            assert!(
                text.contains(expected) && text.contains(available.trim()),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn the_unspecified_ipv6_address_takes_ipv4_too() {
        let listener = bind("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let dialled = TcpStream::connect(("127.0.0.1".parse::<std::net::IpAddr>().unwrap(), port));
        dialled.await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert!(peer.ip().to_canonical().is_loopback());
    }

    #[test]
    fn a_bind_that_fails_says_where_and_what_to_do() {
        let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = taken.local_addr().unwrap();
        let text = bind(address).unwrap_err().to_string();
        assert!(
            text.contains(&address.to_string()) && text.contains("another program"),
            "{text}"
        );
        let text = bind("192.0.2.1:0".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("192.0.2.1") && text.contains("no interface"),
            "{text}"
        );
    }

    const CHILD: &str = "net::options::tests::child_reports_what_it_inherited";

    /// The environment of this process cannot be changed, so a child looks at what it was given.
    fn child(first: &str, count: &str, standard_input: impl Into<Stdio>) -> String {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--ignored", "--nocapture"])
            .env("LISTEN_FDS", count)
            .env("LISTEN_FDS_FIRST_FD", first)
            .env_remove("LISTEN_PID")
            .stdin(standard_input)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// As systemd says it: with the process's own number, or with that of another.
    #[test]
    fn listen_pid_has_to_be_the_own_one_where_it_is_set() {
        let all = ["--exact", CHILD, "--ignored", "--nocapture"];
        let said = |pid: &str| {
            let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let output = Command::new("sh")
                .args(["-c", &format!(r#"LISTEN_PID={pid} exec "$0" "$@""#)])
                .arg(std::env::current_exe().unwrap())
                .args(all)
                .env("LISTEN_FDS", "1")
                .env("LISTEN_FDS_FIRST_FD", "0")
                .stdin(OwnedFd::from(listener))
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(said("$$").contains("in all 1"));
        assert!(said("1").contains("in all 0"));
    }

    #[test]
    #[ignore = "the child of a_listener_on_standard_input_is_inherited_and_nothing_else_is"]
    fn child_reports_what_it_inherited() {
        match inherited_listeners() {
            Ok(listeners) => {
                for listener in &listeners {
                    println!("inherited {}", listener.local_addr().unwrap());
                }
                println!("in all {}", listeners.len());
            }
            Err(error) => println!("error {error}"),
        }
    }

    #[test]
    fn a_listener_on_standard_input_is_inherited_and_nothing_else_is() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let said = child("0", "1", OwnedFd::from(listener));
        assert!(
            said.contains(&format!("inherited {address}\nin all 1")),
            "{said}"
        );
        let said = child("0", "0", Stdio::null());
        assert!(said.contains("in all 0"), "{said}");
        let said = child("0", "1", Stdio::null());
        assert!(said.contains("error LISTEN_FDS: socket 0"), "{said}");
        // A socket that does not listen: accept would fail for ever.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let said = child("0", "1", OwnedFd::from(silent));
        assert!(
            said.contains("error LISTEN_FDS: socket 0") && said.contains("not listen"),
            "{said}"
        );
    }
}
