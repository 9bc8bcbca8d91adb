//! Many at once, and slow ones beside them: nobody waits for anybody else, and every place in a
//! tunnel comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{
    Answer, Backend, Client, Connection, ResponseBody, Running, Stand, body, until, within, words,
};

/// Places in a tunnel.
const PLACES: usize = 1024;

/// What a gateway and a connector may occupy, in MiB, whatever is asked of them here: a thousand
/// connections and what twenty slow peers may have in flight.
const MEMORY: u64 = 400;

const MIB: usize = 1 << 20;

/// An application that is as slow as a test wants it to be.
struct App {
    backend: Backend,
    state: Arc<State>,
}

struct State {
    /// Requests for `/stall` that have arrived, ever.
    stalled: watch::Sender<usize>,
    /// Answers to `/stall` and reading of `/upload` wait while this is false.
    go: watch::Sender<bool>,
    /// Octets that `/download` has given.
    given: AtomicU64,
}

impl App {
    async fn start() -> Self {
        let state = Arc::new(State {
            stalled: watch::Sender::new(0),
            go: watch::Sender::new(false),
            given: AtomicU64::new(0),
        });
        let backend = Backend::answering({
            let state = Arc::clone(&state);
            move |request| answer(request, Arc::clone(&state))
        })
        .await;
        Self { backend, state }
    }

    /// Waits until so many more requests than `before` stall.
    async fn stalls(&self, before: usize, count: usize) {
        let mut stalled = self.state.stalled.subscribe();
        within(
            &format!("{count} requests at the application"),
            stalled.wait_for(|&now| now >= before + count),
        )
        .await
        .unwrap();
    }

    fn stalled(&self) -> usize {
        *self.state.stalled.borrow()
    }

    fn go(&self, go: bool) {
        self.state.go.send_replace(go);
    }

    fn given(&self) -> u64 {
        self.state.given.load(Ordering::Relaxed)
    }
}

/// `/`: a few octets; `/stall`: the same, when it may; `/download/N`: N MiB; `/upload`: the count of
/// octets, read when it may; `/sink`: a few octets after the last one; `/ws`: a WebSocket that echoes.
async fn answer(mut request: Request<Incoming>, state: Arc<State>) -> Response<ResponseBody> {
    let mut go = state.go.subscribe();
    let path = request.uri().path().to_owned();
    match path.split('/').nth(1).unwrap_or_default() {
        "stall" => {
            state.stalled.send_modify(|count| *count += 1);
            let _ = go.wait_for(|&go| go).await;
            Response::new(body("ok"))
        }
        "upload" => {
            state.stalled.send_modify(|count| *count += 1);
            let _ = go.wait_for(|&go| go).await;
            let octets = request.into_body().collect().await;
            let octets = octets.map_or(0, |octets| octets.to_bytes().len());
            Response::new(body(octets.to_string()))
        }
        "sink" => {
            state.stalled.send_modify(|count| *count += 1);
            let mut octets = request.into_body();
            while let Some(Ok(_)) = octets.frame().await {}
            Response::new(body("ok"))
        }
        "download" => {
            let mib: usize = path.rsplit('/').next().unwrap().parse().unwrap();
            let part = Bytes::from(vec![b'd'; MIB / 16]);
            let parts = stream::iter(0..mib * 16).map(move |_| {
                state.given.fetch_add(part.len() as u64, Ordering::Relaxed);
                Ok(Frame::data(part.clone()))
            });
            Response::new(StreamBody::new(parts).boxed_unsync())
        }
        "ws" => {
            let answer =
                tokio_tungstenite::tungstenite::handshake::server::create_response_with_body(
                    &head(&request),
                    || body(""),
                )
                .expect("a handshake");
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(&mut request).await.expect("an upgrade");
                let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(
                    hyper_util::rt::TokioIo::new(upgraded),
                    tokio_tungstenite::tungstenite::protocol::Role::Server,
                    None,
                )
                .await;
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() {
                        let _ = socket.send(message).await;
                    }
                }
            });
            answer
        }
        _ => Response::new(body("ok")),
    }
}

/// The head of a request, to look at while its body is elsewhere.
fn head(request: &Request<Incoming>) -> Request<()> {
    let mut head = Request::new(());
    head.method_mut().clone_from(request.method());
    head.uri_mut().clone_from(request.uri());
    head.headers_mut().clone_from(request.headers());
    head
}

async fn stand(app: &App) -> Running {
    Stand::new()
        .application("wiki", &app.backend)
        .connector_setting("connections", json!(1))
        .gateway_setting("limits", words::no_limits())
        .start()
        .await
}

fn get(stand: &Running, path: &str) -> Request<Empty<Bytes>> {
    Request::get(stand.url("wiki", path))
        .body(Empty::new())
        .unwrap()
}

