//! What goes on while somebody is signed in, and what is done where that ends: the provider is asked again,
//! forms wait, loops stop, operators let somebody in.

use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use appproxy::clock::Clock;
use appproxy::demo::provider::{self, IdentityProvider};

use crate::harness::{Answer, Backend, Stand, temporary, until, within};
use crate::reload::{close_of, edit, gateway, reload};
use crate::sign_in::{Browser, link, location, of_staff, with_sign_in};

/// The demo's identity provider, and how to change what it says.
async fn asked() -> (String, IdentityProvider) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let provider = IdentityProvider::new(&authority, Clock::system()).unwrap();
    tokio::spawn(provider::serve(listener, provider.clone()));
    (provider.issuer().to_owned(), provider)
}

/// Asks until the answer is another one.
async fn until_status(browser: &mut Browser, page: &str, expected: StatusCode) -> Answer {
    let mut look = tokio::time::interval(std::time::Duration::from_millis(200));
    within("another answer", async {
        loop {
            look.tick().await;
            let answer = browser.open(page).await;
            if answer.status == expected {
                return answer;
            }
        }
    })
    .await
}

fn post(url: &str, body: &str, fields: &[(&str, &str)]) -> Request<Full<bytes::Bytes>> {
    let mut request = Request::post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", body.len())
        .header("accept-language", "en");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_owned())).unwrap()
}

const OWN: [(&str, &str); 3] = [
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "same-origin"),
];

/// The value of an attribute behind some text of a page.
fn after<'a>(text: &'a str, before: &str) -> &'a str {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("{before} is not in {text}"));
    rest.split('"').next().unwrap()
}

#[tokio::test]
async fn groups_and_people_are_those_the_provider_says_when_it_is_asked_again() {
    let (issuer, provider) = asked().await;
    let (chat, _) = Backend::demo().await;
    let stand = with_sign_in(
        Stand::new().application_with("chat", &chat, of_staff()),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("chat", "/request");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);
    let mut request = "wss://chat.localhost/ws".into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("cookie", alice.cookie("chat.localhost").parse().unwrap());
    headers.insert("origin", stand.url("chat", "").parse().unwrap());
    let (mut socket, _) = stand.client().websocket(request).await;

    // Not of staff any more: the next answers are by that, and the WebSocket is cut.
    provider.put_into_groups("alice", &["guests"]);
    until_status(&mut alice, &page, StatusCode::FORBIDDEN).await;
    let close = close_of(&mut socket).await;
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "no longer allowed")
    );
    // Not known any more: signed out, everywhere.
    provider.forget("alice");
    until_status(&mut alice, &page, StatusCode::UNAUTHORIZED).await;
    let listed = gateway(&stand, &["session", "list"]).await.success();
    assert_eq!(listed.matches("alice").count(), 0, "{listed}");
}

