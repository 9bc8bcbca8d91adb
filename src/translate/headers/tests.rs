//! Header fields against golden cases, and by property.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::super::tests::{application, view};
use super::*;
use crate::model::{Host, HostHeader};

const ON: LinkTranslation = with(true);
const OFF: LinkTranslation = with(false);

const fn with(headers: bool) -> LinkTranslation {
    LinkTranslation {
        body: Vec::new(),
        headers,
        round_trip: false,
        attributes: Vec::new(),
        replacements: Vec::new(),
        exclude: Vec::new(),
        report: Vec::new(),
        cookie_domains: Vec::new(),
    }
}

/// Every field that is translated, and in which direction.
const FIELDS: [(&str, bool); 16] = [
    ("location", true),
    ("content-location", true),
    ("sourcemap", true),
    ("x-sourcemap", true),
    ("link", true),
    ("refresh", true),
    ("reporting-endpoints", true),
    ("access-control-allow-origin", true),
    ("content-security-policy", true),
    ("content-security-policy-report-only", true),
    ("set-cookie", true),
    ("service-worker-allowed", true),
    ("origin", false),
    ("referer", false),
    ("destination", false),
    ("if", false),
];

fn read_fields(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// A case is three parts between lines of `--`: external URL, internal URL and the host people
/// opened; the application's fields; the browser's.
#[test]
fn golden_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/translate/headers");
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    for case in &cases {
        let text = fs::read_to_string(case).unwrap();
        let [setting, sent, expected]: [&str; 3] =
            text.split("--\n").collect::<Vec<_>>().try_into().unwrap();
        let [external, internal, host]: [&str; 3] =
            setting.lines().collect::<Vec<_>>().try_into().unwrap();
        let application = application(external, internal);
        let (captured, host) = view(&application, host);
        let map = UrlMap::new(&application, captured.as_ref(), &host).unwrap();
        let mut headers = read_fields(sent);
        translate_response(&mut headers, &map, &ON);
        assert_eq!(headers, read_fields(expected), "{}", case.display());
    }
    assert_eq!(cases.len(), 14);
}

/// What becomes of one field: `None` where the request is refused.
fn translated(map: &UrlMap<'_>, is_answer: bool, name: &str, value: &[u8]) -> Option<HeaderMap> {
    let name = HeaderName::from_bytes(name.to_lowercase().as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_bytes(value).unwrap());
    if is_answer {
        translate_response(&mut headers, map, &ON);
        return Some(headers);
    }
    translate_request(&mut headers, map, &ON).ok()?;
    Some(headers)
}

/// `\\x` and two digits are one octet.
fn octets(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut octets = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        octets.push(u8::from_str_radix(&part[..2], 16).unwrap());
        octets.extend_from_slice(&part.as_bytes()[2..]);
    }
    octets
}

/// Rows of `direction | field | before | after` under `application | external URL | internal URL |
/// host that people opened | host_header`; after is `=` for the same, `-` for no field and `!` for
/// a refused request.
#[test]
fn tables() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/translate/tables");
    let (mut files, mut rows) = (0, 0);
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        files += 1;
        let mut setting = None;
        for line in fs::read_to_string(&file).unwrap().lines() {
            if line.starts_with('#') {
                continue;
            }
            let columns: Vec<&str> = line.split('|').map(|c| c.trim_matches(' ')).collect();
            if let ["application", external, internal, host, header @ ..] = &columns[..] {
                let mut application = application(external, internal);
                application.host_header = match header {
                    [] => HostHeader::Internal,
                    ["external"] => HostHeader::External,
                    fixed => HostHeader::Fixed(fixed.concat().into()),
                };
                setting = Some((application, *host));
                continue;
            }
            let [direction, name, before, after]: [&str; 4] = columns.try_into().unwrap();
            let (application, host) = setting.as_ref().unwrap();
            let (captured, host) = view(application, host);
            let map = UrlMap::new(application, captured.as_ref(), &host).unwrap();
            let is_answer = ["request", "answer"]
                .iter()
                .position(|d| *d == direction)
                .unwrap()
                == 1;
            let before = octets(before);
            let expected = match after {
                "!" => None,
                "-" => Some(vec![]),
                "=" => Some(vec![before.clone()]),
                after => Some(vec![octets(after)]),
            };
            let got = translated(&map, is_answer, name, &before).map(|h| {
                h.values()
                    .map(|v| v.as_bytes().to_vec())
                    .collect::<Vec<_>>()
            });
            assert_eq!(got, expected, "{}: {line}", file.display());
            rows += 1;
        }
    }
    assert_eq!((files, rows), (8, 303));
}

