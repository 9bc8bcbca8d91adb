//! Data: what programs read, and what they write back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{gunzip, gzip};
use crate::harness::{Answer, Backend, Client, ResponseBody, Running, Stand, body};

/// What an application was sent last.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
}

/// An application that keeps what it is sent at a path, and shows it there.
#[derive(Clone, Default)]
pub(super) struct Keeper {
    kept: Arc<Mutex<BTreeMap<String, (String, Bytes)>>>,
    sent: Arc<Mutex<Sent>>,
}

impl Keeper {
    pub(super) fn keep(&self, path: &str, kind: &str, octets: impl Into<Bytes>) {
        let mut kept = self.kept.lock().unwrap();
        kept.insert(path.to_owned(), (kind.to_owned(), octets.into()));
    }

    pub(super) fn kept(&self, path: &str) -> String {
        let octets = self.kept.lock().unwrap()[path].1.clone();
        String::from_utf8(octets.to_vec()).unwrap()
    }

    pub(super) fn sent(&self) -> Sent {
        self.sent.lock().unwrap().clone()
    }

    pub(super) async fn backend(&self) -> Backend {
        let keeper = self.clone();
        Backend::answering(move |request| {
            let keeper = keeper.clone();
            async move { keeper.answer(request).await }
        })
        .await
    }

    async fn answer(self, request: Request<Incoming>) -> Response<ResponseBody> {
        let (parts, incoming) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let mut answer: Response<ResponseBody> = Response::new(body(""));
        let tag = "\"v1\"";
        if parts.method == Method::GET {
            let kept = self.kept.lock().unwrap().get(&path).cloned();
            let Some((kind, octets)) = kept else {
                *answer.status_mut() = StatusCode::NOT_FOUND;
                return answer;
            };
            answer
                .headers_mut()
                .insert("content-type", kind.parse().unwrap());
            answer.headers_mut().insert("etag", tag.parse().unwrap());
            match parts
                .headers
                .get("if-none-match")
                .is_some_and(|known| known == tag)
            {
                true => *answer.status_mut() = StatusCode::NOT_MODIFIED,
                false => *answer.body_mut() = body(octets),
            }
            return answer;
        }
        let Ok(octets) = incoming.collect().await.map(Collected::to_bytes) else {
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            return answer;
        };
        if path == "/refused" {
            *answer.status_mut() = StatusCode::FORBIDDEN;
            return answer;
        }
        let kind = parts.headers["content-type"].to_str().unwrap().to_owned();
        self.keep(&path, &kind, octets.clone());
        *self.sent.lock().unwrap() = Sent {
            fields: parts.headers,
            body: octets,
        };
        *answer.status_mut() = StatusCode::CREATED;
        answer
    }
}

pub(super) async fn get(client: &Client, url: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    Answer::read(client.send(request).await).await
}

async fn write(
    client: &Client,
    (method, url): (Method, &str),
    octets: impl Into<Bytes>,
    fields: &[(&str, &str)],
) -> Answer {
    let octets = octets.into();
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::from(octets)).unwrap();
    Answer::read(client.send(request).await).await
}

/// A wiki and a blog, and how the wiki calls them: inside and outside.
struct Two {
    stand: Running,
    wiki: Keeper,
    _backends: [Backend; 2],
    inside: [String; 2],
    outside: [String; 2],
}

impl Two {
    async fn start(settings: Value) -> Self {
        let wiki = Keeper::default();
        let (own, other) = (wiki.backend().await, Backend::text("blog").await);
        let ports = [own.address().port(), other.address().port()];
        let stand = Stand::new()
            .application_with("wiki", &own, json!({ "link_translation": settings }))
            .application("blog", &other)
            .start()
            .await;
        let https = stand.address().port();
        let names = ["wiki", "blog"];
        let mut at = 0..2;
        let inside = names.map(|name| {
            let at = at.next().unwrap();
            format!("http://{name}.corp.internal:{}", ports[at])
        });
        let outside = names.map(|name| format!("https://{name}.localhost:{https}"));
        Self {
            stand,
            wiki,
            _backends: [own, other],
            inside,
            outside,
        }
    }

