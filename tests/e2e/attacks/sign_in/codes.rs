//! C5 to C7: what comes back from the provider, and what goes from host to host.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use appproxy::clock::Clock;
use appproxy::demo::provider::{self as demo, IdentityProvider};

use super::{TICKET, chosen, form, hidden, is_in, login, stand_with, stopped, ticket, with_cookie};
use crate::harness::{Answer, Backend, Running, Stand, body};
use crate::sign_in::{Browser, link, location, of_staff, plain, provider, with_sign_in};

/// With two providers: the page to choose from, and the way to the one of this name.
async fn to_provider(browser: &mut Browser, page: &str, name: &str) -> String {
    let answer = browser.open(page).await;
    let way = link(&answer);
    let chooser = browser.open(&way).await;
    assert_eq!(chooser.status, StatusCode::OK);
    let request = way.split_once("request=").unwrap().1;
    let origin = way.split_once("/.appproxy").unwrap().0;
    let to = format!("{origin}/.appproxy/sign-in?provider={name}&request={request}");
    location(&browser.open(&to).await)
}

/// The value of a parameter in an address.
fn parameter(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    let found = url.query_pairs().find(|(own, _)| own == name);
    found
        .unwrap_or_else(|| panic!("{name} in {url}"))
        .1
        .into_owned()
}

#[tokio::test]
async fn c5_what_comes_back_is_of_the_sign_in_the_provider_and_the_application_that_asked() {
    let (one, two) = (provider().await, provider().await);
    let wiki = Backend::text("wiki").await;
    let anyone = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": ["anyone_signed_in"] },
    });
    let stand = Stand::new()
        .application_with("wiki", &wiki, anyone.clone())
        .application_with("blog", &wiki, anyone);
    let provider = |name: &str, issuer: &str| json!({ "name": name, "issuer": issuer, "client_id": demo::CLIENT_ID });
    let stand = with_sign_in(stand, &one)
        .gateway_setting(
            "identity_providers",
            json!([provider("one", &one), provider("two", &two)]),
        )
        .start()
        .await;
    let page = stand.url("wiki", "/");
    let callback = format!("{}/.appproxy/callback", login(&stand));
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let back = |state: &str, code: &str, issuer: &str| {
        let issuer = encoded(issuer);
        format!("{callback}?state={state}&code={code}&iss={issuer}")
    };

    // No state, or what is none.
    let mut alice = Browser::new(&stand);
    for query in ["", "?code=x", "?state=", "?state=x&code=y", "?code=x&iss=z"] {
        stopped(
            &alice.open(&format!("{callback}{query}")).await,
            "state_forged",
        );
    }
    // What is sealed for one purpose serves no other.
    let answer = alice.open(&page).await;
    let request = link(&answer).split_once("request=").unwrap().1.to_owned();
    stopped(
        &alice.open(&back(&request, "x", &one)).await,
        "state_forged",
    );
    let ask = to_provider(&mut alice, &page, "one").await;
    let state = parameter(&ask, "state");
    let begin = format!("{}/.appproxy/sign-in?request={state}", login(&stand));
    stopped(&alice.open(&begin).await, "state_forged");
    // One character of a state, anywhere.
    for at in (0..state.len() - 1).step_by(7) {
        let mut altered = state.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        stopped(
            &alice.open(&back(&altered, "x", &one)).await,
            "state_forged",
        );
    }

    // Providers are not mixed up: neither who says it, nor whose code it is (RFC 9700 section 4.4).
    for (issuer, finding) in [
        (two.as_str(), "callback_issuer_mismatch"),
        ("", "callback_issuer_mismatch"),
        ("https://evil.example", "callback_issuer_mismatch"),
    ] {
        let ask = to_provider(&mut alice, &page, "one").await;
        let good = chosen(&mut alice, &ask, "alice").await;
        let code = parameter(&good, "code");
        let answer = alice
            .open(&back(&parameter(&ask, "state"), &code, issuer))
            .await;
        stopped(&answer, finding);
    }
    let ask = to_provider(&mut alice, &page, "one").await;
    let good = chosen(&mut alice, &ask, "alice").await;
    let without = good.split("&iss=").next().unwrap().to_owned();
    stopped(&alice.open(&without).await, "callback_issuer_missing");
    let ask = to_provider(&mut alice, &page, "one").await;
    let other = to_provider(&mut alice, &page, "two").await;
    let code = parameter(&chosen(&mut alice, &other, "alice").await, "code");
    let answer = alice
        .open(&back(&parameter(&ask, "state"), &code, &one))
        .await;
    stopped(&answer, "invalid_grant");

    // A code of another sign-in of the same browser, and of somebody else's: PKCE ties each to its own.
    let mut mallory = Browser::new(&stand);
    let theirs = to_provider(&mut mallory, &page, "one").await;
    let theirs = parameter(&chosen(&mut mallory, &theirs, "bob").await, "code");
    let also = to_provider(&mut alice, &page, "one").await;
    let also = parameter(&chosen(&mut alice, &also, "alice").await, "code");
    for code in [theirs, also] {
        let ask = to_provider(&mut alice, &page, "one").await;
        let answer = alice
            .open(&back(&parameter(&ask, "state"), &code, &one))
            .await;
        stopped(&answer, "invalid_grant");
    }
    assert!(!is_in(&mut alice, &stand).await);

    // The right answer, twice: the second time even with the cookie that went with the first.
    let ask = to_provider(&mut mallory, &page, "two").await;
    let good = chosen(&mut mallory, &ask, "alice").await;
    let kept = mallory.cookies["login.localhost"].clone();
    let code = location(&mallory.open(&good).await);
    assert!(is_in(&mut mallory, &stand).await);
    mallory.cookies.insert("login.localhost".to_owned(), kept);
    stopped(&mallory.open(&good).await, "answered");
    // The code for one application at another, which has a sign-in of its own under way.
    mallory.open(&stand.url("blog", "/")).await;
    let elsewhere = code.replace("//wiki.", "//blog.");
    stopped(&mallory.open(&elsewhere).await, "no_cookie");
    assert_eq!(mallory.open(&code).await.status, StatusCode::FORBIDDEN);
    let answer = mallory.open(&page).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

