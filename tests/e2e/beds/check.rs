//! `check` on a gateway with a provider of the world: each fault is made, found by its code, mended as the
//! remedy says, and gone.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

use super::sign_in::{Corp, SECRET};
use crate::harness::{Backend, Output, Process, Running, Stand, run, until, words};

/// What a check says, and its exit code.
pub(crate) struct Report {
    pub(crate) lines: Vec<Value>,
    pub(crate) code: i32,
}

impl Report {
    /// What the command said with `--json`.
    pub(crate) fn of(output: &Output) -> Self {
        let told: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}\n{}", output.stdout, output.stderr));
        Self {
            lines: told["lines"].as_array().unwrap().clone(),
            code: output.status.code().unwrap(),
        }
    }

    /// The line with this code.
    pub(crate) fn found(&self, code: &str) -> &Value {
        let line = self.lines.iter().find(|line| line["code"] == code);
        line.unwrap_or_else(|| panic!("no {code}: {:#?}", self.lines))
    }

    pub(crate) fn has(&self, code: &str) -> bool {
        self.lines.iter().any(|line| line["code"] == code)
    }

    pub(crate) fn passes(&self, subject: &str) {
        let mut lines = self.lines.iter();
        let line = lines.find(|line| line["subject"].as_str().unwrap().starts_with(subject));
        assert_eq!(line.expect(subject)["outcome"], "pass", "{line:?}");
    }
}

pub(crate) async fn check_with(file: &Path, environment: &[(&str, &str)]) -> Report {
    let file = file.display().to_string();
    let arguments = ["check", "--config", &file, "--json"];
    let output = run(words::PROGRAM, &arguments, environment, "").await;
    Report::of(&output)
}

async fn check(file: &Path) -> Report {
    check_with(file, &[("CORP_SECRET", SECRET)]).await
}

/// Another configuration of the gateway that runs, beside its own.
pub(crate) fn changed(stand: &Running, change: impl FnOnce(&mut Value)) -> PathBuf {
    let text = fs::read_to_string(stand.gateway_file()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    // The socket at which the gateway that runs takes orders.
    let socket = stand.folder().join("gateway.sock");
    config["listen"]["admin"] = json!(format!("unix:{}", socket.display()));
    change(&mut config);
    let file = stand.folder().join("changed.yaml");
    fs::write(&file, config.to_string()).unwrap();
    file
}

/// A gateway with a provider of the world, which answers at this issuer.
pub(crate) async fn stand() -> (Running, Process, String) {
    let backend = Backend::echo().await;
    let corp = Corp::new();
    let issuer = corp.issuer.clone();
    let staff = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": [{ "group": "staff" }] },
    });
    let stand = Stand::new()
        .application_with("wiki", &backend, staff)
        .gateway_setting(
            "sign_in",
            json!({ "url": "https://login.localhost:{https}/" }),
        )
        .gateway_setting("identity_providers", json!([corp.setting()]))
        .environment("CORP_SECRET", SECRET)
        .start()
        .await;
    let provider = corp.start(&stand).await;
    (stand, provider, issuer)
}

#[tokio::test]
async fn a_gateway_in_order_passes_and_what_is_wrong_with_its_provider_is_named() {
    let (stand, provider, issuer) = stand().await;
    let whole = check(&stand.gateway_file()).await;
    let failures: Vec<_> = whole
        .lines
        .iter()
        .filter(|line| line["outcome"] == "fail")
        .collect();
    assert!(failures.is_empty() && whole.code == 0, "{failures:#?}");
    for subject in [
        "provider corp: metadata",
        "provider corp: keys",
        "provider corp: client",
        "provider corp: redirect URI",
        "provider corp: clock",
        "wiki.localhost (of wiki)",
        "login.localhost (where people sign in)",
        "group default",
        "listen.https",
        "open files",
    ] {
        whole.passes(subject);
    }

    // The wrong secret; and the right one.
    let wrong = check_with(&stand.gateway_file(), &[("CORP_SECRET", "another")]).await;
    assert_eq!(wrong.code, 2);
    let line = wrong.found("client_refused");
    assert!(
        line["remedy"].as_str().unwrap().contains("secret"),
        "{line}"
    );
    assert!(
        !wrong
            .lines
            .iter()
            .any(|line| line.to_string().contains("another"))
    );
    assert!(!check(&stand.gateway_file()).await.has("client_refused"));

    // Another client.
    let file = changed(&stand, |config| {
        config["identity_providers"][0]["client_id"] = json!("nobody")
    });
    check(&file).await.found("client_unknown");
    let whole = &check(&stand.gateway_file()).await;
    assert!(!whole.has("client_unknown"));

    // Another redirect address than the one that is registered; the remedy tells which it has to be.
    let port = stand.address().port();
    let there = format!("https://wiki.localhost:{port}/.appproxy/callback");
    let file = changed(&stand, |config| {
        config["sign_in"]["url"] = json!(format!("https://entry.localhost:{port}/"));
    });
    let line = check(&file).await.found("redirect_uri_mismatch").clone();
    let wanted = format!("https://entry.localhost:{port}/.appproxy/callback");
    assert!(
        line["remedy"].as_str().unwrap().ends_with(&wanted),
        "{line} {there}"
    );
    assert!(!whole.has("redirect_uri_mismatch"));

    // Nobody is there.
    provider.kill();
    provider.ended().await;
    let down = check(&stand.gateway_file()).await;
    down.found("provider_unreachable");
    let skipped = down.lines.iter().filter(|line| line["outcome"] == "skip");
    assert!(skipped.count() >= 3, "{:#?}", down.lines);

    // It runs again, and the redirect address that was missing is registered there.
    let origin = format!("https://entry.localhost:{port}");
    let _provider = Corp::again(&issuer).start_for(&stand, &origin).await;
    let up = check(&file).await;
    for code in ["provider_unreachable", "redirect_uri_mismatch"] {
        assert!(!up.has(code), "{code}: {:#?}", up.lines);
    }
    up.passes("provider corp: redirect URI");
}

