//! Other people's tools and applications: what they see through the proxy is what they see without it.

mod applications;
mod browser;
pub(crate) mod check;
mod conformance;
mod folding;
mod grpc;
mod heavy;
mod http2;
pub(crate) mod sign_in;
mod socketio;
mod step_up;
mod tls;
mod translation;
mod webdav;

use std::fs;
use std::net::TcpListener as StdListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{Backend, Process, until, within};

/// How long a tool may take that goes through its cases: below what ends a test that hangs.
const TOOL: Duration = Duration::from_secs(100);

/// Whether the long forms are wanted (`make soak`).
fn is_soak() -> bool {
    std::env::var_os("SOAK").is_some()
}

/// A program or file of `tests/e2e/python`.
fn python(name: &str) -> String {
    format!("{}/tests/e2e/python/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A program or file of `tests/e2e/node`.
fn node(name: &str) -> String {
    format!("{}/tests/e2e/node/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server that is a program of ours: it prints its port first.
struct Server {
    port: u16,
    _child: Child,
}

impl Server {
    async fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}: run `make test-tools`"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = within("the server's port", lines.next_line()).await;
        let port = line.unwrap().expect("a port").parse().expect("a port");
        Self {
            port,
            _child: child,
        }
    }

    fn backend(&self) -> Backend {
        Backend::elsewhere(self.port)
    }
}

/// A server that takes a port and cannot choose one, or would not say which.
async fn server_at(name: &str, start: impl Fn(u16) -> std::process::Command) -> (Process, u16) {
    for _ in 0..3 {
        // The listener is gone at the end of the line, and its port free for the server.
        let port = StdListener::bind("127.0.0.1:0").map(|l| l.local_addr().unwrap().port());
        let port = port.unwrap();
        let mut command = start(port);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = Process::start(name, &mut command);
        let what = format!("{name} to listen");
        tokio::select! {
            () = until(&what, || is_listening(port)) => return (process, port),
            // The port was free a moment ago, and is somebody else's now.
            status = process.ended() => eprintln!("{name}: {status}: {:?}", process.log()),
        }
    }
    panic!("{name} ended three times before it listened")
}

/// Whether somebody listens on this port, as the kernel tells it. Not by connecting: to a port where
/// nobody listens, a connection now and then reaches itself.
fn is_listening(port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").expect("a file of the kernel");
    let port = format!(":{port:04X}");
    sockets.lines().any(|socket| {
        let fields: Vec<&str> = socket.split_whitespace().collect();
        fields[1].ends_with(&port) && fields[3] == "0A"
    })
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}
