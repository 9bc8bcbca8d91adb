//! `gateway connector remove` from another process, the commands beside it, and what a gateway's
//! restart changes for connectors, which is nothing.

use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use serde_json::Value;
use tokio::time::Instant;

use crate::harness::{Backend, Output, Process, Running, Stand, body, within, words};

/// What the connector says when it learns of its removal, and when it ends for it.
const TOLD: &str = "this connector was removed at the gateway; register it again with a new token";
const ENDS: &str = "appproxy: error [connector_removed] this connector was removed at its gateways; register it again with a new token";

async fn gateway(stand: &Running, arguments: &[&str]) -> Output {
    let file = stand.gateway_file().display().to_string();
    let all = [&["gateway"], arguments, &["--config", &file]].concat();
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    stand.program(&all, "").await
}

async fn list(stand: &Running, what: &str) -> Vec<Value> {
    let text = gateway(stand, &[what, "list", "--json"]).await.success();
    serde_json::from_str(&text).unwrap()
}

async fn ids(stand: &Running) -> Vec<String> {
    let all = list(stand, "connector").await;
    all.iter()
        .map(|c| c["id"].as_str().unwrap().to_owned())
        .collect()
}

/// A backend whose answers begin and do not end.
async fn endless() -> Backend {
    Backend::answering(|_| async {
        let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"first")))]);
        let rest = futures_util::stream::pending();
        let stream = futures_util::StreamExt::chain(first, rest);
        Response::new(UnsyncBoxBody::new(StreamBody::new(stream)))
    })
    .await
}

/// The nth line of a log with a message.
async fn nth(process: &Process, message: &str, n: usize) -> String {
    let seen = Cell::new(0);
    process
        .line(&format!("{message} ({n})"), |line| {
            if words::message(line).as_deref() == Some(message) {
                seen.set(seen.get() + 1);
            }
            seen.get() == n
        })
        .await
}

fn count(process: &Process, message: &str) -> usize {
    let lines = process.log();
    let said = |line: &&String| words::message(line).as_deref() == Some(message);
    lines.iter().filter(said).count()
}

#[tokio::test]
async fn a_removed_connector_is_cut_within_a_second_and_cannot_come_back() {
    let backend = endless().await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    let request = Request::get("https://wiki.localhost/")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let mut answer = stand.send(request).await.into_body();
    let first = within("the first octets", answer.frame())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.into_data().unwrap(), "first");
    let id = ids(&stand).await.remove(0);
    nth(&stand.connectors()[0], words::TUNNEL_OPEN, 2).await;

    let output = gateway(&stand, &["connector", "remove", &id]).await;
    let removed = Instant::now();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        output.stderr,
        format!(
            "Connector {id} is removed; running gateways cut its tunnels at once. It needs a new token to come back.\n"
        )
    );
    // The stream in flight ends, and not as if it were whole.
    let end = within("the stream's end", answer.frame()).await;
    assert!(end.is_some_and(|frame| frame.is_err()));
    let took = removed.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let connector = stand.connectors().remove(0);
    assert_eq!(connector.ended().await.code(), Some(64));
    let took = removed.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(count(&connector, TOLD), 2);
    assert_eq!(connector.log().last().unwrap(), ENDS);
    let line = stand.gateway().says("connector removed, tunnels cut").await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["connector"], &line["tunnels"]),
        (&id.as_str().into(), &2.into())
    );

    // It comes back as often as it likes, and hears the same each time.
    let config = stand.folder().join("connector-1.yaml");
    for _ in 0..5 {
        let again = stand.spawn_connector(&config);
        assert_eq!(again.ended().await.code(), Some(64));
        assert_eq!(count(&again, TOLD), 2);
        assert_eq!(count(&again, "no tunnel; trying again"), 0);
        assert_eq!(count(&again, words::TUNNEL_OPEN), 0);
        assert_eq!(again.log().last().unwrap(), ENDS);
    }
    assert_eq!(stand.get("https://wiki.localhost/").await.status, 503);

    let record = list(&stand, "connector").await.remove(0);
    let at = record["removed"].as_str().unwrap();
    let output = gateway(&stand, &["connector", "remove", &id]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        output.stderr,
        format!("appproxy: connector `{id}` was removed before, at {at}\n")
    );
    let output = gateway(&stand, &["connector", "remove", "c0000"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        output.stderr,
        "appproxy: there is no connector `c0000`: `appproxy gateway connector list` shows them\n"
    );

    // With a new token, and only with one, the host is served again.
    let token = stand.token(words::GROUP).await;
    let config = config.display().to_string();
    let register = ["register", "--replace", "--config", &config].map(str::to_owned);
    stand.program(&register, &token).await.success();
    stand.start_connector(config.as_ref()).await;
    assert_eq!(list(&stand, "connector").await.len(), 2);
}

