//! What browsers bring back: queries of links and forms, and forms with files.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::data::Keeper;
use crate::harness::{Answer, Backend, Client, Running, Stand, read_head};

/// A wiki with these settings that shows what it was asked, what it calls itself, and what people call it.
async fn wiki(backend: &Backend, settings: Value) -> (Running, [String; 2]) {
    let settings = json!({ "link_translation": settings });
    let stand = Stand::new()
        .application_with("wiki", backend, settings)
        .metrics()
        .start()
        .await;
    let inside = format!("http://wiki.corp.internal:{}", backend.address().port());
    let outside = format!("https://wiki.localhost:{}", stand.address().port());
    (stand, [inside, outside])
}

/// So often percent-encoded.
fn encoded(url: &str, times: usize) -> String {
    (0..times).fold(url.to_owned(), |url, _| {
        url.replace('%', "%25")
            .replace(':', "%3A")
            .replace('/', "%2F")
    })
}

#[tokio::test]
async fn a_query_that_leads_outside_leads_inside_again() {
    let backend = Backend::echo().await;
    let settings = json!({
        "body": ["html"],
        "round_trip": true,
        "exclude": [
            { "paths": ["/signed/"], "types": ["application/x-www-form-urlencoded"] },
            { "paths": ["/raw/"] },
            { "paths": ["/other/"], "types": ["multipart/form-data"] },
        ],
    });
    let (stand, urls) = wiki(&backend, settings).await;
    let [inside, outside] = &urls;
    let query = |url: &str| {
        format!(
            "a=%2f+%zz&once={}%2Fx%3Fy&twice={}&plain={url}/p?q=1&&host=wiki.localhost&else=https%3A%2F%2Felse.corp%2F",
            encoded(url, 1),
            encoded(&format!("{url}/"), 2),
        )
    };
    let mut ran = 0;
    for (path, is_mapped) in [
        ("/find", true),
        ("/other/find", true),
        ("/signed/find", false),
        ("/raw/find", false),
    ] {
        for client in [stand.client().clone(), stand.client().http2()] {
            for method in [Method::GET, Method::POST] {
                let url = stand.url("wiki", &format!("{path}?{}", query(outside)));
                let request = Request::builder().method(method).uri(url);
                let request = request.header("referer", format!("{outside}/p?{}", query(outside)));
                let request = request.body(Full::<Bytes>::default()).unwrap();
                let seen = Answer::read(client.send(request).await).await.json();
                let expected = match is_mapped {
                    true => query(inside),
                    false => query(outside),
                };
                assert_eq!(seen["target"], format!("{path}?{expected}"));
                // The page somebody came from is told as it was.
                let referer = format!("{inside}/p?{}", query(outside));
                assert_eq!(seen["headers"]["referer"], json!([referer]));
                ran += 1;
            }
        }
    }
    assert_eq!(ran, 16);
    // Without a hit nothing changes, not even what nobody should write.
    for query in [
        "?",
        "?a=%zz&b=%E4;c==&&",
        "?%2F%2F",
        "?u=https%3A%2F%2Fwiki.localhost%2F",
    ] {
        let seen = stand
            .get(&stand.url("wiki", &format!("/find{query}")))
            .await
            .json();
        assert_eq!(seen["target"], format!("/find{query}"));
    }

    // Nor where nobody asked for it.
    for settings in [json!({ "body": ["html"] }), json!({ "headers": true })] {
        let (stand, [_, outside]) = wiki(&backend, settings).await;
        let query = format!("?once={}", encoded(&outside, 1));
        let seen = stand
            .get(&stand.url("wiki", &format!("/find{query}")))
            .await
            .json();
        assert_eq!(seen["target"], format!("/find{query}"));
    }
}

#[tokio::test]
async fn rules_are_for_what_was_asked() {
    let backend = Backend::echo().await;
    let settings = json!({ "body": ["html"], "round_trip": true });
    let (stand, [inside, outside]) = wiki(&backend, settings).await;
    // A path is none of a query.
    let path = format!("/go/{}", encoded(&outside, 1));
    let answer = stand
        .get(&stand.url("wiki", &format!("{path}?u={outside}/")))
        .await;
    assert_eq!(answer.json()["target"], format!("{path}?u={inside}/"));
    let line = stand.access_line(answer.header("x-request-id")).await;
    assert_eq!(line["path"], path);
}

