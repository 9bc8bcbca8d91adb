//! How many requests an application and an address may have in tunnels, in numbers.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::attacks::connector::{NEVER, Rogue, hello, line, plain};
use crate::harness::{Answer, Backend, Client, Stand, body, until};

const REFUSES: &str =
    "application has as many requests in tunnels as it may: further ones are refused";
const RECOVERS: &str = "application is below its limit again";
const ADDRESS: &str =
    "client address has as many requests in tunnels as it may: further ones are refused";

/// An application that answers `/wait` when it is told to, and counts who waits.
pub(crate) struct Waiting {
    pub(crate) backend: Backend,
    waiting: Arc<AtomicUsize>,
    pub(crate) go: watch::Sender<bool>,
}

impl Waiting {
    pub(crate) async fn start() -> Self {
        let waiting = Arc::new(AtomicUsize::new(0));
        let (go, told) = watch::channel(false);
        let count = Arc::clone(&waiting);
        let backend = Backend::answering(move |mut request| {
            let (count, mut told) = (Arc::clone(&count), told.clone());
            async move {
                if request.headers().contains_key("upgrade") {
                    return socket(&mut request);
                }
                if request.uri().path() == "/wait" {
                    let one = One::begin(&count);
                    let _ = told.wait_for(|go| *go).await;
                    drop(one);
                }
                Response::new(body("ok"))
            }
        })
        .await;
        Self {
            backend,
            waiting,
            go,
        }
    }

    pub(crate) async fn are_waiting(&self, count: usize) {
        let what = format!("{count} requests at the application");
        until(&what, || self.waiting.load(Ordering::SeqCst) == count).await;
    }
}

/// One that waits, whatever becomes of it.
struct One(Arc<AtomicUsize>);

impl One {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Agrees to a WebSocket and waits for its end.
fn socket(request: &mut Request<hyper::body::Incoming>) -> Response<crate::harness::ResponseBody> {
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    let key = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let stream = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
        let mut socket =
            tokio_tungstenite::WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        while let Some(Ok(_)) = futures_util::StreamExt::next(&mut socket).await {}
    });
    Response::builder()
        .status(101)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", key)
        .body(body(""))
        .unwrap()
}

type Statuses = JoinSet<(u16, String, String)>;

/// Sends so many requests at once; each gives its status, who answered and when to come again.
fn ask(statuses: &mut Statuses, client: &Client, url: &str, count: usize) {
    for _ in 0..count {
        let (client, url) = (client.clone(), url.to_owned());
        statuses.spawn(async move {
            let request = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
            let answer = Answer::read(client.send(request).await).await;
            (
                answer.status.as_u16(),
                answer.header("appproxy-answer").to_owned(),
                answer.header("retry-after").to_owned(),
            )
        });
    }
}

/// The next so many that are answered.
async fn next(statuses: &mut Statuses, count: usize) -> Vec<(u16, String, String)> {
    let mut answered = Vec::new();
    for _ in 0..count {
        let one = crate::harness::within("an answer", statuses.join_next()).await;
        answered.push(one.unwrap().unwrap());
    }
    answered
}

fn busy() -> (u16, String, String) {
    (503, "gateway;error=tunnel_busy".into(), "2".into())
}

fn good() -> (u16, String, String) {
    (200, String::new(), String::new())
}

