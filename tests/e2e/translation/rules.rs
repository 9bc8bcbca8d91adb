//! What operators add, what policies of pages need, and what they are told.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::data::{Keeper, get};
use crate::harness::{Answer, Backend, Stand, body, read_head};
use crate::sign_in::{Browser, provider, with_sign_in};

#[tokio::test]
async fn attributes_words_and_exclusions_are_the_operators() {
    let wiki = Keeper::default();
    let backend = wiki.backend().await;
    let settings = json!({ "link_translation": {
        "body": ["html", "css", "json"],
        "attributes": ["data-url", "x-player[data-file]"],
        "replacements": [
            { "find": "http://old.corp/", "replace": "http://wiki.corp.internal:PORT/old/".replace("PORT", &backend.address().port().to_string()) },
            { "find": "Intranet", "replace": "Internet", "body": ["html"] },
        ],
        "exclude": [
            { "paths": ["/raw/"], "body": ["json"] },
            { "types": ["application/geo+json"] },
        ],
    }});
    let stand = Stand::new()
        .application_with("wiki", &backend, settings)
        .start()
        .await;
    let inside = format!("http://wiki.corp.internal:{}", backend.address().port());
    let outside = format!("https://wiki.localhost:{}", stand.address().port());
    let mut ran = 0;
    for (path, kind, text, expected) in [
        (
            "/page",
            "text/html",
            "<p data-url={in}/a data-file={in}/b data-else={in}/c><x-player data-file={in}/d>Intranet",
            "<p data-url={out}/a data-file={in}/b data-else={in}/c><x-player data-file={out}/d>Internet",
        ),
        // A word is one before links are looked for.
        (
            "/old",
            "text/html",
            "<a href=http://old.corp/x>",
            "<a href={out}/old/x>",
        ),
        (
            "/a.json",
            "application/json",
            "\"{in}/ Intranet\"",
            "\"{out}/ Intranet\"",
        ),
        (
            "/b.json",
            "application/json",
            "\"http://old.corp/x\"",
            "\"{out}/old/x\"",
        ),
        ("/raw/a.json", "application/json", "\"{in}/\"", "\"{in}/\""),
        ("/RAW/a.json", "application/json", "\"{in}/\"", "\"{in}/\""),
        (
            "/raw/page",
            "text/html",
            "<a href={in}/>",
            "<a href={out}/>",
        ),
        ("/rawer.json", "application/json", "\"{in}/\"", "\"{out}/\""),
        ("/map", "application/geo+json", "\"{in}/\"", "\"{in}/\""),
    ] {
        let of = |text: &str| text.replace("{in}", &inside).replace("{out}", &outside);
        wiki.keep(path, kind, of(text));
        let answer = get(stand.client(), &stand.url("wiki", path), &[]).await;
        assert_eq!(answer.text(), of(expected), "{path}");
        ran += 1;
    }
    assert_eq!(ran, 9);
}

fn hash(text: &str) -> String {
    use base64::Engine as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let digest = base64::engine::general_purpose::STANDARD.encode(digest);
    format!("'sha256-{digest}'")
}

/// The style as the application writes it, by its port.
fn style(port: u16) -> String {
    format!("a{{b:url(http://wiki.corp.internal:{port}/i.png)}}")
}

#[tokio::test]
async fn a_policy_names_styles_as_they_are_now() {
    // The application's port is not known before it is there, so its policy is made by a first one.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let policy = format!("style-src {} 'sha256-else'; img-src *", hash(&style(port)));
    let policy: &'static str = Box::leak(policy.into_boxed_str());
    let page = move |port| {
        let style = style(port);
        let filler = "x".repeat(60 * 1024);
        format!(
            "<style>{style}</style><a href=http://wiki.corp.internal:{port}/>{filler}<style>{style}</style>"
        )
    };
    let address = ([127, 0, 0, 1], port).into();
    let backend = Backend::answering_at(address, move |request: Request<_>| async move {
        let mut answer = http::Response::new(body(page(port)));
        if request.headers().contains_key("if-none-match") {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            *answer.body_mut() = body("");
        }
        let fields = answer.headers_mut();
        fields.insert("etag", "\"v1\"".parse().unwrap());
        fields.insert("content-type", "text/html".parse().unwrap());
        fields.insert("content-security-policy", policy.parse().unwrap());
        answer
    })
    .await;
    let settings = json!({ "link_translation": { "body": ["html"] } });
    let stand = Stand::new()
        .application_with("wiki", &backend, settings)
        .start()
        .await;
    let answer = get(stand.client(), &stand.url("wiki", "/"), &[]).await;
    let outside = format!("https://wiki.localhost:{}", stand.address().port());
    let inside = format!("http://wiki.corp.internal:{port}");
    let now = style(port).replace(&inside, &outside);
    assert!(
        answer
            .text()
            .starts_with(&format!("<style>{now}</style><a href={outside}/>x"))
    );
    // Behind the beginning of the page nothing changes that the policy could not name any more.
    assert!(
        answer
            .text()
            .ends_with(&format!("x<style>{}</style>", style(port)))
    );
    assert_eq!(
        answer.header("content-security-policy"),
        format!(
            "style-src {} 'sha256-else' {}; img-src *",
            hash(&style(port)),
            hash(&now)
        )
    );
    // What was kept by the browser goes with the policy that came with it.
    let tag = answer.header("etag").to_owned();
    let known = get(
        stand.client(),
        &stand.url("wiki", "/"),
        &[("if-none-match", &tag)],
    )
    .await;
    assert_eq!(
        (known.status, known.header("etag")),
        (StatusCode::NOT_MODIFIED, &*tag)
    );
    assert_eq!(known.header("content-security-policy"), "");
    let says = |line: &str| line.contains("keep their internal URLs");
    stand.gateway().line("what was kept", says).await;
}

