//! What an application is told of whoever signed in, and that nobody else tells it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use appproxy::clock::{Clock, Timestamp};
use appproxy::demo::provider::{self as demo, IdentityProvider};
use appproxy::store::{StoreKeys, open_sqlite};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Answer, Backend, Running, Stand, body, within};
use crate::reload::{applications, edit, gateway, reload};
use crate::sign_in::{Browser, link, location, provider, with_sign_in};

/// An application that keeps the fields of its last request, trailers included.
async fn listening() -> (Backend, Arc<Mutex<HeaderMap>>) {
    let last = Arc::new(Mutex::new(HeaderMap::new()));
    let keeps = Arc::clone(&last);
    let backend = Backend::answering(move |request: Request<hyper::body::Incoming>| {
        let keeps = Arc::clone(&keeps);
        async move {
            let (head, incoming) = request.into_parts();
            let trailers = incoming.collect().await.ok();
            let trailers = trailers.and_then(|all| all.trailers().cloned());
            let mut fields = head.headers;
            fields.extend(trailers.unwrap_or_default());
            *keeps.lock().unwrap() = fields;
            Response::new(body("inside"))
        }
    })
    .await;
    (backend, last)
}

/// Every spelling that servers take for `x-remote-id`: CGI, WSGI, PHP and Rails make `_` of each separator.
fn spellings() -> Vec<String> {
    let mut all = Vec::new();
    for first in ["-", "_", "."] {
        for second in ["-", "_", "."] {
            all.push(format!("x{first}remote{second}id"));
        }
    }
    all
}

#[tokio::test]
async fn an_application_is_told_who_it_is_by_the_gateway_alone() {
    let issuer = provider().await;
    let (wiki, last) = listening().await;
    let stand = with_sign_in(
        Stand::new().application_with(
            "wiki",
            &wiki,
            json!({
                "pre_authentication": ["oidc"],
                "access": { "allow": ["anyone_signed_in"] },
                "single_sign_on": { "headers": {
                    "X-Remote-Id": "{upn ?? email|before(\"@\")}",
                    "X-Remote-Groups": "{groups|join(\",\")}",
                    "X-Remote-Group": "{groups|repeat}",
                    "X-Remote-Phone": "{phone}",
                    "Remote-User": "CORP\\{subject|upper}",
                } },
            }),
        ),
        &issuer,
    )
    .application("sibling", &wiki)
    .start()
    .await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    let told = |name: &str| {
        let last = last.lock().unwrap();
        let all = last.get_all(name).iter();
        let all: Vec<_> = all.map(|v| v.to_str().unwrap().to_owned()).collect();
        all
    };
    let expected = [
        ("x-remote-id", &["alice"][..]),
        ("x-remote-groups", &["admins,staff"]),
        ("x-remote-group", &["admins", "staff"]),
        ("x-remote-phone", &[]),
        ("remote-user", &["CORP\\ALICE"]),
    ];
    let is_right = |after: &str| {
        for (name, values) in expected {
            assert_eq!(told(name), values, "{name} after {after}");
        }
        let last = last.lock().unwrap();
        for name in last.keys() {
            let folded = name
                .as_str()
                .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let is_ours = expected.iter().any(|(ours, _)| *ours == folded);
            assert!(!is_ours || name.as_str() == folded, "{name} after {after}");
        }
    };
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);
    is_right("a plain request");

    // Table 4B, rows 1, 3, 4 and 5: no spelling, not where there is nothing to say, not by `Connection`,
    // not twice, not joined.
    let ask = || Request::get(&page).header("sec-fetch-site", "same-origin");
    let empty = |request: http::request::Builder| request.body(Full::<Bytes>::default()).unwrap();
    let mut forged = 0;
    for name in spellings() {
        let request = ask().header(&name, "bob").header(&name, "bob, carol");
        assert_eq!(alice.send(empty(request)).await.status, StatusCode::OK);
        is_right(&name);
        forged += 1;
    }
    assert_eq!(forged, 9);
    for (name, value) in [
        ("x-remote-phone", "112"),
        ("X_Remote_Phone", "112"),
        ("x-remote_groups", "admins"),
        ("x-remote-group", "root"),
        ("remote_user", "root"),
        ("connection", "x-remote-id, x-remote-groups, remote-user"),
        ("connection", "close, X-Remote-Id"),
    ] {
        let answer = alice.send(empty(ask().header(name, value))).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        is_right(name);
    }
    // Row 2: not by way of an application that nobody signs in to, and that is the same program.
    for name in spellings() {
        let sibling = Request::get(stand.url("sibling", "/")).header(&name, "root");
        let sibling = sibling.header("x-innocent", "1");
        assert_eq!(stand.send(empty(sibling)).await.status(), StatusCode::OK);
        assert_eq!(told("x-innocent"), ["1"]);
        let last = last.lock().unwrap();
        assert!(!last.contains_key(&name), "{name}");
    }
    // A server may take trailers for fields.
    let mut trailers = HeaderMap::new();
    for name in ["x-remote-phone", "x_remote_id", "x-innocent"] {
        trailers.insert(name, "112".parse().unwrap());
    }
    let frames = [
        Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"text"))),
        Ok(Frame::trailers(trailers)),
    ];
    let request = Request::post(&page)
        .header("origin", stand.url("wiki", ""))
        .header("cookie", alice.cookie("wiki.localhost"))
        .header("te", "trailers")
        .header("trailer", "x-remote-phone")
        .body(StreamBody::new(futures_util::stream::iter(frames)))
        .unwrap();
    let answer = stand.client().http2().send(request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    is_right("trailers");
    // The handshake of a WebSocket says it too.
    last.lock().unwrap().clear();
    let request = Request::get(&page)
        .header("origin", stand.url("wiki", ""))
        .header("cookie", alice.cookie("wiki.localhost"))
        .header("connection", "upgrade, x-remote-id")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("x_remote_phone", "112");
    stand.send(empty(request)).await;
    is_right("a handshake");

    // Somebody else on the same connection is somebody else.
    let mut bob = Browser::new(&stand);
    bob.sign_in(&page, "bob").await;
    assert_eq!(bob.open(&page).await.status, StatusCode::OK);
    assert_eq!(told("x-remote-id"), ["bob"]);
    assert_eq!(told("x-remote-groups"), ["guests"]);
}

