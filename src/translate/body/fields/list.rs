//! Comma-separated lists in fields, which may be spread over several lines.

use http::{HeaderMap, HeaderName};

/// What a quoted string may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoted {
    /// `\"` is a quote inside.
    Escapes,
    /// A backslash is a backslash: entity tags.
    Literal,
}

/// The members of all fields of this name that are not empty, without the white space around them.
pub(super) fn members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    quoted: Quoted,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(move |value| split(value.as_bytes(), b',', quoted))
}

/// The parts of a value between these separators that stand outside of quoted strings.
pub(super) fn split(value: &[u8], separator: u8, quoted: Quoted) -> impl Iterator<Item = &[u8]> {
    let (mut inside, mut escaped) = (false, false);
    value
        .split(move |&octet| {
            if escaped {
                escaped = false;
            } else if octet == b'"' {
                inside = !inside;
            } else if octet == b'\\' && inside {
                escaped = quoted == Quoted::Escapes;
            }
            octet == separator && !inside
        })
        .map(<[u8]>::trim_ascii)
        .filter(|part| !part.is_empty())
}
