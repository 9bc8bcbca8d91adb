//! What is held, and what happens to pages nobody should write.

use std::sync::Arc;

use super::super::{Broken, CssRewriting, HtmlOptions, HtmlRewriting, Inline};
use super::{Table, css, css_with, html, html_with, options};

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
fn a_tag_of_many_attributes_is_one_like_any_other() {
    let attributes = "a ".repeat(15_000);
    let page = format!("{LINK}<p {attributes}>{LINK}");
    let (out, finished) = html_with(Table::corp(), options(), page.as_bytes(), 5_000);
    assert!(out == format!("{TRANSLATED}<p {attributes}>{TRANSLATED}").as_bytes());
    assert_eq!((finished.counts.links, finished.broken), (2, None));
}

#[test]
fn only_the_first_of_two_equal_attributes_counts() {
    let values = "content='0;url=http://wiki.corp/' ".repeat(900);
    let page = format!("<meta http-equiv=refresh {values}>");
    let (out, finished) = html_with(Table::corp(), options(), page.as_bytes(), 5_000);
    let expected = page.replacen("http://wiki.corp", "https://wiki.example.com", 1);
    assert!(out == expected.as_bytes());
    assert_eq!(finished.counts.links, 1);
}

#[test]
fn a_style_in_svg_ends_with_any_tag() {
    let style = "a{b:url(http://wiki.corp/)}";
    let translated = style.replace("http://wiki.corp", "https://wiki.example.com");
    for (before, between) in [
        ("<svg><style>", format!("<g>{style}</svg>{style}<style>")),
        (
            "<svg><style>",
            format!("</g>{style}</style>{style}</svg><style>"),
        ),
        // It has nothing inside.
        (
            "<style>",
            format!("</style><svg><style/>{style}</svg><style>"),
        ),
        // Neither has that one, so a script that follows is one.
        (
            "<style>",
            format!("</style><svg/><script>'{LINK}'</script><style>"),
        ),
    ] {
        let page = format!("{before}{style}{between}{style}</style>");
        let expected = format!("{before}{translated}{between}{translated}</style>");
        for size in [page.len(), 1] {
            let (out, finished) = html_with(Table::corp(), options(), page.as_bytes(), size);
            assert_eq!(String::from_utf8_lossy(&out), expected);
            assert_eq!(finished.counts.links, 2);
        }
    }
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

/// A policy that names these texts. `printf … | openssl dgst -sha256 -binary | base64`
fn naming(hashes: &[&str]) -> HtmlOptions {
    HtmlOptions {
        inline: Inline::new(hashes.iter().map(|hash| (*hash).to_owned()).collect()),
        ..options()
    }
}

#[test]
fn changed_styles_are_noted_down_with_their_hashes() {
    let page = "<style>a{b:url(http://wiki.corp/)}\r\n</style><style>c{}</style><p style='d:url(&quot;//wiki.corp/&quot;)'>\
                <style>unnamed{b:url(http://wiki.corp/)}</style>";
    for size in [page.len(), 1] {
        let options = naming(&[
            "sha256-+8qR1Nj8+KB0eSlwi7DYVj0I4ddQBg/7QVuAW7yRFtw=",
            "sha256-Glm4EfZhDhYoyoff88bW5RPnvMHanraFCvL1gVhL1uM=",
        ]);
        let inline = options.inline.clone();
        let (out, _) = html_with(Table::corp(), options, page.as_bytes(), size);
        let expected = page.replace("http://wiki.corp", "https://wiki.example.com");
        let expected = expected.replace("//wiki.corp", "//wiki.example.com");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut changed: Vec<_> = inline
            .fix()
            .into_iter()
            .map(|changed| (changed.old[0].clone(), changed.new))
            .collect();
        // An attribute is read before the text in front of it has ended.
        changed.sort_unstable();
        let expected = [
            (
                "sha256-+8qR1Nj8+KB0eSlwi7DYVj0I4ddQBg/7QVuAW7yRFtw=",
                "sha256-jgtqofsewqiTqMCtSGYq5CGCcbsUL9QnYDa3Kux9DNk=",
            ),
            (
                "sha256-Glm4EfZhDhYoyoff88bW5RPnvMHanraFCvL1gVhL1uM=",
                "sha256-yzDfAx6QYQBo/Ni3K4wKCrZ2ccz8f9J7HEdeslTHVG8=",
            ),
        ];
        assert_eq!(changed, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}

#[test]
fn code_that_is_named_by_its_hash_stays_once_the_head_is_out() {
    let link = "a{b:url(http://wiki.corp/)}";
    let other = "b{b:url(http://wiki.corp/)}";
    let page = format!(
        "<style>{link}</style><a href=http://wiki.corp/><style>{other}</style><style>{link}</style>"
    );
    let options = naming(&["sha256-RYb1gWVoL1SvRJbHscqofhHDcugJK/bN2+s/mWPpuhU="]);
    let inline = options.inline.clone();
    let mut rewriting = HtmlRewriting::new(Arc::new(Table::corp()), options).unwrap();
    let mut out = Vec::new();
    // In the middle of the last one.
    let (first, second) = page.as_bytes().split_at(page.len() - 12);
    rewriting.push(first, &mut out).unwrap();
    assert_eq!(inline.fix().len(), 1);
    rewriting.push(second, &mut out).unwrap();
    rewriting.end(&mut out);
    let outside = |text: &str| text.replace("http://wiki.corp", "https://wiki.example.com");
    let expected = format!(
        "<style>{}</style><a href=https://wiki.example.com/><style>{}</style><style>{link}</style>",
        outside(link),
        outside(other)
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert_eq!(inline.kept(), 1);
    // A policy inside of the page holds from there on, for what it names.
    let page = format!(
        "<style>{link}</style><meta http-equiv=Content-Security-Policy content=\"style-src 'sha256-RYb1gWVoL1SvRJbHscqofhHDcugJK/bN2+s/mWPpuhU='\"><style>{link}</style><style>{other}</style>"
    );
    let inline = Inline::default();
    let options = HtmlOptions {
        inline: inline.clone(),
        ..super::options()
    };
    let (out, _) = html_with(Table::corp(), options, page.as_bytes(), 3);
    let expected = outside(&page).replacen(
        &format!(
            "'sha256-RYb1gWVoL1SvRJbHscqofhHDcugJK/bN2+s/mWPpuhU='\"><style>{}",
            outside(link)
        ),
        &format!("'sha256-RYb1gWVoL1SvRJbHscqofhHDcugJK/bN2+s/mWPpuhU='\"><style>{link}"),
        1,
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert_eq!((inline.fix(), inline.kept()), (Vec::new(), 1));
}

#[test]
fn checksums_of_translated_scripts_go_where_asked() {
    let page = "<script src=/a.js integrity=sha256-x></script><script src=https://cdn.test/a.js integrity=sha256-x></script>\
                <link rel=modulepreload href=a.js integrity=sha256-x><script integrity=sha256-x></script>";
    let asked = HtmlOptions {
        own_scripts_change: true,
        ..options()
    };
    let (out, finished) = html_with(Table::corp(), asked, page.as_bytes(), 5);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "<script src=/a.js ></script><script src=https://cdn.test/a.js integrity=sha256-x></script>\
         <link rel=modulepreload href=a.js ><script integrity=sha256-x></script>"
    );
    assert_eq!(finished.counts.integrity_removed, 2);
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

#[test]
fn a_name_too_long_to_be_waited_for_goes_on() {
    for tail in [
        r#""url(http://wiki.corp/)"#,
        r#""a{b:url(http://wiki.corp/)}"#,
    ] {
        for filler in 100..180 {
            let text = format!(
                "a{}{tail}",
                "\\x".repeat(filler / 2) + &"y".repeat(filler % 2)
            );
            let whole = css(Table::corp(), text.as_bytes(), text.len());
            for size in [1, 3, 7] {
                assert_eq!(css(Table::corp(), text.as_bytes(), size), whole, "{text}");
            }
        }
    }
}
