//! Header fields against golden cases, and by property.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::super::tests::{application, view};
use super::*;

const ON: LinkTranslation = LinkTranslation { headers: true };

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
        translate_response(&mut headers, &map, ON);
        assert_eq!(headers, read_fields(expected), "{}", case.display());
    }
    assert_eq!(cases.len(), 14);
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
    translate_response(&mut headers, &map, LinkTranslation { headers: false });
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
    rewrite_origin(&mut headers, &map);
    let seen = "origin: http://wiki.corp.local:8888\nreferer: http://wiki.corp.local:8888/a?b\n";
    assert_eq!(headers, read_fields(seen));
    let foreign = "origin: https://evil.example\nreferer: https://wiki.example.com.evil.example/\n";
    let mut headers = read_fields(foreign);
    rewrite_origin(&mut headers, &map);
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
        translate_response(&mut headers, &map, ON);
        let once = headers.clone();
        translate_response(&mut headers, &map, ON);
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
    fn rule_7_a_request_without_our_cookies_is_the_same_octets(field in "[a-zA-Z0-9=; \"_$.-]{0,80}") {
        prop_assume!(!field.to_lowercase().contains("appproxy"));
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::try_from(field.as_str()).unwrap());
        let before = headers.clone();
        remove_own_cookies(&mut headers);
        prop_assert_eq!(headers, before);
    }
}
