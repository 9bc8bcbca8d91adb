use encoding_rs::{SHIFT_JIS, UTF_8, WINDOWS_1252};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::collection::vec;
use proptest::prelude::any;

use super::*;
use crate::model::BodyKind;
use crate::translate::body::codec::Coding;
use crate::translate::body::testing::property;

const HASH: u64 = 0x1234_5678_9abc_def0;

/// Pages and style sheets.
fn both(media_type: &MediaType) -> Result<(), Skip> {
    match media_type.kind {
        BodyKind::Html | BodyKind::Css => Ok(()),
        _ => Err(Skip::Type),
    }
}

fn suffix() -> TagSuffix {
    TagSuffix::new(HASH)
}

/// `name: value` lines.
fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let line =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut lines: Vec<String> = headers.iter().map(line).collect();
    lines.sort();
    lines
}

fn judged(status: u16, lines: &[&str]) -> Verdict {
    let status = StatusCode::from_u16(status).unwrap();
    judge(
        &Method::GET,
        status,
        &headers(lines),
        &both,
        &Asked::default(),
    )
}

#[test]
fn gzip_is_asked_for_where_the_client_takes_it() {
    let cases: [(&[&str], &str); 15] = [
        (&[], "identity"),
        (&["accept-encoding: "], "identity"),
        (&["accept-encoding: gzip, deflate, br, zstd"], "gzip"),
        (&["accept-encoding: br", "accept-encoding: x-gzip"], "gzip"),
        (&["accept-encoding: GZIP;q=0.001"], "gzip"),
        (&["accept-encoding: gzip;q=0"], "identity"),
        (&["accept-encoding: gzip; q=0.000"], "identity"),
        (&["accept-encoding: gzip;Q=0, *"], "identity"),
        (&["accept-encoding: *"], "gzip"),
        (&["accept-encoding: *;q=0"], "identity"),
        (&["accept-encoding: *;q=0, gzip"], "gzip"),
        (&["accept-encoding: br, zstd"], "identity"),
        (&["accept-encoding: identity"], "identity"),
        (&["accept-encoding: gzipped"], "identity"),
        (&["accept-encoding: ,, ;q=1,gzip ;q=1.0"], "gzip"),
    ];
    for (before, asked) in cases {
        let mut headers = headers(before);
        prepare_request(&mut headers, suffix);
        assert_eq!(
            lines(&headers),
            [format!("accept-encoding: {asked}")],
            "{before:?}"
        );
    }
}

