//! A gateway that does not run, its store, and its connectors.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use appproxy::clock::Clock;
use appproxy::connector::StateFolder;
use appproxy::store::{Seen, StoreKeys, open_sqlite};
use rustix::process::Signal;
use serde_json::json;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{change, check, order, through_the_tunnel};
use crate::beds::check::changed;
use crate::harness::{Backend, Running, Stand, gone, within};

async fn wiki() -> (Backend, Running) {
    let app = Backend::text("wiki").await;
    let stand = Stand::new().application("wiki", &app).start().await;
    (app, stand)
}

#[tokio::test]
async fn a_gateway_that_does_not_run_is_started_and_a_damaged_store_restored() {
    let (_app, mut stand) = wiki().await;
    let file = stand.gateway_file();
    let config = file.display().to_string();
    let backup = stand.folder().join("backup").display().to_string();
    order(&stand, &["gateway", "backup", &backup, "--config", &config]).await;
    let connector = stand.folder().join("connector-1.yaml");
    stand.connectors().clear();
    stand.stop_gateway().await;

    let down = through_the_tunnel(&stand, "wiki").await;
    down.found("gateway_not_running");
    assert_eq!(down.code, 2);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(stand.folder().join(format!("gateway.db{end}")));
    }
    fs::write(stand.folder().join("gateway.db"), [b'x'; 8192]).unwrap();
    let damaged = check(&file).await;
    let remedy = damaged.found("store_unreadable")["remedy"]
        .as_str()
        .unwrap();
    assert!(remedy.contains("appproxy gateway restore"), "{remedy}");
    order(
        &stand,
        &[
            "gateway",
            "restore",
            &backup,
            "--replace",
            "--config",
            &config,
        ],
    )
    .await;
    let restored = check(&file).await;
    assert!(!restored.has("store_unreadable"), "{:#?}", restored.lines);

    stand.successor().await;
    stand.start_connector(&connector).await;
    let up = through_the_tunnel(&stand, "wiki").await;
    assert!(!up.has("gateway_not_running"), "{:#?}", up.lines);
    up.passes("wiki (");
}

#[tokio::test]
async fn a_connector_that_hangs_or_is_of_another_version_or_serves_nothing_is_told() {
    let (_app, mut stand) = wiki().await;
    let file = stand.gateway_file();

    // Stopped, it keeps its tunnel for a while and says nothing.
    stand.connectors()[0].signal(Signal::STOP);
    let hanging = through_the_tunnel(&stand, "wiki").await;
    stand.connectors()[0].signal(Signal::CONT);
    hanging.found("connector_silent");
    within("what is looked at again", async {
        while through_the_tunnel(&stand, "wiki")
            .await
            .has("connector_silent")
        {}
    })
    .await;

    // As one of an earlier version is kept in the store.
    let store = stand.folder().join("gateway.db");
    let keys = StoreKeys::existing(None, &store).unwrap().unwrap();
    let store = open_sqlite(&store, keys).await.unwrap();
    let config = stand.folder().join("connector-1.yaml");
    let identity = StateFolder::new(config.with_extension(""))
        .stored()
        .unwrap();
    let seen = Seen {
        at: Clock::system().now(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        version: "0.0.9".to_owned(),
    };
    store.connector_seen(&identity.id, seen).await.unwrap();
    let old = check(&file).await;
    let line = old.found("connector_version");
    assert!(line["what"].as_str().unwrap().contains("0.0.9"), "{line}");
    stand.connectors().clear();
    stand.start_connector(&config).await;
    let same = check(&file).await;
    assert!(!same.has("connector_version"), "{:#?}", same.lines);

    // One of a group that nobody names, told on both sides.
    let branch = stand.enrol("branch").await;
    check(&branch).await.found("group_serves_nothing");
    let line = check(&file).await.found("group_serves_nothing").clone();
    assert!(
        line["remedy"].as_str().unwrap().contains("[branch]"),
        "{line}"
    );
    change(&file, |config| {
        config["applications"][0]["connector_groups"] = json!(["default", "branch"]);
    });
    let config = file.display().to_string();
    order(&stand, &["gateway", "reload", "--config", &config]).await;
    for side in [&file, &branch] {
        let after = check(side).await;
        assert!(!after.has("group_serves_nothing"), "{:#?}", after.lines);
    }
}

#[tokio::test]
async fn a_server_in_this_gateways_place_that_refuses_the_handshake_is_told() {
    let (_app, stand) = wiki().await;
    let at = |port: u16| {
        changed(&stand, |config| {
            let url = format!("https://wiki.localhost:{port}/");
            config["applications"][0]["external_url"] = json!(url);
        })
    };
    // Alerts of TLS (RFC 8446, section 6.2): what servers say that have no certificate for the name, are too old,
    // share no cipher suite, or fail; and one that hangs up.
    let servers: [(&[u8], &str); 5] = [
        (&[21, 3, 3, 0, 2, 2, 112], "tls_name_unknown"),
        (&[21, 3, 3, 0, 2, 2, 70], "tls_too_old"),
        (&[21, 3, 3, 0, 2, 2, 40], "tls_no_cipher"),
        (&[21, 3, 3, 0, 2, 2, 80], "tls_failed"),
        (&[], "tls_closed"),
    ];
    for (alert, code) in servers {
        let server = Backend::raw(move |mut stream| async move {
            let _ = stream.read_u8().await;
            let _ = stream.write_all(alert).await;
            let _ = stream.shutdown().await;
            gone(&mut stream).await;
        })
        .await;
        let report = check(&at(server.address().port())).await;
        let line = report.found(code);
        assert!(!line["remedy"].as_str().unwrap().is_empty(), "{line}");
        let here = check(&at(stand.address().port())).await;
        assert!(!here.has(code), "{:#?}", here.lines);
    }
}
