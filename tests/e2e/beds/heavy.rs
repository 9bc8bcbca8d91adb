//! Much at once: large bodies, a large message, many connections, slow ones. `SOAK=1` has the long
//! forms.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::is_soak;
use crate::harness::{
    Answer, Backend, Client, Connection, ResponseBody, Running, Stand, Tls, body, gone, read_head,
    until, within, words,
};

const MIB: usize = 1 << 20;

/// How much more memory than before a process may occupy, in MiB, whatever passes through it: what
/// windows and buffers on the way may hold, and not a part of what passes.
const GROWTH: u64 = 64;

/// Octets of a body in one piece.
const PIECE: usize = 64 * 1024;

/// What a test takes in its short and in its long form.
fn short_or_long(short: usize, long: usize) -> usize {
    if is_soak() { long } else { short }
}

/// Piece number so and so of a body: no two are the same.
fn piece(number: usize) -> Bytes {
    let mut octets = vec![b'.'; PIECE];
    octets[..8].copy_from_slice(&(number as u64).to_be_bytes());
    octets.into()
}

fn digest_of(pieces: usize) -> String {
    let mut digest = Context::new(&SHA256);
    (0..pieces).for_each(|number| digest.update(&piece(number)));
    format!("{:?}", digest.finish())
}

fn pieces(count: usize) -> impl http_body::Body<Data = Bytes, Error = std::io::Error> + Send {
    StreamBody::new(stream::iter(0..count).map(|number| Ok(Frame::data(piece(number)))))
}

async fn digest(mut octets: Incoming) -> String {
    let mut digest = Context::new(&SHA256);
    while let Some(frame) = within("more of a body", octets.frame()).await {
        if let Ok(data) = frame.expect("a whole body").into_data() {
            digest.update(&data);
        }
    }
    format!("{:?}", digest.finish())
}

/// An application, and the octets that it has given so far.
async fn application() -> (Backend, Arc<AtomicU64>) {
    let given = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&given);
    let backend = Backend::answering(move |request| answer(request, Arc::clone(&count))).await;
    (backend, given)
}

/// `/down/N` gives N pieces; `/up` answers with the digest of what it got; `/stall` reads nothing
/// and answers when nobody waits any more; else `ok`.
async fn answer(request: Request<Incoming>, given: Arc<AtomicU64>) -> Response<ResponseBody> {
    let path = request.uri().path().to_owned();
    match path.split('/').nth(1).unwrap_or_default() {
        "down" => {
            let count = path.rsplit('/').next().unwrap().parse().unwrap();
            let body = pieces(count).map_frame(move |frame| {
                given.fetch_add(PIECE as u64, Ordering::Relaxed);
                frame
            });
            Response::new(body.map_err(Into::into).boxed_unsync())
        }
        "up" => Response::new(body(digest(request.into_body()).await)),
        "stall" => {
            let mut octets = request.into_body();
            while let Some(Ok(_)) = octets.frame().await {}
            Response::new(body("ok"))
        }
        _ => Response::new(body("ok")),
    }
}

async fn stand(backend: &Backend, tunnels: usize) -> Running {
    Stand::new()
        .application("app", backend)
        .connector_setting("connections", json!(tunnels))
        .gateway_setting("limits", words::no_limits())
        .start()
        .await
}

