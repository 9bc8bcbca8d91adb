//! Signing in with identity providers of the world, in a browser: `oidc-provider` of Node, as one is that
//! people run, and `oidc-provider-mock` of Python, as developers have it.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{node, python, server_at};
use crate::harness::{Backend, Process, Running, Stand, at, body};

/// What the gateway proves itself with at `oidc-provider`.
pub(crate) const SECRET: &str = "said-to-nobody-else";

/// The success criteria of WCAG 2.2, levels A and AA, as axe-core names those that it can check.
const WCAG: [&str; 5] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/// The scripts of pages that go on by themselves, before anybody could look at them.
const SCRIPTS_THAT_GO_ON: &str = "**/.appproxy/assets/{keep,return}-*.js";

/// `oidc-provider`, before it runs: its port is taken.
pub(crate) struct Corp {
    listener: TcpListener,
    pub(crate) issuer: String,
}

impl Corp {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, issuer }
    }

    pub(crate) fn setting(&self) -> Value {
        json!({
            "name": "corp",
            "display_name": "Corp",
            "issuer": self.issuer,
            "client_id": "appproxy",
            "client_secrets": [{ "env": "CORP_SECRET" }],
        })
    }

    /// The same once more, where its process has ended.
    pub(crate) fn again(issuer: &str) -> Self {
        let address = issuer.trim_start_matches("http://");
        Self {
            listener: TcpListener::bind(address).unwrap(),
            issuer: issuer.to_owned(),
        }
    }

    /// Starts it for this gateway, which is told to nobody else.
    pub(crate) async fn start(self, stand: &Running) -> Process {
        self.start_for(stand, &login(stand, "")).await
    }

    /// The same, with a client whose people sign in at this origin.
    pub(crate) async fn start_for(self, stand: &Running, origin: &str) -> Process {
        let mut command = Command::new("node");
        command.arg(node("oidc.mjs"));
        command.args(["--issuer", &self.issuer, "--secret", SECRET]);
        command.args(["--sign-in", origin]);
        command.env("NODE_EXTRA_CA_CERTS", stand.folder().join("ca.pem"));
        command.stdin(Stdio::from(OwnedFd::from(self.listener)));
        command.stdout(Stdio::null());
        let process = Process::start("oidc-provider", &mut command);
        process.line("it listens", |line| line == "listening").await;
        process
    }
}

/// A page of the sign-in host.
fn login(stand: &Running, path: &str) -> String {
    format!("https://login.localhost:{}{path}", stand.address().port())
}

/// Two applications, both the demo's.
async fn demos() -> [Backend; 2] {
    let ((one, _), (other, _)) = tokio::join!(Backend::demo_as("chat"), Backend::demo_as("wiki"));
    [one, other]
}

/// Publishes them as `chat` and `wiki` for the group staff of the provider `corp`.
fn stand([chat, wiki]: &[Backend; 2], providers: Value) -> Stand {
    let of_staff = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": [{ "group": "staff", "provider": "corp" }] },
        "link_translation": { "body": ["html"] },
    });
    let sign_in = json!({ "url": "https://login.localhost:{https}/" });
    Stand::new()
        .application_with("chat", chat, of_staff.clone())
        .application_with("wiki", wiki, of_staff)
        .gateway_setting("sign_in", sign_in)
        .gateway_setting("identity_providers", providers)
        .environment("CORP_SECRET", SECRET)
}

/// What a browser saw. Steps with a name (`as`) are found by it.
pub(crate) struct Visit {
    steps: Value,
    seen: Value,
}

impl Visit {
    /// Takes all these steps. Beside pages whose status is an error by their nature, and what is held
    /// back, nothing makes the browser complain, of a policy that is violated least of all.
    pub(crate) async fn of(stand: &Running, parts: &[Value]) -> Self {
        let steps = parts.iter().flat_map(|part| part.as_array().unwrap());
        let steps: Value = steps.cloned().collect();
        let seen = stand.browse(&[], &steps).await;
        let (wanted, done) = (steps.as_array().unwrap(), seen["steps"].as_array().unwrap());
        let last = done.last().unwrap();
        assert_eq!(
            last["error"],
            Value::Null,
            "{} {seen:#}",
            wanted[done.len() - 1]
        );
        assert_eq!(wanted.len(), done.len(), "{seen:#}");
        for line in seen["console"].as_array().unwrap() {
            let line = line.as_str().unwrap();
            let is_status = line.contains("the server responded with a status of ");
            let is_held = line.ends_with("net::ERR_FAILED");
            assert!(is_status || is_held, "{line}");
        }
        Self { steps, seen }
    }

