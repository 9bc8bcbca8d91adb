//! What is held, and what happens to pages nobody should write.

use std::sync::Arc;

use super::super::{Broken, CssRewriting, HtmlOptions, HtmlRewriting};
use super::{Table, css_with, html, html_with, options};

const LINK: &str = "<a href=\"http://wiki.corp/x\">";
const TRANSLATED: &str = "<a href=\"https://wiki.example.com/x\">";

#[test]
fn what_was_flushed_comes_out_at_once() {
    let mut rewriting = HtmlRewriting::new(Arc::new(Table::corp()), options()).unwrap();
    let mut out = Vec::new();
    let steps = [
        ("<p>text", "<p>text"),
        ("<!-- half a comm", "<!-- half a comm"),
        ("ent --><a href=", "ent -->"),
        ("\"/x\">link</", "<a href=\"/x\">link"),
        ("a><script>let a = '<", "</a><script>let a = '"),
        ("x';</script>", "<x';</script>"),
        (
            "<style>a { color: red } b { background: ",
            "<style>a { color: red } b { background: ",
        ),
        ("url(x", ""),
        (") }", "url(x) }"),
        ("</style>data: 1\n\n", "</style>data: 1\n\n"),
        ("<noscript><b>x", "<noscript><b>x"),
    ];
    for (chunk, expected) in steps {
        out.clear();
        rewriting.push(chunk.as_bytes(), &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), expected, "after {chunk:?}");
    }
}

#[test]
fn css_is_held_no_longer_than_its_token() {
    let mut rewriting = CssRewriting::new(Arc::new(Table::corp()), encoding_rs::UTF_8).unwrap();
    let mut out = Vec::new();
    let steps = [
        ("a{color:re", "a{color:re"),
        ("d;background:ur", "d;background:"),
        ("l(http://wiki", ""),
        (".corp/x)", "url(https://wiki.example.com/x)"),
        ("/* half", "/* half"),
        ("*/'half a str", "*/'half a str"),
        (
            "ing'; b{src:url(data:font/woff2,",
            "ing'; b{src:url(data:font/woff2,",
        ),
        ("AAAA", "AAAA"),
    ];
    for (chunk, expected) in steps {
        out.clear();
        rewriting.push(chunk.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "after {chunk:?}");
    }
}

#[test]
fn a_tag_that_is_too_long_passes_and_the_page_goes_on() {
    let long = "A".repeat(100_000);
    for (tag, end) in [
        (
            format!("<img src=\"data:image/png;base64,{long}\" alt='>'>"),
            "",
        ),
        (
            format!("<script src=\"data:,{long}\">"),
            "'<a href=\"http://wiki.corp/x\">'</script>",
        ),
        (format!("<svg class={long}>"), "<title><b></title></svg>"),
    ] {
        let page = format!("{LINK}{tag}{end}{LINK}");
        let expected = format!("{TRANSLATED}{tag}{end}{TRANSLATED}");
        for size in [page.len(), 1, 777, 16_384] {
            let (out, finished) = html_with(Table::corp(), options(), page.as_bytes(), size);
            assert!(out == expected.as_bytes(), "{}… in {size}", &tag[..20]);
            assert_eq!(finished.counts.long_tags, 1);
            assert_eq!((finished.counts.links, finished.broken), (2, None));
        }
    }
}

#[test]
fn a_page_that_closes_nothing_is_translated_to_its_end() {
    let script = "<script>if (a<b) '<a href=\"http://wiki.corp/x\">'</script>";
    let page = format!("<p>{script}text{LINK}").repeat(5_000);
    let expected = format!("<p>{script}text{TRANSLATED}").repeat(5_000);
    for size in [page.len(), 1_000] {
        let (out, finished) = html_with(Table::corp(), options(), page.as_bytes(), size);
        assert!(out == expected.as_bytes());
        assert_eq!((finished.counts.links, finished.broken), (5_000, None));
    }
}

#[test]
fn nothing_is_lost_where_a_page_needs_too_much() {
    let attributes = "a ".repeat(15_000);
    let page = format!("{LINK}<p {attributes}>{LINK}");
    let (out, finished) = html_with(Table::corp(), options(), page.as_bytes(), 5_000);
    assert!(out == format!("{TRANSLATED}<p {attributes}>{LINK}").as_bytes());
    assert_eq!(finished.broken, Some(Broken::Memory));
}

