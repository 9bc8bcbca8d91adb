//! Connections of people, more than there may be: the oldest idle ones make room, what is in use
//! stays, and a connector gets in all the same.

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinHandle;

use crate::harness::{Answer, Connection, Running, Stand, Tls, until, within, words};
use crate::limits::Waiting;
use crate::visibility::{sum, until_page};

const FULL: &str = "people have as many connections as they may: the oldest idle ones are closed, and new ones where none is idle";
const FULL_ADDRESS: &str = "client address has as many connections as it may: its oldest idle ones are closed, and new ones where none is idle";
const ROOM: &str = "people have room for connections again";

/// Reads to the end of a connection on which nothing was said.
async fn closes(stream: &mut Tls) {
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = within("the end of a connection", stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

async fn ask(connection: &mut Connection, url: &str) -> u16 {
    let request = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
    let answer = within("an answer", connection.send(request)).await;
    Answer::read(answer.unwrap()).await.status.as_u16()
}

/// Sends a request that the application holds.
fn hold(stand: &Running, mut connection: Connection) -> JoinHandle<u16> {
    let url = stand.url("wiki", "/wait");
    tokio::spawn(async move { ask(&mut connection, &url).await })
}

async fn are_open(stand: &Running, count: f64) {
    until_page(stand.metrics_address(), "connections", |page| {
        sum(page, "appproxy_connections_open") == count
    })
    .await;
}

#[tokio::test]
async fn at_the_limit_the_oldest_idle_connection_makes_room_and_what_is_in_use_stays() {
    let application = Waiting::start().await;
    let mut stand = Stand::new()
        .application("wiki", &application.backend)
        .gateway_setting("limits", json!({ "connections": 4 }))
        .metrics()
        .start()
        .await;
    let (client, page) = (stand.client().clone(), stand.url("wiki", "/"));

    // The oldest of all is in use; then one that says nothing, one with an answer behind it, and
    // one of HTTP/2 with an answer behind it.
    let connection = client.connect("wiki.localhost").await;
    let first = hold(&stand, connection);
    application.are_waiting(1).await;
    let mut silent = client.raw("wiki.localhost").await;
    let mut idle = client.connect("wiki.localhost").await;
    assert_eq!(ask(&mut idle, &page).await, 200);
    let mut young = client.http2().connect("wiki.localhost").await;
    assert_eq!(ask(&mut young, &page).await, 200);

    let mut fifth = client.connect("wiki.localhost").await;
    assert_eq!(ask(&mut fifth, &page).await, 200);
    closes(&mut silent).await;
    assert!(idle.is_open() && young.is_open());
    let mut sixth = client.http2().connect("wiki.localhost").await;
    assert_eq!(ask(&mut sixth, &page).await, 200);
    until("the end of the idle connection", || !idle.is_open()).await;
    assert!(young.is_open());
    let url = stand.url("wiki", "/socket").replace("https:", "wss:");
    let (socket, _) = client.websocket(url).await;
    until("the end of HTTP/2's", || !young.is_open()).await;

    // All four are in use: whoever comes now is closed, once for each, and no word of it is an
    // answer; the log has one line.
    let held = [hold(&stand, fifth), hold(&stand, sixth)];
    application.are_waiting(3).await;
    for _ in 0..5 {
        closes(&mut client.raw("wiki.localhost").await).await;
    }
    let counts = until_page(stand.metrics_address(), "refusals", |page| {
        sum(page, "appproxy_connections_refused_total") == 5.0
    })
    .await;
    assert_eq!(sum(&counts, "appproxy_connections_evicted_total"), 3.0);
    until("that it is said", || stand.gateway().said(FULL) == 1).await;

    // A connector is none of them.
    let config = stand.enrol(words::GROUP).await;
    stand.start_connector(&config).await;

    // What was in use was not touched.
    application.go.send_replace(true);
    assert_eq!(within("the oldest", first).await.unwrap(), 200);
    for answer in held {
        assert_eq!(within("an answer", answer).await.unwrap(), 200);
    }
    drop(socket);
    stand.gateway().says(ROOM).await;
    are_open(&stand, 0.0).await;
    assert_eq!(client.get(&page).await.status, 200);
}

#[tokio::test]
async fn an_address_makes_room_among_its_own_connections_alone() {
    let application = Waiting::start().await;
    let stand = Stand::new()
        .application("wiki", &application.backend)
        .gateway_setting("limits", json!({ "connections_per_address": 2 }))
        .metrics()
        .start()
        .await;
    let page = stand.url("wiki", "/");
    let (mine, other) = (
        stand.client().at([127, 0, 0, 2]),
        stand.client().at([127, 0, 0, 3]),
    );
    let mut stranger = other.connect("wiki.localhost").await;
    assert_eq!(ask(&mut stranger, &page).await, 200);
    let mut first = mine.connect("wiki.localhost").await;
    assert_eq!(ask(&mut first, &page).await, 200);
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut next = mine.connect("wiki.localhost").await;
        assert_eq!(ask(&mut next, &page).await, 200);
        others.push(next);
    }
    until("the end of the first", || !first.is_open()).await;
    let held: Vec<_> = others.into_iter().map(|c| hold(&stand, c)).collect();
    application.are_waiting(2).await;
    closes(&mut mine.raw("wiki.localhost").await).await;
    assert_eq!(ask(&mut stranger, &page).await, 200);
    let counts = until_page(stand.metrics_address(), "a refusal", |page| {
        sum(page, "appproxy_connections_refused_total") == 1.0
    })
    .await;
    assert_eq!(sum(&counts, "appproxy_connections_evicted_total"), 1.0);
    until("that it is said", || {
        stand.gateway().said(FULL_ADDRESS) == 1
    })
    .await;
    application.go.send_replace(true);
    for answer in held {
        assert_eq!(within("an answer", answer).await.unwrap(), 200);
    }
}