#[tokio::test]
async fn an_application_has_exactly_as_many_as_it_may_and_stands_in_nobodys_way() {
    const MOST: usize = 5;
    let slow = Waiting::start().await;
    let limits = json!({ "limits": { "requests": MOST } });
    let stand = Stand::new()
        .application_with("slow", &slow.backend, limits)
        .application("other", &slow.backend)
        .start()
        .await;
    let client = stand.client();
    let (wait, other) = ("https://slow.localhost/wait", "https://other.localhost/");
    for round in 1..=2 {
        let mut statuses = Statuses::new();
        ask(&mut statuses, client, wait, 12);
        assert_eq!(
            next(&mut statuses, 12 - MOST).await,
            vec![busy(); 12 - MOST]
        );
        slow.are_waiting(MOST).await;
        // Two at once, and each of them refused; the other application is not.
        ask(&mut statuses, client, wait, 2);
        assert_eq!(next(&mut statuses, 2).await, [busy(), busy()]);
        ask(&mut statuses, client, other, 20);
        assert_eq!(next(&mut statuses, 20).await, vec![good(); 20]);
        slow.go.send_replace(true);
        assert_eq!(next(&mut statuses, MOST).await, vec![good(); MOST]);
        slow.go.send_replace(false);
        until("it has recovered", || {
            stand.gateway().said(RECOVERS) == round
        })
        .await;
        assert_eq!(stand.gateway().said(REFUSES), round);
    }
    // One line for the first of them, none for each.
    assert_eq!(stand.gateway().said("request failed"), 0);

    // Who goes away makes room.
    let mut statuses = Statuses::new();
    ask(&mut statuses, client, wait, MOST);
    slow.are_waiting(MOST).await;
    ask(&mut statuses, client, wait, 1);
    assert_eq!(next(&mut statuses, 1).await, [busy()]);
    statuses.shutdown().await;
    slow.are_waiting(0).await;
    until("it has recovered", || stand.gateway().said(RECOVERS) == 3).await;

    // A WebSocket counts as long as it is open.
    let mut sockets = Vec::new();
    for _ in 0..MOST {
        sockets.push(client.websocket("wss://slow.localhost/").await.0);
    }
    ask(&mut statuses, client, wait, 1);
    assert_eq!(next(&mut statuses, 1).await, [busy()]);
    drop(sockets);
    until("it has recovered", || stand.gateway().said(RECOVERS) == 4).await;
    ask(&mut statuses, client, "https://slow.localhost/", MOST);
    assert_eq!(next(&mut statuses, MOST).await, vec![good(); MOST]);
}

#[tokio::test]
async fn an_address_has_as_many_as_it_may_over_all_applications() {
    let slow = Waiting::start().await;
    let own = json!({ "limits": { "requests_per_address": 2 } });
    let stand = Stand::new()
        .gateway_setting("limits", json!({ "requests_per_address": 6 }))
        .application("one", &slow.backend)
        .application_with("two", &slow.backend, own)
        .start()
        .await;
    let client = stand.client();
    let throttled = || (429, "gateway;error=throttled".to_owned(), "10".to_owned());
    let mut statuses = Statuses::new();
    ask(&mut statuses, client, "https://two.localhost/wait", 5);
    assert_eq!(next(&mut statuses, 3).await, vec![throttled(); 3]);
    ask(&mut statuses, client, "https://one.localhost/wait", 9);
    assert_eq!(next(&mut statuses, 5).await, vec![throttled(); 5]);
    slow.are_waiting(6).await;
    until("that it is said", || stand.gateway().said(ADDRESS) == 2).await;
    // Somebody else is somebody else.
    let neighbour = client.at(Ipv4Addr::new(127, 0, 0, 9));
    ask(&mut statuses, &neighbour, "https://two.localhost/", 2);
    assert_eq!(next(&mut statuses, 2).await, [good(), good()]);
    slow.go.send_replace(true);
    assert_eq!(next(&mut statuses, 6).await, vec![good(); 6]);
    ask(&mut statuses, client, "https://two.localhost/", 2);
    assert_eq!(next(&mut statuses, 2).await, [good(), good()]);
    assert_eq!(stand.gateway().said("request refused"), 0);
}

/// Where nothing is said, one application has four fifths of a group's places.
#[tokio::test]
async fn one_application_cannot_take_every_place_of_a_group() {
    let backend = Backend::text("unused").await;
    let mut stand = Stand::new()
        .application("greedy", &backend)
        .application("modest", &backend)
        .connectors(0)
        .start()
        .await;
    let config = stand.enrol("default").await;
    let rogue = Rogue::dial(&stand, &config, vec![line(&hello(10))], plain).await;
    stand.gateway().says("tunnel open").await;
    let mut statuses = Statuses::new();
    let url = format!("https://greedy.localhost{NEVER}");
    ask(&mut statuses, stand.client(), &url, 14);
    assert_eq!(next(&mut statuses, 6).await, vec![busy(); 6]);
    until("eight are on their way", || {
        rogue.asked.lock().unwrap().len() == 8
    })
    .await;
    ask(
        &mut statuses,
        stand.client(),
        "https://modest.localhost/",
        2,
    );
    assert_eq!(next(&mut statuses, 2).await, [good(), good()]);
    until("that it is said", || stand.gateway().said(REFUSES) == 1).await;
    statuses.shutdown().await;
    until("it has recovered", || stand.gateway().said(RECOVERS) == 1).await;
}
