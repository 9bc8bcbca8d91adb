//! Configuration files as operators write them: good ones are read, bad ones are refused with
//! exactly the text that stands beside them.
//!
//! `BLESS=1 cargo nextest run --test config` writes that text anew; read the difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts test functions only, not the helpers beside them"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use appproxy::config::{AllowHosts, ConnectorConfig, GatewayConfig, SecretSource};
use appproxy::model::{Finding, HostHeader, PreAuthentication};
use proptest::prelude::*;

const VALID: &str = "testdata/config/valid";
const INVALID: &str = "testdata/config/invalid";
const VALID_FILES: usize = 9;
const INVALID_FILES: usize = 72;

/// A word that stands in the invalid files wherever a secret might; it must never be repeated.
const SECRET: &str = "hunter2";

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

/// The findings of a file; its name says whose it is.
fn findings(file: &Path) -> Vec<Finding> {
    let name = file.file_name().unwrap().to_str().unwrap();
    match name.split('-').next() {
        Some("gateway") => GatewayConfig::load(file).err(),
        Some("connector") => ConnectorConfig::load(file).err(),
        _ => panic!("{name}: the name begins with neither gateway- nor connector-"),
    }
    .unwrap_or_default()
}

fn print(findings: &[Finding]) -> String {
    findings.iter().map(|f| format!("{f}\n")).collect()
}

fn gateway(file: &str) -> GatewayConfig {
    GatewayConfig::load(Path::new(file)).unwrap_or_else(|f| panic!("{file}:\n{}", print(&f)))
}

fn connector(file: &str) -> ConnectorConfig {
    ConnectorConfig::load(Path::new(file)).unwrap_or_else(|f| panic!("{file}:\n{}", print(&f)))
}