/// Applications below a wildcard, where anybody might publish one.
async fn wildcard(wiki: &Backend, issuer: &str) -> Running {
    let mut any = of_staff();
    any["external_url"] = json!("https://*.apps.localhost:{https}/");
    let stand = Stand::new()
        .application_with("any", wiki, any)
        .application_with("wiki", wiki, of_staff());
    with_sign_in(stand, issuer).start().await
}

/// Confirms that a host may know who it is; returns the answer.
async fn confirm(browser: &mut Browser, stand: &Running, page: &Answer, word: &str) -> Answer {
    let (request, token) = (hidden(page, "request"), hidden(page, "token"));
    let url = format!("{}/.appproxy/confirm", login(stand));
    let fields = [("request", &*request), ("token", &token), ("answer", word)];
    browser.send(form(&url, &fields)).await
}

#[tokio::test]
async fn c5_a_code_for_a_host_below_a_wildcard_serves_that_host_and_that_browser_once() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = wildcard(&wiki, &issuer).await;
    let port = stand.address().port();
    let page = |name: &str| format!("https://{name}.apps.localhost:{port}/");
    // In a browser of her own each time: she is asked once whether `a` may know who she is.
    let signed_in = async || {
        let mut alice = Browser::new(&stand);
        alice.sign_in(&stand.url("wiki", "/"), "alice").await;
        alice
    };
    let mut refused = 0;
    // Each time a code for `a`, that is stolen on the way.
    for thief in ["b.apps.localhost", "wiki.localhost", "a.apps.localhost"] {
        for has_cookie in [true, false] {
            let mut alice = signed_in().await;
            let answer = alice.open(&page("a")).await;
            let asked = alice.open(&link(&answer)).await;
            let code = location(&confirm(&mut alice, &stand, &asked, "confirm").await);
            let own_host = thief == "a.apps.localhost";
            if own_host && has_cookie {
                assert_eq!(alice.open(&code).await.status, StatusCode::OK);
                assert_eq!(alice.open(&page("a")).await.text(), "wiki");
                alice
                    .cookies
                    .get_mut("a.apps.localhost")
                    .unwrap()
                    .remove(TICKET);
                // The second time, even with all that went with the first.
                stopped(&alice.open(&code).await, "no_cookie");
                continue;
            }
            let mut mallory = Browser::new(&stand);
            // With a sign-in of mallory's own, of the same identifier where it has to be that.
            mallory.open(&format!("https://{thief}:{port}/")).await;
            let id = parameter(&code, "id");
            let name = format!("__Host-appproxy-signin-{id}");
            if has_cookie {
                let stolen = alice.cookies["a.apps.localhost"][&name].clone();
                let jar = mallory.cookies.entry(thief.to_owned()).or_default();
                jar.insert(name.clone(), stolen);
            } else if own_host {
                let jar = mallory.cookies.get_mut(thief).unwrap();
                let own = jar.values().next().unwrap().clone();
                jar.insert(name, own);
            }
            let there = code.replace("a.apps.localhost", thief);
            let answer = mallory.open(&there).await;
            let finding = if has_cookie || own_host {
                "code"
            } else {
                "no_cookie"
            };
            stopped(&answer, finding);
            let again = mallory.open(&format!("https://{thief}:{port}/")).await;
            assert_eq!(again.status, StatusCode::UNAUTHORIZED);
            // It was burnt there: alice is asked again.
            stopped(&alice.open(&code).await, "code");
            refused += 1;
        }
    }
    assert_eq!(refused, 5);
    // A session of one host is none at another below the same wildcard.
    let mut alice = signed_in().await;
    let answer = alice.open(&page("a")).await;
    let asked = alice.open(&link(&answer)).await;
    let code = location(&confirm(&mut alice, &stand, &asked, "confirm").await);
    alice.open(&code).await;
    assert_eq!(alice.open(&page("a")).await.text(), "wiki");
    let stolen = ticket(&alice, "a.apps.localhost");
    for host in ["b.apps.localhost", "wiki.localhost"] {
        let mut mallory = with_cookie(&stand, host, TICKET, &stolen);
        let answer = mallory.open(&format!("https://{host}:{port}/")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{host}");
    }
    let mut mallory = with_cookie(&stand, "login.localhost", TICKET, &stolen);
    assert!(!is_in(&mut mallory, &stand).await);
}

