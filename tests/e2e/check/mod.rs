//! `check`: each fault is made for real, found by its code, mended as the remedy says, and gone.

mod applications;
mod bundle;
mod gateway;
mod host;
mod identity;
mod impostors;
mod links;
mod providers;
mod way;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::beds::check::{Report, check_with};
use crate::harness::{Running, within, words};

async fn check(file: &Path) -> Report {
    check_with(file, &[]).await
}

/// Changes a configuration where it is.
fn change(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut config: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    change(&mut config);
    fs::write(file, config.to_string()).unwrap();
}

/// Looks, finds this; mends it, looks again, and it is gone. The line is what was found.
async fn mended(file: &Path, code: &str, mend: impl FnOnce(&mut Value)) -> Value {
    let line = check(file).await.found(code).clone();
    assert!(!line["remedy"].as_str().unwrap().is_empty(), "{line}");
    change(file, mend);
    let after = check(file).await;
    assert!(!after.has(code), "{:#?}", after.lines);
    line
}

async fn order(stand: &Running, arguments: &[&str]) -> String {
    let arguments: Vec<_> = arguments.iter().map(|&word| word.to_owned()).collect();
    stand.program(&arguments, "").await.success()
}

/// Registers with a new token of the group.
async fn register(stand: &Running, file: &Path, replace: bool) {
    let token = file.with_extension("token");
    fs::write(&token, stand.token("default").await).unwrap();
    let mut arguments = words::register(file, &token);
    if replace {
        arguments.push("--replace".to_owned());
    }
    stand.program(&arguments, "").await.success();
}

/// Looks again and again: the connector notices in its own time.
async fn look_until(file: &Path, done: impl Fn(&Report) -> bool) {
    within("what a check is to say", async {
        while !done(&check(file).await) {}
    })
    .await;
}

/// What `check --app` says of an application's own lines.
async fn through_the_tunnel(stand: &Running, name: &str) -> Report {
    let file = stand.gateway_file();
    let file = file.display().to_string();
    let arguments = ["check", "--app", name, "--config", &file, "--json"];
    let arguments: Vec<_> = arguments.iter().map(|&word| word.to_owned()).collect();
    let output = stand.program(&arguments, "").await;
    Report::of(&output)
}

/// The command in a remedy that begins so.
fn command_in(line: &Value, begin: &str) -> String {
    let remedy = line["remedy"].as_str().unwrap();
    let mut parts = remedy.split('`').skip(1).step_by(2);
    let command = parts.find(|part| part.starts_with(begin));
    command.unwrap_or_else(|| panic!("{line}")).to_owned()
}
