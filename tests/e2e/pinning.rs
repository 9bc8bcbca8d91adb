//! Applications that sign connections in: each client connection has one of its own.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::harness::{Answer, Backend, Connection, Running, Stand, read_head, within};

fn signs_in() -> Value {
    json!({ "connection_authentication": true })
}

/// An application of connections: `Authorization: NTLM NAME` signs one in, and what it says is who
/// is signed in on which connection, the how many-eth request on it. It tells of each that ends.
async fn application(ended: mpsc::UnboundedSender<usize>) -> Backend {
    let accepted = AtomicUsize::new(0);
    Backend::raw(move |mut stream| {
        let (number, ended) = (accepted.fetch_add(1, Ordering::Relaxed), ended.clone());
        async move {
            serve(&mut stream, number).await;
            let _ = ended.send(number);
        }
    })
    .await
}

async fn serve(stream: &mut TcpStream, number: usize) {
    let (mut user, mut requests) = (None, 0);
    loop {
        let head = read_head(stream).await;
        if head.is_empty() {
            return;
        }
        assert!(!head.to_lowercase().contains("appproxy-"), "{head}");
        requests += 1;
        let name = head.lines().find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            let is_it = field.eq_ignore_ascii_case("authorization");
            is_it.then(|| value.strip_prefix("NTLM ")).flatten()
        });
        user = name.map(str::to_owned).or(user);
        let (status, challenge) = match user {
            Some(_) => ("200 OK", ""),
            None => ("401 Unauthorized", "WWW-Authenticate: NTLM\r\n"),
        };
        let text = format!(
            "{} {number}.{requests}",
            user.as_deref().unwrap_or("nobody")
        );
        let length = text.len();
        let answer =
            format!("HTTP/1.1 {status}\r\n{challenge}Content-Length: {length}\r\n\r\n{text}");
        let _ = stream.write_all(answer.as_bytes()).await;
        if head.starts_with("GET /close") {
            return;
        }
    }
}

