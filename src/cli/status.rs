//! `appproxy connector status`: asks the running connector and says what it told.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use comfy_table::Table;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{ConnectorFile, Exit};
use crate::check::connector::Running;
use crate::config::{ConnectorConfig, connector_command};
use crate::connector::{SOCKET, StateError, StateFolder};
use crate::telemetry::printable;

/// For the whole conversation with a connector on this machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Octets of an answer; thousands of lines of an allow-list fit.
const ANSWER: usize = 4 << 20;

/// Characters of a reason that are shown.
const REASON: usize = 512;

/// `connector status`.
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConnectorFile,
}

/// What a connector tells.
#[derive(Debug, Deserialize)]
struct Told {
    id: String,
    group: String,
    version: String,
    missing: Vec<String>,
    certificate: Certificate,
    tunnels: usize,
    connections: Vec<Connection>,
    in_flight: usize,
    /// One that is older does not say.
    open_files: Option<u64>,
    clock_skew_seconds: Option<i64>,
    allow: Vec<String>,
    tunnel_proxy: Option<String>,
    backend_proxy: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    issued: String,
    ends: String,
    renewal: String,
}

#[derive(Debug, Deserialize)]
struct Connection {
    gateway: String,
    /// One that is older does not say.
    route: Option<String>,
    connection: usize,
    state: String,
    since: String,
    retry_in_ms: Option<u64>,
    failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    at: String,
    /// One that is older does not say.
    code: Option<String>,
    reason: String,
}

impl Failure {
    /// The code and the reason, for people.
    fn text(&self) -> String {
        let reason = printable(&self.reason, REASON);
        match &self.code {
            Some(code) => format!("[{}] {reason}", printable(code, REASON)),
            None => reason,
        }
    }
}

/// Says how the connector of a configuration stands.
pub(super) fn run(args: &Status) -> Result<(), Exit> {
    let config = ConnectorConfig::load(&args.config.config).map_err(Exit::Findings)?;
    let answer = super::runtime(None)?.block_on(ask(&config));
    let out = &mut io::stdout();
    let failed = |error: io::Error| Exit::failed(format!("cannot write: {error}"));
    let text = match answer {
        Ok(text) => text,
        Err(error) => {
            if args.json {
                writeln!(out, "{{\"running\": false}}").map_err(failed)?;
            }
            return Err(Exit::failed(not_running(&config, &error)));
        }
    };
    let told: Told = serde_json::from_str(&text).map_err(|e| {
        Exit::failed(format!(
            "the connector's answer is not understood: {e}: is it of another version?"
        ))
    })?;
    let text = if args.json { text } else { told.text() };
    out.write_all(text.as_bytes()).map_err(failed)?;
    match told.tunnels {
        0 => Err(Exit::failed(told.remedy())),
        _ => Ok(()),
    }
}

/// How the connector of a configuration stands; `None` where none runs, or its answer is not understood.
pub(super) async fn running(config: &ConnectorConfig) -> Option<Running> {
    let told: Told = serde_json::from_str(&ask(config).await.ok()?).ok()?;
    Some(Running {
        id: told.id,
        tunnels: told.tunnels,
        allow: told.allow,
        open_files: told.open_files,
    })
}

/// Over the socket in the state, or else over the listener of `metrics`.
pub(super) async fn ask(config: &ConnectorConfig) -> io::Result<String> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it gave no answer in time");
    let over_socket = async {
        let stream = UnixStream::connect(config.state.join(SOCKET)).await?;
        get(stream).await
    };
    match timeout(PATIENCE, over_socket).await.map_err(late) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) | Err(error) => {
            let Some(address) = config.metrics else {
                return Err(error);
            };
            let over_tcp = async { get(TcpStream::connect(address).await?).await };
            match timeout(PATIENCE, over_tcp).await.map_err(late) {
                Ok(Ok(text)) => Ok(text),
                // The socket is what should be there.
                _ => Err(error),
            }
        }
    }
}

async fn get<S>(stream: S) -> io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/status")
        .header(http::header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = requests
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    connection.abort();
    if !status.is_success() {
        return Err(io::Error::other(format!("it answered {status}")));
    }
    String::from_utf8(body.into()).map_err(io::Error::other)
}

/// Why nobody answers, and what to do.
fn not_running(config: &ConnectorConfig, error: &io::Error) -> String {
    let path = config.state.join(SOCKET);
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            match StateFolder::of(config).stored() {
                Err(error @ StateError::None { .. }) => error.to_string(),
                _ => format!(
                    "no connector runs with the state in {}: start it with `{}`; if it should run, its log says why it does not",
                    config.state.display(),
                    connector_command("appproxy connector", &config.file)
                ),
            }
        }
        io::ErrorKind::PermissionDenied => format!(
            "cannot ask {}: {error}: run this as root, or as the account that the connector runs as",
            path.display()
        ),
        _ => format!("cannot ask the connector at {}: {error}", path.display()),
    }
}