#[tokio::test]
async fn a_form_whose_session_has_ended_waits_for_the_same_person() {
    let (issuer, _) = asked().await;
    let wiki = Backend::echo().await;
    let stand = with_sign_in(
        Stand::new().application_with(
            "wiki",
            &wiki,
            json!({
                "pre_authentication": ["oidc"],
                "access": { "allow": ["anyone_signed_in"] },
            }),
        ),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("wiki", "/save?id=7");
    let origin = stand.url("wiki", "");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    let text = "title=Gr%C3%BC%C3%9Fe&text=a%26b%0D%0Ac&password=hunter2";
    let revoke = ["session", "revoke", "--user", "alice"];
    gateway(&stand, &revoke).await.success();
    until_status(&mut alice, &page, StatusCode::UNAUTHORIZED).await;

    // What no page of the application's own sent, has no form, or is too large, is refused as ever.
    let foreign = [
        ("sec-fetch-mode", "navigate"),
        ("origin", "https://evil.example"),
    ];
    let large = format!("text={}", "x".repeat(70_000));
    for (body, kind, fields) in [
        (text, "application/x-www-form-urlencoded", &foreign[..]),
        (text, "multipart/form-data; boundary=x", &OWN),
        (&large, "application/x-www-form-urlencoded", &OWN),
    ] {
        let mut request = post(&page, body, fields);
        request
            .headers_mut()
            .insert("content-type", kind.parse().unwrap());
        let answer = alice.send(request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{kind}");
        assert!(!answer.text().contains("/.appproxy/form"), "{kind}");
    }

    let kept = alice.send(post(&page, text, &OWN)).await;
    assert_eq!(kept.status, StatusCode::UNAUTHORIZED);
    assert_eq!(kept.header("cache-control"), "no-store");
    let html = kept.text();
    assert!(html.contains("Grüße") && html.contains("a&amp;b"), "{html}");
    // A password is sent again, and not shown.
    assert_eq!(html.matches("hunter2").count(), 1, "{html}");
    let action = after(html, "<form method=\"post\" action=\"").to_owned();
    assert!(action.starts_with("/.appproxy/form?of="), "{action}");
    let action = stand.url("wiki", &action);

    // Too early: it is kept on.
    let early = alice.send(post(&action, text, &OWN)).await;
    assert_eq!(early.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        after(early.text(), "<form method=\"post\" action=\""),
        after(html, "<form method=\"post\" action=\"")
    );
    // Somebody else at the same computer.
    let mut bob = Browser::new(&stand);
    bob.sign_in(&page, "bob").await;
    let answer = bob.send(post(&action, text, &OWN)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text().contains("other_person") && !answer.text().contains("Grüße"));
    // The same person again, by another page, and by this one.
    alice.sign_in(&page, "alice").await;
    let answer = alice.send(post(&action, text, &foreign)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = alice.send(post(&action, text, &OWN)).await;
    assert_eq!(
        answer.status,
        StatusCode::TEMPORARY_REDIRECT,
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("location"), "/save?id=7");
    let own = [OWN[0], OWN[1], OWN[2], ("origin", &*origin)];
    let arrived = alice.send(post(&page, text, &own)).await;
    assert_eq!(arrived.status, StatusCode::OK);
    assert_eq!(arrived.json()["body"], text);
    // An altered or foreign `of` leads nowhere.
    let altered = action.replace("of=", "of=A");
    let answer = alice.send(post(&altered, text, &OWN)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);

    edit(&stand.gateway_file(), |config| {
        config["sign_in"]["forms"] = json!("off")
    });
    reload(&stand).await;
    gateway(&stand, &revoke).await.success();
    until_status(&mut alice, &page, StatusCode::UNAUTHORIZED).await;
    let answer = alice.send(post(&page, text, &OWN)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(!answer.text().contains("/.appproxy/form"));
}

#[tokio::test]
async fn a_sign_in_that_never_ends_is_explained_and_many_tabs_are_not_one() {
    let (issuer, _) = asked().await;
    let wiki = Backend::text("wiki").await;
    let stand = with_sign_in(
        Stand::new().application_with("wiki", &wiki, of_staff()),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    // Something on the way removes the session's cookie: the third time is the last.
    for _ in 0..2 {
        alice.cookies.remove("wiki.localhost");
        let way = link(&alice.open(&page).await);
        let code = location(&alice.open(&way).await);
        assert_eq!(alice.open(&code).await.status, StatusCode::OK);
    }
    alice.cookies.remove("wiki.localhost");
    let way = link(&alice.open(&page).await);
    let stopped = alice.open(&way).await;
    assert_eq!(stopped.status, StatusCode::FORBIDDEN);
    assert!(
        stopped.text().contains("loop_no_cookie"),
        "{}",
        stopped.text()
    );

    // Ten tabs that were opened together.
    let mut ways = Vec::new();
    let mut tabs = Browser::new(&stand);
    tabs.sign_in(&page, "alice").await;
    let session = tabs.cookies.remove("wiki.localhost");
    for _ in 0..5 {
        ways.push(link(&tabs.open(&page).await));
    }
    for way in ways {
        let code = location(&tabs.open(&way).await);
        assert_eq!(tabs.open(&code).await.status, StatusCode::OK);
    }
    assert_ne!(tabs.cookies.get("wiki.localhost"), session.as_ref());
    assert_eq!(tabs.open(&page).await.text(), "wiki");
}

#[tokio::test]
async fn an_operator_lets_somebody_in_without_the_provider_once_and_loudly() {
    let wiki = Backend::text("wiki").await;
    let stand = with_sign_in(
        Stand::new()
            .application_with("wiki", &wiki, of_staff())
            .application_with("blog", &wiki, of_staff())
            .application("open", &wiki),
        // Nobody is there.
        "http://127.0.0.1:1",
    )
    .start()
    .await;
    let create = async |more: &[&str]| {
        let usual = ["session", "create", "--user", "carol", "--app"];
        gateway(&stand, &[&usual, more].concat()).await
    };
    for (more, expected) in [
        (&["wiki"][..], "--group"),
        (&["nothing", "--group", "staff"], "there is no application"),
        (&["open", "--group", "staff"], "nobody signs in"),
        (&["wiki", "--group", "staff", "--ttl", "48h"], "24h at most"),
        (&["wiki", "--group", "staff", "--provider", "other"], "demo"),
    ] {
        let refused = create(more).await;
        assert_ne!(refused.status.code(), Some(0), "{more:?}");
        let said = &refused.stderr;
        assert!(said.contains(expected), "{more:?}: {said}");
        assert!(refused.stdout.is_empty(), "{more:?}");
    }
    let list = gateway(&stand, &["session", "list"]).await.success();
    assert_eq!(list.matches("carol").count(), 0, "{list}");

    let made = create(&["wiki", "--group", "staff", "--reason", "provider down"]).await;
    let address = made.success().trim().to_owned();
    assert!(
        address.starts_with(&stand.url("wiki", "/.appproxy/link?code=")),
        "{address}"
    );
    let mut carol = Browser::new(&stand);
    // What looks at links spends nothing.
    for _ in 0..2 {
        let asks = carol.open(&address).await;
        assert_eq!(asks.status, StatusCode::OK);
        assert_eq!(asks.header("referrer-policy"), "no-referrer");
    }
    let (page, code) = address.split_once("?code=").unwrap();
    let body = format!("code={code}");
    let foreign = [
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "cross-site"),
    ];
    let answer = carol.send(post(page, &body, &foreign)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = carol.send(post(page, &body, &OWN)).await;
    assert_eq!(location(&answer), "/");
    let answer = carol.open(&stand.url("wiki", "/")).await;
    assert_eq!(answer.text(), "wiki");
    // Once, there alone, and said aloud.
    let mut dave = Browser::new(&stand);
    let answer = dave.send(post(page, &body, &OWN)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(dave.cookies.values().all(|jar| jar.is_empty()));
    let ticket = carol.cookies["wiki.localhost"].clone();
    carol.cookies.insert("blog.localhost".to_owned(), ticket);
    let answer = carol.open(&stand.url("blog", "/")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let loud = "signed in by an operator's one-time link, without the identity provider";
    let said: Value = serde_json::from_str(&stand.gateway().says(loud).await).unwrap();
    assert_eq!(
        (&said["level"], &said["person"]),
        (&json!("WARN"), &json!("carol"))
    );
    assert!(
        said["made"].as_str().unwrap().contains("provider down"),
        "{said}"
    );

    // Out again, where the sign-in host knows nobody.
    let out = stand.url("wiki", "/.appproxy/sign-out");
    let asks = carol.open(&out).await;
    assert_eq!(asks.status, StatusCode::OK);
    let token = after(asks.text(), "name=\"token\" value=\"");
    let done = carol
        .send(post(&out, &format!("token={token}"), &OWN))
        .await;
    assert!(location(&done).ends_with("/.appproxy/signed-out"));
    carol.cookies.insert(
        "wiki.localhost".to_owned(),
        carol.cookies["blog.localhost"].clone(),
    );
    let answer = carol.open(&stand.url("wiki", "/")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_provider_begins_a_sign_in_and_ends_one_through_the_browser() {
    let (issuer, _) = asked().await;
    let wiki = Backend::text("wiki").await;
    let stand = with_sign_in(
        Stand::new().application_with("wiki", &wiki, of_staff()),
        &issuer,
    )
    .start()
    .await;
    let login = format!("https://login.localhost:{}", stand.address().port());
    let initiate = |pairs: &[(&str, &str)]| {
        let mut url = url::Url::parse(&format!("{login}/.appproxy/initiate")).unwrap();
        url.query_pairs_mut().extend_pairs(pairs);
        url.to_string()
    };
    let page = stand.url("wiki", "/deep?x=1");
    let mut alice = Browser::new(&stand);
    for (pairs, expected) in [
        (
            &[("iss", "https://evil.example")][..],
            StatusCode::BAD_REQUEST,
        ),
        (&[], StatusCode::BAD_REQUEST),
        (
            &[
                ("iss", &*issuer),
                ("target_link_uri", "https://evil.example/"),
            ],
            StatusCode::BAD_REQUEST,
        ),
        (
            &[
                ("iss", &*issuer),
                ("target_link_uri", "javascript:alert(1)"),
            ],
            StatusCode::BAD_REQUEST,
        ),
        (
            &[("iss", &*issuer), ("target_link_uri", "//evil.example")],
            StatusCode::BAD_REQUEST,
        ),
        (
            &[
                ("iss", &*issuer),
                ("target_link_uri", "https://wiki.localhost:1/"),
            ],
            StatusCode::BAD_REQUEST,
        ),
        (
            &[("iss", &*issuer), ("iss", &*issuer)],
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let answer = alice.open(&initiate(pairs)).await;
        assert_eq!(answer.status, expected, "{pairs:?}");
    }
    let pairs = [
        ("iss", &*issuer),
        ("target_link_uri", &*page),
        ("login_hint", "alice"),
    ];
    let ask = location(&alice.open(&initiate(&pairs)).await);
    assert!(ask.contains("login_hint=alice"), "{ask}");
    let callback = location(&alice.open(&ask).await);
    assert_eq!(location(&alice.open(&callback).await), page);
    // There is a session already.
    assert_eq!(location(&alice.open(&initiate(&pairs)).await), page);
    assert_eq!(location(&alice.open(&initiate(&pairs[..1])).await), "/");

    // Nobody is signed out by a `sid` that is none, and nothing is asked of it twice.
    let ends = |issuer: &str, sid: &str| {
        let mut url = url::Url::parse(&format!("{login}/.appproxy/front-channel/demo")).unwrap();
        url.query_pairs_mut()
            .append_pair("iss", issuer)
            .append_pair("sid", sid);
        url.to_string()
    };
    let stranger = &mut Browser::new(&stand);
    let answer = stranger.open(&ends(&issuer, "none")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = stranger
        .open(&ends("https://evil.example", "alice-sid"))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let answer = alice.open(&login).await;
    assert_eq!(answer.status, StatusCode::OK);
    // The demo's provider calls its session by the code.
    let code = url::Url::parse(&callback).unwrap();
    let code = code
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let sid = provider::sid_of(&code);
    let answer = stranger.open(&ends(&issuer, &sid)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = alice.open(&login).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn pages_of_other_origins_do_what_the_rules_say() {
    let (issuer, _) = asked().await;
    let api = Backend::echo().await;
    let settings = |cors: Value| {
        let mut all = of_staff();
        if !cors.is_null() {
            all["cors"] = cors;
        }
        all
    };
    let rules = json!({
        "origins": ["https://portal.localhost"], "methods": ["PUT"], "headers": ["content-type"],
        "credentials": true,
    });
    let stand = with_sign_in(
        Stand::new()
            .application_with("api", &api, settings(rules))
            .application_with("bare", &api, settings(Value::Null)),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("api", "/item");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    let ask = |url: &str, origin: &str, method: &str| {
        Request::options(url)
            .header("origin", origin)
            .header("access-control-request-method", method)
            .body(Full::default())
            .unwrap()
    };
    // As browsers do, without a cookie.
    let mut nobody = Browser::new(&stand);
    let answer = nobody
        .send(ask(&page, "https://portal.localhost", "PUT"))
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://portal.localhost"
    );
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    for (url, origin, method) in [
        (&page, "https://evil.example", "PUT"),
        (&page, "null", "PUT"),
        (&page, "https://portal.localhost", "DELETE"),
        (&stand.url("bare", "/"), "https://portal.localhost", "PUT"),
    ] {
        let answer = nobody.send(ask(url, origin, method)).await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{url} {origin} {method}"
        );
        // A page that may ask for something is told so, though not for this.
        let told = answer.headers.contains_key("access-control-allow-origin");
        assert_eq!(told, method == "DELETE", "{url} {origin} {method}");
    }
    let put = |url: &str, origin: &str| {
        Request::put(url)
            .header("origin", origin)
            .header("sec-fetch-site", "cross-site")
            .body(Full::from("x"))
            .unwrap()
    };
    let answer = alice.send(put(&page, "https://portal.localhost")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://portal.localhost"
    );
    let answer = alice.send(put(&page, "https://evil.example")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    // A page that may ask is told why it got nothing.
    let answer = nobody.send(put(&page, "https://portal.localhost")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://portal.localhost"
    );
}

/// The host of a wildcard is confirmed by the person, once; one person has so many requests at once; the
/// launcher shows what is to be shown.
#[tokio::test]
async fn a_wildcard_is_confirmed_once_and_a_person_has_so_many_requests() {
    let (issuer, _) = asked().await;
    let (chat, _) = Backend::demo().await;
    let wild = json!({
        "external_url": "https://*.apps.localhost:{https}/",
        "pre_authentication": ["oidc"],
        "access": { "allow": [{ "group": "staff" }] },
    });
    let mut shown = of_staff();
    let pictures = temporary();
    let icon = pictures.path().join("icon.svg");
    std::fs::write(&icon, "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
    shown["icon"] = json!(icon);
    let mut hidden = of_staff();
    hidden["hidden"] = json!(true);
    let stand = Stand::new()
        .application_with("wild", &chat, wild)
        .application_with("shown", &chat, shown)
        .application_with("hidden", &chat, hidden)
        .gateway_setting("limits", json!({ "requests_per_session": 1 }));
    let stand = with_sign_in(stand, &issuer).start().await;
    let port = stand.address().port();
    let host = format!("https://one.apps.localhost:{port}");
    let page = format!("{host}/request");
    let mut alice = Browser::new(&stand);
    let ask = alice.open_to_provider(&page).await;
    let chosen = alice.open(&ask.replace("/authorize?", "/as/alice?")).await;
    let asks = alice.open(&location(&chosen)).await;
    let html = asks.text();
    assert!(html.contains("one.apps.localhost"), "{html}");
    let confirm = format!("https://login.localhost:{port}/.appproxy/confirm");
    let form = format!(
        "request={}&token={}&answer=confirm",
        after(html, "name=\"request\" value=\""),
        after(html, "name=\"token\" value=\"")
    );
    let code = location(&alice.send(post(&confirm, &form, &OWN)).await);
    assert!(code.starts_with(&host), "{code}");
    alice.open(&code).await;
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);
    // Not again for this host, and for another.
    alice.cookies.remove("one.apps.localhost");
    let way = link(&alice.open(&page).await);
    let code = location(&alice.open(&way).await);
    alice.open(&code).await;
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);
    let other = format!("https://two.apps.localhost:{port}/request");
    let way = link(&alice.open(&other).await);
    let asks = alice.open(&way).await;
    assert!(
        asks.text().contains("two.apps.localhost"),
        "{}",
        asks.text()
    );

    // A WebSocket is the one request there may be, at whichever application.
    let own = stand.url("shown", "/request");
    let way = link(&alice.open(&own).await);
    let code = location(&alice.open(&way).await);
    alice.open(&code).await;
    let mut request = "wss://one.apps.localhost/ws".into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert(
        "cookie",
        alice.cookie("one.apps.localhost").parse().unwrap(),
    );
    headers.insert("origin", host.parse().unwrap());
    let (socket, _) = stand.client().websocket(request).await;
    let answer = alice.open(&own).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.header("appproxy-answer"), "gateway;error=throttled");
    drop(socket);
    until_status(&mut alice, &own, StatusCode::OK).await;

    let launcher = alice
        .open(&format!("https://login.localhost:{port}/"))
        .await;
    let html = launcher.text();
    assert!(
        html.contains(&stand.url("shown", "/")) && !html.contains("hidden.localhost"),
        "{html}"
    );
    let icon = after(html, "<img class=\"icon\" src=\"");
    let icon = alice
        .open(&format!("https://login.localhost:{port}{icon}"))
        .await;
    assert_eq!(icon.header("content-type"), "image/svg+xml");
    assert_eq!(
        launcher.header("strict-transport-security"),
        "max-age=31536000"
    );
}

/// Row 35 of what users of such proxies complain of: an application that goes by its own cookie would take
/// the next person at a shared computer for the one before.
#[tokio::test]
async fn the_next_person_is_not_taken_for_the_one_before() {
    let (issuer, _) = asked().await;
    let wiki = Backend::text("wiki").await;
    let all =
        json!({ "pre_authentication": ["oidc"], "access": { "allow": ["anyone_signed_in"] } });
    let stand = with_sign_in(Stand::new().application_with("wiki", &wiki, all), &issuer)
        .start()
        .await;
    let page = stand.url("wiki", "/");
    let mut browser = Browser::new(&stand);
    browser.sign_in(&page, "alice").await;
    let own = browser.cookies.get_mut("wiki.localhost").unwrap();
    own.insert("JSESSIONID".to_owned(), "alice".to_owned());
    // The same person again keeps what there is.
    browser.cookies.remove("login.localhost");
    let ticket = browser.cookies["wiki.localhost"]["__Host-appproxy"].clone();
    let revoke = ["session", "revoke", "--user", "alice"];
    gateway(&stand, &revoke).await.success();
    until_status(&mut browser, &page, StatusCode::UNAUTHORIZED).await;
    let back = browser.sign_in(&page, "alice").await;
    assert!(!back.text().contains("data-clear"));
    assert_eq!(browser.cookies["wiki.localhost"]["JSESSIONID"], "alice");
    assert_ne!(browser.cookies["wiki.localhost"]["__Host-appproxy"], ticket);

    gateway(&stand, &revoke).await.success();
    until_status(&mut browser, &page, StatusCode::UNAUTHORIZED).await;
    browser.cookies.remove("login.localhost");
    let back = browser.sign_in(&page, "bob").await;
    // By the page's script, which has to keep the fragment.
    assert!(back.text().contains(" data-clear"), "{}", back.text());
    assert!(!browser.cookies["wiki.localhost"].contains_key("JSESSIONID"));
    assert_eq!(browser.open(&page).await.text(), "wiki");
}

/// Of tabs that wait at the provider the second one does not end what the first one has open.
#[tokio::test]
async fn the_second_tab_does_not_end_what_the_first_one_has_open() {
    let (issuer, _) = asked().await;
    let wiki = Backend::text("wiki").await;
    let stand = with_sign_in(
        Stand::new()
            .application_with("wiki", &wiki, of_staff())
            .application_with("blog", &wiki, of_staff()),
        &issuer,
    )
    .start()
    .await;
    let (one, two) = (stand.url("wiki", "/"), stand.url("blog", "/"));
    let mut alice = Browser::new(&stand);
    let first = alice.open_to_provider(&one).await;
    let second = alice.open_to_provider(&two).await;
    let began = Clock::system().now();
    until("the next second", || Clock::system().now() > began).await;
    for (ask, page) in [(first, &one), (second, &two)] {
        let chosen = alice.open(&ask.replace("/authorize?", "/as/alice?")).await;
        let callback = alice.open(&location(&chosen)).await;
        assert_eq!(
            alice.open(&location(&callback)).await.status,
            StatusCode::OK
        );
        assert_eq!(alice.open(page).await.text(), "wiki");
    }
    assert_eq!(alice.open(&one).await.text(), "wiki");
    // A sign-in that began later is a new one all the same, and ends what was before.
    let ticket = alice.cookies["wiki.localhost"].clone();
    let login = alice.cookies.remove("login.localhost").unwrap();
    alice.cookies.remove("wiki.localhost");
    let ask = alice.open_to_provider(&one).await;
    alice
        .cookies
        .get_mut("login.localhost")
        .unwrap()
        .extend(login);
    let chosen = alice.open(&ask.replace("/authorize?", "/as/alice?")).await;
    let callback = alice.open(&location(&chosen)).await;
    alice.open(&location(&callback)).await;
    assert_eq!(alice.open(&one).await.text(), "wiki");
    alice.cookies.insert("wiki.localhost".to_owned(), ticket);
    assert_eq!(alice.open(&one).await.status, StatusCode::UNAUTHORIZED);
}
