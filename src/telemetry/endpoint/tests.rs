use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::super::metrics::{DRAINING, WEBSOCKETS_OPEN};
use super::*;

/// Whatever it is told.
#[derive(Default)]
struct Thing {
    missing: Mutex<Vec<String>>,
    /// It thinks for ever about what is missing.
    thinks: AtomicBool,
    asked: AtomicUsize,
}

impl Observed for Thing {
    fn samples(&self, page: &mut Page) {
        page.value(DRAINING, 0.0);
        page.value(WEBSOCKETS_OPEN, 3.0);
    }

    fn missing(&self) -> BoxFuture<'_, Vec<String>> {
        self.asked.fetch_add(1, Ordering::AcqRel);
        if self.thinks.load(Ordering::Acquire) {
            return std::future::pending().boxed();
        }
        std::future::ready(self.missing.lock().unwrap().clone()).boxed()
    }

    fn status(&self) -> Option<serde_json::Value> {
        None
    }
}

async fn start() -> (Arc<Thing>, std::net::SocketAddr) {
    let thing = Arc::new(Thing::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let observed = Arc::clone(&thing) as Arc<dyn Observed>;
    tokio::spawn(Endpoint::new(None, observed).serve_tcp(listener));
    (thing, address)
}

/// All that comes back for these octets.
async fn exchange(address: std::net::SocketAddr, octets: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(octets.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"),
    )
    .await
}

#[tokio::test]
async fn health_is_apart_from_readiness_which_names_what_is_missing() {
    let (thing, address) = start().await;
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 "));
    let missing = ["the store does not answer", "it drains"].map(str::to_owned);
    *thing.missing.lock().unwrap() = missing.into();
    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nthe store does not answer\nit drains\n"),
        "{answer}"
    );
    let answer = get(address, "/healthz").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("alive\n"),
        "{answer}"
    );
    let answer = get(address, "/metrics").await;
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    assert!(answer.ends_with("appproxy_websockets_open 3\n"), "{answer}");
    for path in ["/status", "/", "/metrics/", "*"] {
        let answer = get(address, path).await;
        let refused = answer.starts_with("HTTP/1.1 404 ") || answer.starts_with("HTTP/1.1 400 ");
        assert!(refused, "{path}: {answer}");
    }
}

#[tokio::test]
async fn only_heads_of_get_and_head_without_a_body_are_answered_and_once_a_connection() {
    let (_thing, address) = start().await;
    let head = format!("Host: {address}\r\n");
    for (request, answer, end) in [
        (
            format!("HEAD /healthz HTTP/1.1\r\n{head}\r\n"),
            "200",
            "\r\n\r\n",
        ),
        (
            format!("POST /healthz HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n"),
            "405",
            "HEAD\n",
        ),
        (
            format!("GET /healthz HTTP/1.1\r\n{head}Content-Length: 2\r\n\r\nxx"),
            "400",
            "here\n",
        ),
        ("GET /healthz HTTP/1.0\r\n\r\n".to_owned(), "200", "alive\n"),
        (
            format!("GET /healthz HTTP/1.1\r\n{head}\r\n").repeat(2),
            "200",
            "alive\n",
        ),
    ] {
        let text = exchange(address, &request).await;
        assert!(
            text.starts_with("HTTP/1.") && text[9..].starts_with(answer),
            "{request}: {text}"
        );
        assert!(text.ends_with(end), "{request}: {text}");
        assert_eq!(text.matches("HTTP/1.").count(), 1, "{request}: {text}");
    }
    let long = format!(
        "GET / HTTP/1.1\r\n{head}X: {}\r\n\r\n",
        "x".repeat(2 * HEAD_OCTETS)
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be refused while it is still being sent.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        !answer.starts_with(b"HTTP/1.1 2"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn on_loopback_a_strangers_name_is_not_answered() {
    let (_thing, address) = start().await;
    for (host, status) in [
        ("127.0.0.1", "200"),
        ("[::1]:9443", "200"),
        ("localhost:9443", "200"),
        ("LOCALHOST.", "200"),
        ("metrics.localhost", "200"),
        ("rebound.example:9443", "421"),
        ("localhost.example", "421"),
        ("127.0.0.1.example", "421"),
        ("", "421"),
    ] {
        let answer = exchange(
            address,
            &format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
        .await;
        assert_eq!(&answer[9..12], status, "{host}: {answer}");
    }
    assert_eq!(
        Reach::of("::ffff:127.0.0.2".parse().unwrap()),
        Reach::Machine
    );
    assert_eq!(Reach::of("::".parse().unwrap()), Reach::Invited);
    assert_eq!(Reach::of("10.0.0.1".parse().unwrap()), Reach::Invited);
}

/// What comes back for a question on the unix socket.
async fn ask(path: &std::path::Path, question: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let request = format!("GET {question} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn whoever_says_half_a_head_is_cut_after_two_seconds() {
    let (_thing, address) = start().await;
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET /healthz HT").await.unwrap();
    let began = tokio::time::Instant::now();
    let _ = half.read_to_end(&mut Vec::new()).await;
    let took = began.elapsed();
    assert!(took >= HEAD && took < 2 * HEAD, "{took:?}");
}

// Time stands still, so that nothing here is owed to a deadline.
#[tokio::test(start_paused = true)]
async fn half_heads_on_every_place_keep_nobody_out_and_the_oldest_go_first() {
    let (_thing, address) = start().await;
    let mut half = Vec::new();
    let began = tokio::time::Instant::now();
    for _ in 0..2 * CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HT").await.unwrap();
        half.push(stream);
    }
    let answer = get(address, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for cut in half.iter_mut().take(CONNECTIONS) {
        // Its octets may not have been read, so that its end is a reset.
        let read = cut.read(&mut [0; 1]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    let last = half.last_mut().unwrap();
    let host = format!("TP/1.1\r\nHost: {address}\r\n\r\n");
    last.write_all(host.as_bytes()).await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(began.elapsed() < HEAD, "{:?}", began.elapsed());
}

// Time stands still, so that nothing here is owed to a deadline.
#[tokio::test(start_paused = true)]
async fn whatever_happens_on_the_network_the_socket_of_the_machine_has_places_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.sock");
    let thing = Arc::new(Thing::default());
    let endpoint = Endpoint::new(None, Arc::clone(&thing) as Arc<dyn Observed>);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(endpoint.clone().serve_tcp(listener));
    tokio::spawn(endpoint.serve_unix(UnixListener::bind(&path).unwrap()));
    // Whole heads hold their places until they are answered.
    thing.thinks.store(true, Ordering::Release);
    let mut open = Vec::new();
    for _ in 0..2 * CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        open.push(stream);
    }
    while thing.asked.load(Ordering::Acquire) < CONNECTIONS {
        tokio::task::yield_now().await;
    }
    let answer = ask(&path, "/healthz").await;
    assert!(answer.ends_with("alive\n"), "{answer}");
    // Half heads on the socket itself keep nobody out either.
    let mut half = Vec::new();
    for _ in 0..2 * CONNECTIONS {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET /healthz HT").await.unwrap();
        half.push(stream);
    }
    let began = tokio::time::Instant::now();
    let answer = ask(&path, "/healthz").await;
    assert!(answer.ends_with("alive\n"), "{answer}");
    assert!(began.elapsed() < HEAD, "{:?}", began.elapsed());
    assert_eq!(thing.asked.load(Ordering::Acquire), CONNECTIONS);
}