const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

/// A form as browsers send it.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, octets) in parts {
        body.extend(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n").into_bytes(),
        );
        body.extend_from_slice(octets);
        body.extend_from_slice(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    body
}

async fn send(client: &Client, url: &str, kind: &str, octets: Vec<u8>) -> StatusCode {
    let request = Request::post(url)
        .header("content-type", kind)
        .header("content-length", octets.len())
        .header("content-md5", "x")
        .body(Full::from(octets));
    Answer::read(client.send(request.unwrap()).await)
        .await
        .status
}

#[tokio::test]
async fn fields_beside_a_file_lead_inside_and_the_file_stays() {
    let keeper = Keeper::default();
    let backend = keeper.backend().await;
    let settings = json!({
        "body": ["html", "json"],
        "round_trip": true,
        "exclude": [{ "paths": ["/files/"], "types": ["multipart/form-data"] }],
    });
    let (stand, [inside, outside]) = wiki(&backend, settings).await;
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    // 3 MiB with everything in it, also what looks like a boundary, and links.
    let mut file: Vec<u8> = (0..3_u32 << 18)
        .flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    for at in [0, 70_000, 1 << 20, file.len() - 100] {
        let text = format!("\r\n--{BOUNDARY}x\r\n{outside}/");
        file.splice(at..at + text.len(), text.into_bytes());
    }
    assert_eq!(file.len(), 3 << 20);
    let fields = |url: &str, file: &[u8]| {
        let json = format!("{{\"u\":\"{}\\/a\"}}", url.replace('/', "\\/"));
        form(&[
            ("name=\"next\"", format!("{url}/a?b=c").as_bytes()),
            (
                "name=\"file\"; filename=\"a.html\"\r\nContent-Type: text/html",
                file,
            ),
            (
                "name=\"text\"",
                format!("See <a href=\"{url}/x\">\r\n{}", encoded(url, 1)).as_bytes(),
            ),
            (
                "name=\"data\"\r\nContent-Type: application/json",
                json.as_bytes(),
            ),
            (
                "name=\"style\"\r\nContent-Type: text/css",
                format!("url({outside}/)").as_bytes(),
            ),
            ("name=\"none\"", b""),
        ])
    };
    let sizes = [0, 1000, 40_000, file.len()];
    let mut ran = 0;
    for client in [stand.client().clone(), stand.client().http2()] {
        for size in sizes {
            let file = &file[..size];
            let status = send(
                &client,
                &stand.url("wiki", "/upload"),
                &kind,
                fields(&outside, file),
            )
            .await;
            assert_eq!(status, StatusCode::CREATED);
            let (sent, expected) = (keeper.sent(), fields(&inside, file));
            assert!(sent.body == expected, "{size}");
            assert_eq!(sent.fields["content-type"], kind);
            assert!(!sent.fields.contains_key("content-md5"));
            // Short ones keep a length.
            let length = sent
                .fields
                .get("content-length")
                .map(|length| length.to_str().unwrap().to_owned());
            assert_eq!(
                length,
                (size < 30_000).then(|| expected.len().to_string()),
                "{size}"
            );
            ran += 1;
        }
    }
    assert_eq!(ran, 8);
    // Where it is excluded it comes as it was sent.
    let octets = fields(&outside, &file);
    send(
        stand.client(),
        &stand.url("wiki", "/files/1"),
        &kind,
        octets.clone(),
    )
    .await;
    let sent = keeper.sent();
    assert!(sent.body == octets);
    assert_eq!(sent.fields["content-length"], octets.len().to_string());
    assert_eq!(sent.fields["content-md5"], "x");

    // What is not made of parts passes, and is counted.
    let endless = form(&[(
        &format!("name=a\r\nX: {}", "x".repeat(9000)),
        outside.as_bytes(),
    )]);
    let mut open = form(&[("name=a", outside.as_bytes())]);
    open.truncate(open.len() - 4);
    for (kind, octets) in [
        ("multipart/form-data", fields(&outside, b"")),
        ("multipart/form-data; boundary=\"\"", fields(&outside, b"")),
        (&*kind, endless),
        (&*kind, open),
    ] {
        send(
            stand.client(),
            &stand.url("wiki", "/upload"),
            kind,
            octets.clone(),
        )
        .await;
        let sent = keeper.sent();
        assert!(sent.body == octets, "{kind}");
    }
    let counted = r#"appproxy_translated_bodies_total{application="wiki",outcome="multipart"} 4"#;
    crate::visibility::until_page(stand.metrics_address(), "four that were none", |page| {
        page.contains(counted)
    })
    .await;
}

