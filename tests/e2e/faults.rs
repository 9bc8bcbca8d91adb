//! What dies, freezes or falls silent under load: only what it carried at that moment fails.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::harness::{Backend, Running, Stand, body, until, within};

/// An answer that began and did not end, or whose connection did.
pub(crate) const BROKEN: &str = "broken";

/// An application with answers that wait: those to `/stall`, until it may.
struct App {
    backend: Backend,
    stalled: watch::Sender<usize>,
    go: watch::Sender<bool>,
}

impl App {
    async fn start() -> Self {
        let (stalled, go) = (watch::Sender::new(0_usize), watch::Sender::new(false));
        let (count, may) = (stalled.clone(), go.clone());
        let backend = Backend::answering(move |request| {
            let (count, mut may) = (count.clone(), may.subscribe());
            async move {
                if request.uri().path() == "/stall" {
                    count.send_modify(|count| *count += 1);
                    let _ = may.wait_for(|&go| go).await;
                }
                Response::new(body("ok"))
            }
        })
        .await;
        Self {
            backend,
            stalled,
            go,
        }
    }
}

/// Requests that stall at the application, sent one after the other so that equals take turns.
async fn stalled(stand: &Running, app: &App, count: usize) -> JoinSet<(StatusCode, String)> {
    let mut requests = JoinSet::new();
    let mut arrived = app.stalled.subscribe();
    for _ in 0..count {
        let before = *app.stalled.borrow();
        let (client, url) = (stand.client().clone(), stand.url("wiki", "/stall"));
        requests.spawn(async move {
            let answer = client.get(&url).await;
            (answer.status, answer.header("appproxy-answer").to_owned())
        });
        within(
            "a request at the application",
            arrived.wait_for(|&now| now > before),
        )
        .await
        .unwrap();
    }
    requests
}

fn ok() -> (StatusCode, String) {
    (StatusCode::OK, String::new())
}

fn lost() -> (StatusCode, String) {
    (
        StatusCode::BAD_GATEWAY,
        "gateway;error=tunnel_lost".to_owned(),
    )
}

/// Small requests without a pause, half of them over HTTP/1.1 and half over HTTP/2.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    workers: JoinSet<BTreeMap<String, usize>>,
}

impl Load {
    pub(crate) async fn start(stand: &Running, workers: usize) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            failed: Arc::default(),
            workers: JoinSet::new(),
        };
        for worker in 0..workers {
            let client = match worker % 2 {
                0 => stand.client().clone(),
                _ => stand.client().http2(),
            };
            let mut connection = client.connect("wiki.localhost").await;
            let url = stand.url("wiki", "/small");
            let stop = Arc::clone(&load.stop);
            let (answered, failed) = (Arc::clone(&load.answered), Arc::clone(&load.failed));
            load.workers.spawn(async move {
                let mut failures = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let request = Request::get(&url).body(Empty::<Bytes>::new()).unwrap();
                    // A body that broke is a failure too; the connection may have gone with it.
                    let answer = async {
                        let response = connection.send(request).await.ok()?;
                        let (head, body) = response.into_parts();
                        body.collect().await.ok()?;
                        Some(head)
                    };
                    let code = match within("an answer", answer).await {
                        Some(head) if head.status == StatusCode::OK => {
                            answered.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        Some(head) => {
                            let code = head.headers.get("appproxy-answer");
                            code.map_or("none", |code| code.to_str().unwrap())
                                .to_owned()
                        }
                        None => {
                            connection = client.connect("wiki.localhost").await;
                            BROKEN.to_owned()
                        }
                    };
                    failed.fetch_add(1, Ordering::Relaxed);
                    *failures.entry(code).or_default() += 1;
                }
                failures
            });
        }
        load
    }

    /// Waits until so many more are answered.
    pub(crate) async fn answers(&self, count: usize) {
        let from = self.answered.load(Ordering::Relaxed);
        until("answers under load", || {
            self.answered.load(Ordering::Relaxed) >= from + count
        })
        .await;
    }

    /// Waits until so many more fail.
    async fn fails(&self, count: usize) {
        let from = self.failed.load(Ordering::Relaxed);
        until("failures under load", || {
            self.failed.load(Ordering::Relaxed) >= from + count
        })
        .await;
    }

    /// Ends it, and counts the failures by their codes.
    pub(crate) async fn end(self) -> BTreeMap<String, usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for failures in self.workers.join_all().await {
            for (code, count) in failures {
                *all.entry(code).or_default() += count;
            }
        }
        all
    }
}

