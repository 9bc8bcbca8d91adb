//! Applications that people use, in a browser: through the proxy under their external URL, and without
//! it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{TOOL, node, server_at, text};
use crate::harness::{Backend, Process, Stand, browse, run_for, temporary};

const PASSWORD: &str = "correct-horse-9";

/// What a browser saw, with the application's origin as `ORIGIN`, so that two of them compare.
struct Visit {
    steps: Vec<Value>,
    console: Vec<String>,
    failed: Vec<String>,
    hosts: Value,
}

impl Visit {
    fn new(seen: &Value, origin: &str) -> Self {
        let lines = |part: &str| -> Vec<String> {
            let lines = seen[part].as_array().expect("lines").iter();
            let line = |line: &Value| {
                let line = line.as_str().expect("a line").replace(origin, "ORIGIN");
                // HTTP/2 has no reason phrase.
                let is_status = |(text, rest): (&str, &str)| {
                    text.contains("with a status of") && rest.ends_with(')')
                };
                match line.rsplit_once(" (") {
                    Some(parts) if is_status(parts) => parts.0.to_owned(),
                    _ => line,
                }
            };
            let mut lines: Vec<String> = lines.map(line).collect();
            lines.sort();
            lines.dedup();
            lines
        };
        let mut failed = lines("failed");
        // What a page was still loading when it was left.
        failed.retain(|line| !line.ends_with("net::ERR_ABORTED"));
        Self {
            steps: seen["steps"].as_array().expect("steps").clone(),
            console: lines("console"),
            failed,
            hosts: seen["hosts"].clone(),
        }
    }
}

const MEDIAWIKI: &str = "/usr/share/mediawiki";

/// PHP that serves the MediaWiki whose settings will be in this folder.
async fn mediawiki(folder: &Path) -> (Process, u16) {
    fs::create_dir(folder).unwrap();
    server_at("php", |port| {
        let mut command = Command::new("php");
        // Compiled once.
        command.args(["-d", "opcache.enable_cli=1"]);
        command.args(["-S", &format!("127.0.0.1:{port}"), "-t", MEDIAWIKI]);
        command.env("MW_CONFIG_FILE", folder.join("LocalSettings.php"));
        command
    })
    .await
}

/// Installs it with SQLite, under the URL by which people will find it.
async fn install(folder: &Path, url: &str) {
    let program = format!("{MEDIAWIKI}/maintenance/install.php");
    let folder = text(folder);
    let arguments = [
        program.as_str(),
        "--dbtype=sqlite",
        "--dbpath",
        folder,
        "--confpath",
        folder,
        "--server",
        url.trim_end_matches('/'),
        "--scriptpath=",
        "--lang=en",
        "--pass",
        PASSWORD,
        "Wiki of Things",
        "admin",
    ];
    run_for(TOOL, "php", &arguments, &[], "").await.success();
}

/// Reads a page, signs in, writes a page, reads it, finds it in three ways.
fn write_a_page(url: &str) -> Value {
    let wikitext = "Written in '''the browser''': grüß & <nowiki><b></nowiki>";
    json!([
        { "goto": url },
        { "wait": "#mw-content-text", "text": "MediaWiki has been installed" },
        { "click": "#pt-login a" },
        { "fill": "#wpName1", "with": "admin" },
        { "fill": "#wpPassword1", "with": PASSWORD },
        { "click": "#wpLoginAttempt" },
        { "wait": "#pt-userpage", "text": "Admin" },
        { "goto": format!("{url}index.php?title=Through_the_proxy&action=edit") },
        { "fill": "#wpTextbox1", "with": wikitext },
        { "click": "#wpSave" },
        { "wait": "#mw-content-text", "text": "Written in the browser: grüß & <b>" },
        { "where": true },
        { "goto": format!("{url}index.php/Special:AllPages") },
        { "wait": "#mw-content-text", "text": "Through the proxy" },
        { "fetch": "/api.php?action=query&format=json&list=allpages" },
        { "fill": "#searchInput", "with": "Through" },
        { "wait": ".suggestions-results", "text": "Through the proxy" },
    ])
}

const WIKI_STEPS: usize = 17;

#[tokio::test]
async fn a_page_of_mediawiki_is_written_and_read() {
    let folder = temporary();
    let (direct, proxied) = (folder.path().join("direct"), folder.path().join("proxied"));
    let (_php, port) = mediawiki(&direct).await;
    let straight = format!("http://localhost:{port}/");
    install(&direct, &straight).await;
    let seen = browse(&[], &[], &write_a_page(&straight)).await;
    let direct = Visit::new(&seen, straight.trim_end_matches('/'));

    let (_php, port) = mediawiki(&proxied).await;
    let stand = Stand::new()
        .application("wiki", &Backend::elsewhere(port))
        .start()
        .await;
    let url = stand.url("wiki", "/");
    install(&proxied, &url).await;
    let seen = stand.browse(&[], &write_a_page(&url)).await;
    let proxied = Visit::new(&seen, url.trim_end_matches('/'));

    assert_eq!(direct.steps.len(), WIKI_STEPS, "{:?}", direct.steps);
    assert_eq!(proxied.steps.len(), WIKI_STEPS, "{:?}", proxied.steps);
    for (at, (direct, proxied)) in direct.steps.iter().zip(&proxied.steps).enumerate() {
        assert_eq!(direct["status"], proxied["status"], "step {at}");
        assert_eq!(direct["title"], proxied["title"], "step {at}");
        assert_eq!(proxied["error"], Value::Null, "step {at}");
    }
    assert_eq!(
        proxied.steps[11]["url"],
        format!("{url}index.php/Through_the_proxy")
    );
    let pages = proxied.steps[14]["text"].as_str().unwrap();
    assert!(pages.contains("Through the proxy"), "{pages}");
    assert_eq!(direct.console, proxied.console);
    assert_eq!(direct.failed, proxied.failed);
    let host = format!("wiki.localhost:{}", stand.address().port());
    assert_eq!(proxied.hosts, json!([host]));
}

