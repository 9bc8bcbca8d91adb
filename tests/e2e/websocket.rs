//! WebSockets, over HTTP/1.1 (RFC 6455) and over HTTP/2 (RFC 8441).

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::harness::{
    Answer, Backend, Client, Connection, Running, Stand, gone, read_head, within,
};

/// A stream that a WebSocket may run on.
trait Octets: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Octets for S {}

type Socket = WebSocketStream<Box<dyn Octets>>;

/// A client's WebSocket, whichever version of HTTP opened it.
struct Opened {
    socket: Socket,
    head: Response<()>,
    // HTTP/2 ends with its last handle.
    _connection: Option<Connection>,
}

const FIELDS: [(&str, &str); 6] = [
    ("origin", "https://elsewhere.example"),
    ("cookie", "a=1; b=2"),
    ("authorization", "Bearer token"),
    ("sec-websocket-protocol", "chat, superchat"),
    (
        "sec-websocket-extensions",
        "permessage-deflate; client_max_window_bits",
    ),
    ("x-own", "kept"),
];

async fn over_http1(stand: &Running, path: &str) -> Opened {
    let url = stand.url("app", path).replace("https:", "wss:");
    let mut request = url.into_client_request().unwrap();
    for (name, value) in FIELDS {
        request
            .headers_mut()
            .append(name, HeaderValue::from_static(value));
    }
    // tungstenite would refuse the extension that it cannot speak, so the handshake is written here.
    let mut raw = stand.client().raw("app.localhost").await;
    let key = request.headers()["sec-websocket-key"]
        .to_str()
        .unwrap()
        .to_owned();
    let mut head = format!("GET {path} HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    raw.write_all(format!("{head}\r\n").as_bytes())
        .await
        .unwrap();
    let answer = within("the handshake", read_head(&mut raw)).await;
    let mut lines = answer.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let mut head = Response::builder().status(status.as_str());
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        head = head.header(name, value);
    }
    let head = head.body(()).unwrap();
    assert_eq!(head.status(), StatusCode::SWITCHING_PROTOCOLS, "{answer}");
    assert_eq!(
        head.headers()["sec-websocket-accept"],
        derive_accept_key(key.as_bytes())
    );
    assert_eq!(head.headers()["upgrade"], "websocket");
    assert_eq!(
        head.headers()["connection"]
            .to_str()
            .unwrap()
            .to_lowercase(),
        "upgrade"
    );
    let socket = client_socket(Box::new(raw)).await;
    Opened {
        socket,
        head,
        _connection: None,
    }
}

/// Asks for a WebSocket over HTTP/2.
async fn ask_http2(client: &Client, url: &str) -> (Connection, Response<Incoming>) {
    let mut connection = client.http2().connect("app.localhost").await;
    // The server's settings, which allow it, come before its first answer.
    let first = Request::get(url).method("HEAD").body(Empty::new()).unwrap();
    within("an answer", connection.send(first)).await.unwrap();
    let mut request = Request::builder().method(Method::CONNECT).uri(url);
    request = request.header("sec-websocket-version", "13");
    for (name, value) in FIELDS {
        request = request.header(name, value);
    }
    let protocol = request.extension(Protocol::from_static("websocket"));
    let request = protocol.body(Empty::new()).unwrap();
    let answer = within("the handshake", connection.send(request))
        .await
        .unwrap();
    (connection, answer)
}

