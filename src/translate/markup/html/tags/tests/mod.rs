//! Where tags are, beside what another reader finds, and what it costs.

mod beside;
mod work;

use std::ops::Range;

use super::{Namespace, Sink, StartTag, Tags};

/// A start tag, as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    range: Range<usize>,
    name: String,
    namespace: Namespace,
    is_empty: bool,
}

/// All that was told of a page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// How much of the page went before what is read.
    origin: usize,
    starts: Vec<Found>,
    long: Vec<usize>,
    ends: Vec<usize>,
}

impl Sink for Told {
    fn start_tag(&mut self, tag: &StartTag<'_>) {
        assert_eq!(tag.range.len(), tag.octets.len());
        let written = &tag.octets[1..];
        let end = written
            .iter()
            .position(|octet| b" \t\n\r\x0C/>".contains(octet));
        let name = String::from_utf8_lossy(&written[..end.unwrap()]).to_ascii_lowercase();
        assert!(tag.name.is_empty() || tag.name == name.as_bytes() || name.contains('\u{FFFD}'));
        self.starts.push(Found {
            range: self.origin + tag.range.start..self.origin + tag.range.end,
            name,
            namespace: tag.namespace,
            is_empty: tag.is_empty,
        });
    }

    fn long_tag(&mut self, at: usize) {
        self.long.push(self.origin + at);
    }

    fn end_tag(&mut self, at: usize) {
        self.ends.push(self.origin + at);
    }
}

const LIMIT: usize = 1000;

/// A page in chunks of a size; also how many octets were looked at.
fn read(page: &[u8], size: usize) -> (Told, usize) {
    let mut tags = Tags::new(LIMIT);
    let mut told = Told::default();
    let mut held = Vec::new();
    for chunk in page.chunks(size.max(1)) {
        held.extend_from_slice(chunk);
        let decided = tags.read(&held, &mut told);
        held.drain(..decided);
        assert!(held.len() <= LIMIT);
        told.origin += decided;
    }
    told.origin = 0;
    (told, tags.looked)
}

fn names(page: &str) -> String {
    let (whole, _) = read(page.as_bytes(), page.len());
    assert_eq!(read(page.as_bytes(), 1).0, whole, "{page}");
    let name = |found: &Found| match found.namespace {
        Namespace::Html => found.name.clone(),
        Namespace::Svg => format!("svg:{}", found.name),
        Namespace::MathMl => format!("math:{}", found.name),
    };
    let names: Vec<_> = whole.starts.iter().map(name).collect();
    names.join(" ")
}

#[test]
fn a_start_tag_is_where_the_standard_says() {
    for (page, expected) in [
        ("<a><B/><c d>", "a b c"),
        ("< a><3><a", ""),
        ("<a b='>' c=\">\" d=>e><f =\"><g>", "a f g"),
        ("<a b='><c>", ""),
        ("<a b=c'><d>'>", "a d"),
        ("<a b='c'd='>'>e>", "a"),
        ("<a/b='>'><c>", "a c"),
        ("</a><b></><c></ <d>><e>", "b c e"),
        ("<!--<a>--><b><!--><c><!---><d><!-- --!><e>", "b c d e"),
        ("<!-- --x><a>--><b><!----!-><c>--><d><!--->--><e>", "b d e"),
        (
            "<!doctype html '>'><a><!x '><b>'><?x><c><!-x><d>",
            "a b c d",
        ),
        ("<![CDATA[<a>]]><b>", "b"),
        ("<!-- --!--><a>", "a"),
        ("<title><a></titlex></title ><b>", "title b"),
        (
            "<style></STYLE/x='>'><b><textarea></style><c></textarea><d>",
            "style b textarea d",
        ),
        (
            "<noscript><a></noscript><b><plaintext><c></plaintext>",
            "noscript b plaintext",
        ),
        ("<script>a<b</script x><b>", "script b"),
        ("<script><!--<script></script><a></script><b>", "script b"),
        ("<script><!--<scripty></script><a>--></script>", "script a"),
        ("<script><!--<script>--></script><a>", "script a"),
        (
            "<script><!--></script><a><script><!-<script></script><b>",
            "script a script b",
        ),
        (
            "<script><!--<script></scripts></script><a>--></script><b>",
            "script b",
        ),
        // Without a value, an attribute is no reason to read a script as markup.
        ("<script a=>'<b>'</script><c>", "script c"),
        ("<a\0><b\0=>", "a\0 b\0="),
    ] {
        assert_eq!(names(page), expected, "{page}");
    }
}

#[test]
fn an_element_is_in_the_namespace_that_the_standard_says() {
    for (page, expected) in [
        (
            "<svg><a/><style><b></style></svg><style><b></style>",
            "svg:svg svg:a svg:style b style",
        ),
        (
            "<svg><g><style><c></style></svg><i>",
            "svg:svg svg:g svg:style svg:c i",
        ),
        (
            "<svg><title><i><x></title><x></svg>",
            "svg:svg svg:title i x svg:x",
        ),
        (
            "<svg><foreignObject><style><i></style><svg><x></svg></foreignObject><x>",
            "svg:svg svg:foreignobject style svg:svg svg:x svg:x",
        ),
        ("<svg><desc/><x></svg>", "svg:svg svg:desc svg:x"),
        ("<svg><font><font Size=1><x>", "svg:svg svg:font font x"),
        ("<svg></p><x>", "svg:svg x"),
        ("<svg><font FACE=x><x>", "svg:svg font x"),
        ("<svg><font color><x>", "svg:svg font x"),
        ("<svg><table><title><x></title>", "svg:svg table title"),
        (
            "<math><mi><x></mi><x><annotation-xml><x>",
            "math:math math:mi x math:x math:annotation-xml math:x",
        ),
        (
            "<math><annotation-xml encoding='TEXT/html'><style><x></style></annotation-xml><x>",
            "math:math math:annotation-xml style math:x",
        ),
        (
            "<svg><![CDATA[<x>]]]><y>]]><![CDATA[]x]]><z>",
            "svg:svg svg:y svg:z",
        ),
        // What is closed at once has nothing inside, so that a script behind it is one.
        (
            "<svg/><script>'<b>'</script><math/><style><b></style>",
            "svg:svg script math:math style",
        ),
    ] {
        assert_eq!(names(page), expected, "{page}");
    }
}

#[test]
fn a_tag_too_long_means_what_it_would_otherwise() {
    let long = "x".repeat(2 * LIMIT);
    let page = format!(
        "<script a='>{long}'><b></script c='>{long}'><b><svg a={long}><title><b a={long}/>\
         <font size=1 a={long}><style a={long}/><b></style><math {long}/><style><b></style><{long}><b a={long}"
    );
    let (whole, _) = read(page.as_bytes(), page.len());
    for size in [1, 7, 999, 1001, 1500] {
        assert_eq!(read(page.as_bytes(), size).0, whole, "in {size}");
    }
    let found: Vec<_> = whole.starts.iter().map(|found| &*found.name).collect();
    assert_eq!(found, ["b", "title", "style"]);
    assert_eq!((whole.long.len(), whole.ends.len()), (8, 3));
}
