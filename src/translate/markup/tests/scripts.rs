//! Scripts and data inside of pages.

use std::sync::Arc;

use super::super::{HtmlOptions, Inline, Scripts};
use super::{CORP, Table, html_with, options};
use crate::translate::text::Origins;

fn with(scripts: bool, json: bool) -> HtmlOptions {
    let hosts = CORP.iter().map(|(from, _)| {
        let host = from.split('/').nth(2).unwrap();
        host.split(':').next().unwrap()
    });
    HtmlOptions {
        scripts: Some(Scripts {
            scripts,
            json,
            origins: Arc::new(Origins::new(hosts)),
        }),
        ..options()
    }
}

/// In `{…}` what is internal, and external where it is translated.
fn both(text: &str) -> (String, String) {
    let inside = text.replace(['{', '}'], "");
    let mut outside = String::new();
    for (at, part) in text.split(['{', '}']).enumerate() {
        match at % 2 {
            0 => outside.push_str(part),
            _ => outside.push_str(
                &part
                    .replace("http://wiki.corp", "https://wiki.example.com")
                    .replace(r"http:\/\/wiki.corp", r"https:\/\/wiki.example.com"),
            ),
        }
    }
    (inside, outside)
}

#[test]
fn scripts_and_data_are_translated_where_that_is_asked_for() {
    let all = with(true, true);
    let only_scripts = with(true, false);
    let only_json = with(false, true);
    let cases = [
        (
            &all,
            r#"<script>a = "{http:\/\/wiki.corp\/a}";</script><a href={http://wiki.corp/}>http://wiki.corp/"#,
        ),
        (&all, "<script type=module>'{http://wiki.corp/}'</script>"),
        (
            &all,
            "<SCRIPT TYPE='Text/JavaScript; x'>'{http://wiki.corp/}'</SCRIPT>",
        ),
        (
            &all,
            "<script type=application/ld+json>\"{http://wiki.corp/}\"</script>",
        ),
        (
            &all,
            "<script type=importmap>\"{http://wiki.corp/}\"</script>",
        ),
        (
            &all,
            "<script type=text/x-template>'http://wiki.corp/'</script>",
        ),
        (
            &all,
            "<script><!-- '<script>{http://wiki.corp/a}</script>' --></script>'http://wiki.corp/'",
        ),
        (
            &all,
            "<script src={http://wiki.corp/a.js}></script>http://wiki.corp/",
        ),
        (&all, "<button onclick='go(\"{http://wiki.corp/}\")'>"),
        (
            &all,
            "<button OnClick=\"go('{http://wiki.corp/}')\" data-on='http://wiki.corp/'>",
        ),
        (&all, "<noscript><a href={http://wiki.corp/}></noscript>"),
        (&all, "<svg><script>'http://wiki.corp/'</script></svg>"),
        (&all, "<script>'{http://wiki.corp/a}"),
        (
            &all,
            "<script>'http://wiki.corp.evil/' + 'http://else.corp/' + '/app/x'</script>",
        ),
        (
            &only_scripts,
            "<script>'{http://wiki.corp/}'</script><script type=application/json>\"http://wiki.corp/\"</script>",
        ),
        (
            &only_json,
            "<script>'http://wiki.corp/'</script><script type=application/json>\"{http://wiki.corp/}\"</script><p onclick='http://wiki.corp/'>",
        ),
    ];
    for (options, text) in &cases {
        let (inside, outside) = both(text);
        for size in [inside.len(), 1, 3] {
            let options = HtmlOptions::clone(options);
            let (out, _) = html_with(Table::corp(), options, inside.as_bytes(), size);
            assert_eq!(String::from_utf8(out).unwrap(), outside, "{size}");
        }
        // The same where a policy names something else by its hash: what is inside waits for its end then.
        let inline = Inline::new(["sha256-x".to_owned()].into());
        let options = HtmlOptions {
            inline: inline.clone(),
            ..HtmlOptions::clone(options)
        };
        let (out, _) = html_with(Table::corp(), options, inside.as_bytes(), 5);
        assert_eq!(String::from_utf8(out).unwrap(), outside);
        assert_eq!((inline.fix(), inline.kept()), (Vec::new(), 0), "{text}");
    }
    assert_eq!(cases.len(), 16);
}
