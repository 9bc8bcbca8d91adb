//! What the gateway itself says for an application: closed, robots, home, and promises of a host.

use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use serde_json::json;

use crate::harness::{Answer, Backend, Client, Recorder, Running, Stand, body, exchange, replies};

const STS: &str = "strict-transport-security";

fn both(stand: &Running) -> [Client; 2] {
    [stand.client().clone(), stand.client().http2()]
}

async fn ask(client: &Client, method: &str, url: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    Answer::read(client.send(request).await).await
}

/// An application that says these fields with every answer, and which path it was asked for.
async fn saying(fields: &'static [(&'static str, &'static str)]) -> Backend {
    Backend::answering(move |request: Request<hyper::body::Incoming>| async move {
        let mut response = Response::new(body(request.uri().to_string()));
        for (name, value) in fields {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        response
    })
    .await
}

#[tokio::test]
async fn a_closed_application_is_open_for_whom_it_names_and_asked_by_nobody_else() {
    let closed = Recorder::start().await;
    let open = Backend::text("ok").await;
    let message = "Back at <b>5</b> o'clock.";
    let settings = json!({
        "maintenance": { "message": message, "retry_after": "30m", "allow": ["127.0.0.2"] },
    });
    let stand = Stand::new()
        .application_with("closed", &closed.backend, settings)
        .application_with(
            "half",
            &open,
            json!({ "maintenance": { "allow": ["127.0.0.0/30"] } }),
        )
        .application_with("open", &open, json!({ "maintenance": false }))
        .application("usual", &open)
        .gateway_setting("maintenance", json!(true))
        .start()
        .await;
    let url = stand.url("closed", "/page?x");
    for client in both(&stand) {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "PROPFIND"] {
            let html = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
            let answer = ask(&client, method, &url, &html).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{method}");
            assert_eq!(
                answer.header("appproxy-answer"),
                "gateway;error=maintenance"
            );
            assert_eq!(answer.header("retry-after"), "1800");
            assert_eq!(answer.header("cache-control"), "no-store");
            if method != "HEAD" {
                let said = "<p>Back at &lt;b&gt;5&lt;/b&gt; o&#39;clock.</p>";
                assert!(answer.text().contains(said), "{}", answer.text());
            }
        }
        let answer = ask(&client, "GET", &url, &[("accept", "application/json")]).await;
        assert_eq!(answer.json()["error"]["notice"], message);
        let line = stand.access_line(answer.header("x-request-id")).await;
        assert_eq!(
            (&line["error"], &line["application"]),
            (&json!("maintenance"), &json!("closed"))
        );

        // The whole gateway's holds where an application says nothing.
        let usual = client.get(&stand.url("usual", "/")).await;
        assert_eq!(usual.header("appproxy-answer"), "gateway;error=maintenance");
        assert!(!usual.header("retry-after").is_empty());
        for open in ["open", "half"] {
            assert_eq!(client.get(&stand.url(open, "/")).await.text(), "ok");
        }
    }
    // A WebSocket is no way in.
    let handshake = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = ask(stand.client(), "GET", &url, &handshake).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    // Nor is what a client says of its address.
    let claims = [
        ("x-forwarded-for", "127.0.0.2"),
        ("forwarded", "for=127.0.0.2"),
    ];
    let answer = ask(stand.client(), "GET", &url, &claims).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(closed.taken(), "");

    let guest = stand.client().at([127, 0, 0, 2]);
    assert_eq!(ask(&guest, "GET", &url, &[]).await.status, StatusCode::OK);
    assert!(closed.taken().starts_with("GET /page?x HTTP/1.1\r\n"));
}

