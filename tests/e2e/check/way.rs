//! A connector's way to its gateways, its identity, and whether it runs.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::{change, check, look_until, mended, order, register};
use crate::egress::{self, GATEWAY, Proxy};
use crate::harness::{Backend, Stand, gone, temporary, words};

#[tokio::test]
async fn the_way_to_a_gateway_is_looked_at_step_by_step() {
    let app = Backend::text("wiki").await;
    let mut stand = egress::stand(&app, json!("none")).await;
    let port = stand.address().port();

    // Before it is registered; the remedy is to register.
    let file = stand.connector_file();
    change(&file, words::lead_to_gateway);
    let fresh = check(&file).await;
    assert_eq!(fresh.code, 2);
    fresh.found("not_registered");
    assert!(fresh.lines.iter().any(|line| line["outcome"] == "skip"));
    register(&stand, &file, false).await;
    let registered = check(&file).await;
    assert!(!registered.has("not_registered"));
    registered.passes(&format!("{GATEWAY}:{port}"));
    assert_eq!(registered.code, 0, "{:#?}", registered.lines);

    // A proxy that wants a password (407).
    let squid = Proxy::start(egress::squid).await;
    let folder = temporary();
    change(&file, |config| {
        config["tunnel_proxy"] = json!({ "url": squid.url("http") })
    });
    let right = egress::password(folder.path(), "hunter2");
    let wrong = egress::password(folder.path(), "wrong");
    let line = mended(&file, "proxy_password", |config| {
        config["tunnel_proxy"]["username"] = json!("svc");
        config["tunnel_proxy"]["password"] = right.clone();
    });
    let line = line.await;
    assert!(line["what"].as_str().unwrap().contains("Basic"), "{line}");
    check(&file).await.passes(&format!("{GATEWAY}:{port}"));
    change(&file, |config| config["tunnel_proxy"]["password"] = wrong);
    mended(&file, "proxy_password", |config| {
        config["tunnel_proxy"]["password"] = right;
    })
    .await;

    // One that speaks NTLM alone; the remedy is that it takes Basic as well.
    let windows = Proxy::start(egress::squid_of_ntlm).await;
    change(&file, |config| {
        config["tunnel_proxy"]["url"] = json!(windows.url("http"))
    });
    let line = mended(&file, "proxy_scheme", |config| {
        config["tunnel_proxy"]["url"] = json!(squid.url("http"));
    })
    .await;
    assert!(line["what"].as_str().unwrap().contains("NTLM"), "{line}");

    // One that does not get there (503); one that forbids it (403); none at all; what is no proxy.
    change(&file, |config| {
        config["gateways"] = json!([format!("{GATEWAY}:1")])
    });
    mended(&file, "proxy_no_way", |config| {
        config["gateways"] = json!([format!("{GATEWAY}:{port}")]);
    })
    .await;
    let narrow = Proxy::start(egress::tinyproxy("ConnectPort 443")).await;
    let wide = Proxy::start(egress::tinyproxy("")).await;
    let through =
        |url: String| move |config: &mut Value| config["tunnel_proxy"] = json!({ "url": url });
    change(&file, through(narrow.url("http")));
    mended(&file, "proxy_forbids", through(wide.url("http"))).await;
    change(&file, through("http://127.0.0.1:1".to_owned()));
    mended(&file, "proxy_away", through(wide.url("http"))).await;
    let no_proxy = Backend::raw(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await;
        gone(&mut stream).await;
    })
    .await;
    change(&file, through(format!("http://{}", no_proxy.address())));
    mended(&file, "not_a_proxy", through(wide.url("http"))).await;

    // Something opens TLS, and is named.
    let inspector = Proxy::start(egress::mitmproxy).await;
    change(&file, through(inspector.url("http")));
    let line = mended(&file, "tls_intercepted", |config| {
        config["tunnel_proxy"] = json!("none");
    })
    .await;
    assert!(
        line["what"].as_str().unwrap().contains("CN=mitmproxy"),
        "{line}"
    );

    // A gateway of somebody else; a port where nobody is; a name that leads nowhere.
    let other = Stand::new().connectors(0).start().await;
    let to = |gateway: String| move |config: &mut Value| config["gateways"] = json!([gateway]);
    let home = || to(format!("{GATEWAY}:{port}"));
    change(&file, to(format!("127.0.0.1:{}", other.address().port())));
    mended(&file, "other_installation", home()).await;
    change(&file, to("127.0.0.1:1".to_owned()));
    mended(&file, "port_closed", home()).await;
    change(&file, to(format!("{}:{port}", "gw.nowhere.invalid")));
    let nowhere = check(&file).await;
    assert!(
        ["dns_failed", "dns_no_server"]
            .iter()
            .any(|code| nowhere.has(code)),
        "{:#?}",
        nowhere.lines
    );
    change(&file, home());

    // Nothing may be reached.
    let mut allow = Value::Null;
    change(&file, |config| allow = config["allow"].take());
    change(&file, |config| {
        drop(config.as_object_mut().unwrap().remove("allow"))
    });
    mended(&file, "allow_empty", |config| config["allow"] = allow).await;

    // It does not run; then it runs, without a gateway; then with.
    check(&file).await.found("connector_not_running");
    stand.start_connector(&file).await;
    let running = check(&file).await;
    assert!(
        !running.has("connector_not_running"),
        "{:#?}",
        running.lines
    );
    running.passes("connector");
    stand.stop_gateway().await;
    look_until(&file, |report| {
        report.has("connector_no_tunnel") && report.has("port_closed")
    })
    .await;
    stand.successor().await;
    look_until(&file, |report| !report.has("connector_no_tunnel")).await;

    // Registered anew beside the connector that runs: it goes by the old identity until it is restarted.
    register(&stand, &file, true).await;
    let line = check(&file).await.found("not_in_force").clone();
    assert!(
        line["remedy"].as_str().unwrap().contains("restart"),
        "{line}"
    );
    stand.connectors().clear();
    stand.start_connector(&file).await;
    let restarted = check(&file).await;
    assert!(!restarted.has("not_in_force"), "{:#?}", restarted.lines);

    // The identity is damaged, and the connector removed: each time it registers anew.
    stand.connectors().clear();
    let state: PathBuf = {
        let text = fs::read_to_string(&file).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        config["state"].as_str().unwrap().into()
    };
    fs::write(state.join("identity.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    check(&file).await.found("identity_damaged");
    register(&stand, &file, true).await;
    let line = check(&file).await;
    assert!(!line.has("identity_damaged"));
    let line = line.lines.iter().find(|line| line["area"] == "enrolment");
    let seen = line.unwrap()["seen"].as_str().unwrap().to_owned();
    let id = seen.split(' ').nth(1).unwrap();
    let gateway = stand.gateway_file().display().to_string();
    order(
        &stand,
        &["gateway", "connector", "remove", id, "--config", &gateway],
    )
    .await;
    check(&file).await.found("connector_removed");
    register(&stand, &file, true).await;
    let after = check(&file).await;
    assert!(!after.has("connector_removed"), "{:#?}", after.lines);
    assert_eq!(after.code, 0, "{:#?}", after.lines);
}
