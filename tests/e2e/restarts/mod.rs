//! Gateways and connectors that are restarted under load: nobody notices. `SOAK=1` restarts ten
//! times where three do otherwise.

mod sign_ins;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::harness::{
    Answer, Backend, Client, Process, ResponseBody, Running, Stand, body, until, within,
};

const HOST: &str = "wiki.localhost";

/// Between two requests of a client.
const PACE: Duration = Duration::from_millis(10);

/// What a POST carries, and gets back.
const UPLOAD: usize = 48 * 1024;

/// Pieces of the answer that takes longer than a notice.
const PIECES: usize = 15;

const CLOSED: &str = "no connection is accepted any more; waiting for what is in flight";
const LATE: &str = "the drain's deadline has come: what was left is cut";

fn rounds() -> usize {
    if std::env::var_os("SOAK").is_some() {
        10
    } else {
        3
    }
}

/// `/slow` answers in pieces over 1.5 s; anything else gives back what it got, or `ok`.
async fn application() -> Backend {
    Backend::answering(|request| async move {
        if request.uri().path() == "/slow" {
            return Response::new(in_pieces());
        }
        let sent = request.into_body().collect().await;
        match sent.map(|sent| sent.to_bytes()) {
            Ok(sent) if sent.is_empty() => Response::new(body("ok")),
            Ok(sent) => Response::new(body(sent)),
            Err(_) => Response::new(body("the upload broke")),
        }
    })
    .await
}

fn in_pieces() -> ResponseBody {
    let beat = interval(Duration::from_millis(100));
    let pieces = futures_util::stream::unfold((beat, 0), |(mut beat, count)| async move {
        beat.tick().await;
        let piece = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"piece")));
        (count < PIECES).then_some((piece, (beat, count + 1)))
    });
    StreamBody::new(pieces.boxed())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// One request, and what its answer is to be.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Small,
    Upload,
    Slow,
}

impl Wanted {
    fn request(self, origin: &str, whole: bool) -> Request<Full<Bytes>> {
        let path = match self {
            Self::Slow => "/slow",
            _ => "/small",
        };
        let target = match whole {
            true => format!("https://{origin}{path}"),
            false => path.to_owned(),
        };
        let request = Request::builder().uri(target);
        let request = match whole {
            true => request,
            false => request.header("host", origin),
        };
        match self {
            Self::Upload => request.method("POST").body(Full::from(vec![7_u8; UPLOAD])),
            _ => request.body(Full::default()),
        }
        .unwrap()
    }

    fn answer(self) -> Bytes {
        match self {
            Self::Small => Bytes::from_static(b"ok"),
            Self::Upload => vec![7; UPLOAD].into(),
            Self::Slow => b"piece".repeat(PIECES).into(),
        }
    }

    /// Reads an answer to its end. Every other one is a failure.
    async fn read(self, response: Response<Incoming>) -> Result<HeaderMap, String> {
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            let why = head.headers.get("appproxy-answer").cloned();
            return Err(format!("{} {why:?}", head.status));
        }
        let body = body.collect().await.map_err(|e| format!("body: {e:?}"))?;
        if body.to_bytes() != self.answer() {
            return Err("another body".to_owned());
        }
        Ok(head.headers)
    }
}

/// What the clients have seen.
#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    answered: AtomicUsize,
    /// Connections that were opened.
    opened: AtomicUsize,
    /// Requests that a client never wrote, because it knew of the connection's end before.
    handed_back: AtomicUsize,
    /// The longest time a request took that should take none, in milliseconds.
    longest: AtomicU64,
    failed: Mutex<BTreeMap<String, usize>>,
}

