//! Applications that people use: how they start, what a person does there, and what a browser saw of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{TOOL, node, server_at, text};
use crate::harness::{Process, run_for};

/// What a browser saw, with the application's origin as `ORIGIN`, so that two of them compare.
pub(super) struct Visit {
    pub(super) steps: Vec<Value>,
    pub(super) console: Vec<String>,
    pub(super) failed: Vec<String>,
    pub(super) hosts: Value,
}

impl Visit {
    pub(super) fn new(seen: &Value, origin: &str) -> Self {
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

const PASSWORD: &str = "correct-horse-9";

const MEDIAWIKI: &str = "/usr/share/mediawiki";

/// PHP that serves the MediaWiki whose settings will be in this folder.
pub(super) async fn mediawiki(folder: &Path) -> (Process, u16) {
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
pub(super) async fn install(folder: &Path, url: &str) {
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

/// Opens this page of MediaWiki and signs in.
pub(super) fn sign_in_to_wiki(url: &str) -> Vec<Value> {
    let steps = json!([
        { "goto": url },
        { "wait": "#mw-content-text", "text": "MediaWiki has been installed" },
        { "click": "#pt-login a" },
        { "fill": "#wpName1", "with": "admin" },
        { "fill": "#wpPassword1", "with": PASSWORD },
        { "click": "#wpLoginAttempt" },
        { "wait": "#pt-userpage", "text": "Admin" },
    ]);
    list(&steps)
}

/// Node-RED with nothing in it.
pub(super) async fn node_red(folder: &Path) -> (Process, u16) {
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

/// Opens the editor, waits for its WebSocket, brings in a flow whose tab is called `Through` and
/// deploys it.
pub(super) fn deploy(url: &str, flow: &Value) -> Vec<Value> {
    let steps = json!([
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
    ]);
    list(&steps)
}

/// What is in a list.
pub(super) fn list(steps: &Value) -> Vec<Value> {
    steps.as_array().expect("a list").clone()
}