#[test]
fn bad_files_are_refused_with_the_text_beside_them() {
    let bless = std::env::var_os("BLESS").is_some();
    let files = yaml_files(INVALID);
    let mut wrong = String::new();
    for file in &files {
        let printed = print(&findings(file));
        let expected_file = file.with_extension("expected");
        if bless {
            fs::write(&expected_file, &printed).unwrap();
        }
        let expected = fs::read_to_string(&expected_file).unwrap_or_default();
        let name = file.display();
        if printed != expected || printed.is_empty() {
            wrong += &format!("=== {name}\n--- expected\n{expected}--- printed\n{printed}");
        }
        if printed.contains(SECRET) {
            wrong += &format!("=== {name} repeats a secret:\n{printed}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(files.len(), INVALID_FILES, "files in {INVALID}");
    let texts = fs::read_dir(INVALID).unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.extension().is_some_and(|e| e == "expected")
    });
    assert_eq!(
        texts.count(),
        files.len(),
        "a text without its file in {INVALID}"
    );
}

#[test]
fn good_files_are_read() {
    let files = yaml_files(VALID);
    for file in &files {
        let found = findings(file);
        assert!(found.is_empty(), "{}:\n{}", file.display(), print(&found));
    }
    assert_eq!(files.len(), VALID_FILES, "files in {VALID}");
}

#[test]
fn connectors_certificates_have_the_lives_that_are_written_or_the_usual_ones() {
    let lives = |file| {
        let read = gateway(file).connector_certificates;
        (read.life, read.renewal_grace, read.overlap())
    };
    let day = Duration::from_secs(86_400);
    assert_eq!(
        lives("testdata/config/valid/gateway-tunnel.yaml"),
        (day * 30, day / 2, day * 10 + day / 2)
    );
    assert_eq!(
        lives("testdata/config/valid/gateway-least.yaml"),
        (day * 90, day * 30, day * 60)
    );
}

#[test]
fn every_key_of_a_gateway_has_its_value() {
    let config = gateway("testdata/config/valid/gateway-full.yaml");
    let addresses =
        |list: &[&str]| -> Vec<SocketAddr> { list.iter().map(|a| a.parse().unwrap()).collect() };
    assert_eq!(
        config.listen.https,
        addresses(&["[::]:443", "192.0.2.1:8443"])
    );
    assert_eq!(config.listen.http, addresses(&["[::]:80"]));
    let public: Vec<_> = config
        .listen
        .public
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(public, ["gw1.example.com:443", "[2001:db8::1]:8443"]);
    assert_eq!(config.store, Path::new("/var/lib/appproxy/gateway.db"));
    let key = PathBuf::from("/var/lib/appproxy/store.key");
    assert_eq!(config.store_key, Some(SecretSource::File(key)));
    assert_eq!(config.workers.map(usize::from), Some(4));

    let [apps, other] = &config.certificates[..] else {
        panic!("{:?}", config.certificates);
    };
    assert_eq!(apps.chain, Path::new("/etc/appproxy/apps.pem"));
    assert_eq!(other.key, Path::new("testdata/config/valid/other.key"));
    let place = "testdata/config/valid/gateway-full.yaml:14:30: certificates[1].key";
    assert_eq!(other.key_place.to_string(), place);

    let names: Vec<_> = config
        .applications
        .iter()
        .map(|a| a.name.as_str())
        .collect();
    assert_eq!(names, ["wiki", "blog", "sites", "old", "mail", "shop"]);
    let [wiki, blog, sites, old, mail, _] = &config.applications[..] else {
        panic!("{names:?}");
    };
    assert_eq!(wiki.external.to_string(), "https://wiki.example.com/");
    assert_eq!(
        wiki.internal.to_string(),
        "http://wiki.corp.local:8888/app/"
    );
    let groups: Vec<_> = wiki
        .connectors
        .groups()
        .iter()
        .map(|g| g.as_str())
        .collect();
    assert_eq!(groups, ["hq", "backup"]);
    assert_eq!(wiki.pre_authentication, [PreAuthentication::Passthrough]);
    assert_eq!(wiki.host_header, HostHeader::External);
    assert!(!wiki.link_translation.headers);
    assert_eq!(wiki.timeouts.connect, Duration::from_secs(5));
    assert_eq!(wiki.timeouts.first_byte, Duration::from_secs(120));
    assert_eq!(wiki.timeouts.idle, Duration::from_millis(250));

    assert_eq!(blog.external.to_string(), "https://blog.apps.example.com/");
    assert_eq!(
        blog.host_header,
        HostHeader::Fixed("blog.corp.local:8443".into())
    );
    assert_eq!(blog.timeouts.first_byte, Duration::from_secs(180));
    assert_eq!(blog.timeouts.idle, Duration::from_secs(300));
    assert_eq!(
        sites.external.to_string(),
        "https://*.sites.example.com:8443/"
    );
    assert_eq!(sites.internal.to_string(), "http://*.corp.local/");
    assert_eq!(old.internal.to_string(), "http://[fd00::1]:8080/");
    assert_eq!(mail.external.to_string(), "https://mail.apps.example.com/");
}

#[test]
fn what_a_gateway_need_not_say_has_a_default() {
    let config = gateway("testdata/config/valid/gateway-least.yaml");
    assert_eq!(config.store, Path::new("testdata/config/valid/gateway.db"));
    assert_eq!(config.store_key, None);
    assert_eq!(config.workers, None);
    assert!(config.listen.http.is_empty() && config.listen.public.is_empty());
    assert!(config.applications.is_empty());

    let text = "{ version: 1, kind: gateway, listen: { https: ['[::]:443'] }, store: 'sqlite:/g', \
                certificates: [ { chain: c, key: k } ], default_domain: a.b, applications: [ \
                { name: wiki, internal_url: 'http://w/', pre_authentication: [passthrough] } ] }";
    let config = GatewayConfig::from_text(Path::new("gateway.yaml"), text).unwrap();
    let wiki = &config.applications[0];
    assert_eq!(wiki.connectors.groups()[0].as_str(), "default");
    assert_eq!(wiki.host_header, HostHeader::Internal);
    assert!(wiki.link_translation.headers);
    assert_eq!(wiki.timeouts, Default::default());
    assert_eq!(config.certificates[0].chain, Path::new("c"));
}

#[test]
fn secrets_are_named_by_their_place() {
    let env = gateway("testdata/config/valid/gateway-json.yaml").store_key;
    assert_eq!(env, Some(SecretSource::Env("STORE_KEY".into())));
    let credential = gateway("testdata/config/valid/gateway-include-nothing.yaml").store_key;
    assert_eq!(
        credential,
        Some(SecretSource::Credential("store-key".into()))
    );
}

#[test]
fn every_key_of_a_connector_has_its_value() {
    let config = connector("testdata/config/valid/connector-full.yaml");
    let gateways: Vec<_> = config.gateways.iter().map(ToString::to_string).collect();
    assert_eq!(gateways, ["gw1.example.com:443", "192.0.2.1:8443"]);
    assert_eq!(config.state, Path::new("/var/lib/appproxy/connector"));
    assert_eq!(config.connections, 3);
    assert_eq!(config.workers.map(usize::from), Some(1));
    let ports: Vec<_> = config.allow.iter().map(|a| a.port).collect();
    assert_eq!(ports, [8888, 443, 80, 8080, 443]);
    assert_eq!(
        config.allow[1].hosts,
        AllowHosts::Below("corp.local".into())
    );
    let network = "10.1.0.0/16".parse().unwrap();
    assert_eq!(config.allow[2].hosts, AllowHosts::Network(network));
    let servers: Vec<_> = config.dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        servers,
        [
            "10.0.0.53:53",
            "10.0.0.54:5353",
            "[fd00::53]:53",
            "[fd00::54]:5353"
        ]
    );
    assert_eq!(config.dns.hosts["wiki.corp.local"].len(), 2);

    let config = connector("testdata/config/valid/connector-least.yaml");
    assert_eq!(config.state, Path::new("testdata/config/valid/state"));
    assert_eq!(config.connections, 2);
    assert!(config.gateways.is_empty() && config.allow.is_empty());
    let config = connector("testdata/config/valid/connector-empty-lists.yaml");
    assert_eq!(config.connections, 8);
    assert!(config.dns.servers.is_empty() && config.dns.hosts.is_empty());
}

