//! 4B: how applications were told that somebody else asks.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tokio::net::TcpStream;
use url::Url;

use super::sayer::Sayer;
use super::{BAD, all, both, cookie_of, fields, get, head, outcome, outcome_of, target};
use crate::harness::{Answer, Recorder, Stand, Talk, exchange, replies};
use crate::sign_in::{Browser, link, location, of_staff, provider, with_sign_in};

const CROSS_ORIGIN: (u16, &str) = (403, "cross_origin");

#[tokio::test]
async fn b04_connection_cannot_name_our_fields() {
    let issuer = provider().await;
    let inside = Recorder::start().await;
    let told = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": ["anyone_signed_in"] },
        "single_sign_on": {
            "headers": {
                "X-User": "{subject}",
                "X-Groups": "{groups|join(\",\")}",
                "Remote-User": "CORP\\{subject|upper}",
            },
            "assertion": {},
        },
    });
    let stand = Stand::new().application_with("wiki", &inside.backend, told);
    let stand = with_sign_in(stand, &issuer).start().await;
    let cookie = cookie_of(&stand, "alice").await;
    let port = stand.address().port().to_string();
    let host = format!("wiki.localhost:{port}");
    let internal = format!("wiki.corp.internal:{}", inside.backend.address().port());
    let expected = [
        ("x-user", "alice"),
        ("x-groups", "admins,staff"),
        ("remote-user", "CORP\\ALICE"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", host.as_str()),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", port.as_str()),
        ("host", internal.as_str()),
    ];
    let mut talk = Talk::with(stand.client(), "wiki.localhost");
    let mut seen = 0;
    for options in [
        "X-User",
        "close, X-User, X-Groups, Remote-User",
        "keep-alive, x-user",
        "X-User\r\nConnection: X-Groups",
        "x_user, x.user, x-groups",
        "Appproxy-Assertion",
        "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Forwarded-Port, Forwarded",
        "X-Request-Id, Traceparent",
        "Host",
        "Cookie, Authorization, Appproxy-Authorization",
        "Keep-Alive, TE, Trailer, X-User",
        "Appproxy-Target, Appproxy-Application, Appproxy-Profile, Appproxy-Request-Id",
    ] {
        let said = format!(
            "Cookie: {cookie}\r\nX-User: root\r\nX_User: root\r\nX-Groups: root\r\nRemote-User: root\r\n\
             Appproxy-Assertion: root\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil.example\r\n\
             X-Request-Id: root\r\nConnection: {options}\r\n"
        );
        let reply = talk.ask(&head("GET", b"/x", &host, &said)).await;
        assert_eq!(outcome_of(&reply), (200, ""), "{options}");
        let arrived = inside.taken();
        for (name, value) in expected {
            assert_eq!(all(&arrived, name), [value], "{options}: {name}");
        }
        for name in ["appproxy-assertion", "forwarded", "x-request-id"] {
            assert_eq!(all(&arrived, name).len(), 1, "{options}: {name}");
        }
        let is_forged = |value: &str| value == "root" || value.contains("evil.example");
        assert!(
            fields(&arrived).all(|(_, value)| !is_forged(value)),
            "{options}: {arrived}"
        );
        seen += 1;
    }
    assert_eq!(seen, 12);
    // Nor does it take away what is judged.
    for options in [
        "Origin",
        "Origin, Sec-Fetch-Site",
        "Cookie, Origin, Sec-Fetch-Site, Sec-Fetch-Mode",
    ] {
        let said = format!(
            "Cookie: {cookie}\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n\
             Connection: {options}\r\nContent-Length: 0\r\n"
        );
        let reply = talk.ask(&head("POST", b"/x", &host, &said)).await;
        assert_eq!(outcome_of(&reply), CROSS_ORIGIN, "{options}");
        assert_eq!(inside.taken(), "", "{options}");
    }
}

