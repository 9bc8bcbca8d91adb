//! Applications that are told in a PROXY header whose a connection is: nginx, in both versions, and
//! what such connections are never used for.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use appproxy::model::Ends;
use appproxy::net::proxy_header::{self, LONGEST, Read};
use appproxy::upgrade;
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::Empty;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::detail;
use crate::attacks::connector::{Rogue, hello, line, plain};
use crate::egress::program;
use crate::harness::{
    Answer, Authority, Backend, Client, Connection, Process, Running, Stand, read_head, temporary,
    until, within,
};

const VISITORS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

fn told(version: &str) -> Value {
    json!({ "proxy_protocol": version })
}

/// nginx, which wants a PROXY header on every connection and answers with what stands there. It
/// listens at sockets in a folder, since its ports would have to be known before it starts.
struct Nginx {
    process: Process,
    folder: TempDir,
}

impl Nginx {
    async fn start() -> Self {
        let folder = temporary();
        let at = folder.path().display();
        let leaf = Authority::new().issue(&["tls.corp.internal"]);
        std::fs::write(folder.path().join("chain.pem"), &leaf.chain).unwrap();
        std::fs::write(folder.path().join("key.pem"), &leaf.key).unwrap();
        let text = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr error;\n\
             events {{}}\n\
             http {{\n\
               access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
               fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
               server {{\n\
                 listen unix:{at}/plain proxy_protocol;\n\
                 listen unix:{at}/h2c http2 proxy_protocol;\n\
                 listen unix:{at}/tls ssl http2 proxy_protocol;\n\
                 ssl_certificate {at}/chain.pem; ssl_certificate_key {at}/key.pem;\n\
                 location / {{ default_type text/plain; return 200 \"$proxy_protocol_addr \
                   $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port \
                   $connection $server_protocol\"; }}\n\
               }}\n\
             }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = program("nginx");
        command.args(["-e", "stderr", "-p"]).arg(folder.path());
        command.arg("-c").arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = Process::start("nginx", &mut command);
        let socket = folder.path().join("tls");
        until("nginx", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
        .await;
        Self { process, folder }
    }

    /// What leads to one of its sockets, connection by connection.
    async fn at(&self, socket: &str) -> Backend {
        let socket = self.folder.path().join(socket);
        Backend::raw(move |stream| carry(stream, socket.clone())).await
    }
}

async fn carry(mut stream: TcpStream, to: impl AsRef<Path>) {
    let mut server = UnixStream::connect(to).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
}

/// What nginx knows of a request.
#[derive(Debug)]
struct Known {
    client: IpAddr,
    port: u16,
    reached: String,
    connection: String,
    protocol: String,
}

async fn ask(connection: &mut Connection, url: &str) -> Known {
    let request = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
    let response = within("an answer", connection.send(request)).await.unwrap();
    let answer = Answer::read(response).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let [client, port, address, reached, connection, protocol] =
        answer.text().split(' ').collect::<Vec<_>>()[..]
    else {
        panic!("{}", answer.text());
    };
    Known {
        client: client.parse().unwrap(),
        port: port.parse().unwrap(),
        reached: format!("{address}:{reached}"),
        connection: connection.to_owned(),
        protocol: protocol.to_owned(),
    }
}

#[tokio::test]
async fn nginx_knows_every_visitor_in_both_versions_and_they_never_cross() {
    let nginx = Nginx::start().await;
    let (plain, h2c, tls) = (
        nginx.at("plain").await,
        nginx.at("h2c").await,
        nginx.at("tls").await,
    );
    let both =
        |version, protocol| json!({ "proxy_protocol": version, "backend_protocol": protocol });
    let hosts = [
        format!("tls1.corp.internal:{}", tls.address().port()),
        format!("tls2.corp.internal:{}", tls.address().port()),
    ];
    let stand = Stand::new()
        .application_with("v1", &plain, told("v1"))
        .application_with("v2", &plain, told("v2"))
        .application_with("h2c1", &h2c, both("v1", "http2"))
        .application_with("h2c2", &h2c, both("v2", "http2"))
        .tls_application("tls1", &tls, both("v1", "http1"))
        .tls_application("tls2", &tls, both("v2", "http2"))
        .connector_setting(
            "backend_tls",
            json!([{ "hosts": hosts, "validate": "nothing" }]),
        )
        .start()
        .await;
    let visitors = VISITORS.map(|visitor| stand.client().at(visitor));
    for (name, protocol) in [
        ("v1", "HTTP/1.1"),
        ("v2", "HTTP/1.1"),
        ("h2c1", "HTTP/2.0"),
        ("h2c2", "HTTP/2.0"),
        ("tls1", "HTTP/1.1"),
        ("tls2", "HTTP/2.0"),
    ] {
        let (host, url) = (format!("{name}.localhost"), stand.url(name, "/"));
        // Each with two connections, over HTTP/1.1 and HTTP/2, all in turns.
        let mut connections = Vec::new();
        for (visitor, client) in VISITORS.iter().zip(&visitors) {
            for client in [client.clone(), client.http2()] {
                connections.push((*visitor, client.connect(&host).await, None, HashSet::new()));
            }
        }
        let rounds = 8;
        for _ in 0..rounds {
            for (visitor, connection, port, seen) in &mut connections {
                let known = ask(connection, &url).await;
                assert_eq!(known.client, IpAddr::from(*visitor), "{name}: {known:?}");
                assert_eq!(
                    known.port,
                    *port.get_or_insert(known.port),
                    "{name}: {known:?}"
                );
                assert_eq!(known.reached, stand.address().to_string(), "{name}");
                assert_eq!(known.protocol, protocol, "{name}");
                seen.insert(known.connection);
            }
        }
        let sources = connections
            .iter()
            .map(|(visitor, _, port, _)| (*visitor, *port));
        let ports: HashSet<_> = sources.collect();
        assert_eq!(ports.len(), connections.len(), "{name}");
        let mut all = HashSet::new();
        for (_, _, _, seen) in &connections {
            assert!(seen.len() < rounds, "{name}: none was used again");
            for connection in seen {
                assert!(
                    all.insert(connection.clone()),
                    "{name}: {connection} is two visitors'"
                );
            }
        }
        // All at once.
        let asked = visitors.iter().zip(VISITORS).flat_map(|(client, visitor)| {
            let (url, host) = (&url, &host);
            (0..16).map(move |n| async move {
                let client = if n % 2 == 0 {
                    client.clone()
                } else {
                    client.http2()
                };
                let mut connection = client.connect(host).await;
                for _ in 0..3 {
                    let known = ask(&mut connection, url).await;
                    assert_eq!(known.client, IpAddr::from(visitor), "{known:?}");
                }
            })
        });
        join_all(asked).await;
    }
    // The first connection was ours, to see that it is up.
    let mut log = nginx.process.log();
    log.retain(|line| !line.contains("*1 broken header: \"\" while reading PROXY protocol"));
    assert!(log.is_empty(), "{log:?}");
}

/// Reads a header off a connection, as the application it is for does.
async fn take_header(stream: &mut TcpStream) -> Option<Option<Ends>> {
    let mut octets = Vec::new();
    while octets.len() < LONGEST {
        octets.push(stream.read_u8().await.ok()?);
        match proxy_header::read(&octets) {
            Ok(Read::Incomplete) => {}
            Ok(Read::Whole { of, .. }) => return Some(of),
            Err(fault) => panic!("{fault}: {octets:?}"),
        }
    }
    None
}

/// Whose a connection is, and the head of a request on it; empty where it ended without one.
type Seen = (Option<Ends>, String);

/// An application that answers with whose a connection is, and its number; it agrees to WebSockets
/// and ends them at once.
struct Telling {
    backend: Backend,
    /// Headers and heads, as they came.
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Telling {
    async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, accepted) = (Arc::clone(&seen), AtomicUsize::new(0));
        let backend = Backend::raw(move |mut stream| {
            let (noted, number) = (Arc::clone(&noted), accepted.fetch_add(1, Ordering::Relaxed));
            async move {
                let Some(of) = take_header(&mut stream).await else {
                    return;
                };
                for request in 0.. {
                    let head = read_head(&mut stream).await;
                    let is_over = head.is_empty();
                    if request == 0 || !is_over {
                        noted.lock().unwrap().push((of, head.clone()));
                    }
                    if is_over {
                        return;
                    }
                    let whose = of.map_or_else(
                        || "nobody".to_owned(),
                        |ends| ends.source().ip().to_string(),
                    );
                    let text = format!("{whose} {number}");
                    let key = head
                        .lines()
                        .find_map(|l| l.strip_prefix("Sec-Websocket-Key: "));
                    let answer = match key {
                        None => format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                            text.len()
                        ),
                        Some(key) => format!(
                            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                             Upgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\
                             X-Whose: {text}\r\n\r\n",
                            upgrade::accept_for(key)
                        ),
                    };
                    let _ = stream.write_all(answer.as_bytes()).await;
                    if key.is_some() {
                        return;
                    }
                }
            }
        })
        .await;
        Self { backend, seen }
    }

    /// Whose connections there were: those without a client, for requests and for nothing.
    fn probes(&self) -> (usize, usize) {
        let seen = self.seen.lock().unwrap();
        let probes = seen.iter().filter(|(of, _)| of.is_none());
        let (empty, asked): (Vec<_>, Vec<_>) = probes.partition(|(_, head)| head.is_empty());
        (asked.len(), empty.len())
    }
}

#[tokio::test]
async fn websockets_probes_and_connections_that_are_signed_in_say_whose_they_are() {
    let (asked, connected) = (Telling::start().await, Telling::start().await);
    let check = |version: &str, path: Option<&str>| {
        let mut check = json!({ "interval": "1s" });
        if let Some(path) = path {
            check["path"] = json!(path);
        }
        json!({ "proxy_protocol": version, "health_check": check, "connection_authentication": path.is_some() })
    };
    let stand = Stand::new()
        .application_with("asked1", &asked.backend, check("v1", Some("/healthz")))
        .application_with("asked2", &asked.backend, check("v2", Some("/healthz")))
        .application_with("connected1", &connected.backend, check("v1", None))
        .application_with("connected2", &connected.backend, check("v2", None))
        .start()
        .await;
    for name in ["asked1", "asked2", "connected1", "connected2"] {
        let client = stand.client().at(VISITORS[1]);
        let url = stand.url(name, "/").replacen("https", "wss", 1);
        let (mut socket, response) = client.websocket(url).await;
        let whose = response.headers()["x-whose"].to_str().unwrap();
        assert!(whose.starts_with("127.0.0.3 "), "{whose}");
        let _ = socket.close(None).await;
    }
    // One connection for each client connection, as ever.
    let mut numbers = HashSet::new();
    for visitor in VISITORS {
        let mut connection = stand.client().at(visitor).connect("asked2.localhost").await;
        let mut answers = HashSet::new();
        for _ in 0..3 {
            let request = Request::get(stand.url("asked2", "/")).body(Empty::<Bytes>::new());
            let response = connection.send(request.unwrap()).await.unwrap();
            answers.insert(Answer::read(response).await.text().to_owned());
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        let answer = answers.into_iter().next().unwrap();
        let (whose, number) = answer.split_once(' ').unwrap();
        assert_eq!(whose, visitor.to_string());
        assert!(numbers.insert(number.to_owned()));
    }
    until("the probes", || {
        asked.probes().0 >= 4 && connected.probes().1 >= 4
    })
    .await;
    for (of, head) in asked.seen.lock().unwrap().iter() {
        assert_eq!(
            of.is_none(),
            head.is_empty() || head.starts_with("GET /healthz "),
            "{head}"
        );
        assert!(!head.to_lowercase().contains("appproxy-"), "{head}");
    }
}

#[tokio::test]
async fn an_application_that_expects_no_header_fails_alone() {
    // It takes the header for a request.
    let backend = Backend::echo().await;
    let stand = Stand::new()
        .application_with("wrong", &backend, told("v2"))
        .application("right", &backend)
        .start()
        .await;
    let wrong = stand.get("https://wrong.localhost/").await;
    assert!(wrong.status.is_server_error() || wrong.status.is_client_error());
    let right = stand.get("https://right.localhost/").await;
    assert_eq!(right.status.as_u16(), 200);
    assert!(
        !right.text().contains("appproxy-client"),
        "{}",
        right.text()
    );
}

#[tokio::test]
async fn a_connector_that_cannot_say_so_is_not_asked_to() {
    let telling = Telling::start().await;
    let mut stand = Stand::new()
        .application_with("told", &telling.backend, told("v1"))
        .application_with(
            "signed",
            &telling.backend,
            json!({ "connection_authentication": true }),
        )
        .application("untold", &Backend::text("unused").await)
        .connectors(0)
        .start()
        .await;
    let config = stand.enrol("default").await;
    // It says of no feature that it had it, as older ones do.
    let older = Rogue::dial(&stand, &config, vec![line(&hello(64))], plain).await;
    let ask = async |stand: &Running, name: &str| {
        let client: &Client = stand.client();
        client.at(VISITORS[0]).get(&stand.url(name, "/")).await
    };
    until("its tunnel", || stand.tunnels().0 == 1).await;
    assert_eq!(ask(&stand, "untold").await.text(), "rogue");
    for name in ["told", "signed"] {
        let refused = ask(&stand, name).await;
        assert_eq!(refused.status.as_u16(), 503);
        let (code, why) = detail(&stand, &refused).await;
        assert_eq!(code, "no_connector");
        assert_eq!(
            why,
            "the connectors of the groups are too old for `proxy_protocol`, \
             `connection_authentication` or `mode: tls_passthrough` of the application, upgrade \
             them: default"
        );
    }
    assert_eq!(older.asked.lock().unwrap().len(), 1);
    // Beside a newer one it is left alone.
    let config = stand.enrol("default").await;
    stand.start_connector(&config).await;
    for _ in 0..8 {
        assert!(ask(&stand, "told").await.text().starts_with("127.0.0.2 "));
    }
    assert_eq!(older.asked.lock().unwrap().len(), 1);
}
