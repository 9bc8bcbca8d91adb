//! The URL in a `meta` element that refreshes the page.

use std::ops::Range;

use super::decoded::{Edits, shifted};
use super::value::{View, url};

/// The changes of it.
pub(super) fn refresh(text: &str, view: &View) -> Edits {
    let Some(target) = target(text) else {
        return Edits::new();
    };
    let begin = target.start;
    shifted(url(&text[target], view), begin)
}

/// Where it is, found as browsers find it (HTML, shared declarative refresh steps).
pub(super) fn target(text: &str) -> Option<Range<usize>> {
    let octets = text.as_bytes();
    let skip = |at: usize, accept: fn(&u8) -> bool| {
        let rest = octets.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|octet| accept(octet)).count()
    };
    let space: fn(&u8) -> bool = u8::is_ascii_whitespace;
    let begin = skip(0, space);
    let after_time = skip(begin, |octet| octet.is_ascii_digit() || *octet == b'.');
    let mut at = skip(after_time, space);
    let is_separated = matches!(octets.get(at), Some(b';' | b','));
    if after_time == begin || (at == after_time && !is_separated) {
        return None;
    }
    at = skip(at + usize::from(is_separated), space);
    let word = octets.get(at..at + 3);
    if word.is_some_and(|word| word.eq_ignore_ascii_case(b"url")) {
        let equals = skip(at + 3, space);
        if octets.get(equals) == Some(&b'=') {
            at = skip(equals + 1, space);
        }
    }
    let mut end = octets.len();
    if let Some(quote @ (b'"' | b'\'')) = octets.get(at) {
        at += 1;
        let length = octets[at..].iter().position(|octet| octet == quote);
        end = length.map_or(end, |length| at + length);
    }
    Some(at..end)
}