    pub(crate) fn at(&self, name: &str) -> &Value {
        at(&self.steps, &self.seen, name)
    }

    fn url(&self, name: &str) -> &str {
        self.at(name)["url"].as_str().unwrap()
    }
}

/// When the gateway wrote this line of its log, in milliseconds of Unix time.
fn written_at(line: &str) -> i128 {
    let line: Value = serde_json::from_str(line).unwrap();
    let at = OffsetDateTime::parse(line["timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
    at.unix_timestamp_nanos() / 1_000_000
}

#[tokio::test]
async fn a_person_signs_in_and_out_and_the_provider_signs_her_out() {
    let corp = Corp::new();
    let issuer = corp.issuer.clone();
    let demos = demos().await;
    let stand = stand(&demos, json!([corp.setting()])).start().await;
    let corp = corp.start(&stand).await;
    let chat = |path: &str| stand.url("chat", path);
    let wiki = |path: &str| stand.url("wiki", path);
    let in_and_out = json!([
        // Somebody asks who she is, and the page comes back with what stood behind the #.
        { "goto": chat("/request?x=1#part") },
        { "wait": "h1", "text": "Who are you?" },
        { "click": "[value=ann]" },
        { "wait": "pre", "text": "GET /request?x=1 HTTP/1.1" },
        { "where": true, "as": "chat" },
        // The next application asks her nothing.
        { "goto": wiki("/request#other") },
        { "wait": "pre", "text": "GET /request HTTP/1.1" },
        { "where": true, "as": "wiki" },
        // She signs out in another tab: here, and at the provider.
        { "goto": chat("/ws-page") },
        { "wait": "#log", "text": "← hello from the page" },
        { "tabs": { "second": login(&stand, "/") } },
        { "tab": "second" },
        { "wait": ".bar", "text": "Ann Example" },
        { "click": ".bar button" },
        { "wait": "h1", "text": "Do you want to sign out here too?" },
        { "click": "[value=yes]" },
        { "wait": "h1", "text": "You are signed out." },
        { "wait": "main", "text": "You are signed out of the sign-in service too." },
        { "where": true, "as": "signed out" },
        // Her WebSocket is gone, and every application asks again.
        { "tab": "first" },
        { "wait": "#state", "text": "closed (1008)" },
        { "fetch": "/request", "as": "after signing out" },
        { "goto": chat("/request") },
        { "wait": "h1", "text": "Who are you?" },
    ]);
    let by_the_provider = json!([
        { "goto": wiki("/ws-page") },
        { "wait": "h1", "text": "Who are you?" },
        { "click": "[value=ann]" },
        { "wait": "#log", "text": "← hello from the page" },
        // She signs out at the provider, which says so to the gateway.
        { "tab": "second" },
        { "goto": format!("{issuer}/session/end") },
        { "click": "[value=yes]" },
        { "wait": "h1", "text": "You have signed out here." },
        { "tab": "first" },
        { "closed": "/ws", "as": "cut" },
        { "wait": "#state", "text": "closed (1008)" },
        { "fetch": "/request", "as": "after the provider's word" },
        { "goto": login(&stand, "/") },
        { "wait": "h1", "text": "Who are you?" },
        { "goto": wiki("/request#again") },
        { "wait": "h1", "text": "Who are you?" },
        // Bob may sign in, and may not come in.
        { "click": "[value=bob]" },
        { "wait": "h1", "text": "You do not have access to this page." },
        { "read": "main", "as": "refused" },
        { "where": true, "as": "bob" },
        { "goto": login(&stand, "/") },
        { "wait": "main", "text": "There is no application you may open." },
        { "wait": ".bar", "text": "Bob Example" },
    ]);
    let visit = Visit::of(&stand, &[in_and_out, by_the_provider]).await;
    assert_eq!(visit.url("chat"), chat("/request?x=1#part"));
    assert_eq!(visit.url("wiki"), wiki("/request#other"));
    let signed_out = login(&stand, "/.appproxy/signed-out?state=signed-out");
    assert_eq!(visit.url("signed out"), signed_out);
    for after in ["after signing out", "after the provider's word"] {
        assert_eq!(visit.at(after)["status"], 401, "{after}");
    }
    let refused = visit.at("refused")["text"].as_str().unwrap();
    assert!(refused.contains("403 denied"), "{refused}");
    assert_eq!(visit.url("bob"), wiki("/request#again"));

    // The provider has sent two logout tokens: one for what she had signed out of here already.
    let said = corp.log();
    let of_logout = said.iter().filter(|line| line.starts_with("logout "));
    let of_logout: Vec<_> = of_logout.collect();
    assert_eq!(of_logout, ["logout taken", "logout taken"], "{said:?}");
    let words = stand.gateway().lines("signed out by the identity provider");
    assert_eq!(words.len(), 2, "{words:?}");
    let cut = i128::from(visit.at("cut")["at"].as_i64().unwrap());
    let after = cut - written_at(&words[1]);
    assert!(after < 1000, "{after} ms");
}

#[tokio::test]
async fn tabs_the_way_back_and_bookmarks_end_well() {
    let corp = Corp::new();
    let issuer = corp.issuer.clone();
    let demos = demos().await;
    let stand = stand(&demos, json!([corp.setting()])).start().await;
    let _corp = corp.start(&stand).await;
    let chat = |path: &str| stand.url("chat", path);
    let wiki = |path: &str| stand.url("wiki", path);
    let asked = format!("{issuer}/auth?");
    let welcome = "Welcome to the intranet";
    let tabs = json!([
        // Two tabs of one application, and one of another, all before she has signed in.
        { "tabs": {
            "one": chat("/request?one#1"),
            "two": chat("/request?two#2"),
            "three": wiki("/request?three#3"),
        } },
        { "tab": "three" },
        { "wait": "h1", "text": "Who are you?" },
        { "tab": "two" },
        { "wait": "h1", "text": "Who are you?" },
        { "tab": "one" },
        { "wait": "h1", "text": "Who are you?" },
        { "tab": "two" },
        { "click": "[value=ann]" },
        { "wait": "pre", "text": "GET /request?two HTTP/1.1" },
        { "where": true, "as": "two" },
        { "tab": "three" },
        { "click": "[value=ann]" },
        { "wait": "pre", "text": "GET /request?three HTTP/1.1" },
        { "where": true, "as": "three" },
        { "tab": "one" },
        { "click": "[value=ann]" },
        { "wait": "pre", "text": "GET /request?one HTTP/1.1" },
        { "where": true, "as": "one" },
        // None of them is worse off by what the others did.
        { "tab": "two" },
        { "fetch": "/request", "as": "two lives" },
        { "tab": "three" },
        { "goto": wiki("/request?three&later#3") },
        { "wait": "pre", "text": "GET /request?three&later HTTP/1.1" },
        { "tab": "one" },
    ]);
    let back_and_kept = json!([
        // Back is to the provider's page, which has no use for her any more; no page of ours is in between.
        { "back": true, "as": "back" },
        { "wait": "h1", "text": "This sign-in is over." },
        { "forward": true, "as": "forward" },
        { "wait": "pre", "text": "GET /request?one HTTP/1.1" },
        // Whatever page of the way she has kept, she comes to the application.
        { "again": "/.appproxy/callback?" },
        { "wait": "h1", "text": welcome },
        { "where": true, "as": "callback" },
        { "again": "/.appproxy/session?" },
        { "wait": "h1", "text": welcome },
        { "where": true, "as": "code" },
        { "again": "/.appproxy/sign-in?request=" },
        { "wait": "h1", "text": welcome },
        { "where": true, "as": "sign-in" },
        { "again": asked },
        { "wait": "h1", "text": welcome },
        { "where": true, "as": "provider" },
    ]);
    let signed_out = json!([
        // Signed out, she is told what a bookmark is good for, and how to go on.
        { "goto": chat("/.appproxy/sign-out") },
        { "click": "main button" },
        { "click": "[value=yes]" },
        { "wait": "h1", "text": "You are signed out." },
        { "again": "/.appproxy/callback?", "as": "late callback" },
        { "read": "main", "as": "callback explained" },
        { "again": "/.appproxy/session?", "as": "late code" },
        { "read": "main", "as": "code explained" },
        { "again": asked },
        { "wait": "h1", "text": "Who are you?" },
        { "click": "[value=ann]" },
        { "wait": "h1", "text": "This sign-in cannot be completed here." },
        { "click": "a.button" },
        { "wait": ".bar", "text": "Ann Example" },
        { "where": true, "as": "started again" },
        // Where nobody asks her anything, back is to where she was before.
        { "goto": login(&stand, "/") },
        { "goto": wiki("/request#silently") },
        { "wait": "pre", "text": "GET /request HTTP/1.1" },
        { "where": true, "as": "silently" },
        { "back": true, "as": "back from there" },
        { "wait": ".bar", "text": "Ann Example" },
    ]);
    let visit = Visit::of(&stand, &[tabs, back_and_kept, signed_out]).await;
    assert_eq!(visit.url("one"), chat("/request?one#1"));
    assert_eq!(visit.url("two"), chat("/request?two#2"));
    assert_eq!(visit.url("three"), wiki("/request?three#3"));
    assert_eq!(visit.at("two lives")["status"], 200);
    let back = visit.url("back");
    assert!(
        back.starts_with(&format!("{issuer}/interaction/")),
        "{back}"
    );
    assert_eq!(visit.url("forward"), chat("/request?one#1"));
    assert_eq!(visit.url("callback"), chat("/"));
    assert_eq!(visit.url("code"), chat("/"));
    // Of whichever tab came there last.
    for at in ["sign-in", "provider"] {
        let url = visit.url(at);
        assert!(url == chat("/") || url == wiki("/"), "{at}: {url}");
    }
    for (late, explained) in [
        ("late callback", "callback explained"),
        ("late code", "code explained"),
    ] {
        assert_eq!(visit.at(late)["status"], 403, "{late}");
        let text = visit.at(explained)["text"].as_str().unwrap();
        for words in ["do not use bookmarks", "no_cookie", "Start again"] {
            assert!(text.contains(words), "{text}");
        }
    }
    assert_eq!(visit.url("started again"), login(&stand, "/"));
    assert_eq!(visit.url("silently"), wiki("/request#silently"));
    assert_eq!(visit.url("back from there"), login(&stand, "/"));
}

/// She signs out in another tab while she fills in a form, and loses nothing of it.
#[tokio::test]
async fn a_form_that_comes_too_late_waits_in_the_browser_for_the_same_person() {
    let corp = Corp::new();
    let says = Backend::answering(|request: Request<Incoming>| async move {
        let said = request.into_body().collect().await.unwrap().to_bytes();
        let said = String::from_utf8(said.to_vec()).unwrap();
        let page = format!(
            "<!doctype html><title>A form</title><form method=post>\
             <label for=text>Say something</label><textarea id=text name=text></textarea>\
             <button>Send</button></form><pre id=said>{said}</pre>"
        );
        let mut response = Response::new(body(page));
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
        response
    })
    .await;
    let (other, _) = Backend::demo().await;
    let backends = [says, other];
    let stand = stand(&backends, json!([corp.setting()])).start().await;
    let _corp = corp.start(&stand).await;
    let form = stand.url("chat", "/form");
    let too_late = "Your session ended before this form arrived.";
    let visit = Visit::of(
        &stand,
        &[json!([
            { "goto": form },
            { "wait": "h1", "text": "Who are you?" },
            { "click": "[value=ann]" },
            { "wait": "label", "text": "Say something" },
            { "fill": "#text", "with": "grüße & <b>" },
            { "tabs": { "second": login(&stand, "/") } },
            { "tab": "second" },
            { "wait": ".bar", "text": "Ann Example" },
            { "click": ".bar button" },
            { "wait": "h1", "text": "Do you want to sign out here too?" },
            { "click": "[value=yes]" },
            { "wait": "h1", "text": "You are signed out." },
            { "tab": "first" },
            { "click": "form button" },
            { "wait": "h1", "text": too_late },
            { "axe": WCAG, "as": "kept" },
            { "read": "table", "as": "shown" },
            // Before she is back nothing goes on.
            { "reach": "main form button" },
            { "press": "Enter" },
            { "wait": "h1", "text": too_late },
            { "tab": "second" },
            { "goto": stand.url("chat", "/") },
            { "wait": "h1", "text": "Who are you?" },
            { "click": "[value=ann]" },
            { "wait": "label", "text": "Say something" },
            { "tab": "first" },
            { "reach": "main form button" },
            { "press": "Enter" },
            { "wait": "#said", "text": "text=gr%C3%BC%C3%9Fe+%26+%3Cb%3E" },
            { "where": true, "as": "said" },
        ])],
    )
    .await;
    assert_eq!(visit.at("kept")["light"], json!([]));
    assert_eq!(visit.at("kept")["dark"], json!([]));
    let shown = visit.at("shown")["text"].as_str().unwrap();
    assert!(shown.contains("grüße & <b>"), "{shown}");
    assert_eq!(visit.url("said"), form);
}

/// Every page of ours on the way in and out, without a mouse and with axe-core's eyes.
#[tokio::test]
async fn every_page_is_passed_by_keyboard_and_axe_finds_nothing_wrong() {
    let corp = Corp::new();
    let gone = Backend::refusing().await;
    let gone = json!({
        "name": "gone",
        "issuer": format!("http://{}", gone.address()),
        "client_id": "appproxy",
    });
    let (demos, (any, _)) = tokio::join!(demos(), Backend::demo_as("any"));
    let stand = stand(&demos, json!([corp.setting(), gone]))
        .application_with(
            "any",
            &any,
            json!({
                "external_url": "https://*.apps.localhost:{https}/",
                "pre_authentication": ["oidc"],
                "access": { "allow": ["anyone_signed_in"] },
                "link_translation": { "body": ["html"] },
            }),
        )
        .start()
        .await;
    let _corp = corp.start(&stand).await;
    let chat = |path: &str| stand.url("chat", path);
    let forged = login(&stand, "/.appproxy/callback?code=x&state=forged");
    let any = format!("https://one.apps.localhost:{}/", stand.address().port());
    let entering = json!([
        { "hold": SCRIPTS_THAT_GO_ON },
        { "goto": chat("/request#part") },
        { "wait": "h1", "text": "Signing in…" },
        { "axe": WCAG, "as": "keep" },
        { "reach": "a[data-go]" },
        { "press": "Enter" },
        { "wait": "h1", "text": "How do you want to sign in?" },
        { "axe": WCAG, "as": "chooser" },
        // A provider that is not there.
        { "reach": "li:nth-child(2) a" },
        { "press": "Enter" },
        { "wait": "h1", "text": "The sign-in service does not answer." },
        { "axe": WCAG, "as": "error" },
        { "back": true },
        { "wait": "h1", "text": "How do you want to sign in?" },
        { "reach": "li:nth-child(1) a" },
        { "press": "Enter" },
        { "wait": "h1", "text": "Who are you?" },
        { "reach": "[value=ann]", "foreign": true },
        { "press": "Enter" },
        { "wait": "h1", "text": "Opening the page…" },
        { "axe": WCAG, "as": "return" },
        { "reach": "a[data-go]" },
        { "press": "Enter" },
        { "wait": "pre", "text": "GET /request HTTP/1.1" },
    ]);
    let out_again = json!([
        // What she may open.
        { "goto": login(&stand, "/") },
        { "wait": ".bar", "text": "Ann Example" },
        { "axe": WCAG, "as": "launcher" },
        { "reach": ".tiles li:last-child a" },
        { "goto": login(&stand, "/") },
        { "reach": "#search" },
        { "press": "c" },
        { "press": "h" },
        { "wait": "[role=status]", "text": "Found: 1" },
        { "axe": WCAG, "as": "launcher, searched" },
        { "press": "Enter" },
        { "wait": "h1", "text": "Welcome to the intranet" },
        { "goto": chat("/.appproxy/sign-out") },
        { "wait": "h1", "text": "Sign out?" },
        { "axe": WCAG, "as": "sign out" },
        { "reach": "main button" },
        { "press": "Enter" },
        { "wait": "h1", "text": "Do you want to sign out here too?" },
        { "reach": "[value=yes]", "foreign": true },
        { "press": "Enter" },
        { "wait": "h1", "text": "You are signed out." },
        { "axe": WCAG, "as": "signed out" },
        { "reach": "a.button" },
        { "press": "Enter" },
    ]);
    let stopped = json!([
        // Bob, who may open nothing but what everybody may.
        { "wait": "h1", "text": "How do you want to sign in?" },
        { "reach": "li:nth-child(1) a" },
        { "press": "Enter" },
        { "wait": "h1", "text": "Who are you?" },
        { "reach": "[value=bob]", "foreign": true },
        { "press": "Enter" },
        { "wait": "main", "text": "There is no application you may open." },
        { "axe": WCAG, "as": "launcher, empty" },
        { "goto": chat("/request") },
        { "reach": "a[data-go]" },
        { "press": "Enter" },
        { "wait": "h1", "text": "Opening the page…" },
        { "reach": "a[data-go]" },
        { "press": "Enter" },
        { "wait": "h1", "text": "You do not have access to this page." },
        { "axe": WCAG, "as": "denied" },
        { "goto": any },
        { "reach": "a[data-go]" },
        { "press": "Enter" },
        { "wait": "h1", "text": "Sign in to this site?" },
        { "axe": WCAG, "as": "confirm" },
        { "reach": "[value=cancel]" },
        { "press": "Shift+Tab" },
        { "press": "Enter" },
        { "wait": "h1", "text": "Opening the page…" },
        { "reach": "a[data-go]" },
        { "press": "Enter" },
        { "wait": "h1", "text": "Welcome to the intranet" },
        { "goto": forged },
        { "wait": "h1", "text": "This sign-in has expired." },
        { "axe": WCAG, "as": "explained" },
        { "reach": "a.button" },
        { "press": "Enter" },
        { "wait": ".bar", "text": "Bob Example" },
    ]);
    let visit = Visit::of(&stand, &[entering, out_again, stopped]).await;
    let (mut pages, mut stops) = (0, 0);
    let steps = visit.steps.as_array().unwrap().iter();
    for (step, seen) in steps.zip(visit.seen["steps"].as_array().unwrap()) {
        if step.get("axe").is_some() {
            assert_eq!(seen["light"], json!([]), "{} by day", step["as"]);
            assert_eq!(seen["dark"], json!([]), "{} by night", step["as"]);
            // Of some sixty rules, those that find what they are for in a page so small.
            assert!(seen["rules"].as_u64().unwrap() >= 8, "{step} {seen}");
            pages += 1;
        }
        if step.get("reach").is_some() && step.get("foreign").is_none() {
            for stop in seen["passed"].as_array().unwrap() {
                assert!(stop["outline"].as_f64().unwrap() >= 2.0, "{step} {stop}");
                stops += 1;
            }
        }
    }
    assert_eq!(pages, 12);
    assert_eq!(stops, 21);
}

#[tokio::test]
async fn a_person_signs_in_and_out_at_oidc_provider_mock() {
    let ann = json!({
        "sub": "ann",
        "name": "Ann Example",
        "email": "ann@example.com",
        "email_verified": true,
        "groups": ["staff"],
    });
    let (_mock, port) = server_at("oidc-provider-mock", |port| {
        let mut command = Command::new(python("venv/bin/python"));
        command.args(["-m", "oidc_provider_mock", "--port", &port.to_string()]);
        command.args(["--user-claims", &ann.to_string()]);
        command
    })
    .await;
    let provider = json!({
        "name": "corp",
        "issuer": format!("http://127.0.0.1:{port}"),
        "client_id": "appproxy",
        // Any will do.
        "client_secrets": [{ "env": "CORP_SECRET" }],
    });
    let demos = demos().await;
    let stand = stand(&demos, json!([provider])).start().await;
    let page = stand.url("chat", "/request?x=1#part");
    let steps = json!([
        // Its pages would have their style from the internet.
        { "hold": "https://cdn.jsdelivr.net/**" },
        { "goto": page },
        { "wait": "h1", "text": "Authorize Client" },
        { "click": "[value=ann]" },
        { "wait": "pre", "text": "GET /request?x=1 HTTP/1.1" },
        { "where": true, "as": "chat" },
        { "goto": login(&stand, "/") },
        { "wait": ".bar", "text": "Ann Example" },
        { "click": ".bar button" },
        { "wait": "h1", "text": "End Session" },
        { "click": "main button" },
        { "wait": "h1", "text": "You are signed out." },
        { "goto": page },
        { "wait": "h1", "text": "Authorize Client" },
    ]);
    let visit = Visit::of(&stand, &[steps]).await;
    assert_eq!(visit.url("chat"), page);
}
