//! Fields with URLs inside: `Link`, `Refresh`, `Reporting-Endpoints`.

use super::field::{Field, change_url};
use crate::translate::urls::UrlMap;

/// Every target and every `anchor` of a `Link` field (RFC 8288 section 3). Commas and semicolons
/// inside targets and quoted strings separate nothing.
pub(super) fn link(value: &[u8], map: &UrlMap<'_>) -> Option<Vec<u8>> {
    let url = |url: &[u8]| change_url(url, |url| map.to_external(url));
    let mut field = Field::new(value);
    let mut at = 0;
    while at < value.len() {
        at += count(&value[at..], |b| b == b',' || b.is_ascii_whitespace());
        if value.get(at) == Some(&b'<') {
            let Some(length) = value[at..].iter().position(|&b| b == b'>') else {
                break;
            };
            field.change(at + 1..at + length, url);
            at += length + 1;
        }
        at = parameters(&mut field, at, url);
    }
    field.finish()
}

/// Goes to the end of a link's parameters, which is behind the next comma, and changes `anchor`.
fn parameters(
    field: &mut Field<'_>,
    mut at: usize,
    url: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> usize {
    let value = field.value();
    let mut is_anchor = false;
    while let Some(&octet) = value.get(at) {
        match octet {
            b',' => return at + 1,
            b'"' => {
                let end = end_of_quoted(value, at);
                if is_anchor {
                    field.change(at + 1..end, &url);
                }
                (at, is_anchor) = (end + 1, false);
            }
            b'=' => at += 1,
            b';' => {
                at += 1 + count(&value[at + 1..], |b| b.is_ascii_whitespace());
                let length = count(&value[at..], |b| b.is_ascii_alphanumeric() || b == b'*');
                let name = &value[at..at + length];
                at += length + count(&value[at + length..], |b| b.is_ascii_whitespace());
                is_anchor = name.eq_ignore_ascii_case(b"anchor") && value.get(at) == Some(&b'=');
            }
            octet if octet.is_ascii_whitespace() => at += 1,
            _ => {
                let length = count(&value[at..], |b| {
                    !b.is_ascii_whitespace() && !b";,\"".contains(&b)
                });
                if is_anchor {
                    field.change(at..at + length, &url);
                }
                (at, is_anchor) = (at + length, false);
            }
        }
    }
    at
}

/// The URL of a `Refresh` field, found as browsers find it (HTML, shared declarative refresh
/// steps).
pub(super) fn refresh(value: &[u8], map: &UrlMap<'_>) -> Option<Vec<u8>> {
    let skip = |at: usize, accept: fn(u8) -> bool| at + count(&value[at..], accept);
    let space: fn(u8) -> bool = |b| b.is_ascii_whitespace();
    let begin = skip(0, space);
    let after_time = skip(begin, |b| b.is_ascii_digit() || b == b'.');
    let mut at = skip(after_time, space);
    let separated = matches!(value.get(at), Some(b';' | b','));
    // No time, or something else that belongs to no time: browsers pass over the field.
    if after_time == begin || (at == after_time && !separated) {
        return None;
    }
    at = skip(at + usize::from(separated), space);
    let mut end = value.len();
    let is_named = value
        .get(at..at + 3)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"url"));
    let equals = skip(at + if is_named { 3 } else { 0 }, space);
    if is_named && value.get(equals) == Some(&b'=') {
        at = skip(equals + 1, space);
    }
    if let Some(quote @ (b'"' | b'\'')) = value.get(at) {
        at += 1;
        let length = value[at..].iter().position(|b| b == quote);
        end = length.map_or(end, |length| at + length);
    }
    let mut field = Field::new(value);
    field.change(at..end, |url| change_url(url, |url| map.to_external(url)));
    field.finish()
}

/// Every quoted URL of a `Reporting-Endpoints` field.
pub(super) fn endpoints(value: &[u8], map: &UrlMap<'_>) -> Option<Vec<u8>> {
    let mut field = Field::new(value);
    let mut at = 0;
    while let Some(quote) = value
        .get(at..)
        .and_then(|rest| rest.iter().position(|&b| b == b'"'))
    {
        let end = end_of_quoted(value, at + quote);
        field.change(at + quote + 1..end, |url| {
            change_url(url, |url| map.to_external(url))
        });
        at = end + 1;
    }
    field.finish()
}

/// How many octets at the beginning are accepted.
pub(super) fn count(octets: &[u8], accept: impl Fn(u8) -> bool) -> usize {
    let refused = octets.iter().position(|&b| !accept(b));
    refused.unwrap_or(octets.len())
}

/// Where the quoted string ends whose first quote is at `begin`: at its last quote, or at the end.
fn end_of_quoted(value: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(octet) = value.get(at) {
        match octet {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    value.len()
}
