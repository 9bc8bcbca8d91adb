//! Connections that a load balancer passes on, with a PROXY header in front: HAProxy's, and what
//! nobody's should be.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use appproxy::net::proxy_header;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::egress::program;
use crate::harness::{
    Answer, Backend, Client, Connection, Process, Running, Stand, exchange, replies, temporary,
    until, within, words,
};

/// Where the load balancer's connections come from.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Somebody else.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

const CLOSED: &str =
    "a source of `listen.proxy_protocol` does not say whose its connection is: it was closed";

fn stand(application: &Backend) -> Stand {
    Stand::new().application("wiki", application).listen(
        "proxy_protocol",
        json!([BALANCER.to_string(), "10.0.0.0/8"]),
    )
}

fn line(client: &str) -> String {
    format!("PROXY TCP4 {client} 198.51.100.1 50000 443\r\n")
}

/// The client whom the application was told of, and the access log too.
async fn client_of(stand: &Running, answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let headers = &answer.json()["headers"];
    let told = headers["x-forwarded-for"].to_string();
    let client = told.trim_matches(['[', ']', '"']).to_owned();
    assert!(
        headers["forwarded"]
            .to_string()
            .contains(&format!("for={client};"))
    );
    let line = stand.access_line(answer.header("x-request-id")).await;
    assert_eq!(line["client"], client);
    client
}

/// The reasons for which connections without a header were closed, as the log was told of them.
fn reasons(gateway: &Process) -> Vec<String> {
    let lines = gateway.log();
    let lines = lines.iter().filter(|line| line.contains(CLOSED));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| {
            format!(
                "{} {}",
                line["source"].as_str().unwrap(),
                line["why"].as_str().unwrap()
            )
        })
        .collect()
}

/// A TCP connection from an address of this machine.
async fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    within("a TCP connection", socket.connect(to))
        .await
        .unwrap()
}

/// HAProxy, which listens at the first address and passes on to the second.
struct Balancer {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Balancer {
    fn start(to: SocketAddr, how: &str) -> Self {
        let folder = temporary();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let file = folder.path().join("haproxy.cfg");
        // Standard input is the socket that listens.
        let text = format!(
            "defaults\n mode tcp\n timeout connect 30s\n timeout client 60s\n timeout server 60s\n\
             listen gateway\n bind fd@0\n server gateway {to} source {BALANCER} {how}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = program("haproxy");
        command.arg("-db").arg("-f").arg(&file);
        command
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null());
        Self {
            address,
            _process: Process::start("haproxy", &mut command),
            _folder: folder,
        }
    }
}

#[tokio::test]
async fn haproxy_tells_the_clients_address_in_both_versions() {
    let backend = Backend::echo().await;
    let stand = stand(&backend).redirects().start().await;
    let url = stand.url("wiki", "/");
    for how in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c",
    ] {
        let balancer = Balancer::start(stand.address(), how);
        let client = Client::new(stand.authority(), balancer.address).at(STRANGER);
        for client in [client.clone(), client.http2()] {
            let request = Request::get(&url).body(Empty::<Bytes>::new()).unwrap();
            let mut connection = client.connect("wiki.localhost").await;
            let answer = Answer::read(connection.send(request).await.unwrap()).await;
            assert_eq!(
                client_of(&stand, &answer).await,
                STRANGER.to_string(),
                "{how}"
            );
        }

        let balancer = Balancer::start(stand.plain_address(), how);
        let plain = connect(STRANGER, balancer.address).await;
        let head = b"GET / HTTP/1.1\r\nHost: wiki.localhost\r\nConnection: close\r\n\r\n";
        let answers = replies(&exchange(plain, head).await);
        assert_eq!((answers.len(), answers[0].status), (1, 308), "{how}");
        let line = stand.access_line(answers[0].field("x-request-id")).await;
        assert_eq!(line["client"], STRANGER.to_string(), "{how}");
    }
    assert_eq!(reasons(stand.gateway()), [""; 0]);
}

#[tokio::test]
async fn connectors_come_through_haproxy_too() {
    let backend = Backend::echo().await;
    let mut stand = stand(&backend).tunnel_apart().connectors(0).start().await;
    let doors = [stand.address(), stand.tunnel_address()];
    for (to, how) in doors.into_iter().zip(["send-proxy", "send-proxy-v2"]) {
        let balancer = Balancer::start(to, how);
        let gateway = format!("127.0.0.1:{}", balancer.address.port());
        let settings = json!({ "gateways": [gateway] });
        let config = stand.enrol_with(words::GROUP, settings).await;
        stand.start_connector(&config).await;
        let answer = stand.get(&stand.url("wiki", "/")).await;
        assert_eq!(answer.status, StatusCode::OK, "{how}");
        drop(stand.connectors().pop());
    }
    let log = stand.gateway().log();
    let open = log.iter().filter(|line| line.contains("\"tunnel open\""));
    let peers: Vec<Value> = open
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["peer"].clone())
        .collect();
    assert!(peers.len() >= 2, "{peers:?}");
    let is_connectors = |peer: &Value| peer.as_str().unwrap().starts_with("127.0.0.1:");
    assert!(peers.iter().all(is_connectors), "{peers:?}");
    assert_eq!(reasons(stand.gateway()), [""; 0]);
}

