//! What may be under way in a tunnel, as either end sets it: a stream's window, and TCP's congestion
//! control.

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};

use crate::harness::{Answer, Backend, Process, Running, Stand, body, run, until, within};
use crate::visibility::{sum, until_page};

/// More than the largest window, and no multiple of any.
const LENGTH: usize = (9 << 20) + 12_345;

/// Of the octets that are sent: no window is a multiple of it.
const PERIOD: usize = 251;

fn pattern() -> Bytes {
    (0..LENGTH).map(|at| (at % PERIOD) as u8).collect()
}

#[tokio::test]
async fn bodies_above_the_window_are_whole_and_the_larger_window_bounds_the_places() {
    // The gateway's window, the connector's, and the places that a tunnel has.
    let cases = [
        ("4MiB", "4MiB", 511.0),
        ("4MiB", "64KiB", 511.0),
        ("64KiB", "4MiB", 511.0),
        ("64KiB", "64KiB", 1024.0),
    ];
    // An application that gives back what it got, once it has all of it.
    let backend = Backend::answering(|request| async move {
        let got = request.into_body().collect().await.unwrap();
        Response::new(body(got.to_bytes()))
    })
    .await;
    for (gateway, connector, places) in cases {
        let stand = Stand::new()
            .application("wiki", &backend)
            .metrics()
            .gateway_setting("tunnel", json!({ "stream_window": gateway }))
            .connector_setting("tunnel", json!({ "stream_window": connector }))
            .connector_setting("connections", json!(1))
            .start()
            .await;
        let page = until_page(stand.metrics_address(), "its places", |page| {
            sum(page, "appproxy_tunnels") > 0.0
        })
        .await;
        let found = sum(&page, "appproxy_tunnel_places");
        assert_eq!(found, places, "{gateway} and {connector}");

        let sent = pattern();
        let pieces = (0..LENGTH).step_by(100_000);
        let pieces: Vec<_> = pieces
            .map(|at| sent.slice(at..LENGTH.min(at + 100_000)))
            .map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)))
            .collect();
        let request = Request::post(stand.url("wiki", "/"))
            .body(StreamBody::new(stream::iter(pieces)))
            .unwrap();
        let answer = within("its answer", stand.client().http2().send(request)).await;
        let answer = within("all of it", Answer::read(answer)).await;
        assert_eq!(answer.status, 200, "{gateway} and {connector}");
        assert!(
            answer.body == sent,
            "{gateway} and {connector}: {}",
            answer.body.len()
        );
    }
}

const NOT_USED: &str = "this congestion control cannot be used; tunnels have the system's default";

/// A list of the kernel's congestion controls.
fn kernels(list: &str) -> String {
    let file = format!("/proc/sys/net/ipv4/tcp_{list}");
    let list = std::fs::read_to_string(file).unwrap();
    list.trim().to_owned()
}

/// Two tunnels whose ends have this congestion control.
async fn steered(backend: &Backend, congestion: &str) -> Running {
    let stand = Stand::new()
        .application("wiki", backend)
        .gateway_setting("congestion", json!(congestion))
        .connector_setting("congestion", json!(congestion))
        .connector_setting("connections", json!(2))
        .start()
        .await;
    until("two tunnels", || stand.tunnels() == (2, 0)).await;
    stand
}

/// What `ss` shows of the connections that have this port at an end.
async fn connections(end: &str, port: u16) -> Vec<String> {
    let filter = format!(":{port}");
    let arguments = ["-tinOH", end, "=", &filter].map(str::to_owned);
    let text = run("ss", &arguments, &[], "").await.success();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_sockets_of_a_tunnel_have_the_congestion_control_that_is_set() {
    let backend = Backend::text("ok").await;
    let (allowed, usual) = (
        kernels("allowed_congestion_control"),
        kernels("congestion_control"),
    );
    let other = allowed.split_whitespace().find(|name| *name != usual);
    let wanted = other.unwrap_or(&usual);
    let mut stand = steered(&backend, wanted).await;
    for end in ["sport", "dport"] {
        let lines = connections(end, stand.address().port()).await;
        assert_eq!(lines.len(), 2, "{lines:#?}");
        for line in lines {
            let has = line.split_whitespace().any(|word| word == wanted);
            assert!(has, "no {wanted} in {line}");
        }
    }
    let connector = stand.connectors().remove(0);
    assert_eq!(
        (stand.gateway().said(NOT_USED), connector.said(NOT_USED)),
        (0, 0)
    );
}

#[tokio::test]
async fn a_congestion_control_that_the_kernel_does_not_have_is_said_once_and_tunnels_stand() {
    let backend = Backend::text("ok").await;
    let mut stand = steered(&backend, "no_such-one").await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    let connector = stand.connectors().remove(0);
    let said_once = async |process: &Process| {
        let line = process.says(NOT_USED).await;
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&line["level"], &line["congestion"]),
            (&json!("WARN"), &json!("no_such-one"))
        );
        assert_eq!(line["code"], "congestion_unusable");
        let remedy = line["remedy"].as_str().unwrap();
        assert!(remedy.contains("modprobe tcp_no_such-one"), "{line}");
        assert!(
            remedy.contains(&kernels("available_congestion_control")),
            "{line}"
        );
        assert_eq!(process.said(NOT_USED), 1);
    };
    said_once(&connector).await;
    said_once(stand.gateway()).await;
}