#[test]
fn conditions_speak_of_the_applications_own_tags() {
    const OURS: &str = "-apx123456789abcdef0";
    const STALE: &str = "-apxfedcba9876543210";
    let cases: [(&[&str], &[&str]); 22] = [
        (&["if-none-match: \"a{OURS}\""], &["if-none-match: \"a\""]),
        (
            &["if-none-match: W/\"a{OURS}\""],
            &["if-none-match: W/\"a\""],
        ),
        (&["if-none-match: \"{OURS}\""], &["if-none-match: \"\""]),
        (
            &["if-none-match: \"a\\\", \"b,{OURS}\""],
            &["if-none-match: \"a\\\", \"b,\""],
        ),
        (
            &[
                "if-none-match: \"a{OURS}\",\"b\"",
                "if-none-match: W/\"c{OURS}\"",
            ],
            &["if-none-match: \"a\", \"b\", W/\"c\""],
        ),
        // Only the last suffix is ours: there may be another gateway behind.
        (
            &["if-none-match: \"a{STALE}{OURS}\""],
            &["if-none-match: \"a{STALE}\""],
        ),
        (&["if-none-match: \"a{STALE}\""], &[]),
        (
            &["if-none-match: \"a{STALE}\", \"b\""],
            &["if-none-match: \"b\""],
        ),
        (
            &[
                "if-none-match: \"a{STALE}\"",
                "if-modified-since: Sat, 01 Jan 2000 00:00:00 GMT",
            ],
            &[],
        ),
        (
            &["if-none-match: \"a{OURS}\"", "if-modified-since: x"],
            &["if-modified-since: x", "if-none-match: \"a\""],
        ),
        // What is not ours stays octet by octet.
        (
            &["if-none-match: \"a\",\"b\""],
            &["if-none-match: \"a\",\"b\""],
        ),
        (&["if-none-match: *"], &["if-none-match: *"]),
        (&["if-none-match: a{OURS}"], &["if-none-match: a{OURS}"]),
        (
            &["if-none-match: \"a-apx123\""],
            &["if-none-match: \"a-apx123\""],
        ),
        (
            &["if-none-match: \"a-apxg234567890123456\""],
            &["if-none-match: \"a-apxg234567890123456\""],
        ),
        (&["if-match: \"a{OURS}\""], &["if-match: \"a\""]),
        (&["if-match: \"a{STALE}\""], &["if-match: \"a{STALE}\""]),
        (&["if-match: *"], &["if-match: *"]),
        // A range of a translated body is not one of the application's.
        (&["range: bytes=5-", "if-range: \"a{OURS}\""], &[]),
        (&["range: bytes=5-", "if-range: \"a{STALE}\""], &[]),
        (
            &["range: bytes=5-", "if-range: \"a\""],
            &["if-range: \"a\"", "range: bytes=5-"],
        ),
        (&["range: bytes=5-"], &["range: bytes=5-"]),
    ];
    let fill = |lines: &[&str]| -> Vec<String> {
        let fill = |line: &&str| line.replace("{OURS}", OURS).replace("{STALE}", STALE);
        lines.iter().map(fill).collect()
    };
    for (before, after) in cases {
        let before = fill(before);
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        let mut headers = headers(&before);
        prepare_request(&mut headers, suffix);
        headers.remove("accept-encoding");
        assert_eq!(lines(&headers), fill(after), "{before:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_answer_is_judged_by_its_head() {
    let plan = |kind, coding, charset| {
        Verdict::Translate(Plan {
            kind,
            coding,
            charset,
            waits: false,
        })
    };
    let html = plan(BodyKind::Html, Coding::Identity, None);
    let css = plan(BodyKind::Css, Coding::Identity, None);
    let skip = Verdict::Skip;
    let cases: [(u16, &[&str], Verdict); 40] = [
        (200, &["content-type: text/html"], html),
        (404, &["content-type: Text/HTML "], html),
        (302, &["content-type: text/html;"], html),
        (200, &["content-type: application/xhtml+xml"], html),
        (200, &["content-type: text/css"], css),
        (
            200,
            &["content-type: text/html; charset=Shift_JIS"],
            plan(BodyKind::Html, Coding::Identity, Some(SHIFT_JIS)),
        ),
        (
            200,
            &["content-type: text/html;a=\"; charset=x\";CHARSET=\"utf-8\""],
            plan(BodyKind::Html, Coding::Identity, Some(UTF_8)),
        ),
        (
            200,
            &["content-type: text/html; charset=latin1; charset=utf-8"],
            plan(BodyKind::Html, Coding::Identity, Some(WINDOWS_1252)),
        ),
        (200, &["content-type: text/html; charset=utf-7"], html),
        (
            200,
            &["content-type: text/html; charset=iso-2022-kr"],
            skip(Skip::Charset),
        ),
        (
            200,
            &["content-type: image/png", "content-type: text/html"],
            html,
        ),
        (200, &[], skip(Skip::Type)),
        (200, &["content-type: "], skip(Skip::Type)),
        (200, &["content-type: text/htmlx"], skip(Skip::Type)),
        (200, &["content-type: text/javascript"], skip(Skip::Type)),
        (206, &["content-type: video/mp4"], skip(Skip::Type)),
        (206, &["content-type: text/html"], skip(Skip::Partial)),
        (
            206,
            &["content-type: multipart/byteranges; boundary=x"],
            skip(Skip::Type),
        ),
        (204, &["content-type: text/html"], skip(Skip::Empty)),
        (205, &["content-type: text/html"], skip(Skip::Empty)),
        (304, &["content-type: text/html"], skip(Skip::Empty)),
        (103, &["content-type: text/html"], skip(Skip::Empty)),
        (
            200,
            &["content-type: text/html", "content-length: 0"],
            skip(Skip::Empty),
        ),
        (
            200,
            &["content-type: text/html", "content-length: 10"],
            html,
        ),
        (
            200,
            &["content-type: text/html", "cache-control: no-transform"],
            skip(Skip::NoTransform),
        ),
        (
            200,
            &[
                "content-type: text/html",
                "cache-control: no-store",
                "cache-control: private=\"x, y\", No-Transform",
            ],
            skip(Skip::NoTransform),
        ),
        (
            200,
            &[
                "content-type: text/html",
                "cache-control: private=\"a\\\", no-transform\"",
            ],
            html,
        ),
        (
            200,
            &["content-type: text/html", "cache-control: no-transformers"],
            html,
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: gzip"],
            plan(BodyKind::Html, Coding::Gzip, None),
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: X-GZIP"],
            plan(BodyKind::Html, Coding::Gzip, None),
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: deflate"],
            plan(BodyKind::Html, Coding::Deflate, None),
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: br"],
            plan(BodyKind::Html, Coding::Brotli, None),
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: identity"],
            html,
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: "],
            html,
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: ,gzip,"],
            plan(BodyKind::Html, Coding::Gzip, None),
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: zstd"],
            skip(Skip::UnknownCoding),
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: gzip, gzip"],
            skip(Skip::UnknownCoding),
        ),
        (
            200,
            &[
                "content-type: text/html",
                "content-encoding: br",
                "content-encoding: gzip",
            ],
            skip(Skip::UnknownCoding),
        ),
        (
            200,
            &["content-type: text/html", "content-encoding: aes128gcm"],
            skip(Skip::UnknownCoding),
        ),
        (
            200,
            &["content-type: image/png", "content-encoding: zstd"],
            skip(Skip::Type),
        ),
    ];
    for (status, lines, verdict) in cases {
        assert_eq!(judged(status, lines), verdict, "{status} {lines:?}");
    }
}

#[test]
fn types_are_read_as_browsers_read_them() {
    let cases = [
        ("text/html", Some(BodyKind::Html)),
        ("Application/XHTML+XML; charset=x", Some(BodyKind::Html)),
        ("text/css", Some(BodyKind::Css)),
        ("application/json", Some(BodyKind::Json)),
        ("application/problem+json", Some(BodyKind::Json)),
        ("text/event-stream", Some(BodyKind::Json)),
        ("text/javascript; charset=utf-8", Some(BodyKind::JavaScript)),
        ("application/xml", Some(BodyKind::Xml)),
        ("image/svg+xml", Some(BodyKind::Xml)),
        ("application/rss+xml", Some(BodyKind::Xml)),
        ("text/plain", Some(BodyKind::Text)),
        ("application/vnd.apple.mpegurl", Some(BodyKind::Text)),
        ("application/octet-stream", None),
        ("application/pdf", None),
        ("multipart/form-data; boundary=x", None),
        ("image/png", None),
        ("", None),
    ];
    for (value, kind) in cases {
        let read = MediaType::of(&headers(&[&format!("content-type: {value}")]));
        assert_eq!(read.map(|read| read.kind), kind, "{value}");
    }
    let read = MediaType::of(&headers(&[
        "content-type: Text/HTML; a=b; CHARSET=\"Utf-8\"",
    ]));
    let read = read.unwrap();
    assert_eq!(
        (&*read.essence, read.charset.as_deref()),
        ("text/html", Some(&b"Utf-8"[..]))
    );
}

#[test]
fn types_that_are_not_wanted_pass() {
    let asked = Asked::default();
    let mut ran = 0;
    for skip in [
        None,
        Some(Skip::Type),
        Some(Skip::Excluded),
        Some(Skip::Written),
    ] {
        for value in ["content-type: text/html", "content-type: application/json"] {
            let wants = |_: &MediaType| skip.map_or(Ok(()), Err);
            let fields = headers(&[value]);
            let verdict = judge(&Method::GET, StatusCode::OK, &fields, &wants, &asked);
            match skip {
                Some(skip) => assert_eq!(verdict, Verdict::Skip(skip)),
                None => assert!(matches!(verdict, Verdict::Translate(_))),
            }
            ran += 1;
        }
    }
    assert_eq!(ran, 8);
}

#[test]
fn head_and_304_have_the_fields_of_get() {
    let head = |lines: &[&str]| {
        judge(
            &Method::HEAD,
            StatusCode::OK,
            &headers(lines),
            &both,
            &Asked::default(),
        )
    };
    assert_eq!(
        head(&["content-type: text/html", "content-length: 5"]),
        Verdict::Fields
    );
    assert_eq!(
        head(&["content-type: text/html", "content-encoding: br"]),
        Verdict::Fields
    );
    assert_eq!(
        head(&["content-type: text/plain"]),
        Verdict::Skip(Skip::Type)
    );
    assert_eq!(
        head(&["content-type: text/html", "content-encoding: zstd"]),
        Verdict::Skip(Skip::UnknownCoding)
    );

    let mut request = headers(&["if-none-match: W/\"a-apx123456789abcdef0\", \"b\""]);
    let asked = prepare_request(&mut request, suffix);
    let not_modified = |lines: &[&str]| {
        judge(
            &Method::GET,
            StatusCode::NOT_MODIFIED,
            &headers(lines),
            &both,
            &asked,
        )
    };
    assert_eq!(not_modified(&["etag: \"a\""]), Verdict::Fields);
    assert_eq!(not_modified(&["etag: W/\"a\""]), Verdict::Fields);
    assert_eq!(not_modified(&[]), Verdict::Fields);
    assert_eq!(not_modified(&["etag: \"b\""]), Verdict::Skip(Skip::Empty));
}

#[test]
fn a_translated_body_has_fields_of_its_own() {
    let mut fields = headers(&[
        "content-type: text/html",
        "content-length: 5",
        "content-encoding: gzip",
        "content-md5: x",
        "digest: x",
        "content-digest: x",
        "repr-digest: x",
        "accept-ranges: bytes",
        "etag: W/\"a-gzip\"",
        "vary: accept-encoding",
        "last-modified: x",
    ]);
    mark_translated(&mut fields, &suffix());
    let expected = [
        "accept-ranges: none",
        "content-encoding: gzip",
        "content-type: text/html",
        "etag: W/\"a-gzip-apx123456789abcdef0\"",
        "last-modified: x",
        "vary: accept-encoding",
    ];
    assert_eq!(lines(&fields), expected);
    for (before, after) in [
        ("\"a\"", Some("\"a-apx123456789abcdef0\"")),
        (" \"\" ", Some("\"-apx123456789abcdef0\"")),
        ("a", None),
        ("w/\"a\"", None),
        ("\"a", None),
        ("\"", None),
        ("\"a\"b\"", None),
        ("W/", None),
    ] {
        let mut fields = HeaderMap::new();
        fields.insert("etag", HeaderValue::from_str(before).unwrap());
        mark_translated(&mut fields, &suffix());
        let tag = fields.get("etag").map(|tag| tag.to_str().unwrap());
        assert_eq!(tag, after, "{before}");
    }
    let mut trailers = headers(&["content-digest: x", "grpc-status: 0"]);
    remove_digests(&mut trailers);
    assert_eq!(lines(&trailers), ["grpc-status: 0"]);
}

#[test]
fn tags_go_there_and_back() {
    property(
        500,
        (vec(any::<u8>(), 0..20), any::<bool>(), any::<u64>()),
        |(opaque, weak, hash)| {
            let suffix = TagSuffix::new(hash);
            let weak: &[u8] = if weak { b"W/" } else { b"" };
            let tag = [weak, b"\"", &opaque, b"\""].concat();
            let Ok(value) = HeaderValue::from_bytes(&tag) else {
                return;
            };
            let mut answer = HeaderMap::new();
            answer.insert("etag", value.clone());
            mark_translated(&mut answer, &suffix);
            let Some(ours) = answer.get("etag").cloned() else {
                return;
            };
            let mut request = HeaderMap::new();
            request.insert("if-none-match", ours.clone());
            request.insert("if-match", ours);
            let asked = prepare_request(&mut request, || suffix.clone());
            assert_eq!(request["if-none-match"], value);
            assert_eq!(request["if-match"], value);
            assert!(asked.is_mapped(Some(&tag)));
        },
    );
}

#[test]
fn no_field_panics() {
    property(
        2000,
        (vec(any::<u8>(), 0..60), 0_usize..8),
        |(octets, which)| {
            let names = [
                "accept-encoding",
                "if-none-match",
                "if-match",
                "if-range",
                "content-type",
                "content-encoding",
                "cache-control",
                "etag",
            ];
            let Ok(value) = HeaderValue::from_bytes(&octets) else {
                return;
            };
            let mut headers = headers(&["content-type: text/html"]);
            headers.append(names[which], value);
            let asked = prepare_request(&mut headers, suffix);
            for status in [200, 304] {
                let status = StatusCode::from_u16(status).unwrap();
                let _ = judge(&Method::GET, status, &headers, &both, &asked);
            }
            mark_translated(&mut headers, &suffix());
        },
    );
}

#[test]
fn every_skip_has_its_own_name() {
    let mut names: Vec<&str> = Skip::ALL.iter().map(|skip| skip.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Skip::ALL.len());
}