#[test]
fn rule_14_a_service_worker_is_held_to_its_path_without_translation_too() {
    let application = application("https://gw.example.com/wiki/", "http://wiki.corp.local/");
    let (_, host) = view(&application, "gw.example.com");
    let map = UrlMap::new(&application, None, &host).unwrap();
    for (sent, passed) in [
        (
            "service-worker-allowed: /",
            "service-worker-allowed: /wiki/",
        ),
        (
            "service-worker-allowed: /wiki/a/",
            "service-worker-allowed: /wiki/a/",
        ),
        (
            "service-worker-allowed: /wiki/\nservice-worker-allowed: /wiki/",
            "service-worker-allowed: /wiki/",
        ),
        (
            "service-worker-allowed: /wiki/\nservice-worker-allowed: /",
            "",
        ),
    ] {
        let mut headers = read_fields(sent);
        translate_response(&mut headers, &map, &OFF);
        assert_eq!(headers, read_fields(passed), "{sent}");
    }
}

#[test]
fn without_translation_links_stay_and_no_resource_outside_is_named() {
    let application = application("https://gw.example.com/dav/", "http://dav.corp.local/dav/");
    let (_, host) = view(&application, "gw.example.com");
    let map = UrlMap::new(&application, None, &host).unwrap();
    let sent = "location: http://dav.corp.local/dav/\nrefresh: 0;url=http://dav.corp.local/dav/\n\
                link: <http://dav.corp.local/dav/>\n\
                access-control-allow-origin: http://dav.corp.local\n\
                content-security-policy: img-src http://dav.corp.local\n";
    let mut headers = read_fields(sent);
    translate_response(&mut headers, &map, &OFF);
    assert_eq!(headers, read_fields(sent));
    for (field, allowed) in [
        ("destination: https://gw.example.com/dav/x", true),
        ("if: <https://gw.example.com/dav/x> (<urn:x>)", true),
        ("destination: https://gw.example.com/secret", false),
        ("if: </secret> (<urn:x>)", false),
    ] {
        let mut headers = read_fields(field);
        let answer = translate_request(&mut headers, &map, &OFF);
        assert_eq!(answer.is_ok(), allowed, "{field}");
        assert_eq!(headers, read_fields(field));
    }
}

#[test]
fn a_cookie_keeps_the_domain_that_is_listed() {
    let application = application("https://wiki.example.com/", "http://wiki.corp.local/");
    let (_, host) = view(&application, "wiki.example.com");
    let map = UrlMap::new(&application, None, &host).unwrap();
    for headers in [true, false] {
        let what = LinkTranslation {
            cookie_domains: vec![Host::parse("example.com").unwrap()],
            ..with(headers)
        };
        let sent = "set-cookie: a=1; Domain=example.com; Secure\n\
                    set-cookie: a=1; domain = .EXAMPLE.com ; Secure\n\
                    set-cookie: a=1; Domain=..example.com; Secure\n\
                    set-cookie: a=1; Domain=wiki.example.com; Secure\n\
                    set-cookie: a=1; Domain=xexample.com; Secure\n\
                    set-cookie: a=1; Domain=com; Domain; Domain=\n\
                    set-cookie: __Host-appproxy=1; Domain=example.com\n";
        let seen = "set-cookie: a=1; Domain=example.com; Secure\n\
                    set-cookie: a=1; domain = .EXAMPLE.com ; Secure\n\
                    set-cookie: a=1; Secure\n\
                    set-cookie: a=1; Secure\n\
                    set-cookie: a=1; Secure\n\
                    set-cookie: a=1\n";
        let mut fields = read_fields(sent);
        translate_response(&mut fields, &map, &what);
        assert_eq!(fields, read_fields(seen));
    }
}

