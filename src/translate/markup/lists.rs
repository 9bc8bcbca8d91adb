//! Attributes that hold several URLs.

use std::ops::Range;

use super::decoded::{Edits, MOST_EDITS, shifted};
use super::value::{View, url};

/// Every candidate of a `srcset`.
pub(super) fn srcset(text: &str, view: &View) -> Edits {
    let mut edits = Edits::new();
    for candidate in candidates(text) {
        if edits.len() >= MOST_EDITS {
            break;
        }
        let begin = candidate.start;
        edits.extend(shifted(url(&text[candidate], view), begin));
    }
    edits
}

/// Where the URLs of a `srcset` are (HTML, "parse a srcset attribute").
pub(super) fn candidates(text: &str) -> impl Iterator<Item = Range<usize>> {
    let octets = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let is_between = |octet: &&u8| octet.is_ascii_whitespace() || **octet == b',';
        at += octets[at..].iter().take_while(is_between).count();
        if at == octets.len() {
            return None;
        }
        let begin = at;
        at += word(&octets[at..]);
        // Commas belong to the URL but for those it ends with.
        let candidate = text[begin..at].trim_end_matches(',');
        if candidate.len() == at - begin {
            at += descriptors(&octets[at..]);
        }
        Some(begin..begin + candidate.len())
    })
}

/// Every URL of a list between blanks: `ping`, `archive`.
pub(super) fn blank_separated(text: &str, view: &View) -> Edits {
    let octets = text.as_bytes();
    let mut edits = Edits::new();
    let mut at = 0;
    while at < octets.len() && edits.len() < MOST_EDITS {
        let length = word(&octets[at..]);
        edits.extend(shifted(url(&text[at..at + length], view), at));
        at += length.max(1);
    }
    edits
}

fn word(octets: &[u8]) -> usize {
    let end = octets.iter().position(u8::is_ascii_whitespace);
    end.unwrap_or(octets.len())
}

/// The length of a candidate's descriptors: to the next comma outside parentheses.
fn descriptors(octets: &[u8]) -> usize {
    let mut is_inside = false;
    let end = octets.iter().position(|octet| {
        match octet {
            b'(' => is_inside = true,
            b')' => is_inside = false,
            b',' => return !is_inside,
            _ => {}
        }
        false
    });
    end.unwrap_or(octets.len())
}
