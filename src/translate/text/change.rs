//! What becomes of a URL.

use super::around::MARKS;
use super::candidate::{Path, Url};
use super::spelling::{Read, Text, UNKNOWN};
use crate::translate::markup::Links;

/// Other octets, from the beginning of a URL to where it stays as it is.
pub(super) struct Change {
    pub(super) end: usize,
    pub(super) with: Vec<u8>,
}

/// `None` where the URL stays as it came.
pub(super) fn change(url: &Url<'_>, text: &Text<'_>, links: &dyn Links) -> Option<Change> {
    let (scheme, is_socket) = asked_scheme(url.scheme);
    let mut old = String::with_capacity(url.end - url.begin + "https://".len());
    old.push_str(scheme);
    old.push_str(if scheme.is_empty() { "//" } else { "://" });
    let host = old.len();
    decode(url, text, &mut old);
    if url.path == Path::Whole {
        old.truncate(old.trim_end_matches(MARKS).len());
    }
    let new = translate(&old, url.path, links)?;
    let mut end = old.len() - common_end(&old, &new);
    // What is between scheme and host changes as a whole.
    if end > 0 && end < host && end != scheme.len() {
        end = host;
    }
    let with = new.get(..new.len().checked_sub(old.len() - end)?)?;
    if old.get(..end) == Some(with) || with.contains(UNKNOWN) {
        return None;
    }
    let with = if is_socket {
        url.spelling
            .write(&format!("ws{}", with.strip_prefix("http")?))
    } else {
        url.spelling.write(with)
    };
    Some(Change {
        end: match end.checked_sub(host) {
            Some(length) => position(url, text, length),
            None => url.begin + url.scheme.map_or(0, str::len).min(end),
        },
        with: text.charset.encode(with?)?,
    })
}

/// The scheme of what is asked, and whether the URL is one of a web socket: those are where the
/// pages are.
fn asked_scheme(written: Option<&str>) -> (&str, bool) {
    let Some(written) = written else {
        return ("", false);
    };
    if written.eq_ignore_ascii_case("ws") {
        ("http", true)
    } else if written.eq_ignore_ascii_case("wss") {
        ("https", true)
    } else {
        (written, false)
    }
}

/// Host, port and path without the way they are written.
fn decode(url: &Url<'_>, text: &Text<'_>, decoded: &mut String) {
    let mut at = url.host;
    while at < url.end
        && let Read::Char(character, length) = text.read(at, url.spelling.level)
    {
        decoded.push(character);
        at += length;
    }
}

/// Where so much of it ends in the text.
fn position(url: &Url<'_>, text: &Text<'_>, mut length: usize) -> usize {
    let mut at = url.host;
    while length > 0
        && let Read::Char(character, octets) = text.read(at, url.spelling.level)
    {
        length = length.saturating_sub(character.len_utf8());
        at += octets;
    }
    at
}

/// What stands in place of a URL, as far as it was read.
fn translate(url: &str, path: Path, links: &dyn Links) -> Option<String> {
    let mut new = links.translate(url)?;
    if path == Path::Open {
        // The prefix may end in what is not known yet: whatever follows has to change nothing.
        let longer = links.would_translate(&format!("{url}-"))?;
        if longer.strip_suffix('-') != Some(&new) {
            return None;
        }
    }
    // What is an origin here stays one: a script may go on with a path.
    if path == Path::None && new.ends_with('/') {
        new.pop();
    }
    Some(new)
}

/// The length of the longest end that both have.
fn common_end(old: &str, new: &str) -> usize {
    let both = old.chars().rev().zip(new.chars().rev());
    both.take_while(|(old, new)| old == new)
        .map(|(character, _)| character.len_utf8())
        .sum()
}
