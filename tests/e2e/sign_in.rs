//! Signing in with a provider that speaks OpenID Connect: in, through, and out again.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use appproxy::clock::Clock;
use appproxy::demo::provider::{self, IdentityProvider};

use crate::harness::{Answer, Backend, Client, Running, Stand, until};
use crate::reload::{applications, close_of, edit, gateway, reload};

/// The demo's identity provider.
pub(crate) async fn provider() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let provider = IdentityProvider::new(&authority, Clock::system()).unwrap();
    let issuer = provider.issuer().to_owned();
    tokio::spawn(provider::serve(listener, provider));
    issuer
}

pub(crate) fn with_sign_in(stand: Stand, issuer: &str) -> Stand {
    stand
        .gateway_setting(
            "sign_in",
            json!({ "url": "https://login.localhost:{https}/" }),
        )
        .gateway_setting(
            "identity_providers",
            json!([{ "name": "demo", "issuer": issuer, "client_id": provider::CLIENT_ID }]),
        )
}

pub(crate) fn of_staff() -> Value {
    json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": [{ "group": "staff" }] },
    })
}

/// As much of a browser as signing in needs: cookies by host, and redirects that are followed.
pub(crate) struct Browser {
    client: Client,
    pub(crate) cookies: BTreeMap<String, BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) fn new(stand: &Running) -> Self {
        Self {
            client: stand.client().clone(),
            cookies: BTreeMap::new(),
        }
    }

    /// Has TLS of this client's from now on.
    pub(crate) fn shows(&mut self, client: &Client) {
        self.client = client.clone();
    }

    pub(crate) fn cookie(&self, host: &str) -> String {
        let own = self.cookies.get(host).into_iter().flatten();
        let own: Vec<_> = own.map(|(name, value)| format!("{name}={value}")).collect();
        own.join("; ")
    }

    pub(crate) async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Answer {
        let host = request.uri().host().unwrap().to_owned();
        let cookie = self.cookie(&host);
        if !cookie.is_empty() {
            request
                .headers_mut()
                .insert("cookie", cookie.parse().unwrap());
        }
        let answer = if request.uri().scheme_str() == Some("http") {
            plain(request).await
        } else {
            Answer::read(self.client.send(request).await).await
        };
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            let pair = set.split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let jar = self.cookies.entry(host.clone()).or_default();
            if set.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                assert!(set.contains("; Secure; HttpOnly; SameSite=Lax"), "{set}");
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// A page, as somebody opens it.
    pub(crate) async fn open(&mut self, url: &str) -> Answer {
        let request = Request::get(url)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("accept-language", "en")
            .body(Full::default())
            .unwrap();
        self.send(request).await
    }

    /// Opens a page and goes on until somebody is asked who they are; returns that URL.
    pub(crate) async fn open_to_provider(&mut self, url: &str) -> String {
        let answer = self.open(url).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
        let to = self.open(&link(&answer)).await;
        location(&to)
    }

    /// Opens a page and signs in as somebody; returns the last page of ours, which leads back.
    pub(crate) async fn sign_in(&mut self, url: &str, name: &str) -> Answer {
        let ask = self.open_to_provider(url).await;
        let chosen = self
            .open(&ask.replace("/authorize?", &format!("/as/{name}?")))
            .await;
        let callback = self.open(&location(&chosen)).await;
        self.open(&location(&callback)).await
    }
}

/// To the identity provider, which speaks plain HTTP on this machine.
pub(crate) async fn plain(mut request: Request<Full<Bytes>>) -> Answer {
    let authority = request.uri().authority().unwrap().to_string();
    let stream = tokio::net::TcpStream::connect(&authority).await.unwrap();
    let stream = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let target = request.uri().path_and_query().unwrap().to_string();
    *request.uri_mut() = target.parse().unwrap();
    request
        .headers_mut()
        .insert("host", authority.parse().unwrap());
    Answer::read(sender.send_request(request).await.unwrap()).await
}

