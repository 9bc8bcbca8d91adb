use std::sync::Arc;

use encoding_rs::UTF_8;
use proptest::collection::vec;
use proptest::sample::select;

use super::page::MOST_LINKS;
use super::*;
use crate::model::{ApplicationName, BodyKind, Host, HostHeader};
use crate::translate::body::testing::{chunks, property};
use crate::translate::body::{Links, Text};
use crate::translate::tests::application;
use crate::translate::{Table, View};

/// `portal` lies below a path inside and outside; `wiki` is published by another path than it has; `git` is on
/// a host of its own, which it is told.
fn crawler(name: &str) -> Crawler {
    let all = [
        (
            "portal",
            "https://portal.example.com/hr/",
            "http://portal.corp/hr/",
        ),
        (
            "pay",
            "https://portal.example.com/hr/pay/",
            "http://pay.corp/hr/pay/",
        ),
        (
            "wiki",
            "https://wiki.example.com/w/",
            "http://wiki.corp:8888/app/",
        ),
        ("git", "https://git.example.com/", "http://git.corp:3000/"),
    ];
    let all = all.map(|(name, external, internal)| {
        let mut one = application(external, internal);
        one.name = ApplicationName::new(name).unwrap();
        one.link_translation.body = vec![BodyKind::Html];
        if name == "git" {
            one.host_header = HostHeader::External;
        }
        Arc::new(one)
    });
    let table = Arc::new(Table::new(&all));
    let own = all.iter().find(|one| one.name.as_str() == name).unwrap();
    let host = own.external.host.to_string();
    Crawler::new(View::new(&table, own, None, &Host::parse(&host).unwrap()))
}

fn text() -> Text {
    Text {
        encoding: UTF_8,
        only_ascii: false,
        links: Links::default(),
    }
}

fn read(crawler: &Crawler, path: &str, is_translated: bool, pieces: &[&[u8]]) -> Looked {
    let looking = crawler.page(0, path, is_translated).unwrap();
    let mut rewriter = looking.rewriter(&text());
    let mut out = Vec::new();
    for piece in pieces {
        if rewriter.push(piece, &mut out).is_err() {
            return looking.looked();
        }
        assert!(rewriter.kept() < 128 * 1024);
    }
    rewriter.end(&mut out).unwrap();
    assert!(out.is_empty());
    looking.looked()
}

/// The only link of a page: `None` where it leads somewhere.
fn one(name: &str, path: &str, is_translated: bool, page: &str) -> Option<(String, Why)> {
    let looked = read(&crawler(name), path, is_translated, &[page.as_bytes()]);
    assert!(looked.dead.len() <= 1, "{page}: {looked:?}");
    let dead = looked.dead.first()?;
    assert_eq!((&*dead.page, dead.count), (path, 1));
    Some((dead.url.clone(), dead.why))
}

#[test]
fn where_an_anchor_leads_on_a_translated_page() {
    let mut seen = 0;
    for (href, expected) in [
        // Somewhere: on the page's own path, in other applications, on the web.
        ("x", None),
        ("?q", None),
        ("#top", None),
        ("", None),
        ("/hr/x", None),
        ("/hr", None),
        ("http://portal.corp/hr/x?y#z", None),
        ("//portal.corp/hr/x", None),
        ("https://portal.example.com/hr/x", None),
        ("http://portal.example.com/hr/x", None),
        ("/hr/pay/x", None),
        ("http://wiki.corp:8888/app/", None),
        ("https://wiki.example.com/w", None),
        ("https://www.example.com/", None),
        ("http://www.example.org/", None),
        ("mailto:a@files.corp", None),
        ("javascript:open('http://files.corp/')", None),
        ("/.appproxy/logout", None),
        // Nowhere.
        (
            "http://files.corp/a?secret#f",
            Some(("http://files.corp/a", Why::Unpublished)),
        ),
        (
            "http://user:word@files.corp/",
            Some(("http://files.corp/", Why::Unpublished)),
        ),
        (
            " HTTP://FILES\n/x",
            Some(("http://files/x", Why::Unpublished)),
        ),
        (
            "//printer.local:631/",
            Some(("http://printer.local:631/", Why::Unpublished)),
        ),
        (
            "https://10.1.2.3/",
            Some(("https://10.1.2.3/", Why::Unpublished)),
        ),
        (
            "http://portal.corp:8080/hr/",
            Some(("http://portal.corp:8080/hr/", Why::Unpublished)),
        ),
        (
            "http://wiki.corp:8888/other/",
            Some(("http://wiki.corp:8888/other/", Why::Unpublished)),
        ),
        ("/", Some(("http://portal.corp/", Why::OutOfPath))),
        (
            "/sales/",
            Some(("http://portal.corp/sales/", Why::OutOfPath)),
        ),
        (
            "../sales/",
            Some(("http://portal.corp/sales/", Why::OutOfPath)),
        ),
        (
            "http://portal.corp/hrx",
            Some(("http://portal.corp/hrx", Why::OutOfPath)),
        ),
        (
            "\\sales",
            Some(("http://portal.corp/sales", Why::OutOfPath)),
        ),
        (
            "https://portal.example.com/sales",
            Some(("https://portal.example.com/sales", Why::OutOfPath)),
        ),
    ] {
        let found = one("portal", "/hr/", true, &format!("<a href=\"{href}\">x</a>"));
        let expected = expected.map(|(url, why)| (url.to_owned(), why));
        assert_eq!(found, expected, "{href}");
        seen += 1;
    }
    assert_eq!(seen, 31);
}