#[tokio::test]
async fn a_removal_bites_while_the_gateway_is_busy_and_hits_nobody_else() {
    let backend = Backend::answering(|_| async { Response::new(body("here")) }).await;
    let stand = Stand::new().application("wiki", &backend).connectors(2);
    let mut stand = stand.start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let port = stand.address().port();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let client = stand.client().http2();
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut connection = client.connect("wiki.localhost").await;
                let mut statuses = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let uri = format!("https://wiki.localhost:{port}/");
                    let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
                    let answer = connection.send(request).await.unwrap();
                    statuses.push(answer.status().as_u16());
                    answer.into_body().collect().await.unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                statuses
            })
        })
        .collect();
    let id = ids(&stand).await.remove(0);
    assert_eq!(
        gateway(&stand, &["connector", "remove", &id])
            .await
            .status
            .code(),
        Some(0)
    );
    let removed = Instant::now();
    let connector = stand.connectors().remove(0);
    assert_eq!(connector.ended().await.code(), Some(64));
    let took = removed.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let at_removal = answered.load(Ordering::Relaxed);
    within("more answers", async {
        while answered.load(Ordering::Relaxed) < at_removal + 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.unwrap());
    }
    // What was in flight in the cut tunnels may have died with them; each client had one request.
    let failed: Vec<_> = all.iter().filter(|status| **status != 200).collect();
    assert!(
        failed.len() <= 8 && failed.iter().all(|s| **s == 502),
        "{failed:?}"
    );
    assert_eq!(count(&stand.connectors()[0], TOLD), 0);
}

#[tokio::test]
async fn a_removal_while_the_gateway_is_down_counts_when_it_returns() {
    let backend = Backend::text("here").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    let id = ids(&stand).await.remove(0);
    assert_eq!(stand.stop_gateway().await.code(), Some(0));
    // Said once for both tunnels.
    nth(&stand.connectors()[0], "no tunnel; trying again", 1).await;
    assert_eq!(
        gateway(&stand, &["connector", "remove", &id])
            .await
            .status
            .code(),
        Some(0)
    );
    stand.restart_gateway().await;
    let connector = stand.connectors().remove(0);
    assert_eq!(connector.ended().await.code(), Some(64));
    assert_eq!(count(&connector, TOLD), 2);
    assert_eq!(connector.log().last().unwrap(), ENDS);
    assert_eq!(stand.get("https://wiki.localhost/").await.status, 503);
}