impl Counts {
    fn note(&self, client: &str, began: Instant, wanted: Wanted, failed: Option<String>) {
        if !matches!(wanted, Wanted::Slow) {
            let took = u64::try_from(began.elapsed().as_millis()).unwrap();
            self.longest.fetch_max(took, Ordering::Relaxed);
        }
        match failed {
            None => {
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
            Some(why) => {
                let why = format!("{client}, {wanted:?}: {why}");
                *self.failed.lock().unwrap().entry(why).or_default() += 1;
            }
        }
    }
}

/// Clients that send requests without an end, each one after the other: over HTTP/1.1 connections
/// that are kept, over HTTP/2, and over a connection each.
struct Clients {
    counts: Arc<Counts>,
    workers: JoinSet<()>,
}

impl Clients {
    fn start(stand: &Running) -> Self {
        let counts = Arc::new(Counts::default());
        let origin = format!("{HOST}:{}", stand.address().port());
        let mut workers = JoinSet::new();
        for number in 0..10 {
            let worker = Worker {
                client: stand.client().clone(),
                origin: origin.clone(),
                counts: Arc::clone(&counts),
            };
            match number {
                0..4 => workers.spawn(worker.keeps_alive(Wanted::Small)),
                4 => workers.spawn(worker.keeps_alive(Wanted::Slow)),
                5..7 => workers.spawn(worker.http2(Wanted::Small)),
                7 => workers.spawn(worker.http2(Wanted::Slow)),
                _ => workers.spawn(worker.each_anew()),
            };
        }
        Self { counts, workers }
    }

    /// Waits until so many more are answered.
    async fn answers(&self, count: usize) {
        let answered = &self.counts.answered;
        let from = answered.load(Ordering::Relaxed);
        until("answers under load", || {
            answered.load(Ordering::Relaxed) >= from + count
        })
        .await;
    }

    /// Ends them, says what they have seen and makes sure that it was nothing.
    async fn end(mut self, what: &str) {
        self.counts.stop.store(true, Ordering::Relaxed);
        within("the clients' end", async {
            while let Some(ended) = self.workers.join_next().await {
                ended.unwrap();
            }
        })
        .await;
        let counts = &self.counts;
        eprintln!("{what}: {} restarts, {counts:?}", rounds(),);
        assert_eq!(*counts.failed.lock().unwrap(), BTreeMap::new());
        assert!(counts.answered.load(Ordering::Relaxed) >= 200 * rounds());
    }
}

struct Worker {
    client: Client,
    origin: String,
    counts: Arc<Counts>,
}

impl Worker {
    fn goes_on(&self) -> bool {
        !self.counts.stop.load(Ordering::Relaxed)
    }

    /// Every other small one is an upload.
    fn turn(wanted: Wanted, turn: &mut usize) -> Wanted {
        *turn += 1;
        match wanted {
            Wanted::Small if turn.is_multiple_of(2) => Wanted::Upload,
            wanted => wanted,
        }
    }

