//! `backend_protocol: http2`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, future, stream};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Barrier, Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use super::detail;
use super::frames::{DATA, Peer};
use crate::harness::{
    Answer, Authority, Backend, Client, ResponseBody, Stand, body, echo, gone, read_head, until,
    within, words,
};

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

fn http2() -> Value {
    json!({ "backend_protocol": "http2" })
}

fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

async fn version(request: Request<Incoming>) -> Response<ResponseBody> {
    Response::new(body(format!("{:?}", request.version())))
}

/// An entry of `backend_tls` that lets a test's own certificates be.
fn anybody(backends: &[&Backend]) -> Value {
    let ports = backends.iter().map(|b| b.address().port());
    let hosts: Vec<_> = ports
        .map(|port| format!("*.corp.internal:{port}"))
        .collect();
    json!([{ "hosts": hosts, "validate": "nothing" }])
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_set_and_the_application_agrees() {
    let authority = Authority::new();
    let tls = |alpn: &[&str]| authority.server_config(&["app.test"], alpn);
    let agrees = Backend::agreeing(tls(&["h2", "http/1.1"]), version).await;
    let declines = Backend::agreeing(tls(&["http/1.1"]), version).await;
    let deaf = Backend::agreeing(tls(&[]), version).await;
    let plain = Backend::http2(100, version).await;
    let old = Backend::answering(version).await;
    let stand = Stand::new()
        .tls_application("agrees", &agrees, http2())
        .tls_application("unset", &agrees, Value::Null)
        .tls_application("declines", &declines, http2())
        .tls_application("deaf", &deaf, http2())
        .application_with("plain", &plain, http2())
        .application_with("old", &old, http2())
        .connector_setting("backend_tls", anybody(&[&agrees, &declines, &deaf]))
        .start()
        .await;
    for _ in 0..3 {
        for (name, spoken) in [
            ("agrees", "HTTP/2.0"),
            ("unset", "HTTP/1.1"),
            ("declines", "HTTP/1.1"),
            ("deaf", "HTTP/1.1"),
            ("plain", "HTTP/2.0"),
        ] {
            let answer = stand.get(&stand.url(name, "/")).await;
            assert_eq!(answer.text(), spoken, "{name}");
        }
    }
    let answer = stand.get(&stand.url("old", "/")).await;
    let (code, said) = detail(&stand, &answer).await;
    assert_eq!(code, "backend_bad_response", "{said}");
    assert!(said.contains("does not speak HTTP/2 there"), "{said}");
    assert!(said.contains("write `backend_protocol: http1`"), "{said}");
}

#[tokio::test]
async fn the_default_of_all_applications_is_http2_where_it_is_written_there() {
    let plain = Backend::http2(100, version).await;
    let old = Backend::answering(version).await;
    let stand = Stand::new()
        .gateway_setting("defaults", http2())
        .application("plain", &plain)
        .application_with("old", &old, json!({ "backend_protocol": "http1" }))
        .start()
        .await;
    assert_eq!(stand.get(&stand.url("plain", "/")).await.text(), "HTTP/2.0");
    assert_eq!(stand.get(&stand.url("old", "/")).await.text(), "HTTP/1.1");
}

#[tokio::test]
async fn a_request_over_http2_is_what_the_client_sent() {
    let backend = Backend::http2(100, echo).await;
    let stand = Stand::new()
        .application_with("app", &backend, http2())
        .start()
        .await;
    let internal = format!(
        "{}:{}",
        words::internal_name("app"),
        backend.address().port()
    );
    for client in [stand.client().clone(), stand.client().http2()] {
        let request = Request::put(stand.url("app", "/a/b?c=%2F"))
            .header("X-Mixed-Case", "kept")
            .header("cookie", "a=1; b=2")
            .header("te", "trailers")
            .body(body("a body"))
            .unwrap();
        let seen = Answer::read(client.send(request).await).await.json();
        assert_eq!(seen["method"], "PUT");
        assert_eq!(seen["target"], format!("http://{internal}/a/b?c=%2F"));
        assert_eq!(seen["body"], "a body");
        let fields = seen["headers"].as_object().unwrap();
        assert_eq!(fields["x-mixed-case"], json!(["kept"]));
        assert_eq!(fields["cookie"], json!(["a=1; b=2"]));
        assert_eq!(fields["te"], json!(["trailers"]));
        assert_eq!(fields["content-length"], json!(["6"]));
        for absent in ["host", "connection", "transfer-encoding", "upgrade"] {
            assert!(!fields.contains_key(absent), "{absent}: {fields:?}");
        }
    }
}

#[tokio::test]
async fn a_call_of_grpc_streams_both_ways_and_ends_in_trailers() {
    /// Sends every message back as it comes; then the status, and what the request's trailers said.
    async fn serve(request: Request<Incoming>) -> Response<ResponseBody> {
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        let (sender, answer) = live();
        tokio::spawn(async move {
            let mut request = request.into_body();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            while let Some(Ok(frame)) = request.frame().await {
                match frame.into_data() {
                    Ok(data) => sender.send(Ok(Frame::data(data))).await.unwrap(),
                    Err(frame) => {
                        let said = frame.into_trailers().unwrap()["x-sum"].clone();
                        trailers.insert("grpc-message", said);
                    }
                }
            }
            let _ = sender.send(Ok(Frame::trailers(trailers))).await;
        });
        let mut response = Response::new(answer);
        let kind = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", kind);
        response
    }
    let authority = Authority::new();
    let tls = authority.server_config(&["app.test"], &["h2"]);
    let (plain, secured) = (
        Backend::http2(100, serve).await,
        Backend::agreeing(tls, serve).await,
    );
    let stand = Stand::new()
        .application_with("plain", &plain, http2())
        .tls_application("secured", &secured, http2())
        .connector_setting("backend_tls", anybody(&[&secured]))
        .start()
        .await;
    for name in ["plain", "secured"] {
        let (sender, messages) = live();
        let request = Request::post(stand.url(name, "/echo.Echo/Talk"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(messages)
            .unwrap();
        let answer = stand.client().http2().send(request).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        let mut answer = answer.into_body();
        for message in ["one", "two", "three"] {
            let octets = Bytes::from_static(message.as_bytes());
            sender.send(Ok(Frame::data(octets))).await.unwrap();
            // The answer to each is here before the next is sent.
            let frame = within(message, answer.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), message);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("3"));
        sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
        drop(sender);
        let frame = within("the trailers", answer.frame())
            .await
            .unwrap()
            .unwrap();
        let trailers = frame.into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0", "{name}");
        assert_eq!(trailers["grpc-message"], "3", "{name}");
        assert!(answer.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_websocket_stands_beside_http2() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(authority.server_config(&["app.test"], &["h2", "http/1.1"]));
    let backend = Backend::raw(move |stream| {
        let accepted = acceptor.accept(stream);
        async move {
            let stream = accepted.await.unwrap();
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let stream = hyper_util::rt::TokioIo::new(stream);
                let executor = hyper_util::rt::TokioExecutor::new();
                let service = hyper::service::service_fn(async |request| {
                    Ok::<_, std::convert::Infallible>(version(request).await)
                });
                let _ = hyper::server::conn::http2::Builder::new(executor)
                    .serve_connection(stream, service)
                    .await;
                return;
            }
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        }
    })
    .await;
    let stand = Stand::new()
        .tls_application("app", &backend, http2())
        .connector_setting("backend_tls", anybody(&[&backend]))
        .start()
        .await;
    assert_eq!(stand.get(&stand.url("app", "/")).await.text(), "HTTP/2.0");
    let url = stand.url("app", "/ws").replacen("https", "wss", 1);
    let (mut socket, _) = stand.client().websocket(url).await;
    for text in ["hello", "again"] {
        socket.send(Message::text(text)).await.unwrap();
        let message = within("the echo", socket.next()).await.unwrap().unwrap();
        assert_eq!(message, Message::text(text));
        assert_eq!(stand.get(&stand.url("app", "/")).await.text(), "HTTP/2.0");
    }
}

#[tokio::test]
async fn many_requests_at_once_share_the_fewest_connections_that_hold_them() {
    const AT_ONCE: u32 = 30;
    const REQUESTS: usize = 100;
    let connections = Arc::new(AtomicUsize::new(0));
    let all = Arc::new(Barrier::new(REQUESTS));
    let backend = Backend::raw({
        let connections = Arc::clone(&connections);
        move |stream| {
            let number = connections.fetch_add(1, Ordering::SeqCst);
            let all = Arc::clone(&all);
            let service = hyper::service::service_fn(move |_| {
                let all = Arc::clone(&all);
                async move {
                    // No answer before every request is here.
                    all.wait().await;
                    Ok::<_, std::convert::Infallible>(Response::new(body(number.to_string())))
                }
            });
            async move {
                let _ =
                    hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
                        .max_concurrent_streams(AT_ONCE)
                        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                        .await;
            }
        }
    })
    .await;
    let stand = Stand::new()
        .application_with("app", &backend, http2())
        .start()
        .await;
    for round in 0..2 {
        let url = stand.url("app", "/");
        let client = stand.client().http2();
        let mut pages = Vec::new();
        for _ in 0..REQUESTS / 20 {
            let connection = client.connect("app.localhost").await;
            for _ in 0..20 {
                let mut connection = connection.another().unwrap();
                let request = get(&url);
                pages.push(async move {
                    let response = within("an answer", connection.send(request)).await.unwrap();
                    Answer::read(response).await
                });
            }
        }
        let answers = future::join_all(pages).await;
        let used: BTreeSet<_> = answers.iter().map(|a| a.text().to_owned()).collect();
        assert!(answers.iter().all(|a| a.status == 200));
        assert_eq!(used.len(), 4, "in round {round}");
        assert_eq!(connections.load(Ordering::SeqCst), 4, "in round {round}");
    }
}

#[tokio::test]
async fn requests_beyond_a_goaway_go_to_a_fresh_connection_and_others_are_answered() {
    let (arrived, going) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let connections = Arc::new(AtomicUsize::new(0));
    let backend = Backend::raw({
        let (arrived, going) = (Arc::clone(&arrived), Arc::clone(&going));
        let connections = Arc::clone(&connections);
        move |stream| {
            let number = connections.fetch_add(1, Ordering::SeqCst);
            let (arrived, going) = (Arc::clone(&arrived), Arc::clone(&going));
            async move {
                let mut peer = Peer::accept(stream).await.unwrap();
                if number > 0 {
                    while let Some(id) = peer.request().await {
                        peer.answer(id, "fresh").await;
                    }
                    return;
                }
                let kept = peer.request().await.unwrap();
                arrived.notify_one();
                let beyond = peer.request().await.unwrap();
                assert!(beyond > kept);
                peer.go_away(kept).await;
                going.notified().await;
                peer.answer(kept, "kept").await;
                peer.gone().await;
            }
        }
    })
    .await;
    let stand = Stand::new()
        .application_with("app", &backend, http2())
        .start()
        .await;
    let url = stand.url("app", "/");
    let kept = tokio::spawn({
        let (client, url) = (stand.client().clone(), url.clone());
        async move { client.get(&url).await }
    });
    within("the first request", arrived.notified()).await;
    // Any method may be sent again: the application says that it did not look at it.
    let request = Request::post(&url).body(Empty::new()).unwrap();
    let answer = Answer::read(stand.send(request).await).await;
    assert_eq!(answer.text(), "fresh");
    // And later ones do not meet the old connection.
    assert_eq!(stand.get(&url).await.text(), "fresh");
    going.notify_one();
    let answer = within("the first answer", kept).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "kept"));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_stream_that_is_reset_has_the_fate_that_its_reason_says() {
    const REFUSED_STREAM: u32 = 7;
    const CANCEL: u32 = 8;
    const INTERNAL_ERROR: u32 = 2;
    const HTTP_1_1_REQUIRED: u32 = 13;
    /// Resets the first stream with this reason, before or in the middle of its answer, and answers
    /// the others; speaks HTTP/1.1 too. An answer that has begun is reset when `arrived` says that
    /// its head is there: a reset that overtakes it leaves no answer at all.
    async fn resetting(
        reason: u32,
        begun: bool,
        arrived: Arc<Notify>,
    ) -> (Backend, Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let (asked, opened) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let backend = Backend::raw({
            let (asked, opened) = (Arc::clone(&asked), Arc::clone(&opened));
            move |mut stream| {
                let (asked, arrived) = (Arc::clone(&asked), Arc::clone(&arrived));
                let opened = Arc::clone(&opened);
                async move {
                    let mut first = [0; 3];
                    stream.peek(&mut first).await.unwrap();
                    if &first != b"PRI" {
                        while !read_head(&mut stream).await.is_empty() {
                            asked.fetch_add(1, Ordering::SeqCst);
                            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold";
                            stream.write_all(answer).await.unwrap();
                        }
                        return;
                    }
                    opened.fetch_add(1, Ordering::SeqCst);
                    let mut peer = Peer::accept(stream).await.unwrap();
                    while let Some(id) = peer.request().await {
                        if asked.fetch_add(1, Ordering::SeqCst) > 0 {
                            peer.answer(id, "second").await;
                            continue;
                        }
                        if begun {
                            peer.ok(id).await;
                            peer.send(DATA, 0, id, b"half").await;
                            arrived.notified().await;
                        }
                        peer.reset(id, reason).await;
                    }
                }
            }
        })
        .await;
        (backend, asked, opened)
    }
    let arrived = Arc::new(Notify::new());
    let mut stand = Stand::new();
    let mut backends = Vec::new();
    let cases = [
        ("refused", REFUSED_STREAM, false),
        ("cancelled", CANCEL, false),
        ("broken", INTERNAL_ERROR, false),
        ("old", HTTP_1_1_REQUIRED, false),
        ("half-cancelled", CANCEL, true),
        ("half-done", 0, true),
        ("half-broken", INTERNAL_ERROR, true),
    ];
    for (name, reason, begun) in cases {
        let backend = resetting(reason, begun, Arc::clone(&arrived)).await;
        stand = stand.application_with(name, &backend.0, http2());
        backends.push(backend);
    }
    let stand = stand.start().await;
    for ((name, _, begun), (_, asked, opened)) in cases.into_iter().zip(&backends) {
        // Not idempotent, so only what the application says can allow a second try.
        let request = Request::post(stand.url(name, "/"))
            .body(Empty::new())
            .unwrap();
        let response = stand.send(request).await;
        if begun {
            assert_eq!(response.status(), 200, "{name}");
            arrived.notify_one();
            let read = within("the end", response.into_body().collect()).await;
            assert!(
                read.is_err(),
                "{name}: half an answer looks whole: {read:?}"
            );
            assert_eq!(asked.load(Ordering::SeqCst), 1, "{name}");
            continue;
        }
        let answer = Answer::read(response).await;
        match name {
            "refused" => assert_eq!(answer.text(), "second"),
            "old" => assert_eq!(answer.text(), "old"),
            _ => {
                let (code, said) = detail(&stand, &answer).await;
                assert_eq!(code, "backend_bad_response", "{name}: {said}");
                assert!(said.contains("reset the stream: "), "{name}: {said}");
                assert_eq!(asked.load(Ordering::SeqCst), 1, "{name}");
                // The connection is whole.
                assert_eq!(stand.get(&stand.url(name, "/")).await.text(), "second");
                continue;
            }
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "{name}");
        // One request's wish is not the others': the connection serves on.
        assert_eq!(stand.get(&stand.url(name, "/")).await.text(), "second");
        assert_eq!(opened.load(Ordering::SeqCst), 1, "{name}");
    }
}

#[tokio::test]
async fn a_connection_that_dies_is_forgiven_once_to_what_may_be_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    // The second request of a connection ends it.
    let backend = Backend::raw({
        let asked = Arc::clone(&asked);
        move |stream| {
            let asked = Arc::clone(&asked);
            async move {
                let mut peer = Peer::accept(stream).await.unwrap();
                let id = peer.request().await.unwrap();
                asked.fetch_add(1, Ordering::SeqCst);
                peer.answer(id, "alive").await;
                if peer.request().await.is_some() {
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    let stand = Stand::new()
        .application_with("app", &backend, http2())
        .start()
        .await;
    let url = stand.url("app", "/");
    assert_eq!(stand.get(&url).await.text(), "alive");
    assert_eq!(stand.get(&url).await.text(), "alive");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let request = Request::post(&url).body(Empty::new()).unwrap();
    let answer = Answer::read(stand.send(request).await).await;
    let (code, said) = detail(&stand, &answer).await;
    assert_eq!(code, "backend_bad_response");
    assert!(
        said.contains("closed the connection without an answer"),
        "{said}"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn waiting_has_its_limits_over_http2_too() {
    // One limit each: under the others a busy machine would be late.
    let quick =
        |limit: &str| json!({ "backend_protocol": "http2", "timeouts": { limit: "300ms" } });
    // Never says a word.
    let mute = Backend::raw(|mut stream| async move { gone(&mut stream).await }).await;
    let connections = Arc::new(AtomicUsize::new(0));
    let slow = Backend::raw({
        let connections = Arc::clone(&connections);
        move |stream| {
            connections.fetch_add(1, Ordering::SeqCst);
            async move {
                let mut peer = Peer::accept(stream).await.unwrap();
                peer.gone().await;
            }
        }
    })
    .await;
    let stops = Backend::raw(|stream| async move {
        let mut peer = Peer::accept(stream).await.unwrap();
        while let Some(id) = peer.request().await {
            peer.ok(id).await;
            peer.send(DATA, 0, id, b"half").await;
        }
    })
    .await;
    let old_stops = Backend::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
        gone(&mut stream).await;
    })
    .await;
    let old = json!({ "timeouts": { "idle": "300ms" } });
    let mut stand = Stand::new()
        .application_with("mute", &mute, quick("connect"))
        .application_with("slow", &slow, quick("first_byte"))
        .application_with("stops", &stops, quick("idle"))
        .application_with("old-stops", &old_stops, old)
        .start()
        .await;
    for (name, wanted) in [
        ("mute", "backend_connect_timeout"),
        ("slow", "backend_first_byte_timeout"),
        ("slow", "backend_first_byte_timeout"),
    ] {
        let answer = stand.get(&stand.url(name, "/")).await;
        assert_eq!(answer.status, 504, "{name}");
        assert_eq!(detail(&stand, &answer).await.0, wanted, "{name}");
    }
    // A connection that kept one waiting is not given another.
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    for name in ["stops", "old-stops"] {
        let response = stand.send(get(&stand.url(name, "/"))).await;
        assert_eq!(response.status(), 200);
        let id = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let read = within("the end", response.into_body().collect()).await;
        assert!(read.is_err(), "half an answer looks whole: {read:?}");
        // There is no head left to say it in, so the connector's log does.
        let line = stand.connectors()[0]
            .line("the timeout", |line| line.contains(&id))
            .await;
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["code"], "backend_idle_timeout", "{line}");
        assert_eq!(line["application"], name, "{line}");
        let said = line["detail"].as_str().unwrap();
        assert!(said.contains("nothing came for 300ms"), "{said}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_stream_and_no_other() {
    let (reset, mut resets) = mpsc::unbounded_channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let backend = Backend::raw({
        let connections = Arc::clone(&connections);
        move |stream| {
            connections.fetch_add(1, Ordering::SeqCst);
            let reset = reset.clone();
            async move {
                let mut peer = Peer::accept(stream).await.unwrap();
                let first = peer.request().await.unwrap();
                peer.ok(first).await;
                peer.send(DATA, 0, first, b"endless").await;
                while let Some(frame) = peer.next().await {
                    match frame.kind {
                        1 => peer.answer(frame.id, "other").await,
                        3 => reset.send((frame.id == first, frame.payload)).unwrap(),
                        _ => {}
                    }
                }
            }
        }
    })
    .await;
    let stand = Stand::new()
        .application_with("app", &backend, http2())
        .start()
        .await;
    let url = stand.url("app", "/");
    let mut endless = stand.client().http2().send(get(&url)).await;
    let frame = within("a part", endless.body_mut().frame())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(frame.into_data().unwrap(), "endless");
    assert_eq!(stand.get(&url).await.text(), "other");
    drop(endless);
    let (first, reason) = within("the reset", resets.recv()).await.unwrap();
    assert!(first);
    assert_eq!(reason, 8_u32.to_be_bytes(), "CANCEL");
    assert_eq!(stand.get(&url).await.text(), "other");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn people_who_sign_in_a_connection_get_one_of_http1() {
    let authority = Authority::new();
    let tls = authority.server_config(&["app.test"], &["h2", "http/1.1"]);
    let backend = Backend::agreeing(tls, version).await;
    let stand = Stand::new()
        .tls_application("app", &backend, http2())
        .connector_setting("backend_tls", anybody(&[&backend]))
        .start()
        .await;
    for (authorization, spoken) in [
        ("Negotiate YII=", "HTTP/1.1"),
        ("NTLM TlRMTVNTUAAB", "HTTP/1.1"),
        ("Basic eDp5", "HTTP/2.0"),
    ] {
        let request = Request::get(stand.url("app", "/"))
            .header("authorization", authorization)
            .body(Empty::new())
            .unwrap();
        let answer = Answer::read(stand.send(request).await).await;
        assert_eq!(answer.text(), spoken, "{authorization}");
    }
}

#[tokio::test]
async fn an_application_that_comes_back_is_reached_again() {
    let mut backend = Backend::http2(100, version).await;
    let address = backend.address();
    let stand = Stand::new()
        .application_with("app", &backend, http2())
        .start()
        .await;
    let url = stand.url("app", "/");
    assert_eq!(stand.get(&url).await.text(), "HTTP/2.0");
    backend.stop().await;
    let answer = stand.get(&url).await;
    assert_eq!(detail(&stand, &answer).await.0, "backend_refused");
    let _backend = Backend::raw_at(address, |stream| async move {
        let mut peer = Peer::accept(stream).await.unwrap();
        while let Some(id) = peer.request().await {
            peer.answer(id, "back").await;
        }
    })
    .await;
    assert_eq!(stand.get(&url).await.text(), "back");
}

#[tokio::test]
async fn a_body_flows_both_ways_over_http2_at_the_pace_of_its_reader() {
    // More than every window on the way.
    const OCTETS: usize = 24 << 20;
    let taken = Arc::new(AtomicUsize::new(0));
    let go_on = Arc::new(Notify::new());
    let backend = Backend::http2(100, {
        let (taken, go_on) = (Arc::clone(&taken), Arc::clone(&go_on));
        move |request: Request<Incoming>| {
            let (taken, go_on) = (Arc::clone(&taken), Arc::clone(&go_on));
            async move {
                if request.uri().path() == "/quick" {
                    return Response::new(body("quick"));
                }
                go_on.notified().await;
                let octets = request.into_body().collect().await.unwrap().to_bytes();
                taken.store(octets.len(), Ordering::SeqCst);
                Response::new(body(octets))
            }
        }
    })
    .await;
    let stand = Stand::new()
        .application_with("app", &backend, http2())
        .start()
        .await;
    let client: Client = stand.client().http2();
    let request = Request::post(stand.url("app", "/"))
        .body(body(vec![7; OCTETS]))
        .unwrap();
    let upload = tokio::spawn(async move {
        let response = client.send(request).await;
        assert_eq!(response.version(), Version::HTTP_2);
        Answer::read(response).await.body.len()
    });
    // One that stands still is in nobody's way.
    for _ in 0..5 {
        assert_eq!(stand.get(&stand.url("app", "/quick")).await.text(), "quick");
    }
    assert_eq!(taken.load(Ordering::SeqCst), 0);
    go_on.notify_one();
    assert_eq!(within("the whole answer", upload).await.unwrap(), OCTETS);
    until("it was taken", || taken.load(Ordering::SeqCst) == OCTETS).await;
}

/// Node and httpd end an HTTP/2 connection whose head takes more than a few frames, and everybody's
/// requests with it.
#[tokio::test]
async fn a_head_that_might_end_a_shared_connection_is_refused() {
    let asked = Arc::new(AtomicUsize::new(0));
    let backend = Backend::raw({
        let asked = Arc::clone(&asked);
        move |stream| {
            let asked = Arc::clone(&asked);
            async move {
                let mut peer = Peer::accept(stream).await.unwrap();
                while let Some(id) = peer.request().await {
                    asked.fetch_add(1, Ordering::SeqCst);
                    peer.answer(id, "ok").await;
                }
            }
        }
    })
    .await;
    let stand = Stand::new().application_with("app", &backend, http2());
    let stand = stand.start().await;
    for (octets, status) in [(&[0xff; 41_000][..], 431), (&[b'a'; 41_000], 200)] {
        let value = HeaderValue::from_bytes(octets).unwrap();
        let request = Request::get(stand.url("app", "/")).header("x-a", value);
        let answer = stand.send(request.body(Empty::<Bytes>::new()).unwrap());
        assert_eq!(answer.await.status(), status);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
