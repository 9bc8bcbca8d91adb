//! Several internal URLs of one application, in numbers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::attacks::connector::{Rogue, hello, line, plain};
use crate::choice::{Copies, send};
use crate::harness::{Running, Stand, until, within};

const ONE: &str = "connector does not reach one of the application's internal URLs, which is not chosen through it until it does";
const ALL: &str =
    "connector does not reach the application, and is not chosen for it until it does";
const AGAIN: &str = "connector reaches the application again, and is chosen";
const REPEATED: &str = "request sent again";

/// One application of three copies, and two connectors that reach all of them.
async fn three(settings: Value) -> (Copies, Running, Vec<PathBuf>) {
    let copies = Copies::new(3).await;
    let mut all = json!({ "internal_url": null, "internal_urls": copies.urls() });
    for (key, value) in settings.as_object().unwrap() {
        all[key] = value.clone();
    }
    let mut stand = Stand::new()
        .application_with("wiki", &copies.0[0].backend, all)
        .connectors(0)
        .start()
        .await;
    let mut configs = Vec::new();
    for _ in 0..2 {
        let settings = json!({ "allow": copies.allow() });
        let config = stand.enrol_with("default", settings).await;
        stand.start_connector(&config).await;
        configs.push(config);
    }
    (copies, stand, configs)
}

/// Sends requests, every one of which is answered, until what is waited for has come. How often
/// each copy is chosen meanwhile is a matter of the machine; the choice in numbers is a unit's test.
async fn send_until(stand: &Running, what: &str, met: impl Fn() -> bool) {
    within(what, async {
        while !met() {
            assert_eq!(send(stand, "GET", 20, 4).await, 20);
        }
    })
    .await;
}

#[tokio::test]
async fn copies_share_the_work_and_one_that_dies_fails_nobody() {
    const REQUESTS: usize = 600;
    let (mut copies, stand, _) = three(json!({})).await;
    assert_eq!(send(&stand, "GET", REQUESTS, 16).await, REQUESTS);
    println!("served by three copies: {:?}", copies.served());
    assert_eq!(copies.served().iter().sum::<usize>(), REQUESTS);
    send_until(&stand, "work for every copy", || {
        copies.served().iter().all(|&count| count > 20)
    })
    .await;

    copies.0[2].backend.stop().await;
    // By each of the connectors.
    send_until(&stand, "both connectors leave it", || {
        stand.gateway().said(ONE) == 2
    })
    .await;
    // Nothing reaches it, so no method matters.
    assert_eq!(send(&stand, "POST", 300, 8).await, 300);
    assert_eq!(stand.gateway().said(ONE), 2);
    // Five requests for each connector, those that were under way, and a trial now and then.
    let again = stand.gateway().said(REPEATED);
    assert!((10..80).contains(&again), "{again}");

    copies.0[2].restart().await;
    send_until(&stand, "both connectors choose it again", || {
        stand.gateway().said(AGAIN) == 2
    })
    .await;
    let before = copies.served()[2];
    send_until(&stand, "work for the one that is back", || {
        copies.served()[2] > before + 20
    })
    .await;
    assert_eq!(stand.gateway().said(ALL), 0);
    let asked = copies
        .0
        .iter()
        .map(|copy| copy.asked.load(Ordering::Relaxed));
    assert_eq!(asked.sum::<usize>(), 0, "nothing was probed");
}

#[tokio::test]
async fn a_copy_that_fails_its_check_is_left_before_a_visitor_meets_it() {
    // Where a busy machine takes longer for two answers in a row, copies that are well are left too.
    let check = json!({ "path": "/healthz", "interval": "2s" });
    let (mut copies, stand, _) = three(json!({ "health_check": check })).await;
    until("every copy is asked", || {
        copies
            .0
            .iter()
            .all(|copy| copy.asked.load(Ordering::Relaxed) >= 4)
    })
    .await;
    assert_eq!(copies.served(), [0, 0, 0]);

    // One that says so and one that is gone: the same to visitors.
    copies.0[2].health.store(503, Ordering::Relaxed);
    until("both connectors leave it", || {
        stand.gateway().said(ONE) == 2
    })
    .await;
    assert_eq!(send(&stand, "GET", 200, 8).await, 200);
    let served = copies.served();
    assert_eq!(served[2], 0, "{served:?}");
    copies.0[2].health.store(404, Ordering::Relaxed);
    until("both come back", || stand.gateway().said(AGAIN) == 2).await;
    let has_work = |copies: &Copies| copies.served().iter().all(|&count| count > 10);
    send_until(&stand, "work for every copy", || has_work(&copies)).await;

    copies.0[2].backend.stop().await;
    until("both connectors leave it", || {
        stand.gateway().said(ONE) == 4
    })
    .await;
    assert_eq!(send(&stand, "GET", 200, 8).await, 200);
    assert_eq!(stand.gateway().said(REPEATED), 0, "no visitor met it");
    copies.0[2].restart().await;
    until("both come back", || stand.gateway().said(AGAIN) == 4).await;
    send_until(&stand, "work for every copy", || has_work(&copies)).await;

    // All of them fail it: an answer is better than none.
    for copy in &copies.0 {
        copy.health.store(500, Ordering::Relaxed);
    }
    until("all are left", || stand.gateway().said(ALL) == 2).await;
    assert_eq!(send(&stand, "GET", 50, 4).await, 50);
}

#[tokio::test]
async fn a_cookie_keeps_a_visitor_with_one_copy() {
    let (mut copies, stand, _) = three(json!({ "affinity": "cookie" })).await;
    let mut cookie = String::new();
    let mut given = 0;
    for round in 0..2 {
        let mut seen = BTreeSet::new();
        for _ in 0..100 {
            let request = http::Request::get("https://wiki.localhost/").header("cookie", &cookie);
            let request = request.body(http_body_util::Empty::new()).unwrap();
            let answer = stand.client().send(request).await;
            let answer = crate::harness::Answer::read(answer).await;
            assert_eq!(answer.status, 200);
            if let Some((set, _)) = answer.header("set-cookie").split_once(';') {
                set.clone_into(&mut cookie);
                given += 1;
            }
            seen.insert(answer.text().to_owned());
        }
        assert_eq!((seen.len(), given), (1, round + 1), "{seen:?}");
        let home = seen.first().unwrap();
        let home = copies
            .0
            .iter()
            .position(|c| c.address.ip().to_string() == *home);
        copies.0[home.unwrap()].backend.stop().await;
    }
}

#[tokio::test]
async fn a_connector_that_answers_no_probe_is_not_left_for_that() {
    let check = json!({ "path": "/healthz", "interval": "1s" });
    let (_copies, mut stand, _) = three(json!({ "health_check": check })).await;
    let config = stand.enrol("default").await;
    let rogue = Rogue::dial(&stand, &config, vec![line(&hello(1000))], plain).await;
    rogue.opened(&stand, 1).await;
    // One for each copy.
    until("five rounds of probes", || rogue.probes() >= 15).await;
    let asked = || rogue.asked.lock().unwrap().len();
    let before = asked();
    // A connector that is left gets nothing, however many are sent.
    send_until(&stand, "requests for it", || asked() >= before + 5).await;
    let left = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let message = line["message"].as_str().unwrap_or_default();
        (message == ONE || message == ALL) && line["connector"] == *rogue.connector
    };
    assert!(!stand.gateway().log().iter().any(left));
}
