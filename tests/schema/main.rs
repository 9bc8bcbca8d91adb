//! The JSON Schema of the configuration files says what their readers do.
//!
//! No list of keys is kept here. Each place that the schema describes, and one list and one set of keys
//! beyond, is put to the readers with a key that there cannot be: what they say of it is which keys
//! they take there. Files that somebody has spoilt are put to the readers beside it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts test functions only, not the helpers beside them"
)]

mod checker;
mod mangled;
mod probe;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use appproxy::config::{ConnectorConfig, GatewayConfig, SchemaOf, schema};
use serde_json::{Value, json};

use checker::{Checker, Fault};
use probe::Probe;

/// One step of the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// To the value of a key.
    Key(String),
    /// To an entry of a list: the first, or any.
    Item,
}

impl Step {
    /// The way as findings have it. Entries of lists count as the first.
    fn join(path: &[Self]) -> String {
        path.iter().fold(String::new(), |way, step| match step {
            Self::Item => way + "[0]",
            Self::Key(name) => {
                let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                let quote = if name.bytes().all(word) { "" } else { "\"" };
                let dot = if way.is_empty() { "" } else { "." };
                way + dot + quote + &visible(name) + quote
            }
        })
    }
}

/// Findings show what a terminal would obey.
fn visible(name: &str) -> String {
    name.chars().fold(String::new(), |text, c| match c {
        c if c.is_control() => text + &c.escape_default().to_string(),
        c => text + c.encode_utf8(&mut [0; 4]),
    })
}

fn parsed(of: SchemaOf) -> Value {
    serde_json::from_str(&schema(of).unwrap()).unwrap()
}

/// A text of YAML as an editor sees it; `None` where it is none.
fn yaml(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text.trim_start_matches('\u{feff}')).ok()
}

fn faults(schema: &Value, value: &Value) -> Vec<Fault> {
    let checker = Checker {
        defs: &schema["$defs"],
    };
    checker.faults(schema, value, &[])
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no *.{extension} in {folder}");
    files
}

/// The configurations in the documents and examples, each with its name.
fn documented() -> Vec<(String, String)> {
    let mut documents = files("docs", "md");
    documents.push("README.md".into());
    documents.push("examples/first-application/README.md".into());
    let mut found = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let blocks = text.split("```yaml\n").skip(1);
        let blocks = blocks.map(|rest| rest.split("\n```").next().unwrap());
        found.extend(blocks.map(|block| (document.display().to_string(), block.to_owned())));
    }
    for file in files("examples/first-application", "yaml") {
        let text = fs::read_to_string(&file).unwrap();
        found.push((file.display().to_string(), text));
    }
    found
}

/// Which keys, which of them must be there, which values.
#[test]
fn the_schema_says_what_the_readers_take() {
    for (of, read) in [
        (SchemaOf::Gateway, probe::gateway as probe::Read),
        (SchemaOf::Connector, probe::connector),
    ] {
        let schema = parsed(of);
        let complaints = Probe::new(&schema, read).complaints();
        assert!(
            complaints.is_empty(),
            "src/config/schema.json and the readers in src/config/ differ:\n\n{}\n",
            complaints.join("\n\n")
        );
    }
}

/// Schemas that must be caught, each with the place that has to be named.
#[test]
fn a_difference_is_told() {
    let cases: [(&str, Value, &str); 7] = [
        (
            "gateway/properties/reload",
            Value::Null,
            "the reader takes `reload`: add",
        ),
        (
            "application/properties/owner",
            json!({ "description": "Whose.", "type": "string" }),
            "no reader takes `applications[0].owner`",
        ),
        (
            "guarded_path/required",
            json!(["path"]),
            "the reader misses",
        ),
        (
            "timeouts/properties/idle/default",
            json!("6m"),
            "has something else than \"6m\"",
        ),
        ("robots/enum", json!(["allow"]), "does not take \"allow\""),
        (
            "application/properties/health_check",
            json!({ "description": "A word.", "type": "string" }),
            "takes keys at `applications[0].health_check`",
        ),
        (
            "application/properties/name/description",
            json!(""),
            "give it a `description`",
        ),
    ];
    for (place, value, told) in cases {
        let mut schema = parsed(SchemaOf::Gateway);
        let (around, name) = place.rsplit_once('/').unwrap();
        let around = schema.pointer_mut(&format!("/$defs/{around}")).unwrap();
        match value {
            Value::Null => drop(around.as_object_mut().unwrap().remove(name)),
            value => around[name] = value,
        }
        let complaints = Probe::new(&schema, probe::gateway).complaints();
        let is_told = complaints.iter().any(|complaint| complaint.contains(told));
        assert!(is_told, "{place}: {complaints:#?}");
    }
}

