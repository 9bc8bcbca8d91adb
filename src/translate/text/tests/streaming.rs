//! What is held, and what happens to texts nobody should write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use encoding_rs::{BIG5, GBK, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16LE, WINDOWS_1252};

use super::super::{Origins, TextRewriting};
use super::{Links, Syntax, Table, run};

#[test]
fn what_was_flushed_comes_out_at_once() {
    let links: Arc<dyn Links> = Arc::new(Table::corp());
    let origins = Table::corp().origins();
    let mut rewriting = TextRewriting::new(links, origins, Syntax::Json, UTF_8).unwrap();
    let mut out = Vec::new();
    let steps = [
        ("data: {\"a\":1}\n\n", "data: {\"a\":1}\n\n"),
        ("{\"u\":\"push", "{\"u\":\"push"),
        ("\", \"v\": \"htt", "\", \"v\": \""),
        ("p://wi", ""),
        ("ki.corp", ""),
        ("/a", ""),
        ("\"", "https://wiki.example.com/a\""),
        ("http:\\", ""),
        ("/x", "http:\\/x"),
        ("\"/", "\""),
        ("/other.example", ""),
        ("/a", "//other.example/a"),
        (" w", " "),
        ("ord", "word"),
    ];
    for (chunk, expected) in steps {
        out.clear();
        rewriting.push(chunk.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "after {chunk:?}");
    }
}

#[test]
fn a_long_path_is_not_held() {
    let long = "x/".repeat(100_000);
    for syntax in [Syntax::Json, Syntax::Xml, Syntax::Form] {
        let links: Arc<dyn Links> = Arc::new(Table::corp());
        let origins = Table::corp().origins();
        let mut rewriting = TextRewriting::new(links, origins, syntax, UTF_8).unwrap();
        let mut out = Vec::new();
        rewriting.push(b"u=http://git.corp/code/", &mut out);
        let mut taken = 23;
        for chunk in long.as_bytes().chunks(100) {
            rewriting.push(chunk, &mut out);
            taken += chunk.len();
            assert!(
                taken - out.len().min(taken) < 2_048,
                "{taken} {}",
                out.len()
            );
        }
        assert_eq!(rewriting.end(&mut out).links, 1);
        assert_eq!(
            out,
            format!("u=https://apps.example.com/git/{long}").as_bytes()
        );
    }
}

/// Counts what is asked.
struct Counting(Table, AtomicUsize);

impl Links for Counting {
    fn translate(&self, url: &str) -> Option<String> {
        self.1.fetch_add(url.len(), Ordering::Relaxed);
        self.0.translate(url)
    }

    fn changes_root(&self) -> bool {
        true
    }
}

#[test]
fn hostile_texts_cost_no_more_than_their_length() {
    const LENGTH: usize = 256 * 1024;
    // Repeated; and whether anything may change in it.
    let pieces = [
        "/",
        "\\",
        "%",
        "&",
        "<",
        "http:",
        "https%3A",
        "%252F",
        "%2F",
        "\\/",
        "\\\\",
        "&#47;",
        "wiki.corp",
        "wiki.corp/",
        "\"//",
        "a//wiki.corp",
        "http://wiki",
        "http://a.b.c.d.e.f.g.h/",
        "xmlns=\"",
        "<!--",
        "<![CDATA[",
        "]]",
        "--",
        "\"",
        "a:schemaLocation='",
        "x ",
        "<!a[",
        "&#x0000002f",
        "http://user@",
    ];
    for piece in pieces {
        let text = piece.repeat(LENGTH / piece.len());
        for syntax in [
            Syntax::Json,
            Syntax::JavaScript,
            Syntax::Xml,
            Syntax::Text,
            Syntax::Form,
        ] {
            let (out, links) = run(&Table::corp(), syntax, UTF_8, text.as_bytes(), 10_000);
            assert!(out == text.as_bytes(), "{piece}");
            assert_eq!(links, 0, "{piece}");
        }
    }
    // URLs in the paths of URLs are asked about with a bounded part of it each.
    let text = "http://wiki.corp:1/".repeat(LENGTH / 19);
    let links = Arc::new(Counting(Table::corp(), AtomicUsize::new(0)));
    let asked: Arc<dyn Links> = Arc::<Counting>::clone(&links);
    let origins = Table::corp().origins();
    let mut rewriting = TextRewriting::new(asked, origins, Syntax::Text, UTF_8).unwrap();
    let mut out = Vec::new();
    rewriting.push(text.as_bytes(), &mut out);
    rewriting.end(&mut out);
    assert!(out == text.as_bytes());
    let asked = links.1.load(Ordering::Relaxed);
    assert!(asked < 3 * LENGTH, "{asked}");
}