#[test]
fn policies_name_what_has_changed_inside_a_page() {
    let old = |name: &str| format!("{name}-ab+/");
    let changed = [
        Changed {
            old: ["sha256", "sha384", "sha512"].map(old),
            new: "sha256-NEW".to_owned(),
        },
        Changed {
            old: ["sha256", "sha384", "sha512"].map(|name| format!("{name}-cd==")),
            new: "sha256-OTHER".to_owned(),
        },
    ];
    let cases = [
        (
            "style-src 'sha256-ab+/'",
            Some("style-src 'sha256-ab+/' 'sha256-NEW'"),
        ),
        (
            "default-src 'self';script-src 'SHA384-ab-_' 'sha256-cd==' ; img-src *",
            Some(
                "default-src 'self';script-src 'SHA384-ab-_' 'sha256-cd==' 'sha256-NEW' 'sha256-OTHER' ; img-src *",
            ),
        ),
        (
            "style-src 'sha512-ab+/', style-src 'none'",
            Some("style-src 'sha512-ab+/' 'sha256-NEW', style-src 'none'"),
        ),
        ("style-src 'sha256-NEW' 'sha256-ab+/'", None),
        ("style-src 'sha256-AB+/'", None),
        ("style-src sha256-ab+/", None),
        ("style-src 'sha256ab+/' 'sha256' '' 'sha256-", None),
        ("'sha256-ab+/' x", None),
        ("", None),
    ];
    for (policy, expected) in cases {
        let made = policy::admit(policy.as_bytes(), &changed);
        let made = made.map(|octets| String::from_utf8(octets).unwrap());
        assert_eq!(made.as_deref(), expected, "{policy}");
    }
    for (policy, has) in [
        ("style-src 'Sha256-x'", true),
        ("script-src 'self' 'sha512-x'", true),
        ("script-src 'nonce-sha256-x'", false),
        ("script-src 'sha25'", false),
        ("script-src 'sha256-x", false),
    ] {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_static(policy);
        headers.insert(header::CONTENT_SECURITY_POLICY_REPORT_ONLY, value);
        assert_eq!(!named_hashes(&headers).is_empty(), has, "{policy}");
    }
}

#[test]
fn every_field_of_a_name_is_translated() {
    let application = application("https://wiki.example.com/", "http://wiki.corp.local/");
    let (_, host) = view(&application, "wiki.example.com");
    let map = UrlMap::new(&application, None, &host).unwrap();
    let sent = "link: <http://wiki.corp.local/a>\nlink: </b>\nlink: <http://wiki.corp.local/c>\n\
                content-security-policy: img-src wiki.corp.local\n\
                content-security-policy: img-src 'self'\n\
                content-security-policy: img-src ws://wiki.corp.local\n";
    let seen = "link: <https://wiki.example.com/a>\nlink: </b>\nlink: <https://wiki.example.com/c>\n\
                content-security-policy: img-src wiki.example.com\n\
                content-security-policy: img-src 'self'\n\
                content-security-policy: img-src wss://wiki.example.com\n";
    let mut headers = read_fields(sent);
    translate_response(&mut headers, &map, &ON);
    assert_eq!(headers, read_fields(seen));
}

/// Eight times as long as a field can be.
fn hostile_values() -> Vec<String> {
    const LENGTH: usize = 512 * 1024;
    let numbered = |begin: &str, end: &str| -> String {
        let parts = (0..LENGTH / 24).map(|n| format!("{begin}{n}{end}"));
        parts.collect()
    };
    let mut values: Vec<String> = [
        "<",
        ">",
        "\"",
        "\\",
        "\\\"",
        "'",
        ";",
        ",",
        " ",
        "=",
        "(",
        ")",
        "[",
        "]",
        "*",
        ":",
        "/",
        "://",
        "0",
        ".",
        "..",
        "%",
        "é",
        "a",
        "<>",
        "<>,",
        "</app/>,",
        "</app/>;",
        ";anchor=",
        ";anchor=\"",
        ";anchor=/app/",
        "\"/app/\"",
        "([\"a\"])",
        "</wiki/>",
        "(<a>)",
        "Not",
        "img-src ",
        "img-src a;",
        "report-uri /app/;",
        "http://",
        "http://wiki.corp.internal:8080/app/ ",
        "a=b;Path=/app/;",
        ";Domain=",
        "*.corp.internal:8080 ",
        "*.internal:* ",
        "%25",
        "/app/../",
        "//",
        "a.",
        "é.",
        "<http://é/>",
    ]
    .iter()
    .map(|part| part.repeat(LENGTH / part.len()))
    .collect();
    values.push(numbered("*.internal:8080/app/", "/ "));
    values.push(numbered("http://wiki.corp.internal:8080/app/", " "));
    values.push(format!("<http://{}/>,", "é".repeat(500)).repeat(LENGTH / 1010));
    values.push(format!("<http://{}/>,", "a.".repeat(500)).repeat(LENGTH / 1010));
    values
}