async fn two_connectors(app: &App) -> Running {
    Stand::new()
        .application("wiki", &app.backend)
        .connectors(2)
        .connector_setting("connections", json!(1))
        .start()
        .await
}

#[tokio::test]
async fn a_connector_that_is_killed_fails_only_what_it_carries() {
    const WORKERS: usize = 16;
    let app = App::start().await;
    let mut stand = two_connectors(&app).await;
    let waiting = stalled(&stand, &app, 20).await;
    let load = Load::start(&stand, WORKERS).await;
    load.answers(200).await;

    let dead = stand.connectors().remove(0);
    dead.kill();
    dead.ended().await;
    until("the tunnel's end", || stand.tunnels() == (2, 1)).await;
    load.answers(400).await;
    app.go.send_replace(true);
    // What the dead one carried had no body, and went to the other.
    let answers = within("the stalled answers", waiting.join_all()).await;
    assert_eq!(answers, vec![ok(); 20]);

    // It comes back under load, and takes its share again.
    let config = stand.folder().join("connector-1.yaml");
    stand.start_connector(&config).await;
    load.answers(400).await;
    app.go.send_replace(false);
    let waiting = stalled(&stand, &app, 2).await;
    stand.connectors()[0].kill();
    until("the tunnel's end", || stand.tunnels() == (3, 2)).await;
    app.go.send_replace(true);
    let answers = within("the stalled answers", waiting.join_all()).await;
    assert_eq!(answers, vec![ok(); 2]);
    load.answers(100).await;
    // An answer whose body was on its way cannot be had again. Each worker had one under way at
    // most, each time.
    let failures = load.end().await;
    assert!(failures.keys().all(|code| code == BROKEN), "{failures:?}");
    assert!(
        failures.values().sum::<usize>() <= 2 * WORKERS,
        "{failures:?}"
    );
}

#[tokio::test]
async fn a_connector_that_restarts_under_load_fails_nothing() {
    let app = App::start().await;
    let mut stand = two_connectors(&app).await;
    let load = Load::start(&stand, 16).await;
    for round in 1..=3 {
        load.answers(200).await;
        let leaving = stand.connectors().remove(0);
        leaving.terminate();
        assert!(leaving.ended().await.success());
        load.answers(200).await;
        // The older one leaves each time.
        let config = format!("connector-{}.yaml", 2 - round % 2);
        let config = stand.folder().join(config);
        stand.start_connector(&config).await;
    }
    load.answers(200).await;
    assert_eq!(load.end().await, BTreeMap::new());
    until("the last word of each", || stand.tunnels() == (5, 3)).await;
    assert!(stand.gateway().memory() < 200);
}

#[tokio::test]
async fn an_application_that_restarts_under_load_is_served_again() {
    let mut backend = Backend::text("ok").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    let load = Load::start(&stand, 8).await;
    for _ in 0..2 {
        load.answers(200).await;
        backend.stop().await;
        load.fails(20).await;
        backend =
            Backend::answering_at(backend.address(), |_| async { Response::new(body("ok")) }).await;
        load.answers(50).await;
    }
    let failures = load.end().await;
    for code in failures.keys() {
        assert!(
            [
                BROKEN,
                "gateway;error=backend_refused",
                "gateway;error=backend_bad_response"
            ]
            .contains(&code.as_str()),
            "{failures:?}"
        );
    }
    let load = Load::start(&stand, 8).await;
    load.answers(400).await;
    assert_eq!(load.end().await, BTreeMap::new());
    assert_eq!(stand.tunnels(), (2, 0));
    assert!(stand.connectors()[0].memory() < 200);
}

/// Which octets a relay swallows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swallowed {
    Both,
    ToGateway,
    ToConnector,
}