pub(crate) fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    answer.header("location").to_owned()
}

/// Where the page leads that has one way on.
pub(crate) fn link(answer: &Answer) -> String {
    let text = answer.text();
    let (_, main) = text.split_once("<main").unwrap_or_else(|| panic!("{text}"));
    let (_, rest) = main
        .split_once(" href=\"")
        .unwrap_or_else(|| panic!("{text}"));
    rest.split('"').next().unwrap().replace("&amp;", "&")
}

#[tokio::test]
async fn somebody_signs_in_reads_and_signs_out() {
    let issuer = provider().await;
    let (wiki, blog) = (Backend::echo().await, Backend::text("blog").await);
    let stand = with_sign_in(
        Stand::new()
            .application_with("wiki", &wiki, of_staff())
            .application_with("blog", &blog, of_staff())
            .application("open", &blog),
        &issuer,
    )
    .start()
    .await;
    let mut browser = Browser::new(&stand);
    let page = stand.url("wiki", "/page?x=1&y=%2F");

    // Nothing reaches the application before, and what is no page is told so.
    let data = Request::get(&page)
        .header("sec-fetch-mode", "cors")
        .body(Full::default())
        .unwrap();
    let answer = browser.send(data).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json()["error"]["code"], "sign_in_required");
    assert_eq!(
        answer.json()["error"]["sign_in_url"],
        stand.url("wiki", "/")
    );
    assert!(browser.cookies.values().all(BTreeMap::is_empty));
    let framed = Request::get(&page)
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "iframe")
        .body(Full::default())
        .unwrap();
    assert_eq!(link(&browser.send(framed).await), page);

    let back = browser.sign_in(&page, "alice").await;
    assert_eq!(back.status, StatusCode::OK);
    assert_eq!(link(&back), "/page?x=1&y=%2F");
    assert_eq!(back.header("cache-control"), "no-store");
    let answer = browser.open(&page).await;
    assert_eq!(answer.status, StatusCode::OK);
    let arrived = answer.json();
    assert_eq!(arrived["target"], "/page?x=1&y=%2F");
    let line = stand.access_line(answer.header("x-request-id")).await;
    assert_eq!(line["person"], "alice");
    // Our cookies are for us alone, and so is the sign-in's, which is gone.
    assert_eq!(arrived["headers"]["cookie"], Value::Null);
    let names: Vec<_> = browser.cookies["wiki.localhost"].keys().collect();
    assert_eq!(names, ["__Host-appproxy"]);

    // The next application asks nobody anything.
    let blog = stand.url("blog", "/");
    let answer = browser.open(&blog).await;
    let code = browser.open(&link(&answer)).await;
    let back = browser.open(&location(&code)).await;
    assert_eq!(link(&back), "/");
    assert_eq!(browser.open(&blog).await.text(), "blog");

    // The launcher has what alice may open.
    let login = format!("https://login.localhost:{}/", stand.address().port());
    let launcher = browser.open(&login).await;
    let policy = launcher.header("cross-origin-opener-policy");
    assert_eq!(policy, "same-origin");
    let launcher = launcher.text();
    assert!(launcher.contains("Alice Example"), "{launcher}");
    assert!(launcher.contains(&stand.url("wiki", "/")), "{launcher}");
    assert!(launcher.contains(&stand.url("blog", "/")), "{launcher}");
    let (_, token) = launcher.split_once("name=\"token\" value=\"").unwrap();
    let token = token.split('"').next().unwrap().to_owned();

    // Signing out is a form of ours, and ends every session there is.
    let forged = Request::post(format!("{login}.appproxy/sign-out"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from("token=forged"))
        .unwrap();
    assert_eq!(browser.send(forged).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.open(&page).await.status, StatusCode::OK);
    let ticket = browser.cookies["wiki.localhost"].clone();
    let form = Request::post(format!("{login}.appproxy/sign-out"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(format!("token={token}")))
        .unwrap();
    let answer = browser.send(form).await;
    assert!(location(&answer).starts_with(&format!("{issuer}/end_session?")));
    let done = browser.open(&location(&answer)).await;
    let done = browser.open(&location(&done)).await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(browser.cookies["login.localhost"].is_empty());
    browser.cookies.insert("wiki.localhost".to_owned(), ticket);
    assert_eq!(browser.open(&page).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.open(&blog).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rules_keep_people_out_and_a_reload_cuts_what_lives() {
    let issuer = provider().await;
    let (chat, _) = Backend::demo().await;
    let stand = with_sign_in(
        Stand::new().application_with("chat", &chat, of_staff()),
        &issuer,
    )
    .gateway_setting("log", json!({ "person": "hash" }))
    .start()
    .await;
    let page = stand.url("chat", "/request");

    // Known, and not let in.
    let mut bob = Browser::new(&stand);
    bob.sign_in(&page, "bob").await;
    let answer = bob.open(&page).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.header("appproxy-answer"), "gateway;error=denied");
    assert_eq!(answer.text().matches("staff").count(), 0);

    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    let answer = alice.open(&page).await;
    assert_eq!(answer.status, StatusCode::OK);
    let line = stand.access_line(answer.header("x-request-id")).await;
    let person = line["person"].as_str().unwrap();
    assert!(person.len() == 16 && person != "alice", "{line}");
    // A page of another origin has alice's browser do nothing.
    for (method, expected) in [
        (Method::GET, StatusCode::OK),
        (Method::POST, StatusCode::FORBIDDEN),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(&page)
            .header("origin", "https://evil.example")
            .header("sec-fetch-site", "cross-site")
            .body(Full::default())
            .unwrap();
        assert_eq!(alice.send(request).await.status, expected);
    }

    // A WebSocket has the same session, and goes with it.
    let cookie = alice.cookie("chat.localhost");
    let own = stand.url("chat", "");
    let mut request = "wss://chat.localhost/ws".into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("cookie", cookie.parse().unwrap());
    headers.insert("origin", own.parse().unwrap());
    let (mut socket, _) = stand.client().websocket(request).await;
    edit(&stand.gateway_file(), |config| {
        applications(config)[0]["access"]["deny"] = json!([{ "user": "alice" }]);
    });
    reload(&stand).await;
    let close = close_of(&mut socket).await;
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "no longer allowed")
    );
    assert_eq!(alice.open(&page).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_code_and_a_callback_serve_the_browser_that_began_and_once() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = with_sign_in(
        Stand::new().application_with("wiki", &wiki, of_staff()),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("wiki", "/");
    let (mut alice, mut mallory) = (Browser::new(&stand), Browser::new(&stand));

    // Mallory's sign-in in alice's browser: nobody is signed in, and nothing begins by itself.
    let ask = mallory.open_to_provider(&page).await;
    let chosen = mallory
        .open(&ask.replace("/authorize?", "/as/alice?"))
        .await;
    let callback = location(&chosen);
    let answer = alice.open(&callback).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text().contains("no_cookie"), "{}", answer.text());
    assert!(alice.cookies.values().all(BTreeMap::is_empty));

    // Nor does mallory's code.
    let code = location(&mallory.open(&callback).await);
    let answer = alice.open(&code).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(alice.cookies.values().all(BTreeMap::is_empty));
    // It was burnt there: it serves not even mallory.
    let answer = mallory.open(&code).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(mallory.open(&page).await.status, StatusCode::UNAUTHORIZED);

    // A callback that comes twice ends well for the one who is signed in.
    let ask = alice.open_to_provider(&page).await;
    let chosen = alice.open(&ask.replace("/authorize?", "/as/alice?")).await;
    let callback = location(&chosen);
    let first = location(&alice.open(&callback).await);
    let second = location(&alice.open(&callback).await);
    assert_ne!(first, second);
    assert_eq!(alice.open(&second).await.status, StatusCode::OK);
    assert_eq!(alice.open(&page).await.text(), "wiki");
    // The first code comes late, with a session there already.
    assert_eq!(location(&alice.open(&first).await), "/");

    // What was altered, is of another purpose, or has a parameter twice is refused.
    let login = format!("https://login.localhost:{}", stand.address().port());
    for path in [
        "/.appproxy/callback",
        "/.appproxy/callback?code=x&state=forged",
        "/.appproxy/sign-in?request=forged",
    ] {
        let answer = mallory.open(&format!("{login}{path}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    let twice = callback.replace("state=", "state=a&state=");
    assert_eq!(mallory.open(&twice).await.status, StatusCode::BAD_REQUEST);
    let answer = mallory.open(&format!("{login}/anything")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = mallory.open(&format!("{login}//evil.example/")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sessions_outlive_the_gateway_and_end_when_an_operator_says_so() {
    let issuer = provider().await;
    let (chat, _) = Backend::demo().await;
    let mut stand = with_sign_in(
        Stand::new().application_with("chat", &chat, of_staff()),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("chat", "/request");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    stand.restart_gateway().await;
    until("both tunnels", || stand.standing() == 2).await;
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);

    let list = gateway(&stand, &["session", "list", "--json"]).await;
    let list: Vec<Value> = serde_json::from_str(&list.success()).unwrap();
    let own = |one: &&Value| one["parent"] == Value::Null;
    let person = list.iter().find(own).unwrap();
    assert_eq!(person["shown"]["name"], "Alice Example");
    assert_eq!(person["shown"]["person"]["subject"], "alice");
    // Her own, and that at the application.
    assert_eq!(list.len(), 2, "{list:?}");
    let table = gateway(&stand, &["session", "list"]).await.success();
    assert_eq!(table.matches("alice").count(), 1, "{table}");

    let mut request = "wss://chat.localhost/ws".into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("cookie", alice.cookie("chat.localhost").parse().unwrap());
    headers.insert("origin", stand.url("chat", "").parse().unwrap());
    let (mut socket, _) = stand.client().websocket(request).await;
    let told = gateway(&stand, &["session", "revoke", "--user", "alice"]).await;
    told.success();
    let close = close_of(&mut socket).await;
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "signed out")
    );
    assert_eq!(alice.open(&page).await.status, StatusCode::UNAUTHORIZED);
    let told = gateway(&stand, &["session", "revoke", "--user", "alice"]).await;
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let id = person["id"].as_str().unwrap();
    let told = gateway(&stand, &["session", "revoke", id]).await;
    assert_eq!(told.status.code(), Some(1), "{told:?}");
}

/// The provider is gone: who is signed in stays so, and who is not is told, with 503 and no loop.
#[tokio::test]
async fn without_its_provider_a_gateway_serves_who_is_signed_in() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let demo = IdentityProvider::new(&authority, Clock::system()).unwrap();
    let issuer = demo.issuer().to_owned();
    let task = tokio::spawn(provider::serve(listener, demo));
    let wiki = Backend::text("wiki").await;
    let stand = with_sign_in(
        Stand::new().application_with("wiki", &wiki, of_staff()),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("wiki", "/");
    let (mut alice, mut bob) = (Browser::new(&stand), Browser::new(&stand));
    alice.sign_in(&page, "alice").await;
    // Bob is at the provider when it goes away.
    let ask = bob.open_to_provider(&page).await;
    let chosen = bob.open(&ask.replace("/authorize?", "/as/bob?")).await;
    task.abort();
    let _ = task.await;
    assert_eq!(alice.open(&page).await.text(), "wiki");
    let answer = bob.open(&location(&chosen)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.header("appproxy-answer"),
        "gateway;error=provider_unavailable"
    );
    assert_eq!(bob.open(&page).await.status, StatusCode::UNAUTHORIZED);
}
