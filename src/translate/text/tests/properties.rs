//! What holds for every text.

use std::sync::Arc;

use encoding_rs::{BIG5, EUC_JP, Encoding, GB18030, GBK, SHIFT_JIS, UTF_8, WINDOWS_1252};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Origins, TextRewriting};
use super::{Links, Syntax, Table, run};

const SYNTAXES: [Syntax; 5] = [
    Syntax::Json,
    Syntax::JavaScript,
    Syntax::Xml,
    Syntax::Text,
    Syntax::Form,
];

/// What a link, its surroundings and its enemies are made of.
const PIECES: [&str; 76] = [
    "http",
    "https",
    "ws",
    "wss",
    "HTTP",
    "x",
    "h",
    ":",
    "%3A",
    "%253A",
    "\\u003a",
    "\\x3a",
    "&#x3a;",
    "&colon;",
    "/",
    "//",
    "%2F",
    "%2f%2f",
    "%252F%252F",
    "\\/\\/",
    "\\\\/\\\\/",
    "\\u002f\\u002f",
    "\\x2f",
    "&#47;&#47;",
    "&sol;",
    "http://",
    "//wiki.corp",
    "wiki.corp",
    "git.corp",
    "büro.corp",
    "b\\u00fcro.corp",
    "b%C3%BCro.corp",
    "shop.corp",
    "[fd00::1]",
    "one.apps.corp",
    "odd.corp",
    "intra",
    "portal.corp/hr",
    ":8888",
    ":",
    "@",
    ".",
    "..",
    "!",
    "/code",
    "/code/deep/",
    "/a",
    "?",
    "#",
    "\"",
    "'",
    "`",
    " ",
    "\n",
    "\\n",
    "\\\"",
    "<",
    ">",
    "&",
    "&amp;",
    "&quot;",
    ";",
    "=",
    "+",
    "${",
    "{",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE a [",
    "]>",
    "<a xmlns='",
    "<a b:schemaLocation=\"",
    "base64,",
    "表，é",
];

const ENCODINGS: [&Encoding; 7] = [UTF_8, WINDOWS_1252, SHIFT_JIS, GBK, GB18030, BIG5, EUC_JP];

fn soup() -> impl Strategy<Value = String> {
    vec(select(&PIECES[..]), 0..24).prop_map(|pieces| pieces.concat())
}

/// Parts as long as said, in turn.
fn split(
    table: &Table,
    syntax: Syntax,
    encoding: &'static Encoding,
    text: &[u8],
    sizes: &[usize],
) -> Vec<u8> {
    let links: Arc<dyn Links> = Arc::new(table.clone());
    let mut rewriting = TextRewriting::new(links, table.origins(), syntax, encoding).unwrap();
    let mut out = Vec::new();
    let mut rest = text;
    for size in sizes.iter().cycle() {
        let (part, others) = rest.split_at((*size).min(rest.len()));
        rewriting.push(part, &mut out);
        rest = others;
        if rest.is_empty() {
            break;
        }
    }
    rewriting.end(&mut out);
    out
}

/// Nobody publishes anything, but hosts are found.
struct Nobody;

impl Links for Nobody {
    fn translate(&self, _url: &str) -> Option<String> {
        None
    }

    fn changes_root(&self) -> bool {
        false
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn chunks_change_nothing(
        text in soup(),
        syntax in select(&SYNTAXES[..]),
        encoding in select(&ENCODINGS[..]),
        sizes in vec(1_usize..20, 1..6),
    ) {
        let (text, _, _) = encoding.encode(&text);
        let table = Table::corp();
        let (whole, _) = run(&table, syntax, encoding, &text, text.len());
        let (octets, _) = run(&table, syntax, encoding, &text, 1);
        prop_assert_eq!(String::from_utf8_lossy(&octets), String::from_utf8_lossy(&whole));
        let parts = split(&table, syntax, encoding, &text, &sizes);
        prop_assert_eq!(String::from_utf8_lossy(&parts), String::from_utf8_lossy(&whole));
    }

    #[test]
    fn what_is_not_published_passes_octet_by_octet(
        text in soup(),
        octets in vec(any::<u8>(), 0..40),
        syntax in select(&SYNTAXES[..]),
        encoding in select(&ENCODINGS[..]),
    ) {
        let mut text = text.into_bytes();
        text.extend(octets);
        let origins = Table::corp().origins();
        let mut rewriting = TextRewriting::new(Arc::new(Nobody), origins, syntax, encoding).unwrap();
        let mut out = Vec::new();
        for chunk in text.chunks(5) {
            rewriting.push(chunk, &mut out);
        }
        let counts = rewriting.end(&mut out);
        prop_assert_eq!(counts.links, 0);
        prop_assert_eq!(out, text);
    }

    #[test]
    fn any_octets_pass(
        octets in vec(prop_oneof![any::<u8>(), select(&b"/\\%&25fF:<>![]-\"'u0x;h"[..])], 0..200),
        syntax in select(&SYNTAXES[..]),
        encoding in select(&ENCODINGS[..]),
    ) {
        let table = Table::corp();
        let (out, _) = run(&table, syntax, encoding, &octets, 3);
        prop_assert_eq!(out, octets);
    }

    #[test]
    fn twice_is_once(text in soup(), syntax in select(&SYNTAXES[..])) {
        let table = bijective();
        let (once, _) = run(&table, syntax, UTF_8, text.as_bytes(), 64);
        let (twice, links) = run(&table, syntax, UTF_8, &once, 64);
        prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
        prop_assert_eq!(links, 0);
    }

    #[test]
    fn back_and_forth_is_where_it_began((syntax, text) in document()) {
        let table = bijective();
        let (there, links) = run(&table, syntax, UTF_8, text.as_bytes(), 64);
        let there = String::from_utf8(there).unwrap();
        prop_assert!(links == 0 || there != text);
        prop_assert!(!there.contains(".corp"), "{} in {}", text, there);
        let (back, links_back) = run(&table.back(), syntax, UTF_8, there.as_bytes(), 64);
        prop_assert_eq!(String::from_utf8(back).unwrap(), text);
        prop_assert_eq!(links, links_back);
    }

    #[test]
    fn what_is_no_origin_is_not_asked_about((syntax, text) in document()) {
        let origins = Origins::new(["nowhere.corp"]);
        let links: Arc<dyn Links> = Arc::new(bijective());
        let mut rewriting = TextRewriting::new(links, Arc::new(origins), syntax, UTF_8).unwrap();
        let mut out = Vec::new();
        rewriting.push(text.as_bytes(), &mut out);
        rewriting.end(&mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

/// What the way back is unambiguous of.
fn bijective() -> Table {
    let mut table = Table::corp();
    table
        .pairs
        .retain(|(from, _)| !from.contains("odd") && !from.contains("mixed"));
    table
}

const URLS: [&str; 12] = [
    "http://wiki.corp",
    "http://wiki.corp/a/b.html",
    "http://wiki.corp:8888/x",
    "ws://wiki.corp/s",
    "https://shop.corp/a-b_c~d",
    "wss://shop.corp",
    "http://git.corp/code/x/y",
    "http://git.corp/code/deep/z",
    "http://portal.corp/hr/a",
    "http://portal.corp/",
    "http://one.apps.corp/x",
    "http://büro.corp/ö",
];

const RELATIVE: [&str; 4] = [
    "//wiki.corp/a",
    "//shop.corp",
    "//git.corp/code/x",
    "//wiki.corp:8888/",
];

/// Other text that none of the syntaxes takes for a part of a link.
const WORDS: [&str; 8] = [
    "word",
    "größe",
    "http",
    "//x",
    "1.5",
    "表",
    "x/y",
    "http://other.example/a",
];

/// A way to write a URL, and how to separate it from other text.
fn written(syntax: Syntax, way: u8, url: &str) -> String {
    let percent = |url: &str, percent: &str| {
        let mut out = String::new();
        for character in url.chars() {
            if character.is_ascii_alphanumeric() || "-._~".contains(character) {
                out.push(character);
                continue;
            }
            for octet in character.encode_utf8(&mut [0; 4]).bytes() {
                out += &format!("{percent}{octet:02X}");
            }
        }
        out
    };
    match (syntax, way) {
        (_, 0) => percent(url, "%"),
        (_, 1) => percent(url, "%25"),
        (Syntax::Json | Syntax::JavaScript, 2) => url.replace('/', "\\/"),
        (Syntax::Json | Syntax::JavaScript, 3) => url.replace('/', "\\u002F"),
        (Syntax::Json | Syntax::JavaScript, 4) => url.replace('/', "\\\\/"),
        (Syntax::JavaScript, 5) => url.replace('/', "\\x2f"),
        (Syntax::Xml, 2) => url.replace('/', "&#x2F;"),
        (Syntax::Xml, 3) => url.replace('/', "&sol;"),
        _ => url.to_owned(),
    }
}

fn document() -> impl Strategy<Value = (Syntax, String)> {
    let urls = URLS.into_iter().chain(RELATIVE).collect::<Vec<_>>();
    let link = (select(urls), 0_u8..8).prop_map(|(url, way)| (url, Some(way)));
    let word = select(&WORDS[..]).prop_map(|word| (word, None));
    let parts = vec(prop_oneof![link, word], 0..12);
    (select(&SYNTAXES[..]), parts).prop_map(|(syntax, parts)| {
        let texts = parts.into_iter().map(|(text, way)| match way {
            Some(way) => written(syntax, way, text),
            None => text.to_owned(),
        });
        let (begin, between, end) = match syntax {
            Syntax::Json => ("[\"", "\",\"", "\"]"),
            Syntax::JavaScript => ("f('", "',`", "')"),
            Syntax::Xml => ("<a b=\"", "\">", "\"/>"),
            Syntax::Text => ("see ", ", ", "."),
            Syntax::Form => ("a=", "&b=", ""),
        };
        let joined = texts.collect::<Vec<_>>().join(between);
        (syntax, format!("{begin}{joined}{end}"))
    })
}