/// An application that people sign in to, with this way to tell it who they are.
fn told_by(way: Value) -> Value {
    json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": ["anyone_signed_in"] },
        "single_sign_on": way,
    })
}

/// A provider that can be told what to give.
async fn giving() -> (String, IdentityProvider) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let provider = IdentityProvider::new(&authority, Clock::system()).unwrap();
    let issuer = provider.issuer().to_owned();
    tokio::spawn(demo::serve(listener, provider.clone()));
    (issuer, provider)
}

/// The one value that a field had in the last request.
fn one(last: &Mutex<HeaderMap>, name: &str) -> String {
    let last = last.lock().unwrap();
    let all: Vec<_> = last.get_all(name).iter().collect();
    let [value] = all[..] else {
        panic!("{name}: {all:?}");
    };
    value.to_str().unwrap().to_owned()
}

/// A request with fields of a client's own, sent by a page of the application.
fn with(page: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::get(page).header("sec-fetch-site", "same-origin");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

/// The handshake of a WebSocket, with fields of a client's own.
fn handshake(
    stand: &Running,
    page: &str,
    cookie: &str,
    fields: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let mut request = with(page, fields);
    for (name, value) in [
        ("origin", stand.url("wiki", "").as_str()),
        ("cookie", cookie),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

/// What an application finds in an assertion, with the keys that it fetched over HTTPS.
fn verified(token: &str, keys: &Answer, audience: &str, issuer: &str) -> Result<Value, String> {
    let header = jsonwebtoken::decode_header(token).map_err(|e| e.to_string())?;
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    let keys: JwkSet = serde_json::from_str(keys.text()).unwrap();
    let key = keys
        .find(header.kid.as_deref().unwrap())
        .ok_or("no such key")?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp", "nbf"]);
    validation.validate_nbf = true;
    let key = DecodingKey::from_jwk(key).unwrap();
    let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation);
    decoded.map(|read| read.claims).map_err(|e| e.to_string())
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn rule_05_an_application_verifies_whose_word_it_is_and_nobody_else_gives_it() {
    let issuer = provider().await;
    let (wiki, last) = listening().await;
    let (blog, of_blog) = listening().await;
    let mut stand = with_sign_in(
        Stand::new()
            .application_with(
                "wiki",
                &wiki,
                told_by(json!({ "assertion": { "claims": ["auth_time", "phone"] } })),
            )
            .application_with(
                "blog",
                &blog,
                told_by(json!({ "assertion": {
                "header": "X-Word", "audience": "urn:example:blog",
            } })),
            )
            .application("open", &wiki),
        &issuer,
    )
    .start()
    .await;
    let login = format!("https://login.localhost:{}", stand.address().port());
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);
    let first = one(&last, "appproxy-assertion");

    // The keys are where whoever verifies may ask: at the sign-in host, and where the application is.
    let at = |origin: &str| format!("{origin}/.appproxy/jwks");
    let keys = stand.get(&at(&login)).await;
    assert_eq!(keys.status, StatusCode::OK);
    assert_eq!(keys.header("content-type"), "application/jwk-set+json");
    assert_eq!(keys.header("cache-control"), "public, max-age=300");
    assert_eq!(
        stand.get(&at(&stand.url("wiki", ""))).await.text(),
        keys.text()
    );
    assert!(!keys.text().contains("\"d\""), "{}", keys.text());
    let head = Request::head(at(&login))
        .body(Full::<Bytes>::default())
        .unwrap();
    let head = Answer::read(stand.send(head).await).await;
    assert_eq!((head.status, head.text()), (StatusCode::OK, ""));
    assert_eq!(head.header("content-length"), keys.text().len().to_string());
    assert_eq!(
        stand.get(&at(&stand.url("open", ""))).await.status,
        StatusCode::NOT_FOUND
    );
    let post = Request::post(at(&login))
        .body(Full::<Bytes>::default())
        .unwrap();
    assert_eq!(stand.send(post).await.status(), StatusCode::NOT_FOUND);

    let audience = stand.url("wiki", "/");
    let said = verified(&first, &keys, &audience, &login).unwrap();
    for (claim, expected) in [
        ("sub", json!("alice")),
        ("provider", json!("demo")),
        ("authority", json!(issuer)),
        ("email", json!("alice@example.com")),
        ("name", json!("Alice Example")),
        ("groups", json!(["admins", "staff"])),
    ] {
        assert_eq!(said[claim], expected, "{said:#}");
    }
    let seconds = |claim: &str| said[claim].as_i64().unwrap();
    assert_eq!(seconds("exp") - seconds("iat"), 300);
    assert!(
        said["auth_time"].is_i64() && said.get("phone").is_none(),
        "{said:#}"
    );
    assert!(verified(&first, &keys, "urn:example:blog", &login).is_err());

    // Said again for a while, and by nobody else: not by the client, in no spelling, at no host.
    for name in [
        "Appproxy-Assertion",
        "appproxy_assertion",
        "appproxy.assertion",
        "X-Word",
        "x_word",
    ] {
        let answer = alice
            .send(with(&page, &[(name, "forged"), (name, "twice")]))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        assert_eq!(one(&last, "appproxy-assertion"), first, "{name}");
        let open = with(
            &stand.url("open", "/"),
            &[(name, "forged"), ("x-innocent", "1")],
        );
        assert_eq!(stand.send(open).await.status(), StatusCode::OK);
        assert_eq!(one(&last, "x-innocent"), "1");
        let last = last.lock().unwrap();
        assert!(last.values().all(|value| value != "forged"), "{last:?}");
    }
    last.lock().unwrap().clear();
    let cookie = alice.cookie("wiki.localhost");
    stand
        .send(handshake(
            &stand,
            &page,
            &cookie,
            &[("appproxy_assertion", "x")],
        ))
        .await;
    assert_eq!(one(&last, "appproxy-assertion"), first);

    // Each application has its own, in its own field.
    let other = stand.url("blog", "/");
    let way = link(&alice.open(&other).await);
    let code = location(&alice.open(&way).await);
    alice.open(&code).await;
    assert_eq!(alice.open(&other).await.status, StatusCode::OK);
    let of_blog = one(&of_blog, "x-word");
    verified(&of_blog, &keys, "urn:example:blog", &login).unwrap();
    assert!(verified(&of_blog, &keys, &audience, &login).is_err());

    // Another gateway on the store makes a new key, published for a day: what it signs is verified, and
    // what the old one signed still is.
    let file = stand.folder().join("gateway.db");
    let store = open_sqlite(&file, StoreKeys::for_store(None, &file).unwrap())
        .await
        .unwrap();
    let yesterday = Timestamp(Clock::system().now().0 - 24 * 3600);
    let key = zeroize::Zeroizing::new([7; 32]);
    store
        .rotate_secret("assertion keys", key, 3, yesterday)
        .await
        .unwrap();
    let keys = within("a second key", async {
        loop {
            let keys = stand.get(&at(&login)).await;
            if keys.json()["keys"].as_array().unwrap().len() == 2 {
                break keys;
            }
        }
    })
    .await;
    let mut bob = Browser::new(&stand);
    bob.sign_in(&page, "bob").await;
    assert_eq!(bob.open(&page).await.status, StatusCode::OK);
    let second = one(&last, "appproxy-assertion");
    assert_ne!(kid(&second), kid(&first));
    assert_eq!(
        verified(&second, &keys, &audience, &login).unwrap()["sub"],
        "bob"
    );
    verified(&first, &keys, &audience, &login).unwrap();
    assert!(verified(&first, &stand.get(&at(&login)).await, &audience, &login).is_ok());

    // They outlive the process.
    stand.restart_gateway().await;
    assert_eq!(stand.get(&at(&login)).await.text(), keys.text());
}

#[tokio::test]
async fn rule_05_name_and_password_are_the_gateway_s_alone() {
    let issuer = provider().await;
    let (wiki, last) = listening().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "Gr\u{fc}\u{df}e:hunter2\n").unwrap();
    let basic = |username: &str| {
        told_by(json!({ "basic": { "username": username, "password": { "file": file } } }))
    };
    let stand = with_sign_in(
        Stand::new()
            .application_with("wiki", &wiki, basic("{email|before(\"@\")}"))
            .application_with("service", &wiki, basic("r\u{f4}le"))
            .application_with("odd", &wiki, basic("{provider}:{subject}"))
            .application_with("nobody", &wiki, basic("{phone}"))
            .application("open", &wiki),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    let of = |name: &str| {
        let pair = format!("{name}:Gr\u{fc}\u{df}e:hunter2");
        format!("Basic {}", STANDARD.encode(pair))
    };
    let own = [
        ("authorization", "Basic cm9vdDpyb290"),
        ("AUTHORIZATION", "Bearer x"),
    ];
    assert_eq!(alice.send(with(&page, &own)).await.status, StatusCode::OK);
    assert_eq!(one(&last, "authorization"), of("alice"));
    last.lock().unwrap().clear();
    let cookie = alice.cookie("wiki.localhost");
    stand.send(handshake(&stand, &page, &cookie, &own)).await;
    assert_eq!(one(&last, "authorization"), of("alice"));
    // Elsewhere a client's own passes.
    let open = with(&stand.url("open", "/"), &own[..1]);
    assert_eq!(stand.send(open).await.status(), StatusCode::OK);
    assert_eq!(one(&last, "authorization"), own[0].1);

    for (name, expected) in [
        ("service", Some("r\u{f4}le")),
        ("odd", None),
        ("nobody", None),
    ] {
        let page = stand.url(name, "/");
        let way = link(&alice.open(&page).await);
        let code = location(&alice.open(&way).await);
        alice.open(&code).await;
        last.lock().unwrap().clear();
        let answer = alice.send(with(&page, &own)).await;
        match expected {
            Some(user) => {
                assert_eq!(answer.status, StatusCode::OK, "{name}");
                assert_eq!(one(&last, "authorization"), of(user));
            }
            None => {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
                assert_eq!(answer.json()["error"]["code"], "denied");
                assert!(last.lock().unwrap().is_empty(), "{name}");
                let id = answer.header("x-request-id").to_owned();
                let why = |line: &str| line.contains(&id) && line.contains("basic.username");
                stand.gateway().line("why", why).await;
            }
        }
    }
    // One that cannot be read is not put in force, and what is in force goes on.
    std::fs::write(&file, "two\nlines\n").unwrap();
    stand.gateway().signal(rustix::process::Signal::HUP);
    stand
        .gateway()
        .line("it is refused", |line| line.contains("a second line"))
        .await;
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);
    assert_eq!(one(&last, "authorization"), of("alice"));
    let log = stand.gateway().log().join("\n");
    assert!(
        !log.contains("hunter2") && !log.contains(&of("alice")[6..]),
        "{log}"
    );
}

#[tokio::test]
async fn rule_05_the_provider_s_token_is_the_living_one_and_no_client_s() {
    let (issuer, provider) = giving().await;
    provider.let_tokens_live(Duration::from_secs(3600));
    let (wiki, last) = listening().await;
    let (blog, of_blog) = listening().await;
    let stand = with_sign_in(
        Stand::new()
            .application_with("wiki", &wiki, told_by(json!({ "access_token": {} })))
            .application_with(
                "blog",
                &blog,
                told_by(json!({
                    "access_token": { "header": "X-Access-Token" },
                    "headers": { "X-User": "{subject}" },
                })),
            ),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    let own = [
        ("authorization", "Bearer x"),
        ("x_access_token", "x"),
        ("x-access-token", "x"),
    ];
    assert_eq!(alice.send(with(&page, &own)).await.status, StatusCode::OK);
    let first = one(&last, "authorization");
    assert!(first.starts_with("Bearer alice."), "{first}");
    assert!(
        last.lock()
            .unwrap()
            .keys()
            .all(|name| !name.as_str().ends_with("token"))
    );
    last.lock().unwrap().clear();
    let cookie = alice.cookie("wiki.localhost");
    stand.send(handshake(&stand, &page, &cookie, &own)).await;
    assert_eq!(one(&last, "authorization"), first);
    let other = stand.url("blog", "/");
    let way = link(&alice.open(&other).await);
    let code = location(&alice.open(&way).await);
    alice.open(&code).await;
    assert_eq!(alice.send(with(&other, &own)).await.status, StatusCode::OK);
    assert_eq!(one(&of_blog, "x-access-token"), first["Bearer ".len()..]);
    // What a client says in a field that is not the gateway's is its own.
    assert_eq!(one(&of_blog, "authorization"), "Bearer x");

    // From now on they end soon, and others are asked for: none is passed on that has ended.
    provider.let_tokens_live(Duration::from_secs(2));
    let mut bob = Browser::new(&stand);
    bob.sign_in(&page, "bob").await;
    let mut seen = std::collections::BTreeSet::new();
    within("tokens that are exchanged", async {
        while seen.len() < 3 {
            assert_eq!(bob.open(&page).await.status, StatusCode::OK);
            let token = one(&last, "authorization");
            assert!(token.starts_with("Bearer bob."), "{token}");
            seen.insert(token);
        }
    })
    .await;
    // It is nobody's to see.
    let listed = gateway(&stand, &["session", "list", "--json"])
        .await
        .success();
    let log = stand.gateway().log().join("\n");
    for token in seen.iter().chain([&first]) {
        let token = token.trim_start_matches("Bearer ");
        assert!(!listed.contains(token) && !log.contains(token), "{token}");
    }
    // Where no application is to have it any more, nobody keeps it; where one is again, it is asked for.
    edit(&stand.gateway_file(), |config| {
        for application in applications(config) {
            application["single_sign_on"] = json!({ "headers": { "X-User": "{subject}" } });
        }
    });
    reload(&stand).await;
    assert_eq!(
        bob.send(with(&page, &own[..1])).await.status,
        StatusCode::OK
    );
    assert_eq!(one(&last, "authorization"), "Bearer x");
}

#[tokio::test]
async fn without_a_living_token_the_person_signs_in_again_and_a_provider_without_any_makes_no_loop()
{
    let (issuer, provider) = giving().await;
    provider.give_no_refresh_tokens();
    provider.let_tokens_live(Duration::from_secs(1));
    let (wiki, last) = listening().await;
    let stand = with_sign_in(
        Stand::new()
            .application_with("wiki", &wiki, told_by(json!({ "access_token": {} })))
            .application_with(
                "plain",
                &wiki,
                told_by(json!({ "headers": { "X-User": "{subject}" } })),
            ),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    // It ends, and is not passed on.
    within("the end of the token", async {
        while alice.open(&page).await.status != StatusCode::UNAUTHORIZED {}
    })
    .await;
    last.lock().unwrap().clear();
    let data = with(&page, &[("sec-fetch-mode", "cors")]);
    let answer = alice.send(data).await;
    assert_eq!(answer.json()["error"]["code"], "sign_in_required");
    assert!(last.lock().unwrap().is_empty());
    // Elsewhere the session is as good as ever.
    let plain = stand.url("plain", "/");
    let way = link(&alice.open(&plain).await);
    let code = location(&alice.open(&way).await);
    alice.open(&code).await;
    assert_eq!(alice.open(&plain).await.status, StatusCode::OK);

    // Signed in a moment ago, and nothing came of it: it is said, and nobody is sent around.
    let way = link(&alice.open(&page).await);
    let stopped = alice.open(&way).await;
    assert_eq!(stopped.status, StatusCode::FORBIDDEN);
    assert!(
        stopped.text().contains("loop_access_token"),
        "{}",
        stopped.text()
    );
}