    /// The same text as the application says it, and as people see it.
    fn both(&self, text: &str) -> (String, String) {
        let of = |urls: &[String; 2]| {
            let escaped = |url: &String| url.replace('/', "\\/");
            let encoded = |url: &String| url.replace(':', "%3A").replace('/', "%2F");
            let port = |url: &String| url.split_once("//").unwrap().1.to_owned();
            text.replace("{wiki}", &urls[0])
                .replace("{blog}", &urls[1])
                .replace("{wiki|host}", &port(&urls[0]))
                .replace("{wiki|escaped}", &escaped(&urls[0]))
                .replace("{wiki|encoded}", &encoded(&urls[0]))
        };
        (of(&self.inside), of(&self.outside))
    }

    fn url(&self, path: &str) -> String {
        self.stand.url("wiki", path)
    }
}

const CASES: [(&str, &str, &str); 8] = [
    (
        "/a.json",
        "application/json; charset=utf-8",
        r#"{"home":"{wiki|escaped}\/a\/b?c","other":"{blog}/x","else":"http:\/\/else.corp\/","root":"/a"}"#,
    ),
    (
        "/a.jsonld",
        "application/ld+json",
        r#"{"@id":"{wiki}/a#b"}"#,
    ),
    (
        "/events",
        "text/event-stream",
        "data: {\"to\":\"{wiki}/a\"}\n\n",
    ),
    (
        "/a.js",
        "text/javascript",
        "fetch('{wiki}/api'); open(`{blog}/${page}`); let a = \"//{wiki|host}/x\", b = '{wiki|encoded}%2Fx';",
    ),
    (
        "/a.xml",
        "application/atom+xml",
        "<feed xmlns=\"http://www.w3.org/2005/Atom\"><link href=\"{wiki}/a?b&amp;c\"/><id>{blog}/1</id></feed>",
    ),
    (
        "/a.svg",
        "image/svg+xml",
        "<svg xmlns:xlink=\"http://www.w3.org/1999/xlink\"><a xlink:href=\"{wiki}/a\"/></svg>",
    ),
    ("/a.txt", "text/plain", "See {wiki}/a. Or ({blog}/b)!\n"),
    (
        "/page",
        "text/html",
        "<script>let a = \"{wiki|escaped}\\/x\";</script><script type=application/json>{\"a\":\"{blog}/\"}</script>\
         <a href={wiki}/b onclick=\"go('{wiki}/c')\">text {wiki}/d</a>",
    ),
];

/// As people see it, where text of pages stays as it is.
fn seen(two: &Two, (path, _, text): (&str, &str, &str)) -> (String, String) {
    let (inside, outside) = two.both(text);
    match path {
        "/page" => {
            let text = |urls: &[String; 2]| format!("text {}/d", urls[0]);
            let outside = outside.replace(&text(&two.outside), &text(&two.inside));
            (inside, outside)
        }
        _ => (inside, outside),
    }
}

#[tokio::test]
async fn links_in_data_and_scripts_lead_through_the_gateway() {
    let all = json!({ "body": ["html", "css", "json", "javascript", "xml", "text"] });
    let two = Two::start(all).await;
    let client = two.stand.client();
    let mut ran = 0;
    for (path, kind, text) in CASES {
        let (inside, outside) = seen(&two, (path, kind, text));
        two.wiki.keep(path, kind, inside);
        let answer = get(client, &two.url(path), &[]).await;
        assert_eq!(answer.text(), outside, "{path}");
        assert_eq!(answer.header("content-length"), "", "{path}");
        let tag = answer.header("etag").to_owned();
        assert!(tag.starts_with("\"v1-apx"), "{path}: {tag}");
        let known = get(client, &two.url(path), &[("if-none-match", &tag)]).await;
        assert_eq!(known.status, StatusCode::NOT_MODIFIED, "{path}");
        ran += 1;
    }
    assert_eq!(ran, 8);
    // Others pass.
    let (inside, _) = two.both("{wiki}/a");
    two.wiki
        .keep("/a.bin", "application/octet-stream", inside.clone());
    let answer = get(client, &two.url("/a.bin"), &[]).await;
    assert_eq!((answer.text(), answer.header("etag")), (&*inside, "\"v1\""));
}

