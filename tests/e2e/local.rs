//! A connector whose configuration is read again, and one in its gateway's own process.

use std::fs;
use std::path::Path;

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{Backend, Stand, until, within, words};
use crate::reload::{
    IN_FORCE, REFUSED, applications, close_of, edit, endless, gateway, next_word, reload, talking,
    talking_on,
};

/// The lines of a connector's `allow` that lead to an application, taken away.
fn forbid(config: &mut Value, name: &str, port: u16) {
    let lines = config["allow"].as_array_mut().unwrap();
    let before = lines.len();
    let own = [
        format!("{name}.corp.internal:{port}"),
        format!("127.0.0.1:{port}"),
    ];
    lines.retain(|line| !own.iter().any(|own| line == own));
    assert_eq!(lines.len(), before - 2);
}

#[tokio::test]
async fn a_connector_takes_another_allow_list_while_it_runs() {
    let ((one, words), (two, of_two)) = (talking_on("one").await, talking_on("two").await);
    let (chat, _) = Backend::demo().await;
    let mut stand = Stand::new()
        .application("wiki", &one)
        .application("blog", &two)
        .application("chat", &chat)
        .connectors(0)
        .start()
        .await;
    let file = stand.enrol(words::GROUP).await;
    stand.start_connector(&file).await;
    let before = fs::read_to_string(&file).unwrap();
    let mut kept = endless("wiki", stand.client()).await;
    let mut cut = endless("blog", stand.client()).await;
    let waiting = {
        let client = stand.client().http2();
        tokio::spawn(async move { client.get("https://blog.localhost/never").await })
    };
    // The application's own, that of the stream, and that of the request without an answer.
    until("it to wait", || of_two.receiver_count() == 3).await;
    let (mut socket, _) = stand.client().websocket("wss://chat.localhost/ws").await;

    edit(&file, |config| {
        forbid(config, "blog", two.address().port());
        forbid(config, "chat", chat.address().port());
    });
    stand.connectors()[0].signal(Signal::HUP);
    stand.connectors()[0].says(IN_FORCE).await;
    let frame = within("the cut", cut.frame()).await;
    assert!(frame.unwrap().is_err());
    let answer = within("the answer", waiting).await.unwrap();
    assert_eq!(
        answer.header("appproxy-answer"),
        "gateway;error=target_refused"
    );
    let close = close_of(&mut socket).await;
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "no longer allowed")
    );
    // A connection that waits in the pool serves nobody any more.
    let answer = stand.get("https://blog.localhost/").await;
    assert_eq!(
        answer.header("appproxy-answer"),
        "gateway;error=target_refused"
    );
    words.send("second").unwrap();
    assert_eq!(next_word(&mut kept).await, "second");
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "one");

    // What counts only at the start, and what makes no sense, changes nothing.
    edit(&file, |config| config["connections"] = json!("3..4"));
    stand.connectors()[0].signal(Signal::HUP);
    stand.connectors()[0].says(REFUSED).await;
    let why = stand.connectors()[0].lines("configuration refused");
    assert!(
        why[0].contains("`connections` has another value"),
        "{why:?}"
    );
    fs::write(&file, "alow: [").unwrap();
    stand.connectors()[0].signal(Signal::HUP);
    let connector = &stand.connectors()[0];
    until("another refusal", || connector.said(REFUSED) == 2).await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "one");

    // Back again, and what it opens is said; the lines go to a file from now on.
    let log = stand.folder().join("connector.log");
    fs::write(&file, before).unwrap();
    edit(&file, |config| {
        config["log"] = json!({ "to": { "file": log } })
    });
    stand.connectors()[0].signal(Signal::HUP);
    let holds =
        |path: &Path, what: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(what));
    until("the file", || holds(&log, "\"generation\":3")).await;
    assert!(stand.connectors()[0].said("access is wider") > 0);
    assert_eq!(stand.get("https://blog.localhost/").await.text(), "two");
    // Moved away, it is made again where somebody says so.
    let moved = stand.folder().join("connector.log.1");
    fs::rename(&log, &moved).unwrap();
    stand.connectors()[0].signal(Signal::USR1);
    until("the file again", || log.exists()).await;
}

#[tokio::test]
async fn one_host_needs_no_other_process() {
    let (one, two) = (talking("one").await, talking("two").await);
    let here = json!({ "internal_url": "http://127.0.0.1:{backend}/" });
    let far = json!({
        "internal_url": "http://127.0.0.1:{backend}/",
        "connector_groups": ["hq"],
    });
    let (chat, _) = Backend::demo().await;
    let mut stand = Stand::new()
        .application_with("wiki", &one, here.clone())
        .application_with("chat", &chat, here)
        .application_with("blog", &two, far)
        .local_connector()
        .start()
        .await;
    let get = async |stand: &crate::harness::Running, name: &str| {
        stand.get(&format!("https://{name}.localhost/")).await
    };
    assert_eq!(get(&stand, "wiki").await.text(), "one");
    let answer = get(&stand, "blog").await;
    assert_eq!(
        answer.header("appproxy-answer"),
        "gateway;error=no_connector"
    );
    let (mut socket, _) = stand.client().websocket("wss://chat.localhost/ws").await;

    // What it may reach follows what is published.
    edit(&stand.gateway_file(), |config| {
        for application in applications(config) {
            application["connector_groups"] = match application["name"].as_str() {
                Some("chat") => json!(["hq", "default"]),
                Some("wiki") => json!(["hq"]),
                _ => json!(["default"]),
            };
        }
    });
    reload(&stand).await;
    // The connector hears of it a moment after the gateway.
    within("the application", async {
        while get(&stand, "blog").await.text() != "two" {}
    })
    .await;
    let answer = get(&stand, "wiki").await;
    assert_eq!(
        answer.header("appproxy-answer"),
        "gateway;error=no_connector"
    );
    socket.send(Message::text("still here")).await.unwrap();
    within("the echo", async {
        while !matches!(socket.next().await, Some(Ok(Message::Text(text))) if text.contains("still here")) {}
    })
    .await;

    // It is the same one after a restart, and another one when it was removed.
    let list = async |stand: &crate::harness::Running| -> Vec<String> {
        let text = gateway(stand, &["connector", "list", "--json"])
            .await
            .success();
        let list: Vec<Value> = serde_json::from_str(&text).unwrap();
        let ids = list
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned());
        ids.collect()
    };
    let first = list(&stand).await;
    assert_eq!(first.len(), 1);
    stand.restart_gateway().await;
    assert_eq!(get(&stand, "blog").await.text(), "two");
    assert_eq!(list(&stand).await, first);
    let removed = gateway(&stand, &["connector", "remove", &first[0]]).await;
    removed.success();
    stand
        .gateway()
        .says("the local connector was removed; start the gateway again to have another")
        .await;
    stand.restart_gateway().await;
    assert_eq!(get(&stand, "blog").await.text(), "two");
    let both = list(&stand).await;
    assert!(both.len() == 2 && both.contains(&first[0]), "{both:?}");
}