#[tokio::test]
async fn c7_only_the_person_confirms_a_host_below_a_wildcard() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = wildcard(&wiki, &issuer).await;
    let port = stand.address().port();
    let page = |name: &str| format!("https://{name}.apps.localhost:{port}/");
    let (mut alice, mut bob) = (Browser::new(&stand), Browser::new(&stand));
    alice.sign_in(&stand.url("wiki", "/"), "alice").await;
    bob.sign_in(&stand.url("wiki", "/"), "bob").await;
    // A link alone tells no host who somebody is.
    let first = alice.open(&page("a")).await;
    let first = alice.open(&link(&first)).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.header("location"), "");
    assert!(
        first
            .text()
            .contains(&format!("<bdi>a.apps.localhost:{port}</bdi>"))
    );
    let second = alice.open(&page("b")).await;
    let second = alice.open(&link(&second)).await;
    let theirs = bob.open(&page("a")).await;
    let theirs = bob.open(&link(&theirs)).await;
    let sign_out = format!("{}/.appproxy/sign-out", login(&stand));
    let sign_out = hidden(&alice.open(&sign_out).await, "token");

    let url = format!("{}/.appproxy/confirm", login(&stand));
    let (request, token) = (hidden(&first, "request"), hidden(&first, "token"));
    let (other, others) = (hidden(&second, "token"), hidden(&theirs, "token"));
    let request = request.as_str();
    let refused: [&[(&str, &str)]; 9] = [
        &[("request", request), ("answer", "confirm")],
        &[("request", request), ("token", ""), ("answer", "confirm")],
        // Of another host, of somebody else, of another form, and what is no token.
        &[
            ("request", request),
            ("token", &other),
            ("answer", "confirm"),
        ],
        &[
            ("request", request),
            ("token", &others),
            ("answer", "confirm"),
        ],
        &[
            ("request", request),
            ("token", &sign_out),
            ("answer", "confirm"),
        ],
        &[
            ("request", request),
            ("token", request),
            ("answer", "confirm"),
        ],
        // Twice is not once.
        &[
            ("request", request),
            ("token", &token),
            ("token", &token),
            ("answer", "confirm"),
        ],
        &[
            ("request", request),
            ("token", &token),
            ("answer", "cancel"),
        ],
        &[("request", request), ("token", &token)],
    ];
    for fields in refused {
        let answer = alice.send(form(&url, fields)).await;
        assert_eq!(location(&answer), "/", "{fields:?}");
    }
    // From a page elsewhere the browser sends no cookie along; nor is the right form anybody else's.
    let right = [
        ("request", request),
        ("token", &*token),
        ("answer", "confirm"),
    ];
    let answer = Browser::new(&stand).send(form(&url, &right)).await;
    assert_eq!(location(&answer), "/");
    assert_eq!(location(&bob.send(form(&url, &right)).await), "/");
    let answer = alice
        .open(&format!(
            "{url}?request={request}&token={token}&answer=confirm"
        ))
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(
        alice.open(&page("a")).await.status,
        StatusCode::UNAUTHORIZED
    );
    // The person may.
    let answer = alice.send(form(&url, &right)).await;
    let code = location(&answer);
    assert!(
        code.starts_with(&format!("{}.appproxy/session?", page("a"))),
        "{code}"
    );
    assert_eq!(alice.open(&code).await.status, StatusCode::OK);
    assert_eq!(alice.open(&page("a")).await.text(), "wiki");
}