#[test]
fn where_paths_differ_only_what_is_translated_leads_there() {
    let mut seen = 0;
    let inside = |path: &str| format!("http://wiki.corp:8888{path}");
    for (href, translated, untranslated) in [
        ("x", None, None),
        ("/app/x", None, Some(("/app/x", Why::NotTranslated))),
        (
            "http://wiki.corp:8888/app/x",
            None,
            Some(("/app/x", Why::NotTranslated)),
        ),
        ("/w/x", None, None),
        (
            "/other",
            Some(("/other", Why::OutOfPath)),
            Some(("/other", Why::OutOfPath)),
        ),
        // Nothing that is relative changes.
        (
            "../app/x",
            Some(("/app/x", Why::OutOfPath)),
            Some(("/app/x", Why::NotTranslated)),
        ),
    ] {
        let page = format!("<a href='{href}'>");
        for (is_translated, expected) in [(true, translated), (false, untranslated)] {
            let found = one("wiki", "/w/", is_translated, &page);
            let expected = expected.map(|(path, why)| (inside(path), why));
            assert_eq!(found, expected, "{href} {is_translated}");
            seen += 1;
        }
    }
    assert_eq!(seen, 12);
    let others = one("wiki", "/w/", false, "<a href=http://git.corp:3000/x>");
    assert_eq!(
        others,
        Some(("http://git.corp:3000/x".to_owned(), Why::NotTranslated))
    );
}

#[test]
fn what_a_page_loads_by_http_is_mixed_content() {
    let mixed = Some(("http://cdn.example.org/x".to_owned(), Why::MixedContent));
    let url = "http://cdn.example.org/x";
    let mut seen = 0;
    for (page, is_mixed) in [
        ("<script src=@></script>", true),
        ("<link rel=stylesheet href=@>", true),
        ("<link rel='shortcut icon' href=@>", true),
        ("<link rel=canonical href=@>", false),
        ("<link rel=preconnect href=@>", false),
        ("<img src=@>", true),
        ("<img srcset='/hr/a.png 1x, @ 2x'>", true),
        ("<source srcset='@'>", true),
        ("<iframe src=@></iframe>", true),
        ("<object data=@></object>", true),
        ("<embed src=@>", true),
        ("<audio src=@>", true),
        ("<video src=@>", true),
        ("<video poster=@>", true),
        ("<source src=@>", true),
        ("<track src=@>", true),
        ("<form action=@>", true),
        ("<button formaction=@>", true),
        ("<input type=image src=@>", true),
        ("<input value=@>", false),
        ("<div style='background: url(@)'>", true),
        ("<style>a { background: url(@) }</style>", true),
        ("<svg><image href=@ /></svg>", true),
        ("<svg><use xlink:href=@ /></svg>", true),
        ("<a href=@>", false),
        ("<area href=@>", false),
        ("<meta http-equiv=refresh content='0; url=@'>", false),
        ("<meta name=x content='0; url=@'>", false),
        ("<noscript><img src=@></noscript>", false),
        ("<!-- <img src=@> -->", false),
        ("<textarea><img src=@></textarea>", false),
    ] {
        let found = one("portal", "/hr/", true, &page.replace('@', url));
        assert_eq!(found, mixed.clone().filter(|_| is_mixed), "{page}");
        seen += 1;
    }
    assert_eq!(seen, 31);
    // By https, or of the page's own scheme, it is loaded.
    for url in ["https://cdn.example.org/x", "//cdn.example.org/x", "/hr/x"] {
        assert_eq!(
            one("portal", "/hr/", true, &format!("<img src={url}>")),
            None
        );
    }
    // The gateway has it by https; a page may not ask for it otherwise.
    let own = one(
        "portal",
        "/hr/",
        false,
        "<img src=http://portal.example.com/hr/x>",
    );
    assert_eq!(
        own,
        Some((
            "http://portal.example.com/hr/x".to_owned(),
            Why::MixedContent
        ))
    );
    // To be told where it is helps more.
    let inside = one("portal", "/hr/", true, "<img src=http://files.corp/x>");
    assert_eq!(
        inside,
        Some(("http://files.corp/x".to_owned(), Why::Unpublished))
    );
}