#[tokio::test]
async fn b05_of_two_fields_neither_counts() {
    let issuer = provider().await;
    let inside = Recorder::start().await;
    let told = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": ["anyone_signed_in"] },
        "single_sign_on": { "headers": { "X-User": "{subject}" } },
    });
    let by_token = json!({
        "pre_authentication": ["bearer"],
        "access": { "allow": ["anyone_signed_in"] },
    });
    let stand = Stand::new()
        .application_with("wiki", &inside.backend, told)
        .application_with("api", &inside.backend, by_token);
    let stand = with_sign_in(stand, &issuer).start().await;
    let cookie = cookie_of(&stand, "alice").await;
    let own = stand.url("wiki", "");
    let port = stand.address().port();
    let mut wiki = Talk::with(stand.client(), "wiki.localhost");
    let mut api = Talk::with(stand.client(), "api.localhost");
    let mut refused = 0;
    for said in [
        "Origin: OWN\r\nOrigin: https://evil.example\r\n",
        "Origin: https://evil.example\r\nOrigin: OWN\r\n",
        "Origin: OWN\r\nOrigin: OWN\r\n",
        "Origin: OWN, https://evil.example\r\n",
        "Origin: https://evil.example, OWN\r\n",
        "Origin: OWN https://evil.example\r\n",
        "Origin: OWN\r\nOrigin: null\r\nSec-Fetch-Site: same-origin\r\n",
        "Origin: https://evil.example\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: same-origin, cross-site\r\n",
        "Origin: null\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Site: none\r\n",
    ] {
        let said = said.replace("OWN", &own);
        let host = format!("wiki.localhost:{port}");
        let request = format!("Cookie: {cookie}\r\n{said}Content-Length: 0\r\n");
        let reply = wiki.ask(&head("POST", b"/x", &host, &request)).await;
        assert_eq!(outcome_of(&reply), CROSS_ORIGIN, "{said}");
        assert_eq!(inside.taken(), "", "{said}");
        refused += 1;
    }
    // Over HTTP/2 in either order.
    let evil = "https://evil.example";
    for origins in [[own.as_str(), evil], [evil, own.as_str()]] {
        let request = Request::post(stand.url("wiki", "/x"))
            .header("cookie", &cookie)
            .header("origin", origins[0])
            .header("origin", origins[1])
            .body(Full::<Bytes>::default())
            .unwrap();
        let answer = Answer::read(stand.client().http2().send(request).await).await;
        assert_eq!(outcome(&answer), CROSS_ORIGIN, "{origins:?}");
        assert_eq!(inside.taken(), "", "{origins:?}");
        refused += 1;
    }
    // Who it is, said twice: nobody guesses which one an application goes by.
    for said in [
        "Authorization: Bearer a.b.c\r\nAuthorization: Bearer a.b.c\r\n",
        "Authorization: Bearer a.b.c\r\nAuthorization: Basic Ym9iOng=\r\n",
        "Authorization: Basic Ym9iOng=\r\nAuthorization: Bearer a.b.c\r\n",
        "Authorization: Bearer a.b.c, Bearer d.e.f\r\n",
        "Authorization: Bearer a.b.c, Basic Ym9iOng=\r\n",
    ] {
        let host = format!("api.localhost:{port}");
        let reply = api.ask(&head("GET", b"/x", &host, said)).await;
        assert_eq!(outcome_of(&reply), BAD, "{said}");
        assert_eq!(inside.taken(), "", "{said}");
        refused += 1;
    }
    let ticket = cookie.as_str();
    for said in [
        format!("Cookie: {ticket}\r\nCookie: {ticket}\r\n"),
        format!("Cookie: {ticket}; {ticket}\r\n"),
        format!("Cookie: {ticket}\r\nCookie: __Host-appproxy=x\r\n"),
        format!("Cookie: {ticket}\r\nHost: wiki.localhost:{port}\r\n"),
        format!("Cookie: {ticket}\r\nHost: api.localhost:{port}\r\n"),
    ] {
        let host = format!("wiki.localhost:{port}");
        let reply = wiki.ask(&head("GET", b"/x", &host, &said)).await;
        assert_eq!(outcome_of(&reply), BAD, "{said}");
        assert_eq!(inside.taken(), "", "{said}");
        refused += 1;
    }
    assert_eq!(refused, 12 + 2 + 5 + 5);

    // One of each is what it was for, and what is the gateway's to say it says once.
    let host = format!("wiki.localhost:{port}");
    let said = format!(
        "Cookie: {cookie}\r\nOrigin: {own}\r\nContent-Length: 0\r\nX-User: root\r\nX-User: alice\r\n\
         x-user: alice, root\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 127.0.0.1, 6.6.6.6\r\n\
         X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: evil.example\r\n"
    );
    let reply = wiki.ask(&head("POST", b"/x", &host, &said)).await;
    assert_eq!(outcome_of(&reply), (200, ""));
    let arrived = inside.taken();
    assert!(arrived.starts_with("POST /x "), "{arrived}");
    for (name, value) in [
        ("x-user", "alice"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", host.as_str()),
    ] {
        assert_eq!(all(&arrived, name), [value]);
    }
}