#[test]
fn good_files_pass() {
    let mut texts = documented();
    for file in files("testdata/config/valid", "yaml") {
        texts.push((
            file.display().to_string(),
            fs::read_to_string(&file).unwrap(),
        ));
    }
    for (name, text) in texts {
        let value = yaml(&text).unwrap_or_else(|| panic!("{name} is no YAML:\n{text}"));
        let (own, other) = match value["kind"].as_str() {
            Some("gateway") => (SchemaOf::Gateway, SchemaOf::Connector),
            Some("connector") => (SchemaOf::Connector, SchemaOf::Gateway),
            _ => panic!("{name}: whose is this?\n{text}"),
        };
        for of in [own, SchemaOf::Either] {
            let faults = faults(&parsed(of), &value);
            assert!(
                faults.is_empty(),
                "{name} and {of:?}: {}\n{text}",
                lines(&faults)
            );
        }
        assert!(!faults(&parsed(other), &value).is_empty(), "{name}");
    }
    for file in files("testdata/config/valid/applications.d", "yaml") {
        let value = yaml(&fs::read_to_string(&file).unwrap()).unwrap();
        let faults = faults(&parsed(SchemaOf::Applications), &value);
        assert!(faults.is_empty(), "{}: {}", file.display(), lines(&faults));
    }
}

/// What is wrong by its form is refused where the readers refuse it.
#[test]
fn bad_files_fail_where_they_are_wrong() {
    let of_form = [
        "unknown_key",
        "not_built",
        "wrong_type",
        "missing_key",
        "missing_value",
        "missing_unit",
        "bad_duration",
        "bad_size",
        "bad_rate",
        "empty_list",
        "no_listener",
        "no_certificates",
        "secret_in_file",
        "unsupported_version",
    ];
    let mut seen = BTreeSet::new();
    for file in files("testdata/config/invalid", "yaml") {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (of, findings) = match name.split('-').next() {
            Some("gateway") => (SchemaOf::Gateway, GatewayConfig::load(&file).err()),
            _ => (SchemaOf::Connector, ConnectorConfig::load(&file).err()),
        };
        let Some(value) = fs::read_to_string(&file).ok().as_deref().and_then(yaml) else {
            continue;
        };
        let faults = faults(&parsed(of), &value);
        for finding in findings.unwrap() {
            let place = finding.place.as_ref().unwrap();
            if place.file != file || !of_form.contains(&finding.code) {
                continue;
            }
            let key = any_item(&place.key);
            // A value that may be of several forms is refused as a whole.
            let is_met = faults.iter().any(|fault| {
                let rest = key.strip_prefix(&fault.at);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            });
            assert!(is_met, "{finding}\nfaults: {}", lines(&faults));
            seen.insert(finding.code);
        }
    }
    assert_eq!(seen, of_form.into());
}

/// `applications[3].name` as `applications[0].name`.
fn any_item(key: &str) -> String {
    let numbers = regex::Regex::new(r"\[[0-9]+\]").unwrap();
    numbers.replace_all(key, "[0]").into_owned()
}

#[test]
fn the_command_prints_it() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_appproxy"));
        command.arg("schema").args(arguments).output().unwrap()
    };
    for (arguments, of) in [
        (&[][..], SchemaOf::Either),
        (&["gateway"], SchemaOf::Gateway),
        (&["connector"], SchemaOf::Connector),
        (&["applications"], SchemaOf::Applications),
    ] {
        let output = run(arguments);
        assert!(output.status.success(), "{output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed, parsed(of), "{arguments:?}");
        assert_eq!(
            printed["$schema"],
            json!("https://json-schema.org/draft/2020-12/schema")
        );
    }
    assert_eq!(run(&["nobody"]).status.code(), Some(64));
}

fn lines<T: Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}

/// What findings call the file that is put to the readers; `include` is looked for beside it.
fn file() -> &'static Path {
    Path::new("testdata/config/valid/probe.yaml")
}
