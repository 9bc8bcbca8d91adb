//! What is in a gateway's place and is none, or no good one: each is told by the step at which it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use appproxy::clock::{Clock, Timestamp};
use appproxy::connector::StateFolder;
use appproxy::tunnel::control::Down;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

use super::{change, check, mended};
use crate::attacks::gateway::{Caught, Rogue, tunnel_tls};
use crate::beds::check::Report;
use crate::harness::{Backend, Relay, Running, Stand, gone};

/// A gateway, and a connector that is registered there and has not started.
async fn registered() -> (Running, PathBuf) {
    let app = Backend::text("wiki").await;
    let stand = Stand::new().application("wiki", &app).connectors(0);
    let mut stand = stand.start().await;
    let file = stand.enrol("default").await;
    (stand, file)
}

/// Shakes hands, and then says nothing until the other side is gone, or hangs up at once.
async fn in_tls(tls: ServerConfig, stays: bool) -> Backend {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    Backend::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await
                && stays
            {
                gone(&mut stream).await;
            }
        }
    })
    .await
}

/// A gateway's TLS with the certificate of a connector.
fn as_connector(tls: &ServerConfig, config: &Path) -> ServerConfig {
    let identity = StateFolder::new(config.with_extension(""))
        .stored()
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut other = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            identity.credentials.chain.clone(),
            identity.credentials.key.clone_key(),
        )
        .unwrap();
    other.alpn_protocols = tls.alpn_protocols.clone();
    other
}

fn lead_to(port: u16) -> impl FnOnce(&mut Value) {
    move |config| config["gateways"] = json!([format!("127.0.0.1:{port}")])
}

#[tokio::test]
async fn what_is_in_a_gateways_place_is_told_by_the_step_at_which_it_ends() {
    let (stand, file) = registered().await;
    let tls = tunnel_tls(&stand).await;
    let silent = Backend::raw(|mut stream| async move { gone(&mut stream).await }).await;
    let plain = Backend::raw(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        gone(&mut stream).await;
    })
    .await;
    let mut nameless = (*tls).clone();
    nameless.alpn_protocols.clear();
    let nameless = in_tls(nameless, true).await;
    let connector = in_tls(as_connector(&tls, &file), true).await;
    let hangs_up = in_tls((*tls).clone(), false).await;
    let mute = in_tls((*tls).clone(), true).await;
    for (there, code, word) in [
        (&silent, "no_answer", "firewalls"),
        (&plain, "tunnel_tls", "check-cert"),
        (&nameless, "alpn_removed", "TLS inspection"),
        (&connector, "tunnel_untrusted", "check-cert"),
        (&hangs_up, "tunnel_ended", "log"),
        (&mute, "tunnel_silent", "overloaded"),
    ] {
        change(&file, lead_to(there.address().port()));
        // Each of them is put right by leading to what is a gateway.
        let line = mended(&file, code, lead_to(stand.address().port())).await;
        assert!(line["remedy"].as_str().unwrap().contains(word), "{line}");
    }
    // Or by putting a gateway there, behind the same address.
    for (mut there, code) in [
        (silent, "no_answer"),
        (plain, "tunnel_tls"),
        (nameless, "alpn_removed"),
        (connector, "tunnel_untrusted"),
        (hangs_up, "tunnel_ended"),
        (mute, "tunnel_silent"),
    ] {
        let address = there.address();
        change(&file, lead_to(address.port()));
        there.stop().await;
        let _way = Relay::between(address, stand.address()).await;
        let after = check(&file).await;
        after.passes(&address.to_string());
        assert!(!after.has(code), "{code}: {:#?}", after.lines);
    }
}

#[tokio::test]
async fn a_gateway_that_only_another_one_named_is_not_dialled_on_this_host() {
    let (stand, file) = registered().await;
    let port = stand.address().port();
    let named = json!([{
        "gateway": format!("127.0.0.1:{port}"),
        "named_by": "gateway.example.com:443",
    }]);
    let list = file.with_extension("").join("gateways.json");
    fs::write(list, named.to_string()).unwrap();
    change(&file, |config| {
        config.as_object_mut().unwrap().remove("gateways");
    });
    // That somebody writes it down is the remedy.
    let line = mended(&file, "gateway_not_dialled", lead_to(port)).await;
    let remedy = line["remedy"].as_str().unwrap();
    assert!(remedy.contains("`gateways:`"), "{line}");
    check(&file).await.passes(&format!("127.0.0.1:{port}"));
}

/// Looks while a gateway of the test's says this.
async fn told(file: &Path, rogue: &mut Rogue, message: &Down) -> Report {
    let say = async {
        let caught: Caught = rogue.next().await;
        caught.say(message);
        caught
    };
    let (report, _caught) = tokio::join!(check(file), say);
    report
}

fn welcome(time: Timestamp) -> Down {
    Down::Welcome {
        gateways: Vec::new(),
        time: time.0,
    }
}

#[tokio::test]
async fn what_a_gateway_says_of_this_connector_and_of_the_time_is_told() {
    let (stand, file) = registered().await;
    let mut rogue = Rogue::start(&stand).await;
    change(&file, lead_to(rogue.address.port()));

    let reason = "this installation takes no connectors of version 0.1";
    let refusal = Down::Refused {
        reason: reason.to_owned(),
    };
    let refused = told(&file, &mut rogue, &refusal).await;
    let line = refused.found("connector_refused");
    assert!(line["what"].as_str().unwrap().contains(reason), "{line}");

    let now = Clock::system().now();
    for (time, side) in [
        (Timestamp(now.0 - 3600), "ahead of"),
        (Timestamp(now.0 + 3600), "behind"),
    ] {
        let wrong = told(&file, &mut rogue, &welcome(time)).await;
        let line = wrong.found("clock_wrong");
        assert!(line["what"].as_str().unwrap().contains(side), "{line}");
        assert!(!wrong.has("connector_refused"));
    }
    let right = told(&file, &mut rogue, &welcome(Clock::system().now())).await;
    assert!(!right.has("clock_wrong"), "{:#?}", right.lines);
}
