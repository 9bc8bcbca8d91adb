//! What somebody is told who sees the program for the first time: words that can be pasted.

use http::Response;
use serde_json::{Value, json};

use crate::harness::{Authority, Backend, Stand, body, words};

#[tokio::test]
async fn a_hint_repeats_the_configuration_that_was_named() {
    let mut stand = Stand::new().connectors(0).start().await;
    let token = stand.token("default").await;
    let file = stand.connector_file();
    let token_file = file.with_extension("token");
    std::fs::write(&token_file, token).unwrap();
    let registered = stand
        .program(&words::register(&file, &token_file), "")
        .await;
    assert!(registered.status.success(), "{}", registered.stderr);
    let start = format!(
        "Start it with `appproxy connector --config {}`.",
        file.display()
    );
    assert!(registered.stderr.contains(&start), "{}", registered.stderr);

    let arguments = ["connector", "status", "--config", file.to_str().unwrap()];
    let status = stand.program(&arguments.map(str::to_owned), "").await;
    let start = format!(
        "start it with `appproxy connector --config {}`",
        file.display()
    );
    assert!(status.stderr.contains(&start), "{}", status.stderr);
}

/// From the first failure to the application, with what the log says to write.
#[tokio::test]
async fn a_key_of_an_unknown_authority_is_printed_as_it_is_to_be_pinned() {
    let tls = Authority::new().server_config(&["wiki.corp.internal"], &["http/1.1"]);
    let backend = Backend::tls(tls, |_| async { Response::new(body("hello")) }).await;
    let mut stand = Stand::new()
        .tls_application("wiki", &backend, Value::Null)
        .start()
        .await;
    let answer = stand.get("https://wiki.localhost/").await;
    assert_eq!(answer.status, 502);
    let failed = stand.gateway().says("request failed").await;
    let failed: Value = serde_json::from_str(&failed).unwrap();
    let access = stand.access_line(answer.header("x-request-id")).await;
    assert_eq!(failed["connector"], access["connector"]);
    let detail = failed["detail"].as_str().unwrap();
    let target = format!("wiki.corp.internal:{}", backend.address().port());
    let entry = format!("in an entry of `backend_tls` with `hosts: [\"{target}\"]`");
    for (place, words) in [
        &entry,
        "write `ca: FILE` ",
        "`validate: pins` and `pins: [sha256:",
    ]
    .iter()
    .enumerate()
    {
        assert!(detail.contains(words), "{place}: {detail}");
    }
    assert!(
        detail.find("`ca: FILE`") < detail.find("`validate: pins`"),
        "{detail}"
    );
    assert!(!detail.contains("nothing"), "{detail}");
    let (_, pin) = detail.split_once("`pins: [").unwrap();
    let (pin, _) = pin.split_once("]`").unwrap();

    let gone = stand.connectors().remove(0);
    gone.terminate();
    gone.ended().await;
    let entry = json!({ "hosts": [target], "validate": "pins", "pins": [pin] });
    let settings = json!({ "backend_tls": [entry] });
    let config = stand.enrol_with("default", settings).await;
    stand.start_connector(&config).await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "hello");
}

#[tokio::test]
async fn an_entry_of_backend_tls_for_what_allow_does_not_reach_is_said_at_the_start() {
    let backend = Backend::text("hello").await;
    let port = backend.address().port();
    let good = format!("wiki.corp.internal:{port}");
    let bad = format!("wikki.corp.internal:{}", port ^ 1);
    let mut stand = Stand::new()
        .application("wiki", &backend)
        .connector_setting(
            "backend_tls",
            json!([{ "hosts": [good] }, { "hosts": [bad] }]),
        )
        .start()
        .await;
    let file = stand.folder().join("connector-1.yaml");
    let connector = &stand.connectors()[0];
    let said = connector
        .line("a warning", |line| {
            line.contains("no line of `allow` reaches")
        })
        .await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let message = said["message"].as_str().unwrap();
    assert!(
        message.contains(&bad) && !message.contains(&good),
        "{message}"
    );
    let place = format!("{}:", file.display());
    assert!(message.contains(&place), "{message}");
    assert!(message.contains(": backend_tls[1]: "), "{message}");
    let log = connector.log();
    let warned = log
        .iter()
        .filter(|line| line.contains("no line of `allow`"));
    assert_eq!(warned.count(), 1);
}
