//! Who may: the rules of applications, judged on every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use appproxy::clock::Clock;

use crate::harness::{Backend, Stand, body, until};
use crate::reload::{close_of, edit, gateway, reload};
use crate::sign_in::{Browser, provider, with_sign_in};

/// An application that counts what reaches it.
async fn counting() -> (Backend, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    let backend = Backend::answering(move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
        async { Response::new(body("inside")) }
    })
    .await;
    (backend, count)
}

fn oidc(access: Value) -> Value {
    json!({ "pre_authentication": ["oidc"], "access": access })
}

fn request(method: Method, url: &str) -> Request<Full<bytes::Bytes>> {
    let (origin, _) = url.split_at(url[8..].find('/').unwrap() + 8);
    let request = Request::builder().method(method).uri(url);
    let request = request.header("origin", origin);
    request
        .header("sec-fetch-site", "same-origin")
        .body(Full::default())
        .unwrap()
}

#[tokio::test]
async fn rules_are_judged_on_every_request() {
    let issuer = provider().await;
    let (wiki, count) = counting().await;
    let stand = with_sign_in(
        Stand::new().application_with(
            "wiki",
            &wiki,
            oidc(json!({
                "allow": [{ "email_domain": "example.com", "rule": "local" }],
                "deny": [
                    { "path": "/admin/", "not": { "group": "admins" } },
                    { "method": ["DELETE"] },
                    { "claim": { "name": "name", "value": "Bob Example" }, "path": "/alice" },
                ],
            })),
        ),
        &issuer,
    )
    .gateway_setting(
        "access_rules",
        json!({ "local": { "ip": ["127.0.0.0/30"] } }),
    )
    .start()
    .await;
    let page = stand.url("wiki", "/");
    let (mut alice, mut bob) = (Browser::new(&stand), Browser::new(&stand));
    alice.sign_in(&page, "alice").await;
    bob.sign_in(&page, "bob").await;
    let reached = || count.swap(0, Ordering::SeqCst);
    reached();

    // The same connection, the same session: each request by itself.
    for (who, path, expected) in [
        ("alice", "/admin/users", 200),
        ("alice", "/alice", 200),
        ("bob", "/", 200),
        ("bob", "/administrator", 200),
        ("bob", "/alice/x", 403),
    ] {
        let person = match who {
            "alice" => &mut alice,
            _ => &mut bob,
        };
        let answer = person.open(&stand.url("wiki", path)).await;
        assert_eq!(answer.status, expected, "{path}");
        assert_eq!(reached(), usize::from(expected == 200), "{path}");
    }
    // Table 4A, rows 1, 2 and 5: no spelling, no field and no query opens what is closed.
    for path in [
        "/admin",
        "/admin/",
        "/admin/x?y",
        "/ADMIN/",
        "/Admin/x",
        "//admin/",
        "///admin//x",
        "/%61dmin/",
        "/%41dmin/x",
        "/%2561dmin/",
        "/admin;x=/public/",
        "/;x/admin/",
        "/admin%3Bx/y",
        "/x/../admin/",
        "/x/%2e%2e/admin/",
        "/x/..;/admin/",
        "/x/..%2fadmin/",
        "/%2fadmin",
        "/%5cadmin",
        "/admin%00",
        "/admin/%c0%ae",
        "/./admin/",
        "/admin?/public/",
    ] {
        let answer = bob.open(&stand.url("wiki", path)).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 403),
            "{path}: {}",
            answer.status
        );
        let mut steered = request(Method::GET, &stand.url("wiki", path));
        for name in ["x-original-url", "x-rewrite-url", "x-forwarded-uri"] {
            steered
                .headers_mut()
                .insert(name, "/public".parse().unwrap());
        }
        let answer = bob.send(steered).await;
        assert!(matches!(answer.status.as_u16(), 400 | 403), "{path}");
    }
    assert_eq!(reached(), 0);
    // Methods, whatever another field says.
    let url = stand.url("wiki", "/");
    assert_eq!(alice.send(request(Method::DELETE, &url)).await.status, 403);
    assert_eq!(alice.send(request(Method::PUT, &url)).await.status, 200);
    reached();
    // Networks: the ticket of somebody who may, from where nobody may, and with a field that lies.
    let mut elsewhere = request(Method::GET, &url);
    let cookie = alice.cookie("wiki.localhost");
    elsewhere
        .headers_mut()
        .insert("cookie", cookie.parse().unwrap());
    elsewhere
        .headers_mut()
        .insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
    let answer = stand.client().at([127, 0, 0, 9]).send(elsewhere).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(reached(), 0);

    // The page says nothing of the rules, the log does, under the page's reference.
    let answer = bob.open(&stand.url("wiki", "/admin/")).await;
    assert_eq!(answer.status, 403);
    let id = answer.header("x-request-id").to_owned();
    assert!(answer.text().contains(&id), "{}", answer.text());
    assert!(!answer.text().contains("admins"), "{}", answer.text());
    let said = "`access.deny` keeps it out: path: /admin, not: { group: admins }";
    let line = stand.gateway().line("why", |line| {
        line.contains(&id) && line.contains("request refused")
    });
    let line = line.await;
    assert!(line.contains(said), "{line}");
}

