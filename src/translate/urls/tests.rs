//! URLs against tables, and by property.

use proptest::prelude::*;

use super::super::tests::{application, copies, view};
use super::*;
use crate::model::HostHeader;

fn check(external: &str, internal: &str, host: &str, cases: &[(&str, Option<&str>)]) {
    let application = application(external, internal);
    let (captured, host) = view(&application, host);
    let map = UrlMap::new(&application, captured.as_ref(), &host).unwrap();
    for (url, expected) in cases {
        let answer = map.to_external(url);
        assert_eq!(answer.as_deref(), *expected, "{url} by {internal}");
    }
}

#[test]
fn every_copy_of_an_application_becomes_the_one_external_url() {
    let application = copies(
        "https://wiki.example.com/",
        &[
            "http://a.corp.local:8888/app/",
            "https://b.corp.local/app/",
            "http://a.corp.local:9999/app/",
        ],
    );
    let (captured, host) = view(&application, "wiki.example.com");
    let mut map = UrlMap::new(&application, captured.as_ref(), &host).unwrap();
    for chosen in 0..3 {
        map.choose(chosen);
        for (url, expected) in [
            ("http://a.corp.local:8888/app/x", true),
            ("https://b.corp.local/app/x", true),
            ("http://a.corp.local:9999/app/x", true),
            ("http://b.corp.local/app/x", false),
            ("https://a.corp.local:8888/app/x", false),
            ("http://a.corp.local/app/x", false),
            ("http://wiki.example.com:9999/app/x", true),
            ("http://c.corp.local:8888/app/x", false),
        ] {
            let mapped = map.to_external(url);
            let expected = expected.then_some("https://wiki.example.com/x");
            assert_eq!(mapped.as_deref(), expected, "{url} by copy {chosen}");
        }
        // A URL without a scheme has that of a copy that is known under it.
        assert_eq!(
            map.to_external("//b.corp.local/app/x").as_deref(),
            Some("//wiki.example.com/x"),
            "by copy {chosen}"
        );
    }
}

#[test]
fn a_copy_sees_its_own_origin() {
    let application = copies(
        "https://wiki.example.com/",
        &["http://a.corp.local:8888/", "https://b.corp.local/"],
    );
    let (captured, host) = view(&application, "wiki.example.com");
    let mut map = UrlMap::new(&application, captured.as_ref(), &host).unwrap();
    let own = "https://wiki.example.com/x";
    for (chosen, seen) in [
        (0, "http://a.corp.local:8888/x"),
        (1, "https://b.corp.local/x"),
        (2, "https://b.corp.local/x"),
    ] {
        map.choose(chosen);
        assert_eq!(map.to_internal(own).as_deref(), Some(seen));
        let resource = map.resource_to_internal(own).unwrap();
        assert_eq!(resource.as_deref(), Some(seen));
    }
    assert_eq!(map.target().to_string(), "b.corp.local:443");
    assert_eq!(map.host_header(), "b.corp.local");
}