/// What gateway and connector occupy, in MiB.
fn memory(stand: &mut Running) -> [(&'static str, u64); 2] {
    let gateway = stand.gateway().memory();
    [
        ("gateway", gateway),
        ("connector", stand.connectors()[0].memory()),
    ]
}

/// Neither has grown beyond what may be, ever since it was started.
fn is_constant(stand: &mut Running, before: [(&'static str, u64); 2]) {
    let peaks = [
        stand.gateway().peak_memory(),
        stand.connectors()[0].peak_memory(),
    ];
    for ((name, before), peak) in before.into_iter().zip(peaks) {
        let peak = peak / MIB as u64;
        eprintln!("{name}: {before} MiB before, {peak} MiB at most");
        assert!(peak < before + GROWTH, "{name}: {before} MiB, then {peak}");
    }
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways_in_constant_memory() {
    // A quarter of what passes each way: up and down at once, over each version.
    let count = short_or_long(128, 2048) * MIB / PIECE;
    let wanted = tokio::task::spawn_blocking(move || digest_of(count));
    let (backend, _) = application().await;
    let mut stand = stand(&backend, 1).await;
    let client = stand.client().clone();
    let before = memory(&mut stand);
    let wanted = wanted.await.unwrap();
    for client in [client.clone(), client.http2()] {
        let down = Request::get(stand.url("app", &format!("/down/{count}")));
        let down = client.send(down.body(Empty::<Bytes>::new()).unwrap());
        let up = Request::post(stand.url("app", "/up")).body(pieces(count));
        let mut upwards = client.connect("app.localhost").await;
        let up = async {
            // As long as the body takes: the other side watches that it goes on.
            let answer = upwards.send(up.unwrap()).await.unwrap();
            Answer::read(answer).await.text().to_owned()
        };
        let down = async { digest(down.await.into_body()).await };
        let (down, up) = tokio::join!(down, up);
        assert_eq!(down, wanted);
        assert_eq!(up, wanted);
    }
    is_constant(&mut stand, before);
}

/// An application that switches to WebSocket and sends each frame back while it still comes.
async fn mirror() -> Backend {
    Backend::raw(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let key = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        let Some((_, key)) = key else { return };
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut begin = [0; 14];
        if stream.read_exact(&mut begin).await.is_err() {
            return;
        }
        // Without the mask, which is of zeros: what came is what was meant.
        begin[1] &= 0x7f;
        stream.write_all(&begin[..10]).await.unwrap();
        let mut left = u64::from_be_bytes(begin[2..10].try_into().unwrap());
        let mut part = vec![0; PIECE];
        while left > 0 {
            let most = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            let count = stream.read(&mut part[..most]).await.unwrap();
            assert_ne!(count, 0, "the frame stopped {left} octets before its end");
            stream.write_all(&part[..count]).await.unwrap();
            left -= count as u64;
        }
        gone(&mut stream).await;
    })
    .await
}

/// Opens a WebSocket whose frames the test writes itself.
async fn open(client: &Client, authority: &str) -> Tls {
    let mut socket = client.raw("app.localhost").await;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let answer = within("the handshake", read_head(&mut socket)).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    socket
}

#[tokio::test]
async fn a_large_message_passes_in_constant_memory() {
    let count = short_or_long(64, 1024) * MIB / PIECE;
    let backend = mirror().await;
    let mut stand = stand(&backend, 1).await;
    let authority = format!("app.localhost:{}", stand.address().port());
    let socket = open(stand.client(), &authority).await;
    let before = memory(&mut stand);
    let (mut from, mut to) = tokio::io::split(socket);
    let length = ((count * PIECE) as u64).to_be_bytes();
    let send = async {
        // FIN and binary; masked, 64 bits of length; a mask of zeros.
        let begin = [&[0x82, 0xff][..], &length, &[0; 4]].concat();
        to.write_all(&begin).await.unwrap();
        for number in 0..count {
            within("sending", to.write_all(&piece(number)))
                .await
                .unwrap();
        }
        to.flush().await.unwrap();
    };
    let receive = async {
        let mut begin = [0; 10];
        within("the frame's begin", from.read_exact(&mut begin))
            .await
            .unwrap();
        assert_eq!(begin[..2], [0x82, 0x7f]);
        assert_eq!(begin[2..], length);
        let mut part = vec![0; PIECE];
        for number in 0..count {
            within("more of the frame", from.read_exact(&mut part))
                .await
                .unwrap();
            assert!(part == piece(number), "piece {number} is another");
        }
    };
    tokio::join!(send, receive);
    is_constant(&mut stand, before);
}

/// `tests/e2e/load.rs` has the short form, with five hundred.
#[tokio::test]
#[ignore = "thousands of connections: `make soak`"]
async fn five_thousand_websockets_stay_open() {
    const COUNT: usize = 5_000;
    assert!(is_soak(), "run `make soak`");
    let backend = Backend::raw(|stream| async move {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
            return;
        };
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                let _ = socket.send(message).await;
            }
        }
    })
    .await;
    // A place each, and some to spare.
    let mut stand = stand(&backend, 8).await;
    let client = stand.client().clone();
    let before = memory(&mut stand);
    let mut sockets = Vec::new();
    while sockets.len() < COUNT {
        sockets.push(client.websocket("wss://app.localhost/").await.0);
    }
    for socket in &mut sockets {
        socket.send(Message::text("here")).await.unwrap();
        let answer = within("an echo", socket.next()).await.unwrap().unwrap();
        assert_eq!(answer, Message::text("here"));
    }
    for ((name, before), (_, now)) in before.into_iter().zip(memory(&mut stand)) {
        let each = now.saturating_sub(before) * 1024 / COUNT as u64;
        eprintln!("{name}: {COUNT} WebSockets take {each} KiB each, {now} MiB in all");
    }
    drop(sockets);
    let answer = stand.get("https://app.localhost/").await;
    // The application takes nothing but WebSockets.
    assert_ne!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let connector = &stand.connectors()[0];
    until("the connector's sockets to close", || {
        connector.sockets() < 100
    })
    .await;
}

