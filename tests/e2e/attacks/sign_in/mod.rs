//! Attacks on sign-in, each by its row in the table of what befell others (C1 to C9).
//!
//! | row | |
//! |---|---|
//! | C1, open redirects | `redirects` |
//! | C2, C3, C7, C8 | here |
//! | C4, cookies | `cookies` |
//! | C5, C6, and C7 between hosts | `codes` |
//! | C6, every token | one of each kind in `codes`; the whole list is `each_fault_is_refused_with_its_own_finding_and_none_hangs` of `auth::provider` |
//! | C9, guessing names and passwords | nothing to guess: no password is ever asked for here, and what a ticket or a code is made of is random |

mod codes;
mod cookies;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::harness::{Answer, Backend, Running, Stand};
use crate::reload::gateway;
use crate::sign_in::{Browser, link, location, of_staff, provider, with_sign_in};

const TICKET: &str = "__Host-appproxy";
const ATTRIBUTES: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";

/// The sign-in host, without a slash.
fn login(stand: &Running) -> String {
    format!("https://login.localhost:{}", stand.address().port())
}

async fn stand_with(wiki: &Backend, issuer: &str) -> Running {
    let stand = Stand::new()
        .application_with("wiki", wiki, of_staff())
        .application_with("blog", wiki, of_staff());
    with_sign_in(stand, issuer).start().await
}

/// A form, as a page of any site can have it sent.
fn form(url: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(fields);
    Request::post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
        .body(Full::from(text.finish()))
        .unwrap()
}

/// The value of a hidden field.
fn hidden(answer: &Answer, name: &str) -> String {
    let text = answer.text();
    let before = format!("name=\"{name}\" value=\"");
    let (_, rest) = text.split_once(&before).unwrap_or_else(|| panic!("{text}"));
    rest.split('"').next().unwrap().to_owned()
}