#[test]
fn an_absent_file_is_a_finding_that_names_it_and_the_flag() {
    let file = Path::new("testdata/config/no-such-file.yaml");
    for found in [
        GatewayConfig::load(file).unwrap_err(),
        ConnectorConfig::load(file).unwrap_err(),
    ] {
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, "file_unreadable");
        let printed = found[0].to_string();
        assert!(printed.contains("no-such-file.yaml: "), "{printed}");
        assert!(printed.contains("--config"), "{printed}");
    }
    let folder = ConnectorConfig::load(Path::new("testdata")).unwrap_err();
    assert_eq!(folder[0].code, "file_unreadable");
}

#[test]
fn the_examples_are_read() {
    let mut scenarios = 0;
    for entry in fs::read_dir("examples").unwrap() {
        let folder = entry.unwrap().path();
        gateway(folder.join("gateway.yaml").to_str().unwrap());
        connector(folder.join("connector.yaml").to_str().unwrap());
        assert!(folder.join("README.md").is_file(), "{}", folder.display());
        scenarios += 1;
    }
    assert_eq!(scenarios, 1, "folders in examples");
}

/// Pieces that get further into the readers than arbitrary characters do.
fn pieces() -> impl Strategy<Value = String> {
    let words = "version: 1\n|kind: gateway\n|kind: connector\n|listen:|https:|http:|store:|\
                 store_key:|certificates:|applications:|name:|wiki|external_url:|internal_url:|\
                 https://*.a.b:1/c/|http://[::1]/|allow:|dns:|hosts:|timeouts:|\
                 pre_authentication:|connections:|2..8|include:|*|sqlite:/x|default_domain:|\
                 defaults:|state:|10|10s|é|\u{feff}|\u{202e}|\t|\n|\n  |\n  - |- |[|]|{|}|, |: |\
                 '|\"|&a |*a|!t |>\n |~|---\n|...\n|%YAML 1.2\n|? |# |${|\\|\0";
    let piece = prop::sample::select(words.split('|').collect::<Vec<_>>());
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Both readers, whatever the text: they come to an end, and refuse with a reason and a place.
fn refuses_with_reason(text: &str) -> Result<(), TestCaseError> {
    let file = Path::new("testdata/config/any.yaml");
    let found = [
        GatewayConfig::from_text(file, text).err(),
        ConnectorConfig::from_text(file, text).err(),
    ];
    for found in found.into_iter().flatten() {
        prop_assert!(!found.is_empty());
        for finding in found {
            prop_assert!(finding.place.is_some(), "{finding}");
            prop_assert!(!finding.what.contains(char::is_control), "{finding}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_the_loader(text in any::<String>()) {
        refuses_with_reason(&text)?;
    }

    #[test]
    fn arbitrary_yaml_never_panics_the_loader(text in pieces()) {
        refuses_with_reason(&text)?;
    }

    #[test]
    fn a_spoilt_file_never_panics_the_loader(
        at in any::<prop::sample::Index>(),
        remove in 0..40_usize,
        insert in pieces(),
    ) {
        let good = fs::read_to_string("testdata/config/valid/gateway-full.yaml").unwrap();
        let mut chars: Vec<char> = good.chars().collect();
        let from = at.index(chars.len());
        let to = chars.len().min(from + remove);
        chars.splice(from..to, insert.chars());
        refuses_with_reason(&chars.into_iter().collect::<String>())?;
    }
}

#[test]
fn deep_nesting_is_refused_at_once() {
    for text in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
    ] {
        let found = GatewayConfig::from_text(Path::new("deep.yaml"), &text).unwrap_err();
        assert_eq!(found[0].code, "syntax");
    }
}
