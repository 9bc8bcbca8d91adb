//! Which connector carries a request, in numbers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Backend, Running, Stand, body, within, words};

/// Sends so many requests, so many at once, and says how many got which status.
async fn send(stand: &Running, method: &'static str, count: usize, at_once: usize) -> usize {
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

/// Four connectors reach four copies of the application, of which two are slow and slower: the
/// faster carry more, by far, and none is forgotten.
#[tokio::test]
async fn the_faster_of_four_connectors_carry_more() {
    const REQUESTS: usize = 1200;
    let delays = [0, 0, 40, 160].map(Duration::from_millis);
    let mut port = 0;
    let mut copies = Vec::new();
    for (number, delay) in (2_u8..).zip(delays) {
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        let address = SocketAddr::from(([127, 0, 0, number], port));
        let backend = Backend::answering_at(address, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(delay).await;
                Response::new(body("ok"))
            }
        })
        .await;
        port = backend.address().port();
        copies.push((backend, served));
    }
    let mut stand = Stand::new()
        .application("wiki", &copies[0].0)
        .connectors(0)
        .start()
        .await;
    for (copy, _) in &copies {
        let address = copy.address();
        let name = words::internal_name("wiki");
        let settings = json!({
            "allow": [format!("{name}:{port}"), address.to_string()],
            "dns": { "hosts": { name: [address.ip()], "gateway.localhost": ["127.0.0.1"] } },
        });
        let config = stand.enrol_with("default", settings).await;
        stand.start_connector(&config).await;
    }
    assert_eq!(send(&stand, "GET", REQUESTS, 16).await, REQUESTS);
    let served: Vec<usize> = copies
        .iter()
        .map(|(_, served)| served.load(Ordering::Relaxed))
        .collect();
    println!("served by delays {delays:?}: {served:?}");
    assert_eq!(served.iter().sum::<usize>(), REQUESTS);
    let (fast, slow, slower) = (served[0] + served[1], served[2], served[3]);
    // Of two choices both are slow ones in a sixth of the cases; the rest goes to the fast.
    assert!(fast > 2 * (slow + slower), "{served:?}");
    assert!(slow > slower && slower > 0, "{served:?}");
    // Equals share evenly.
    let (most, least) = (served[0].max(served[1]), served[0].min(served[1]));
    assert!(least * 2 > most, "{served:?}");
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
    assert_eq!(send(&stand, "GET", 300, 8).await, 300);
    // Nothing reached the application, so methods do not matter; only a body would.
    assert_eq!(send(&stand, "POST", 300, 8).await, 300);
    let ejected =
        "connector does not reach the application, and is not chosen for it until it does";
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
    let connector = async |stand: &Running| {
        let answer = stand.get("https://wiki.localhost/").await;
        assert_eq!(answer.status, 200);
        let line = stand.access_line(answer.header("x-request-id")).await;
        line["connector"].as_str().unwrap().to_owned()
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