fn set_cookies(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.get_all("set-cookie").iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

/// The ticket that a browser has for a host.
fn ticket(browser: &Browser, host: &str) -> String {
    browser.cookies[host][TICKET].clone()
}

/// A browser that has this and nothing else.
fn with_cookie(stand: &Running, host: &str, name: &str, value: &str) -> Browser {
    let mut browser = Browser::new(stand);
    let jar = browser.cookies.entry(host.to_owned()).or_default();
    jar.insert(name.to_owned(), value.to_owned());
    browser
}

/// Whether somebody is signed in at the sign-in host.
async fn is_in(browser: &mut Browser, stand: &Running) -> bool {
    let answer = browser.open(&format!("{}/", login(stand))).await;
    match answer.status {
        StatusCode::OK => true,
        _ => {
            assert_eq!(location(&answer), "/.appproxy/sign-in");
            false
        }
    }
}

/// A sign-in stopped, with a page that says so and no way on by itself.
fn stopped(answer: &Answer, finding: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
    assert_eq!(answer.header("location"), "");
    let says = format!("<code>{finding}</code>");
    assert!(
        answer.text().contains(&says),
        "{finding}: {}",
        answer.text()
    );
}

/// At the provider as somebody; returns the way back.
async fn chosen(browser: &mut Browser, ask: &str, name: &str) -> String {
    let as_name = ask.replace("/authorize?", &format!("/as/{name}?"));
    location(&browser.open(&as_name).await)
}

#[tokio::test]
async fn c2_a_sign_out_clears_the_cookie_and_the_old_ticket_is_refused() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let mut stand = stand_with(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    let sign_out = format!("{}/.appproxy/sign-out", login(&stand));
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    assert_eq!(alice.open(&page).await.text(), "wiki");
    let before = alice.cookies.clone();
    let token = hidden(&alice.open(&sign_out).await, "token");
    let answer = alice.send(form(&sign_out, &[("token", &token)])).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    // The very answer that says so takes the cookie back.
    let cleared = format!("{TICKET}={ATTRIBUTES}; Max-Age=0");
    assert_eq!(set_cookies(&answer), [cleared]);
    assert!(alice.cookies["login.localhost"].is_empty());

    // Whoever copied the tickets has nothing, also where only the store can know.
    for restarts in [true, false] {
        let mut thief = Browser::new(&stand);
        thief.cookies = before.clone();
        let answer = thief.open(&page).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(!is_in(&mut thief, &stand).await);
        // Nor does the form work again that was signed out with.
        let answer = thief.send(form(&sign_out, &[("token", &token)])).await;
        assert_eq!(location(&answer), "/.appproxy/signed-out");
        if restarts {
            stand.restart_gateway().await;
        }
    }
    let list = gateway(&stand, &["session", "list", "--json"]).await;
    let list: Vec<Value> = serde_json::from_str(&list.success()).unwrap();
    assert_eq!(list.len(), 2, "{list:?}");
    let own: Vec<_> = list.iter().filter(|one| one["parent"].is_null()).collect();
    assert!(own.len() == 1 && !own[0]["revoked"].is_null(), "{list:?}");
}

#[tokio::test]
async fn c3_a_session_is_new_at_each_sign_in_and_the_one_before_ends() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = stand_with(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    // Two tabs, both at the provider.
    let first = alice.open_to_provider(&page).await;
    let second = alice.open_to_provider(&page).await;
    let first = chosen(&mut alice, &first, "alice").await;
    let second = chosen(&mut alice, &second, "alice").await;
    let answer = alice.open(&first).await;
    let cookies = set_cookies(&answer);
    let given: Vec<_> = cookies
        .iter()
        .filter(|c| !c.contains("Max-Age=0"))
        .collect();
    let before = ticket(&alice, "login.localhost");
    assert_eq!(given, [&format!("{TICKET}={before}{ATTRIBUTES}")]);
    let first_code = location(&answer);
    let second_code = location(&alice.open(&second).await);
    let after = ticket(&alice, "login.localhost");
    assert_ne!(before, after);
    let mut old = with_cookie(&stand, "login.localhost", TICKET, &before);
    assert!(!is_in(&mut old, &stand).await);
    assert!(is_in(&mut alice, &stand).await);
    // What hung under the first one went with it.
    stopped(&alice.open(&first_code).await, "code");
    assert_eq!(alice.open(&second_code).await.status, StatusCode::OK);

    // The same at the application: a ticket that the browser has already is not gone on with.
    let before = ticket(&alice, "wiki.localhost");
    alice
        .cookies
        .get_mut("wiki.localhost")
        .unwrap()
        .remove(TICKET);
    let answer = alice.open(&page).await;
    let code = location(&alice.open(&link(&answer)).await);
    let jar = alice.cookies.get_mut("wiki.localhost").unwrap();
    jar.insert(TICKET.to_owned(), before.clone());
    assert_eq!(alice.open(&code).await.status, StatusCode::OK);
    assert_ne!(ticket(&alice, "wiki.localhost"), before);
    let mut old = with_cookie(&stand, "wiki.localhost", TICKET, &before);
    assert_eq!(old.open(&page).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(alice.open(&page).await.text(), "wiki");
}

/// What a page of a sibling domain can set: anything but `__Host-` in this very spelling.
#[tokio::test]
async fn c3_what_a_sibling_domain_plants_signs_nobody_in() {
    let issuer = provider().await;
    let wiki = Backend::echo().await;
    let stand = stand_with(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    let (mut alice, mut mallory) = (Browser::new(&stand), Browser::new(&stand));
    alice.sign_in(&page, "alice").await;
    mallory.sign_in(&page, "alice").await;
    let planted = [
        "appproxy",
        "appproxy-session",
        "appproxy-signin",
        "__Secure-appproxy",
        "__Secure-appproxy-session",
        "__host-appproxy",
        "__HOST-APPPROXY",
        "__Host-Appproxy",
        "__Host-appproxy-session",
        "__Host-appproxy-",
        "Host-appproxy",
    ];
    for name in planted {
        for (host, url) in [
            ("wiki.localhost", page.clone()),
            ("login.localhost", format!("{}/", login(&stand))),
        ] {
            let theirs = ticket(&mallory, host);
            let answer = with_cookie(&stand, host, name, &theirs).open(&url).await;
            let expected = match host {
                "wiki.localhost" => StatusCode::UNAUTHORIZED,
                _ => StatusCode::SEE_OTHER,
            };
            assert_eq!(answer.status, expected, "{name} at {host}");
        }
        // Beside a session of one's own it changes nothing, and the application gets neither.
        let jar = alice.cookies.get_mut("wiki.localhost").unwrap();
        jar.insert(name.to_owned(), ticket(&mallory, "wiki.localhost"));
        let answer = alice.open(&page).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        let sent = answer.json()["headers"]["cookie"].to_string();
        let theirs = ticket(&mallory, "wiki.localhost");
        let is_foreign = matches!(name, "appproxy" | "Host-appproxy");
        assert_eq!(sent.contains(&theirs), is_foreign, "{name}: {sent}");
        alice
            .cookies
            .get_mut("wiki.localhost")
            .unwrap()
            .remove(name);
    }

    // Mallory's sign-in, with the cookie that ties it to mallory's browser under names that can be
    // planted.
    let ask = mallory_begins(&mut mallory, &stand).await;
    let mut names = mallory.cookies["login.localhost"].keys();
    let name = names.rfind(|name| name.contains("-signin-"));
    let name = name.unwrap().clone();
    let value = mallory.cookies["login.localhost"][&name].clone();
    let callback = chosen(&mut mallory, &ask, "alice").await;
    for planted in [
        name.replace("__Host-", ""),
        name.replace("__Host-", "__Secure-"),
        name.to_lowercase(),
        name.to_uppercase(),
        format!("{name} "),
    ] {
        let mut victim = with_cookie(&stand, "login.localhost", &planted, &value);
        stopped(&victim.open(&callback).await, "no_cookie");
        assert!(!is_in(&mut victim, &stand).await, "{planted}");
    }
    // Nothing of it has spent the sign-in of the one who began.
    assert_eq!(mallory.open(&callback).await.status, StatusCode::SEE_OTHER);
}

/// Begins a sign-in anew in a browser that was signed in.
async fn mallory_begins(mallory: &mut Browser, stand: &Running) -> String {
    mallory.cookies.clear();
    let begin = format!("{}/.appproxy/sign-in", login(stand));
    location(&mallory.open(&begin).await)
}

#[tokio::test]
async fn c7_no_page_elsewhere_signs_anybody_out_or_acts_for_them() {
    let issuer = provider().await;
    let wiki = Backend::echo().await;
    let stand = stand_with(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    let sign_out = format!("{}/.appproxy/sign-out", login(&stand));
    let (mut alice, mut bob) = (Browser::new(&stand), Browser::new(&stand));
    alice.sign_in(&page, "alice").await;
    bob.sign_in(&page, "bob").await;

    // An image, a link, a frame, and a look by HEAD: at either host nothing happens.
    for url in [&sign_out, &stand.url("wiki", "/.appproxy/sign-out")] {
        for (method, mode, dest) in [
            ("GET", "no-cors", "image"),
            ("GET", "navigate", "document"),
            ("GET", "navigate", "iframe"),
            ("HEAD", "no-cors", "empty"),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(url)
                .header("sec-fetch-mode", mode)
                .header("sec-fetch-dest", dest)
                .header("sec-fetch-site", "cross-site")
                .body(Full::default())
                .unwrap();
            let answer = alice.send(request).await;
            assert!(set_cookies(&answer).is_empty(), "{method} {url}");
            if *url == sign_out {
                assert_eq!(answer.status, StatusCode::OK);
                let policy = answer.header("content-security-policy");
                assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
            } else {
                assert_eq!(location(&answer), sign_out);
            }
        }
    }
    assert!(is_in(&mut alice, &stand).await);

    // Forms: without a token, with somebody else's, with one of another form, and with it twice.
    let own = hidden(&alice.open(&sign_out).await, "token");
    let theirs = hidden(&bob.open(&sign_out).await, "token");
    let refused: [&[(&str, &str)]; 5] = [
        &[],
        &[("token", "")],
        &[("token", "forged")],
        &[("token", &theirs)],
        &[("token", &own), ("token", &own)],
    ];
    for fields in refused {
        let answer = alice.send(form(&sign_out, fields)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fields:?}");
        assert_eq!(
            answer.header("appproxy-answer"),
            "gateway;error=cross_origin"
        );
        assert!(set_cookies(&answer).is_empty());
    }
    // What a page elsewhere can send, which is without cookies, ends nobody's session; nor does the
    // token alone.
    for token in ["x", &own] {
        let answer = Browser::new(&stand)
            .send(form(&sign_out, &[("token", token)]))
            .await;
        assert_eq!(location(&answer), "/.appproxy/signed-out");
    }
    // A form that is none: what scripts may send without asking.
    let mut text = form(&sign_out, &[("token", &own)]);
    text.headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(alice.send(text).await.status, StatusCode::BAD_REQUEST);
    assert!(is_in(&mut alice, &stand).await);
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);

    // To the application, with the session that a browser brings along.
    let own_origin = stand.url("wiki", "");
    let sibling = stand.url("blog", "");
    let sign_in_host = login(&stand);
    for (origin, site, expected) in [
        (Some("https://evil.example"), Some("cross-site"), 403),
        (Some("https://evil.example"), None, 403),
        (Some(&*sibling), Some("same-site"), 403),
        (Some(&*sign_in_host), Some("same-site"), 403),
        (Some("null"), Some("cross-site"), 403),
        (Some("null"), None, 403),
        (Some("https://wiki.localhost"), None, 403),
        (None, Some("cross-site"), 403),
        (None, Some("same-site"), 403),
        (None, None, 403),
        (Some(&*own_origin), Some("same-origin"), 200),
    ] {
        for method in ["POST", "PUT", "DELETE"] {
            let mut request = form(&page, &[("transfer", "all")]);
            *request.method_mut() = method.parse().unwrap();
            for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
                if let Some(value) = value {
                    request.headers_mut().insert(name, value.parse().unwrap());
                }
            }
            let answer = alice.send(request).await;
            let what = format!("{method} {origin:?} {site:?}: {}", answer.text());
            assert_eq!(answer.status.as_u16(), expected, "{what}");
            if expected == 403 {
                let says = answer.header("appproxy-answer");
                assert_eq!(says, "gateway;error=cross_origin", "{what}");
            }
        }
    }
    // Without a session a form is not passed on, nor kept for later.
    let answer = Browser::new(&stand).send(form(&page, &[("a", "b")])).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(set_cookies(&answer).is_empty());
}

#[tokio::test]
async fn c8_no_answer_of_a_sign_in_is_kept_by_anybody() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = stand_with(&wiki, &issuer).await;
    let login = login(&stand);
    let page = stand.url("wiki", "/account/style.css");
    let mut alice = Browser::new(&stand);
    let mut seen = Vec::new();

    let keep = alice.open(&page).await;
    let way = link(&keep);
    let to_provider = alice.open(&way).await;
    let callback = chosen(&mut alice, &location(&to_provider), "alice").await;
    let early = alice
        .open(&stand.url("blog", "/.appproxy/session?id=x&code=y"))
        .await;
    let code = alice.open(&callback).await;
    let back = alice.open(&location(&code)).await;
    let sign_out = format!("{login}/.appproxy/sign-out");
    let asked = alice.open(&sign_out).await;
    let token = hidden(&asked, "token");
    seen.extend([
        ("keep", 401, keep),
        ("to the provider", 303, to_provider),
        ("no code", 400, early),
        ("callback", 303, code),
        ("back", 200, back),
        ("sign-out?", 200, asked),
    ]);
    for (what, status, url) in [
        ("launcher", 200, format!("{login}/")),
        ("callback again", 303, callback.clone()),
        (
            "forged",
            403,
            format!("{login}/.appproxy/sign-in?request=x"),
        ),
        (
            "late",
            403,
            stand.url(
                "blog",
                &format!("/.appproxy/session?id={}&code=x", "0".repeat(20)),
            ),
        ),
        ("nothing", 404, format!("{login}/account/style.css")),
        (
            "nothing of ours",
            404,
            stand.url("wiki", "/.appproxy/x.css"),
        ),
        (
            "sign-out there",
            303,
            stand.url("wiki", "/.appproxy/sign-out"),
        ),
        ("robots", 200, format!("{login}/robots.txt")),
    ] {
        let answer = alice.open(&url).await;
        seen.push((what, status, answer));
    }
    let refused = alice.send(form(&sign_out, &[("token", "x")])).await;
    let confirm = form(&format!("{login}/.appproxy/confirm"), &[("request", "x")]);
    let confirm = alice.send(confirm).await;
    let done = alice.send(form(&sign_out, &[("token", &token)])).await;
    let signed_out = alice.open(&format!("{login}/.appproxy/signed-out")).await;
    let data = Request::get(&page).body(Full::default()).unwrap();
    let data = alice.send(data).await;
    let mut bob = Browser::new(&stand);
    bob.sign_in(&page, "bob").await;
    let denied = bob.open(&page).await;
    seen.extend([
        ("refused", 403, refused),
        ("confirm", 403, confirm),
        ("signing out", 303, done),
        ("signed out", 200, signed_out),
        ("data", 401, data),
        ("denied", 403, denied),
    ]);
    assert_eq!(seen.len(), 20);
    for (what, status, answer) in seen {
        assert_eq!(answer.status.as_u16(), status, "{what}");
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
        let ours = answer.header("appproxy-answer");
        assert!(ours.starts_with("gateway"), "{what}: {ours}");
        // What stands in an address of ours goes to no other site.
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
    }
}