#[tokio::test]
async fn search_engines_are_told_to_stay_away_where_that_is_set() {
    let app = saying(&[("x-robots-tag", "all")]).await;
    let deny = json!({ "robots": "deny" });
    let below = |path: &str| json!({ "robots": "deny", "external_url": path });
    let stand = Stand::new()
        .application_with("deny", &app, deny)
        .application("usual", &app)
        .application_with("below", &app, below("https://below.localhost:{https}/app/"))
        .start()
        .await;
    for client in both(&stand) {
        for name in ["deny", "below"] {
            for method in ["GET", "HEAD"] {
                let url = stand.url(name, "/robots.txt");
                let answer = ask(&client, method, &url, &[]).await;
                assert_eq!(answer.status, StatusCode::OK, "{name}");
                assert_eq!(answer.header("content-length"), "26");
                assert_eq!(answer.header("appproxy-answer"), "gateway");
                let text = if method == "GET" {
                    "User-agent: *\nDisallow: /\n"
                } else {
                    ""
                };
                assert_eq!(answer.text(), text);
            }
        }
        let post = ask(&client, "POST", &stand.url("deny", "/robots.txt"), &[]).await;
        assert_eq!(post.text(), "/robots.txt");
        for (name, path, tag) in [
            ("deny", "/page", "noindex, nofollow"),
            ("below", "/app/page", "noindex, nofollow"),
            ("usual", "/robots.txt", "all"),
        ] {
            let answer = client.get(&stand.url(name, path)).await;
            assert_eq!(answer.header("x-robots-tag"), tag, "{name}");
        }
        let elsewhere = client.get(&stand.url("below", "/robots.txt.bak")).await;
        assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn who_asks_for_the_root_is_sent_home_and_nobody_else() {
    let app = saying(&[]).await;
    let stand = Stand::new()
        .application_with("wiki", &app, json!({ "home_path": "/start?a=b#/today" }))
        .application_with(
            "below",
            &app,
            json!({ "home_path": "/app/?start", "external_url": "https://below.localhost:{https}/app/" }),
        )
        .start()
        .await;
    for client in both(&stand) {
        for (name, path, home) in [
            ("wiki", "/", "/start?a=b#/today"),
            ("below", "/app/", "/app/?start"),
        ] {
            for method in ["GET", "HEAD"] {
                let answer = ask(&client, method, &stand.url(name, path), &[]).await;
                assert_eq!(answer.status, StatusCode::FOUND, "{name}");
                assert_eq!(answer.header("location"), home);
                assert_eq!(answer.header("cache-control"), "no-store");
            }
        }
        for (method, name, path, there) in [
            ("POST", "wiki", "/", "/"),
            ("OPTIONS", "wiki", "/", "/"),
            ("GET", "wiki", "/?", "/?"),
            ("GET", "wiki", "/?x", "/?x"),
            ("GET", "wiki", "/start?a=b", "/start?a=b"),
            ("GET", "wiki", "//", "//"),
            ("GET", "below", "/app/?start", "/?start"),
        ] {
            let answer = ask(&client, method, &stand.url(name, path), &[]).await;
            assert_eq!(
                (answer.status, answer.text()),
                (StatusCode::OK, there),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn rule_14_powers_over_a_whole_origin_are_the_operators() {
    const SHARED: &str = "https://shared.apps.localhost:{https}";
    const SAYS: &[(&str, &str)] = &[
        (STS, "max-age=99; includeSubDomains; preload"),
        ("clear-site-data", "\"*\""),
        ("alt-svc", "h3=\":443\""),
        ("service-worker-allowed", "/"),
    ];
    let app = saying(SAYS).await;
    let on = |path: &str| json!({ "external_url": format!("{SHARED}{path}") });
    let allowed = json!({
        "external_url": format!("{SHARED}/allowed/"), "clear_site_data": true,
    });
    let promised = json!({ "hsts": { "max_age": "365d", "include_subdomains": true } });
    let stand = Stand::new()
        .application("alone", &app)
        .application_with("promised", &app, promised)
        .application_with("one", &app, on("/one/"))
        .application_with("allowed", &app, allowed)
        .redirects()
        .start()
        .await;
    let own = "max-age=31536000; includeSubDomains";
    for client in both(&stand) {
        for (host, path, sts, clears, worker) in [
            ("alone", "/", "max-age=99", "\"*\"", "/"),
            ("promised", "/", own, "\"*\"", "/"),
            ("shared.apps", "/one/", "max-age=99", "", "/one/"),
            (
                "shared.apps",
                "/allowed/",
                "max-age=99",
                "\"*\"",
                "/allowed/",
            ),
        ] {
            let answer = client.get(&stand.url(host, path)).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.header(STS), sts, "{host}{path}");
            assert_eq!(answer.header("clear-site-data"), clears, "{host}{path}");
            assert_eq!(
                answer.header("service-worker-allowed"),
                worker,
                "{host}{path}"
            );
            assert_eq!(answer.header("alt-svc"), "");
        }
        // Pages and redirects of our own make the promise too.
        let bare = client.get(&stand.url("shared.apps", "/one")).await;
        assert_eq!(
            (bare.status, bare.header(STS)),
            (StatusCode::PERMANENT_REDIRECT, "")
        );
    }
    // A handshake without a key.
    let handshake = [("upgrade", "websocket"), ("connection", "upgrade")];
    let refused = ask(
        stand.client(),
        "GET",
        &stand.url("promised", "/"),
        &handshake,
    )
    .await;
    assert_eq!(
        (refused.status, refused.header(STS)),
        (StatusCode::BAD_REQUEST, own)
    );
    // Over plain HTTP no browser would believe it, and the redirect does not say it.
    let raw = tokio::net::TcpStream::connect(stand.plain_address())
        .await
        .unwrap();
    let head = "GET / HTTP/1.1\r\nHost: promised.localhost\r\nConnection: close\r\n\r\n";
    let answers = replies(&exchange(raw, head.as_bytes()).await);
    assert_eq!(
        (answers.len(), answers[0].status, answers[0].field(STS)),
        (1, 308, "")
    );
}

#[tokio::test]
async fn an_application_of_several_urls_is_one_and_stays_on_the_url_that_people_use() {
    // Tells where it is, as it knows it, and what it was told of the page that asks.
    let app = Backend::answering(async |request: Request<hyper::body::Incoming>| {
        let field = |name: &str| {
            let value = request.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let host = field("host");
        let text = [
            field("origin"),
            field("x-forwarded-host"),
            request.uri().to_string(),
        ]
        .join(" ");
        let mut response = Response::new(body(text));
        let fields = response.headers_mut();
        let location = format!("http://{host}/inside/next");
        fields.insert("location", location.parse().unwrap());
        fields.insert("set-cookie", "a=b; Path=/inside/".parse().unwrap());
        response
    })
    .await;
    let internal = format!("http://app.corp.internal:{}/inside/", app.address().port());
    let settings = json!({
        "external_url": "https://app.localhost:{https}/app/",
        "alternate_external_urls": [
            "https://other.apps.localhost:{https}/app/", "https://*.apps.localhost:{https}/app/",
        ],
        "internal_url": internal,
        "limits": { "requests_per_address": 40 },
        "home_path": "/app/home",
    });
    let stand = Stand::new()
        .application_with("app", &app, settings)
        .metrics()
        .start()
        .await;
    let origin = |host: &str| stand.url(host, "");
    for client in both(&stand) {
        for host in ["app", "other.apps", "any.apps"] {
            let url = stand.url(host, "/app/page");
            let own = origin(host);
            let answer = ask(
                &client,
                "GET",
                &url,
                &[("origin", own.trim_end_matches('/'))],
            )
            .await;
            assert_eq!(answer.status, StatusCode::OK, "{host}: {}", answer.text());
            assert_eq!(answer.header("location"), stand.url(host, "/app/next"));
            assert_eq!(answer.header("set-cookie"), "a=b; Path=/app/");
            let seen: Vec<_> = answer.text().split(' ').collect();
            let internal_origin = internal.trim_end_matches("/inside/");
            let forwarded = own.trim_start_matches("https://").trim_end_matches('/');
            assert_eq!(seen, [internal_origin, forwarded, "/inside/page"], "{host}");
            let line = stand.access_line(answer.header("x-request-id")).await;
            assert_eq!(line["application"], "app");

            // The origin of another of its URLs is a foreign one here (rule 18).
            let foreign = origin(if host == "app" { "other.apps" } else { "app" });
            let foreign = foreign.trim_end_matches('/');
            let answer = ask(&client, "GET", &url, &[("origin", foreign)]).await;
            assert!(
                answer.text().starts_with(&format!("{foreign} ")),
                "{}",
                answer.text()
            );

            let home = client.get(&stand.url(host, "/app/")).await;
            assert_eq!(home.header("location"), "/app/home");
            let bare = client.get(&stand.url(host, "/app")).await;
            assert_eq!(
                (bare.status.as_u16(), bare.header("location")),
                (308, "/app/")
            );
            let outside = client.get(&stand.url(host, "/")).await;
            assert_eq!(outside.status, StatusCode::NOT_FOUND);
        }
    }
}
