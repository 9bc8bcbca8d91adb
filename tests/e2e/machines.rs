//! Programs: with a token of the gateway's own, with one of an identity provider, and by paths of their own.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::beds::sign_in::{Corp, SECRET};
use crate::harness::{Answer, Backend, Running, Stand};
use crate::reload::{applications, close_of, edit, gateway, reload};
use crate::sign_in::{Browser, plain, provider, with_sign_in};

/// Asks with these fields.
async fn ask(stand: &Running, url: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    Answer::read(stand.send(request).await).await
}

/// Asks until the answer has this status: a gateway hears of what was written to its store in a moment.
pub(crate) async fn ask_until(
    stand: &Running,
    url: &str,
    field: (&str, &str),
    status: u16,
) -> Answer {
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let asked = async {
        loop {
            look.tick().await;
            let answer = ask(stand, url, &[field]).await;
            if answer.status == status {
                return answer;
            }
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, asked)
        .await
        .expect("another answer")
}

pub(crate) async fn service_token(stand: &Running, arguments: &[&str]) -> String {
    let arguments = [&["service-token", "create"], arguments].concat();
    let made = gateway(stand, &arguments).await.success();
    assert_eq!(made.lines().count(), 1, "{made}");
    format!("Bearer {}", made.trim_end())
}

pub(crate) const SERVICE: &str = "appproxy-authorization";

fn code(answer: &Answer) -> Value {
    answer.json()["error"]["code"].clone()
}

#[tokio::test]
async fn a_program_comes_in_with_a_service_token_beside_people() {
    let issuer = provider().await;
    let (wiki, crm) = (Backend::echo().await, Backend::echo().await);
    let guard = json!({
        "pre_authentication": ["service_token", "oidc"],
        "access": { "allow": [{ "group": "staff" }, { "token": "ci", "method": ["GET"] }] },
    });
    let stand = with_sign_in(
        Stand::new()
            .application_with("wiki", &wiki, guard.clone())
            .application_with("crm", &crm, guard),
        &issuer,
    )
    .start()
    .await;
    let page = stand.url("wiki", "/api/x");
    let token = service_token(&stand, &["--name", "ci", "--app", "wiki", "--path", "/api"]).await;
    let with = (SERVICE, token.as_str());
    let answer = ask_until(&stand, &page, with, 200).await;
    // The application sees neither the token nor anybody's name, and gets its own `Authorization`.
    let seen = answer.json();
    assert!(!seen.to_string().contains("apxs1_"), "{seen}");
    let own = ("authorization", "Basic YTpi");
    let seen = ask(&stand, &page, &[with, own]).await.json();
    assert_eq!(seen["headers"]["authorization"], json!(["Basic YTpi"]));
    let line = stand.access_line(answer.header("x-request-id")).await;
    let person = line["person"].as_str().unwrap();
    assert!(person.starts_with("service token ci (st"), "{line}");

    // People come in as before, and not both at once.
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);
    let cookie = alice.cookie("wiki.localhost");
    let both = ask(&stand, &page, &[("cookie", &cookie), with]).await;
    assert_eq!(
        (both.status.as_u16(), code(&both)),
        (400, json!("bad_request"))
    );

    // Not where it is not for, not twice, not in any other place, and not as anything else.
    let crm = stand.url("crm", "/api/x");
    let root = stand.url("wiki", "/");
    let cut = &token[..token.len() - 1];
    let bare = token.trim_start_matches("Bearer ");
    let in_query = format!("{page}?access_token={bare}");
    for (what, url, fields, status, expected) in [
        ("elsewhere", &crm, &[with][..], 403, "denied"),
        ("above", &root, &[with], 403, "denied"),
        ("twice", &page, &[with, with], 400, "bad_request"),
        ("no scheme", &page, &[(SERVICE, bare)], 400, "bad_request"),
        ("cut", &page, &[(SERVICE, cut)], 401, "token_required"),
        (
            "unknown",
            &page,
            &[(SERVICE, "Bearer apxs1_AAAA")],
            401,
            "token_required",
        ),
        (
            "another kind",
            &page,
            &[(SERVICE, "Bearer apx1_AAAA")],
            401,
            "token_required",
        ),
        (
            "in Authorization",
            &page,
            &[("authorization", &token)],
            401,
            "sign_in_required",
        ),
        ("in the query", &in_query, &[], 401, "sign_in_required"),
        (
            "with underscores",
            &page,
            &[("appproxy_authorization", &token)],
            401,
            "sign_in_required",
        ),
        (
            "in a cookie",
            &page,
            &[("cookie", bare)],
            401,
            "sign_in_required",
        ),
    ] {
        let answer = ask(&stand, url, fields).await;
        assert_eq!(
            (answer.status.as_u16(), code(&answer)),
            (status, json!(expected)),
            "{what}"
        );
    }
    let post = Request::post(&page).header(SERVICE, &token);
    let post = post
        .header("origin", "https://evil.example")
        .body(Full::<Bytes>::default());
    let post = Answer::read(stand.send(post.unwrap()).await).await;
    assert_eq!(post.status, StatusCode::FORBIDDEN, "its rule is for GET");

    // What lives on it ends with it.
    let mut request = "wss://wiki.localhost/api/ws".into_client_request().unwrap();
    let value = token.parse().unwrap();
    request.headers_mut().insert(SERVICE, value);
    let listed = gateway(&stand, &["service-token", "list"]).await.success();
    assert!(
        listed.contains("ci") && listed.contains("valid"),
        "{listed}"
    );
    gateway(&stand, &["service-token", "revoke", "ci"])
        .await
        .success();
    // The first such answer may be of a request that was under way.
    let cut = ask_until(&stand, &page, with, 401).await;
    assert_eq!(code(&cut), "token_required");
    let gone = ask(&stand, &page, &[with]).await;
    assert_eq!(code(&gone), "token_required");
    let told = gone.header("www-authenticate");
    assert_eq!(
        told,
        "Appproxy realm=\"appproxy\", field=\"Appproxy-Authorization\""
    );
}