/// Sends `count` small requests over these connections at once, each one after the other on its
/// own, and checks that every one is answered.
async fn all_are_answered(stand: &Running, connections: Vec<Connection>, count: usize) {
    let each = count / connections.len();
    let mut workers = JoinSet::new();
    let url = stand.url("wiki", "/small");
    for mut connection in connections {
        let url = url.clone();
        workers.spawn(async move {
            for _ in 0..each {
                let request = Request::get(&url).body(Empty::<Bytes>::new()).unwrap();
                let response = within("an answer", connection.send(request)).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                assert_eq!(Answer::read(response).await.text(), "ok");
            }
            each
        });
    }
    let answered: usize = workers.join_all().await.into_iter().sum();
    assert_eq!(answered, count);
}

/// So many connections; with HTTP/2 a few that are shared.
async fn connections(client: &Client, count: usize, shared_by: usize) -> Vec<Connection> {
    let mut connections = Vec::new();
    while connections.len() < count {
        let connection = client.connect("wiki.localhost").await;
        for _ in 1..shared_by {
            connections.extend(connection.another());
        }
        connections.push(connection);
    }
    connections
}

/// Sends requests that stall until a tunnel is full, and checks that as many places are free as
/// there ever are.
async fn every_place_is_free(stand: &Running, app: &App) {
    app.go(false);
    let before = app.stalled();
    let clients = connections(&stand.client().http2(), PLACES, 128).await;
    let mut stalled = JoinSet::new();
    for mut connection in clients {
        let request = get(stand, "/stall");
        stalled.spawn(async move { connection.send(request).await.unwrap().status() });
    }
    app.stalls(before, PLACES).await;
    // Not one more: it is told at once, and the tunnel lives.
    let refused = stand.get("https://wiki.localhost/small").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        refused.header("appproxy-answer"),
        "gateway;error=tunnel_busy"
    );
    app.go(true);
    let statuses = within("the stalled answers", stalled.join_all()).await;
    assert_eq!(statuses.len(), PLACES);
    assert!(statuses.iter().all(|&status| status == StatusCode::OK));
    app.go(false);
    is_well(stand).await;
}

/// The one tunnel is the first one, it serves, and nobody has grown fat.
async fn is_well(stand: &Running) {
    let answer = stand.get("https://wiki.localhost/small").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"));
    assert_eq!(stand.tunnels(), (1, 0));
    let memory = stand.gateway().memory();
    assert!(memory < MEMORY, "the gateway occupies {memory} MiB");
}

fn connector_is_slim(stand: &mut Running) {
    let memory = stand.connectors()[0].memory();
    assert!(memory < MEMORY, "the connector occupies {memory} MiB");
}

#[tokio::test]
async fn a_thousand_requests_64_at_once_and_every_place_comes_back() {
    let app = App::start().await;
    let mut stand = stand(&app).await;
    let client = stand.client().clone();
    all_are_answered(&stand, connections(&client, 64, 1).await, 64 * 16).await;
    all_are_answered(&stand, connections(&client.http2(), 64, 32).await, 64 * 16).await;
    every_place_is_free(&stand, &app).await;
    // A second time: the places of those that stalled are free too.
    every_place_is_free(&stand, &app).await;
    connector_is_slim(&mut stand);
}

#[tokio::test]
async fn rule_9_slow_readers_and_slow_uploads_stop_nobody() {
    const SLOW: usize = 20;
    let app = App::start().await;
    let mut stand = stand(&app).await;
    let client = stand.client().clone();
    for client in [client.clone(), client.http2()] {
        // More than every window and buffer on the way holds.
        let size = 16 * MIB;
        let before = app.given();
        let mut readers = Vec::new();
        for _ in 0..SLOW {
            readers.push(client.send(get(&stand, "/download/16")).await);
        }
        all_are_answered(&stand, connections(&client, 16, 1).await, 400).await;
        assert!(
            app.given() - before < (SLOW * size) as u64,
            "nobody was slow"
        );
        is_well(&stand).await;
        connector_is_slim(&mut stand);
        // Slow is not broken.
        let answer = Answer::read(readers.swap_remove(0)).await;
        assert_eq!(answer.body.len(), size);
        drop(readers);

        app.go(false);
        let before = app.stalled();
        let sent = Arc::new(AtomicU64::new(0));
        let mut uploads = JoinSet::new();
        for _ in 0..SLOW {
            let (client, url) = (client.clone(), stand.url("wiki", "/upload"));
            let part = Bytes::from(vec![b'u'; MIB / 16]);
            let sent = Arc::clone(&sent);
            let parts = stream::iter(0..16 * 16).map(move |_| {
                sent.fetch_add(part.len() as u64, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Frame::data(part.clone()))
            });
            let request = Request::post(url).body(StreamBody::new(parts)).unwrap();
            uploads.spawn(async move { Answer::read(client.send(request).await).await });
        }
        app.stalls(before, SLOW).await;
        all_are_answered(&stand, connections(&client, 16, 1).await, 400).await;
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent < (SLOW * size) as u64, "nobody was slow");
        is_well(&stand).await;
        connector_is_slim(&mut stand);
        app.go(true);
        for answer in within("the uploads", uploads.join_all()).await {
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.text(), size.to_string());
        }
    }
    every_place_is_free(&stand, &app).await;
}

