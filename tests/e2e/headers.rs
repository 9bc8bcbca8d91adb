//! What an application is told, what it is never told, and what of its answer changes.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{Empty, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::harness::{Answer, Backend, Client, Running, Stand, body, exchange, replies};

/// What only a proxy may say; `-` stands for every separator.
pub(crate) const DENIED: [&str; 24] = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-User",
    "X-Real-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-SSL-Client-Verify",
    "X-Original-URL",
    "X-Original-Host",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "Proxy",
    "Remote-User",
    "X-Request-Id",
    "Appproxy-Target",
    "Appproxy-Error",
    "Appproxy-Authorization",
];

const FORGED: &str = "forged";

/// A name in the spellings that applications take for it.
fn spellings(name: &str) -> [String; 4] {
    [
        name.to_owned(),
        name.to_uppercase(),
        name.replace('-', "_").to_lowercase(),
        name.replacen('-', "_", 1),
    ]
}

fn forged() -> Vec<(HeaderName, HeaderValue)> {
    DENIED
        .iter()
        .flat_map(|name| spellings(name))
        .map(|name| (name.parse().unwrap(), HeaderValue::from_static(FORGED)))
        .collect()
}

/// Forged fields, as they are and as trailers, over both versions: none arrives.
pub(crate) async fn no_forged_field_arrives() {
    let backend = Backend::echo().await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let forged = forged();
    assert_eq!(forged.len(), 24 * 4);
    let mut seen = 0;
    for client in [stand.client().clone(), stand.client().http2()] {
        // In four requests: there are more spellings than an application takes fields.
        for part in forged.chunks(24) {
            let mut request = Request::post("https://wiki.localhost/")
                .header("x-innocent", "stays")
                .header("te", "trailers")
                .header("trailer", announced(part))
                .body(with_trailers(part))
                .unwrap();
            for (name, value) in part {
                request.headers_mut().append(name, value.clone());
            }
            let answer = Answer::read(client.send(request).await).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let got = answer.json();
            assert_eq!(got["headers"]["x-innocent"], json!(["stays"]));
            assert_eq!(got["body"], "body");
            let text = got.to_string();
            assert!(!text.contains(FORGED), "{text}");
            assert_eq!(
                got["trailers"],
                json!({ "x-sum": ["42"] }),
                "{:?}",
                answer.version
            );
            seen += part.len();
        }
    }
    assert_eq!(seen, 192);
}

/// An HTTP/1 client sends only the trailers that it announced.
fn announced(forged: &[(HeaderName, HeaderValue)]) -> String {
    let names = forged.iter().map(|(name, _)| name.as_str());
    let names: Vec<&str> = names.chain(["x-sum", "authorization", "cookie"]).collect();
    names.join(", ")
}

fn with_trailers(
    forged: &[(HeaderName, HeaderValue)],
) -> impl http_body::Body<Data = bytes::Bytes, Error = std::convert::Infallible> + Send + use<> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("42"));
    for (name, value) in forged {
        trailers.append(name, value.clone());
    }
    // What must not come after a body at all.
    trailers.insert("authorization", HeaderValue::from_static(FORGED));
    trailers.insert("cookie", HeaderValue::from_static(FORGED));
    let frames = [Frame::data("body".into()), Frame::trailers(trailers)].map(Ok);
    StreamBody::new(futures_util::stream::iter(frames))
}