/// Rounds of small requests over 16 connections, each round after the other: the shortest of their
/// 99th percentiles, which is what the machine allows where others use it too.
async fn good(client: &Client, url: &str, each: usize) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..short_or_long(1, 5) {
        let times = answered(client, url, 16, each).await;
        assert_eq!(times.len(), 16 * each);
        best = best.min(times[times.len() * 99 / 100]);
    }
    best
}

/// Small requests, each over one of these connections after the other; how long each took, the
/// longest last.
async fn answered(client: &Client, url: &str, connections: usize, each: usize) -> Vec<Duration> {
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let mut connection: Connection = client.connect("app.localhost").await;
        let url = url.to_owned();
        workers.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..each {
                let began = Instant::now();
                let request = Request::get(&url).body(Empty::<Bytes>::new()).unwrap();
                let answer = within("an answer", connection.send(request)).await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                assert_eq!(Answer::read(answer).await.text(), "ok");
                times.push(began.elapsed());
            }
            times
        });
    }
    let mut times = workers.join_all().await.concat();
    times.sort_unstable();
    times
}

// Clients, slow ones and the application beside one another, or they would slow each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_connections_leave_the_others_alone() {
    let slow = short_or_long(200, 2_000);
    let (backend, given) = application().await;
    let mut stand = stand(&backend, 4).await;
    let client = stand.client().clone();
    let url = stand.url("app", "/small");
    let each = short_or_long(10, 200);
    let alone = [
        good(&client, &url, each).await,
        good(&client.http2(), &url, each).await,
    ];

    // A third stops in its head, a third in its body, a third reads nothing of 16 MiB.
    let authority = format!("app.localhost:{}", stand.address().port());
    let parts: [String; 3] = [
        format!("GET /slow HTTP/1.1\r\nHost: {authority}\r\nX-Slow: "),
        format!(
            "POST /stall HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 1000000\r\n\r\n{}",
            "a".repeat(1000)
        ),
        format!("GET /down/256 HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
    ];
    let mut held = Vec::new();
    let far = client.far();
    for number in 0..slow {
        let mut connection = far.raw("app.localhost").await;
        let part = parts[number % parts.len()].as_bytes();
        connection.write_all(part).await.unwrap();
        connection.flush().await.unwrap();
        held.push(connection);
    }
    // Until what lies between the application and those who do not read is full: filling it is work.
    let mut look = tokio::time::interval(Duration::from_millis(500));
    // The first comes at once.
    look.tick().await;
    let mut before = u64::MAX;
    while before != given.load(Ordering::Relaxed) {
        before = given.load(Ordering::Relaxed);
        look.tick().await;
    }
    // A few octets more of each head and body, again and again, as those do who hold connections.
    let stop = Arc::new(watch::Sender::new(false));
    let mut stopped = stop.subscribe();
    let dripping = tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_millis(500));
        while !*stopped.borrow_and_update() {
            for (number, connection) in held.iter_mut().enumerate() {
                if number % parts.len() < 2 {
                    // One that was closed meanwhile stays closed.
                    let _ = connection.write_all(b"a").await;
                    let _ = connection.flush().await;
                }
            }
            tokio::select! {
                _ = beat.tick() => {}
                _ = stopped.changed() => {}
            }
        }
        held
    });
    let beside = [
        good(&client, &url, each).await,
        good(&client.http2(), &url, each).await,
    ];
    stop.send_replace(true);
    let held = within("the slow ones", dripping).await.unwrap();
    assert_eq!(held.len(), slow);
    for (version, (alone, beside)) in ["HTTP/1.1", "HTTP/2"]
        .into_iter()
        .zip(alone.iter().zip(&beside))
    {
        eprintln!("{version}: p99 {alone:?} alone, {beside:?} beside {slow} slow connections");
        // Where other tests run beside this one, the time says nothing.
        if is_soak() {
            assert!(
                *beside <= *alone * 2,
                "{version}: {alone:?}, then {beside:?}"
            );
        }
    }
    drop(held);
    assert_eq!(stand.get("https://app.localhost/small").await.text(), "ok");
    for (name, now) in memory(&mut stand) {
        eprintln!("{name}: {now} MiB with {slow} slow connections");
    }
}

