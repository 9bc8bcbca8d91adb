//! The pages for people.

use std::fmt::Write as _;

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::http::Body;

use super::{Answer, AppControl, Refusal, accepts, json, query, redirect, refuse, with};

/// The most a form may hold; its text comes back in a URL.
const LONGEST_FORM: usize = 64 * 1024;

/// Everything comes from the application itself.
const POLICY: &str = "default-src 'self'; base-uri 'none'; frame-ancestors 'self'";

/// `/`
pub(super) fn home(control: &AppControl) -> Response<Body> {
    let mut absolute = String::new();
    for (path, what) in [
        ("/", "This page"),
        ("/request", "The request"),
        ("/form", "The form"),
    ] {
        let url = escape(&control.absolute(path));
        let _ = write!(
            absolute,
            "<li><a href=\"{url}\">{what}</a> <small>{url}</small></li>"
        );
    }
    let content = include_str!("assets/home.html")
        .replace("{absolute}", &absolute)
        .replace("{icon}", &escape(&control.absolute("/favicon.ico")));
    page("Welcome to the intranet", &content)
}

/// `/cookie`
pub(super) fn cookie<B>(request: &Request<B>, control: &AppControl) -> Response<Body> {
    let arrived: Vec<String> = request
        .headers()
        .get_all(COOKIE)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    let visits = arrived
        .iter()
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("demo-visits="))
        .and_then(|count| count.parse::<u64>().ok())
        .unwrap_or(0)
        .saturating_add(1);
    let set = control.cookie("demo-visits", &visits.to_string());
    let shown = if arrived.is_empty() {
        "none".to_owned()
    } else {
        arrived.join("\n")
    };
    let content = format!(
        "<p class=\"big\">Visit {visits}</p><h2>Cookies that arrived</h2><pre>{}</pre>\
         <h2>Set-Cookie of this answer</h2><pre>{}</pre>\
         <p><a class=\"button\" href=\"cookie\">Visit again</a></p>",
        escape(&shown),
        escape(&set)
    );
    with(page("A cookie", &content), SET_COOKIE, &set)
}

/// `GET /form`
pub(super) fn form<B>(request: &Request<B>) -> Answer {
    let said = query::value(request, "said").map_or_else(String::new, |said| {
        format!("<h2>You said</h2><pre id=\"said\">{}</pre>", escape(&said))
    });
    Ok(page(
        "A form",
        &format!(
            "<form action=\"form\" method=\"post\"><label for=\"text\">Say something</label>\
             <textarea id=\"text\" name=\"text\" rows=\"3\"></textarea>\
             <button>Send</button></form>{said}"
        ),
    ))
}

/// `POST /form`
pub(super) async fn submit(request: Request<Incoming>, control: &AppControl) -> Answer {
    let body = Limited::new(request.into_body(), LONGEST_FORM);
    let octets = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let words = "a form has 64 KiB at most";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, words));
        }
        Err(_) => return Err(refuse("the form broke off")),
    };
    let said = url::form_urlencoded::parse(&octets)
        .find(|(name, _)| name == "text")
        .map(|(_, value)| value.into_owned())
        .ok_or_else(|| refuse("the form has a field named text"))?;
    let query: String = url::form_urlencoded::byte_serialize(said.as_bytes()).collect();
    let back = control.absolute(&format!("/form?said={query}"));
    Ok(redirect(StatusCode::SEE_OTHER, &back))
}

/// `GET /upload`
pub(super) fn upload() -> Response<Body> {
    page(
        "An upload",
        "<form action=\"upload\" method=\"post\" enctype=\"multipart/form-data\">\
         <label for=\"file\">A file of any size</label>\
         <input id=\"file\" type=\"file\" name=\"file\" required>\
         <button>Upload</button></form>\
         <p>It is counted and hashed as it arrives, and kept nowhere.</p>",
    )
}

/// What an upload was, for a browser.
pub(super) fn uploaded(octets: u64, sha256: &str) -> Response<Body> {
    page(
        "An upload",
        &format!(
            "<p class=\"big\">{octets} octets</p><h2>SHA-256</h2><pre id=\"sha256\">{sha256}</pre>\
             <p><a class=\"button\" href=\"upload\">Another one</a></p>"
        ),
    )
}

/// `/ws-page`
pub(super) fn websocket() -> Response<Body> {
    page(
        "A WebSocket",
        "<form id=\"ws\"><label for=\"message\">What you send comes back</label>\
         <div class=\"row\"><input id=\"message\" value=\"hello\" autocomplete=\"off\">\
         <button>Send</button></div></form>\
         <p>State: <strong id=\"state\">connecting</strong></p><pre id=\"log\"></pre>\
         <script src=\"static/demo.js\"></script>",
    )
}

/// `/events-page`
pub(super) fn events() -> Response<Body> {
    page(
        "Server-sent events",
        "<p>State: <strong id=\"state\">connecting</strong></p>\
         <pre id=\"events\"></pre><script src=\"static/demo.js\"></script>",
    )
}

/// `/request`
pub(super) fn request<B>(request: &Request<B>) -> Response<Body> {
    let target = request.uri().to_string();
    let version = format!("{:?}", request.version());
    let headers: Vec<(&str, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str(), value)
        })
        .collect();
    if accepts(request, "application/json") {
        return json(&serde_json::json!({
            "method": request.method().as_str(),
            "target": target,
            "version": version,
            "headers": headers,
        }));
    }
    let mut rows = String::new();
    for (name, value) in &headers {
        let _ = write!(
            rows,
            "<tr><th>{}</th><td>{}</td></tr>",
            escape(name),
            escape(value)
        );
    }
    let line = format!("{} {target} {version}", request.method());
    let content = format!(
        "<p>As it arrived here, behind the proxy.</p><pre>{}</pre>\
         <table><tbody>{rows}</tbody></table>",
        escape(&line)
    );
    page("The request", &content)
}

fn page(title: &str, content: &str) -> Response<Body> {
    let html = include_str!("assets/page.html")
        .replace("{title}", title)
        .replace("{content}", content);
    let response = Response::new(Body::full(html));
    let response = with(response, CONTENT_TYPE, "text/html; charset=utf-8");
    let response = with(response, CACHE_CONTROL, "no-store");
    with(response, CONTENT_SECURITY_POLICY, POLICY)
}

/// For text and for attribute values in double quotes.
fn escape(words: &str) -> String {
    let mut safe = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
