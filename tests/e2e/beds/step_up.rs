//! Rules that want further proof of who somebody is: to the provider, and on.

use serde_json::{Value, json};

use super::sign_in::{Corp, SECRET, Visit};
use crate::harness::{Backend, Running, Stand};

/// The demo's application, with these rules for the group staff.
async fn guarded(corp: &Corp, wiki: &Backend, access: Value) -> Running {
    let sign_in = json!({ "url": "https://login.localhost:{https}/" });
    let settings = json!({ "pre_authentication": ["oidc"], "access": access });
    Stand::new()
        .application_with("wiki", wiki, settings)
        .gateway_setting("sign_in", sign_in)
        .gateway_setting("identity_providers", json!([corp.setting()]))
        .environment("CORP_SECRET", SECRET)
        .start()
        .await
}

#[tokio::test]
async fn a_path_wants_a_further_factor_and_gets_it() {
    let corp = Corp::new();
    let (wiki, _control) = Backend::demo().await;
    let access = json!({
        "allow": ["anyone_signed_in"],
        "deny": [{ "path": "/request", "not": { "acr": "gold" } }],
    });
    let stand = guarded(&corp, &wiki, access).await;
    let _corp = corp.start(&stand).await;
    let url = |path: &str| stand.url("wiki", path);
    let visit = Visit::of(
        &stand,
        &[json!([
            { "goto": url("/ws-page") },
            { "wait": "h1", "text": "Who are you?" },
            { "click": "[value=ann]" },
            { "wait": "#log", "text": "← hello from the page" },
            // A script is told where; a page is taken there, and comes back with what stood behind the #.
            { "fetch": "/request", "as": "script" },
            { "goto": url("/request?x=1#part") },
            { "wait": "h1", "text": "Who are you?" },
            { "click": "[value=ann]" },
            { "wait": "pre", "text": "GET /request?x=1 HTTP/1.1" },
            { "where": true, "as": "there" },
            // She is not asked again.
            { "goto": url("/request") },
            { "wait": "pre", "text": "GET /request HTTP/1.1" },
            { "fetch": "/request", "as": "script with proof" },
        ])],
    )
    .await;
    let told = visit.at("script");
    assert_eq!(told["status"], 401, "{told}");
    let told: Value = serde_json::from_str(told["text"].as_str().unwrap()).unwrap();
    assert_eq!(told["error"]["sign_in_url"], url("/request"));
    assert_eq!(visit.at("there")["url"], url("/request?x=1#part"));
    assert_eq!(visit.at("script with proof")["status"], 200);

    // Whoever comes back without it is not sent there for ever.
    let visit = Visit::of(
        &stand,
        &[json!([
            { "goto": url("/request") },
            { "wait": "h1", "text": "Who are you?" },
            { "click": "[value=bob]" },
            // He has signed in, and is asked for more.
            { "wait": "h1", "text": "Who are you?" },
            { "click": "[value=bob]" },
            { "wait": "code", "text": "denied" },
            { "goto": url("/ws-page") },
            { "wait": "#log", "text": "← hello from the page" },
            { "fetch": "/request", "as": "script" },
        ])],
    )
    .await;
    assert_eq!(visit.at("script")["status"], 403);
}

/// At the first sign-in nothing is known of such rules, so the provider does not say when it was; it is asked
/// once more, and says so without asking her.
#[tokio::test]
async fn a_rule_that_wants_a_recent_sign_in_has_the_provider_say_when_it_was() {
    let corp = Corp::new();
    let (wiki, _control) = Backend::demo().await;
    let access = json!({ "allow": [{ "group": "staff", "max_age": "1h", "amr": "pwd" }] });
    let stand = guarded(&corp, &wiki, access).await;
    let _corp = corp.start(&stand).await;
    let url = stand.url("wiki", "/request");
    let visit = Visit::of(
        &stand,
        &[json!([
            { "goto": url },
            { "wait": "h1", "text": "Who are you?" },
            { "click": "[value=ann]" },
            { "wait": "pre", "text": "GET /request HTTP/1.1" },
            { "where": true, "as": "there" },
        ])],
    )
    .await;
    assert_eq!(visit.at("there")["url"], url);
}
