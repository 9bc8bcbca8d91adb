//! kosoku: the cases of Autobahn's test suite for WebSocket servers. It speaks neither TLS nor HTTP/2,
//! so a relay of ours opens what it asks for at the gateway; its frames pass untouched.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::Empty;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Server, TOOL, node, python, text};
use crate::harness::{Backend, Client, Running, Stand, read_head, run_for, temporary, within};

/// Cases without those for megabytes (9) and compression (12, 13), which take minutes.
const CASES: usize = 247;

/// What became of a case: its messages, its end, and the code of the Close that came.
type Outcome = [Value; 3];

/// Runs every case against this server.
async fn report(server: SocketAddr) -> BTreeMap<String, Outcome> {
    let folder = temporary();
    let server = server.to_string();
    let arguments = [
        "-x",
        "9.*",
        "-x",
        "12.*",
        "-x",
        "13.*",
        "-p",
        "2",
        "-o",
        text(folder.path()),
        &server,
    ];
    let output = run_for(TOOL, &python("venv/bin/kosoku"), &arguments, &[], "").await;
    let report = fs::read_to_string(folder.path().join("index.json"))
        .unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let report: Value = serde_json::from_str(&report).unwrap();
    let cases = report[&server].as_object().expect("cases").iter();
    cases
        .map(|(name, case)| {
            let part = |name: &str| case[name].clone();
            let outcome = [
                part("behavior"),
                part("behaviorClose"),
                part("remoteCloseCode"),
            ];
            (name.clone(), outcome)
        })
        .collect()
}

/// A way to the application through the gateway, over this version of HTTP.
async fn relay(stand: &Running, version: Version) -> Backend {
    let client = stand.client().clone();
    let authority = format!("ws.localhost:{}", stand.address().port());
    Backend::raw(move |mut stream| {
        let (client, authority) = (client.clone(), authority.clone());
        async move {
            let head = read_head(&mut stream).await;
            // Whoever only looks whether there is a server says nothing.
            if head.is_empty() {
                return;
            }
            if version == Version::HTTP_2 {
                over_http2(stream, &head, &client, &authority).await;
            } else {
                over_http1(stream, &head, &client, &authority).await;
            }
        }
    })
    .await
}

async fn over_http1(mut stream: TcpStream, head: &str, client: &Client, authority: &str) {
    let mut asked = String::new();
    for line in head.lines() {
        let is_host = line.to_ascii_lowercase().starts_with("host:");
        let host = format!("Host: {authority}");
        asked += if is_host { &host } else { line };
        asked += "\r\n";
    }
    let mut gateway = client.raw("ws.localhost").await;
    gateway.write_all(asked.as_bytes()).await.unwrap();
    // However it ends, both ends go with it.
    let _ = copy_bidirectional(&mut stream, &mut gateway).await;
}

async fn over_http2(mut stream: TcpStream, head: &str, client: &Client, authority: &str) {
    let url = format!("https://{authority}/");
    let mut connection = client.http2().connect("ws.localhost").await;
    // The server's settings, which allow the method, come before its first answer.
    let first = Request::head(&url).body(Empty::<Bytes>::new()).unwrap();
    within("an answer", connection.send(first)).await.unwrap();
    let mut request = Request::builder().method(Method::CONNECT).uri(&url);
    let mut key = "";
    for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a field");
        match name.to_ascii_lowercase().as_str() {
            "sec-websocket-key" => key = value,
            "host" | "connection" | "upgrade" => {}
            _ => request = request.header(name, value),
        }
    }
    let request = request.extension(Protocol::from_static("websocket"));
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let mut answer = within("the handshake", connection.send(request))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let accept = derive_accept_key(key.as_bytes());
    let switched = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(switched.as_bytes()).await.unwrap();
    let gateway = hyper::upgrade::on(&mut answer).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut TokioIo::new(gateway)).await;
}

#[tokio::test]
async fn every_case_of_the_suite_ends_as_it_does_without_the_proxy() {
    let server = Server::start("node", &[&node("websocket.mjs")]).await;
    let backend = server.backend();
    let stand = Stand::new().application("ws", &backend).start().await;
    let http1 = relay(&stand, Version::HTTP_11).await;
    let http2 = relay(&stand, Version::HTTP_2).await;
    let (direct, http1, http2) = tokio::join!(
        report(backend.address()),
        report(http1.address()),
        report(http2.address()),
    );
    assert_eq!(direct.len(), CASES);
    let bad = |outcome: &&Outcome| outcome[0] == "FAILED" || outcome[1] == "FAILED";
    assert_eq!(direct.values().filter(bad).count(), 0, "{direct:?}");
    for (front, proxied) in [("HTTP/1.1", &http1), ("HTTP/2", &http2)] {
        let different = |name: &&String| direct.get(*name) != proxied.get(*name);
        let different: Vec<_> = direct
            .keys()
            .filter(different)
            .map(|name| (name, direct.get(name), proxied.get(name)))
            .collect();
        assert!(different.is_empty(), "over {front}: {different:?}");
        assert_eq!(proxied.len(), CASES, "over {front}");
    }
}
