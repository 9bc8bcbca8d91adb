//! Real sockets; each test starts its own application.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::clock::Timestamp;

const HOST: &str = "demo.corp.internal";

struct Running {
    address: SocketAddr,
    control: AppControl,
    server: JoinHandle<()>,
}

impl Running {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let internal = format!("{HOST}:{}", address.port()).parse().unwrap();
        let control = AppControl::new(internal, Clock::manual(Timestamp(0)));
        let server = tokio::spawn(serve(listener, control.clone()));
        Self {
            address,
            control,
            server,
        }
    }

    fn base(&self) -> String {
        format!("http://{HOST}:{}", self.address.port())
    }

    async fn send(&self, request: http::request::Builder, body: &[u8]) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let body = Full::new(Bytes::copy_from_slice(body));
        sender
            .send_request(request.header("host", HOST).body(body).unwrap())
            .await
            .unwrap()
    }

    async fn get(&self, target: &str) -> Reply {
        read(self.send(Request::get(target), b"").await).await
    }

    async fn ask(&self, request: http::request::Builder, body: &[u8]) -> Reply {
        read(self.send(request, body).await).await
    }

    /// Until `condition` holds of what is counted; the events it waits for are on their way.
    async fn until(&self, condition: impl Fn(&AppControl) -> bool) {
        let wait = async {
            while !condition(&self.control) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .unwrap();
    }
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Reply {
    fn field(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn read(response: Response<Incoming>) -> Reply {
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: collected.to_bytes(),
        trailers,
    }
}

#[tokio::test]
async fn every_page_is_there_and_answers_head_alike() {
    let app = Running::start().await;
    for path in [
        "/",
        "/cookie",
        "/form",
        "/upload",
        "/ws-page",
        "/events-page",
        "/request",
        "/favicon.ico",
        "/static/demo.css",
        "/static/demo.js",
        "/download?size=1KiB",
        "/cancelled",
        "/big-header",
        "/status/404",
    ] {
        let got = app.get(path).await;
        let head = app.ask(Request::head(path), b"").await;
        assert_eq!(head.status, got.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        if path != "/cancelled" && path != "/request" {
            assert_eq!(
                head.field("content-length"),
                got.body.len().to_string(),
                "{path}"
            );
        }
        assert_eq!(
            head.field("content-type"),
            got.field("content-type"),
            "{path}"
        );
    }
    for path in ["/events", "/chunked", "/trailers", "/broken", "/download"] {
        let head = app.ask(Request::head(path), b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
    assert_eq!(
        app.control.cancelled(),
        0,
        "no one waits for the body of a HEAD"
    );
    assert_eq!(app.control.requests(), 33);
}

#[tokio::test]
async fn absolute_names_are_the_internal_ones() {
    let app = Running::start().await;
    let home = app.get("/").await;
    assert!(
        home.text()
            .contains(&format!("href=\"{}/form\"", app.base()))
    );
    let redirect = app.get("/redirect").await;
    assert_eq!(redirect.status, 302);
    assert_eq!(
        redirect.field("location"),
        format!("{}/request?from=redirect", app.base())
    );
    let first = app.get("/cookie").await;
    assert_eq!(
        first.field("set-cookie"),
        format!("demo-visits=1; Domain={HOST}; Path=/")
    );
    let third = app
        .ask(
            Request::get("/cookie").header("cookie", "a=b; demo-visits=2"),
            b"",
        )
        .await;
    assert!(third.field("set-cookie").starts_with("demo-visits=3;"));
    assert!(third.text().contains("a=b; demo-visits=2"));
}

#[tokio::test]
async fn a_form_comes_back_escaped() {
    let app = Running::start().await;
    let body = b"text=%3Cb%3E+%26+gr%C3%BC%C3%9F";
    let posted = app.ask(Request::post("/form"), body).await;
    assert_eq!(posted.status, 303);
    let to = posted
        .field("location")
        .strip_prefix(&app.base())
        .unwrap()
        .to_owned();
    let shown = app.get(&to).await;
    assert!(
        shown
            .text()
            .contains("<pre id=\"said\">&lt;b&gt; &amp; grüß</pre>")
    );
    assert_eq!(
        app.ask(Request::post("/form"), b"other=1").await.status,
        400
    );
    assert_eq!(
        app.ask(Request::post("/form"), &[b'a'; 70_000])
            .await
            .status,
        413
    );
}

#[tokio::test]
async fn uploads_are_counted_and_hashed() {
    let app = Running::start().await;
    let hash = |octets: &[u8]| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
        digest
            .as_ref()
            .iter()
            .map(|o| format!("{o:02x}"))
            .collect::<String>()
    };
    let file: Vec<u8> = (0..300_000_u32).map(|i| (i % 256) as u8).collect();
    for method in [Method::PUT, Method::POST] {
        let raw = app
            .ask(Request::builder().method(method).uri("/upload"), &file)
            .await
            .json();
        assert_eq!(raw["octets"], 300_000);
        assert_eq!(raw["sha256"], hash(&file));
        assert_eq!(raw["multipart"], false);
    }
    let kind = "multipart/form-data; boundary=\"xyz\"";
    for content in [&file[..], b"", b"\r\n--xy", b"\r\n\r\n--xyx\r\n"] {
        let mut body = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n".to_vec();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--xyz\r\n\r\nsecond part\r\n--xyz--\r\n");
        let sent = Request::post("/upload").header("content-type", kind);
        let answer = app.ask(sent, &body).await.json();
        assert_eq!(answer["octets"], content.len());
        assert_eq!(answer["sha256"], hash(content));
        assert_eq!(answer["multipart"], true);
    }
    let cut = Request::post("/upload").header("content-type", kind);
    assert_eq!(app.ask(cut, b"--xyz\r\n\r\nhalf").await.status, 400);
    let page = Request::post("/upload").header("accept", "text/html");
    assert!(app.ask(page, b"abc").await.text().contains(&hash(b"abc")));
}

#[test]
fn a_part_is_found_over_any_chunking() {
    let body = b"preamble\r\n--b\r\nA: b\r\n\r\ncon\r\n-tent\r\n--b--\r\nepilogue";
    for size in 1..body.len() {
        let mut found = Vec::new();
        let mut part = upload::FirstPart::new("b");
        for chunk in body.chunks(size) {
            part.read(chunk, &mut |octets: &[u8]| found.extend_from_slice(octets))
                .unwrap();
        }
        assert_eq!(found, b"con\r\n-tent", "chunks of {size}");
    }
}

#[tokio::test]
async fn the_request_is_shown_as_it_arrived() {
    let app = Running::start().await;
    let sent = Request::builder()
        .method("PATCH")
        .uri("/request?a=%20%3C&b")
        .header("accept", "application/json")
        .header("x-twice", "1")
        .header("x-twice", "2");
    let shown = app.ask(sent, b"body").await.json();
    assert_eq!(shown["method"], "PATCH");
    assert_eq!(shown["target"], "/request?a=%20%3C&b");
    assert_eq!(shown["version"], "HTTP/1.1");
    let headers = shown["headers"].as_array().unwrap();
    let twice = headers.iter().filter(|pair| pair[0] == "x-twice").count();
    assert_eq!(twice, 2);
    let html = app
        .ask(Request::get("/request").header("x-bad", "<script>"), b"")
        .await;
    assert!(
        html.text()
            .contains("<th>x-bad</th><td>&lt;script&gt;</td>")
    );
}

#[tokio::test]
async fn downloads_have_ranges() {
    let app = Running::start().await;
    let whole = app.get("/download?size=200KiB").await;
    assert_eq!(whole.field("content-length"), "204800");
    let expected: Vec<u8> = (0..204_800_u32).map(|i| (i % 251) as u8).collect();
    assert!(whole.body == expected);
    for (range, status, from, to) in [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=70000-140000", 206, 70_000, 140_001),
        ("bytes=204799-", 206, 204_799, 204_800),
        ("bytes=-5", 206, 204_795, 204_800),
        ("bytes=-999999", 206, 0, 204_800),
        ("bytes=5-4", 200, 0, 204_800),
        ("bytes=0-1,5-6", 200, 0, 204_800),
        ("items=0-1", 200, 0, 204_800),
    ] {
        let part = app
            .ask(
                Request::get("/download?size=200KiB").header("range", range),
                b"",
            )
            .await;
        assert_eq!(part.status, status, "{range}");
        assert!(part.body == expected[from..to], "{range}");
        if status == 206 {
            let place = format!("bytes {from}-{}/204800", to - 1);
            assert_eq!(part.field("content-range"), place);
        }
    }
    for range in ["bytes=204800-", "bytes=-0"] {
        let none = app
            .ask(
                Request::get("/download?size=200KiB").header("range", range),
                b"",
            )
            .await;
        assert_eq!(
            (none.status, none.field("content-range")),
            (416, "bytes */204800")
        );
    }
    let stale = Request::get("/download?size=9")
        .header("range", "bytes=1-2")
        .header("if-range", "\"8\"");
    assert_eq!(app.ask(stale, b"").await.status, 200);
    assert_eq!(app.get("/download?size=0").await.body.len(), 0);
    for size in ["x", "1TiB", "-1", "1MB", "99999999999999999999"] {
        assert_eq!(app.get(&format!("/download?size={size}")).await.status, 400);
    }
    assert_eq!(app.control.cancelled(), 0);
}

#[tokio::test]
async fn streams_come_to_their_end() {
    let app = Running::start().await;
    let events = app.get("/events?n=2&every_ms=1").await;
    assert_eq!(events.field("content-type"), "text/event-stream");
    assert_eq!(
        events.text(),
        "id: 1\ndata: 1970-01-01T00:00:00Z\n\nid: 2\ndata: 1970-01-01T00:00:00Z\n\n"
    );
    let again = Request::get("/events?n=1").header("last-event-id", "7");
    assert!(app.ask(again, b"").await.text().starts_with("id: 8\n"));
    assert_eq!(app.get("/chunked?n=2").await.text(), "chunk 1\nchunk 2\n");
    assert_eq!(app.get("/slow?ms=1").await.text(), "waited 1 ms\n");
    let trailers = app
        .ask(Request::get("/trailers").header("te", "trailers"), b"")
        .await;
    assert_eq!(trailers.trailers.unwrap()["x-demo-sum"], "42");
    let broken = app.send(Request::get("/broken"), b"").await;
    assert_eq!(broken.status(), StatusCode::OK);
    assert!(
        broken.into_body().collect().await.is_err(),
        "never a clean end"
    );
    assert_eq!(app.control.cancelled(), 0);
}

#[tokio::test]
async fn odd_answers() {
    let app = Running::start().await;
    for status in [200, 204, 304, 418, 503, 599] {
        assert_eq!(app.get(&format!("/status/{status}")).await.status, status);
    }
    for path in [
        "/status/",
        "/status/101",
        "/status/600",
        "/status/x",
        "/slow?ms=x",
        "/chunked?n=-1",
        "/big-header?byte=0a",
        "/big-header?byte=zz",
        "/big-header?n=1048577",
    ] {
        assert_eq!(app.get(path).await.status, 400, "{path}");
    }
    let big = app.get("/big-header?n=60000&byte=ff").await;
    assert_eq!(big.headers["x-big"].as_bytes(), vec![0xFF; 60_000]);
    assert_eq!(app.get("/nowhere").await.status, 404);
    let refused = app.ask(Request::delete("/form"), b"").await;
    assert_eq!(
        (refused.status, refused.field("allow")),
        (405, "GET, HEAD, POST")
    );
}

#[tokio::test]
async fn abandoned_requests_are_counted() {
    let app = Running::start().await;
    for (count, path) in [(1, "/events"), (2, "/download?size=1GiB")] {
        let mut response = app.send(Request::get(path), b"").await;
        assert!(
            response
                .body_mut()
                .frame()
                .await
                .unwrap()
                .unwrap()
                .is_data()
        );
        drop(response);
        app.until(|control| control.cancelled() == count).await;
    }
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream
        .write_all(b"GET /slow?ms=600000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    app.until(|control| control.requests() == 3).await;
    drop(stream);
    app.until(|control| control.cancelled() == 3).await;
    let seen = app.get("/cancelled").await.json();
    assert_eq!(seen, serde_json::json!({"cancelled": 3, "requests": 4}));
}

#[tokio::test]
async fn it_can_be_slowed_down_and_stopped() {
    let app = Running::start().await;
    app.control.set_delay(Duration::from_millis(40));
    let begin = tokio::time::Instant::now();
    app.get("/request").await;
    assert!(begin.elapsed() >= Duration::from_millis(40));
    app.control.set_delay(Duration::ZERO);
    assert_eq!(app.control.delay(), Duration::ZERO);
    let mut endless = app.send(Request::get("/events?every_ms=600000"), b"").await;
    assert!(endless.body_mut().frame().await.unwrap().is_ok());
    app.server.abort();
    assert!(
        endless.into_body().collect().await.is_err(),
        "streams end with it"
    );
    assert!(TcpStream::connect(app.address).await.is_err());
}

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn the_websocket_echoes_and_ends_with_the_application() {
    let app = Running::start().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let request = format!("{HANDSHAKE}Sec-WebSocket-Protocol: chat, echo\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(head.contains("sec-websocket-protocol: echo\r\n"));
    assert!(head.contains(&format!("set-cookie: demo-ws=1; Domain={HOST}; Path=/\r\n")));
    // "hi", masked with zeros.
    stream.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"\x81\x02hi");
    app.server.abort();
    assert_eq!(stream.read(&mut echo).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let app = Running::start().await;
    let plain = app.get("/ws").await;
    assert_eq!((plain.status, plain.field("upgrade")), (426, "websocket"));
    let upgrade = |version: &str| {
        Request::get("/ws")
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", version)
    };
    let old = app.ask(upgrade("8"), b"").await;
    assert_eq!(
        (old.status, old.field("sec-websocket-version")),
        (426, "13")
    );
    assert_eq!(
        app.ask(upgrade("13"), b"").await.status,
        400,
        "without a key"
    );
}