#[tokio::test]
async fn what_a_service_token_opened_is_cut_when_it_is_revoked() {
    let (chat, _control) = Backend::demo().await;
    let guard = json!({
        "pre_authentication": ["service_token"],
        "access": { "allow": [{ "token": "bot" }] },
    });
    let stand = Stand::new()
        .application_with("chat", &chat, guard)
        .start()
        .await;
    let token = service_token(&stand, &["--name", "bot", "--app", "chat"]).await;
    ask_until(
        &stand,
        &stand.url("chat", "/request"),
        (SERVICE, &token),
        200,
    )
    .await;
    let mut request = "wss://chat.localhost/ws".into_client_request().unwrap();
    request
        .headers_mut()
        .insert(SERVICE, token.parse().unwrap());
    let (mut socket, _) = stand.client().websocket(request).await;
    gateway(&stand, &["service-token", "revoke", "bot"])
        .await
        .success();
    let close = close_of(&mut socket).await;
    assert_eq!(close.code, CloseCode::Policy, "{close:?}");
    let used = async || {
        let listed = gateway(&stand, &["service-token", "list", "--json"])
            .await
            .success();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed[0]["last_used"].is_string()
    };
    let mut look = tokio::time::interval(Duration::from_millis(300));
    let noted = async {
        while !used().await {
            look.tick().await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, noted)
        .await
        .expect("its use is noted");
}

/// The trap of the model: an application for a browser and for a program that cannot sign in with one.
#[tokio::test]
async fn paths_have_guards_of_their_own() {
    let issuer = provider().await;
    let wiki = Backend::echo().await;
    let stand = with_sign_in(
        Stand::new().application_with(
            "wiki",
            &wiki,
            json!({
                "pre_authentication": ["oidc"],
                "access": { "allow": [{ "group": "staff" }] },
                "paths": [
                    { "path": "/api/", "pre_authentication": ["service_token"],
                      "access": { "allow": [{ "token": "mobile" }] } },
                    { "path": "/api/health", "pre_authentication": ["passthrough"] },
                    { "path": "/hook/", "pre_authentication": ["passthrough"],
                      "access": { "allow": [{ "ip": ["127.0.0.0/8"], "method": ["POST"] }] } },
                ],
            }),
        ),
        &issuer,
    )
    .start()
    .await;
    let token = service_token(&stand, &["--name", "mobile", "--app", "wiki"]).await;
    let url = |path: &str| stand.url("wiki", path);
    let with = (SERVICE, token.as_str());
    ask_until(&stand, &url("/api/x"), with, 200).await;
    let mut alice = Browser::new(&stand);
    alice.sign_in(&url("/"), "alice").await;
    let cookie = alice.cookie("wiki.localhost");
    let (session, forged) = (("cookie", &*cookie), ("x-original-url", "/api/health"));
    let mut asked = 0;
    for (path, fields, status) in [
        ("/", &[][..], 401),
        ("/", &[session], 200),
        ("/", &[with], 401),
        ("/api/x", &[], 401),
        ("/api/x", &[session], 401),
        ("/api", &[with], 200),
        ("/apis", &[with], 401),
        ("/api/health", &[], 200),
        ("/api/health/deep", &[], 200),
        ("/api/healthy", &[], 401),
        ("/hook/x", &[], 403),
        // Whoever is not known to one path is not let in by another's spelling.
        ("/API/x", &[], 400),
        ("/API/x", &[session], 400),
        ("/api;x/y", &[session], 400),
        // What lets everybody in by its octets is, by another spelling, behind what is around it.
        ("/API/health", &[], 401),
        ("/api/HEALTH", &[], 401),
        ("/api//health", &[], 401),
        ("/Hook/x", &[], 400),
        ("/api/health/../x", &[], 400),
        ("/api/health/%2e%2e/x", &[], 400),
        ("/api/health%2f..%2fx", &[], 400),
        ("/api/health%5c..%5cx", &[], 400),
        ("/%61pi/health", &[session], 200),
        ("/%61pi/x", &[session], 400),
        ("/;%3f/api/x", &[session], 400),
        ("/x?/api/health", &[], 401),
        ("/x", &[forged], 401),
        ("/", &[forged], 401),
    ] {
        let answer = ask(&stand, &url(path), fields).await;
        assert_eq!(answer.status, status, "{path} {fields:?} {}", answer.text());
        asked += 1;
    }
    assert_eq!(asked, 28);
    let hook = Request::post(url("/hook/x"))
        .body(Full::<Bytes>::default())
        .unwrap();
    assert_eq!(stand.send(hook).await.status(), StatusCode::OK);
    // WebDAV names a second path: what may not be asked for may not be written to.
    let destination = async |path: &str, to: &str| {
        let copy = Request::builder().method("COPY").uri(url(path));
        let copy = copy
            .header("destination", to)
            .body(Full::<Bytes>::default());
        stand.send(copy.unwrap()).await.status().as_u16()
    };
    for (to, status) in [
        (url("/api/health/y"), 200),
        ("/api/health/y".to_owned(), 200),
        (url("/private"), 403),
        ("/private".to_owned(), 403),
        (url("/api/x"), 403),
        (url("/API/health/y"), 403),
        (url("/api/health/%2e%2e/x"), 400),
        (url("/api/health/;%3f/x"), 400),
        ("http://[".to_owned(), 400),
    ] {
        assert_eq!(destination("/api/health/x", &to).await, status, "{to}");
    }
    let explained = gateway(&stand, &["explain", "--url", &url("/api/x")]).await;
    let said = format!("{}{}", explained.stdout, explained.stderr);
    for part in ["`paths` has /api for it", "service_token", "token_required"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // A path that is closed by a reload is closed to what lives there.
    edit(&stand.gateway_file(), |config| {
        applications(config)[0]["paths"]
            .as_array_mut()
            .unwrap()
            .pop();
    });
    reload(&stand).await;
    let hook = Request::post(url("/hook/x"))
        .body(Full::<Bytes>::default())
        .unwrap();
    assert_eq!(stand.send(hook).await.status(), StatusCode::UNAUTHORIZED);
}

/// An access token of `oidc-provider` for a program of its own.
async fn client_credentials(issuer: &str, resource: &str, scope: &str) -> String {
    use base64::Engine as _;
    let proof = base64::engine::general_purpose::STANDARD.encode(format!("robot:{SECRET}"));
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("resource", resource)
        .append_pair("scope", scope)
        .finish();
    let request = Request::post(format!("{issuer}/token"))
        .header("authorization", format!("Basic {proof}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(form))
        .unwrap();
    let answer = plain(request).await;
    let said = answer.json();
    let token = said["access_token"].as_str();
    token.unwrap_or_else(|| panic!("{said}")).to_owned()
}

async fn with_corp(corp: &Corp, wiki: &Backend, settings: Value) -> Running {
    let sign_in = json!({ "url": "https://login.localhost:{https}/" });
    Stand::new()
        .application_with("wiki", wiki, settings)
        .gateway_setting("sign_in", sign_in)
        .gateway_setting("identity_providers", json!([corp.setting()]))
        .environment("CORP_SECRET", SECRET)
        .start()
        .await
}

#[tokio::test]
async fn a_program_comes_in_with_an_access_token_of_the_provider() {
    let corp = Corp::new();
    let issuer = corp.issuer.clone();
    let wiki = Backend::echo().await;
    let settings = json!({
        "pre_authentication": ["oidc", "bearer"],
        "access": { "allow": [{ "scope": "wiki.read", "method": ["GET"] }, { "group": "staff" }] },
        "single_sign_on": { "headers": { "X-User": "{subject}" } },
    });
    let stand = with_corp(&corp, &wiki, settings).await;
    let _corp = corp.start(&stand).await;
    let page = stand.url("wiki", "/api/x");
    let resource = stand.url("wiki", "");
    // Somebody without a token is told where there are some.
    let none = ask(&stand, &page, &[]).await;
    assert_eq!(
        (none.status.as_u16(), code(&none)),
        (401, json!("token_required"))
    );
    let metadata = format!("{resource}/.well-known/oauth-protected-resource");
    let expected = format!("Bearer resource_metadata=\"{metadata}\"");
    assert_eq!(none.header("www-authenticate"), expected);
    let said = ask(&stand, &metadata, &[]).await.json();
    let expected = json!({
        "resource": resource,
        "resource_name": "wiki",
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["wiki.read"],
    });
    assert_eq!(said, expected);

    let bearer = |token: &str| format!("Bearer {token}");
    let read = bearer(&client_credentials(&issuer, &resource, "wiki.read").await);
    let write = bearer(&client_credentials(&issuer, &resource, "wiki.write").await);
    let other = client_credentials(&issuer, "https://other.example.com", "wiki.read").await;
    let other = bearer(&other);
    let good = ask(
        &stand,
        &page,
        &[("authorization", &read), ("x-user", "root")],
    )
    .await;
    assert_eq!(good.status, StatusCode::OK, "{}", good.text());
    let seen = good.json();
    assert_eq!(seen["headers"]["x-user"], Value::Null, "it is no person");
    assert_eq!(
        seen["headers"]["authorization"],
        Value::Null,
        "it is the gateway's"
    );
    // The slash at the end is nobody's business.
    let slash = bearer(&client_credentials(&issuer, &format!("{resource}/"), "wiki.read").await);
    assert_eq!(
        ask(&stand, &page, &[("authorization", &slash)])
            .await
            .status,
        StatusCode::OK
    );

    let invalid = format!(
        "Bearer error=\"invalid_token\", error_description=\"the access token is not for this \
         application\", resource_metadata=\"{metadata}\""
    );
    let scope = format!(
        "Bearer error=\"insufficient_scope\", scope=\"wiki.read\", resource_metadata=\"{metadata}\""
    );
    let malformed = format!("Bearer resource_metadata=\"{metadata}\"");
    for (what, token, status, expected) in [
        ("of another scope", &write, 403, &scope),
        ("for another", &other, 401, &invalid),
        (
            "of no provider",
            &bearer("a.b.c"),
            401,
            &format!(
                "Bearer error=\"invalid_token\", error_description=\"the access token is not accepted\", resource_metadata=\"{metadata}\""
            ),
        ),
        ("none", &"Basic YTpi".to_owned(), 401, &malformed),
    ] {
        let answer = ask(&stand, &page, &[("authorization", token)]).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_eq!(answer.header("www-authenticate"), expected, "{what}");
    }
    // Neither in the address nor in a form, nor beside a session.
    let in_query = format!("{page}?access_token={}", &read[7..]);
    let answer = ask(&stand, &in_query, &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer
            .header("www-authenticate")
            .contains("invalid_request")
    );
    let beside = [
        ("cookie", "__Host-appproxy=x"),
        ("authorization", read.as_str()),
    ];
    assert_eq!(
        ask(&stand, &page, &beside).await.status,
        StatusCode::BAD_REQUEST
    );
    let refused = ask(&stand, &page, &[("authorization", &other)]).await;
    let id = refused.header("x-request-id").to_owned();
    let line = stand.gateway().line("why it was refused", |line| {
        line.contains(&id) && line.contains("is for https://other.example.com")
    });
    let line = line.await;
    assert!(!line.contains(&other[7..]), "no token is in the log");

    // The application gets the token where that is wanted, and only from clients that are named.
    for (bearer, status, sees) in [
        (json!({ "forward": true }), 200, true),
        (json!({ "clients": ["robot"] }), 200, false),
        (json!({ "clients": ["cli"] }), 401, false),
        (
            json!({ "audience": ["https://other.example.com"] }),
            401,
            false,
        ),
    ] {
        edit(&stand.gateway_file(), |config| {
            applications(config)[0]["bearer"] = bearer.clone();
        });
        reload(&stand).await;
        let answer = ask(&stand, &page, &[("authorization", &read)]).await;
        assert_eq!(answer.status, status, "{bearer}");
        if status == 200 {
            let seen = answer.json();
            assert_eq!(
                seen["headers"]["authorization"].is_array(),
                sees,
                "{bearer}"
            );
        }
    }
}

/// A WebSocket that a token opened ends when the configuration does not take the token any more.
#[tokio::test]
async fn what_an_access_token_opened_is_judged_again() {
    let corp = Corp::new();
    let issuer = corp.issuer.clone();
    let (chat, _control) = Backend::demo().await;
    let settings = json!({
        "pre_authentication": ["bearer"],
        "access": { "allow": [{ "scope": "wiki.read" }] },
    });
    let stand = with_corp(&corp, &chat, settings).await;
    let _corp = corp.start(&stand).await;
    let resource = stand.url("wiki", "");
    let token = client_credentials(&issuer, &resource, "wiki.read").await;
    let mut request = "wss://wiki.localhost/ws".into_client_request().unwrap();
    let value = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", value);
    let (mut socket, _) = stand.client().websocket(request).await;
    edit(&stand.gateway_file(), |config| {
        let access = json!({ "allow": [{ "scope": "wiki.write" }] });
        applications(config)[0]["access"] = access;
    });
    reload(&stand).await;
    let close = close_of(&mut socket).await;
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "no longer allowed")
    );
}

/// A person at the command line: the program prints a token, with a browser that is anywhere.
#[tokio::test]
async fn a_person_logs_in_at_the_command_line() {
    let corp = Corp::new();
    let issuer = corp.issuer.clone();
    let wiki = Backend::echo().await;
    let settings = json!({
        "pre_authentication": ["bearer"],
        "access": { "allow": [{ "group": "staff" }] },
        "bearer": { "login": { "client_id": "cli", "scopes": ["openid", "wiki.read"] } },
        "single_sign_on": { "headers": { "X-User": "{subject}" } },
    });
    let stand = with_corp(&corp, &wiki, settings).await;
    let _corp = corp.start(&stand).await;
    let page = stand.url("wiki", "/api/x");
    let ca = stand.folder().join("ca.pem").display().to_string();
    for (who, status) in [("ann", 200), ("bob", 403)] {
        let mut login = tokio::process::Command::new(crate::harness::words::PROGRAM)
            .args(["login", &page, "--ca", &ca])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = tokio::io::BufReader::new(login.stderr.take().unwrap());
        let mut lines = tokio::io::AsyncBufReadExt::lines(said);
        let mut complete = None;
        while complete.is_none() {
            let line = lines.next_line().await.unwrap().expect("where to go");
            let at = line.strip_prefix("Or open ");
            complete = at.map(|rest| rest.split(',').next().unwrap().to_owned());
        }
        let complete = complete.unwrap();
        assert!(complete.starts_with(&issuer), "{complete}");
        let steps = json!([
            { "goto": complete },
            { "click": "button[type=submit]" },
            { "wait": "h1", "text": "Who are you?" },
            { "click": format!("[value={who}]") },
            { "wait": "h1", "text": "Success" },
        ]);
        let seen = stand.browse(&[], &steps).await;
        let last = seen["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(last["error"], Value::Null, "{seen:#}");
        let printed = login.wait_with_output().await.unwrap();
        assert!(printed.status.success());
        let token = String::from_utf8(printed.stdout).unwrap();
        assert_eq!(token.lines().count(), 1, "{token}");
        let field = format!("Bearer {}", token.trim_end());
        let answer = ask(&stand, &page, &[("authorization", &field)]).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 200 {
            assert_eq!(answer.json()["headers"]["x-user"], json!(["ann"]));
        }
    }
    // What takes no tokens says so, and what to do.
    let words = ["login", &stand.url("wiki", "/.appproxy/x"), "--ca", &ca];
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let refused = stand.program(&words, "").await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("nothing there takes access tokens"),
        "{}",
        refused.stderr
    );
}

/// Runs the client in Python; what it says on its way is for `said`.
async fn python_client(
    stand: &Running,
    arguments: &[&str],
    token: &str,
    said: impl AsyncFn(&str),
) -> String {
    let mut client = tokio::process::Command::new("python3")
        .arg(format!(
            "{}/tests/e2e/python/api_client.py",
            env!("CARGO_MANIFEST_DIR")
        ))
        .args(arguments)
        .env("SSL_CERT_FILE", stand.folder().join("ca.pem"))
        .env("SERVICE_TOKEN", token)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let errors = tokio::io::BufReader::new(client.stderr.take().unwrap());
    let mut lines = tokio::io::AsyncBufReadExt::lines(errors);
    let mut all = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        said(&line).await;
        all.push_str(&line);
        all.push('\n');
    }
    let printed = client.wait_with_output().await.unwrap();
    assert!(printed.status.success(), "{all}");
    String::from_utf8(printed.stdout).unwrap()
}

#[tokio::test]
async fn clients_in_python_come_in_by_each_way() {
    let corp = Corp::new();
    let wiki = Backend::echo().await;
    let settings = json!({
        "pre_authentication": ["service_token", "bearer"],
        "access": { "allow": [{ "token": "ci" }, { "group": "staff", "scope": "wiki.read" }] },
        "single_sign_on": { "headers": { "X-User": "{subject}" } },
        "paths": [
            { "path": "/pages/", "pre_authentication": ["oidc"],
              "access": { "allow": [{ "group": "staff" }] } },
        ],
    });
    let stand = with_corp(&corp, &wiki, settings).await;
    let _corp = corp.start(&stand).await;
    let api = stand.url("wiki", "/api/x");
    let token = service_token(&stand, &["--name", "ci", "--app", "wiki"]).await;
    ask_until(&stand, &api, (SERVICE, &token), 200).await;
    let token = token.trim_start_matches("Bearer ");
    let quiet = async |line: &str| println!("{line}");
    let printed = python_client(&stand, &["service", &api], token, quiet).await;
    assert!(
        printed.starts_with("200 ") && printed.contains("/api/x"),
        "{printed}"
    );

    // A person opens the address that it shows.
    let opens = async |line: &str| {
        let address = line
            .strip_prefix("open ")
            .unwrap_or_else(|| panic!("{line}"));
        let steps = json!([
            { "goto": address },
            { "click": "button[type=submit]" },
            { "wait": "h1", "text": "Who are you?" },
            { "click": "[value=ann]" },
            { "wait": "h1", "text": "Success" },
        ]);
        let seen = stand.browse(&[], &steps).await;
        let last = seen["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(last["error"], Value::Null, "{seen:#}");
    };
    let printed = python_client(&stand, &["device", &api], "", opens).await;
    assert!(printed.starts_with("200 "), "{printed}");
    assert!(printed.contains("\"x-user\":[\"ann\"]"), "{printed}");

    // An application on a telephone that shows pages and runs no script.
    let pages = stand.url("wiki", "/pages/first");
    let printed = python_client(&stand, &["mobile", &pages, "ann"], "", quiet).await;
    assert!(printed.starts_with("200 "), "{printed}");
    assert!(printed.contains("\"x-user\":[\"ann\"]"), "{printed}");
    let printed = python_client(&stand, &["mobile", &pages, "bob"], "", quiet).await;
    assert!(printed.starts_with("403 "), "{printed}");
}
