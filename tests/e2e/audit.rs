//! What is recorded of what somebody may have to answer for.

use std::fs;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Backend, Running, Stand};
use crate::machines::{SERVICE, ask_until, service_token};
use crate::reload::{applications, edit, gateway, reload};
use crate::sign_in::{Browser, of_staff, provider, with_sign_in};

/// The records so far.
fn records(stand: &Running) -> Vec<Value> {
    let text = fs::read_to_string(stand.folder().join("audit.log")).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

/// The first record of which all this is so.
async fn recorded(stand: &Running, parts: &[(&str, &str)]) -> Value {
    let mut look = tokio::time::interval(Duration::from_millis(50));
    let found = async {
        loop {
            look.tick().await;
            let all = records(stand).into_iter();
            let is = |one: &Value| parts.iter().all(|(name, value)| one[*name] == *value);
            if let Some(found) = all.into_iter().find(is) {
                return found;
            }
        }
    };
    let limit = Duration::from_secs(20);
    let found = tokio::time::timeout(limit, found).await;
    found.unwrap_or_else(|_| panic!("{parts:?} is not among {:#?}", records(stand)))
}

#[tokio::test]
async fn who_did_what_and_why_is_recorded_apart_from_requests() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let of_ci = json!({
        "pre_authentication": ["service_token"],
        "access": { "allow": [{ "token": "ci" }] },
    });
    let stand = Stand::new()
        .application_with("wiki", &wiki, of_staff())
        .application_with("api", &wiki, of_ci);
    let stand = with_sign_in(stand, &issuer)
        .gateway_setting("audit", json!({ "to": { "file": "audit.log" } }))
        // Whatever the log says.
        .gateway_setting(
            "log",
            json!({ "level": "error,appproxy::cli::gateway=info,access=info", "person": "hash" }),
        )
        .start()
        .await;
    let page = stand.url("wiki", "/page?secret=hunter2");
    let mut bob = Browser::new(&stand);
    let nobody = bob.open(&page).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    bob.sign_in(&page, "bob").await;
    let denied = bob.open(&page).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    let id = denied.header("x-request-id").to_owned();
    let record = recorded(&stand, &[("event", "denied"), ("request_id", &id)]).await;
    assert_eq!(record["outcome"], "failure");
    assert_eq!(record["actor_kind"], "known");
    assert_eq!(
        (&record["application"], &record["path"]),
        (&json!("wiki"), &json!("/page"))
    );
    assert_eq!(record["code"], "denied");
    assert_eq!(record["client"], "127.0.0.1");
    let cause = record["cause"].as_str().unwrap();
    assert!(cause.contains("not `group: staff`"), "{cause}");
    let bobs = record["actor"].as_str().unwrap().to_owned();
    assert_ne!(bobs, "bob", "people are called as the log calls them");
    let signed_in = recorded(&stand, &[("event", "signed_in"), ("actor", &bobs)]).await;
    assert_eq!(
        (&signed_in["outcome"], &signed_in["provider"]),
        (&json!("success"), &json!("demo"))
    );

    // What commands do, by whom.
    let token = service_token(&stand, &["--name", "ci", "--app", "api"]).await;
    let by = [("actor_kind", "operator"), ("outcome", "success")];
    let made = [&by[..], &[("event", "service_token_created")]].concat();
    let made = recorded(&stand, &made).await;
    assert_eq!(made["about"], "ci for api");
    assert!(
        made["actor"].as_str().unwrap().starts_with("uid "),
        "{made}"
    );
    // What a gateway has never seen does not end.
    let api = stand.url("api", "/");
    ask_until(&stand, &api, (SERVICE, &token), 200).await;
    gateway(&stand, &["service-token", "revoke", "ci"])
        .await
        .success();
    recorded(
        &stand,
        &[("event", "service_token_revoked"), ("about", "ci")],
    )
    .await;
    recorded(&stand, &[("event", "service_token_ended"), ("name", "ci")]).await;
    let session = signed_in["session"].as_str().unwrap();
    gateway(&stand, &["session", "revoke", session])
        .await
        .success();
    recorded(&stand, &[("event", "session_ended"), ("session", session)]).await;
    let none = gateway(&stand, &["session", "revoke", session]).await;
    assert_eq!(none.status.code(), Some(1));
    let failed = [("event", "session_revoked"), ("outcome", "failure")];
    recorded(&stand, &failed).await;

    // What a configuration changes.
    edit(&stand.gateway_file(), |config| {
        applications(config)[0]["access"] = json!({ "allow": ["anyone_signed_in"] });
    });
    reload(&stand).await;
    let changed = [("event", "configuration_changed"), ("wider", "yes")];
    let changed = recorded(&stand, &changed).await;
    let cause = changed["cause"].as_str().unwrap();
    assert!(cause.contains("access.allow"), "{cause}");

    let file = stand.folder().join("audit.log");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hunter2"), "no query is recorded");

    // A command that cannot record what it does does not do it.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let create = ["service-token", "create", "--name", "other", "--app", "api"];
    let refused = gateway(&stand, &create).await;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("audit.log"), "{}", refused.stderr);
    fs::remove_dir(&file).unwrap();
    let listed = gateway(&stand, &["service-token", "list"]).await.success();
    assert_eq!(listed.lines().count(), 1, "{listed}");
}