/// Fields that name another host, scheme, port or path than was asked for.
const ELSEWHERE: [(&str, &str); 16] = [
    ("x-forwarded-host", "evil.example"),
    ("x_forwarded_host", "evil.example"),
    ("x-forwarded-server", "evil.example"),
    ("x-forwarded-proto", "javascript"),
    ("x-forwarded-scheme", "http"),
    ("x-forwarded-port", "666"),
    ("x-forwarded-prefix", "//evil.example"),
    ("x-forwarded-uri", "//evil.example/"),
    (
        "forwarded",
        "for=6.6.6.6;host=evil.example;proto=javascript",
    ),
    ("x-host", "evil.example"),
    ("x-original-host", "evil.example"),
    ("x-http-host-override", "evil.example"),
    ("x-original-url", "//evil.example/"),
    ("x-rewrite-url", "//evil.example/"),
    ("x-script-name", "//evil.example"),
    ("base-url", "https://evil.example/"),
];

/// As somebody opens a page whose request another one has written fields into.
fn led_astray(url: &str) -> Request<Full<Bytes>> {
    let mut request = get(url, &ELSEWHERE);
    for (name, value) in [
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("accept-language", "en"),
    ] {
        let value = http::HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    request
}

/// Nothing of an answer names what only fields of the request did.
fn is_clean(answer: &Answer, what: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    let values = answer.headers.values();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
    for said in values.chain([text]) {
        let said = said.to_ascii_lowercase();
        for part in ["evil.example", "javascript:", ":666", "6.6.6.6"] {
            assert!(!said.contains(part), "{what}: {part} in {said}");
        }
    }
}

#[tokio::test]
async fn b06_no_field_says_where_a_redirect_leads() {
    let issuer = provider().await;
    let inside = Recorder::start().await;
    let stand = Stand::new()
        .redirects()
        .application_with("wiki", &inside.backend, of_staff())
        .application_with(
            "deep",
            &inside.backend,
            json!({ "external_url": "https://deep.localhost:{https}/deep/" }),
        )
        .application_with("home", &inside.backend, json!({ "home_path": "/start" }));
    let stand = with_sign_in(stand, &issuer).start().await;
    let port = stand.address().port();
    let login = format!("https://login.localhost:{port}");
    let page = stand.url("wiki", "/page?x=1");
    let mut seen = 0;
    for client in both(&stand) {
        for (url, status, leads) in [
            (stand.url("deep", "/deep"), 308, "/deep/".to_owned()),
            (stand.url("home", "/"), 302, "/start".to_owned()),
            (
                stand.url("wiki", "/.appproxy/sign-out"),
                303,
                format!("{login}/.appproxy/sign-out"),
            ),
            (format!("{login}/"), 303, "/.appproxy/sign-in".to_owned()),
            (page.clone(), 401, String::new()),
            (format!("{login}/.appproxy/callback"), 403, String::new()),
            (stand.url("wiki", "/.appproxy/none"), 404, String::new()),
        ] {
            let answer = Answer::read(client.send(led_astray(&url)).await).await;
            assert_eq!(answer.status, status, "{url}");
            assert_eq!(answer.header("location"), leads, "{url}");
            is_clean(&answer, &url);
            seen += 1;
        }
        // Programs are told where somebody signs in.
        let answer = Answer::read(client.send(get(&page, &ELSEWHERE)).await).await;
        assert_eq!(outcome(&answer), (401, "sign_in_required"));
        let told = answer.json();
        assert_eq!(told["error"]["sign_in_url"], stand.url("wiki", "/"));
        is_clean(&answer, "for programs");
    }
    assert_eq!(seen, 14);
    // Over plain HTTP.
    let lines = ELSEWHERE.map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines = format!("{}Connection: close\r\n", lines.concat());
    for (host, path, leads) in [
        ("wiki.localhost", "/page?x", stand.url("wiki", "/page?x")),
        ("deep.localhost:80", "/deep/", stand.url("deep", "/deep/")),
        ("login.localhost", "/", format!("{login}/")),
    ] {
        let plain = TcpStream::connect(stand.plain_address()).await.unwrap();
        let answer = exchange(plain, &head("GET", path.as_bytes(), host, &lines)).await;
        let answers = replies(&answer);
        assert_eq!(answers.len(), 1, "{host}: {answers:?}");
        assert!(
            matches!(answers[0].status, 303 | 308),
            "{host}: {answers:?}"
        );
        assert_eq!(answers[0].field("location"), leads, "{host}");
    }
    assert_eq!(inside.taken(), "");

    // All the way through a sign-in.
    let mut alice = Browser::new(&stand);
    let challenge = alice.send(led_astray(&page)).await;
    is_clean(&challenge, "the way to sign in");
    let way = link(&challenge);
    assert!(
        way.starts_with(&format!("{login}/.appproxy/sign-in?request=")),
        "{way}"
    );
    let to_provider = alice.send(led_astray(&way)).await;
    is_clean(&to_provider, "the way to the provider");
    let ask = location(&to_provider);
    assert!(ask.starts_with(&format!("{issuer}/authorize?")), "{ask}");
    let parsed = Url::parse(&ask).unwrap();
    let back = parsed
        .query_pairs()
        .find(|(name, _)| name == "redirect_uri");
    assert_eq!(back.unwrap().1, format!("{login}/.appproxy/callback"));
    let chosen = alice.open(&ask.replace("/authorize?", "/as/alice?")).await;
    let callback = alice.send(led_astray(&location(&chosen))).await;
    is_clean(&callback, "the way back");
    let code = location(&callback);
    let session = stand.url("wiki", "/.appproxy/session?");
    assert!(code.starts_with(&session), "{code}");
    let returned = alice.send(led_astray(&code)).await;
    is_clean(&returned, "back");
    assert_eq!(link(&returned), "/page?x=1");
    assert_eq!(inside.taken(), "");
    assert_eq!(alice.send(led_astray(&page)).await.status, 200);
    let arrived = inside.taken();
    assert_eq!(target(&arrived), "/page?x=1");
    let host = format!("wiki.localhost:{port}");
    assert_eq!(all(&arrived, "x-forwarded-host"), [host.as_str()]);
    assert_eq!(all(&arrived, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&arrived, "x-forwarded-prefix"), [""; 0]);
}

/// Every claim of a person ends a line where a text may, in a way of its own.
const ENDS: [&str; 8] = [
    "\r\nX-Admin: 1",
    "\nX-Admin: 1",
    "\rX-Admin: 1",
    "\u{0}X-Admin: 1",
    "\r\n X-Admin: 1",
    "\r\n\r\nGET /admin HTTP/1.1\r\nX-Admin: 1",
    "\u{85}X-Admin: 1",
    "\u{b}X-Admin: 1",
];

#[tokio::test]
async fn b08_no_claim_and_no_value_begins_another_field() {
    let sayer = Sayer::start().await;
    let inside = Recorder::start().await;
    let told = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": ["anyone_signed_in"] },
        "single_sign_on": {
            "headers": {
                "X-Upn": "{upn}",
                "X-Title": "Dr {title}",
                "X-Roles": "{roles|join(\",\")}",
                "X-Name": "{name}",
                "X-Level": "{level}",
            },
            "assertion": { "claims": ["upn", "title"] },
        },
    });
    let stand = Stand::new().application_with("wiki", &inside.backend, told);
    let stand = with_sign_in(stand, &sayer.issuer).start().await;
    let page = stand.url("wiki", "/x");
    let mut seen = 0;
    for end in ENDS {
        let bad = format!("alice{end}");
        sayer.says(json!({
            "upn": bad,
            "title": bad,
            "roles": ["a", bad],
            "name": bad,
            "level": "7",
        }));
        let mut alice = Browser::new(&stand);
        alice.sign_in(&page, "alice").await;
        let answer = alice.open(&page).await;
        assert_eq!(outcome(&answer), (200, ""), "{end:?}: {}", answer.text());
        let arrived = inside.taken();
        assert_eq!(arrived.matches(" HTTP/1.1\r\n").count(), 1, "{arrived}");
        assert_eq!(arrived.matches("\r\n\r\n").count(), 1, "{arrived}");
        assert!(!arrived.contains(['\u{0}', '\u{b}', '\u{85}']), "{arrived}");
        assert!(
            !arrived.replace("\r\n", "").contains(['\r', '\n']),
            "{arrived}"
        );
        assert!(!arrived.contains("\n "), "{arrived}");
        assert_eq!(all(&arrived, "x-admin"), [""; 0], "{end:?}");
        for name in ["x-upn", "x-title", "x-roles"] {
            assert_eq!(all(&arrived, name), [""; 0], "{name} {end:?}");
        }
        assert_eq!(all(&arrived, "x-level"), ["7"], "{end:?}");
        assert_eq!(all(&arrived, "appproxy-assertion").len(), 1, "{end:?}");
        seen += 1;
    }
    assert_eq!(seen, 8);
    // What somebody is known by is never such: the sign-in stops.
    let mut stopped = 0;
    for end in ENDS {
        for claim in ["email", "sub", "groups"] {
            sayer.says(json!({ claim: format!("alice{end}") }));
            let mut alice = Browser::new(&stand);
            let ask = alice.open_to_provider(&page).await;
            let chosen = alice.open(&ask.replace("/authorize?", "/as/alice?")).await;
            let answer = alice.open(&location(&chosen)).await;
            assert_eq!(answer.status, 403, "{claim} {end:?}: {}", answer.text());
            assert_eq!(alice.open(&page).await.status, 401, "{claim} {end:?}");
            assert_eq!(inside.taken(), "", "{claim} {end:?}");
            stopped += 1;
        }
    }
    assert_eq!(stopped, 24);

    // Nor do values of a client's own, whoever sends them.
    sayer.says(json!({ "upn": "alice" }));
    let cookie = cookie_of(&stand, "alice").await;
    let host = format!("wiki.localhost:{}", stand.address().port());
    let mut talk = Talk::with(stand.client(), "wiki.localhost");
    let mut refused = 0;
    for said in [
        "X-Note: a\r\n X-Upn: root\r\n",
        "X-Note: a\r\n\tX-Upn: root\r\n",
        "X-Note:\r\n X-Upn: root\r\n",
        "X-Note: a\nX-Upn: root\r\n",
        "X-Note: a\rX-Upn: root\r\n",
        "X-Note: a\u{0}X-Upn: root\r\n",
        "X-Note: a\u{b}X-Upn: root\r\n",
        "X-Note: a\u{7f}\r\n",
        "X-Upn\u{0}: root\r\n",
        "X-Upn : root\r\n",
        "X-Upn\t: root\r\n",
        " X-Upn: root\r\n",
        ": root\r\n",
    ] {
        let said = format!("Cookie: {cookie}\r\n{said}");
        let reply = talk.ask(&head("GET", b"/x", &host, &said)).await;
        assert_eq!(reply.status, 400, "{said:?}");
        assert_eq!(inside.taken(), "", "{said:?}");
        refused += 1;
    }
    assert_eq!(refused, 13);
    let said = format!("Cookie: {cookie}\r\nX-Note: a%0d%0aX-Upn: root\r\n");
    let reply = talk.ask(&head("GET", b"/x", &host, &said)).await;
    assert_eq!(outcome_of(&reply), (200, ""));
    let arrived = inside.taken();
    assert_eq!(all(&arrived, "x-upn"), ["alice"]);
    assert_eq!(all(&arrived, "x-note"), ["a%0d%0aX-Upn: root"]);
}