/// An upload goes on while it comes: nobody waits for its end.
#[tokio::test]
async fn a_form_with_files_streams() {
    use http_body_util::StreamBody;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let (words, mut said) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let backend = Backend::raw(move |mut stream| {
        let words = words.clone();
        async move {
            read_head(&mut stream).await;
            let mut octets = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut octets).await {
                let _ = words.send(octets[..length].to_vec());
                if octets[..length].ends_with(b"0\r\n\r\n") {
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                }
            }
        }
    })
    .await;
    let settings = json!({ "body": ["html"], "round_trip": true });
    let (stand, [inside, outside]) = wiki(&backend, settings).await;
    let whole = form(&[
        ("name=a", outside.as_bytes()),
        ("name=f; filename=x", b"first second"),
    ]);
    let cut = whole
        .windows(7)
        .position(|word| word == b" second")
        .unwrap();
    let (first, second) = whole.split_at(cut);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let octets = receiver.recv().await?;
        let frame: Result<_, std::convert::Infallible> = Ok(http_body::Frame::data(octets));
        Some((frame, receiver))
    });
    let request = Request::post(stand.url("wiki", "/"))
        .header(
            "content-type",
            format!("multipart/form-data; boundary={BOUNDARY}"),
        )
        .header("transfer-encoding", "chunked")
        .body(StreamBody::new(futures_util::StreamExt::boxed(frames)).boxed_unsync())
        .unwrap();
    let client = stand.client().clone();
    let answer = tokio::spawn(async move { client.send(request).await.status() });
    let mut came = Vec::new();
    sender.send(Bytes::copy_from_slice(first)).await.unwrap();
    while !came.ends_with(b"first\r\n") {
        came.extend(
            crate::harness::within("the first half", said.recv())
                .await
                .unwrap(),
        );
    }
    let text = String::from_utf8_lossy(&came).into_owned();
    assert!(text.contains(&format!("{inside}\r\n--")), "{text}");
    sender.send(Bytes::copy_from_slice(second)).await.unwrap();
    drop(sender);
    assert_eq!(answer.await.unwrap(), StatusCode::NO_CONTENT);
}

/// A handshake is no form: what it asks goes as it was asked.
#[tokio::test]
async fn a_web_socket_is_asked_for_as_it_was() {
    let (heads, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let heads = heads.clone();
        async move {
            use tokio::io::AsyncWriteExt as _;
            let head = read_head(&mut stream).await;
            let _ = heads.send(head);
            let _ = stream
                .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    })
    .await;
    let settings = json!({ "body": ["html"], "round_trip": true });
    let (stand, [_, outside]) = wiki(&backend, settings).await;
    let target = format!("/live?u={}", encoded(&outside, 1));
    let request = Request::get(stand.url("wiki", &target))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Full::<Bytes>::default())
        .unwrap();
    let _ = stand.client().send(request).await;
    let mut asked_for = String::new();
    while !asked_for.contains("websocket") {
        asked_for = crate::harness::within("a handshake", asked.recv())
            .await
            .unwrap();
    }
    assert!(
        asked_for.starts_with(&format!("GET {target} ")),
        "{asked_for}"
    );
}
