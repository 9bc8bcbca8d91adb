//! A connector's identity: unreadable, late, over; and a connector that knows no gateway.

use std::fs;
use std::path::Path;
use std::time::Duration;

use appproxy::certs::ConnectorRequest;
use appproxy::clock::Clock;
use appproxy::connector::StateFolder;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use super::{change, check, look_until, mended};
use crate::attacks::gateway::authorities;
use crate::beds::check::Report;
use crate::harness::{Backend, Running, Stand, run, words};

const DAY: u64 = 86_400;

/// Puts a certificate of 90 days that was issued so long ago in the place of a connector's own.
async fn aged(stand: &Running, config: &Path, days: u64) {
    let state = config.with_extension("");
    let identity = StateFolder::new(&state).stored().unwrap();
    let file = state.join("identity.pem");
    let text = fs::read_to_string(&file).unwrap();
    let key = KeyPair::from_pem(&text).unwrap();
    let request = CertificateParams::new(Vec::new()).unwrap();
    let request = request.serialize_request(&key).unwrap();
    let request = ConnectorRequest::from_der(request.der()).unwrap();
    let issued = authorities(stand).await.issuing().issue_connector(
        &request,
        &identity.id,
        &identity.group,
        Clock::system().now().minus(Duration::from_secs(days * DAY)),
        Duration::from_secs(90 * DAY),
    );
    let own = text.find("-----BEGIN CERTIFICATE-----").unwrap();
    let after = own + text[own..].find("-----END CERTIFICATE-----\n").unwrap();
    let after = after + "-----END CERTIFICATE-----\n".len();
    let changed = format!("{}{}{}", &text[..own], issued.unwrap().pem, &text[after..]);
    fs::write(&file, changed).unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_late_or_over_is_told_of_and_renewed() {
    let app = Backend::text("wiki").await;
    let stand = Stand::new().application("wiki", &app).connectors(0);
    let mut stand = stand.start().await;
    for (days, code) in [(80, "identity_not_renewed"), (95, "identity_expired")] {
        let file = stand.enrol("default").await;
        aged(&stand, &file, days).await;
        let late = check(&file).await;
        let line = late.found(code);
        // Both remedies are to have it run.
        let remedy = line["remedy"].as_str().unwrap();
        assert!(
            ["start it", "tunnel"]
                .iter()
                .any(|word| remedy.contains(word))
        );
        stand.start_connector(&file).await;
        look_until(&file, |report| !report.has(code)).await;
    }
    // Longer ago than gateways renew; and registered again with `--replace`.
    let file = stand.enrol("default").await;
    aged(&stand, &file, 130).await;
    check(&file).await.found("identity_expired");
    super::register(&stand, &file, true).await;
    let after = check(&file).await;
    assert!(!after.has("identity_expired"), "{:#?}", after.lines);
}

#[tokio::test]
async fn an_identity_of_another_account_and_no_gateway_at_all_are_told() {
    let app = Backend::text("wiki").await;
    let stand = Stand::new().application("wiki", &app).connectors(0);
    let mut stand = stand.start().await;
    let file = stand.enrol("default").await;

    // Root without what makes it root, before a file of somebody else.
    let identity = file.with_extension("").join("identity.pem");
    std::os::unix::fs::chown(&identity, Some(65_534), None).unwrap();
    let config = file.display().to_string();
    let arguments = ["--bounding-set=-dac_override,-dac_read_search"];
    let command = [words::PROGRAM, "check", "--json", "--config", &config];
    let all = [&arguments[..], &command[..]].concat();
    let other = Report::of(&run("setpriv", &all, &[], "").await);
    other.found("identity_unreadable");
    let as_root = check(&file).await;
    assert!(!as_root.has("identity_unreadable"), "{:#?}", as_root.lines);

    fs::remove_file(file.with_extension("").join("gateways.json")).unwrap();
    let mut gateways = json!(null);
    change(&file, |config| {
        gateways = config["gateways"].take();
        config.as_object_mut().unwrap().remove("gateways");
    });
    mended(&file, "no_gateways", |config| config["gateways"] = gateways).await;
}
