//! `check --bundle`: for whoever is asked for help, with the settings and without a secret.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::{Value, json};

use super::change;
use crate::beds::check::{changed, stand};
use crate::beds::sign_in::SECRET;
use crate::egress;
use crate::harness::{Backend, Stand, run, words};

/// Looks, and writes the bundle there: its text, what it says, and the exit code.
async fn bundled(config: &Path, bundle: &Path) -> (String, Value, i32) {
    let [config, file] = [config, bundle].map(|path| path.display().to_string());
    let arguments = ["check", "--config", &config, "--bundle", &file];
    let output = run(words::PROGRAM, &arguments, &[("CORP_SECRET", SECRET)], "").await;
    let text = fs::read_to_string(bundle).unwrap_or_else(|e| panic!("{e}: {}", output.stderr));
    let told = serde_json::from_str(&text).unwrap();
    let mode = fs::metadata(bundle).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "names and addresses are the owner's");
    (text, told, output.status.code().unwrap())
}

#[tokio::test]
async fn a_bundle_has_the_settings_of_a_gateway_and_no_secret() {
    let (stand, _provider, _) = stand().await;
    let bundle = stand.folder().join("bundle.json");
    // One that was there, that everybody might read, and that is longer.
    fs::write(&bundle, vec![b'x'; 1 << 20]).unwrap();
    fs::set_permissions(&bundle, Permissions::from_mode(0o644)).unwrap();
    let (text, told, code) = bundled(&stand.gateway_file(), &bundle).await;
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains(SECRET));
    let [own] = &told["configurations"].as_array().unwrap()[..] else {
        panic!("{text}");
    };
    assert_eq!(own["kind"], "gateway");
    assert_eq!(own["file"], stand.gateway_file().display().to_string());
    assert!(
        own["settings"]["applications"]["wiki"].is_object(),
        "{text}"
    );
    assert!(told["check"]["lines"].as_array().unwrap().len() > 10);
    assert_eq!(told["appproxy"], env!("CARGO_PKG_VERSION"));

    // One that is not understood, with a secret where none belongs.
    let file = changed(&stand, |config| {
        let provider = config["identity_providers"][0].as_object_mut().unwrap();
        provider.remove("client_secrets");
        provider.insert("client_secret".to_owned(), json!("hunter2"));
    });
    let (text, told, code) = bundled(&file, &bundle).await;
    assert_eq!(code, 2);
    assert!(!text.contains("hunter2"), "{text}");
    let own = &told["configurations"][0];
    assert_eq!(own["kind"], "unknown");
    assert_eq!(own["settings"], Value::Null);
    let lines = told["check"]["lines"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["code"].is_string()), "{text}");
}

#[tokio::test]
async fn a_bundle_has_the_settings_of_a_connector_and_no_password() {
    let app = Backend::text("wiki").await;
    let mut stand = Stand::new().application("wiki", &app).start().await;
    let file = stand.enrol("default").await;
    let gateway = stand.address().to_string();
    let password = egress::password(stand.folder(), "hunter2");
    change(&file, |config| {
        config["gateways"] = json!([gateway]);
        config["tunnel_proxy"] =
            json!({ "url": "http://127.0.0.1:1", "username": "svc", "password": password });
    });
    let bundle = stand.folder().join("bundle.json");
    let (text, told, code) = bundled(&file, &bundle).await;
    // Nobody is at the proxy's address.
    assert_eq!(code, 2, "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let own = &told["configurations"][0];
    assert_eq!(own["kind"], "connector");
    let settings = &own["settings"];
    assert!(!settings["gateways"].as_array().unwrap().is_empty());
    assert!(!settings["allow"].as_array().unwrap().is_empty());
    let proxy = settings["tunnel_proxy"].as_str().unwrap();
    assert!(proxy.contains("127.0.0.1:1"), "{proxy}");
    let lines = told["check"]["lines"].as_array().unwrap();
    assert!(
        lines.iter().any(|line| line["code"] == "proxy_away"),
        "{text}"
    );

    // Where it cannot be written, the command says so and fails.
    let nowhere = stand.folder().join("nowhere/bundle.json");
    let [config, to] = [&file, &nowhere].map(|path| path.display().to_string());
    let arguments = ["check", "--config", &config, "--bundle", &to];
    let output = run(words::PROGRAM, &arguments, &[], "").await;
    assert!(!output.status.success());
    assert!(output.stderr.contains(&to), "{}", output.stderr);
    let full = stand.folder().join("full.json");
    symlink("/dev/full", &full).unwrap();
    let to = full.display().to_string();
    let arguments = ["check", "--config", &config, "--bundle", &to];
    let output = run(words::PROGRAM, &arguments, &[], "").await;
    assert!(!output.status.success());
    assert!(output.stderr.contains("No space left"), "{}", output.stderr);
}
