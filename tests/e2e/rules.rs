//! The security rules of the design, each by a test with its number. Those that are about sign-in,
//! floods, enrolment and secrets stand with what they are about, or come with it.

use http::Request;
use http_body_util::Empty;
use serde_json::json;

use crate::harness::{Answer, Backend, Stand};
use crate::{headers, routing, smuggling};

/// The decision of the connector is one too: what it cannot look up or does not know it refuses.
#[tokio::test]
async fn rule_01_an_error_on_the_way_to_a_decision_denies() {
    let backend = Backend::text("hello").await;
    // The allow-list names the port behind another name alone, so nothing about this one is known.
    let allow = format!("other.corp.internal:{}", backend.address().port());
    let stand = Stand::new()
        .application("wiki", &backend)
        .connector_setting("allow", json!([allow]))
        .start()
        .await;
    let answer = stand.get("https://wiki.localhost/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"]["code"], "target_refused");
}

#[tokio::test]
async fn rule_02_one_canonical_path() {
    routing::ambiguous_paths_are_refused_where_the_path_decides_and_passed_elsewhere().await;
}

#[tokio::test]
async fn rule_03_exactly_one_host() {
    routing::a_request_names_exactly_one_host().await;
}

#[tokio::test]
async fn rule_04_no_field_of_a_client_steers_a_decision() {
    let (one, two) = (Backend::echo().await, Backend::text("two").await);
    let stand = Stand::new()
        .application("one", &one)
        .application("two", &two)
        .start()
        .await;
    let other = format!("two.localhost:{}", stand.address().port());
    let mut seen = 0;
    for (name, value) in [
        ("x-forwarded-host", other.as_str()),
        ("x-host", &other),
        ("x-original-host", &other),
        ("x-http-host-override", &other),
        ("forwarded", "for=10.0.0.1;host=two.localhost;proto=http"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("x-original-url", "/other"),
        ("x-rewrite-url", "/other"),
        ("x-http-method-override", "DELETE"),
        ("appproxy-target", "two.corp.internal:80"),
        ("appproxy-application", "two"),
    ] {
        for client in [stand.client().clone(), stand.client().http2()] {
            let request = Request::get("https://one.localhost/page").header(name, value);
            let request = request.body(Empty::new()).unwrap();
            let answer = Answer::read(client.send(request).await).await;
            let saw = answer.json();
            assert_eq!(saw["method"], "GET", "{name}");
            assert_eq!(saw["target"], "/page", "{name}");
            assert_eq!(
                saw["headers"]["x-forwarded-for"],
                json!(["127.0.0.1"]),
                "{name}"
            );
            let line = stand.access_line(answer.header("x-request-id")).await;
            assert_eq!(line["application"], "one", "{name}");
            assert_eq!(line["client"], "127.0.0.1", "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, 28);
}

#[tokio::test]
async fn rule_05_one_deny_list_for_fields_and_trailers() {
    headers::no_forged_field_arrives().await;
}

#[tokio::test]
async fn rule_07_our_cookies_never_reach_an_application() {
    headers::no_cookie_of_ours_arrives().await;
}

#[tokio::test]
async fn rule_07_an_application_sets_neither_our_cookies_nor_a_parents() {
    headers::location_and_set_cookie_become_external().await;
}

#[tokio::test]
async fn rule_08_framing_is_never_ambiguous() {
    smuggling::nothing_ambiguous_reaches_an_application().await;
}

#[tokio::test]
async fn rule_10_redirects_stay_on_the_origin() {
    routing::plain_http_leads_to_https_and_nowhere_else().await;
}

#[tokio::test]
async fn rule_11_our_own_answers_are_not_stored_and_an_applications_stay_as_they_are() {
    let backend = Backend::text("hello").await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .application_with(
            "deep",
            &backend,
            json!({ "external_url": "https://deep.localhost:{https}/deep/" }),
        )
        .start()
        .await;
    for (url, status, stored) in [
        ("https://unknown.apps.localhost/", 404, "no-store"),
        ("https://deep.localhost/deep", 308, "no-store"),
        ("https://wiki.localhost/", 200, ""),
    ] {
        let answer = stand.get(url).await;
        assert_eq!(answer.status, status, "{url}");
        assert_eq!(answer.header("cache-control"), stored, "{url}");
    }
}

#[tokio::test]
async fn rule_18_only_the_own_origin_is_rewritten() {
    headers::the_host_header_is_the_internal_the_external_or_a_fixed_one().await;
}