#[test]
fn urls_of_the_application_become_external_and_others_stay() {
    check(
        "https://wiki.example.com/",
        "http://wiki.corp.local:8888/",
        "wiki.example.com",
        &[
            (
                "http://wiki.corp.local:8888/",
                Some("https://wiki.example.com/"),
            ),
            (
                "http://wiki.corp.local:8888",
                Some("https://wiki.example.com/"),
            ),
            (
                "http://wiki.corp.local:8888?a",
                Some("https://wiki.example.com/?a"),
            ),
            (
                "HTTP://Wiki.Corp.LOCAL.:08888/a",
                Some("https://wiki.example.com/a"),
            ),
            (
                "http://wiki.corp.local:8888/a/b?u=http://wiki.corp.local:8888/#f",
                Some("https://wiki.example.com/a/b?u=http://wiki.corp.local:8888/#f"),
            ),
            ("//wiki.corp.local:8888/a", Some("//wiki.example.com/a")),
            // The external host as the application guesses it.
            (
                "http://wiki.example.com:8888/a",
                Some("https://wiki.example.com/a"),
            ),
            (
                "https://wiki.example.com:8888/a",
                Some("https://wiki.example.com/a"),
            ),
            (
                "http://wiki.example.com/a",
                Some("https://wiki.example.com/a"),
            ),
            (
                "http://wiki.example.com:443/a",
                Some("https://wiki.example.com/a"),
            ),
            ("//wiki.example.com:8888/a", Some("//wiki.example.com/a")),
            // Nothing to do, or somebody else's.
            ("https://wiki.example.com/a", None),
            ("//wiki.example.com/a", None),
            ("/a", None),
            ("/", None),
            ("a/b", None),
            ("../a", None),
            ("?a", None),
            ("#f", None),
            ("", None),
            ("http://wiki.corp.local/a", None),
            ("https://wiki.corp.local:8888/a", None),
            ("http://wiki.corp.local:8889/a", None),
            ("http://other.corp.local:8888/a", None),
            ("http://wiki.corp.local.evil.example:8888/a", None),
            ("http://u@wiki.corp.local:8888/a", None),
            ("http://wiki.corp.local:8888@evil.example/a", None),
            ("http://wiki.corp.local:x/a", None),
            ("http://wiki.corp.local:8888\\a", None),
            ("/\\wiki.corp.local:8888/a", None),
            ("http:/wiki.corp.local:8888/a", None),
            ("ftp://wiki.corp.local:8888/a", None),
            ("javascript:alert(1)", None),
            ("http://wiki.example.com:9999/a", None),
            ("https://example.com/a", None),
        ],
    );
}

#[test]
fn paths_are_mapped_on_segment_boundaries() {
    check(
        "https://gw.example.com:8443/wiki/",
        "http://wiki.corp.local/app/",
        "gw.example.com",
        &[
            (
                "http://wiki.corp.local/app/x?q",
                Some("https://gw.example.com:8443/wiki/x?q"),
            ),
            (
                "http://wiki.corp.local:80/app",
                Some("https://gw.example.com:8443/wiki"),
            ),
            (
                "//wiki.corp.local/app/",
                Some("//gw.example.com:8443/wiki/"),
            ),
            ("/app/x", Some("/wiki/x")),
            ("/app", Some("/wiki")),
            ("/app?x", Some("/wiki?x")),
            (
                "https://gw.example.com:8443/app/x",
                Some("https://gw.example.com:8443/wiki/x"),
            ),
            ("https://gw.example.com:8443/wiki/x", None),
            ("https://gw.example.com:8443/other/", None),
            ("http://wiki.corp.local/application/", None),
            ("http://wiki.corp.local/", None),
            ("/application/", None),
            ("/App/", None),
            ("/", None),
        ],
    );
    check(
        "https://gw.example.com/",
        "http://wiki.corp.local/app/",
        "gw.example.com",
        &[
            ("/app/x", Some("/x")),
            ("/app", Some("/")),
            (
                "https://gw.example.com/app/x",
                Some("https://gw.example.com/x"),
            ),
            ("https://gw.example.com/x", None),
        ],
    );
    check(
        "https://gw.example.com/wiki/",
        "http://wiki.corp.local/",
        "gw.example.com",
        &[
            ("/", Some("/wiki/")),
            ("/x", Some("/wiki/x")),
            (
                "https://gw.example.com/x",
                Some("https://gw.example.com/wiki/x"),
            ),
            ("https://gw.example.com/wiki/x", None),
        ],
    );
}

#[test]
fn a_wildcard_maps_its_own_label_and_its_sisters() {
    check(
        "https://*.apps.example.com/",
        "http://*.corp.local:8080/",
        "a.apps.example.com",
        &[
            (
                "http://a.corp.local:8080/x",
                Some("https://a.apps.example.com/x"),
            ),
            (
                "http://b.corp.local:8080/x",
                Some("https://b.apps.example.com/x"),
            ),
            (
                "http://b.apps.example.com:8080/x",
                Some("https://b.apps.example.com/x"),
            ),
            ("http://a.b.corp.local:8080/", None),
            ("http://corp.local:8080/", None),
            ("http://a_b.corp.local:8080/", None),
        ],
    );
}