/// A relay between a connector and its gateway. Told to, it takes the octets of the connections
/// that it has and passes none, as a firewall does that forgot them; new ones it serves well.
struct Relay {
    address: SocketAddr,
    deaf: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn start(gateway: watch::Receiver<Option<SocketAddr>>, swallowed: Swallowed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deaf = watch::Sender::new(0);
        let heard = deaf.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connector, _)) = listener.accept().await {
                let mut gateway = gateway.clone();
                let deaf = heard.subscribe();
                connections.spawn(async move {
                    let address = gateway.wait_for(Option::is_some).await.unwrap().unwrap();
                    let gateway = TcpStream::connect(address).await.unwrap();
                    let (from_connector, to_connector) = connector.into_split();
                    let (from_gateway, to_gateway) = gateway.into_split();
                    let up = swallowed != Swallowed::ToConnector;
                    let down = swallowed != Swallowed::ToGateway;
                    tokio::join!(
                        pass(from_connector, to_gateway, deaf.clone(), up),
                        pass(from_gateway, to_connector, deaf, down),
                    );
                });
            }
        });
        Self {
            address,
            deaf,
            task,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    deaf: watch::Receiver<u64>,
    swallows: bool,
) {
    let began = *deaf.borrow();
    let mut octets = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut octets).await {
        let is_deaf = swallows && *deaf.borrow() != began;
        if !is_deaf && to.write_all(&octets[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_tunnel_that_falls_silent_is_given_up_and_comes_back() {
    let cases = [
        Swallowed::Both,
        Swallowed::ToGateway,
        Swallowed::ToConnector,
    ];
    let given_up = join_all(cases.map(falls_silent)).await;
    assert_eq!(given_up.len(), 3);
}

async fn falls_silent(swallowed: Swallowed) {
    let app = App::start().await;
    let (gateway, known) = watch::channel(None);
    let relay = Relay::start(known, swallowed).await;
    let dialled = format!("gateway.localhost:{}", relay.address.port());
    let mut stand = Stand::new()
        .application("wiki", &app.backend)
        .connectors(0)
        .connector_setting("gateways", json!([dialled]))
        .connector_setting("connections", json!(1))
        .start()
        .await;
    gateway.send_replace(Some(stand.address()));
    let config = stand.enrol("default").await;
    stand.start_connector(&config).await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");

    let waiting = stalled(&stand, &app, 5).await;
    relay.deaf.send_modify(|times| *times += 1);
    // Those that were under way, and those that did not know better.
    let mut late = JoinSet::new();
    for _ in 0..5 {
        let (client, url) = (stand.client().clone(), stand.url("wiki", "/small"));
        late.spawn(async move { client.get(&url).await.status });
    }
    until("the silent tunnel's end", || stand.tunnels().1 == 1).await;
    app.go.send_replace(true);
    // The only connector there is: where its next tunnel stands by then, they go there.
    let answers = within("the stalled answers", waiting.join_all()).await;
    assert_eq!(answers.len(), 5);
    for answer in answers {
        assert!(
            answer == lost() || answer == ok(),
            "{swallowed:?}: {answer:?}"
        );
    }
    let late = within("the late answers", late.join_all()).await;
    assert_eq!(late.len(), 5);
    let either = [StatusCode::BAD_GATEWAY, StatusCode::OK];
    assert!(
        late.iter().all(|s| either.contains(s)),
        "{swallowed:?}: {late:?}"
    );
    until("a new tunnel", || stand.tunnels() == (2, 1)).await;
    let back = stand.get("https://wiki.localhost/").await;
    assert_eq!(back.text(), "ok", "{swallowed:?}");
}

#[tokio::test]
async fn a_frozen_connector_is_given_up_and_serves_when_it_thaws() {
    let app = App::start().await;
    let mut stand = two_connectors(&app).await;
    let waiting = stalled(&stand, &app, 10).await;
    stand.connectors()[0].signal(Signal::STOP);
    until("the frozen tunnel's end", || stand.tunnels() == (2, 1)).await;
    let load = Load::start(&stand, 8).await;
    load.answers(200).await;
    assert_eq!(load.end().await, BTreeMap::new());
    stand.connectors()[0].signal(Signal::CONT);
    until("a new tunnel", || stand.tunnels() == (3, 1)).await;
    app.go.send_replace(true);
    let answers = within("the stalled answers", waiting.join_all()).await;
    assert_eq!(answers, vec![ok(); 10]);
}
