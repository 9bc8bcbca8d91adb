//! Every code, in every form, with every field.

use http::HeaderMap;
use http_body_util::BodyExt as _;

use super::*;
use crate::auth::{Challenge, Denied};
use crate::model::Brand;

fn theme() -> Theme {
    Theme::new(&Brand::default(), []).unwrap()
}

fn id() -> RequestId {
    RequestId::from_random([0xab; 8])
}

fn asked(method: Method, fields: &[(&'static str, &str)]) -> Asked {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    Asked::of(&method, &headers)
}

async fn text(response: Response<Body>) -> String {
    let octets = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(octets.to_vec()).unwrap()
}

fn field<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    let mut all = response.headers().get_all(name).iter();
    let value = all.next().map_or("", |v| v.to_str().unwrap());
    assert!(all.next().is_none(), "{name} twice");
    value
}

#[test]
fn statuses_are_those_of_the_documents() {
    let expected = [
        (400, "bad_request"),
        (404, "no_route"),
        (421, "misdirected"),
        (403, "denied"),
        (403, "cross_origin"),
        (401, "sign_in_required"),
        (401, "token_required"),
        (403, "certificate_required"),
        (431, "too_large"),
        (413, "body_too_large"),
        (408, "request_timeout"),
        (429, "throttled"),
        (403, "sign_in_failed"),
        (503, "provider_unavailable"),
        (503, "maintenance"),
        (503, "no_connector"),
        (503, "tunnel_busy"),
        (503, "store_unavailable"),
        (502, "tunnel_lost"),
        (502, "target_refused"),
        (502, "backend_dns"),
        (502, "backend_refused"),
        (502, "backend_tls_name"),
        (502, "backend_tls_trust"),
        (502, "backend_bad_response"),
        (504, "backend_connect_timeout"),
        (504, "backend_first_byte_timeout"),
        (504, "backend_idle_timeout"),
        (500, "internal"),
    ];
    let seen: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|c| (words::status(*c).as_u16(), c.as_str()))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn every_code_has_a_page_and_json_with_code_side_and_reference() {
    let id = id();
    let browser = asked(Method::GET, &[("accept", "text/html,*/*;q=0.8")]);
    let program = asked(Method::GET, &[]);
    for &code in ErrorCode::ALL {
        let status = words::status(code);
        for asked in [&browser, &program] {
            let response = failure(&Failure::new(code, ""), asked, &theme(), &id);
            assert_eq!(response.status(), status);
            assert_eq!(field(&response, "cache-control"), "no-store");
            assert_eq!(field(&response, "x-content-type-options"), "nosniff");
            assert_eq!(field(&response, "referrer-policy"), "no-referrer");
            assert_eq!(field(&response, "x-request-id"), id.as_str());
            assert_eq!(
                field(&response, "appproxy-answer"),
                format!("gateway;error={code}")
            );
            let policy = field(&response, "content-security-policy");
            assert!(policy.starts_with("default-src 'none'; "), "{policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            let later = matches!(status.as_u16(), 429 | 503);
            assert_eq!(!field(&response, "retry-after").is_empty(), later, "{code}");
            let challenged = status == StatusCode::UNAUTHORIZED;
            let challenge = field(&response, "www-authenticate");
            assert_eq!(!challenge.is_empty(), challenged, "{code}");
            let length = field(&response, "content-length").to_owned();
            let kind = field(&response, "content-type").to_owned();
            let text = text(response).await;
            assert_eq!(length, text.len().to_string());
            if asked == &browser {
                assert_eq!(kind, "text/html; charset=utf-8");
                assert!(text.contains(&format!("{} <code>{code}</code>", status.as_u16())));
                assert!(text.contains(&format!(
                    "<dd>{}</dd>",
                    Language::English.say(words::side(code.side()))
                )));
                assert!(text.contains(&format!("<code class=\"id\">{id}</code>")));
                assert!(text.contains("<html lang=\"en\">"));
                assert_eq!(text.matches("<h1>").count(), 1);
            } else {
                assert_eq!(kind, "application/json");
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                let expected = serde_json::json!({ "error": {
                    "code": code.as_str(),
                    "status": status.as_u16(),
                    "message": Language::English.say(words::message(code)),
                    "side": code.side().as_str(),
                    "request_id": id.as_str(),
                }});
                assert_eq!(value, expected);
            }
        }
    }
}

/// The texts go into the page as they are.
#[test]
fn the_words_are_plain_text() {
    for &code in ErrorCode::ALL {
        for words in [
            Language::English.say(words::message(code)),
            Language::English.say(words::remedy(code)),
            Language::English.say(words::side(code.side())),
        ] {
            assert!(!words.contains(['<', '>', '&', '"']), "{words}");
        }
    }
}

#[test]
fn people_get_a_page_and_programs_get_json() {
    let html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page: &[&[(&str, &str)]] = &[
        &[("accept", html)],
        &[("accept", "*/*"), ("sec-fetch-mode", "navigate")],
        &[("accept", "image/png"), ("accept", "Text/HTML; q=0.5")],
        &[("accept", "text/html, application/json")],
    ];
    let json: &[&[(&str, &str)]] = &[
        &[],
        &[("accept", "*/*")],
        &[("accept", "text/html;q=0")],
        &[("accept", "text/html;q=many")],
        &[("accept", "application/json, text/html;q=0.1")],
        &[("accept", "text/event-stream"), ("sec-fetch-mode", "cors")],
    ];
    for (form, cases) in [(Form::Page, page), (Form::Json, json)] {
        for fields in cases {
            assert_eq!(asked(Method::POST, fields).form, form, "{fields:?}");
        }
    }
}

#[tokio::test]
async fn head_has_the_fields_of_get_and_no_body() {
    let nothing = Failure::new(ErrorCode::NoRoute, "");
    let get = failure(&nothing, &asked(Method::GET, &[]), &theme(), &id());
    let head = failure(&nothing, &asked(Method::HEAD, &[]), &theme(), &id());
    assert_eq!(get.headers(), head.headers());
    assert_eq!(text(head).await, "");
}

#[test]
fn a_redirect_to_https_takes_scheme_host_and_port_from_the_configuration() {
    let cases = [
        (
            "https://wiki.example.com/",
            "wiki.example.com",
            "/a?b=c",
            "https://wiki.example.com/a?b=c",
        ),
        (
            "https://wiki.example.com:8443/",
            "wiki.example.com",
            "/",
            "https://wiki.example.com:8443/",
        ),
        // An exact host is never the request's.
        (
            "https://wiki.example.com/",
            "evil.example.net",
            "//x",
            "https://wiki.example.com//x",
        ),
        (
            "https://*.apps.example.com/",
            "a.apps.example.com",
            "*",
            "https://a.apps.example.com/",
        ),
    ];
    for (external, host, target, expected) in cases {
        let external = ExternalUrl::parse(external).unwrap();
        let host = Host::parse(host).unwrap();
        let target = PathAndQuery::try_from(target).unwrap();
        let response = redirect_to_https(&external, &host, &target, &id()).unwrap();
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(field(&response, "location"), expected);
        assert_eq!(field(&response, "cache-control"), "no-store");
        assert_eq!(field(&response, "appproxy-answer"), "gateway");
        assert_eq!(field(&response, "x-request-id"), id().as_str());
    }
    let external = ExternalUrl::parse("https://*.apps.example.com/").unwrap();
    let host = Host::parse("evil.example.net").unwrap();
    let target = PathAndQuery::from_static("/");
    let refused = redirect_to_https(&external, &host, &target, &id()).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NoRoute);
}

#[test]
fn a_bare_path_gains_its_slash_and_keeps_its_query() {
    let prefix = PathPrefix::new("/wiki/").unwrap();
    for (query, expected) in [
        (None, "/wiki/"),
        (Some(""), "/wiki/?"),
        (Some("to=//evil.example"), "/wiki/?to=//evil.example"),
    ] {
        let response = redirect_bare_path(&prefix, query, &id()).unwrap();
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(field(&response, "location"), expected);
    }
    let split = redirect_bare_path(&prefix, Some("a\r\nSet-Cookie: x=1"), &id()).unwrap_err();
    assert_eq!(split.code(), ErrorCode::BadRequest);
}

#[test]
fn a_failure_keeps_its_detail_for_the_log() {
    let failure = Failure::new(ErrorCode::BadRequest, "two Content-Length").closing();
    assert!(failure.closes());
    assert_eq!(failure.to_string(), "bad_request: two Content-Length");
    assert_eq!(failure.detail(), "two Content-Length");
    let denied = Failure::from(Denied::NoRule);
    assert_eq!((denied.code(), denied.closes()), (ErrorCode::Denied, false));
    assert_eq!(Failure::from(Challenge::NoMethod).code(), ErrorCode::Denied);
    assert_eq!(Failure::internal("x").code(), ErrorCode::Internal);
}