/// What takes more than linear time takes many seconds for one of them, and everything else a few
/// milliseconds.
#[test]
fn hostile_fields_are_read_in_linear_time() {
    let application = application(
        "https://gw.example.com/wiki/",
        "http://wiki.corp.internal:8080/app/",
    );
    let (_, host) = view(&application, "gw.example.com");
    let map = UrlMap::new(&application, None, &host).unwrap();
    let values = hostile_values();
    let mut seen = 0;
    for value in &values {
        for (name, is_answer) in FIELDS {
            let start = match name {
                "link" | "if" => "<",
                "refresh" => "0;url=",
                "set-cookie" => "a=b;",
                "content-security-policy" | "content-security-policy-report-only" => "img-src ",
                _ => "https://gw.example.com/wiki/",
            };
            for start in ["", start] {
                let value = format!("{start}{value}");
                let begin = tokio::time::Instant::now();
                translated(&map, is_answer, name, value.as_bytes());
                let took = begin.elapsed();
                assert!(
                    took.as_secs() < 5,
                    "{name}: {took:?} for {}",
                    value.chars().take(40).collect::<String>()
                );
                seen += 1;
            }
        }
    }
    assert_eq!(seen, values.len() * FIELDS.len() * 2);
}

#[test]
fn a_field_does_not_grow_without_end() {
    let application = application("https://a-long-name.example.com/", "http://w/");
    let (_, host) = view(&application, "a-long-name.example.com");
    let map = UrlMap::new(&application, None, &host).unwrap();
    for (count, grows) in [(3000, true), (8000, false)] {
        let sent = format!("img-src{}", " w".repeat(count));
        let got = translated(&map, true, "content-security-policy", sent.as_bytes()).unwrap();
        let length = got["content-security-policy"].len();
        assert_eq!(length > sent.len(), grows, "{length}");
        assert!(length <= 128 * 1024);
    }
}

#[test]
fn rule_7_cookies_are_held_to_their_host_without_translation_too() {
    let application = application("https://wiki.example.com/w/", "http://wiki.corp.local/");
    let (_, host) = view(&application, "wiki.example.com");
    let map = UrlMap::new(&application, None, &host).unwrap();
    let sent = "location: http://wiki.corp.local/a\n\
                set-cookie: a=1; Domain=example.com; Path=/\n\
                set-cookie: __Host-appproxy=stolen; Path=/; Secure\n";
    let mut headers = read_fields(sent);
    translate_response(&mut headers, &map, &OFF);
    let expected = "location: http://wiki.corp.local/a\nset-cookie: a=1; Path=/\n";
    assert_eq!(headers, read_fields(expected));
}

#[test]
fn rule_7_our_cookies_never_reach_an_application() {
    for (sent, kept) in [
        (&["a=1; b=2"][..], &["a=1; b=2"][..]),
        (&["__Host-appproxy=s; a=1"], &["a=1"]),
        (&["a=1; __Host-appproxy=s"], &["a=1"]),
        (&["a=1;__host-APPPROXY-x=s;b=2"], &["a=1;b=2"]),
        (&["a=1;  appproxy-state=s;  b=\"x\""], &["a=1;  b=\"x\""]),
        (&["__Secure-appproxy=s"], &[]),
        (&["__Host-appproxy=s; __Host-appproxy=t"], &[]),
        (&["a=1", "__Host-appproxy=s", "b=2"], &["a=1", "b=2"]),
        (&["a=\"x; __Host-appproxy=s; y\""], &["a=\"x; y\""]),
        (
            &["$Version=1; =__Host-appproxy=s; c=3"],
            &["$Version=1; c=3"],
        ),
        (&[" a = 1 ;; b"], &[" a = 1 ;; b"]),
    ] {
        let mut headers = HeaderMap::new();
        for field in sent {
            headers.append("cookie", HeaderValue::from_static(field));
        }
        remove_own_cookies(&mut headers);
        let fields: Vec<_> = headers.get_all("cookie").iter().collect();
        assert_eq!(fields, kept, "{sent:?}");
    }
}