#[test]
fn without_hosts_everything_passes_at_once() {
    let links: Arc<dyn Links> = Arc::new(Table::corp());
    let origins = Arc::new(Origins::new([]));
    let mut rewriting = TextRewriting::new(links, origins, Syntax::Json, UTF_8).unwrap();
    let mut out = Vec::new();
    rewriting.push(b"http://wiki.corp", &mut out);
    assert_eq!(out, b"http://wiki.corp");
    assert_eq!(rewriting.end(&mut out).links, 0);
}

#[test]
fn an_encoding_that_hides_links_is_refused() {
    for (encoding, is_taken) in [(UTF_16LE, false), (ISO_2022_JP, false), (GBK, true)] {
        let links: Arc<dyn Links> = Arc::new(Table::corp());
        let origins = Table::corp().origins();
        let made = TextRewriting::new(links, origins, Syntax::Json, encoding);
        assert_eq!(made.is_some(), is_taken, "{}", encoding.name());
    }
}

#[test]
fn hosts_are_read_in_the_encoding_of_the_text() {
    let text = "{\"größe\":\"http://büro.corp/größe\",\"b\":\"http://wiki.corp/é\"}";
    let expected =
        "{\"größe\":\"https://buero.example.com/größe\",\"b\":\"https://wiki.example.com/é\"}";
    let (text, _, _) = WINDOWS_1252.encode(text);
    let (expected, _, _) = WINDOWS_1252.encode(expected);
    for size in [text.len(), 1, 7] {
        let (out, links) = run(&Table::corp(), Syntax::Json, WINDOWS_1252, &text, size);
        assert_eq!((&*out, links), (&*expected, 2));
    }
}

#[test]
fn the_second_octet_of_a_character_is_no_escape() {
    // That of 表 is a backslash in Shift_JIS, and of 功 in Big5: what follows is plain.
    let cases = [
        (
            SHIFT_JIS,
            "'表/http://wiki.corp/表/' '表/\\/wiki.corp'",
            "'表/https://wiki.example.com/表/' '表/\\/wiki.corp'",
        ),
        (
            BIG5,
            "'功//wiki.corp' 'http:功//wiki.corp' 'http://git.corp/code/功'",
            "'功//wiki.corp' 'http:功//wiki.corp' 'https://apps.example.com/git/功'",
        ),
        (
            GBK,
            "见http://wiki.corp/页。http://wiki.corp，a",
            "见https://wiki.example.com/页。https://wiki.example.com，a",
        ),
    ];
    for (encoding, text, expected) in cases {
        let (text, _, _) = encoding.encode(text);
        let (expected, _, _) = encoding.encode(expected);
        for size in [text.len(), 1, 7] {
            let (out, _) = run(&Table::corp(), Syntax::JavaScript, encoding, &text, size);
            assert_eq!(encoding.decode(&out).0, encoding.decode(&expected).0);
        }
    }
    // A trail octet that looks like the scheme's first letter belongs to its character.
    let text = b"\x95ttp://wiki.corp/ \x95http://wiki.corp/";
    let (out, links) = run(&Table::corp(), Syntax::Text, SHIFT_JIS, text, 3);
    assert_eq!((&*out, links), (&text[..], 0));
}

#[test]
fn what_the_encoding_lacks_is_not_put_in() {
    let mut table = Table::corp();
    table.pairs = vec![(
        "http://wiki.corp/".into(),
        "https://wiki.example.com/表/".into(),
    )];
    let text = b"'http://wiki.corp/a'";
    let (out, links) = run(&table, Syntax::Text, WINDOWS_1252, text, 64);
    assert_eq!((&*out, links), (&text[..], 0));
    let (_, links) = run(&table, Syntax::Text, UTF_8, text, 64);
    assert_eq!(links, 1);
}
