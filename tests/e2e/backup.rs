//! `gateway backup` and `gateway restore`: the same gateway, elsewhere or of an earlier day.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Backend, Output, Running, Stand, run, until};

async fn gateway(stand: &Running, arguments: &[&str]) -> Output {
    let file = stand.gateway_file().display().to_string();
    let all = [&["gateway"], arguments, &["--config", &file]].concat();
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    stand.program(&all, "").await
}

/// Has the gateway's file name another store.
fn name_store(stand: &Running, store: &Path) {
    let file = stand.gateway_file();
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    config["store"] = json!(format!("sqlite:{}", store.display()));
    fs::write(&file, config.to_string()).unwrap();
}

#[tokio::test]
async fn connectors_return_untouched_to_a_gateway_that_was_restored() {
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    let backup = stand.folder().join("backup");
    let backup_name = backup.display().to_string();
    let told = gateway(&stand, &["backup", &backup_name]).await.success();
    assert!(told.contains("store.key"), "{told}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&backup).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // It runs: nothing is restored below it.
    let output = gateway(&stand, &["restore", &backup_name, "--replace"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output.stderr.contains("is in use: stop the gateway first"),
        "{output:?}"
    );
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    stand.stop_gateway().await;

    // Elsewhere, with the key in its place.
    let elsewhere = stand.folder().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    name_store(&stand, &elsewhere.join("gateway.db"));
    let output = gateway(&stand, &["restore", &backup_name]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output.stderr.contains("the store key is not there"),
        "{output:?}"
    );
    fs::copy(
        stand.folder().join("store.key"),
        elsewhere.join("store.key"),
    )
    .unwrap();
    let told = gateway(&stand, &["restore", &backup_name]).await.success();
    assert!(told.contains("count again"), "{told}");
    stand.restart_gateway().await;
    until("the connector", || stand.gateway().said("tunnel open") > 0).await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    let list = gateway(&stand, &["connector", "list", "--json"])
        .await
        .success();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_the_backup_before_it_leads_back() {
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    let backup = stand.folder().join("backup").display().to_string();
    gateway(&stand, &["backup", &backup]).await.success();
    stand.stop_gateway().await;
    // What a newer version would have left.
    let store = stand.folder().join("gateway.db");
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                  c.execute('PRAGMA user_version = 999'); c.close()";
    let arguments = ["-c", script, &store.display().to_string()];
    run("python3", &arguments, &[], "").await.success();
    let output = gateway(&stand, &["token", "list"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("of version 999"), "{output:?}");

    let output = gateway(&stand, &["restore", &backup]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output.stderr.contains("move it away, or say `--replace`"),
        "{output:?}"
    );
    let told = gateway(&stand, &["restore", &backup, "--replace"])
        .await
        .success();
    assert!(told.contains("gateway.db.replaced.1"), "{told}");
    assert!(stand.folder().join("gateway.db.replaced.1").exists());
    stand.restart_gateway().await;
    until("the connector", || stand.gateway().said("tunnel open") > 0).await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    let output = gateway(&stand, &["restore", "/nowhere/backup"]).await;
    assert!(output.stderr.contains("/nowhere/backup"), "{output:?}");
}