#[tokio::test]
async fn b09_no_page_of_ours_tells_a_secret() {
    let sayer = Sayer::start().await;
    sayer.people.let_tokens_live(Duration::from_secs(3600));
    let inside = Recorder::start().await;
    let told = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": [{ "group": "staff" }] },
        "single_sign_on": { "access_token": {}, "assertion": {} },
    });
    let stand = Stand::new().application_with("wiki", &inside.backend, told);
    let stand = with_sign_in(stand, &sayer.issuer).start().await;
    let login = format!("https://login.localhost:{}", stand.address().port());
    let page = stand.url("wiki", "/x");
    let (mut alice, mut bob) = (Browser::new(&stand), Browser::new(&stand));
    alice.sign_in(&page, "alice").await;
    bob.sign_in(&page, "bob").await;
    assert_eq!(alice.open(&page).await.status, 200);
    let arrived = inside.taken();
    // What a script at the application would like to read: what the application itself is told, and what
    // the browser holds.
    let mut secrets: Vec<String> = ["authorization", "appproxy-assertion"]
        .iter()
        .flat_map(|name| all(&arrived, name))
        .map(|value| value.trim_start_matches("Bearer ").to_owned())
        .collect();
    assert_eq!(secrets.len(), 2, "{arrived}");
    for browser in [&alice, &bob] {
        let values = browser.cookies.values().flat_map(|jar| jar.values());
        secrets.extend(values.cloned());
    }
    assert_eq!(secrets.len(), 6);

    let mut ours = Vec::new();
    for path in [
        "/.appproxy",
        "/.appproxy/",
        "/.appproxy/session",
        "/.appproxy/session?id=x&code=y",
        "/.appproxy/sign-out",
        "/.appproxy/link",
        "/.appproxy/user",
        "/.appproxy/userinfo",
        "/.appproxy/jwt",
        "/.appproxy/jwks",
        "/.appproxy/token",
        "/.appproxy/debug",
    ] {
        ours.push(stand.url("wiki", path));
    }
    for path in [
        "/",
        "/.appproxy/sign-out",
        "/.appproxy/signed-out",
        "/.appproxy/callback",
        "/.appproxy/callback?code=x&state=y",
        "/.appproxy/sign-in?request=x",
        "/.appproxy/jwks",
        "/.appproxy/userinfo",
        "/robots.txt",
        "/nothing",
    ] {
        ours.push(format!("{login}{path}"));
    }
    let (mut seen, mut pages) = (0, 0);
    for url in &ours {
        for (mode, dest, site) in [
            ("navigate", "document", "none"),
            ("cors", "empty", "same-origin"),
            ("no-cors", "script", "same-site"),
        ] {
            let fields = [
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
                ("sec-fetch-site", site),
                ("origin", "https://evil.example"),
            ];
            let answer = alice.send(get(url, &fields)).await;
            check(&answer, url, &secrets);
            if url.starts_with(&login) {
                let policy = answer.header("cross-origin-opener-policy");
                assert_eq!(policy, "same-origin", "{url}");
            }
            pages += usize::from(answer.header("content-type").starts_with("text/html"));
            seen += 1;
        }
    }
    assert_eq!(seen, 22 * 3);
    assert!(pages >= 15, "{pages}");
    // Those that stand in the place of the application's.
    let denied = bob.open(&page).await;
    assert_eq!(outcome(&denied), (403, "denied"));
    check(&denied, "denied", &secrets);
    let asked = Browser::new(&stand).open(&page).await;
    assert_eq!(asked.status, 401);
    check(&asked, "asked to sign in", &secrets);
    assert_eq!(inside.taken(), "");

    // A script at the application signs nobody out: the form is at the sign-in host, with a word in it.
    for (url, status) in [
        (stand.url("wiki", "/.appproxy/sign-out"), 403),
        (format!("{login}/.appproxy/sign-out"), 403),
        (format!("{login}/.appproxy/confirm"), 403),
    ] {
        let request = Request::post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", stand.url("wiki", ""))
            .body(Full::from("token=forged&request=forged&answer=confirm"))
            .unwrap();
        assert_eq!(alice.send(request).await.status, status, "{url}");
    }
    let answer = alice
        .send(get(&stand.url("wiki", "/.appproxy/sign-out"), &[]))
        .await;
    assert_eq!(location(&answer), format!("{login}/.appproxy/sign-out"));
    assert_eq!(alice.open(&page).await.status, 200);
    assert_eq!(target(&inside.taken()), "/x");
}

/// An answer of the gateway's own, that tells nothing and can be made to do nothing.
fn check(answer: &Answer, what: &str, secrets: &[String]) {
    let by = answer.header("appproxy-answer");
    assert!(by.starts_with("gateway"), "{what}: {by}");
    let text = String::from_utf8_lossy(&answer.body);
    for secret in secrets {
        assert!(!text.contains(secret), "{what}: {secret} in {text}");
    }
    // Nor is there any other signed token: the second part of one begins like this.
    assert!(!text.contains(".eyJ"), "{what}: {text}");
    assert!(
        answer.headers.get("access-control-allow-origin").is_none(),
        "{what}"
    );
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
    if answer.header("content-type").starts_with("text/html") {
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{what}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{what}: {policy}");
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    }
}
