//! Bodies flow as they come, both ways; nothing is collected, and what broke never ends cleanly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::harness::{
    Answer, Backend, Client, ResponseBody, Running, Stand, Tls, body, gone, read_head, within,
};

const MIB: usize = 1 << 20;

/// A frame of a body, or what breaks it.
type Piece = Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>;

/// A body whose frames a test sends when it likes.
fn live() -> (mpsc::Sender<Piece>, ResponseBody) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    (sender, StreamBody::new(frames.boxed()).boxed_unsync())
}

fn data(text: &'static str) -> Piece {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// The next data of a body.
async fn next_data(
    body: &mut (impl http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin),
) -> Bytes {
    let frame = within("the next frame", body.frame()).await;
    frame
        .expect("more")
        .expect("a whole body")
        .into_data()
        .expect("data")
}

/// The same client over HTTP/1.1 and over HTTP/2.
fn both(stand: &Running) -> [Client; 2] {
    [stand.client().clone(), stand.client().http2()]
}

async fn write(stream: &mut (impl AsyncWriteExt + Unpin), text: &str) {
    stream
        .write_all(text.as_bytes())
        .await
        .expect("the peer takes it");
}

/// Reads to the end of the connection, which must be announced as TLS has it.
async fn rest(stream: &mut Tls) -> String {
    let mut rest = Vec::new();
    within("the end", stream.read_to_end(&mut rest))
        .await
        .expect("a clean end");
    String::from_utf8(rest).expect("text")
}

mod heavy {
    use super::*;

    /// Octet `i` of the demo's downloads is `i mod 251`.
    const PERIOD: usize = 251;

    /// A window of 1 MiB, buffers and the program itself; the body would be 256.
    const MOST_MEMORY: u64 = 96 << 20;

    #[tokio::test]
    async fn a_quarter_of_a_gibibyte_flows_up_and_down_without_being_collected() {
        const LENGTH: usize = 256 * MIB;
        let (demo, _) = Backend::demo().await;
        let mut stand = Stand::new().application("demo", &demo).start().await;
        // Any window of it that begins at a multiple of the period is the same.
        let pattern: Bytes = (0..MIB + PERIOD).map(|i| (i % PERIOD) as u8).collect();
        let piece = move |at: usize| {
            let length = MIB.min(LENGTH - at);
            pattern.slice(at % PERIOD..at % PERIOD + length)
        };
        let mut expected = Context::new(&SHA256);
        for at in (0..LENGTH).step_by(MIB) {
            expected.update(&piece(at));
        }
        let expected = hex(expected.finish().as_ref());

        for client in both(&stand) {
            let url = stand.url("demo", "/download?size=256MiB");
            let answer = client
                .send(Request::get(url).body(Empty::new()).unwrap())
                .await;
            assert_eq!(answer.headers()["content-length"], LENGTH.to_string());
            let (mut body, mut hash) = (answer.into_body(), Context::new(&SHA256));
            while let Some(frame) = within("more", body.frame()).await {
                hash.update(frame.unwrap().data_ref().unwrap());
            }
            assert_eq!(hex(hash.finish().as_ref()), expected);

            let piece = piece.clone();
            let pieces = (0..LENGTH)
                .step_by(MIB)
                .map(move |at| Ok::<_, std::io::Error>(Frame::data(piece(at))));
            let upload = StreamBody::new(stream::iter(pieces));
            let request = Request::post(stand.url("demo", "/upload"))
                .body(upload)
                .unwrap();
            let answer = Answer::read(client.send(request).await).await.json();
            assert_eq!(answer["octets"], LENGTH);
            assert_eq!(answer["sha256"], expected);
        }
        let peaks = [
            stand.gateway().peak_memory(),
            stand.connectors()[0].peak_memory(),
        ];
        assert!(peaks.iter().all(|&peak| peak < MOST_MEMORY), "{peaks:?}");
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// What may be under way between an application and a reader: windows, and the buffers of six
    /// sockets, which the system sizes.
    const MOST_UNDER_WAY: usize = 48 * MIB;

    #[tokio::test]
    async fn a_reader_that_stops_stops_the_applications_writer() {
        let (report, mut stalls) = mpsc::channel(1);
        let backend = Backend::raw(move |mut stream| {
            let report = report.clone();
            async move {
                read_head(&mut stream).await;
                write(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
                report
                    .send(write_until_stalled(&mut stream).await)
                    .await
                    .unwrap();
                gone(&mut stream).await;
                report.send(0).await.unwrap();
            }
        })
        .await;
        let stand = Stand::new().application("app", &backend).start().await;
        for client in both(&stand) {
            let url = stand.url("app", "/");
            let answer = client
                .send(Request::get(url).body(Empty::new()).unwrap())
                .await;
            let written = within("the writer stands still", stalls.recv())
                .await
                .unwrap();
            assert!(written < MOST_UNDER_WAY, "{written}");
            drop(answer);
            assert_eq!(within("the end", stalls.recv()).await, Some(0));
        }
    }

    #[tokio::test]
    async fn an_application_that_stops_reading_stops_the_uploader() {
        let backend = Backend::raw(async |mut stream| {
            read_head(&mut stream).await;
            std::future::pending::<()>().await;
        })
        .await;
        let stand = Stand::new().application("app", &backend).start().await;
        let mut raw = stand.client().raw("app.localhost").await;
        let length = 1_u64 << 40;
        let port = stand.address().port();
        write(
            &mut raw,
            &format!(
                "POST / HTTP/1.1\r\nHost: app.localhost:{port}\r\nContent-Length: {length}\r\n\r\n"
            ),
        )
        .await;
        let written = write_until_stalled(&mut raw).await;
        assert!(written < MOST_UNDER_WAY, "{written}");
    }

    /// Writes until nothing was taken for a second, and says how many octets were.
    async fn write_until_stalled(stream: &mut (impl AsyncWriteExt + Unpin)) -> usize {
        let (piece, mut written) = (vec![b'x'; 64 * 1024], 0);
        while let Ok(taken) = timeout(Duration::from_secs(1), stream.write(&piece)).await {
            written += taken.expect("the peer is there");
            if written > 2 * MOST_UNDER_WAY {
                break;
            }
        }
        written
    }
}

#[tokio::test]
async fn a_body_is_answered_piece_by_piece_while_it_is_sent() {
    let backend = Backend::answering(async |request: Request<hyper::body::Incoming>| {
        Response::new(request.into_body().map_err(Into::into).boxed_unsync())
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    for client in both(&stand) {
        let (pieces, upload) = live();
        let request = Request::post(stand.url("app", "/")).body(upload).unwrap();
        let mut answer = client.send(request).await.into_body();
        for text in ["one", "two", "three"] {
            pieces.send(data(text)).await.unwrap();
            assert_eq!(next_data(&mut answer).await, text);
        }
        drop(pieces);
        let rest = within("the end", answer.collect()).await.unwrap();
        assert_eq!(rest.to_bytes(), "");
    }
}

#[tokio::test]
async fn server_sent_events_arrive_one_by_one() {
    let (hand_over, mut answers) = mpsc::channel(1);
    let backend = Backend::answering(move |_| {
        let hand_over = hand_over.clone();
        async move {
            let (events, body) = live();
            hand_over.send(events).await.unwrap();
            let mut response = Response::new(body);
            let kind = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert("content-type", kind);
            response
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    for client in both(&stand) {
        let request = Request::get(stand.url("app", "/events"))
            .body(Empty::new())
            .unwrap();
        let answer = client.send(request).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let (mut answer, events) = (answer.into_body(), answers.recv().await.unwrap());
        for event in [
            "id: 1\ndata: a\n\n",
            "id: 2\ndata: b\n\n",
            ": still there\n\n",
        ] {
            // The next one is made after the one before was seen.
            events.send(data(event)).await.unwrap();
            assert_eq!(next_data(&mut answer).await, event);
        }
    }
}

/// An application that says these octets to every request, keeps the connection, and hands over
/// what it was asked.
async fn scripted(answer: &'static str) -> (Backend, mpsc::UnboundedReceiver<String>) {
    let (asked, heads) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let asked = asked.clone();
        async move {
            loop {
                let head = read_head(&mut stream).await;
                if head.is_empty() {
                    break;
                }
                let _ = asked.send(head);
                write(&mut stream, answer).await;
            }
        }
    })
    .await;
    (backend, heads)
}

#[tokio::test]
async fn trailers_of_an_answer_pass_but_for_those_that_must_not() {
    let (backend, mut heads) = scripted(concat!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n",
        "Trailer: grpc-status, x-sum, set-cookie, appproxy-error\r\n\r\n5\r\nhello\r\n0\r\n",
        "grpc-status: 0\r\nX-Sum: 1\r\nX-Sum: 2\r\nSet-Cookie: a=b\r\n",
        "Appproxy-Error: internal\r\nAppproxy_Timing: 1\r\n\r\n",
    ))
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    for client in both(&stand) {
        let request = Request::post(stand.url("app", "/pkg.Service/Call"))
            .header("te", "trailers")
            .body(Empty::new())
            .unwrap();
        let answer = Answer::read(client.send(request).await).await;
        assert_eq!(answer.text(), "hello");
        let mut expected = HeaderMap::new();
        expected.insert("grpc-status", HeaderValue::from_static("0"));
        expected.append("x-sum", HeaderValue::from_static("1"));
        expected.append("x-sum", HeaderValue::from_static("2"));
        assert_eq!(answer.trailers, Some(expected), "{:?}", answer.version);
        let head = heads.recv().await.unwrap().to_lowercase();
        assert!(head.contains("\r\nte: trailers\r\n"), "{head}");
    }
}

#[tokio::test]
async fn trailers_of_a_request_pass_but_for_those_that_must_not() {
    let backend = Backend::echo().await;
    let stand = Stand::new().application("app", &backend).start().await;
    for client in both(&stand) {
        let (pieces, upload) = live();
        let names = "x-sum, x-forwarded-for, authorization, appproxy-target";
        let request = Request::post(stand.url("app", "/"))
            .header("trailer", names)
            .body(upload)
            .unwrap();
        let answer = tokio::spawn({
            let client = client.clone();
            async move { Answer::read(client.send(request).await).await }
        });
        pieces.send(data("hello")).await.unwrap();
        let mut trailers = HeaderMap::new();
        for name in names.split(", ") {
            trailers.insert(name, HeaderValue::from_static("7"));
        }
        pieces.send(Ok(Frame::trailers(trailers))).await.unwrap();
        drop(pieces);
        let seen = answer.await.unwrap().json();
        assert_eq!(seen["body"], "hello");
        assert_eq!(seen["trailers"], json!({ "x-sum": ["7"] }), "{seen}");
    }
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    const CASES: [(&str, &str, &str, Option<&str>); 8] = [
        ("HEAD", "200 OK", "Content-Length: 1000\r\n", Some("1000")),
        ("HEAD", "200 OK", "Transfer-Encoding: chunked\r\n", None),
        ("HEAD", "200 OK", "Content-Length: 0\r\n", Some("0")),
        (
            "HEAD",
            "404 Not Found",
            "Content-Length: 12\r\n",
            Some("12"),
        ),
        ("GET", "204 No Content", "", None),
        ("DELETE", "204 No Content", "", None),
        ("GET", "304 Not Modified", "ETag: \"1\"\r\n", None),
        (
            "GET",
            "304 Not Modified",
            "ETag: \"1\"\r\nContent-Length: 1000\r\n",
            Some("1000"),
        ),
    ];
    let backend = Backend::raw(async |mut stream| {
        loop {
            let head = read_head(&mut stream).await;
            let Some(case) = head.split("/case/").nth(1) else {
                break;
            };
            let (_, status, fields, _) = CASES[case[..1].parse::<usize>().unwrap()];
            write(&mut stream, &format!("HTTP/1.1 {status}\r\n{fields}\r\n")).await;
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    let mut seen = 0;
    for client in both(&stand) {
        let mut connection = client.connect("app.localhost").await;
        for (n, (method, status, fields, length)) in CASES.into_iter().enumerate() {
            let case = format!("{method} {status} {fields:?}");
            let request = Request::builder()
                .method(method)
                .uri(stand.url("app", &format!("/case/{n}")));
            let answer = within(&case, connection.send(request.body(Empty::new()).unwrap())).await;
            let answer = Answer::read(answer.unwrap_or_else(|e| panic!("{case}: {e:?}"))).await;
            assert_eq!(answer.status.as_str(), &status[..3], "{case}");
            assert_eq!(answer.body, "", "{case}");
            let found = answer
                .headers
                .get("content-length")
                .map(|v| v.to_str().unwrap());
            // hyper's HTTP/1.1 leaves a length out where there is never a body, as it may.
            let dropped = status.starts_with("304") && answer.version == Version::HTTP_11;
            let expected = length.filter(|_| !dropped);
            assert_eq!(found, expected, "{case} over {:?}", answer.version);
            seen += 1;
        }
    }
    assert_eq!(seen, 16);
}

#[tokio::test]
async fn ranges_are_the_applications() {
    let (demo, _) = Backend::demo().await;
    let stand = Stand::new().application("demo", &demo).start().await;
    for client in both(&stand) {
        let url = stand.url("demo", "/download?size=1000");
        for (range, status, content_range, length) in [
            ("bytes=10-19", 206, "bytes 10-19/1000", 10),
            ("bytes=-5", 206, "bytes 995-999/1000", 5),
            ("bytes=2000-", 416, "bytes */1000", 0),
        ] {
            let request = Request::get(&url)
                .header("range", range)
                .body(Empty::new())
                .unwrap();
            let answer = Answer::read(client.send(request).await).await;
            assert_eq!(answer.status, status, "{range}");
            assert_eq!(answer.header("content-range"), content_range);
            if status == 206 {
                assert_eq!(answer.header("content-length"), length.to_string());
                assert_eq!(answer.body.len(), length);
            }
        }
        let request = Request::get(&url)
            .header("range", "bytes=10-12")
            .body(Empty::new())
            .unwrap();
        assert_eq!(
            Answer::read(client.send(request).await).await.body[..],
            [10, 11, 12]
        );
    }
}

#[tokio::test]
async fn clients_of_1996_are_served() {
    let (demo, _) = Backend::demo().await;
    let stand = Stand::new().application("demo", &demo).start().await;
    let host = format!("Host: demo.localhost:{}\r\n", stand.address().port());

    // What has no length ends with the connection: never chunked.
    let mut raw = stand.client().raw("demo.localhost").await;
    write(
        &mut raw,
        &format!("GET /chunked?n=3 HTTP/1.0\r\n{host}\r\n"),
    )
    .await;
    let answer = rest(&mut raw).await;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(text, "chunk 1\nchunk 2\nchunk 3\n");

    let curl = stand
        .curl(&["--http1.0", &stand.url("demo", "/chunked?n=2")])
        .await;
    assert_eq!(curl.success(), "chunk 1\nchunk 2\n");

    // One that broke does not end as TLS has it: a client could not tell it from a whole one.
    let mut raw = stand.client().raw("demo.localhost").await;
    write(&mut raw, &format!("GET /broken HTTP/1.0\r\n{host}\r\n")).await;
    let mut text = Vec::new();
    let end = within("the end", raw.read_to_end(&mut text)).await;
    assert!(end.is_err(), "{:?}", String::from_utf8_lossy(&text));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::echo().await;
    let stand = Stand::new().application("app", &backend).start().await;
    let host = format!("Host: app.localhost:{}\r\n", stand.address().port());
    let mut raw = stand.client().raw("app.localhost").await;
    let requests = format!(
        "GET /1 HTTP/1.1\r\n{host}\r\nPOST /2 HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello\
         POST /3 HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
         GET /4 HTTP/1.1\r\n{host}Connection: close\r\n\r\n"
    );
    write(&mut raw, &requests).await;
    let answers = rest(&mut raw).await;
    assert_eq!(
        answers.matches("HTTP/1.1 200 OK\r\n").count(),
        4,
        "{answers}"
    );
    let places: Vec<_> = ["/1", "/2", "/3", "/4"]
        .map(|target| answers.find(&format!("\"target\":\"{target}\"")).unwrap())
        .into();
    assert!(places.is_sorted(), "{answers}");
    for text in ["hello", "abc"] {
        assert!(
            answers.contains(&format!("\"body\":\"{text}\"")),
            "{answers}"
        );
    }
}

#[tokio::test]
async fn unusual_methods_pass() {
    const METHODS: [&str; 12] = [
        "PATCH",
        "PUT",
        "DELETE",
        "OPTIONS",
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "REPORT",
        "M-SEARCH",
        "PURGE",
        "get",
        "!#$%&'*+-.^_`|~",
    ];
    let backend = Backend::echo().await;
    let stand = Stand::new().application("app", &backend).start().await;
    let mut seen = 0;
    for client in both(&stand) {
        for method in METHODS {
            for text in ["", "<a/>"] {
                let request = Request::builder()
                    .method(method)
                    .uri(stand.url("app", "/x"));
                let answer =
                    Answer::read(client.send(request.body(body(text)).unwrap()).await).await;
                assert_eq!(answer.status, 200, "{method}: {}", answer.text());
                assert_eq!(answer.json()["method"], method);
                assert_eq!(answer.json()["body"], text);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 48);
}

#[tokio::test]
async fn cookie_crumbs_are_joined() {
    let (backend, mut heads) = scripted("HTTP/1.1 204 No Content\r\n\r\n").await;
    let stand = Stand::new().application("app", &backend).start().await;
    let request = Request::get(stand.url("app", "/"))
        .header("cookie", "a=1")
        .header("cookie", "b=2; c=3")
        .header("cookie", "d=4")
        .body(Empty::new())
        .unwrap();
    Answer::read(stand.client().http2().send(request).await).await;
    let head = heads.recv().await.unwrap().to_lowercase();
    assert!(
        head.contains("\r\ncookie: a=1; b=2; c=3; d=4\r\n"),
        "{head}"
    );
    assert_eq!(head.matches("cookie").count(), 1, "{head}");
}

#[tokio::test]
async fn the_client_is_told_to_go_on_once_a_connector_was_chosen() {
    let backend = Backend::echo().await;
    let mut stand = Stand::new().application("app", &backend).start().await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: app.localhost:{}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        stand.address().port()
    );
    let mut raw = stand.client().raw("app.localhost").await;
    for text in ["hello", "again"] {
        write(&mut raw, &head).await;
        let told = within("100", read_head(&mut raw)).await;
        assert_eq!(told, "HTTP/1.1 100 Continue\r\n\r\n");
        write(&mut raw, text).await;
        let answer = within("the answer", read_head(&mut raw)).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let length = answer.split("ontent-length: ").nth(1).expect("a length");
        let mut json = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
        within("the body", raw.read_exact(&mut json)).await.unwrap();
        let seen: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(seen["body"], text);
        assert!(seen["headers"].get("expect").is_none(), "{seen}");
    }

    let connector = stand.connectors().pop().unwrap();
    connector.kill();
    connector.ended().await;
    stand
        .gateway()
        .line("both tunnels are gone", {
            let gone = AtomicUsize::new(0);
            move |line| line.contains("tunnel closed") && gone.fetch_add(1, Ordering::Relaxed) == 1
        })
        .await;
    // Nobody is there to take the upload, so it is not asked for.
    let mut raw = stand.client().raw("app.localhost").await;
    write(&mut raw, &head).await;
    let answer = within("the answer", read_head(&mut raw)).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    rest(&mut raw).await;
}

#[tokio::test]
async fn an_early_answer_ends_the_upload() {
    let (report, mut ends) = mpsc::channel(1);
    let backend = Backend::raw(move |mut stream| {
        let report = report.clone();
        async move {
            read_head(&mut stream).await;
            write(
                &mut stream,
                "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch",
            )
            .await;
            // It neither reads nor closes: the end is for the proxy to bring.
            let mut octets = [0; 1024];
            while stream.read(&mut octets).await.is_ok_and(|n| n > 0) {}
            report.send(()).await.unwrap();
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    for client in both(&stand) {
        let (pieces, upload) = live();
        pieces.send(data("more")).await.unwrap();
        let request = Request::post(stand.url("app", "/")).body(upload).unwrap();
        let answer = Answer::read(client.send(request).await).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (413, "much"));
        within("the application's connection ends", ends.recv())
            .await
            .unwrap();
        drop(pieces);
    }
    // The same with a length, on one HTTP/1.1 connection: it is used again or closed, never mixed up.
    let mut raw = stand.client().raw("app.localhost").await;
    let host = format!("Host: app.localhost:{}\r\n", stand.address().port());
    write(
        &mut raw,
        &format!("POST / HTTP/1.1\r\n{host}Expect: 100-continue\r\nContent-Length: 99999\r\n\r\n"),
    )
    .await;
    let mut answer = within("the answer", read_head(&mut raw)).await;
    if answer == "HTTP/1.1 100 Continue\r\n\r\n" {
        answer = within("the final answer", read_head(&mut raw)).await;
    }
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(rest(&mut raw).await, "much");
}

#[tokio::test]
async fn connections_to_an_application_are_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let backend = Backend::raw({
        let connections = Arc::clone(&connections);
        move |mut stream| {
            connections.fetch_add(1, Ordering::Relaxed);
            async move {
                while !read_head(&mut stream).await.is_empty() {
                    write(
                        &mut stream,
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                    )
                    .await;
                }
            }
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    for _ in 0..3 {
        for client in both(&stand) {
            assert_eq!(client.get(&stand.url("app", "/")).await.text(), "ok");
        }
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_request_that_met_a_dying_connection_is_sent_once_more_if_that_is_safe() {
    /// Answers `/first`; anything else on a used connection ends it unanswered.
    async fn serve(mut stream: TcpStream, asked: mpsc::UnboundedSender<String>) {
        let mut used = false;
        loop {
            let head = read_head(&mut stream).await;
            if head.is_empty() {
                return;
            }
            let line = head.lines().next().unwrap().to_owned();
            let dies = line.contains("/never") || (used && !line.contains("/first"));
            asked.send(line).unwrap();
            if dies {
                return;
            }
            used = true;
            write(&mut stream, "HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    }
    let (asked, mut heads) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |stream| serve(stream, asked.clone())).await;
    let stand = Stand::new().application("app", &backend).start().await;
    let mut seen = 0;
    for (method, path, text, status, times) in [
        ("GET", "/", "", 204, 2),
        ("HEAD", "/", "", 204, 2),
        ("OPTIONS", "/", "", 204, 2),
        ("PUT", "/", "", 204, 2),
        ("DELETE", "/", "", 204, 2),
        ("POST", "/", "", 502, 1),
        ("PATCH", "/", "", 502, 1),
        ("POST", "/", "text", 502, 1),
        ("PUT", "/", "text", 502, 1),
        ("GET", "/never", "", 502, 2),
    ] {
        let case = format!("{method} {path} {text:?}");
        stand.get(&stand.url("app", "/first")).await;
        assert_eq!(heads.recv().await.unwrap(), "GET /first HTTP/1.1", "{case}");
        let request = Request::builder()
            .method(method)
            .uri(stand.url("app", path));
        let answer = Answer::read(stand.send(request.body(body(text)).unwrap()).await).await;
        assert_eq!(answer.status, status, "{case}");
        let mut lines = Vec::new();
        while let Ok(line) = heads.try_recv() {
            lines.push(line);
        }
        assert_eq!(
            lines,
            vec![format!("{method} {path} HTTP/1.1"); times],
            "{case}"
        );
        if status == 502 {
            let id = answer.header("x-request-id");
            assert_eq!(stand.access_line(id).await["error"], "backend_bad_response");
        }
        seen += 1;
    }
    assert_eq!(seen, 10);
}

#[tokio::test]
async fn connections_that_belong_to_one_person_are_never_used_again() {
    /// Says which connection answered, and how many requests it has had.
    async fn serve(mut stream: TcpStream, number: usize) {
        let mut requests = 0;
        loop {
            let head = read_head(&mut stream).await;
            if head.is_empty() {
                return;
            }
            requests += 1;
            let challenge = match head.split(['/', ' ']).nth(2).unwrap() {
                "ntlm" => "WWW-Authenticate: NTLM\r\n",
                "negotiate" => {
                    "WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: negotiate\r\n"
                }
                _ => "",
            };
            let text = format!("{number}.{requests}");
            let length = text.len();
            write(
                &mut stream,
                &format!("HTTP/1.1 200 OK\r\n{challenge}Content-Length: {length}\r\n\r\n{text}"),
            )
            .await;
        }
    }
    let accepted = AtomicUsize::new(0);
    let backend =
        Backend::raw(move |stream| serve(stream, accepted.fetch_add(1, Ordering::Relaxed))).await;
    let stand = Stand::new().application("app", &backend).start().await;
    for (path, authorization, expected) in [
        ("/", "", "0.1"),
        ("/", "", "0.2"),
        // It takes none that is kept, and its own is not kept.
        ("/", "Negotiate YII=", "1.1"),
        ("/", "NTLM TlRMTVNTUAAB", "2.1"),
        ("/", "ntlm TlRMTVNTUAAB", "3.1"),
        ("/", "Basic eDp5", "0.3"),
        // It was a kept one until the application asked for such a sign-in on it.
        ("/ntlm", "", "0.4"),
        ("/", "", "4.1"),
        ("/negotiate", "", "4.2"),
        ("/", "", "5.1"),
        ("/", "", "5.2"),
    ] {
        let mut request = Request::get(stand.url("app", path));
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let answer = Answer::read(stand.send(request.body(Empty::new()).unwrap()).await).await;
        assert_eq!(answer.text(), expected, "{path} {authorization:?}");
    }
}

#[tokio::test]
async fn a_cancelled_request_cancels_the_applications() {
    let (report, mut events) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let report = report.clone();
        async move {
            let head = read_head(&mut stream).await;
            if head.starts_with("GET /body") {
                write(
                    &mut stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
                )
                .await;
            }
            report.send("asked").unwrap();
            gone(&mut stream).await;
            report.send("cancelled").unwrap();
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    let mut seen = 0;
    for client in both(&stand) {
        for (method, path) in [("GET", "/head"), ("POST", "/head"), ("GET", "/body")] {
            let mut connection = client.connect("app.localhost").await;
            let request = Request::builder()
                .method(method)
                .uri(stand.url("app", path));
            let (pieces, upload) = live();
            let request = request
                .body(if method == "POST" { upload } else { body("") })
                .unwrap();
            if path == "/body" {
                let mut answer = connection.send(request).await.unwrap().into_body();
                assert_eq!(next_data(&mut answer).await, "half");
                assert_eq!(within("the request", events.recv()).await, Some("asked"));
            } else {
                tokio::select! {
                    answer = connection.send(request) => panic!("{answer:?}"),
                    event = within("the request", events.recv()) => assert_eq!(event, Some("asked")),
                }
            }
            let what = format!("{method} {path} is cancelled");
            assert_eq!(within(&what, events.recv()).await, Some("cancelled"));
            drop(pieces);
            drop(connection);
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}

#[tokio::test]
async fn what_a_client_did_not_finish_never_looks_whole_to_the_application() {
    let (report, mut bodies) = mpsc::unbounded_channel();
    let backend = Backend::answering(move |request: Request<hyper::body::Incoming>| {
        let report = report.clone();
        async move {
            let mut incoming = request.into_body();
            let first = incoming
                .frame()
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap();
            report.send(Ok(first)).unwrap();
            report
                .send(
                    incoming
                        .collect()
                        .await
                        .map(|whole| whole.to_bytes())
                        .map_err(|_| ()),
                )
                .unwrap();
            Response::new(body("ok"))
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    let host = format!("Host: app.localhost:{}\r\n", stand.address().port());
    for framing in [
        "Content-Length: 1000\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let mut raw = stand.client().raw("app.localhost").await;
        write(&mut raw, &format!("POST / HTTP/1.1\r\n{host}{framing}")).await;
        assert_eq!(
            within("the half", bodies.recv()).await.unwrap().unwrap(),
            "half"
        );
        raw.shutdown().await.unwrap();
        assert!(
            within("the end", bodies.recv()).await.unwrap().is_err(),
            "{framing}"
        );
    }
    let (pieces, upload) = live();
    pieces.send(data("half")).await.unwrap();
    let request = Request::post(stand.url("app", "/")).body(upload).unwrap();
    let client = stand.client().http2();
    let sending = tokio::spawn(async move {
        client
            .connect("app.localhost")
            .await
            .send(request)
            .await
            .is_ok()
    });
    assert_eq!(
        within("the half", bodies.recv()).await.unwrap().unwrap(),
        "half"
    );
    pieces
        .send(Err("the reader of the disk fails".into()))
        .await
        .unwrap();
    assert!(within("the end", bodies.recv()).await.unwrap().is_err());
    assert!(!sending.await.unwrap());
}

#[tokio::test]
async fn an_upload_that_http2_reset_never_looks_whole_to_the_application() {
    let (report, mut ends) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let report = report.clone();
        async move {
            read_head(&mut stream).await;
            // An answer that is under way must not hide it.
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
            write(&mut stream, head).await;
            let mut octets = Vec::new();
            // A reset instead of the end is as good.
            let _ = stream.read_to_end(&mut octets).await;
            report.send(octets).unwrap();
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    let mut seen = 0;
    for reason in [
        h2::Reason::CANCEL,
        h2::Reason::NO_ERROR,
        h2::Reason::INTERNAL_ERROR,
    ] {
        for _ in 0..10 {
            let tls = stand.client().raw_http2("app.localhost").await;
            let (client, connection) = h2::client::handshake(tls).await.unwrap();
            let driver = tokio::spawn(connection);
            let mut client = client.ready().await.unwrap();
            let request = Request::post(stand.url("app", "/")).body(()).unwrap();
            let (answer, mut upload) = client.send_request(request, false).unwrap();
            upload
                .send_data(Bytes::from_static(b"half"), false)
                .unwrap();
            let answer = within("the head", answer).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            upload.send_reset(reason);
            let octets = within("the end", ends.recv()).await.unwrap();
            let text = String::from_utf8(octets).unwrap();
            assert!(!text.ends_with("0\r\n\r\n"), "{reason:?}: {text:?}");
            driver.abort();
            seen += 1;
        }
    }
    assert_eq!(seen, 30);
}

#[tokio::test]
async fn an_answer_that_broke_never_ends_cleanly() {
    const CASES: [(&str, &str, &str); 5] = [
        (
            "/chunk",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "",
        ),
        (
            "/in-chunk",
            "Transfer-Encoding: chunked\r\n\r\n9\r\nhalf",
            "",
        ),
        (
            "/bad-chunk",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "zz\r\n",
        ),
        (
            "/trailers",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "0\r\nx-sum: 1\r\n",
        ),
        ("/length", "Content-Length: 1000\r\n\r\nhalf", ""),
    ];
    let seen_half = Arc::new(Notify::new());
    let backend = Backend::raw({
        let seen_half = Arc::clone(&seen_half);
        move |mut stream| {
            let seen_half = Arc::clone(&seen_half);
            async move {
                let head = read_head(&mut stream).await;
                let path = head.split(' ').nth(1).unwrap_or_default();
                let (_, answer, rest) = CASES.iter().find(|(asked, ..)| *asked == path).unwrap();
                write(&mut stream, &format!("HTTP/1.1 200 OK\r\n{answer}")).await;
                // A reset may overtake what was sent before it, so that is seen first.
                seen_half.notified().await;
                write(&mut stream, rest).await;
            }
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    let mut seen = 0;
    for (path, ..) in CASES {
        let url = stand.url("app", path);
        for client in both(&stand) {
            let answer = client
                .send(Request::get(&url).body(Empty::new()).unwrap())
                .await;
            let mut answer = answer.into_body();
            assert_eq!(next_data(&mut answer).await, "half", "{path}");
            seen_half.notify_one();
            let end = within("the end", answer.frame()).await;
            assert!(matches!(end, Some(Err(_))), "{path}: {end:?}");
            seen += 1;
        }
        for (version, code) in [("--http1.1", 18), ("--http2", 92)] {
            let mut curl = stand.start_curl(&["--no-buffer", version, &url]);
            let mut half = [0; 4];
            let mut stdout = curl.stdout.take().unwrap();
            within("curl prints", stdout.read_exact(&mut half))
                .await
                .unwrap();
            assert_eq!(&half, b"half", "{path} {version}");
            seen_half.notify_one();
            let output = within("curl", curl.wait_with_output()).await.unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{path} {version}: {said}");
            seen += 1;
        }
    }
    assert_eq!(seen, 20);
}

#[tokio::test]
async fn an_answer_whose_connector_died_never_ends_cleanly() {
    let (demo, _) = Backend::demo().await;
    let mut stand = Stand::new().application("demo", &demo).start().await;
    let url = stand.url("demo", "/events?every_ms=600000");
    let mut answers = Vec::new();
    for client in both(&stand) {
        let answer = client
            .send(Request::get(&url).body(Empty::new()).unwrap())
            .await;
        let mut answer = answer.into_body();
        next_data(&mut answer).await;
        answers.push(answer);
    }
    stand.connectors()[0].kill();
    for mut answer in answers {
        let end = within("the end", answer.frame()).await;
        assert!(matches!(end, Some(Err(_))), "{end:?}");
    }
}

#[tokio::test]
async fn informational_answers_end_here_and_an_unasked_switch_is_refused() {
    let backend = Backend::raw(async |mut stream| {
        let head = read_head(&mut stream).await;
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        let answer = if head.starts_with("GET /hints") {
            format!("HTTP/1.1 102 Processing\r\n\r\n{early}HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        } else {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw".to_owned()
        };
        write(&mut stream, &answer).await;
        gone(&mut stream).await;
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    for client in both(&stand) {
        let answer = client.get(&stand.url("app", "/hints")).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"));
        assert!(!answer.headers.contains_key("link"));

        let mut request = Request::get(stand.url("app", "/switch"));
        // Another protocol is dropped on the way in, so the answer is unasked all the same.
        if client.get(&stand.url("app", "/hints")).await.version == Version::HTTP_11 {
            request = request
                .header("connection", "upgrade")
                .header("upgrade", "x");
        }
        let answer = Answer::read(client.send(request.body(Empty::new()).unwrap()).await).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        let id = answer.header("x-request-id");
        assert_eq!(stand.access_line(id).await["error"], "backend_bad_response");
    }
}
