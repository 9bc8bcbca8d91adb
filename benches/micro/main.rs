//! What each request costs in the code that is ours alone, piece by piece: `make bench-micro`.
//!
//! Whole requests, and others' programs beside ours, are in `benches/peers`.

// Whoever runs a bench sees why it cannot begin.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy exempts tests, and benches are none to it"
)]
#![allow(
    missing_docs,
    reason = "criterion's macros write functions without any"
)]

mod access;
mod heads;
mod page;
mod routing;
mod scanner;
mod translation;

use std::path::Path;
use std::sync::Arc;

use appproxy::config::GatewayConfig;
use appproxy::model::Application;
use criterion::{criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};

criterion_group!(
    all,
    access::bench,
    routing::bench,
    scanner::bench,
    heads::bench,
    translation::bench
);
criterion_main!(all);

/// So many applications, each on a host of its own, as a configuration has them.
fn applications(count: usize) -> Vec<Arc<Application>> {
    let mut text = String::from(
        "version: 1\nkind: gateway\nlisten: { https: ['127.0.0.1:443'], public: ['gw.example:443'] }\n\
         store: sqlite:/nowhere/gateway.db\ncertificates:\n  - { chain: c.pem, key: k.pem }\n\
         applications:\n",
    );
    for number in 0..count {
        text.push_str(&format!(
            "  - {{ name: app-{number}, external_url: 'https://app-{number}.example.com/', \
             internal_url: 'http://app-{number}.corp.local:8080/', \
             pre_authentication: [passthrough] }}\n"
        ));
    }
    let config = GatewayConfig::from_text(Path::new("/nowhere/gateway.yaml"), &text);
    config.expect("the configuration is right").applications
}

/// Fields as they stand in a head.
fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let parsed = lines.iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    });
    let mut fields = HeaderMap::new();
    for (name, value) in parsed {
        fields.append(name, value);
    }
    fields
}

/// What a browser sends with a page's picture.
const BROWSER: [(&str, &str); 14] = [
    ("host", "app-0.example.com"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "accept",
        "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    ),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    (
        "referer",
        "https://app-0.example.com/wiki/Main_Page?useskin=vector",
    ),
    ("connection", "keep-alive"),
    (
        "cookie",
        "session=4f1c0d8e2b6a4975; theme=dark; consent=1; last=Main_Page",
    ),
    ("sec-fetch-dest", "image"),
    ("sec-fetch-mode", "no-cors"),
    ("sec-fetch-site", "same-origin"),
    ("priority", "u=5, i"),
    ("pragma", "no-cache"),
    ("cache-control", "no-cache"),
];

/// What an application answers.
const ANSWER: [(&str, &str); 10] = [
    ("date", "Sun, 29 Nov 2026 12:00:00 GMT"),
    ("server", "Apache/2.4.71 (Debian)"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-length", "18211"),
    ("connection", "keep-alive"),
    ("keep-alive", "timeout=5, max=100"),
    ("cache-control", "private, max-age=0"),
    ("vary", "Accept-Encoding, Cookie"),
    ("set-cookie", "session=4f1c0d8e2b6a4975; Path=/; HttpOnly"),
    ("etag", "\"6a1-5f2b3c4d\""),
];
