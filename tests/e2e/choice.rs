//! Which connector carries a request, in numbers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Backend, Running, Stand, body, within, words};

/// Sends so many requests, so many at once, and says how many got which status.
pub(crate) async fn send(
    stand: &Running,
    method: &'static str,
    count: usize,
    at_once: usize,
) -> usize {
    let left = Arc::new(AtomicUsize::new(count));
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (client, left) = (stand.client().clone(), Arc::clone(&left));
        let url = stand.url("wiki", "/");
        workers.spawn(async move {
            let mut connection = client.connect("wiki.localhost").await;
            let mut good = 0;
            let more = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .is_ok()
            {
                let request = Request::builder().method(method).uri(&url);
                let request = request.body(Empty::<Bytes>::new()).unwrap();
                let answer = connection.send(request);
                let answer = within("an answer", answer).await.unwrap();
                let status = answer.status();
                within("its body", crate::harness::Answer::read(answer)).await;
                good += usize::from(status == 200);
            }
            good
        });
    }
    workers.join_all().await.into_iter().sum()
}

/// Copies of one application, all at one port of different addresses.
pub(crate) struct Copies(pub(crate) Vec<Copy>);

pub(crate) struct Copy {
    pub(crate) backend: Backend,
    pub(crate) address: SocketAddr,
    pub(crate) served: Arc<AtomicUsize>,
    /// Cookies that it was sent.
    pub(crate) cookies: Arc<Mutex<BTreeSet<String>>>,
    /// Questions to `/healthz`, which it answers with this status.
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) health: Arc<AtomicU16>,
    delay: Duration,
}

impl Copies {
    pub(crate) async fn new(count: usize) -> Self {
        Self::with_delays(&vec![Duration::ZERO; count]).await
    }

    async fn with_delays(delays: &[Duration]) -> Self {
        let mut copies: Vec<Copy> = Vec::new();
        for (number, &delay) in (2_u8..).zip(delays) {
            let port = copies.first().map_or(0, |first| first.address.port());
            let address = SocketAddr::from(([127, 0, 0, number], port));
            copies.push(Copy::start(address, delay).await);
        }
        Self(copies)
    }

    /// Requests that each has answered, its health checks not counted.
    pub(crate) fn served(&self) -> Vec<usize> {
        let served = self.0.iter().map(|copy| &copy.served);
        served.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Starts a connector for each, which reaches the one only. Returns their configurations.
    pub(crate) async fn connectors(&self, stand: &mut Running) -> Vec<PathBuf> {
        let mut configs = Vec::new();
        for copy in &self.0 {
            let name = words::internal_name("wiki");
            let settings = json!({
                "allow": [format!("{name}:{}", copy.address.port()), copy.address.to_string()],
                "dns": { "hosts": { name: [copy.address.ip()], "gateway.localhost": ["127.0.0.1"] } },
            });
            let config = stand.enrol_with("default", settings).await;
            stand.start_connector(&config).await;
            configs.push(config);
        }
        configs
    }

    /// Their URLs.
    pub(crate) fn urls(&self) -> Vec<String> {
        let url = |copy: &Copy| format!("http://{}/", copy.address);
        self.0.iter().map(url).collect()
    }

    /// Their addresses, for a connector that reaches all of them.
    pub(crate) fn allow(&self) -> Vec<String> {
        let address = |copy: &Copy| copy.address.to_string();
        self.0.iter().map(address).collect()
    }
}

impl Copy {
    async fn start(address: SocketAddr, delay: Duration) -> Self {
        let served = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(AtomicUsize::new(0));
        let cookies: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let health = Arc::new(AtomicU16::new(200));
        let counts = (Arc::clone(&served), Arc::clone(&asked));
        let (seen, status) = (Arc::clone(&cookies), Arc::clone(&health));
        let backend = Backend::answering_at(address, move |request| {
            let mut answer = Response::new(body(address.ip().to_string()));
            if request.uri().path() == "/healthz" {
                counts.1.fetch_add(1, Ordering::Relaxed);
                *answer.status_mut() = status.load(Ordering::Relaxed).try_into().unwrap();
                return futures_util::future::Either::Left(std::future::ready(answer));
            }
            counts.0.fetch_add(1, Ordering::Relaxed);
            for cookie in request.headers().get_all("cookie") {
                seen.lock()
                    .unwrap()
                    .insert(cookie.to_str().unwrap().to_owned());
            }
            // An application may try.
            let forged = "__Host-appproxy-to-00000000=forged; Path=/; Secure";
            answer
                .headers_mut()
                .append("set-cookie", forged.parse().unwrap());
            futures_util::future::Either::Right(async move {
                tokio::time::sleep(delay).await;
                answer
            })
        })
        .await;
        Self {
            address: backend.address(),
            backend,
            served,
            cookies,
            asked,
            health,
            delay,
        }
    }