#[test]
fn an_encoding_that_hides_links_ends_the_translation() {
    let page = format!("{LINK}<meta charset=iso-2022-jp>{LINK}");
    let mut rewriting = HtmlRewriting::new(Arc::new(Table::corp()), options()).unwrap();
    let mut out = Vec::new();
    assert_eq!(
        rewriting.push(page.as_bytes(), &mut out),
        Err(Broken::Encoding)
    );
    assert_eq!(rewriting.push(LINK.as_bytes(), &mut out), Ok(()));
    let finished = rewriting.end(&mut out);
    let expected = format!("{TRANSLATED}<meta charset=iso-2022-jp>{LINK}{LINK}");
    assert_eq!(String::from_utf8_lossy(&out), expected);
    assert_eq!(finished.broken, Some(Broken::Encoding));
}

#[test]
fn hosts_are_read_in_the_encoding_of_the_page() {
    let (page, _, _) = encoding_rs::WINDOWS_1252.encode(
        "<meta charset=latin1><a title=\"naïve\" href=\"http://büro.corp/größe\"><style>a{b:url(http://büro.corp/é)}</style>",
    );
    let (expected, _, _) = encoding_rs::WINDOWS_1252.encode(
        "<meta charset=latin1><a title=\"naïve\" href=\"https://buero.example.com/größe\"><style>a{b:url(https://buero.example.com/é)}</style>",
    );
    for size in [page.len(), 1, 7] {
        assert_eq!(html(Table::corp(), &page, size), &*expected);
    }
}

#[test]
fn a_backslash_inside_a_character_escapes_nothing() {
    // The second octet of 表 is a backslash in Shift_JIS.
    let (sheet, _, _) =
        encoding_rs::SHIFT_JIS.encode("a{content:\"表\";b:url(\"http://wiki.corp/表\")}");
    let (expected, _, _) =
        encoding_rs::SHIFT_JIS.encode("a{content:\"表\";b:url(\"https://wiki.example.com/表\")}");
    for size in [sheet.len(), 1, 7] {
        let out = css_with(Table::corp(), encoding_rs::SHIFT_JIS, &sheet, size);
        assert_eq!(out, &*expected);
    }
}

#[test]
fn a_url_too_long_passes() {
    let long = format!("url(http://wiki.corp/{}", "x".repeat(70_000));
    let sheet = format!("{long}) url(http://wiki.corp/)");
    let expected = format!("{long}) url(https://wiki.example.com/)");
    for size in [1_000, 65_536] {
        let out = css_with(Table::corp(), encoding_rs::UTF_8, sheet.as_bytes(), size);
        assert!(out == expected.as_bytes());
    }
}

#[test]
fn changed_styles_are_reported_with_their_hashes() {
    let page = "<style>a{b:url(http://wiki.corp/)}\r\n</style><style>c{}</style><p style='d:url(&quot;//wiki.corp/&quot;)'>";
    for size in [page.len(), 1] {
        let (_, finished) = html_with(Table::corp(), options(), page.as_bytes(), size);
        let sha256 = |text: &str| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            <[u8; 32]>::try_from(digest.as_ref()).unwrap()
        };
        let mut styles = finished.changes.styles;
        styles.sort_by_key(|changed| changed.attribute);
        assert_eq!(styles.len(), 2);
        assert_eq!(styles[0].old, sha256("a{b:url(http://wiki.corp/)}\n"));
        assert_eq!(
            styles[0].new,
            sha256("a{b:url(https://wiki.example.com/)}\n")
        );
        assert!(!styles[0].attribute && styles[1].attribute);
        assert_eq!(styles[1].old, sha256("d:url(\"//wiki.corp/\")"));
        assert_eq!(styles[1].new, sha256("d:url(\"//wiki.example.com/\")"));
    }
}

#[test]
fn checksums_of_translated_style_sheets_go_where_asked() {
    let page = "<link rel=stylesheet href=style.css integrity=sha256-x><link href=https://cdn.test/a.css integrity=sha256-x>";
    let asked = HtmlOptions {
        own_styles_change: true,
        ..options()
    };
    let (out, finished) = html_with(Table::corp(), asked, page.as_bytes(), 5);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "<link rel=stylesheet href=style.css ><link href=https://cdn.test/a.css integrity=sha256-x>"
    );
    assert_eq!(finished.counts.integrity_removed, 1);
    assert_eq!(html(Table::corp(), page.as_bytes(), 5), page.as_bytes());
}
