//! Links in pages and style sheets lead through the gateway, also to other applications.

mod back;
mod data;
mod rules;

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Answer, Backend, ResponseBody, Running, Stand, body, read_head, within};
use crate::reload::next_word;

const PAGE: &str = "<!doctype html><title>x</title><a href=\"http://wiki.corp.internal:PORT/a?b=c#d\">a</a>\
                    <img srcset=\"//blog.corp.internal:OTHER/i.png 2x, /own.png\">\
                    <style>p { background: url(http://blog.corp.internal:OTHER/b.png) }</style>\
                    <script>'http://wiki.corp.internal:PORT/'</script><a href=http://else.corp/>b</a>";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(octets: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(octets).read_to_string(&mut text).unwrap();
    text
}

/// An application that knows itself and another one by their internal names; `other` is the port of that.
async fn wiki(other: u16) -> Backend {
    Backend::answering(move |request: Request<Incoming>| async move {
        let fields = request.headers();
        let port = fields["host"]
            .to_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned();
        let of = |text: &str| {
            text.replace("PORT", &port)
                .replace("OTHER", &other.to_string())
        };
        let takes_gzip = fields["accept-encoding"] == "gzip";
        let known = fields
            .get("if-none-match")
            .is_some_and(|tag| tag == "\"v1\"");
        let answer = |kind: &str, octets: Vec<u8>| {
            let mut response: Response<ResponseBody> = Response::new(body(octets));
            response
                .headers_mut()
                .insert("content-type", kind.parse().unwrap());
            response
                .headers_mut()
                .insert("etag", "\"v1\"".parse().unwrap());
            response
        };
        match request.uri().path() {
            "/css" => answer(
                "text/css",
                of("@import 'http://wiki.corp.internal:PORT/x.css';").into(),
            ),
            "/json" => answer(
                "application/json",
                of("\"http://wiki.corp.internal:PORT/\"").into(),
            ),
            "/as-sent" => {
                let mut response = answer("text/html", of(PAGE).into());
                let no = "no-transform".parse().unwrap();
                response.headers_mut().insert("cache-control", no);
                response
            }
            "/page" if known => {
                let mut response = answer("text/html", Vec::new());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            "/page" if takes_gzip => {
                let mut response = answer("text/html", gzip(&of(PAGE)));
                let coding = "gzip".parse().unwrap();
                response.headers_mut().insert("content-encoding", coding);
                response
            }
            "/broken" => {
                let mut half = gzip(&of(&PAGE.repeat(2000)));
                half.truncate(half.len() / 2);
                let mut response = answer("text/html", half);
                let coding = "gzip".parse().unwrap();
                response.headers_mut().insert("content-encoding", coding);
                response
            }
            _ => answer("text/html; charset=utf-8", of(PAGE).into()),
        }
    })
    .await
}

async fn ask(stand: &Running, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(stand.url("wiki", path));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    Answer::read(stand.send(request).await).await
}

#[tokio::test]
async fn links_in_pages_and_style_sheets_lead_through_the_gateway() {
    let blog = Backend::text("blog").await;
    let other = blog.address().port();
    let wiki = wiki(other).await;
    let settings = json!({ "link_translation": { "body": ["html", "css"] } });
    let stand = Stand::new()
        .application_with("wiki", &wiki, settings)
        .application("blog", &blog)
        .start()
        .await;
    let (port, own) = (stand.address().port(), wiki.address().port());
    let expected = PAGE
        .replacen(
            "http://wiki.corp.internal:PORT",
            &format!("https://wiki.localhost:{port}"),
            1,
        )
        .replacen(
            "//blog.corp.internal:OTHER",
            &format!("//blog.localhost:{port}"),
            1,
        )
        .replacen(
            "http://blog.corp.internal:OTHER",
            &format!("https://blog.localhost:{port}"),
            1,
        )
        .replace("PORT", &own.to_string());
    let plain = ask(&stand, "/", &[]).await;
    assert_eq!(plain.text(), expected);
    assert_eq!(plain.header("content-length"), "");
    assert_eq!(plain.header("accept-ranges"), "none");
    let tag = plain.header("etag").to_owned();
    assert!(
        tag.starts_with("\"v1-apx") && tag.len() == "\"v1-apx\"".len() + 16,
        "{tag}"
    );

    // As it was packed, and asked for in a way that can be read.
    let packed = ask(&stand, "/page", &[("accept-encoding", "br, gzip, zstd")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(gunzip(&packed.body), expected);
    let plain = ask(&stand, "/page", &[("accept-encoding", "br")]).await;
    assert_eq!(
        (plain.header("content-encoding"), plain.text()),
        ("", &*expected)
    );

    // What the client has, and what it had by another table.
    let known = ask(&stand, "/page", &[("if-none-match", &tag)]).await;
    assert_eq!((known.status.as_u16(), known.header("etag")), (304, &*tag));
    let old = "\"v1-apx0123456789abcdef\"";
    let anew = ask(&stand, "/page", &[("if-none-match", old)]).await;
    assert_eq!(anew.status, 200);

    let css = ask(&stand, "/css", &[]).await;
    assert_eq!(
        css.text(),
        format!("@import 'https://wiki.localhost:{port}/x.css';")
    );
    for path in ["/json", "/as-sent"] {
        let answer = ask(&stand, path, &[]).await;
        assert!(
            answer.text().contains("http://wiki.corp.internal"),
            "{path}"
        );
        assert!(!answer.text().contains("localhost"), "{path}");
        assert_ne!(answer.header("content-length"), "", "{path}");
        assert_eq!(answer.header("etag"), "\"v1\"", "{path}");
    }
    // What cannot be unpacked to its end is no page.
    let request = Request::get(stand.url("wiki", "/broken")).header("accept-encoding", "gzip");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = stand.send(request).await;
    let collected = http_body_util::BodyExt::collect(response.into_body());
    assert!(within("the end", collected).await.is_err());
}

#[tokio::test]
async fn a_page_that_comes_in_parts_appears_in_parts() {
    let (words, said) = tokio::sync::watch::channel("");
    let backend = Backend::raw(move |mut stream| {
        let mut said = said.clone();
        async move {
            read_head(&mut stream).await;
            let head =
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head).await.unwrap();
            stream.write_all(b"5\r\nfirst\r\n").await.unwrap();
            let _ = said.changed().await;
            let word = *said.borrow();
            let chunk = format!("{:x}\r\n{word}\r\n0\r\n\r\n", word.len());
            let _ = stream.write_all(chunk.as_bytes()).await;
        }
    })
    .await;
    let settings = json!({ "link_translation": { "body": ["html"] } });
    let stand = Stand::new()
        .application_with("wiki", &backend, settings)
        .start()
        .await;
    let request = Request::get("https://wiki.localhost/endless").body(Empty::<Bytes>::new());
    let mut answer = stand.send(request.unwrap()).await.into_body();
    assert_eq!(next_word(&mut answer).await, "first");
    words.send("second").unwrap();
    assert_eq!(next_word(&mut answer).await, "second");
}