#[test]
fn a_base_moves_what_is_relative() {
    let mut seen = 0;
    for (base, href, expected) in [
        ("/hr/a/", "../b", None),
        (
            "/sales/",
            "b",
            Some(("http://portal.corp/sales/b", Why::OutOfPath)),
        ),
        (
            "http://files.corp/",
            "b",
            Some(("http://files.corp/b", Why::Unpublished)),
        ),
        (
            "http://files.corp/",
            "/b",
            Some(("http://files.corp/b", Why::Unpublished)),
        ),
        ("http://wiki.corp:8888/app/x", "y", None),
        ("http://wiki.corp:8888/app/x", "/app/y", None),
        ("https://www.example.org/", "/b", None),
    ] {
        // The first one counts.
        let page = format!("<base target=x><base href='{base}'><base href=/x/><a href='{href}'>");
        let expected = expected.map(|(url, why)| (url.to_owned(), why));
        assert_eq!(
            one("portal", "/hr/", true, &page),
            expected,
            "{base} {href}"
        );
        seen += 1;
    }
    assert_eq!(seen, 7);
}

#[test]
fn one_that_knows_itself_by_its_external_host_is_understood() {
    for (href, expected) in [
        ("http://git.example.com/x", None),
        ("http://git.example.com:3000/x", None),
        ("http://git.corp:3000/x", None),
        ("/x", None),
    ] {
        assert_eq!(
            one("git", "/", true, &format!("<a href={href}>")),
            expected,
            "{href}"
        );
    }
    let found = one("git", "/", false, "<a href=http://git.example.com:3000/x>");
    let url = "http://git.example.com:3000/x".to_owned();
    assert_eq!(found, Some((url, Why::NotTranslated)));
}

#[test]
fn a_whole_page_is_told_in_its_order() {
    let page = "<!doctype html><head><link rel=stylesheet href=/hr/a.css>\
        <style>@import '//files.corp/s.css'; a { background: url(\"http://files.corp/i.png\") }</style></head>\
        <a href=list>1</a><a href='list#x'>2</a><a href=/hr/a/b>3</a><a href=c?d>4</a>\
        <a href=x download>5</a><a href=logout>6</a><a href=http://portal.corp/hr/e>7</a>\
        <a href=/hr/pay/>8</a><a href=http://files.corp/?1>9</a><a href=http://files.corp/?2>10</a>\
        <area href=http://files.corp/><x-much-too-long-a-name style='background: url(http://files.corp/)'>";
    let looked = read(&crawler("portal"), "/hr/", true, &[page.as_bytes()]);
    let dead: Vec<_> = looked
        .dead
        .iter()
        .map(|dead| (&*dead.element, &*dead.url, dead.count))
        .collect();
    assert_eq!(
        dead,
        [
            ("style", "http://files.corp/s.css", 1),
            ("style", "http://files.corp/i.png", 1),
            ("a[href]", "http://files.corp/", 2),
            ("area[href]", "http://files.corp/", 1),
            ("*[style]", "http://files.corp/", 1),
        ]
    );
    assert_eq!(looked.next, ["/hr/list", "/hr/a/b", "/hr/e"]);
    assert_eq!(
        (looked.links, looked.more, looked.is_too_long),
        (15, 0, false)
    );
}

#[test]
fn a_redirect_stays_inside_or_leads_elsewhere() {
    let crawler = crawler("wiki");
    let inside = |path: &str| Some(Redirect::Inside(path.to_owned()));
    let outside = |url: &str| Some(Redirect::Outside(url.to_owned()));
    let mut seen = 0;
    for (location, expected) in [
        (
            "/app/start?a=b",
            outside("https://wiki.example.com/w/start"),
        ),
        ("start", inside("/w/start")),
        ("http://wiki.corp:8888/app/", inside("/w/")),
        ("https://wiki.example.com/w/x#y", inside("/w/x")),
        ("https://wiki.example.com/w", inside("/w/")),
        (
            "/app/logout?x",
            outside("https://wiki.example.com/w/logout"),
        ),
        (
            "/app/a%2f..%2fb",
            outside("https://wiki.example.com/w/a%2f..%2fb"),
        ),
        ("/login", outside("https://wiki.example.com/login")),
        (
            "https://login.example.org/?token",
            outside("https://login.example.org/"),
        ),
        ("http://git.corp:3000/", outside("https://git.example.com/")),
        ("", None),
        ("http://[", None),
    ] {
        assert_eq!(
            crawler.redirect(0, "/w/?q", location),
            expected,
            "{location}"
        );
        seen += 1;
    }
    assert_eq!(seen, 12);
    assert_eq!(crawler.redirect(0, "/elsewhere", "/x"), None);
}