#[test]
fn a_url_in_address_form_is_one_too() {
    check(
        "https://[2001:db8::1]:8443/",
        "http://[fd00::1]:8080/",
        "[2001:db8::1]",
        &[
            (
                "http://[FD00:0::1]:8080/x",
                Some("https://[2001:db8::1]:8443/x"),
            ),
            ("http://[fd00::2]:8080/x", None),
        ],
    );
}

#[test]
fn rule_18_only_the_own_external_origin_becomes_internal() {
    let mut application = application(
        "https://gw.example.com:8443/wiki/",
        "http://wiki.corp.local:8888/app/",
    );
    let cases = [
        (
            "https://gw.example.com:8443",
            Some("http://wiki.corp.local:8888"),
        ),
        (
            "https://gw.example.com:8443/wiki/x?q=1",
            Some("http://wiki.corp.local:8888/app/x?q=1"),
        ),
        ("https://gw.example.com:8443/other/", None),
        ("https://gw.example.com", None),
        ("http://gw.example.com:8443", None),
        ("https://gw.example.com:84433", None),
        ("https://gw.example.com:8443.evil.example/", None),
        ("https://GW.example.com:8443", None),
        ("https://evil.example", None),
        ("null", None),
    ];
    for header in [
        HostHeader::Internal,
        HostHeader::Fixed("fixed:1".into()),
        HostHeader::External,
    ] {
        application.host_header = header.clone();
        let (_, host) = view(&application, "gw.example.com");
        let map = UrlMap::new(&application, None, &host).unwrap();
        for (url, expected) in cases {
            let expected = match header {
                HostHeader::Internal => expected.map(str::to_owned),
                HostHeader::Fixed(_) => {
                    expected.map(|url| url.replace("wiki.corp.local:8888", "fixed:1"))
                }
                HostHeader::External => None,
            };
            assert_eq!(map.to_internal(url), expected, "{url}");
        }
    }
}

proptest! {
    #[test]
    fn a_translated_absolute_url_is_not_translated_again(
        way in 0..4, slashes in "(http:|https:|)//",
        host in prop::sample::select(vec!["wiki.corp.local", "gw.example.com", "other.example"]),
        port in prop::sample::select(vec!["", ":80", ":443", ":8888", ":8443"]),
        path in "(/(app|wiki|x)){0,2}/?", tail in "(\\?[a-z/:]{0,6})?(#[a-z]{0,3})?",
    ) {
        let (external, internal) = [("/", "/"), ("/wiki/", "/"), ("/", "/app/"), ("/wiki/", "/app/")]
            [way as usize];
        // The internal path twice over is the one spelling that means two things.
        prop_assume!(!path.starts_with("/app/app"));
        let application = application(
            &format!("https://gw.example.com:8443{external}"),
            &format!("http://wiki.corp.local:8888{internal}"),
        );
        let (_, host_of) = view(&application, "gw.example.com");
        let map = UrlMap::new(&application, None, &host_of).unwrap();
        let url = format!("{slashes}{host}{port}{path}{tail}");
        if let Some(once) = map.to_external(&url) {
            prop_assert_eq!(map.to_external(&once), None, "{} became {}", url, once);
            prop_assert!(once.ends_with(&tail));
        }
    }

    #[test]
    fn any_text_is_left_alone_without_a_fault(text in ".{0,60}") {
        let application = application("https://gw.example.com/", "http://wiki.corp.local/app/");
        let (_, host) = view(&application, "gw.example.com");
        let map = UrlMap::new(&application, None, &host).unwrap();
        if !text.contains("/app") && !text.contains("corp") && !text.contains("gw") {
            prop_assert_eq!(map.to_external(&text), None);
        }
    }
}