#[tokio::test]
async fn what_only_reports_is_logged_and_decides_nothing() {
    let issuer = provider().await;
    let (wiki, count) = counting().await;
    let stand = with_sign_in(
        Stand::new().application_with(
            "wiki",
            &wiki,
            oidc(json!({
                "allow": [{ "group": "staff" }, { "group": "guests", "report_only": true }],
                "deny": [{ "path": "/admin", "report_only": true }],
            })),
        ),
        &issuer,
    )
    .start()
    .await;
    let mut alice = Browser::new(&stand);
    alice.sign_in(&stand.url("wiki", "/"), "alice").await;
    let answer = alice.open(&stand.url("wiki", "/Admin/x")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let id = answer.header("x-request-id").to_owned();
    let line = stand.gateway().line("the report", |line| {
        line.contains(&id) && line.contains("only reports")
    });
    assert!(line.await.contains("path: /admin, report_only: true"));
    let before = count.load(Ordering::SeqCst);
    let mut bob = Browser::new(&stand);
    bob.sign_in(&stand.url("wiki", "/"), "bob").await;
    assert_eq!(bob.open(&stand.url("wiki", "/")).await.status, 403);
    assert_eq!(count.load(Ordering::SeqCst), before);
    let would = "`group: guests, report_only: true` would let it in";
    let line = stand
        .gateway()
        .line("the report", |line| line.contains(would));
    line.await;
}

#[tokio::test]
async fn rules_guard_what_nobody_signs_in_to() {
    let (shop, count) = counting().await;
    let stand = Stand::new()
        .application_with(
            "shop",
            &shop,
            json!({ "access": { "deny": [
                { "path": "/metrics" },
                { "path": "/admin", "not": { "ip": ["127.0.0.2"] } },
            ] } }),
        )
        .application_with(
            "office",
            &shop,
            json!({ "access": { "allow": [{ "ip": ["127.0.0.2"] }] } }),
        )
        .start()
        .await;
    let inside = stand.client().at([127, 0, 0, 2]);
    for (url, from_outside, from_inside) in [
        ("https://shop.localhost/", 200, 200),
        ("https://shop.localhost/metrics", 403, 403),
        ("https://shop.localhost/METRICS/x", 403, 403),
        ("https://shop.localhost/admin/x", 403, 200),
        ("https://office.localhost/", 403, 200),
    ] {
        assert_eq!(stand.get(url).await.status, from_outside, "{url}");
        assert_eq!(inside.get(url).await.status, from_inside, "{url}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 4);
    // A reload that closes takes effect with the next request, and one that is no good with none.
    edit(&stand.gateway_file(), |config| {
        config["applications"][1]["access"] = json!({ "allow": [{ "group": "staff" }] });
    });
    let output = gateway(&stand, &["reload"]).await;
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert_eq!(inside.get("https://office.localhost/").await.status, 200);
    edit(&stand.gateway_file(), |config| {
        config["applications"][1]["access"] = json!({ "allow": [{ "method": ["POST"] }] });
    });
    reload(&stand).await;
    assert_eq!(inside.get("https://office.localhost/").await.status, 403);
}

/// A rule's end is on a full minute.
#[tokio::test]
async fn a_websocket_is_cut_when_its_time_is_over() {
    let (chat, _) = Backend::demo().await;
    let stand = Stand::new().application("chat", &chat).start().await;
    until("a tunnel", || stand.tunnels().0 > 0).await;
    // From here on it takes a moment: a minute that has a little more than that left.
    let now = Clock::system().now().0;
    let end = (now + 10).div_euclid(60) + 1;
    let clock = |minute: i64| {
        let minute = minute.rem_euclid(24 * 60);
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    let window = json!({ "zone": "UTC", "from": clock(end - 5), "to": clock(end) });
    edit(&stand.gateway_file(), |config| {
        config["applications"][0]["access"] = json!({ "allow": [{ "time": window }] });
    });
    reload(&stand).await;
    let request = "wss://chat.localhost/ws".into_client_request().unwrap();
    let (mut socket, _) = stand.client().websocket(request).await;
    // Each look has a limit of its own.
    until("the minute", || Clock::system().now().0 >= end * 60 - 15).await;
    let close = close_of(&mut socket).await;
    assert!(Clock::system().now().0 >= end * 60);
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "no longer allowed")
    );
    let answer = stand.get("https://chat.localhost/request").await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_question_shows_each_condition_with_what_it_saw() {
    let issuer = provider().await;
    let (wiki, _) = counting().await;
    let stand = with_sign_in(
        Stand::new().application_with(
            "wiki",
            &wiki,
            oidc(json!({
                "allow": [{ "group": "staff", "ip": ["198.51.100.0/24"] }],
                "deny": [{ "email_domain": "evil.example" }],
            })),
        ),
        &issuer,
    )
    .start()
    .await;
    let url = stand.url("wiki", "/");
    let explain = async |arguments: &[&str]| {
        let arguments = [&["explain", "--json", "--url", &url], arguments].concat();
        let text = gateway(&stand, &arguments).await.success();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let claims = stand.folder().join("claims.json");
    let said = json!({ "sub": "1f3c2b", "groups": ["staff"], "email": "a@b.example",
        "email_verified": true });
    std::fs::write(&claims, said.to_string()).unwrap();
    let claims = claims.to_str().unwrap();
    let told = explain(&["--claims", claims, "--ip", "198.51.100.7"]).await;
    assert_eq!(told["reaches"], true, "{told}");
    let row = |stage: &str, value: &str, decision: &str| {
        let steps = told["steps"].as_array().unwrap();
        let found = steps.iter().any(|step| {
            step["stage"] == stage && step["value"] == value && step["decision"] == decision
        });
        assert!(found, "{stage} {value} {decision}: {told}");
    };
    row(
        "access.deny[0]",
        "email_domain: evil.example",
        "no, saw a@b.example",
    );
    row(
        "access.allow[0]",
        "group: staff, ip: [198.51.100.0/24]",
        "yes",
    );
    row("access.allow[0]", "  group: staff", "yes, saw staff");
    row(
        "access.allow[0]",
        "  ip: [198.51.100.0/24]",
        "yes, saw 198.51.100.7",
    );

    let told = explain(&["--claims", claims]).await;
    assert_eq!(
        (&told["reaches"], &told["code"]),
        (&json!(false), &json!("denied"))
    );
    // Of somebody without an address it cannot be told, so they stay out.
    let told = explain(&[
        "--user",
        "1f3c2b",
        "--group",
        "staff",
        "--ip",
        "198.51.100.7",
    ])
    .await;
    let answer = told["answer"].as_str().unwrap();
    assert!(
        answer.contains("cannot be told: email_domain: evil.example"),
        "{told}"
    );
    let told = explain(&[]).await;
    assert_eq!(told["code"], "sign_in_required", "{told}");
    for (arguments, expected) in [
        (
            &["--claims", "/nowhere.json"][..],
            "cannot read /nowhere.json",
        ),
        (&["--group", "staff"], "--user"),
        (
            &["--user", "x", "--provider", "other"],
            "there is no identity provider `other`",
        ),
    ] {
        let arguments = [&["explain", "--url", &url], arguments].concat();
        let output = gateway(&stand, &arguments).await;
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(output.stderr.contains(expected), "{output:?}");
    }
}
