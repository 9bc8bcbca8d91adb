//! Beside `lol_html`, which reads pages the same way.

use std::path::Path;

use lol_html::{HtmlRewriter, Settings, element};
use proptest::prelude::*;

use super::{Found, Namespace, read};

/// What `lol_html` finds.
fn reference(page: &[u8]) -> Vec<Found> {
    let mut all = Vec::new();
    let settings = Settings::new()
        .with_strict(false)
        .with_adjust_charset_on_meta_tag(false)
        .append_element_content_handler(element!("*", |element| {
            all.push(Found {
                range: element.source_location().bytes(),
                name: element.tag_name(),
                namespace: match element.namespace_uri() {
                    "http://www.w3.org/2000/svg" => Namespace::Svg,
                    "http://www.w3.org/1998/Math/MathML" => Namespace::MathMl,
                    _ => Namespace::Html,
                },
                is_empty: element.is_self_closing(),
            });
            Ok(())
        }));
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| ());
    rewriter.write(page).unwrap();
    rewriter.end().unwrap();
    all
}

/// Elements with HTML inside of SVG and MathML.
const POINTS: [&str; 9] = [
    "desc",
    "title",
    "foreignobject",
    "mi",
    "mo",
    "mn",
    "ms",
    "mtext",
    "annotation-xml",
];

const TEXTS: [&str; 10] = [
    "title",
    "textarea",
    "style",
    "xmp",
    "iframe",
    "noembed",
    "noframes",
    "noscript",
    "script",
    "plaintext",
];

/// The two lists, up to where they may differ.
fn compare(page: &[u8], size: usize) -> Result<(), TestCaseError> {
    let (whole, _) = read(page, page.len());
    prop_assert_eq!(&read(page, size).0, &whole, "in chunks of {}", size);
    if !whole.long.is_empty() {
        return Ok(());
    }
    let (mut ours, mut theirs) = (whole.starts, reference(page));
    for (at, found) in ours.iter().enumerate() {
        let octets = &page[found.range.clone()];
        let before = octets[..octets.len() - 1].trim_ascii_end();
        // There, nothing is inside of an empty `svg` element. To them, all that follows is.
        let is_empty = found.is_empty && ["svg", "math"].contains(&&*found.name);
        // "Before attribute value": they go on with markup, even in a script.
        let is_without_value = before.ends_with(b"=") && TEXTS.contains(&&*found.name);
        if is_empty || is_without_value {
            ours.truncate(at + 1);
            theirs.truncate(at + 1);
            break;
        }
    }
    for (ours, theirs) in ours.iter().zip(&mut theirs) {
        // Such an element is not in HTML itself. To them it is, once it has something inside.
        if POINTS.contains(&&*ours.name) && !ours.is_empty && theirs.namespace == Namespace::Html {
            theirs.namespace = ours.namespace;
        }
    }
    prop_assert_eq!(ours, theirs);
    Ok(())
}

const PIECES: [&str; 118] = [
    "<a>",
    "<A HREF=x>",
    "<a href='>'>",
    "<a href=\"<b>\" id=x>",
    "<a b = c/>",
    "<a/b/>",
    "<b",
    "<p a='",
    "<p a=\"",
    "<i =>",
    "<i ='x'>",
    "<u a=b'c\"d>",
    "<u a='b'c=\"d\">",
    "<u a==\"b>",
    "<a\u{0}b>",
    "<é>",
    "<aé>",
    "</a>",
    "</a b='>'>",
    "</>",
    "</ ",
    "</3",
    "</a",
    "</",
    "<",
    "<<",
    ">",
    "/>",
    "=",
    "'",
    "\"",
    "-",
    "--",
    "->",
    "-->",
    "--!>",
    "<!--",
    "<!-->",
    "<!--->",
    "<!-",
    "<!",
    "<!x",
    "<?php '>' ?>",
    "<!doctype html>",
    "<!DOCTYPE html PUBLIC \"a>b\" '>'>",
    "<!--<!--",
    "<![CDATA[",
    "<![cdata[",
    "]]>",
    "]",
    "]]",
    "<!--[if IE]>",
    "<script>",
    "<script src=x>",
    "<SCRIPT/>",
    "</script>",
    "</SCRIPT ",
    "</script/",
    "</scriptx>",
    "<script",
    "</scrip",
    "<style>",
    "</style>",
    "</style\n>",
    "</stylex>",
    "<textarea>",
    "</textarea>",
    "<title>",
    "</title>",
    "<xmp>",
    "</xmp>",
    "<iframe>",
    "</iframe>",
    "<noscript>",
    "</noscript>",
    "<noembed>",
    "<noframes>",
    "</noframes>",
    "<plaintext>",
    "<svg>",
    "<svg a=b>",
    "</svg>",
    "<math>",
    "</math>",
    "<foreignObject>",
    "</foreignobject>",
    "<desc>",
    "</desc>",
    "<desc/>",
    "<title/>",
    "<mi>",
    "</mi>",
    "<mtext>",
    "</mtext>",
    "<mo/>",
    "<annotation-xml>",
    "<annotation-xml encoding=text/html>",
    "<annotation-xml encoding='Application/XHTML+xml'>",
    "</annotation-xml>",
    "<font>",
    "<font color=red>",
    "<p>",
    "</p>",
    "</br>",
    "<br>",
    "<table>",
    "<h1>",
    "<g>",
    "<path d='M0'/>",
    "text",
    " ",
    "\n",
    "&lt;a>",
    "\u{0}",
    "x=",
    "é",
    "<select>",
    "<template>",
];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn pages() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/translate/html");
    let files = std::fs::read_dir(folder).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "in"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// A page of which something is gone, doubled, or in between.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..20_usize,
        0..3_u8,
    );
    let changes = prop::collection::vec(change, 0..8);
    (prop::sample::select(pages()), changes).prop_map(|(mut page, changes)| {
        for (at, piece, length, kind) in changes {
            let at = at.index(page.len() + 1);
            let end = (at + length).min(page.len());
            match kind {
                0 => drop(page.drain(at..end)),
                1 => {
                    let again = page[at..end].to_vec();
                    page.splice(at..at, again);
                }
                _ => {
                    let piece = PIECES[piece.index(PIECES.len())].bytes();
                    page.splice(at..at, piece);
                }
            }
        }
        page
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn tags_are_where_another_reader_finds_them(page in soup(), size in 1_usize..9) {
        compare(&page, size)?;
        compare(&page, 1)?;
    }

    #[test]
    fn tags_of_broken_pages_are_too(page in mangled(), size in 1_usize..40) {
        compare(&page, size)?;
        compare(&page, 1)?;
    }
}