#[tokio::test]
async fn an_application_is_told_the_way_exactly() {
    let backend = Backend::echo().await;
    let stand = Stand::new()
        .redirects()
        .application("wiki", &backend)
        .application_with(
            "usual",
            &backend,
            json!({ "external_url": "https://usual.localhost/" }),
        )
        .application_with(
            "plain",
            &backend,
            json!({ "external_url": "http://plain.localhost:{http}/" }),
        )
        .start()
        .await;
    let port = stand.address().port();
    let http = stand.plain_address().port();
    let told = |host: String, port: u16, scheme: &str| {
        let quote = if host.contains(':') { "\"" } else { "" };
        json!({
            "forwarded": [format!("for=127.0.0.1;host={quote}{host}{quote};proto={scheme}")],
            "x-forwarded-for": ["127.0.0.1"],
            "x-forwarded-proto": [scheme],
            "x-forwarded-host": [host],
            "x-forwarded-port": [port.to_string()],
        })
    };
    let mut seen = 0;
    for client in [stand.client().clone(), stand.client().http2()] {
        for (url, expected) in [
            (
                "https://wiki.localhost/".to_owned(),
                told(format!("wiki.localhost:{port}"), port, "https"),
            ),
            (
                format!("https://WIKI.localhost:{port}/"),
                told(format!("wiki.localhost:{port}"), port, "https"),
            ),
            (
                "https://usual.localhost:443/".to_owned(),
                told("usual.localhost".to_owned(), 443, "https"),
            ),
        ] {
            let answer = client.get(&url).await.json();
            for (name, value) in expected.as_object().unwrap() {
                assert_eq!(answer["headers"][name], *value, "{name} of {url}");
            }
            seen += 1;
        }
    }
    let raw =
        format!("GET / HTTP/1.1\r\nHost: plain.localhost:{http}\r\nConnection: close\r\n\r\n");
    let stream = tokio::net::TcpStream::connect(stand.plain_address())
        .await
        .unwrap();
    let answer = replies(&exchange(stream, raw.as_bytes()).await);
    let answer: Value = serde_json::from_str(&answer[0].body).unwrap();
    for (name, value) in told(format!("plain.localhost:{http}"), http, "http")
        .as_object()
        .unwrap()
    {
        assert_eq!(answer["headers"][name], *value, "{name} over plain HTTP");
    }
    assert_eq!(seen, 6);
}

#[tokio::test]
async fn hop_by_hop_fields_end_at_the_gateway_and_options_remove_nothing_of_ours() {
    let backend = Backend::echo().await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let port = stand.address().port();
    let raw = format!(
        "GET / HTTP/1.1\r\nHost: wiki.localhost:{port}\r\n\
         Connection: close, X-Mine, X-Forwarded-For, Forwarded, X-Request-Id, Cookie, Authorization, Host, appproxy-target\r\n\
         X-Mine: 1\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAA\r\nProxy-Authorization: Basic x\r\nTE: gzip, trailers\r\n\
         Cookie: a=1\r\nAuthorization: Bearer x\r\nX-Yours: 2\r\n\r\n"
    );
    let stream = stand.client().raw("wiki.localhost").await;
    let answer = replies(&exchange(stream, raw.as_bytes()).await);
    let seen: Value = serde_json::from_str(&answer[0].body).unwrap();
    let mut names: Vec<&str> = seen["headers"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "cookie",
            "forwarded",
            "host",
            "te",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-request-id",
            "x-yours",
        ]
    );
    assert_eq!(seen["headers"]["te"], json!(["trailers"]));
    assert_eq!(seen["headers"]["x-forwarded-for"], json!(["127.0.0.1"]));
}