#[tokio::test]
async fn rule_4_a_stranger_who_sends_a_header_is_not_believed() {
    let backend = Backend::echo().await;
    let stand = stand(&backend).redirects().start().await;
    let url = stand.url("wiki", "/");
    for header in [
        line("192.0.2.7").into_bytes(),
        proxy_header::write(
            appproxy::model::ProxyProtocol::V2,
            Some(&"192.0.2.7:1 198.51.100.1:443".parse().unwrap()),
        ),
    ] {
        // It is no TLS, and no HTTP either.
        let mut tls = connect(STRANGER, stand.address()).await;
        tls.write_all(&header).await.unwrap();
        let mut rest = Vec::new();
        let _ = within("the end", tls.read_to_end(&mut rest)).await;
        let plain = connect(STRANGER, stand.plain_address()).await;
        let head = b"GET / HTTP/1.1\r\nHost: wiki.localhost\r\nConnection: close\r\n\r\n";
        let answers = replies(&exchange(plain, &[&header[..], head].concat()).await);
        assert_eq!((answers.len(), answers[0].status), (1, 400));
        let line = stand.access_line(answers[0].field("x-request-id")).await;
        assert_eq!(line["client"], STRANGER.to_string());
    }
    let stranger = stand.client().at(STRANGER);
    let request = Request::get(&url)
        .header("x-forwarded-for", "192.0.2.7")
        .header("forwarded", "for=192.0.2.7");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let answer = Answer::read(stranger.send(request).await).await;
    assert_eq!(client_of(&stand, &answer).await, STRANGER.to_string());
    assert_eq!(reasons(stand.gateway()), [""; 0]);
}

#[tokio::test]
async fn a_trusted_source_without_a_whole_header_is_closed_and_the_log_says_why_once() {
    let backend = Backend::echo().await;
    let stand = stand(&backend)
        .listen("proxy_protocol", json!(["127.0.0.0/8"]))
        .redirects()
        .connectors(0)
        .start()
        .await;
    let v2 = |rest: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", rest].concat();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let cases = [
        (hello.clone(), "it does not begin with a PROXY header"),
        (
            b"GET / HTTP/1.1\r\nHost: wiki.localhost\r\n\r\n".to_vec(),
            "it does not begin with a PROXY header",
        ),
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.1 050 443\r\n".to_vec(),
            "its PROXY line is malformed",
        ),
        (
            format!("PROXY UNKNOWN {}\r\n", "x".repeat(100)).into_bytes(),
            "its PROXY line is longer than 107 octets",
        ),
        (v2(b"\x11\x11\x00\x0c"), "its PROXY header is of version 1"),
        (
            v2(b"\x22\x11\x00\x0c"),
            "its PROXY header has the unknown command 2",
        ),
        (
            v2(b"\x21\x31\x00\xd8"),
            "its PROXY header is of the family 0x31, which is no TCP",
        ),
        (
            v2(b"\x21\x11\x02\x09"),
            "its PROXY header has 537 octets, more than 536",
        ),
        (
            v2(b"\x21\x11\x00\x10\0\0\0\0\0\0\0\0\0\0\0\0\x04\0\x09x"),
            "a part of its PROXY header reaches beyond the header's end",
        ),
    ];
    let mut expected = Vec::new();
    for (number, (octets, why)) in cases.iter().enumerate() {
        // Each source has a line of its own a minute.
        let source = Ipv4Addr::new(127, 0, 1, u8::try_from(number).unwrap());
        for door in [stand.address(), stand.plain_address(), stand.address()] {
            let stream = connect(source, door).await;
            let answer = exchange(stream, octets).await;
            assert_eq!(answer, b"", "{why}");
        }
        expected.push(format!("{source} {why}"));
    }
    // One that ends in the middle, one that only looks whether the port is open, and one that drips
    // for longer than it may.
    let mut half = connect(Ipv4Addr::new(127, 0, 2, 1), stand.address()).await;
    half.write_all(b"PROXY TCP4 192.0.").await.unwrap();
    drop(half);
    expected.push("127.0.2.1 it ended within its PROXY header, after 17 octets".to_owned());
    drop(connect(Ipv4Addr::new(127, 0, 2, 2), stand.address()).await);
    until("the line", || {
        reasons(stand.gateway()).len() == expected.len()
    })
    .await;
    let mut slow = connect(Ipv4Addr::new(127, 0, 2, 3), stand.address()).await;
    slow.write_all(b"PROXY ").await.unwrap();
    assert_eq!(exchange(slow, b"UNKNOWN ").await, b"");
    let late = "127.0.2.3 its PROXY header was not whole within 5s: 14 octets came";
    expected.push(late.to_owned());
    until("the line", || {
        reasons(stand.gateway()).len() >= expected.len()
    })
    .await;
    assert_eq!(reasons(stand.gateway()), expected);
}