#[tokio::test]
async fn names_that_lead_elsewhere_and_groups_without_a_connector_are_named() {
    let (mut stand, _provider, _) = stand().await;

    // A server with a certificate of its own, in the place of the gateway.
    let acceptor = TlsAcceptor::from(stand.authority().server_config(&["other.localhost"], &[]));
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other_port = other.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = other.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { acceptor.accept(stream).await.map(drop) });
        }
    });
    let at = |port: u16| {
        move |config: &mut Value| {
            config["applications"][0]["external_url"] =
                json!(format!("https://wiki.localhost:{port}/"));
        }
    };
    let elsewhere = check(&changed(&stand, at(other_port))).await;
    let line = elsewhere.found("leads_elsewhere");
    assert_eq!(line["outcome"], "fail");
    assert!(
        line["what"].as_str().unwrap().contains("other.localhost"),
        "{line}"
    );
    serving.abort();

    // Its own certificate has changed, and it does not know: a restart or a reload is the remedy.
    let leaf = stand
        .authority()
        .issue(&["wiki.localhost", "login.localhost"]);
    let (chain, key) = (
        stand.folder().join("next.pem"),
        stand.folder().join("next.key"),
    );
    fs::write(&chain, &leaf.chain).unwrap();
    words::write_key(&key, &leaf.key);
    let own = stand.gateway_file();
    let text = fs::read_to_string(&own).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["certificates"][0] = json!({ "chain": chain, "key": key });
    fs::write(&own, config.to_string()).unwrap();
    let line = check(&own).await.found("leads_elsewhere").clone();
    assert_eq!(line["outcome"], "warn", "{line}");
    assert!(
        line["remedy"].as_str().unwrap().contains("reload"),
        "{line}"
    );
    let reload = ["gateway", "reload", "--config", &own.display().to_string()];
    let reload = reload.map(str::to_owned);
    stand.program(&reload, "").await.success();
    let after = check(&own).await;
    assert!(!after.has("leads_elsewhere"), "{:#?}", after.lines);

    // Plain HTTP on the port, and nothing at all.
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_port = plain.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            drop(stream);
        }
    });
    check(&changed(&stand, at(plain_port)))
        .await
        .found("tls_not_spoken");
    serving.abort();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    check(&changed(&stand, at(closed)))
        .await
        .found("port_closed");
    // One that takes the connection, and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute_port = mute.local_addr().unwrap().port();
    check(&changed(&stand, at(mute_port)))
        .await
        .found("tls_silent");
    drop(mute);
    // Where the name leads here, all that is over.
    let here = check(&changed(&stand, at(stand.address().port()))).await;
    for code in [
        "leads_elsewhere",
        "tls_not_spoken",
        "port_closed",
        "tls_silent",
    ] {
        assert!(!here.has(code), "{code}: {:#?}", here.lines);
    }
    here.passes("wiki.localhost (of wiki)");

    // A name that no certificate is for.
    let file = changed(&stand, |config| {
        config["applications"][0]["external_url"] = json!("https://shop.nowhere.invalid/");
    });
    let nowhere = check(&file).await;
    nowhere.found("name_not_covered");
    // Who answers for the DNS here, if anybody, differs.
    let dns = ["dns_missing", "dns_failed", "dns_no_server"];
    assert!(
        dns.iter().any(|code| nowhere.has(code)),
        "{:#?}",
        nowhere.lines
    );

    // As the remedy has it: one is issued, and named.
    let leaf = stand.authority().issue(&["shop.nowhere.invalid"]);
    let (chain, key) = (
        stand.folder().join("shop.pem"),
        stand.folder().join("shop.key"),
    );
    fs::write(&chain, &leaf.chain).unwrap();
    fs::write(&key, &leaf.key).unwrap();
    let file = changed(&stand, |config| {
        config["applications"][0]["external_url"] = json!("https://shop.nowhere.invalid/");
        let more = json!({ "chain": chain, "key": key });
        config["certificates"].as_array_mut().unwrap().push(more);
    });
    assert!(!check(&file).await.has("name_not_covered"));

    // A group that nobody has registered for; the remedy is taken at its word.
    let file = changed(&stand, |config| {
        config["applications"][0]["connector_groups"] = json!(["branch"]);
    });
    let line = check(&file).await.found("group_empty").clone();
    assert!(
        line["remedy"].as_str().unwrap().contains("--group branch"),
        "{line}"
    );
    let connector = stand.enrol("branch").await;
    let away = check(&file).await;
    assert!(!away.has("group_empty"));
    away.found("group_away");
    stand.start_connector(&connector).await;
    let here = check(&file).await;
    assert!(!here.has("group_away"), "{:#?}", here.lines);
    here.passes("group branch");

    // The connector of the other group goes, and the gateway knows at once.
    let standing = stand.standing();
    let connectors = stand.connectors();
    connectors[0].terminate();
    connectors[0].ended().await;
    let own = stand.gateway_file();
    until("a tunnel is gone", || stand.standing() < standing).await;
    check(&own).await.found("group_away");
}