/// `host_header`, and `Origin` and `Referer` with it.
pub(crate) async fn the_host_header_is_the_internal_the_external_or_a_fixed_one() {
    let backend = Backend::echo().await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .application_with("outer", &backend, json!({ "host_header": "external" }))
        .application_with(
            "fixed",
            &backend,
            json!({ "host_header": "intranet.example:8080" }),
        )
        .start()
        .await;
    let internal = format!("wiki.corp.internal:{}", backend.address().port());
    let external = format!("outer.localhost:{}", stand.address().port());
    let mut seen = 0;
    for client in [stand.client().clone(), stand.client().http2()] {
        for (name, host, rewritten) in [
            (
                "wiki",
                internal.as_str(),
                Some(format!("http://{internal}")),
            ),
            ("outer", external.as_str(), None),
            (
                "fixed",
                "intranet.example:8080",
                Some("http://intranet.example:8080".to_owned()),
            ),
        ] {
            let own = stand.url(name, "");
            let foreign = format!("https://{name}.localhost");
            for (origin, told) in [
                (
                    own.clone(),
                    rewritten.clone().unwrap_or_else(|| own.clone()),
                ),
                (foreign.clone(), foreign),
                (
                    "https://evil.example".to_owned(),
                    "https://evil.example".to_owned(),
                ),
                (format!("{own}.evil.example"), format!("{own}.evil.example")),
                ("null".to_owned(), "null".to_owned()),
            ] {
                let request = Request::get(stand.url(name, "/"))
                    .header("origin", &origin)
                    .header("referer", format!("{origin}/page?a=b"))
                    .body(Empty::new())
                    .unwrap();
                let answer = Answer::read(client.send(request).await).await.json();
                assert_eq!(answer["headers"]["host"], json!([host]), "{name}");
                assert_eq!(
                    answer["headers"]["origin"],
                    json!([told]),
                    "{name}: {origin}"
                );
                assert_eq!(
                    answer["headers"]["referer"],
                    json!([format!("{told}/page?a=b")]),
                    "{name}: {origin}"
                );
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 30);
}

/// An application that answers with the fields the path asks for.
async fn saying() -> Backend {
    Backend::answering(|request| async move {
        let mut response = Response::new(body("hello"));
        for field in request.headers().get_all("x-say") {
            let (name, value) = field.to_str().unwrap().split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    })
    .await
}

async fn said(client: &Client, stand: &Running, name: &str, field: &str) -> Vec<String> {
    let request = Request::get(stand.url(name, "/app/")).header("x-say", field);
    let request = request.body(Empty::new()).unwrap();
    let answer = Answer::read(client.send(request).await).await;
    assert_eq!(answer.text(), "hello", "{field}");
    let name = field.split(':').next().unwrap();
    let values = answer.headers.get_all(name).iter();
    values
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

pub(crate) async fn location_and_set_cookie_become_external() {
    let backend = saying().await;
    let stand = Stand::new()
        .application_with(
            "wiki",
            &backend,
            json!({
                "external_url": "https://wiki.localhost:{https}/app/",
                "internal_url": "http://wiki.corp.internal:{backend}/base/",
            }),
        )
        .application_with(
            "left",
            &backend,
            json!({
                "external_url": "https://left.localhost:{https}/app/",
                "internal_url": "http://left.corp.internal:{backend}/base/",
                "link_translation": { "headers": false },
            }),
        )
        .start()
        .await;
    let inner = format!("wiki.corp.internal:{}", backend.address().port());
    let outer = format!("wiki.localhost:{}", stand.address().port());
    let cases = [
        (
            format!("Location: http://{inner}/base/a?b#c"),
            vec![format!("https://{outer}/app/a?b#c")],
        ),
        (
            format!("Location: http://{}/base/a", inner.to_uppercase()),
            vec![format!("https://{outer}/app/a")],
        ),
        (
            format!("Location: //{inner}/base/a"),
            vec![format!("//{outer}/app/a")],
        ),
        ("Location: /base/a".to_owned(), vec!["/app/a".to_owned()]),
        ("Location: a/b".to_owned(), vec!["a/b".to_owned()]),
        (
            format!("Location: http://{inner}/elsewhere"),
            vec![format!("http://{inner}/elsewhere")],
        ),
        (
            "Location: https://example.com/base/".to_owned(),
            vec!["https://example.com/base/".to_owned()],
        ),
        (
            "Location: http://wiki.corp.internal/base/".to_owned(),
            vec!["http://wiki.corp.internal/base/".to_owned()],
        ),
        (
            format!("Content-Location: http://{inner}/base/x"),
            vec![format!("https://{outer}/app/x")],
        ),
        (
            "Set-Cookie: a=b; Path=/base/x; HttpOnly".to_owned(),
            vec!["a=b; Path=/app/x; HttpOnly".to_owned()],
        ),
        (
            "Set-Cookie: a=b; Domain=corp.internal; Secure".to_owned(),
            vec!["a=b; Secure".to_owned()],
        ),
        (
            "Set-Cookie: a=b; domain=localhost".to_owned(),
            vec!["a=b".to_owned()],
        ),
        (
            "Set-Cookie: a=\"x; Domain=y\"; Path=/".to_owned(),
            vec!["a=\"x; Path=/".to_owned()],
        ),
        (
            "Set-Cookie: __Host-x=1; Path=/; Secure".to_owned(),
            vec!["__Host-x=1; Path=/; Secure".to_owned()],
        ),
        (
            "Set-Cookie: __Host-appproxy=1; Path=/; Secure".to_owned(),
            vec![],
        ),
        ("Set-Cookie: __host-APPPROXY-x=1".to_owned(), vec![]),
        ("Set-Cookie: appproxy-session=1".to_owned(), vec![]),
        ("Set-Cookie: =appproxy-session=1".to_owned(), vec![]),
        ("Alt-Svc: h3=\":443\"".to_owned(), vec![]),
        ("Appproxy-Answer: gateway".to_owned(), vec![]),
        ("Keep-Alive: timeout=5".to_owned(), vec![]),
        ("Proxy-Authenticate: Basic".to_owned(), vec![]),
        ("X-Anything: stays".to_owned(), vec!["stays".to_owned()]),
    ];
    let count = cases.len();
    for (field, expected) in cases {
        for client in [stand.client().clone(), stand.client().http2()] {
            assert_eq!(
                said(&client, &stand, "wiki", &field).await,
                expected,
                "{field}"
            );
        }
    }
    assert_eq!(count, 23);
    // Where it is switched off, links stay; cookies are confined all the same.
    let location = "Location: http://left.corp.internal/base/";
    assert_eq!(
        said(stand.client(), &stand, "left", location).await,
        ["http://left.corp.internal/base/"]
    );
    let cookie = "Set-Cookie: a=b; Domain=localhost; Path=/base/";
    assert_eq!(
        said(stand.client(), &stand, "left", cookie).await,
        ["a=b; Path=/base/"]
    );
}

/// An application that says the fields it is asked for, and of a copy where it would go.
async fn naming_itself() -> Backend {
    Backend::answering(|request| async move {
        let mut response = Response::new(body("hello"));
        let answer = response.headers_mut();
        for field in request.headers().get_all("x-say") {
            let (name, value) = field.to_str().unwrap().split_once(": ").unwrap();
            answer.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        for name in ["destination", "if", "overwrite"] {
            for value in request.headers().get_all(name) {
                let seen: HeaderName = format!("x-seen-{name}").parse().unwrap();
                answer.append(seen, value.clone());
            }
        }
        if let Some(destination) = request.headers().get("destination") {
            answer.insert("location", destination.clone());
            *response.status_mut() = http::StatusCode::CREATED;
        }
        response
    })
    .await
}

/// A stand with that application below a path, translated and not.
async fn published_below_a_path(backend: &Backend) -> Running {
    let settings = |name: &str, more: Value| {
        let mut settings = json!({
            "external_url": format!("https://{name}.localhost:{{https}}/app/"),
            "internal_url": format!("http://{name}.corp.internal:{{backend}}/base/"),
        });
        let more = more.as_object().unwrap().clone();
        settings.as_object_mut().unwrap().extend(more);
        settings
    };
    let off =
        json!({ "link_translation": { "headers": false, "cookie_domains": ["left.localhost"] } });
    Stand::new()
        .application_with("wiki", backend, settings("wiki", json!({})))
        .application_with("left", backend, settings("left", off))
        .start()
        .await
}

#[tokio::test]
async fn every_field_in_which_an_application_names_itself_names_the_external_url() {
    let backend = naming_itself().await;
    let stand = published_below_a_path(&backend).await;
    let port = backend.address().port();
    let inner = format!("wiki.corp.internal:{port}");
    let outer = format!("wiki.localhost:{}", stand.address().port());
    let cases: Vec<(String, String)> = [
        ("Location", "http://IN/base/a?b", "https://OUT/app/a?b"),
        ("Content-Location", "/base/a", "/app/a"),
        ("Refresh", "5; URL='http://IN/base/a'", "5; URL='https://OUT/app/a'"),
        (
            "Link",
            "<http://IN/base/a,b>; rel=x; title=\"</base/>\"; anchor=\"/base/\", </base/c>",
            "<https://OUT/app/a,b>; rel=x; title=\"</base/>\"; anchor=\"/app/\", </app/c>",
        ),
        ("Access-Control-Allow-Origin", "http://IN", "https://OUT"),
        (
            "Content-Security-Policy",
            "default-src 'self' IN ws://IN http://IN/base/js/ *.corp.internal:*; report-uri /base/r",
            "default-src 'self' OUT wss://OUT https://OUT/app/js/ *.corp.internal:* OUT; report-uri /app/r",
        ),
        (
            "Content-Security-Policy-Report-Only",
            "frame-ancestors http://IN https://other.example",
            "frame-ancestors https://OUT https://other.example",
        ),
        ("Reporting-Endpoints", "a=\"http://IN/base/r\"", "a=\"https://OUT/app/r\""),
        ("SourceMap", "http://IN/base/a.map", "https://OUT/app/a.map"),
        (
            "Set-Cookie",
            "a=b; Domain=wiki.corp.internal; Path=/base/; Secure ; SameSite=None",
            "a=b; Path=/app/; Secure ; SameSite=None",
        ),
        ("X-Frame-Options", "ALLOW-FROM http://IN/", "ALLOW-FROM http://IN/"),
    ]
    .iter()
    .map(|(name, sent, seen)| {
        let sent = format!("{name}: {}", sent.replace("IN", &inner));
        (sent, seen.replace("OUT", &outer).replace("IN", &inner))
    })
    .collect();
    assert_eq!(cases.len(), 11);
    let guessed = format!("wiki.localhost:{port}");
    for client in [stand.client().clone(), stand.client().http2()] {
        // All of them in one answer, by the internal name and as the application guesses the
        // external one: the host that people use at its own port.
        for own in [&inner, &guessed] {
            let mut request = Request::get(stand.url("wiki", "/app/"));
            for (sent, _) in &cases {
                request = request.header("x-say", sent.replace(&inner, own));
            }
            let answer = Answer::read(client.send(request.body(Empty::new()).unwrap()).await).await;
            assert_eq!(answer.text(), "hello");
            for (sent, seen) in &cases {
                let name = sent.split(':').next().unwrap();
                let foreign = name == "X-Frame-Options";
                let seen = if foreign {
                    &seen.replace(&inner, own)
                } else {
                    seen
                };
                assert_eq!(answer.header(name), *seen, "{name} by {own}");
            }
        }
    }
    let listed = "Set-Cookie: a=b; Domain=left.localhost; Path=/base/";
    let kept = said(stand.client(), &stand, "left", listed).await;
    assert_eq!(kept, ["a=b; Domain=left.localhost; Path=/base/"]);
}

#[tokio::test]
async fn a_webdav_copy_goes_where_it_is_published_and_nowhere_else() {
    let backend = naming_itself().await;
    let stand = published_below_a_path(&backend).await;
    let copy = |client: Client, name: &'static str, destination: String, condition: String| {
        let request = Request::builder()
            .method("COPY")
            .uri(stand.url(name, "/app/a"))
            .header("destination", destination)
            .header("if", condition)
            .header("overwrite", "F")
            .body(Empty::new())
            .unwrap();
        async move { Answer::read(client.send(request).await).await }
    };
    let outer = format!("https://wiki.localhost:{}/app", stand.address().port());
    let inner = format!(
        "http://wiki.corp.internal:{}/base",
        backend.address().port()
    );
    let mut seen = 0;
    for client in [stand.client().clone(), stand.client().http2()] {
        let condition = |url: &str| format!("<{url}/b%20c> (<opaquelocktoken:1> [\"e\"])");
        let there = format!("{outer}/b%20c%2Bd?x");
        let answer = copy(client.clone(), "wiki", there.clone(), condition(&outer)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(
            answer.header("x-seen-destination"),
            format!("{inner}/b%20c%2Bd?x")
        );
        assert_eq!(answer.header("x-seen-if"), condition(&inner));
        assert_eq!(answer.header("x-seen-overwrite"), "F");
        assert_eq!(answer.header("location"), there);
        // Another server is for the application to refuse.
        let other = "https://other.example/base/b".to_owned();
        let answer = copy(
            client.clone(),
            "wiki",
            other.clone(),
            "(<urn:x>)".to_owned(),
        )
        .await;
        assert_eq!(answer.header("x-seen-destination"), other);
        for (name, destination, condition) in [
            (
                "wiki",
                outer.replace("/app", "/secret"),
                "(<urn:x>)".to_owned(),
            ),
            (
                "wiki",
                inner.replace("/base", "/secret"),
                "(<urn:x>)".to_owned(),
            ),
            ("wiki", format!("{outer}/../secret"), "(<urn:x>)".to_owned()),
            (
                "wiki",
                format!("{outer}/%2e%2e/secret"),
                "(<urn:x>)".to_owned(),
            ),
            ("wiki", "/secret".to_owned(), "(<urn:x>)".to_owned()),
            (
                "wiki",
                format!("{outer}/b"),
                "</secret> ([\"e\"])".to_owned(),
            ),
            ("wiki", format!("{outer}/b"), "(not closed".to_owned()),
            ("left", "/secret".to_owned(), "(<urn:x>)".to_owned()),
        ] {
            let answer = copy(client.clone(), name, destination.clone(), condition).await;
            assert_eq!(answer.status, 400, "{destination}: {}", answer.text());
            assert_eq!(
                answer.header("appproxy-answer"),
                "gateway;error=bad_request",
                "{destination}"
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 16);
}

/// Our cookies go, all others pass octet for octet, whatever the version and the splitting.
pub(crate) async fn no_cookie_of_ours_arrives() {
    let backend = Backend::echo().await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let mut seen = 0;
    for client in [stand.client().clone(), stand.client().http2()] {
        for (fields, expected) in [
            (&["a=1; b=\"x y\""][..], json!(["a=1; b=\"x y\""])),
            (&["a=1; __Host-appproxy=t; b=2"], json!(["a=1; b=2"])),
            (&["__Host-appproxy-x=t"], Value::Null),
            (&["a=1", "appproxy-nonce=t", "b=2"], json!(["a=1; b=2"])),
            (&["a=1;\tappproxy-x=t;b=2"], json!(["a=1;b=2"])),
            (&["__HOST-APPPROXY=t; a=1"], json!(["a=1"])),
            (
                &["__Secure-appproxy=t; a=appproxy-x"],
                json!(["a=appproxy-x"]),
            ),
        ] {
            let mut request = Request::get("https://wiki.localhost/")
                .body(Empty::new())
                .unwrap();
            for field in fields {
                request
                    .headers_mut()
                    .append("cookie", HeaderValue::from_static(field));
            }
            let answer = Answer::read(client.send(request).await).await.json();
            assert_eq!(answer["headers"]["cookie"], expected, "{fields:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 14);
}
