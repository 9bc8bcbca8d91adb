//! Single parts.

use std::sync::Arc;

use super::super::escapes::{Escape, Level, backslash, percent, reference};
use super::super::{Origins, ScriptText};
use super::{Links, Syntax, Table, text};
use crate::translate::markup::Charset;

#[test]
fn origins_have_hosts_and_what_lies_below() {
    let origins = Origins::new([
        "wiki.corp",
        "xn--bro-hoa.corp",
        "::1",
        "[fd00::2]",
        "10.0.0.1",
    ]);
    for (host, expected) in [
        ("wiki.corp", true),
        ("WIKI.Corp", true),
        ("a.b.wiki.corp", true),
        ("xwiki.corp", false),
        ("corp", false),
        ("wiki.corp.evil", false),
        ("büro.corp", true),
        ("anything-ü", true),
        ("xn--bro-hoa.corp", true),
        ("[::1]", true),
        ("[0:0::1]", true),
        ("[fd00:0::2]", true),
        ("[fd00::3]", false),
        ("10.0.0.1", true),
        ("10.0.0.12", false),
        ("", false),
    ] {
        assert_eq!(origins.may_have(&mut host.to_owned()), expected, "{host}");
    }
    assert!(!Origins::new(["wiki.corp"]).may_have(&mut "büro.test".to_owned()));
    assert!(Origins::new(["büro.corp"]).may_have(&mut "büro.corp".to_owned()));
    assert!(Origins::new([]).is_empty());
}

#[test]
fn backslashes_are_read() {
    for (octets, has_hex, expected) in [
        (&b"\\/"[..], false, Escape::Is('/', 2)),
        (b"\\\\\\/", false, Escape::Is('/', 4)),
        (b"\\\\\\\\/", false, Escape::Not),
        (b"\\u002f/", false, Escape::Is('/', 6)),
        (b"\\\\u002F", false, Escape::Is('/', 7)),
        (b"\\x2f", true, Escape::Is('/', 4)),
        (b"\\x2f", false, Escape::Not),
        (b"\\ud83d", false, Escape::Other),
        (b"\\u00", false, Escape::Cut),
        (b"\\u00g", false, Escape::Not),
        (b"\\", false, Escape::Cut),
        (b"\\n", false, Escape::Not),
    ] {
        assert_eq!(
            backslash(octets, has_hex),
            expected,
            "{}",
            octets.escape_ascii()
        );
    }
}

#[test]
fn references_are_read() {
    for (octets, expected) in [
        ("&amp;x", Escape::Is('&', 5)),
        ("&#47;", Escape::Is('/', 5)),
        ("&#x2F;", Escape::Is('/', 6)),
        ("&#X2f;", Escape::Is('/', 6)),
        ("&#x0000002f;", Escape::Is('/', 12)),
        ("&#x0000000000002f;", Escape::Not),
        ("&other;", Escape::Other),
        ("&#xD800;", Escape::Other),
        ("&;", Escape::Not),
        ("& ", Escape::Not),
        ("&am", Escape::Cut),
        ("&a=", Escape::Not),
    ] {
        assert_eq!(reference(octets.as_bytes()), expected, "{octets}");
    }
}

#[test]
fn percent_signs_are_read() {
    for (octets, level, expected) in [
        ("%2F", Level::Once, Escape::Is('/', 3)),
        ("%252f", Level::Once, Escape::Is('%', 3)),
        ("%252f", Level::Twice, Escape::Is('/', 5)),
        ("%2F", Level::Twice, Escape::Not),
        ("%2", Level::Twice, Escape::Cut),
        ("%2", Level::Once, Escape::Cut),
        ("%2g", Level::Once, Escape::Not),
        ("%C3%BC", Level::Once, Escape::Is('ü', 6)),
        ("%25C3%25BC", Level::Twice, Escape::Is('ü', 10)),
        ("%C3%B", Level::Once, Escape::Cut),
        ("%C3x", Level::Once, Escape::Is('\u{FFFD}', 3)),
        ("%FC", Level::Once, Escape::Is('\u{FFFD}', 3)),
    ] {
        assert_eq!(percent(octets.as_bytes(), level), expected, "{octets}");
    }
}

#[test]
fn an_attribute_with_a_name_too_long_to_see_is_no_address() {
    for (length, is_changed) in [(200, true), (300, false)] {
        let name = "n".repeat(length);
        let xml = format!("<a {name}=\"http://wiki.corp/\" b=\"http://portal.corp/\"/>");
        let out = text(Syntax::Xml, &xml);
        assert_eq!(out.contains("wiki.example.com"), is_changed);
        assert!(out.contains("https://portal.example.com/"));
    }
}

#[test]
fn a_script_element_is_translated() {
    let table = Table::corp();
    let mut out = Vec::new();
    let links: &dyn Links = &table;
    let mut script = ScriptText::new(Charset::UTF_8, Syntax::JavaScript, table.origins());
    let text = b"a='http://wiki.corp/a'";
    let count = script.feed(text, false, links, &mut out) + script.feed(b"", true, links, &mut out);
    assert_eq!((&*out, count), (&b"a='https://wiki.example.com/a'"[..], 1));
}

#[test]
fn rewriters_can_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<super::super::TextRewriting>();
    is_send::<Arc<Origins>>();
}