    async fn open1(&self) -> http1::SendRequest<Full<Bytes>> {
        self.counts.opened.fetch_add(1, Ordering::Relaxed);
        let stream = TokioIo::new(self.client.raw(HOST).await);
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn open2(&self) -> http2::SendRequest<Full<Bytes>> {
        self.counts.opened.fetch_add(1, Ordering::Relaxed);
        let stream = TokioIo::new(self.client.raw_http2(HOST).await);
        let handshake = http2::handshake(TokioExecutor::new(), stream);
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A connection that was not announced to close has to take the next request.
    async fn keeps_alive(self, wanted: Wanted) {
        let (mut open, mut count, mut pace) = (None, 0, pace());
        while self.goes_on() {
            pace.tick().await;
            let wanted = Self::turn(wanted, &mut count);
            let mut sender = match open.take() {
                Some(sender) => sender,
                None => self.open1().await,
            };
            let began = Instant::now();
            let outcome = within("an answer", async {
                sender.ready().await.map_err(|e| format!("closed: {e:?}"))?;
                let sent = sender.send_request(wanted.request(&self.origin, false));
                wanted.read(sent.await.map_err(|e| format!("{e:?}"))?).await
            });
            let failed = match outcome.await {
                Ok(head) => {
                    let closes = head.get("connection").is_some_and(|word| word == "close");
                    open = (!closes).then_some(sender);
                    None
                }
                Err(why) => Some(why),
            };
            self.counts.note("HTTP/1.1, kept", began, wanted, failed);
        }
    }

    /// What was not sent because of a GOAWAY goes over the next connection, as in every client.
    async fn http2(self, wanted: Wanted) {
        let (mut sender, mut count, mut pace) = (self.open2().await, 0, pace());
        while self.goes_on() {
            pace.tick().await;
            let wanted = Self::turn(wanted, &mut count);
            let began = Instant::now();
            let outcome = loop {
                if sender.ready().await.is_err() {
                    sender = self.open2().await;
                    continue;
                }
                let request = wanted.request(&self.origin, true);
                match within("an answer", sender.try_send_request(request)).await {
                    Ok(response) => break within("the body", wanted.read(response)).await,
                    Err(mut error) => {
                        if error.take_message().is_none() {
                            break Err(format!("{:?}", error.into_error()));
                        }
                        self.counts.handed_back.fetch_add(1, Ordering::Relaxed);
                        sender = self.open2().await;
                    }
                }
            };
            self.counts.note("HTTP/2", began, wanted, outcome.err());
        }
    }

    async fn each_anew(self) {
        let (mut count, mut pace) = (0, pace());
        while self.goes_on() {
            pace.tick().await;
            let wanted = Self::turn(Wanted::Small, &mut count);
            let began = Instant::now();
            let outcome = within("an answer", async {
                let sent = self
                    .open1()
                    .await
                    .send_request(wanted.request(&self.origin, false))
                    .await;
                wanted.read(sent.map_err(|e| format!("{e:?}"))?).await
            });
            let failed = outcome.await.err();
            self.counts.note("a connection each", began, wanted, failed);
        }
    }
}

fn pace() -> tokio::time::Interval {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

fn stand(backend: &Backend) -> Stand {
    Stand::new()
        .application("wiki", backend)
        .held()
        .gateway_setting("drain", json!({ "notice": "1s", "deadline": "20s" }))
}

/// It ended by itself, and had no trouble with the store that it shares with its successor.
fn ended_well(process: &Process) {
    for line in process.log() {
        assert!(!line.contains(r#""level":"ERROR""#), "{line}");
        assert!(!line.contains("locked"), "{line}");
        assert!(!line.contains(LATE), "{line}");
    }
}

#[tokio::test]
async fn a_gateway_whose_successor_runs_already_loses_nothing() {
    let backend = application().await;
    let mut stand = stand(&backend).connectors(2).start().await;
    let clients = Clients::start(&stand);
    for _ in 0..rounds() {
        clients.answers(100).await;
        let old = stand.successor().await;
        old.terminate();
        assert!(old.ended().await.success());
        ended_well(&old);
        clients.answers(100).await;
    }
    clients.end("the successor first").await;
}

#[tokio::test]
async fn a_gateway_that_stops_before_its_successor_starts_loses_nothing() {
    let backend = application().await;
    let mut stand = stand(&backend).connectors(2).start().await;
    let clients = Clients::start(&stand);
    for _ in 0..rounds() {
        clients.answers(100).await;
        assert!(stand.stop_gateway().await.success());
        let old = stand.successor().await;
        ended_well(&old);
        clients.answers(100).await;
    }
    clients.end("stop, then start").await;
}

#[tokio::test]
async fn connectors_that_are_restarted_one_after_the_other_lose_nothing() {
    let backend = application().await;
    let mut stand = stand(&backend).connectors(2).start().await;
    let clients = Clients::start(&stand);
    for round in 0..rounds() {
        clients.answers(100).await;
        let leaving = stand.connectors().remove(0);
        leaving.terminate();
        assert!(leaving.ended().await.success());
        clients.answers(100).await;
        // The older one leaves each time.
        let config = stand
            .folder()
            .join(format!("connector-{}.yaml", 1 + round % 2));
        stand.start_connector(&config).await;
    }
    clients.end("connectors in turn").await;
}

/// Two processes of one identity serve side by side, so that an only connector is replaced without
/// a gap.
#[tokio::test]
async fn an_only_connector_is_replaced_by_another_process_of_its_identity() {
    let backend = application().await;
    let mut stand = stand(&backend).start().await;
    let config = stand.folder().join("connector-1.yaml");
    let clients = Clients::start(&stand);
    for _ in 0..rounds() {
        clients.answers(100).await;
        stand.start_connector(&config).await;
        let leaving = stand.connectors().remove(0);
        leaving.terminate();
        assert!(leaving.ended().await.success());
        clients.answers(100).await;
    }
    clients.end("one identity, two processes").await;
}

/// Requests over a connection that is kept.
struct Kept(http1::SendRequest<Full<Bytes>>, String);

impl Kept {
    async fn open(stand: &Running) -> Self {
        let stream = TokioIo::new(stand.client().raw(HOST).await);
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender, format!("{HOST}:{}", stand.address().port()))
    }

    /// Whether the answer says that it is the last.
    async fn is_last(&mut self) -> bool {
        let request = Wanted::Small.request(&self.1, false);
        let answer = within("an answer", self.0.send_request(request)).await;
        let head = Wanted::Small.read(answer.unwrap()).await.unwrap();
        head.get("connection").is_some_and(|word| word == "close")
    }

    async fn ends(&mut self) {
        let is_closed = || self.0.is_closed();
        until("the connection's end", is_closed).await;
    }
}

#[tokio::test]
async fn while_notice_is_given_all_is_served_and_afterwards_waits_for_the_successor() {
    let backend = application().await;
    let mut stand = Stand::new()
        .application("wiki", &backend)
        .held()
        // All that is done while notice is given has to be done by then.
        .gateway_setting("drain", json!({ "notice": "12s", "deadline": "40s" }))
        .start()
        .await;
    let (mut busy, mut idle) = (Kept::open(&stand).await, Kept::open(&stand).await);
    assert!(!busy.is_last().await);
    assert!(!idle.is_last().await);
    let mut http2 = stand.client().http2().connect(HOST).await;
    let url = stand.url("wiki", "/small");
    let get = || Request::get(&url).body(Full::<Bytes>::default()).unwrap();
    let answer = Answer::read(http2.send(get()).await.unwrap()).await;
    assert_eq!(answer.text(), "ok");

    stand.gateway().terminate();
    let stopping = "stopping: everybody is sent elsewhere; a second signal ends at once";
    stand.gateway().says(stopping).await;
    assert!(busy.is_last().await);
    busy.ends().await;
    // A connection that comes now is served too, once.
    let mut late = Kept::open(&stand).await;
    assert!(late.is_last().await);
    // HTTP/2 is told when telling it leads to the successor.
    let answer = Answer::read(http2.send(get()).await.unwrap()).await;
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.header("connection"), "");
    // An enrolment is served: it needs the store alone. A new tunnel is not.
    let config = stand.enrol("default").await;
    let connector = stand.spawn_connector(&config);
    connector.says("no tunnel; trying again").await;
    assert!(!idle.0.is_closed(), "notice is given");
    assert_eq!(stand.gateway().said(CLOSED), 0, "notice is given");

    stand.gateway().says(CLOSED).await;
    idle.ends().await;
    within("GOAWAY", async { while http2.send(get()).await.is_ok() {} }).await;
    let client = stand.client().clone();
    let waiting = tokio::spawn(async move { client.get(&url).await.text().to_owned() });
    assert!(stand.gateway().ended().await.success());
    assert!(!waiting.is_finished());
    ended_well(&stand.successor().await);
    assert_eq!(within("the answer", waiting).await.unwrap(), "ok");
    connector.says("tunnel open").await;
}

#[tokio::test]
async fn a_connection_that_was_accepted_at_the_last_moment_has_its_request_served() {
    let backend = application().await;
    let stand = stand(&backend).start().await;
    let mut http1 = stand.client().raw(HOST).await;
    let mut http2 = stand.client().http2().connect(HOST).await;
    stand.gateway().terminate();
    stand.gateway().says(CLOSED).await;
    let url = stand.url("wiki", "/small");
    let get = Request::get(&url).body(Full::<Bytes>::default()).unwrap();
    let answer = within("an answer", http2.send(get)).await.unwrap();
    assert_eq!(Answer::read(answer).await.text(), "ok");
    let head = format!(
        "GET /small HTTP/1.1\r\nHost: {HOST}:{}\r\n\r\n",
        stand.address().port()
    );
    http1.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer and the end", http1.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.to_lowercase().contains("\r\nconnection: close\r\n"),
        "{answer}"
    );
    assert!(stand.gateway().ended().await.success());
    ended_well(stand.gateway());
}

#[tokio::test]
async fn a_gateway_that_nobody_uses_gives_no_notice_and_one_that_is_used_comes_to_its_deadline() {
    let backend = application().await;
    let (stalls, mut stalled) = watch::channel(false);
    let stalling = Backend::answering(move |_| {
        stalls.send_replace(true);
        std::future::pending::<Response<ResponseBody>>()
    })
    .await;
    let stand = Stand::new()
        .application("wiki", &backend)
        // Longer than anything is waited for here.
        .gateway_setting("drain", json!({ "notice": "5m", "deadline": "6m" }))
        .start()
        .await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    assert!(stand.stop_gateway().await.success());
    ended_well(stand.gateway());

    let stand = Stand::new()
        .application("wiki", &stalling)
        .gateway_setting("drain", json!({ "notice": "200ms", "deadline": "1500ms" }))
        .start()
        .await;
    let client = stand.client().clone();
    let cut = tokio::spawn(async move { client.get("https://wiki.localhost/").await });
    within("the request", stalled.wait_for(|&it_does| it_does))
        .await
        .unwrap();
    let since = Instant::now();
    assert!(stand.stop_gateway().await.success());
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(1500), "{took:?}");
    assert_eq!(stand.gateway().said(LATE), 1);
    // Its connection is cut, or it is told so in the last moment.
    if let Ok(answer) = within("the end", cut).await {
        let told = answer.header("appproxy-answer");
        assert_eq!(told, "gateway;error=tunnel_lost");
    }
}

/// What its connector carries at the deadline is cut, and said.
#[tokio::test]
async fn a_connector_that_is_used_comes_to_its_deadline() {
    let (stalls, mut stalled) = watch::channel(false);
    let stalling = Backend::answering(move |_| {
        stalls.send_replace(true);
        std::future::pending::<Response<ResponseBody>>()
    })
    .await;
    let mut stand = Stand::new()
        .application("wiki", &stalling)
        .connector_setting("drain", json!({ "deadline": "1s" }))
        .start()
        .await;
    let client = stand.client().clone();
    let cut = tokio::spawn(async move { client.get("https://wiki.localhost/").await });
    within("the request", stalled.wait_for(|&it_does| it_does))
        .await
        .unwrap();
    let connector = stand.connectors().remove(0);
    let since = Instant::now();
    connector.terminate();
    assert!(connector.ended().await.success());
    let took = since.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert_eq!(
        connector.said("the drain's deadline has come: what is left is cut"),
        1
    );
    let answer = within("the answer", cut).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        answer.header("appproxy-answer"),
        "gateway;error=tunnel_lost"
    );
}

/// Behind a device that keeps the https port's TLS to itself, connectors have a port of their own.
#[tokio::test]
async fn connectors_have_a_door_of_their_own_and_may_use_the_common_one() {
    let backend = application().await;
    let mut stand = stand(&backend).connectors(0).tunnel_apart().start().await;
    let apart = stand.tunnel_address();
    let dialled = format!("gateway.localhost:{}", apart.port());
    let config = stand
        .enrol_with("default", json!({ "gateways": [&dialled] }))
        .await;
    stand.start_connector(&config).await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    let common = stand.enrol("default").await;
    stand.start_connector(&common).await;
    // People have no business there.
    let people = Client::new(stand.authority(), apart);
    let mut stream = people.tcp().await;
    let hello = b"GET / HTTP/1.1\r\nHost: wiki.localhost\r\n\r\n";
    stream.write_all(hello).await.unwrap();
    let mut rest = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut rest)).await;
    assert!(!rest.starts_with(b"HTTP/"), "{rest:?}");
    let refused = std::panic::AssertUnwindSafe(people.raw(HOST));
    let refused = futures_util::FutureExt::catch_unwind(refused).await;
    assert!(refused.is_err(), "TLS for people at the connectors' door");

    // What dials that door while the gateway stops waits in it for the successor.
    let mut keeps_the_notice = Kept::open(&stand).await;
    assert!(!keeps_the_notice.is_last().await);
    assert!(stand.stop_gateway().await.success());
    stand.successor().await;
    until("every tunnel", || stand.tunnels() == (4, 0)).await;
    let dials = stand.connectors().remove(0);
    let asked = "the gateway asks for another tunnel in the place of this one";
    until("that it was asked for both", || dials.said(asked) == 2).await;
    // Of the other ways there is a word at first, where no tunnel stood yet.
    let lost = |line: &String| line.contains("no tunnel; trying again") && line.contains(&dialled);
    assert!(!dials.log().iter().any(lost), "{:#?}", dials.log());
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
}