async fn ask(connection: &mut Connection, url: &str, name: Option<&str>) -> String {
    let mut request = Request::get(url);
    if let Some(name) = name {
        request = request.header("authorization", format!("NTLM {name}"));
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = within("an answer", connection.send(request)).await.unwrap();
    Answer::read(response).await.text().to_owned()
}

#[tokio::test]
async fn rule_15_a_connection_that_is_signed_in_is_nobody_elses_and_ends_with_its_clients() {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let backend = application(ended).await;
    let stand = Stand::new()
        .application_with("app", &backend, signs_in())
        .start()
        .await;
    let url = stand.url("app", "/");
    let mut alice = stand.client().connect("app.localhost").await;
    let mut bob = stand.client().connect("app.localhost").await;
    let mut stranger = stand.client().connect("app.localhost").await;
    assert_eq!(ask(&mut alice, &url, None).await, "nobody 0.1");
    assert_eq!(ask(&mut alice, &url, Some("alice")).await, "alice 0.2");
    // A pool would hand over what alice is not using at the moment.
    assert_eq!(ask(&mut stranger, &url, None).await, "nobody 1.1");
    assert_eq!(ask(&mut bob, &url, Some("bob")).await, "bob 2.1");
    for n in 3..20 {
        assert_eq!(ask(&mut alice, &url, None).await, format!("alice 0.{n}"));
        assert_eq!(ask(&mut bob, &url, None).await, format!("bob 2.{}", n - 1));
    }
    assert_eq!(ask(&mut stranger, &url, None).await, "nobody 1.2");
    // Long before anything would be too old.
    drop(alice);
    let end = tokio::time::timeout(Duration::from_secs(20), ends.recv()).await;
    assert_eq!(end.unwrap(), Some(0));
    assert_eq!(ask(&mut bob, &url, None).await, "bob 2.19");
    // Where the application ends one, the next request is a stranger's.
    let close = stand.url("app", "/close");
    assert_eq!(ask(&mut bob, &close, None).await, "bob 2.20");
    assert_eq!(within("an end", ends.recv()).await, Some(2));
    assert_eq!(ask(&mut bob, &url, None).await, "nobody 3.1");
    assert_eq!(ask(&mut bob, &url, Some("bob")).await, "bob 3.2");
    assert_eq!(ask(&mut bob, &url, None).await, "bob 3.3");
}

#[tokio::test]
async fn such_a_host_offers_http1_alone_and_http2_is_misdirected() {
    let (ended, _ends) = mpsc::unbounded_channel();
    let backend = application(ended).await;
    let stand = Stand::new()
        .application_with("app", &backend, signs_in())
        .application("other", &backend)
        .start()
        .await;
    for (name, version) in [("app", "1.1"), ("other", "2")] {
        let url = stand.url(name, "/");
        let seen = stand
            .curl(&["--http2", "-o", "/dev/null", "-w", "%{http_version}", &url])
            .await;
        assert_eq!(seen.stdout, version, "{name}");
    }
    let mut shared = stand.client().http2().connect("other.localhost").await;
    let request = Request::get(stand.url("app", "/")).body(Empty::<Bytes>::new());
    let response = shared.send(request.unwrap()).await.unwrap();
    let answer = Answer::read(response).await;
    assert_eq!(answer.status, 421);
    assert_eq!(answer.json()["error"]["code"], "misdirected");
    // And the other application is told of the setting, once.
    let said = "the application asks for NTLM or Negotiate: NTLM does not work unless \
                `connection_authentication: true` is set for it; Kerberos works either way";
    stand.gateway().says(said).await;
    assert_eq!(stand.get("https://other.localhost/").await.status, 401);
    assert_eq!(stand.gateway().said(said), 1);
}

#[tokio::test]
async fn a_client_connection_whose_connector_is_gone_is_a_strangers_at_another() {
    let (ended, _ends) = mpsc::unbounded_channel();
    let backend = application(ended).await;
    let mut stand = Stand::new()
        .application_with("app", &backend, signs_in())
        .connectors(2)
        .start()
        .await;
    let url = stand.url("app", "/");
    let mut alice = stand.client().connect("app.localhost").await;
    assert_eq!(ask(&mut alice, &url, Some("alice")).await, "alice 0.1");
    assert_eq!(ask(&mut alice, &url, None).await, "alice 0.2");
    let request = Request::get(&url).body(Empty::<Bytes>::new()).unwrap();
    let response = alice.send(request).await.unwrap();
    let answer = Answer::read(response).await;
    assert_eq!(answer.text(), "alice 0.3");
    let line = stand.access_line(answer.header("x-request-id")).await;
    let serving = line["connector"].as_str().expect("a connector").to_owned();
    let connectors = stand.connectors();
    let at = connectors
        .iter()
        .position(|c| c.log().iter().any(|line| line.contains(&serving)))
        .expect("the connector of this name");
    let gone = connectors.remove(at);
    gone.kill();
    gone.ended().await;
    assert_eq!(ask(&mut alice, &url, None).await, "nobody 1.1");
    assert_eq!(ask(&mut alice, &url, Some("alice")).await, "alice 1.2");
    assert_eq!(ask(&mut alice, &url, None).await, "alice 1.3");
}

/// A server whose NTLM is pyspnego's, and what leads to it.
async fn ntlm() -> (Child, Backend) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/python");
    let mut server = Command::new(format!("{folder}/venv/bin/python"))
        .arg(format!("{folder}/ntlm.py"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("{e}: run `make test-tools`"));
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let port = within("the server's port", lines.next_line())
        .await
        .unwrap();
    let port: u16 = port.expect("a line").parse().unwrap();
    let backend = Backend::raw(move |mut stream| async move {
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
    })
    .await;
    (server, backend)
}

async fn visit(stand: &Running, credentials: &str) -> String {
    let url = stand.url("app", "/");
    let mut arguments = vec!["-w", "%{http_code} ", "-o", "-"];
    if !credentials.is_empty() {
        arguments.extend(["--ntlm", "-u", credentials]);
    }
    arguments.extend([&*url, &*url]);
    stand.curl(&arguments).await.stdout
}

#[tokio::test]
async fn curl_signs_in_by_ntlm_and_two_people_never_cross() {
    let (_server, backend) = ntlm().await;
    let stand = Stand::new()
        .application_with("app", &backend, signs_in())
        .start()
        .await;
    for _ in 0..3 {
        let (alice, bob, wrong, nobody) = tokio::join!(
            visit(&stand, "APP\\alice:userpw"),
            visit(&stand, "APP\\bob:bobpw"),
            visit(&stand, "APP\\alice:wrong"),
            visit(&stand, ""),
        );
        assert_eq!(alice, "user=APP\\alice 200 user=APP\\alice 200 ");
        assert_eq!(bob, "user=APP\\bob 200 user=APP\\bob 200 ");
        assert!(!wrong.contains("user=") && wrong.contains("401"), "{wrong}");
        assert_eq!(nobody, "sign in 401 sign in 401 ");
    }
}
