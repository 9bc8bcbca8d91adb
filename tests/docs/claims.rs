//! What can be told from a document without running anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use appproxy::config::{ConnectorConfig, GatewayConfig};
use appproxy::model::{ErrorCode, Finding};
use appproxy::telemetry::metrics;

use crate::documents::{blocks, documents, expand, spans};

/// Commands of the program in them, and files of the source that they name.
const COMMANDS: usize = 134;
const FILES: usize = 58;

/// What stands for ID: a connector's.
const SOME_ID: &str = "c77a8fe213c1a32fd4b4131de";

fn appproxy(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_appproxy"));
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

/// Whether the command line takes these arguments, asked for help at the end so that nothing runs.
fn is_taken(arguments: &[&str]) -> bool {
    let mut all = arguments.to_vec();
    all.push("--help");
    let output = appproxy(&all);
    output.status.code() == Some(0) && !output.stdout.is_empty() && output.stderr.is_empty()
}

#[test]
fn a_command_that_is_none_is_noticed() {
    assert!(is_taken(&[
        "gateway", "token", "create", "--group", "default"
    ]));
    for wrong in [
        vec!["gateway", "tokens"],
        vec!["gateway", "token", "create", "--grupp", "default"],
        vec!["gateway", "token", "create", "--ttl", "1"],
        vec!["connect"],
    ] {
        assert!(!is_taken(&wrong), "{wrong:?}");
    }
}

#[test]
fn every_command_of_the_program_in_the_documents_is_taken() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (name, text) in documents() {
        let lines = blocks(&text, "sh").join("\n");
        let commands = lines
            .lines()
            .map(|line| line.split(" #").next().unwrap().trim())
            .map(|line| line.strip_prefix("sudo ").unwrap_or(line))
            .map(|line| line.strip_prefix("-u appproxy ").unwrap_or(line))
            .map(|line| {
                line.split(['<', '>'])
                    .next()
                    .unwrap()
                    .trim_end_matches('&')
                    .trim()
            })
            .map(str::to_owned);
        for command in commands.chain(spans(&text)) {
            let Some(arguments) = command.strip_prefix("appproxy ") else {
                continue;
            };
            for words in expand(arguments) {
                let words: Vec<&str> = words
                    .iter()
                    .map(|word| if word == "ID" { SOME_ID } else { word })
                    .collect();
                if !is_taken(&words) {
                    wrong.push(format!("{name}: appproxy {}", words.join(" ")));
                }
                seen += 1;
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(seen, COMMANDS, "commands in the documents");
}

#[test]
fn every_command_of_the_program_helps_and_is_in_the_readme() {
    let readme = fs::read_to_string("README.md").unwrap();
    let told: BTreeSet<String> = spans(&readme)
        .iter()
        .filter_map(|span| span.strip_prefix("appproxy "))
        .flat_map(expand)
        .map(|words| {
            // What follows in capitals stands for something.
            let verbs = words
                .into_iter()
                .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
            verbs.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let mut commands = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = appproxy(&arguments);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        let below = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        let below: Vec<_> = below
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_whitespace().next())
            .filter(|verb| *verb != "help")
            .collect();
        // What only holds others needs no line of its own.
        if below.is_empty() {
            let name = command.join(" ");
            assert!(
                told.contains(&name),
                "{name} is not in the README: {told:?}"
            );
        }
        for verb in below {
            let mut next = command.clone();
            next.push(verb.to_owned());
            commands.push(next);
        }
        seen += 1;
    }
    assert_eq!(seen, 37, "the program and its commands");
}

#[test]
fn every_other_command_is_known() {
    // What a document may ask of a machine; `make` is followed by targets of ours.
    const KNOWN: [&str; 26] = [
        "cargo build --release",
        "echo '{ \"sub\": \"1f3c2b\", \"groups\": [\"staff\"] }' > claims.json",
        "make bench",
        "make bench-micro",
        "make bench-smoke",
        "make demo",
        "make package",
        "make test",
        "podman build --file examples/container/Containerfile --tag appproxy target/x86_64-unknown-linux-gnu/release",
        "podman run --detach --read-only --cap-drop all --stop-timeout 45 --publish 443:8443 --volume ./gateway:/etc/appproxy:ro --volume gateway-state:/var/lib/appproxy:U appproxy",
        "podman run --detach --read-only --cap-drop all --stop-timeout 45 --volume ./connector:/etc/appproxy:ro --volume connector-state:/var/lib/appproxy:U appproxy connector",
        "sudo apt install ./target/x86_64-unknown-linux-gnu/debian/appproxy_0.1.0-1_amd64.deb",
        "sudo cp /usr/lib/systemd/system/appproxy-connector.service /etc/systemd/system/appproxy-connector@.service",
        "sudo install -m 640 -g appproxy wiki.pem wiki.key /etc/appproxy/",
        "sudo install target/x86_64-unknown-linux-gnu/release/appproxy /usr/local/bin/",
        "sudo mkdir -p /etc/appproxy /var/lib/appproxy",
        "sudo systemctl enable --now appproxy-gateway",
        "sudo systemctl enable --now appproxy-gateway.socket",
        "sudo systemctl restart appproxy-gateway",
        "sudo systemctl start appproxy-connector@b",
        "sudo systemctl start appproxy-gateway",
        "sudo systemctl stop appproxy-connector@a",
        "sudo systemctl stop appproxy-gateway",
        "sudoedit /etc/appproxy/connector.yaml",
        "sudoedit /etc/appproxy/gateway.yaml",
        "umask 077",
    ];
    let makefile = fs::read_to_string("Makefile").unwrap();
    let mut others = BTreeSet::new();
    let mut targets = 0;
    for (name, text) in documents() {
        let lines = blocks(&text, "sh").join("\n");
        let lines: Vec<String> = lines
            .lines()
            .map(|line| line.split(" #").next().unwrap().trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect();
        for line in lines.iter().chain(&spans(&text)) {
            // docs/out-of-scope.md names targets that are not there yet.
            if let Some(target) = line.strip_prefix("make ")
                && name != "docs/out-of-scope.md"
            {
                assert!(makefile.contains(&format!("\n{target}:")), "{name}: {line}");
                targets += 1;
            }
        }
        let ours = |line: &String| {
            let line = line.trim_start_matches("sudo ");
            let line = line.trim_start_matches("-u appproxy ");
            !line.starts_with("appproxy ")
        };
        others.extend(lines.into_iter().filter(ours));
    }
    assert_eq!(others, KNOWN.map(str::to_owned).into());
    assert_eq!(targets, 20, "targets of make in the documents");
}

#[test]
fn every_configuration_in_the_documents_loads() {
    let folder = tempfile::tempdir().unwrap();
    let mut texts = Vec::new();
    for (name, text) in documents() {
        texts.extend(blocks(&text, "yaml").into_iter().map(|block| (name, block)));
    }
    for name in ["gateway.yaml", "connector.yaml"] {
        let file = Path::new("examples/first-application").join(name);
        texts.push((name, fs::read_to_string(file).unwrap()));
    }
    for (name, text) in &texts {
        let file = folder.path().join("some.yaml");
        fs::write(&file, text).unwrap();
        let kind = text.lines().find_map(|line| line.strip_prefix("kind: "));
        let findings = match kind {
            Some("gateway") => GatewayConfig::load(&file).err(),
            Some("connector") => ConnectorConfig::load(&file).err(),
            _ => panic!("{name}: whose is this?\n{text}"),
        };
        let findings: Vec<String> = findings.iter().flatten().map(Finding::to_string).collect();
        assert_eq!(findings, Vec::<String>::new(), "{name}");
    }
    assert_eq!(texts.len(), 38, "configurations in the documents");
}

#[test]
fn codes_and_files_that_are_named_exist() {
    let publish = fs::read_to_string("docs/publish.md").unwrap();
    let rows = publish.lines().filter(|line| line.starts_with("| `"));
    let codes: Vec<String> = rows
        .flat_map(|row| spans(row.split(" | ").next().unwrap()))
        .collect();
    for code in &codes {
        assert!(ErrorCode::from_word(code).is_some(), "{code}");
    }
    assert_eq!(codes.len(), 21, "{codes:?}");

    let mut files = 0;
    for (name, text) in documents() {
        for span in spans(&text) {
            let ours = ["docs/", "src/", "tests/", ".cargo/", ".ci/"];
            let top = [
                "deny.toml",
                "Cargo.toml",
                "CONTRIBUTING.md",
                "LICENSE-MIT",
                "LICENSE-APACHE",
            ];
            if ours.iter().any(|o| span.starts_with(o)) || top.contains(&span.as_str()) {
                assert!(Path::new(&span).exists(), "{name}: {span}");
                files += 1;
            }
        }
    }
    assert_eq!(files, FILES, "files named in the documents");
}

/// Every metric has its row, and every row its metric.
#[test]
fn the_metrics_are_those_that_are_counted() {
    let text = fs::read_to_string("docs/metrics.md").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `appproxy_"));
    let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
    let expected = metrics::ALL.iter().map(|metric| {
        let labels = metric.labels.iter().map(|label| format!("`{label}`"));
        let labels = match metric.labels {
            [] => "–".to_owned(),
            _ => labels.collect::<Vec<_>>().join(", "),
        };
        let (name, kind, help) = (metric.name, metric.kind.as_str(), metric.help);
        format!("| `{name}` | {kind} | {labels} | {help} |")
    });
    let expected: BTreeSet<String> = expected.collect();
    let missing: Vec<_> = expected.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&expected).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing: {missing:#?}\nunknown: {unknown:#?}"
    );
}