/// Each small frame that is not read yet costs more than it carries, and HTTP/2 ends a connection that
/// has many: here it would be the tunnel, with everybody's requests in it.
#[tokio::test]
async fn rule_09_uploads_in_chunks_of_one_octet_take_no_tunnel_with_them() {
    const UPLOADS: usize = 7;
    const CHUNKS: usize = 1_000_000;
    let (go, told) = watch::channel(false);
    let backend = Backend::answering(move |request: Request<Incoming>| {
        let mut told = told.clone();
        async move {
            if request.uri().path() != "/up" {
                return Response::new(body("ok"));
            }
            let _ = told.wait_for(|go| *go).await;
            let whole = request.into_body().collect().await.expect("a whole body");
            Response::new(body(whole.to_bytes().len().to_string()))
        }
    })
    .await;
    let stand = stand(&backend, 1).await;
    let (_, closed) = stand.tunnels();
    let port = stand.address().port();
    let mut uploads = JoinSet::new();
    let chunks: Bytes = b"1\r\nx\r\n".repeat(10_000).into();
    let written = Arc::new(AtomicU64::new(0));
    for _ in 0..UPLOADS {
        let (client, chunks, written) =
            (stand.client().clone(), chunks.clone(), Arc::clone(&written));
        uploads.spawn(async move {
            let mut stream = client.raw("app.localhost").await;
            let head = format!(
                "POST /up HTTP/1.1\r\nHost: app.localhost:{port}\r\nConnection: close\r\n\
                 Transfer-Encoding: chunked\r\n\r\n"
            );
            stream
                .write_all(head.as_bytes())
                .await
                .expect("a connection");
            for _ in 0..CHUNKS / 10_000 {
                stream.write_all(&chunks).await.expect("a connection");
            }
            written.fetch_add(1, Ordering::SeqCst);
            stream.write_all(b"0\r\n\r\n").await.expect("a connection");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            answer
        });
    }
    until("all is written", || {
        written.load(Ordering::SeqCst) == UPLOADS as u64
    })
    .await;
    let other = stand.get(&stand.url("app", "/")).await;
    assert_eq!(other.text(), "ok");
    go.send_replace(true);
    while let Some(answer) = within("an answer", uploads.join_next()).await {
        let answer = answer.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains(&CHUNKS.to_string()), "{answer}");
    }
    assert_eq!(stand.tunnels().1, closed);
}