#[tokio::test]
async fn a_header_that_drips_is_read_whole_and_one_without_a_client_leaves_the_address() {
    let backend = Backend::echo().await;
    let stand = stand(&backend).start().await;
    let balancer = stand.client().at(BALANCER);
    let url = stand.url("wiki", "/");
    let ask = async |header: &[u8]| {
        let answer = balancer.saying(header).get(&url).await;
        client_of(&stand, &answer).await
    };
    assert_eq!(ask(line("192.0.2.7").as_bytes()).await, "192.0.2.7");
    assert_eq!(
        ask(b"PROXY TCP6 ::ffff:192.0.2.8 ::1 1 2\r\n").await,
        "192.0.2.8"
    );
    for nobody in [
        &b"PROXY UNKNOWN\r\n"[..],
        b"PROXY UNKNOWN 192.0.2.7 198.51.100.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
        b"\r\n\r\n\0\r\nQUIT\n\x20\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xc3\x50\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x02??",
    ] {
        assert_eq!(ask(nobody).await, BALANCER.to_string());
    }
    // Octet by octet, and what follows comes with the last one.
    for header in [
        line("192.0.2.9").into_bytes(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x09\xc6\x33\x64\x01\xc3\x50\x01\xbb\x04\0\0"
            .to_vec(),
    ] {
        let (last, first) = header.split_last().unwrap();
        let mut near = connect(BALANCER, stand.address()).await;
        near.set_nodelay(true).unwrap();
        let relay = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(stand.authority(), relay.local_addr().unwrap());
        let passes_on = async {
            let (mut visitor, _) = relay.accept().await.unwrap();
            for octet in first {
                near.write_all(&[*octet]).await.unwrap();
                tokio::task::yield_now().await;
            }
            let mut hello = vec![0; 4096];
            let length = visitor.read(&mut hello[1..]).await.unwrap();
            hello[0] = *last;
            near.write_all(&hello[..=length]).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut visitor, &mut near).await;
        };
        let asks = async {
            let mut connection = client.connect("wiki.localhost").await;
            let request = Request::get(&url).body(Empty::<Bytes>::new()).unwrap();
            Answer::read(connection.send(request).await.unwrap()).await
        };
        let answer = tokio::select! {
            answer = asks => answer,
            () = passes_on => panic!("the connection ended"),
        };
        assert_eq!(client_of(&stand, &answer).await, "192.0.2.9");
    }
    assert_eq!(reasons(stand.gateway()), [""; 0]);
}

#[tokio::test]
async fn limits_and_maintenance_are_for_the_client_and_not_for_the_load_balancer() {
    let backend = Backend::echo().await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .application_with(
            "closed",
            &backend,
            json!({ "maintenance": { "allow": ["192.0.2.7"] } }),
        )
        .listen("proxy_protocol", json!([BALANCER.to_string()]))
        .gateway_setting("limits", json!({ "connections_per_address": 2 }))
        .start()
        .await;
    let balancer = stand.client().at(BALANCER);
    let of = |client: &str| balancer.saying(line(client));
    for (client, status) in [("192.0.2.7", 200), ("192.0.2.8", 503)] {
        let answer = of(client).get(&stand.url("closed", "/")).await;
        assert_eq!(answer.status.as_u16(), status, "{client}");
    }
    let url = stand.url("wiki", "/");
    let ask = async |connection: &mut Connection| {
        let request = Request::get(&url).body(Empty::<Bytes>::new()).unwrap();
        let answer = within("an answer", connection.send(request)).await;
        Answer::read(answer.unwrap()).await.status
    };
    // As many as they like, two for each.
    let mut open = Vec::new();
    for n in 1..=6 {
        let client = of(&format!("192.0.2.{n}"));
        for _ in 0..2 {
            let mut connection = client.connect("wiki.localhost").await;
            assert_eq!(ask(&mut connection).await, StatusCode::OK);
            open.push(connection);
        }
    }
    assert!(open.iter().all(Connection::is_open));
    // A third of one closes the first of the same one.
    let mut third = of("192.0.2.3").connect("wiki.localhost").await;
    assert_eq!(ask(&mut third).await, StatusCode::OK);
    until("the oldest is closed", || !open[4].is_open()).await;
    let closed = open.iter().filter(|connection| !connection.is_open());
    assert_eq!(closed.count(), 1);
}