/// What is asked for is known only when the answer comes.
#[tokio::test]
async fn a_part_of_what_is_translated_is_the_whole_of_it() {
    let backend = Backend::answering(|request| async move {
        let port = request.headers()["host"]
            .to_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned();
        let whole = format!("[\"http://wiki.corp.internal:{port}/\"]");
        let part = request.headers().contains_key("range");
        let octets = match part {
            true => whole[..4].to_owned(),
            false => whole,
        };
        let mut answer: Response<ResponseBody> = Response::new(body(octets));
        let path = request.uri().path();
        let kind = match path {
            "/a.mp4" => "video/mp4",
            _ => "application/json",
        };
        answer
            .headers_mut()
            .insert("content-type", kind.parse().unwrap());
        if path == "/as-sent.json" {
            let no = "no-transform".parse().unwrap();
            answer.headers_mut().insert("cache-control", no);
        }
        if part {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            answer
                .headers_mut()
                .insert("content-range", "bytes 0-3/99".parse().unwrap());
        }
        answer
    })
    .await;
    let settings = json!({ "link_translation": { "body": ["json"] } });
    let stand = Stand::new()
        .application_with("wiki", &backend, settings)
        .start()
        .await;
    let range = [("range", "bytes=0-3")];
    let answer = get(stand.client(), &stand.url("wiki", "/a.json"), &range).await;
    let https = stand.address().port();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.text(),
        format!("[\"https://wiki.localhost:{https}/\"]")
    );
    let answer = get(stand.client(), &stand.url("wiki", "/as-sent.json"), &range).await;
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    let answer = get(stand.client(), &stand.url("wiki", "/a.mp4"), &range).await;
    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::PARTIAL_CONTENT, "[\"ht")
    );
}