#[tokio::test]
async fn a_page_with_a_policy_does_not_wait_for_ever() {
    let (words, said) = tokio::sync::watch::channel(());
    let backend = Backend::raw(move |mut stream| {
        let mut said = said.clone();
        async move {
            use tokio::io::AsyncWriteExt as _;
            read_head(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\
                         Content-Security-Policy: style-src 'sha256-x'\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head).await.unwrap();
            stream.write_all(b"5\r\nfirst\r\n").await.unwrap();
            let _ = said.changed().await;
            let _ = stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let settings = json!({ "link_translation": { "body": ["html"] } });
    let stand = Stand::new()
        .application_with("wiki", &backend, settings)
        .start()
        .await;
    let request = Request::get(stand.url("wiki", "/")).body(Full::<Bytes>::default());
    let mut answer = stand.send(request.unwrap()).await.into_body();
    assert_eq!(crate::reload::next_word(&mut answer).await, "first");
    words.send(()).unwrap();
    assert_eq!(crate::reload::next_word(&mut answer).await, "second");
}

async fn report(browser: &mut Browser, url: &str) -> Answer {
    let request = Request::get(url)
        .header("appproxy-translation-report", "1")
        .header("accept", "application/json")
        .body(Full::default());
    browser.send(request.unwrap()).await
}

#[tokio::test]
async fn who_may_know_is_told_what_was_done_to_links() {
    let issuer = provider().await;
    let wiki = Keeper::default();
    let backend = wiki.backend().await;
    let settings = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": ["anyone_signed_in"] },
        "link_translation": { "body": ["html"], "report": [{ "group": "staff" }] },
    });
    let stand = Stand::new().application_with("wiki", &backend, settings);
    let stand = with_sign_in(stand, &issuer).start().await;
    let inside = format!("http://wiki.corp.internal:{}", backend.address().port());
    let outside = format!("https://wiki.localhost:{}", stand.address().port());
    let link = format!("<a href='{inside}/a?b'>");
    wiki.keep(
        "/page",
        "text/html",
        format!("{link}{link}<a href=http://else.corp/x><a href=/root>"),
    );
    wiki.keep("/a.json", "application/json", "{}");
    let page = stand.url("wiki", "/page");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    let answer = report(&mut alice, &page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    let told: Value = answer.json();
    assert_eq!(told["outcome"], "translated");
    assert_eq!(
        (&told["links"], &told["end"]),
        (&json!(2), &json!("complete"))
    );
    let changed =
        json!([{ "from": format!("{inside}/a"), "to": format!("{outside}/a"), "count": 2 }]);
    assert_eq!(told["changed"], changed);
    assert_eq!(
        told["kept"],
        json!([{ "url": "http://else.corp/x", "count": 1 }])
    );
    let told = report(&mut alice, &stand.url("wiki", "/a.json"))
        .await
        .json();
    assert_eq!(
        (&told["outcome"], &told["changed"]),
        (&json!("type"), &json!([]))
    );

    // Nobody else; and the page itself is there for both.
    let mut bob = Browser::new(&stand);
    bob.sign_in(&page, "bob").await;
    let answer = report(&mut bob, &page).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.json()["error"]["code"], "denied");
    assert!(bob.open(&page).await.text().contains(&outside));
    assert!(
        !wiki
            .sent()
            .fields
            .contains_key("appproxy-translation-report")
    );
}