#[tokio::test]
async fn five_hundred_websockets_at_once() {
    let app = App::start().await;
    let mut stand = stand(&app).await;
    let client = stand.client().clone();
    let idle = stand.connectors()[0].sockets();
    let mut sockets = Vec::new();
    for _ in 0..500 {
        sockets.push(client.websocket("wss://wiki.localhost/ws").await.0);
    }
    for round in ["one", "two"] {
        for socket in &mut sockets {
            socket.send(Message::text(round)).await.unwrap();
        }
        for socket in &mut sockets {
            let answer = within("an echo", socket.next()).await.unwrap().unwrap();
            assert_eq!(answer, Message::text(round));
        }
    }
    all_are_answered(&stand, connections(&client, 16, 1).await, 160).await;
    // Half of them say goodbye, half vanish.
    for mut socket in sockets.drain(..250) {
        socket.close(None).await.unwrap();
    }
    drop(sockets);
    let connector = &stand.connectors()[0];
    until("the connector's sockets to close", || {
        connector.sockets() <= idle
    })
    .await;
    every_place_is_free(&stand, &app).await;
    connector_is_slim(&mut stand);
}

#[tokio::test]
async fn clients_that_vanish_leave_nothing_behind() {
    let app = App::start().await;
    let brief = json!({ "timeouts": { "first_byte": "3s" } });
    let mut stand = Stand::new()
        .application("wiki", &app.backend)
        .application_with("brief", &app.backend, brief)
        .gateway_setting("limits", words::no_limits())
        .connector_setting("connections", json!(1))
        .start()
        .await;
    let client = stand.client().clone();
    let idle = stand.connectors()[0].sockets();
    // An upload that nobody reads hides its sender's leaving in TCP's own buffers: over HTTP/1.1 it
    // ends when the application is out of time. HTTP/2 has windows of its own.
    for (client, blocked) in [(client.clone(), "brief"), (client.http2(), "wiki")] {
        let before = app.stalled();
        let mut gone = JoinSet::new();
        for _ in 0..30 {
            let answer = client.send(get(&stand, "/download/16")).await;
            assert_eq!(answer.status(), StatusCode::OK);
            drop(answer);
            let (waiting, request) = (client.clone(), get(&stand, "/stall"));
            gone.spawn(async move { drop(waiting.send(request).await) });
            for url in [stand.url("wiki", "/sink"), stand.url(blocked, "/upload")] {
                let part = Bytes::from(vec![b'u'; MIB / 16]);
                let parts =
                    stream::repeat_with(move || Ok::<_, std::io::Error>(Frame::data(part.clone())));
                let request = Request::post(url).body(StreamBody::new(parts)).unwrap();
                let sending = client.clone();
                gone.spawn(async move { drop(sending.send(request).await) });
            }
        }
        app.stalls(before, 90).await;
        gone.shutdown().await;
        let connector = &stand.connectors()[0];
        until("the connector's sockets to close", || {
            connector.sockets() <= idle
        })
        .await;
        is_well(&stand).await;
    }
    every_place_is_free(&stand, &app).await;
    connector_is_slim(&mut stand);
}

/// Rapid reset (CVE-2023-44487): a request costs its sender two small frames.
#[tokio::test]
async fn rule_9_two_thousand_resets_harm_nobody() {
    let app = App::start().await;
    let mut stand = stand(&app).await;
    let client = stand.client().clone();
    let url = stand.url("wiki", "/stall");
    let attack = {
        let client = client.clone();
        tokio::spawn(async move {
            let mut resets = 0;
            while resets < 2_000 {
                let stream = client.raw_http2("wiki.localhost").await;
                let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
                let connection = tokio::spawn(connection);
                // The gateway ends the connection of who does that too often.
                while resets < 2_000 {
                    let Ok(ready) = requests.clone().ready().await else {
                        break;
                    };
                    requests = ready;
                    let request = Request::get(&url).body(()).unwrap();
                    let Ok((answer, mut sender)) = requests.send_request(request, true) else {
                        break;
                    };
                    sender.send_reset(h2::Reason::CANCEL);
                    drop(answer);
                    resets += 1;
                }
                connection.abort();
            }
            resets
        })
    };
    all_are_answered(&stand, connections(&client, 16, 1).await, 400).await;
    all_are_answered(&stand, connections(&client.http2(), 16, 8).await, 400).await;
    assert_eq!(within("2,000 resets", attack).await.unwrap(), 2_000);

    // And those that wait until the application has the request.
    for _ in 0..4 {
        let before = app.stalled();
        let mut waiting = JoinSet::new();
        for mut connection in connections(&client.http2(), 128, 128).await {
            let request = get(&stand, "/stall");
            waiting.spawn(async move { drop(connection.send(request).await) });
        }
        app.stalls(before, 128).await;
        waiting.shutdown().await;
    }
    is_well(&stand).await;
    every_place_is_free(&stand, &app).await;
    connector_is_slim(&mut stand);
}