    /// Starts again at the same address, after its end.
    pub(crate) async fn restart(&mut self) {
        *self = Self::start(self.address, self.delay).await;
    }
}

/// Four connectors reach four copies of the application, of which two are slow and slower: the fast
/// ones carry more, by far, and none is forgotten. The whole of it in numbers is a unit's test, where
/// nothing but the delays counts as time.
#[tokio::test]
async fn the_faster_of_four_connectors_carry_more() {
    let delays = [0, 0, 250, 1000].map(Duration::from_millis);
    let copies = Copies::with_delays(&delays).await;
    let mut stand = Stand::new()
        .application("wiki", &copies.0[0].backend)
        .connectors(0)
        .start()
        .await;
    copies.connectors(&mut stand).await;
    // Where the machine holds up a fast one for a moment, that is forgotten again. A choice that went
    // by nothing would never come to this.
    within(
        "more than twice as much for the fast, and some for the slowest",
        async {
            let mut sent = 0;
            loop {
                assert_eq!(send(&stand, "GET", 200, 16).await, 200);
                sent += 200;
                let served = copies.served();
                println!("served by delays {delays:?}: {served:?}");
                assert_eq!(served.iter().sum::<usize>(), sent);
                let (fast, slow) = (served[0] + served[1], served[2] + served[3]);
                if fast > 2 * slow && served[3] > 0 {
                    return;
                }
            }
        },
    )
    .await;
}

/// A connector that cannot reach the application answers faster than any other. It is asked a few
/// times, its requests go to the other, and then it is left alone.
#[tokio::test]
async fn a_connector_that_fails_fast_fails_nobody() {
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    let config = stand
        .enrol_with("default", json!({ "allow": ["elsewhere.corp.internal:1"] }))
        .await;
    stand.start_connector(&config).await;
    let ejected =
        "connector does not reach the application, and is not chosen for it until it does";
    within("that it is left", async {
        while stand.gateway().said(ejected) == 0 {
            assert_eq!(send(&stand, "GET", 20, 4).await, 20);
        }
    })
    .await;
    // Nothing reached the application, so methods do not matter; only a body would.
    assert_eq!(send(&stand, "POST", 300, 8).await, 300);
    assert_eq!(stand.gateway().said(ejected), 1);
    let again = stand.gateway().said("request sent again");
    assert!((5..60).contains(&again), "{again}");

    // Where it is the only one, its true error is better than none.
    let only = stand.connectors().remove(0);
    only.terminate();
    assert!(only.ended().await.success());
    let answer = stand.get("https://wiki.localhost/").await;
    assert_eq!(
        answer.header("appproxy-answer"),
        "gateway;error=target_refused"
    );
}

/// A gateway that has just started knows its connectors and waits for them.
#[tokio::test]
async fn a_request_right_after_the_gateways_start_waits_for_a_connector() {
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    for _ in 0..2 {
        stand.restart_gateway().await;
        let answer = stand.get("https://wiki.localhost/").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"));
    }
}

/// An application's further groups are asked in order, and the first again when it is back.
#[tokio::test]
async fn further_groups_stand_in_for_the_first() {
    let backend = Backend::answering(|_| async { Response::new(body("ok")) }).await;
    let mut stand = Stand::new()
        .application_with(
            "wiki",
            &backend,
            json!({ "connector_groups": ["hq", "backup"] }),
        )
        .connectors(0)
        .start()
        .await;
    let mut configs = Vec::new();
    for group in ["hq", "backup"] {
        let config = stand.enrol(group).await;
        stand.start_connector(&config).await;
        configs.push(config);
    }
    // Of fifty requests each, as long as nobody comes or goes.
    let connector = async |stand: &Running| {
        let mut connectors = BTreeSet::new();
        for _ in 0..50 {
            let answer = stand.get("https://wiki.localhost/").await;
            assert_eq!(answer.status, 200);
            let line = stand.access_line(answer.header("x-request-id")).await;
            connectors.insert(line["connector"].as_str().unwrap().to_owned());
        }
        assert_eq!(connectors.len(), 1, "{connectors:?}");
        connectors.pop_first().unwrap()
    };
    let first = connector(&stand).await;
    let hq = stand.connectors().remove(0);
    hq.terminate();
    assert!(hq.ended().await.success());
    let stand_in = connector(&stand).await;
    assert_ne!(first, stand_in);
    stand.start_connector(&configs[0]).await;
    assert_eq!(connector(&stand).await, first);
}
