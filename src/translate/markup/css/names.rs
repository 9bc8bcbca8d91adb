//! Names of a style sheet, and their escapes.

use std::borrow::Cow;

use super::super::charset::Charset;
use super::super::decoded::Decoded;

/// Functions whose strings are URLs.
pub(super) const FUNCTIONS: [&[u8]; 4] = [b"url", b"src", b"image-set", b"-webkit-image-set"];

pub(super) const IMPORT: &[u8] = b"import";

/// Longest name that is waited for: one of the above with every letter escaped.
pub(super) const LONGEST_NAME: usize = 160;

pub(super) fn is_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-' || octet >= 0x80
}

pub(super) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | b'\x0C')
}

pub(super) fn is_newline(octet: u8) -> bool {
    matches!(octet, b'\n' | b'\r' | b'\x0C')
}

/// The escape at the beginning, in names and URLs: its length and what it stands for. `None` where
/// there is none, or where it may go on behind the end.
pub(super) fn escape(text: &[u8], is_last: bool) -> Option<(usize, Option<char>)> {
    let first = *text.get(1)?;
    if is_newline(first) {
        return None;
    }
    if !first.is_ascii_hexdigit() {
        // A character beyond ASCII stands for itself; the backslash alone goes.
        let character = first.is_ascii().then(|| char::from(first));
        return Some((1 + usize::from(first.is_ascii()), character));
    }
    let digits = text[1..].iter().take(6);
    let digits = digits.take_while(|octet| octet.is_ascii_hexdigit()).count();
    let code = text[1..=digits].iter().fold(0, |code, &digit| {
        code * 16 + char::from(digit).to_digit(16).unwrap_or(0)
    });
    let mut length = 1 + digits;
    match text.get(length) {
        None if !is_last => return None,
        // Of a carriage return at the end, a newline may follow that belongs to it.
        Some(b'\r') if text.len() == length + 1 && !is_last => return None,
        Some(b'\r') if text.get(length + 1) == Some(&b'\n') => length += 2,
        Some(&octet) if is_space(octet) => length += 1,
        _ => {}
    }
    let character = char::from_u32(code).filter(|&character| character != '\0');
    Some((length, Some(character.unwrap_or('\u{FFFD}'))))
}

/// As [`escape`], in a quoted string, where an escaped newline stands for nothing.
pub(super) fn string_escape(text: &[u8]) -> Option<(usize, Option<char>)> {
    match text.get(1) {
        Some(b'\r') if text.get(2) == Some(&b'\n') => Some((3, None)),
        Some(&octet) if is_newline(octet) => Some((2, None)),
        // At the end of the style sheet.
        None => Some((1, None)),
        _ => escape(text, true),
    }
}

/// A name without its escapes.
pub(super) fn plain(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return Cow::Borrowed(name);
    }
    let backslash = |octet| octet == b'\\';
    let decoded = Decoded::new(name, Charset::UTF_8, backslash, |text| escape(text, true));
    decoded.map_or(Cow::Borrowed(name), |decoded| {
        Cow::Owned(decoded.text.into_owned().into_bytes())
    })
}

pub(super) fn is_function(name: &[u8]) -> bool {
    FUNCTIONS
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether one of the functions may begin so.
pub(super) fn may_become_function(name: &[u8]) -> bool {
    FUNCTIONS.iter().any(|known| {
        let begin = known.get(..name.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(name))
    })
}

/// How many octets at the beginning are accepted.
pub(super) fn count(text: &[u8], accept: impl Fn(u8) -> bool) -> usize {
    let refused = text.iter().position(|&octet| !accept(octet));
    refused.unwrap_or(text.len())
}

/// Where the name ends that begins there; `None` where it may go on behind the end.
pub(super) fn name_end(text: &[u8], mut at: usize, is_last: bool) -> Option<usize> {
    loop {
        at += count(&text[at..], is_name);
        match text.get(at) {
            Some(b'\\') => match escape(&text[at..], is_last) {
                Some((length, _)) => at += length,
                None if text.get(at + 1).is_some_and(|&octet| is_newline(octet)) => {
                    return Some(at);
                }
                None => return is_last.then_some(text.len()),
            },
            Some(_) => return Some(at),
            None => return is_last.then_some(at),
        }
    }
}

/// Where the name ends that begins there, as far as it has come: before an escape that has not come whole.
pub(super) fn name_so_far(text: &[u8], mut at: usize) -> usize {
    loop {
        at += count(&text[at..], is_name);
        match text.get(at) {
            Some(b'\\') => match escape(&text[at..], false) {
                Some((length, _)) => at += length,
                None => return at,
            },
            _ => return at,
        }
    }
}