#[test]
fn what_is_told_is_bounded() {
    let crawler = crawler("portal");
    let many = |from: usize| -> String {
        (from..from + 150)
            .map(|n| format!("<a href=http://h{n}.corp/><a href=http://h{n}.corp/><a href=p{n}>"))
            .collect()
    };
    let first = read(&crawler, "/hr/", true, &[many(0).as_bytes()]);
    assert_eq!(
        (first.dead.len(), first.more, first.links),
        (MOST_DEAD, 100, 450)
    );
    assert_eq!(first.next.len(), 100);
    let mut crawled = Crawled::default();
    for _ in 0..2 {
        crawled.add(PageSeen::default(), first.clone());
    }
    let other = read(&crawler, "/hr/", true, &[many(200).as_bytes()]);
    crawled.add(PageSeen::default(), other);
    assert_eq!(crawled.dead.len(), MOST_DEAD);
    assert!(crawled.dead.iter().all(|dead| dead.count == 4));
    assert_eq!(crawled.more, 100 + 100 + 200 + 100);
    let long = format!("<a href=http://files.corp/{}>", "a".repeat(2 * LONGEST));
    let found = read(&crawler, "/hr/", true, &[long.as_bytes()]);
    assert_eq!(found.dead[0].url.len(), LONGEST);
    // The page is too long, or has too many links.
    let octets =
        "<a href=/sales/>".to_owned() + &" ".repeat(LONGEST_PAGE - 16) + "<a href=/other/>";
    let found = read(&crawler, "/hr/", true, &[octets.as_bytes()]);
    assert!(found.is_too_long);
    assert_eq!((found.dead.len(), found.links), (1, 1));
    let octets = "<a href=/sales/>".repeat(5000) + "<a href=/other/>";
    let found = read(&crawler, "/hr/", true, &[octets.as_bytes()]);
    assert!(found.is_too_long);
    assert_eq!((found.dead.len(), found.links), (1, MOST_LINKS));
}

#[test]
fn its_words_are_those_of_its_data() {
    for why in [
        Why::Unpublished,
        Why::MixedContent,
        Why::OutOfPath,
        Why::NotTranslated,
    ] {
        assert_eq!(serde_json::to_value(why).unwrap(), why.as_str());
    }
    let mut crawled = Crawled::default();
    let looked = read(&crawler("portal"), "/hr/", true, &[b"<a href=http://x/>"]);
    crawled.add(PageSeen::default(), looked);
    let text = serde_json::to_string(&crawled).unwrap();
    assert_eq!(serde_json::from_str::<Crawled>(&text).unwrap(), crawled);
}

#[test]
fn no_page_is_too_strange_and_chunks_do_not_matter() {
    let pieces = [
        "<a href=",
        "<img srcset='",
        "<base href=",
        "<style>",
        "</style>",
        "<script>",
        "</script>",
        "<svg>",
        "<meta http-equiv=refresh content=\"0;url=",
        "style=\"",
        "url(",
        ")",
        "'",
        "\"",
        ">",
        "<",
        "/",
        "\\",
        " ",
        ",",
        "&amp;",
        "&#x2f;",
        "é",
        "\0",
        "\u{feff}",
        "http://files.corp/",
        "http://wiki.corp:8888/app/",
        "//[::1]:8/",
        "https://",
        "//",
        "../..",
        "?",
        "#",
        "@",
        ":99999",
        "%2f",
        "javascript:",
        "//xn--/",
        "data:,",
        "http://ä.corp/",
        "http:x",
    ];
    let crawlers = ["portal", "wiki", "git"].map(crawler);
    property(
        400,
        (vec(select(pieces.to_vec()), 0..40), vec(1_usize..20, 1..5)),
        |(parts, lengths)| {
            let page = parts.concat();
            for (crawler, path) in crawlers.iter().zip(["/hr/", "/w/", "/"]) {
                for is_translated in [true, false] {
                    let whole = read(crawler, path, is_translated, &[page.as_bytes()]);
                    let pieces = chunks(page.as_bytes(), &lengths);
                    assert_eq!(read(crawler, path, is_translated, &pieces), whole, "{page}");
                    let looked = whole.links;
                    assert!(whole.dead.iter().map(|dead| dead.count).sum::<u64>() <= looked);
                    assert!(whole.next.iter().all(|next| next.starts_with(path)));
                    let _ = crawler.redirect(0, path, &page);
                }
            }
        },
    );
}