#[test]
fn rule_18_origin_and_referer_follow_the_host_an_application_sees() {
    let application = application("https://wiki.example.com/", "http://wiki.corp.local:8888/");
    let (_, host) = view(&application, "wiki.example.com");
    let map = UrlMap::new(&application, None, &host).unwrap();
    let own = "origin: https://wiki.example.com\nreferer: https://wiki.example.com/a?b\n";
    let mut headers = read_fields(own);
    translate_request(&mut headers, &map, &OFF).unwrap();
    let seen = "origin: http://wiki.corp.local:8888\nreferer: http://wiki.corp.local:8888/a?b\n";
    assert_eq!(headers, read_fields(seen));
    let foreign = "origin: https://evil.example\nreferer: https://wiki.example.com.evil.example/\n";
    let mut headers = read_fields(foreign);
    translate_request(&mut headers, &map, &OFF).unwrap();
    assert_eq!(headers, read_fields(foreign));
}

fn attribute() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        " Path=/app/",
        " path=/app",
        ";",
        " Secure",
        " HttpOnly",
        " SameSite=Lax",
        " Max-Age=60",
        " Path=/elsewhere",
        " Expires=Wed, 21 Oct 2026 07:28:00 GMT",
        " Path",
        " =",
        "\t",
        " Domain=.example.com",
        " DOMAIN = wiki.corp.local ",
        " domain",
    ]);
    prop::collection::vec(parts, 0..6).prop_map(|parts| parts.join(";"))
}

/// Pieces of every field's grammar in any order, and octets that belong to none.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 48] = [
        "http://wiki.corp.internal:8080",
        "https://wiki.example.com",
        "http://wiki.example.com:8080",
        "//wiki.corp.internal:8080",
        "ws://wiki.corp.internal:8080",
        "wiki.corp.internal:8080",
        "wiki.example.com",
        "*.corp.internal:8080",
        "*:8080",
        "wiki.corp.internal:*",
        "https://other.example",
        "/app",
        "/app/",
        "/wiki/",
        "/x",
        "/",
        "?a",
        "#f",
        "<",
        ">",
        "(",
        ")",
        "[\"e\"]",
        "\"",
        "'",
        "\\",
        ",",
        ";",
        "; ",
        "=",
        " ",
        "\t",
        "0;",
        "5",
        "url=",
        "URL =",
        "anchor=",
        "rel=x",
        "img-src ",
        "report-uri ",
        "default-src ",
        "'self'",
        "Not ",
        "a=b",
        "Path=",
        "Domain=",
        "SameSite=Lax",
        "..",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => (0x80..=0xff_u8).prop_map(|octet| vec![octet]),
        1 => "[!-~é€]{0,4}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// The path that a careless reader makes of a URL: host unseen, everything decoded, dots resolved.