impl Told {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, what: &str| {
            let _ = writeln!(text, "{name:<12} {}", printable(what, 4 * REASON));
        };
        line(
            "connector",
            &format!(
                "{} of group {}, version {}",
                self.id, self.group, self.version
            ),
        );
        match &self.missing[..] {
            [] => line("state", &format!("serving, tunnels: {}", self.tunnels)),
            missing => line("state", &format!("not serving: {}", missing.join("; "))),
        }
        let Certificate {
            issued,
            ends,
            renewal,
        } = &self.certificate;
        line(
            "certificate",
            &format!("good from {issued} to {ends}, renewed by {renewal}"),
        );
        line("in flight", &self.in_flight.to_string());
        line(
            "clock",
            &match self.clock_skew_seconds {
                None => "not compared with a gateway's yet".to_owned(),
                Some(0) => "agrees with the gateways'".to_owned(),
                Some(skew) if skew > 0 => format!("{skew} s ahead of the gateways'"),
                Some(skew) => format!("{} s behind the gateways'", skew.unsigned_abs()),
            },
        );
        let way = |proxy: &Option<String>| match proxy {
            Some(proxy) => format!("through {proxy}"),
            None => "directly".to_owned(),
        };
        line("gateways", &way(&self.tunnel_proxy));
        line("applications", &way(&self.backend_proxy));
        match &self.allow[..] {
            [] => line("allow", "nothing: `allow` is empty"),
            allow => line("allow", &allow.join(", ")),
        }
        let _ = writeln!(text, "\n{}", self.table());
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["GATEWAY", "CONNECTION", "STATE", "SINCE", "LAST FAILURE"]);
        for connection in &self.connections {
            let state = match connection.retry_in_ms {
                Some(ms) => format!("again in {} s", ms.div_ceil(1000)),
                None => connection.state.clone(),
            };
            let failure = connection
                .failure
                .as_ref()
                .map_or_else(String::new, |failure| {
                    format!("{}: {}", failure.at, failure.text())
                });
            table.add_row([
                connection
                    .route
                    .as_ref()
                    .unwrap_or(&connection.gateway)
                    .clone(),
                connection.connection.to_string(),
                state,
                connection.since.clone(),
                failure,
            ]);
        }
        table
    }

    /// What to do where there is no tunnel.
    fn remedy(&self) -> String {
        let failures = self.connections.iter().filter_map(|c| c.failure.as_ref());
        match failures.max_by(|a, b| a.at.cmp(&b.at)) {
            Some(failure) => format!(
                "there is no tunnel to any gateway; the last reason: {}",
                failure.text()
            ),
            None => "there is no tunnel to any gateway yet; ask again in a few seconds".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(connections: serde_json::Value, missing: serde_json::Value) -> Told {
        serde_json::from_value(json!({
            "id": "c1",
            "group": "hq",
            "version": "0.1.0",
            "time": "2027-01-15T08:00:00Z",
            "missing": missing,
            "certificate": {
                "issued": "2027-01-01T00:00:00Z",
                "ends": "2027-04-01T00:00:00Z",
                "renewal": "2027-03-02T00:00:00Z",
            },
            "tunnels": 1,
            "connections": connections,
            "in_flight": 3,
            "clock_skew_seconds": -61,
            "allow": ["wiki.corp.local:8888", "*.corp.local:443"],
            "tunnel_proxy": "proxy.corp.local:3128 (`tunnel_proxy`)",
            "backend_proxy": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_person_reads_what_serves_and_what_does_not() {
        let connections = json!([
            { "gateway": "gw1:443", "connection": 1, "state": "open", "since": "2027-01-15T07:00:00Z", "retry_in_ms": null, "failure": null },
            { "gateway": "gw2:443", "route": "gw2:443 at 192.0.2.2", "connection": 1, "state": "waiting", "since": "2027-01-15T07:59:59Z", "retry_in_ms": 1200,
              "failure": { "at": "2027-01-15T07:59:59Z", "reason": "nothing\u{1b}[31m listens" } },
        ]);
        let told = told(connections, json!([]));
        let expected = "\
connector    c1 of group hq, version 0.1.0
state        serving, tunnels: 1
certificate  good from 2027-01-01T00:00:00Z to 2027-04-01T00:00:00Z, renewed by 2027-03-02T00:00:00Z
in flight    3
clock        61 s behind the gateways'
gateways     through proxy.corp.local:3128 (`tunnel_proxy`)
applications directly
allow        wiki.corp.local:8888, *.corp.local:443
";
        let text = told.text();
        let (head, table) = text.split_once("\n\n").unwrap();
        assert_eq!(format!("{head}\n"), expected);
        let rows: Vec<_> = table.lines().collect();
        assert_eq!(rows.len(), 3, "{table}");
        assert!(
            rows[1].contains("gw1:443") && rows[1].contains("open"),
            "{table}"
        );
        assert!(
            rows[2].contains("gw2:443 at 192.0.2.2 ")
                && rows[2].contains("again in 2 s")
                && rows[2].contains("listens"),
            "{table}"
        );
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn the_newest_reason_is_the_one_to_look_at() {
        let failure = |at: &str, reason: &str| json!({ "gateway": "gw:443", "connection": 1, "state": "dialling", "since": "2027-01-15T08:00:00Z", "failure": { "at": at, "reason": reason } });
        let old = failure("2027-01-15T07:00:00Z", "older");
        let new = failure("2027-01-15T07:59:00Z", "newer");
        let told = told(
            json!([new, old]),
            json!(["there is no tunnel to any gateway"]),
        );
        assert!(told.remedy().ends_with("the last reason: newer"));
        assert!(
            told.text()
                .contains("state        not serving: there is no tunnel")
        );
    }

    #[test]
    fn a_reason_has_its_code_before_it() {
        let failure =
            json!({ "at": "2027-01-15T07:00:00Z", "code": "port_closed", "reason": "nobody" });
        let connection = json!({ "gateway": "gw:443", "connection": 1, "state": "dialling", "since": "2027-01-15T08:00:00Z", "failure": failure });
        let told = told(json!([connection]), json!([]));
        let remedy = told.remedy();
        assert!(remedy.ends_with("the last reason: [port_closed] nobody"));
        let row = "2027-01-15T07:00:00Z: [port_closed] nobody";
        assert!(told.text().contains(row), "{}", told.text());
    }
}