#[tokio::test]
async fn what_is_not_asked_for_passes() {
    let two = Two::start(json!({ "body": ["html", "css"] })).await;
    let client = two.stand.client();
    for (path, kind, text) in CASES {
        let (inside, _) = two.both(text);
        two.wiki.keep(path, kind, inside.clone());
        let answer = get(client, &two.url(path), &[]).await;
        if path == "/page" {
            let link = |urls: &[String; 2]| format!("<a href={}/b", urls[0]);
            let expected = inside.replace(&link(&two.inside), &link(&two.outside));
            assert_eq!(answer.text(), expected);
        } else {
            assert_eq!(answer.text(), inside, "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_read_is_written_back_as_it_was() {
    let exclude = json!([{ "paths": ["/signed/"] }]);
    let settings =
        json!({ "body": ["html", "json", "xml", "text"], "round_trip": true, "exclude": exclude });
    let two = Two::start(settings).await;
    let clients = [two.stand.client().clone(), two.stand.client().http2()];
    let mut ran = 0;
    for client in &clients {
        for (path, kind, text) in CASES {
            if path == "/a.js" {
                continue;
            }
            // Scripts of the page stay here.
            let text = match path {
                "/page" => "<a href={wiki}/b?c><img srcset='{blog}/i.png 2x'></a>",
                _ => text,
            };
            let (inside, outside) = two.both(text);
            two.wiki.keep(path, kind, inside.clone());
            let read = get(client, &two.url(path), &[]).await;
            assert_eq!(read.text(), outside, "{path}");
            let fields = [
                ("content-type", kind),
                ("content-length", &outside.len().to_string()),
                ("content-md5", "x"),
                ("repr-digest", "sha-256=:x:"),
            ];
            let put = (Method::PUT, &*two.url(path));
            let answer = write(client, put, outside.clone(), &fields).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{path}");
            assert_eq!(two.wiki.kept(path), inside, "{path}");
            let sent = two.wiki.sent();
            assert_eq!(
                sent.fields["content-length"],
                inside.len().to_string(),
                "{path}"
            );
            assert!(!sent.fields.contains_key("content-md5"), "{path}");
            assert!(!sent.fields.contains_key("repr-digest"), "{path}");
            // And it is read as it was before.
            let again = get(client, &two.url(path), &[]).await;
            assert_eq!(again.text(), outside, "{path}");
            ran += 1;
        }
    }
    assert_eq!(ran, 14);

    let client = two.stand.client();
    // A form.
    let (inside, outside) = two.both("a=b&to={wiki|encoded}%2Fa&c=+");
    let length = outside.len().to_string();
    let fields = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-length", &length),
    ];
    write(client, (Method::POST, &two.url("/form")), outside, &fields).await;
    assert_eq!(two.wiki.kept("/form"), inside);
    // The same where a person sends it: a hidden field had the external URL.
    let navigates = [&fields[..], &[("sec-fetch-mode", "navigate")]].concat();
    let (_, outside) = two.both("a=b&to={wiki|encoded}%2Fa&c=+");
    let form = (Method::POST, &*two.url("/by-hand"));
    write(client, form, outside.clone(), &navigates).await;
    assert_eq!(two.wiki.kept("/by-hand"), inside);
    write(
        client,
        (Method::POST, &two.url("/signed/form")),
        outside.clone(),
        &fields,
    )
    .await;
    assert_eq!(two.wiki.kept("/signed/form"), outside);
    // Packed, and longer than what is waited for.
    let text = r#"["{wiki}/a", 1],"#.repeat(20_000);
    let (inside, outside) = two.both(&text);
    let packed = gzip(&outside);
    let fields = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    write(client, (Method::PATCH, &two.url("/long")), packed, &fields).await;
    let sent = two.wiki.sent();
    assert_eq!(gunzip(&sent.body), inside);
    let long = [
        ("content-type", "application/json"),
        ("content-length", &outside.len().to_string()),
    ];
    write(client, (Method::PUT, &two.url("/long")), outside, &long).await;
    assert_eq!(two.wiki.kept("/long"), inside);
    assert!(!two.wiki.sent().fields.contains_key("content-length"));
    // What is no form, no data, or packed in a way nobody knows comes as it is sent.
    let (_, outside) = two.both("{wiki}/a");
    for fields in [
        [
            ("content-type", "multipart/form-data; boundary=x"),
            ("content-md5", "x"),
        ],
        [
            ("content-type", "application/octet-stream"),
            ("content-md5", "x"),
        ],
        [
            ("content-type", "application/json"),
            ("content-encoding", "zstd"),
        ],
        [
            ("content-type", "application/json"),
            ("content-encoding", "br"),
        ],
    ] {
        let length = outside.len().to_string();
        let fields = [&fields[..], &[("content-length", &length)]].concat();
        write(
            client,
            (Method::POST, &two.url("/as-it-is")),
            outside.clone(),
            &fields,
        )
        .await;
        assert_eq!(two.wiki.kept("/as-it-is"), outside, "{fields:?}");
        assert_eq!(
            two.wiki.sent().fields["content-length"],
            outside.len().to_string()
        );
    }
    // Half of something packed is no body.
    let half = gzip(&outside.repeat(5000));
    let half = half[..half.len() / 2].to_vec();
    let fields = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    let before = two.wiki.kept("/long");
    let answer = write(client, (Method::PUT, &two.url("/long")), half, &fields).await;
    assert!(!answer.status.is_success(), "{}", answer.status);
    assert_eq!(two.wiki.kept("/long"), before);
}

#[tokio::test]
async fn data_that_programs_write_stays_as_it_is() {
    let all = json!({ "body": ["html", "json", "javascript"] });
    let two = Two::start(all).await;
    let client = two.stand.client();
    let (inside, outside) = two.both(r#"{"a":"{wiki}/"}"#);
    for path in ["/api/pages/1", "/api/users/1"] {
        two.wiki.keep(path, "application/json", inside.clone());
    }
    let page = format!(
        "<script>let a = {inside}</script><a href={}/x>",
        two.inside[0]
    );
    let translated = page.replace(&two.inside[0], &two.outside[0]);
    two.wiki.keep("/page", "text/html", page.clone());
    let before = get(client, &two.url("/api/pages/1"), &[]).await;
    assert_eq!(before.text(), outside);
    let tag = before.header("etag").to_owned();
    assert_eq!(get(client, &two.url("/page"), &[]).await.text(), translated);

    // Nothing is written where nothing is brought.
    let nothing = [("content-type", "application/json")];
    write(client, (Method::POST, &two.url("/sign-out")), "", &nothing).await;
    assert_eq!(get(client, &two.url("/page"), &[]).await.text(), translated);
    // What the application does not take is not kept.
    let fields = [("content-type", "application/json")];
    let answer = write(client, (Method::POST, &two.url("/refused")), "x", &fields).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(get(client, &two.url("/page"), &[]).await.text(), translated);

    write(
        client,
        (Method::PUT, &two.url("/API/pages/2")),
        inside.clone(),
        &fields,
    )
    .await;
    // What the browser has is not what the application says.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    write(client, (Method::POST, &two.url("/login")), "a=b", &form).await;
    let after = get(client, &two.url("/api/pages/1"), &[("if-none-match", &tag)]).await;
    assert_eq!((after.status, after.text()), (StatusCode::OK, &*inside));
    assert_eq!(after.header("etag"), "\"v1\"");
    assert_ne!(after.header("content-length"), "");
    // The same where one more path is found to be written while something is known of it.
    let before = get(client, &two.url("/api/users/1"), &[]).await;
    let tag = before.header("etag").to_owned();
    assert_eq!(before.text(), outside);
    two.wiki
        .keep("/other/1", "application/json", inside.clone());
    let other = get(client, &two.url("/other/1"), &[]).await;
    let of_other = other.header("etag").to_owned();
    write(
        client,
        (Method::PUT, &two.url("/other/2")),
        inside.clone(),
        &fields,
    )
    .await;
    let after = get(
        client,
        &two.url("/other/1"),
        &[("if-none-match", &of_other)],
    )
    .await;
    assert_eq!((after.status, after.text()), (StatusCode::OK, &*inside));
    let known = get(client, &two.url("/api/users/1"), &[("if-none-match", &tag)]).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    // Elsewhere it goes on, but for what is inside of pages: nobody knows where that is written.
    let users = get(client, &two.url("/api/users/1"), &[]).await;
    assert_eq!(users.text(), outside);
    let link = |urls: &[String; 2]| format!("<a href={}/x>", urls[0]);
    let expected = page.replace(&link(&two.inside), &link(&two.outside));
    assert_eq!(get(client, &two.url("/page"), &[]).await.text(), expected);
    // Not every program says what it sends.
    two.wiki
        .keep("/files/1", "application/json", inside.clone());
    assert_eq!(get(client, &two.url("/files/1"), &[]).await.text(), outside);
    let plain = [("content-type", "application/octet-stream")];
    write(client, (Method::PUT, &two.url("/files/2")), "x", &plain).await;
    assert_eq!(get(client, &two.url("/files/1"), &[]).await.text(), inside);
    // Pages go on, until somebody puts one.
    two.wiki.keep("/files/page", "text/html", page.clone());
    assert_eq!(
        get(client, &two.url("/files/page"), &[]).await.text(),
        expected
    );
    let html = [("content-type", "text/html")];
    write(
        client,
        (Method::POST, &two.url("/files/other")),
        page.clone(),
        &html,
    )
    .await;
    assert_eq!(
        get(client, &two.url("/files/page"), &[]).await.text(),
        expected
    );
    write(
        client,
        (Method::PUT, &two.url("/files/other")),
        page.clone(),
        &html,
    )
    .await;
    assert_eq!(get(client, &two.url("/files/page"), &[]).await.text(), page);
    assert_eq!(get(client, &two.url("/page"), &[]).await.text(), expected);
    // It is said once.
    write(
        client,
        (Method::POST, &two.url("/api/pages")),
        inside,
        &fields,
    )
    .await;
    let mut said = two.stand.gateway().log();
    said.retain(|line| line.contains("programs write at this path"));
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(
        said[0].contains("/api/pages/") && said[1].contains("/other/"),
        "{said:?}"
    );
}
