//! TLS as scanners see it, with the settings that nobody has changed.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::{TOOL, is_soak, text};
use crate::harness::{Backend, Stand, run_for};

#[tokio::test]
async fn sslscan_finds_two_versions_and_nothing_weak() {
    let backend = Backend::text("hello").await;
    let stand = Stand::new().application("app", &backend).start().await;
    let file = stand.folder().join("sslscan.xml");
    let xml = format!("--xml={}", text(&file));
    let server = stand.address().to_string();
    let arguments = [
        "--sni-name=app.localhost",
        "--no-colour",
        xml.as_str(),
        &server,
    ];
    run_for(TOOL, "sslscan", &arguments, &[], "")
        .await
        .success();
    let seen = fs::read_to_string(&file).unwrap();
    let attribute = |element: &str, name: &str| {
        let value = element
            .split_once(&format!("{name}=\""))
            .map(|(_, rest)| rest);
        let value = value.and_then(|rest| rest.split_once('"'));
        value.map_or("", |(value, _)| value).to_owned()
    };
    let elements = |name: &str| -> Vec<String> {
        let begin = format!("<{name} ");
        let parts = seen.split(&begin).skip(1);
        parts
            .map(|part| part.split('>').next().unwrap().to_owned())
            .collect()
    };
    let enabled: Vec<_> = elements("protocol")
        .into_iter()
        .filter(|protocol| attribute(protocol, "enabled") == "1")
        .map(|protocol| attribute(&protocol, "type") + " " + &attribute(&protocol, "version"))
        .collect();
    assert_eq!(enabled, ["tls 1.2", "tls 1.3"], "{seen}");
    let ciphers = elements("cipher");
    assert!(ciphers.len() >= 6, "{seen}");
    for cipher in ciphers {
        // sslscan grades the suites of TLS 1.3 no higher than acceptable.
        let strength = attribute(&cipher, "strength");
        assert!(
            ["strong", "acceptable"].contains(&strength.as_str()),
            "{cipher}"
        );
        let name = attribute(&cipher, "cipher");
        let is_forward = name.starts_with("TLS_") || name.starts_with("ECDHE-");
        let is_sealed = name.contains("GCM") || name.contains("CHACHA20");
        assert!(is_forward && is_sealed, "{cipher}");
    }
    let heartbleed = elements("heartbleed");
    assert_eq!(heartbleed.len(), 2, "{seen}");
    assert!(
        heartbleed
            .iter()
            .all(|one| attribute(one, "vulnerable") == "0")
    );
    let renegotiation = &elements("renegotiation")[0];
    assert_eq!(attribute(renegotiation, "supported"), "0");
}

/// testssl.sh takes minutes: it tries what broke TLS in thirty years.
#[tokio::test]
#[ignore = "minutes: `make soak`"]
async fn testssl_has_no_finding_but_the_certificates() {
    assert!(is_soak(), "run `make soak`");
    let backend = Backend::text("hello").await;
    let stand = Stand::new().application("app", &backend).start().await;
    let file = stand.folder().join("testssl.json");
    let server = format!("app.localhost:{}", stand.address().port());
    let arguments = [
        "--ip=127.0.0.1",
        "--nodns=none",
        "--warnings=off",
        "--color=0",
        "--protocols",
        "--server-defaults",
        "--std",
        "--fs",
        "--server-preference",
        "--vulnerable",
        "--jsonfile",
        text(&file),
        &server,
    ];
    let output = run_for(Duration::from_secs(1200), "testssl", &arguments, &[], "").await;
    let seen = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let seen: Vec<Value> = serde_json::from_str(&seen).unwrap();
    assert!(seen.len() > 50, "{output:?}");
    let is_fine = |finding: &&Value| {
        let id = finding["id"].as_str().unwrap_or_default();
        let severity = finding["severity"].as_str().unwrap_or_default();
        match id {
            // The client chooses among suites that are all good: it knows which one its machine is
            // fast with.
            "cipher_order" => true,
            // The scanner's own OpenSSL.
            "engine_problem" | "sessionresumption_ticket" if severity == "WARN" => true,
            // The certificate is of an authority of the test's own, for a month.
            _ => id.starts_with("cert_") || ["OK", "INFO"].contains(&severity),
        }
    };
    let findings: Vec<_> = seen.iter().filter(|finding| !is_fine(finding)).collect();
    assert!(findings.is_empty(), "{findings:#?}");
}
