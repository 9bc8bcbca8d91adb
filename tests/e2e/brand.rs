//! Whose the pages of the gateway are, and in which language: on a running gateway, and on reload.

use std::fs;

use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::harness::{Answer, Backend, Running, Stand};

async fn ask(stand: &Running, method: &str, url: &str, language: &str) -> Answer {
    let request = Request::builder().method(method).uri(url);
    let request = request
        .header("accept", "text/html")
        .header("accept-language", language);
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    Answer::read(stand.client().send(request).await).await
}

/// Where the page's picture is.
fn picture(page: &str) -> &str {
    let (_, rest) = page.split_once("<img src=\"").unwrap();
    rest.split_once('"').unwrap().0
}

async fn reload(stand: &Running) -> Value {
    let file = stand.gateway_file().display().to_string();
    let arguments = ["gateway", "reload", "--json", "--config", &file];
    let arguments = arguments.map(str::to_owned);
    let told = stand.program(&arguments, "").await;
    serde_json::from_str(&told.stdout).unwrap()
}

#[tokio::test]
async fn pages_are_the_operator_s_and_the_visitor_s_and_follow_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let logo = folder.path().join("logo.svg");
    let drawing =
        |size: u8| format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{size}\"/>");
    fs::write(&logo, drawing(1)).unwrap();
    let backend = Backend::text("ok").await;
    let stand = Stand::new()
        .application_with("wiki", &backend, json!({ "maintenance": true }))
        .gateway_setting(
            "brand",
            json!({
                "name": "Example & Works",
                "logo": logo,
                "colour": "#003366",
                "support": "mailto:help@example.com",
            }),
        )
        .start()
        .await;
    let url = stand.url("wiki", "/");
    for (language, tag, sentence) in [
        (
            "de-AT, en;q=0.5",
            "de",
            "Diese Anwendung ist wegen Wartung geschlossen.",
        ),
        ("ja", "ja", "このアプリケーションはメンテナンス中です。"),
        ("tlh", "en", "This application is closed for maintenance."),
    ] {
        let page = ask(&stand, "GET", &url, language).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        let text = page.text();
        assert!(text.contains(&format!("<html lang=\"{tag}\">")), "{text}");
        assert!(text.contains(&format!("<h1>{sentence}</h1>")), "{text}");
        assert!(text.contains("<span>Example &amp; Works</span>"), "{text}");
        assert!(text.contains("--accent:#003366"), "{text}");
        assert!(text.contains("href=\"mailto:help@example.com\""), "{text}");
        assert!(
            page.header("content-security-policy")
                .contains("img-src 'self'; ")
        );
    }

    // Whoever sees the page gets its picture, closed or not.
    let before = ask(&stand, "GET", &url, "en").await.text().to_owned();
    let before = picture(&before);
    let served = ask(&stand, "GET", &stand.url("wiki", before), "en").await;
    assert_eq!(
        (served.status, served.text()),
        (StatusCode::OK, drawing(1).as_str())
    );
    assert_eq!(served.header("content-type"), "image/svg+xml");
    assert_eq!(
        served.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    assert!(served.header("content-security-policy").contains("sandbox"));
    for (method, path) in [("POST", before), ("GET", "/.appproxy/assets/logo.svg")] {
        let refused = ask(&stand, method, &stand.url("wiki", path), "en").await;
        assert_eq!(
            refused.header("appproxy-answer"),
            "gateway;error=no_route",
            "{method} {path}"
        );
    }

    // Another drawing in the same file is another brand.
    fs::write(&logo, drawing(2)).unwrap();
    assert_eq!(reload(&stand).await["outcome"], "done");
    let after = ask(&stand, "GET", &url, "en").await.text().to_owned();
    let after = picture(&after);
    assert_ne!(before, after);
    let served = ask(&stand, "GET", &stand.url("wiki", after), "en").await;
    assert_eq!(served.text(), drawing(2));

    // What cannot be shown is refused, and what was in force stays.
    fs::write(&logo, "no drawing").unwrap();
    let told = reload(&stand).await;
    assert_eq!(told["outcome"], "refused", "{told}");
    assert!(
        told["findings"].to_string().contains("[bad_logo]"),
        "{told}"
    );
    let page = ask(&stand, "GET", &url, "en").await;
    assert_eq!(picture(page.text()), after);
}