async fn over_http2(stand: &Running, path: &str) -> Opened {
    let (connection, mut answer) = ask_http2(stand.client(), &stand.url("app", path)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let stream: Upgraded = hyper::upgrade::on(&mut answer).await.unwrap();
    let socket = client_socket(Box::new(TokioIo::new(stream))).await;
    Opened {
        socket,
        head: answer.map(|_| ()),
        _connection: Some(connection),
    }
}

async fn client_socket(stream: Box<dyn Octets>) -> Socket {
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

/// Opens one over each version.
async fn both(stand: &Running, path: &str) -> [Opened; 2] {
    [over_http1(stand, path).await, over_http2(stand, path).await]
}

impl Opened {
    async fn send(&mut self, message: Message) {
        within("sending", self.socket.send(message)).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        let message = within("a message", self.socket.next()).await;
        message.expect("more").expect("a message")
    }
}

/// Accepts a WebSocket with these fields in the answer, or answers HEAD, which only asks for
/// settings. Returns what was asked, and the WebSocket.
async fn accept(
    mut stream: TcpStream,
    fields: &str,
    first: &[u8],
) -> Option<(String, WebSocketStream<TcpStream>)> {
    let head = read_head(&mut stream).await;
    if !head.starts_with("GET ") {
        let _ = stream
            .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            .await;
        return None;
    }
    let key = field(&head, "sec-websocket-key");
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{fields}\r\n"
    );
    // In one piece, so that what follows the head arrives with it.
    stream
        .write_all(&[answer.as_bytes(), first].concat())
        .await
        .unwrap();
    Some((
        head,
        WebSocketStream::from_raw_socket(stream, Role::Server, None).await,
    ))
}

fn field<'h>(head: &'h str, name: &str) -> &'h str {
    let named = |line: &&str| {
        let found = line.split_once(':').map(|(found, _)| found);
        found.is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    let mut lines = head.lines().filter(named);
    let line = lines
        .next()
        .unwrap_or_else(|| panic!("no {name} in {head}"));
    assert_eq!(lines.next(), None, "{name} stands twice");
    line.split_once(": ").unwrap().1
}

/// An application that echoes messages and says `bye` to `close me` with a code of its own. Every
/// Close that it gets is handed over.
async fn echo() -> (Backend, mpsc::UnboundedReceiver<Option<CloseFrame>>) {
    let (report, closes) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |stream| {
        let report = report.clone();
        async move {
            let Some((_, mut socket)) = accept(stream, "", b"").await else {
                return;
            };
            while let Some(Ok(message)) = socket.next().await {
                match message {
                    Message::Text(text) if text == "close me" => {
                        let code = CloseCode::Library(4001);
                        socket
                            .close(Some(CloseFrame {
                                code,
                                reason: "bye".into(),
                            }))
                            .await
                            .unwrap();
                    }
                    Message::Close(frame) => report.send(frame).unwrap(),
                    Message::Ping(_) | Message::Pong(_) => {}
                    message => socket.send(message).await.unwrap(),
                }
            }
            // The end of the octets, with or without a Close before.
            report.send(None).unwrap();
        }
    })
    .await;
    (backend, closes)
}