#[tokio::test]
async fn connectors_come_back_to_a_gateway_that_was_started_again() {
    let backend = Backend::text("here").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    let identity = stand.folder().join("connector-1/identity.pem");
    let before = fs::read(&identity).unwrap();
    nth(&stand.connectors()[0], words::TUNNEL_OPEN, 2).await;
    for round in 1..=3 {
        stand.restart_gateway().await;
        let connector = &stand.connectors()[0];
        nth(connector, words::TUNNEL_OPEN, 2 + 2 * round).await;
        assert_eq!(stand.get("https://wiki.localhost/").await.text(), "here");
    }
    assert_eq!(fs::read(&identity).unwrap(), before);
    let connector = stand.connectors().remove(0);
    // Of each tunnel: that it is asked for another, or its loss; of both together at most two reasons
    // meanwhile, for first the old gateway takes none and then nobody listens; the return.
    let asked = "the gateway asks for another tunnel in the place of this one";
    let lost = count(&connector, "no tunnel; trying again") + count(&connector, asked);
    assert!((6..=18).contains(&lost), "{lost}");
    assert_eq!(count(&connector, words::TUNNEL_OPEN), 8);
    connector.terminate();
    assert_eq!(connector.ended().await.code(), Some(0));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases over one stand")]
async fn tokens_and_connectors_are_looked_after_with_a_gateway_and_without() {
    let mut stand = Stand::new().connectors(0).start().await;
    let mut seen = 0;
    for running in [true, false] {
        if !running {
            stand.stop_gateway().await;
        }
        let before = list(&stand, "token").await.len();
        let create = [
            "token", "create", "--group", "hq", "--ttl", "30m", "--uses", "3",
        ];
        let output = gateway(&stand, &create).await;
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout.starts_with("apx1_") && output.stdout.lines().count() == 1);
        let tokens = list(&stand, "token").await;
        assert_eq!(tokens.len(), before + 1);
        let token = &tokens[0];
        let id = token["id"].as_str().unwrap();
        let expires = token["expires"].as_str().unwrap();
        assert_eq!(
            output.stderr,
            format!(
                "Token {id}: 3 connector(s) of group hq until {expires}.\nOn the connector's host run `appproxy connector register` and paste it.\n"
            )
        );
        let facts = [
            &token["group"],
            &token["state"],
            &token["uses"],
            &token["used"],
        ];
        assert_eq!(
            facts.map(ToString::to_string),
            ["\"hq\"", "\"valid\"", "3", "0"]
        );
        let table = gateway(&stand, &["token", "list"]).await.success();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows[0],
            ["ID", "GROUP", "STATE", "USED", "CREATED", "EXPIRES"]
        );
        let created = token["created"].as_str().unwrap();
        assert_eq!(
            rows[1],
            [id, "hq", "valid", "0", "of", "3", created, expires]
        );
        assert!(!table.contains("apx1_") && !table.contains('\u{1b}'));
        assert_eq!(
            gateway(&stand, &["token", "revoke", id])
                .await
                .status
                .code(),
            Some(0)
        );
        assert_eq!(list(&stand, "token").await[0]["state"], "revoked");
        seen += 1;
    }
    assert_eq!(seen, 2);
    let output = gateway(&stand, &["token", "revoke", "t00"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        output.stderr,
        "appproxy: there is no token `t00`: `appproxy gateway token list` shows them\n"
    );

    stand.restart_gateway().await;
    let config = stand.enrol("hq").await;
    stand.start_connector(&config).await;
    for running in [true, false] {
        if !running {
            stand.stop_gateway().await;
        }
        // It is seen again when its second tunnel opens, and maybe between two looks.
        let (connector, table) = within("two looks at the same", async {
            loop {
                let before = list(&stand, "connector").await;
                let table = gateway(&stand, &["connector", "list"]).await.success();
                if list(&stand, "connector").await == before {
                    return (before[0].clone(), table);
                }
            }
        })
        .await;
        let text = |key: &str| connector[key].as_str().unwrap().to_owned();
        assert_eq!(
            (text("group"), &connector["removed"]),
            ("hq".to_owned(), &Value::Null)
        );
        let at = connector["seen"]["at"].as_str().unwrap();
        assert_eq!(connector["seen"]["address"], "127.0.0.1");
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows[0],
            [
                "ID", "GROUP", "NAME", "ENROLLED", "LAST", "SEEN", "FROM", "STATE"
            ]
        );
        let row = [text("id"), text("group"), text("name"), text("enrolled")];
        let row: Vec<_> = row.iter().map(String::as_str).collect();
        assert_eq!(rows[1], [&row[..], &[at, "127.0.0.1", "active"]].concat());
    }
}