/// Node-RED with nothing in it.
async fn node_red(folder: &Path) -> (Process, u16) {
    let settings = "module.exports = {
        flowFile: 'flows.json',
        credentialSecret: 'a test',
        telemetry: { enabled: false, updateNotification: false },
        externalModules: { palette: { allowInstall: false } },
        editorTheme: { tours: false, palette: { catalogues: [] }, projects: { enabled: false } },
    };";
    let file = folder.join("settings.js");
    fs::write(&file, settings).unwrap();
    server_at("node-red", |port| {
        let mut command = Command::new("node");
        command.arg(node("node_modules/node-red/red.js"));
        command.args([
            "-u",
            text(folder),
            "-s",
            text(&file),
            "-D",
            "uiHost=127.0.0.1",
        ]);
        command.args(["-p", &port.to_string()]);
        command
    })
    .await
}

/// Opens the editor, brings in a flow, deploys it, asks it something, and sees that in the editor's
/// own window, where a WebSocket brings it.
fn deploy_a_flow(url: &str) -> Value {
    let flow = json!([
        { "id": "t1", "type": "tab", "label": "Through" },
        { "id": "i", "type": "http in", "z": "t1", "url": "/hello", "method": "get",
          "x": 140, "y": 80, "wires": [["o", "d"]] },
        { "id": "o", "type": "http response", "z": "t1", "x": 340, "y": 80, "wires": [] },
        { "id": "d", "type": "debug", "z": "t1", "name": "seen", "active": true, "tosidebar": true,
          "complete": "payload", "targetType": "msg", "x": 340, "y": 140, "wires": [] },
    ]);
    json!([
        { "goto": url },
        { "wait": "#red-ui-palette", "text": "http in" },
        { "socket": "/comms" },
        { "press": "Control+i" },
        { "fill": "#red-ui-clipboard-dialog-import-text", "with": flow.to_string() },
        // The dialog looks at what was typed when a key is let go.
        { "press": "End" },
        { "click": "#red-ui-clipboard-dialog-ok" },
        { "wait": "#red-ui-workspace-tabs", "text": "Through" },
        { "click": "#red-ui-header-button-deploy" },
        { "wait": "#red-ui-notifications", "text": "Successfully deployed" },
        { "fetch": "/hello?told=through" },
        { "press": "Control+g" },
        { "press": "d" },
        { "wait": ".red-ui-debug-content", "text": "told" },
    ])
}

const EDITOR_STEPS: usize = 14;

#[tokio::test]
async fn a_flow_of_node_red_is_deployed() {
    let folder = temporary();
    let (direct, proxied) = (folder.path().join("direct"), folder.path().join("proxied"));
    fs::create_dir(&direct).unwrap();
    fs::create_dir(&proxied).unwrap();
    let ((_first, first), (_second, second)) = tokio::join!(node_red(&direct), node_red(&proxied));

    let straight = format!("http://localhost:{first}/");
    let seen = browse(&[], &[], &deploy_a_flow(&straight)).await;
    let direct = Visit::new(&seen, straight.trim_end_matches('/'));

    let stand = Stand::new()
        .application("flows", &Backend::elsewhere(second))
        .start()
        .await;
    let url = stand.url("flows", "/");
    let seen = stand.browse(&[], &deploy_a_flow(&url)).await;
    let proxied = Visit::new(&seen, url.trim_end_matches('/'));

    assert_eq!(direct.steps.len(), EDITOR_STEPS, "{:?}", direct.steps);
    assert_eq!(proxied.steps.len(), EDITOR_STEPS, "{:?}", proxied.steps);
    for (at, (direct, proxied)) in direct.steps.iter().zip(&proxied.steps).enumerate() {
        assert_eq!(direct["status"], proxied["status"], "step {at}");
        assert_eq!(proxied["error"], Value::Null, "step {at}");
    }
    let host = format!("flows.localhost:{}", stand.address().port());
    assert_eq!(proxied.steps[2]["url"], format!("wss://{host}/comms"));
    assert_eq!(proxied.steps[10]["text"], r#"{"told":"through"}"#);
    assert_eq!(direct.console, proxied.console);
    assert_eq!(direct.failed, proxied.failed);
    assert_eq!(proxied.hosts, json!([host]));
}