#[tokio::test]
async fn before_the_first_start_ports_and_files_are_looked_at() {
    let (stand, _provider, _) = stand().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = changed(&stand, |config| {
        config["store"] = json!(format!("sqlite:{}/gateway.db", folder.path().display()));
        config["listen"] =
            json!({ "https": [address.to_string()], "public": [address.to_string()] });
        config.as_object_mut().unwrap().remove("store_key");
    });
    let first = check(&file).await;
    first.found("port_taken");
    assert_eq!(first.code, 2);
    assert!(
        fs::read_dir(folder.path()).unwrap().next().is_none(),
        "a check leaves nothing"
    );
    drop(taken);
    let free = check(&file).await;
    assert!(!free.has("port_taken"));
    free.passes("listen.https");

    // A certificate that is not there keeps nothing else from being looked at.
    let file = changed(&stand, |config| {
        config["certificates"][0]["chain"] = json!("/nowhere/chain.pem");
    });
    let missing = check(&file).await;
    assert_eq!(missing.code, 2);
    let failures = missing.lines.iter().filter(|l| l["outcome"] == "fail");
    assert_eq!(failures.count(), 1, "{:#?}", missing.lines);
    for subject in ["provider corp: client", "group default", "listen.https"] {
        missing.passes(subject);
    }

    // Certificates that every visitor refuses: the gateway starts with them, and they are failures all the same.
    type Change = fn(&mut CertificateParams);
    let changes: [(&str, Change); 3] = [
        ("certificate_expired", |params| {
            params.not_before = OffsetDateTime::now_utc() - Duration::days(3);
            params.not_after = OffsetDateTime::now_utc() - Duration::days(1);
        }),
        ("certificate_not_yet_valid", |params| {
            params.not_before = OffsetDateTime::now_utc() + Duration::days(1);
        }),
        ("certificate_is_authority", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
    ];
    for (code, change) in changes {
        let leaf = stand.authority().issue_with(&["*.localhost"], change);
        let (chain, key) = (folder.path().join("x.pem"), folder.path().join("x.key"));
        fs::write(&chain, &leaf.chain).unwrap();
        fs::write(&key, &leaf.key).unwrap();
        let file = changed(&stand, |config| {
            config["certificates"][0] = json!({ "chain": chain, "key": key });
        });
        let refused = check(&file).await;
        assert_eq!(refused.found(code)["outcome"], "fail");
        assert_eq!(refused.code, 2);
        assert!(!check(&stand.gateway_file()).await.has(code));
    }

    // A configuration that is wrong: where, what, and that the rest was not looked at; for people.
    let file = changed(&stand, |config| {
        config["applications"][0]["nmae"] = json!("x")
    });
    let arguments = ["check", "--config", file.to_str().unwrap()];
    let output = run(words::PROGRAM, &arguments, &[("CORP_SECRET", SECRET)], "").await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        output.stdout.contains("unknown_key") && output.stdout.contains("  skip  "),
        "{}",
        output.stdout
    );
    let line = check(&file).await.found("unknown_key").clone();
    let remedy = line["remedy"].as_str().unwrap();
    assert!(remedy.contains("`name`"), "{line}");
    let right = fs::read_to_string(&file).unwrap();
    let mut right: Value = serde_json::from_str(&right).unwrap();
    let application = right["applications"][0].as_object_mut().unwrap();
    application.remove("nmae");
    fs::write(&file, right.to_string()).unwrap();
    assert!(!check(&file).await.has("unknown_key"));
}