#[tokio::test]
async fn every_header_of_the_handshake_passes_both_ways() {
    let (asked, mut heads) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |stream| {
        let asked = asked.clone();
        async move {
            let fields = "Set-Cookie: one=1\r\nSet-Cookie: two=2; Path=/\r\nX-Own: kept\r\n\
                Sec-WebSocket-Protocol: superchat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
            // Its first message comes with the answer: nothing of it may be lost.
            if let Some((head, mut socket)) = accept(stream, fields, b"\x81\x05hello").await {
                asked.send(head).unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            }
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    for mut opened in both(&stand, "/chat?room=1").await {
        let head = heads.recv().await.unwrap();
        assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{head}");
        for (name, value) in FIELDS {
            assert_eq!(field(&head, name), value);
        }
        assert_eq!(field(&head, "sec-websocket-version"), "13");
        assert_eq!(field(&head, "connection").to_lowercase(), "upgrade");
        assert_eq!(field(&head, "upgrade"), "websocket");
        assert_eq!(field(&head, "x-forwarded-proto"), "https");

        let answer: &HeaderMap = opened.head.headers();
        let cookies: Vec<_> = answer.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["one=1", "two=2; Path=/"]);
        for (name, value) in [
            ("x-own", "kept"),
            ("sec-websocket-protocol", "superchat"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ] {
            assert_eq!(answer[name], value);
        }
        assert_eq!(opened.next().await, Message::text("hello"));
    }
}

#[tokio::test]
async fn messages_pings_and_close_codes_pass_both_ways() {
    let (backend, mut closes) = echo().await;
    let stand = Stand::new().application("app", &backend).start().await;
    for mut opened in both(&stand, "/").await {
        let large = Bytes::from(vec![7; 16 << 20]);
        for message in [
            Message::text("grüß dich"),
            Message::text(""),
            Message::binary(&b"\x00\xff"[..]),
            Message::Binary(large),
        ] {
            opened.send(message.clone()).await;
            // Not printed where it differs: it is large.
            assert!(opened.next().await == message);
        }
        opened.send(Message::Ping("are you there".into())).await;
        assert_eq!(opened.next().await, Message::Pong("are you there".into()));

        let frame = CloseFrame {
            code: CloseCode::from(3999),
            reason: "enough".into(),
        };
        opened.send(Message::Close(Some(frame.clone()))).await;
        assert_eq!(closes.recv().await.unwrap(), Some(frame.clone()));
        assert_eq!(opened.next().await, Message::Close(Some(frame)));
        assert!(within("the end", opened.socket.next()).await.is_none());
        assert_eq!(closes.recv().await.unwrap(), None);
    }
    for mut opened in both(&stand, "/").await {
        opened.send(Message::text("close me")).await;
        let frame = CloseFrame {
            code: CloseCode::Library(4001),
            reason: "bye".into(),
        };
        assert_eq!(opened.next().await, Message::Close(Some(frame.clone())));
        assert!(within("the end", opened.socket.next()).await.is_none());
        assert_eq!(closes.recv().await.unwrap(), Some(frame));
        assert_eq!(closes.recv().await.unwrap(), None);
    }
}

/// An application that answers one request a connection, keeps the connection open, and tells when
/// the other end has closed it.
async fn keeping() -> (Backend, mpsc::UnboundedReceiver<()>) {
    let (tell, closed) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream: TcpStream| {
        let tell = tell.clone();
        async move {
            read_head(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            gone(&mut stream).await;
            let _ = tell.send(());
        }
    });
    (backend.await, closed)
}

#[tokio::test]
async fn one_that_is_idle_stays_open() {
    let (backend, _closes) = echo().await;
    let (keeping, mut closed) = keeping().await;
    let stand = Stand::new()
        .application("app", &backend)
        .application("keeping", &keeping);
    let stand = stand.start().await;
    let mut both = both(&stand, "/").await;
    // Longer than an idle connection to an application is kept, twice, and with it longer than the
    // time between the tunnel's pings: no rule about idle connections is for WebSockets.
    for _ in 0..2 {
        assert_eq!(stand.get(&stand.url("keeping", "/")).await.status, 200);
        within("the end of an idle connection", closed.recv()).await;
    }
    for opened in &mut both {
        opened.send(Message::text("still there")).await;
        assert_eq!(opened.next().await, Message::text("still there"));
    }
}

/// A path, what the application says to the handshake there, and the status that the client gets.
const ANSWERS: [(&str, &str, u16); 7] = [
    (
        "/401",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 4\r\n\r\nname",
        401,
    ),
    (
        "/302",
        "HTTP/1.1 302 Found\r\nLocation: /sign-in\r\nContent-Length: 4\r\n\r\nover",
        302,
    ),
    (
        "/426",
        "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n0\r\n\r\n",
        426,
    ),
    (
        "/200",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        502,
    ),
    (
        "/accept",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        502,
    ),
    (
        "/none",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        502,
    ),
    (
        "/h2c",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        502,
    ),
];

#[tokio::test]
async fn a_refusal_is_the_applications_and_anything_else_is_a_bad_response() {
    let backend = Backend::raw(async |mut stream| {
        let head = read_head(&mut stream).await;
        let path = head.split(' ').nth(1).unwrap_or_default();
        let answer = match ANSWERS.iter().find(|(asked, ..)| *asked == path) {
            Some((_, answer, _)) if head.starts_with("GET ") => answer,
            _ => "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        gone(&mut stream).await;
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    let mut seen = 0;
    for (path, script, status) in ANSWERS {
        let url = stand.url("app", path);
        let http1 = {
            let request = Request::get(&url)
                .header("connection", "Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
                .body(Empty::new())
                .unwrap();
            Answer::read(stand.send(request).await).await
        };
        let (_connection, answer) = ask_http2(stand.client(), &url).await;
        for answer in [http1, Answer::read(answer).await] {
            let case = format!("{path} over {:?}", answer.version);
            assert_eq!(answer.status, status, "{case}");
            assert!(
                !answer.headers.contains_key("sec-websocket-accept"),
                "{case}"
            );
            let id = answer.header("x-request-id");
            let line = stand.access_line(id).await;
            if status == 502 {
                assert_eq!(line["error"], "backend_bad_response", "{case}");
            } else {
                assert!(
                    script.contains(answer.text()) && answer.text().len() == 4,
                    "{case}"
                );
            }
            let log = stand.gateway().log();
            let told = log
                .iter()
                .filter(|line| line.contains("\"websocket_refused\"") && line.contains(id));
            let is_refusal = [401, 426].contains(&status);
            assert_eq!(told.count(), usize::from(is_refusal), "{case}");
            for (status_of, name, value) in [
                (401, "www-authenticate", "Basic realm=\"x\""),
                (302, "location", "/sign-in"),
                (426, "sec-websocket-version", "13"),
            ] {
                if status_of == status {
                    assert_eq!(answer.header(name), value, "{case}");
                }
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 14);
}

#[tokio::test]
async fn a_refusal_that_stops_half_way_is_broken_off_like_any_other_answer() {
    let backend = Backend::raw(async |mut stream| {
        read_head(&mut stream).await;
        let half = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n";
        stream.write_all(half.as_bytes()).await.unwrap();
        gone(&mut stream).await;
    })
    .await;
    let mut stand = Stand::new()
        .application_with("app", &backend, json!({ "timeouts": { "idle": "300ms" } }))
        .start()
        .await;
    let (_connection, answer) = ask_http2(stand.client(), &stand.url("app", "/")).await;
    assert_eq!(answer.status(), 403);
    let read = within("the end", answer.into_body().collect()).await;
    assert!(read.is_err(), "half an answer looks whole: {read:?}");
    let connector = &stand.connectors()[0];
    let line = connector.says("the application's answer broke off").await;
    assert!(line.contains("backend_idle_timeout"), "{line}");
}

#[tokio::test]
async fn what_follows_a_handshake_waits_for_the_answer_and_is_a_request_where_it_is_refused() {
    let (backend, _closes) = echo().await;
    let refusing = Backend::raw(async |mut stream| {
        while let Some(path) = read_head(&mut stream).await.split(' ').nth(1) {
            let answer = match path {
                "/ws" => "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond",
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let stand = Stand::new()
        .application("app", &backend)
        .application("no", &refusing)
        .start()
        .await;
    let handshake = |name: &str| {
        format!(
            "GET /ws HTTP/1.1\r\nHost: {name}.localhost:{}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            stand.address().port()
        )
    };
    // A masked text frame, impatient.
    let mut raw = stand.client().raw("app.localhost").await;
    let impatient = [handshake("app").as_bytes(), b"\x81\x82\x00\x00\x00\x00hi"].concat();
    raw.write_all(&impatient).await.unwrap();
    let head = within("the handshake", read_head(&mut raw)).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut frame = [0; 4];
    within("the echo", raw.read_exact(&mut frame))
        .await
        .unwrap();
    assert_eq!(&frame, b"\x81\x02hi");

    // Where the application refuses, they never reach it as octets of a WebSocket: what is there is
    // a request like any other, with a line in the log.
    let mut raw = stand.client().raw("no.localhost").await;
    let host = format!("Host: no.localhost:{}\r\n", stand.address().port());
    let second = format!("GET /second HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    raw.write_all(format!("{}{second}", handshake("no")).as_bytes())
        .await
        .unwrap();
    let mut answers = Vec::new();
    // After a refused upgrade the end is that of TCP alone; the answers have their lengths.
    let _ = within("the answers", raw.read_to_end(&mut answers)).await;
    let answers = String::from_utf8(answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 403 "), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1, "{answers}");
    assert!(answers.ends_with("\r\n\r\nsecond"), "{answers}");
}

#[tokio::test]
async fn other_upgrades_are_dropped() {
    let backend = Backend::echo().await;
    let stand = Stand::new().application("app", &backend).start().await;
    for protocol in ["h2c", "TLS/1.0", "IRC/6.9"] {
        let request = Request::get(stand.url("app", "/"))
            .header("connection", "Upgrade, HTTP2-Settings")
            .header("upgrade", protocol)
            .header("http2-settings", "AAMAAABkAAQAAP__")
            .body(Empty::new())
            .unwrap();
        let answer = Answer::read(stand.send(request).await).await;
        assert_eq!(answer.status, StatusCode::OK);
        let seen = &answer.json()["headers"];
        for name in ["upgrade", "http2-settings", "connection"] {
            assert!(seen.get(name).is_none(), "{protocol}: {seen}");
        }
    }
}

#[tokio::test]
async fn a_gateway_that_stops_says_so_to_both_ends() {
    let (backend, mut closes) = echo().await;
    let stand = Stand::new().application("app", &backend).start().await;
    let mut both = both(&stand, "/").await;
    for opened in &mut both {
        opened.send(Message::text("hello")).await;
        assert_eq!(opened.next().await, Message::text("hello"));
    }
    stand.gateway().terminate();
    for opened in &mut both {
        assert_eq!(opened.next().await, Message::Close(Some(going_away())));
        assert_eq!(
            within("Close", closes.recv()).await.unwrap(),
            Some(going_away())
        );
        assert_eq!(within("the end", closes.recv()).await.unwrap(), None);
    }
}

fn going_away() -> CloseFrame {
    CloseFrame {
        code: CloseCode::Away,
        reason: "".into(),
    }
}

#[tokio::test]
async fn a_connector_that_stops_waits_for_its_deadline_and_says_so_to_both_ends() {
    let (backend, mut closes) = echo().await;
    let mut stand = Stand::new()
        .application("app", &backend)
        // What is said before it has to be answered before it.
        .connector_setting("drain", json!({ "deadline": "9s" }))
        .start()
        .await;
    let mut both = both(&stand, "/").await;
    stand.connectors()[0].terminate();
    stand.connectors()[0]
        .says("draining: the gateways send no new requests")
        .await;
    // What is open goes on until the deadline.
    for opened in &mut both {
        opened.send(Message::text("still there")).await;
        assert_eq!(opened.next().await, Message::text("still there"));
    }
    for opened in &mut both {
        assert_eq!(opened.next().await, Message::Close(Some(going_away())));
    }
    for _ in 0..2 {
        assert_eq!(
            within("Close", closes.recv()).await.unwrap(),
            Some(going_away())
        );
        assert_eq!(within("the end", closes.recv()).await.unwrap(), None);
    }
    assert!(stand.connectors()[0].ended().await.success());
}

/// A client that takes nothing is not waited for beyond the deadline, and its application is told
/// of the end, whoever stops.
#[tokio::test]
async fn one_that_reads_nothing_holds_up_no_stop() {
    let flooded = watch::Sender::new(0_usize);
    let sent = flooded.clone();
    let backend = Backend::raw(move |stream| {
        let sent = sent.clone();
        async move {
            let Some((_, mut socket)) = accept(stream, "", b"").await else {
                return;
            };
            let message = Message::binary(vec![0; 64 * 1024]);
            while socket.send(message.clone()).await.is_ok() {
                sent.send_modify(|count| *count += 1);
            }
            sent.send_replace(0);
        }
    })
    .await;
    let mut stand = Stand::new()
        .application("app", &backend)
        .connector_setting("drain", json!({ "deadline": "1s" }))
        .gateway_setting("drain", json!({ "notice": "1s", "deadline": "4s" }))
        .start()
        .await;
    let mut gone = flooded.subscribe();
    for stops_gateway in [false, true] {
        let both = both(&stand, "/").await;
        // As much as all buffers take, or on the way to it.
        within("the flood", gone.wait_for(|&count| count > 20))
            .await
            .unwrap();
        if stops_gateway {
            stand.gateway().terminate();
            assert!(stand.gateway().ended().await.success());
        } else {
            let connector = stand.connectors().remove(0);
            connector.terminate();
            assert!(connector.ended().await.success());
            let config = stand.folder().join("connector-1.yaml");
            stand.start_connector(&config).await;
        }
        within("the application's end", gone.wait_for(|&count| count == 0))
            .await
            .unwrap();
        drop(both);
    }
}

#[tokio::test]
async fn a_connector_that_dies_ends_them() {
    let (backend, mut closes) = echo().await;
    let mut stand = Stand::new().application("app", &backend).start().await;
    let mut both = both(&stand, "/").await;
    stand.connectors()[0].kill();
    for opened in &mut both {
        let end = within("the end", opened.socket.next()).await;
        // No Close: that would say that the application has ended it.
        assert!(matches!(end, Some(Err(_)) | None), "{end:?}");
        assert_eq!(within("the end", closes.recv()).await.unwrap(), None);
    }
}