fn resolved(url: &str) -> String {
    // White space at its beginning does not survive HTTP.
    let before = url.trim_start().split(['?', '#']).next().unwrap();
    let path = match before.split_once("://") {
        Some((_, rest)) if !before.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => before,
    };
    let mut path = path.to_lowercase();
    for _ in 0..4 {
        path = path
            .replace("%2e", ".")
            .replace("%2f", "/")
            .replace("%5c", "/");
        path = path
            .replace("%25", "%")
            .replace("%c0%ae", ".")
            .replace('\\', "/");
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment.split(';').next().unwrap().trim() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    format!("/{}/", segments.join("/"))
}

proptest! {
    #[test]
    fn rule_7_no_cookie_keeps_a_domain_and_a_second_pass_changes_nothing(
        pair in "[ -:<-~]{0,12}(=[ -:<-~]{0,12})?", attributes in attribute(),
    ) {
        let application = application("https://wiki.example.com/wiki/", "http://wiki.corp.local/app/");
        let (_, host) = view(&application, "wiki.example.com");
        let map = UrlMap::new(&application, None, &host).unwrap();
        let sent = format!("{pair};{attributes}");
        let mut headers = HeaderMap::new();
        headers.insert("set-cookie", HeaderValue::try_from(sent.as_str()).unwrap());
        translate_response(&mut headers, &map, &ON);
        let once = headers.clone();
        translate_response(&mut headers, &map, &ON);
        prop_assert_eq!(&headers, &once);
        let kept = once.get("set-cookie").map(HeaderValue::as_bytes).unwrap_or_default();
        let kept = std::str::from_utf8(kept).unwrap();
        let ignored = matches!(pair.trim(), "" | "=");
        let names = kept.split(';').skip(1).map(|a| a.split('=').next().unwrap_or_default().trim());
        prop_assert!(ignored || names.into_iter().all(|n| !n.eq_ignore_ascii_case("domain")));
        let hit = attributes.to_lowercase().contains("domain") || attributes.contains("/app");
        prop_assert!(hit || kept == sent || kept.is_empty());
    }

    #[test]
    fn a_second_pass_changes_nothing_and_no_octets_are_too_strange(
        (way, field) in (0..2_usize, 0..FIELDS.len()), value in soup(),
    ) {
        let application = [
            application("https://wiki.example.com/", "http://wiki.corp.internal:8080/"),
            application("https://wiki.example.com/wiki/", "http://wiki.corp.internal:8080/app/"),
        ][way].clone();
        let (_, host) = view(&application, "wiki.example.com");
        let map = UrlMap::new(&application, None, &host).unwrap();
        let (name, is_answer) = FIELDS[field];
        if let Some(once) = translated(&map, is_answer, name, &value)
            && let Some(value) = once.get(name)
        {
            let twice = translated(&map, is_answer, name, value.as_bytes());
            prop_assert_eq!(twice, Some(once.clone()), "{}", name);
        }
    }

    #[test]
    fn what_is_foreign_never_changes(
        field in 0..FIELDS.len(),
        host in prop::sample::select(vec![
            "other.example", "wiki.corp.internal.evil.example:8080", "wiki.corp.internal:8081",
            "wiki.example.com.evil.example", "u@wiki.corp.internal:8080", "10.0.0.1:8080",
            "wiki.corp.internal:80800", "wiki.corp.internal:8080x", "xwiki.corp.internal:8080",
        ]),
        scheme in prop::sample::select(vec!["https://", "http://", "//", "ftp://", "wss://"]),
        shape in prop::sample::select(vec![
            "URL", "<URL>; rel=x; anchor=\"URL\"", "0;url=URL", "0 'URL'", "a=\"URL\"",
            "img-src URL 'self'; report-uri URL", "a=URL; Path=/", "<URL> (<urn:x>)",
        ]),
        path in "(/[a-z%]{0,3}){0,3}",
    ) {
        let application = application("https://wiki.example.com/", "http://wiki.corp.internal:8080/");
        let (_, seen) = view(&application, "wiki.example.com");
        let map = UrlMap::new(&application, None, &seen).unwrap();
        let (name, is_answer) = FIELDS[field];
        let value = shape.replace("URL", &format!("{scheme}{host}{path}"));
        let got = translated(&map, is_answer, name, value.as_bytes()).unwrap();
        prop_assert_eq!(got.get(name).unwrap().to_str().unwrap(), value, "{}", name);
    }

    #[test]
    fn rule_2_no_destination_leaves_the_published_path(
        parts in prop::collection::vec(prop::sample::select(vec![
            "https://gw.example.com", "http://files.corp.internal", "https://x.example", "/dav/", "/share/",
            "/", "//", "..", ".", "%2e", "%2E", "%252e", "%2f", "%5c", "\\", ";", "a", "?", "#", ":", "@",
            "http:", " ", "%", "é", "%c0%ae",
        ]), 0..8),
    ) {
        let application = application("https://gw.example.com/dav/", "http://files.corp.internal/share/");
        let (_, host) = view(&application, "gw.example.com");
        let map = UrlMap::new(&application, None, &host).unwrap();
        let sent = parts.concat();
        if let Some(passed) = translated(&map, false, "destination", sent.as_bytes()) {
            let passed = std::str::from_utf8(passed["destination"].as_bytes()).unwrap().to_owned();
            prop_assert!(resolved(&passed).starts_with("/share"), "{} became {}", sent, passed);
        }
    }

    #[test]
    fn rule_7_a_request_without_our_cookies_is_the_same_octets(field in "[a-zA-Z0-9=; \"_$.-]{0,80}") {
        prop_assume!(!field.to_lowercase().contains("appproxy"));
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::try_from(field.as_str()).unwrap());
        let before = headers.clone();
        remove_own_cookies(&mut headers);
        prop_assert_eq!(headers, before);
    }
}
