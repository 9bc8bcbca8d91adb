//! The hosts of a Content Security Policy.

use std::ops::Range;

use super::field::{Field, change_url};
use crate::translate::markup::{Changed, hash_of};
use crate::translate::urls::{Source, UrlMap};

/// Directives whose words are sources, besides those whose name ends in `-src`, `-src-elem` or
/// `-src-attr`.
const SOURCES: [&[u8]; 4] = [
    b"base-uri",
    b"form-action",
    b"frame-ancestors",
    b"navigate-to",
];

/// The policies of one field: the application's sources become external, `report-uri` too, and
/// nothing else changes.
pub(in crate::translate) fn policies(value: &[u8], map: &UrlMap<'_>) -> Option<Vec<u8>> {
    let mut field = Field::new(value);
    for range in split(0..value.len(), value, |b| b == b',' || b == b';') {
        directive(&mut field, range, map);
    }
    field.finish()
}

fn directive(field: &mut Field<'_>, range: Range<usize>, map: &UrlMap<'_>) {
    let value = field.value();
    let mut words =
        split(range, value, |b| b.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let Some(name) = words.next().map(|word| value[word].to_ascii_lowercase()) else {
        return;
    };
    if name == b"report-uri" {
        for word in words {
            field.change(word, |url| change_url(url, |url| map.to_external(url)));
        }
        return;
    }
    let is_fetch = [&b"-src"[..], b"-src-elem", b"-src-attr"]
        .iter()
        .any(|end| name.ends_with(end));
    if !is_fetch && !SOURCES.contains(&name.as_slice()) {
        return;
    }
    // At most one a scheme, so looking for each of them below stays cheap.
    let mut beside: Vec<String> = Vec::new();
    let mut end = 0;
    for word in words.clone() {
        end = word.end;
        match std::str::from_utf8(&value[word.clone()]).map(|word| map.source_to_external(word)) {
            Ok(Source::Replaced(source)) => field.replace(word, source.as_bytes()),
            Ok(Source::Beside(source)) if beside.len() < MOST && !beside.contains(&source) => {
                beside.push(source);
            }
            _ => {}
        }
    }
    for source in beside {
        let is_there = |word: Range<usize>| value[word] == *source.as_bytes();
        if !words.clone().any(is_there) {
            field.replace(end..end, format!(" {source}").as_bytes());
        }
    }
}

/// The policies of one field, with a hash for each text inside the page that is another one now, beside
/// the hash of what it was.
pub(in crate::translate) fn admit(value: &[u8], changed: &[Changed]) -> Option<Vec<u8>> {
    let mut field = Field::new(value);
    for range in split(0..value.len(), value, |b| b == b',' || b == b';') {
        let words = split(range, value, |b| b.is_ascii_whitespace());
        let mut words = words.filter(|word| !word.is_empty()).peekable();
        // Its name.
        words.next();
        let (mut end, mut named): (_, Vec<&str>) = (0, Vec::new());
        for word in words.clone() {
            end = word.end;
            let hash = hash_of(&value[word]);
            let is_old = |one: &&Changed| hash.as_ref().is_some_and(|hash| one.old.contains(hash));
            let of_word = changed.iter().filter(is_old);
            named.extend(of_word.map(|one| &*one.new));
        }
        named.sort_unstable();
        named.dedup();
        for new in named {
            let new = format!("'{new}'");
            let is_there = |word: Range<usize>| value[word] == *new.as_bytes();
            if !words.clone().any(is_there) {
                field.replace(end..end, format!(" {new}").as_bytes());
            }
        }
    }
    field.finish()
}

/// How many sources can be needed beside those of a directive: one for each way to write a scheme
/// and, with paths, a few more than anybody writes.
const MOST: usize = 16;

/// The parts of a range of the value between the octets that separate.
fn split(
    range: Range<usize>,
    value: &[u8],
    separates: impl Fn(u8) -> bool + Clone,
) -> impl Iterator<Item = Range<usize>> + Clone {
    let mut next = Some(range.start);
    std::iter::from_fn(move || {
        let begin = next?;
        let rest = &value[begin..range.end];
        let length = rest.iter().position(|&b| separates(b));
        let end = begin + length.unwrap_or(rest.len());
        next = length.map(|_| end + 1);
        Some(begin..end)
    })
}