/// What becomes of a token, by somebody who knows the provider's public keys.
type Forge = fn(&str, &Value) -> String;

/// An identity provider whose tokens somebody has changed on the way.
async fn forging(forge: Forge) -> String {
    let behind: Arc<OnceLock<String>> = Arc::default();
    let at = Arc::clone(&behind);
    let front = Backend::answering(move |request| {
        let at = Arc::clone(&at);
        async move {
            let (mut head, content) = request.into_parts();
            let content = content.collect().await.unwrap().to_bytes();
            let path = head.uri.path_and_query().unwrap().clone();
            let to = format!("http://{}{path}", at.get().unwrap());
            head.uri = to.parse().unwrap();
            head.headers.remove(header::HOST);
            let keys = format!("http://{}/jwks", at.get().unwrap());
            let keys = plain(Request::get(keys).body(Full::default()).unwrap()).await;
            let answer = plain(Request::from_parts(head, Full::new(content))).await;
            let mut changed = answer.body.to_vec();
            if path == "/token" {
                let mut tokens = answer.json();
                let token = tokens["id_token"].as_str().unwrap().to_owned();
                tokens["id_token"] = forge(&token, &keys.json()).into();
                changed = tokens.to_string().into_bytes();
            }
            let mut response = Response::new(body(changed));
            *response.status_mut() = answer.status;
            for name in [header::CONTENT_TYPE, header::LOCATION] {
                if let Some(value) = answer.headers.get(&name) {
                    response.headers_mut().insert(name, value.clone());
                }
            }
            response
        }
    })
    .await;
    let provider = IdentityProvider::new(&front.address().to_string(), Clock::system()).unwrap();
    let issuer = provider.issuer().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    behind
        .set(listener.local_addr().unwrap().to_string())
        .unwrap();
    tokio::spawn(async move {
        // It lives as long as what is behind it.
        let _front = front;
        demo::serve(listener, provider).await;
    });
    issuer
}

/// The token with another header, and a signature made of both.
fn resigned(token: &str, header: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header.to_string()));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn c6_a_token_that_is_not_signed_by_the_provider_is_refused() {
    let forgeries: [(&str, Forge); 4] = [
        ("token_algorithm", |token, _| {
            resigned(token, &json!({ "alg": "none" }), |_| Vec::new())
        }),
        // The key that everybody may know, as the one that only the provider has.
        ("token_algorithm", |token, keys| {
            let key = keys["keys"][0].to_string();
            let header = json!({ "alg": "HS256", "kid": "demo" });
            resigned(token, &header, |signed| {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes());
                aws_lc_rs::hmac::sign(&key, signed).as_ref().to_vec()
            })
        }),
        // A key that the token itself brings along.
        ("token_signature", |token, _| {
            let header = json!({ "alg": "ES256", "kid": "demo", "jku": "http://127.0.0.1:1/",
                "jwk": { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" } });
            resigned(token, &header, |_| vec![1; 64])
        }),
        // Somebody else's claims under the same signature.
        ("token_signature", |token, _| {
            let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
            let claims = URL_SAFE_NO_PAD.decode(&parts[1]).unwrap();
            let claims = String::from_utf8(claims).unwrap();
            let altered = claims.replace("\"sub\":\"bob\"", "\"sub\":\"alice\"");
            assert_ne!(claims, altered);
            parts[1] = URL_SAFE_NO_PAD.encode(altered);
            parts.join(".")
        }),
    ];
    let wiki = Backend::text("wiki").await;
    for (finding, forge) in forgeries {
        let issuer = forging(forge).await;
        let stand = stand_with(&wiki, &issuer).await;
        let mut mallory = Browser::new(&stand);
        let ask = mallory.open_to_provider(&stand.url("wiki", "/")).await;
        let back = chosen(&mut mallory, &ask, "bob").await;
        let answer = mallory.open(&back).await;
        stopped(&answer, finding);
        assert!(!is_in(&mut mallory, &stand).await);
    }
    // Unchanged it passes, so what was refused above is the change.
    let issuer = forging(|token, _| token.to_owned()).await;
    let stand = stand_with(&wiki, &issuer).await;
    let mut alice = Browser::new(&stand);
    alice.sign_in(&stand.url("wiki", "/"), "alice").await;
    assert_eq!(alice.open(&stand.url("wiki", "/")).await.text(), "wiki");
}
