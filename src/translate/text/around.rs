//! What may stand before and behind a URL.

use super::Syntax;
use super::escapes::Level;
use super::spelling::{Before, Read, Text};

const SCHEMES: [&str; 4] = ["https", "http", "wss", "ws"];

/// The scheme that ends at a position, where nothing of a longer one precedes.
pub(super) fn scheme_before<'a>(text: &Text<'a>, at: usize, level: Level) -> Option<&'a str> {
    let before = text.until(at, 5);
    let scheme = SCHEMES.iter().find_map(|name| {
        let begin = before.len().checked_sub(name.len())?;
        let found = before.get(begin..)?;
        let found = found.eq_ignore_ascii_case(name.as_bytes()).then_some(found);
        found.and_then(|found| std::str::from_utf8(found).ok())
    })?;
    may_begin_scheme(text, at - scheme.len(), level).then_some(scheme)
}

/// Whether a scheme that begins there is a whole one.
fn may_begin_scheme(text: &Text<'_>, at: usize, level: Level) -> bool {
    text.before(at).is_none_or(|before| match before.character {
        // In forms and queries it is a blank.
        '+' => level > Level::Plain || text.syntax == Syntax::Form,
        '-' | '.' => false,
        character => !character.is_ascii_alphanumeric(),
    })
}

/// Whether slashes behind this begin a protocol-relative URL. What stands in paths and in base64 is
/// none of it.
pub(super) fn may_begin_relative(text: &Text<'_>, at: usize, before: Option<Before>) -> bool {
    let Some(before) = before else {
        return true;
    };
    let is_delimiter = match before.character {
        '"' | '\'' | '`' | '(' | '=' | '>' | ',' | '[' => true,
        '+' => text.syntax == Syntax::Form,
        character => character.is_ascii_whitespace(),
    };
    // Behind `;base64,` anything may come.
    is_delimiter && !text.until(at - before.length, 6).ends_with(b"base64")
}

/// Whether a link may begin at a position near the end of what is there, as far as can be seen.
pub(super) fn may_begin(text: &Text<'_>, at: usize) -> bool {
    let rest = text.from(at);
    let is_scheme = SCHEMES.iter().any(|name| {
        let length = rest.len().min(name.len());
        let (found, expected) = (rest.get(..length), name.as_bytes().get(..length));
        let fits = found.zip(expected);
        fits.is_some_and(|(found, expected)| found.eq_ignore_ascii_case(expected))
            && (rest.len() <= name.len() || may_follow(text, at + length, [':', '/', '/'].iter()))
    });
    if is_scheme {
        return may_begin_scheme(text, at, Level::Once);
    }
    may_follow(text, at, ['/', '/'].iter()) && may_begin_relative(text, at, text.before(at))
}

/// Whether these characters may follow, however they are written, and go on behind the end.
fn may_follow(text: &Text<'_>, at: usize, mut expected: std::slice::Iter<'_, char>) -> bool {
    let Some(&character) = expected.next() else {
        return false;
    };
    [Level::Plain, Level::Once, Level::Twice]
        .into_iter()
        .any(|level| match text.read(at, level) {
            Read::Char(found, length) if found == character => {
                may_follow(text, at + length, expected.clone())
            }
            Read::More => true,
            _ => false,
        })
}

/// Whether a character ends a path, or an authority, wherever it is.
pub(super) fn ends_url(character: char) -> bool {
    match character {
        '\0'..=' ' | '\x7F' | '"' | '\'' | '`' | '<' | '>' | '\\' | '|' => true,
        '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '?' | '#' => true,
        // Punctuation of other scripts, and blanks.
        '\u{80}'..='\u{A0}' | '«' | '»' | '\u{2000}'..='\u{200B}' | '\u{200E}'..='\u{206F}' => {
            true
        }
        '\u{3000}'..='\u{3004}' | '\u{3008}'..='\u{3020}' => true,
        '\u{FF01}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}' => true,
        '\u{FF5B}'..='\u{FF65}' | '\u{FEFF}' => true,
        _ => false,
    }
}

/// Marks at the end of a sentence, or around a URL in Markdown, which belong to no URL.
pub(super) const MARKS: [char; 5] = ['.', ':', '!', '*', '~'];

/// What was found behind a host or a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// The URL ends, or what of it is asked about.
    End,
    /// Something else: it is no URL, or another host.
    Not,
    More,
}

/// Whether host and port may end at a position. The path was looked for already.
pub(super) fn behind_authority(text: &Text<'_>, at: usize, level: Level) -> Behind {
    match text.read(at, level) {
        Read::More => Behind::More,
        Read::End => behind_end(text, at),
        Read::Char('$', length) => match text.read(at + length, level) {
            Read::Char('{', _) => Behind::End,
            Read::More => Behind::More,
            _ => Behind::Not,
        },
        Read::Char('&', _) => Behind::End,
        Read::Char(mark, length) if MARKS.contains(&mark) => {
            behind_mark(text, at + length, level, mark)
        }
        Read::Char(character, _) if ends_url(character) => Behind::End,
        Read::Char(..) => Behind::Not,
    }
}

/// How many marks there may be: `!**.`
const MOST_MARKS: usize = 4;

fn behind_mark(text: &Text<'_>, mut at: usize, level: Level, first: char) -> Behind {
    for _ in 0..MOST_MARKS {
        match text.read(at, level) {
            Read::More => return Behind::More,
            Read::End => return behind_end(text, at),
            Read::Char(mark, length) if MARKS.contains(&mark) => at += length,
            // A script may go on with a port.
            Read::Char('"' | '\'' | '`', _) if first == ':' => return Behind::Not,
            Read::Char('{' | '[' | '(', _) => return Behind::Not,
            Read::Char(character, _) if ends_url(character) => return Behind::End,
            Read::Char(..) => return Behind::Not,
        }
    }
    Behind::Not
}

/// Behind what cannot be read. In a script, `\.` may be a dot of the host: what follows a backslash
/// has to be a quote or a blank.
fn behind_end(text: &Text<'_>, at: usize) -> Behind {
    let rest = text.from(at);
    let slashes = rest.iter().take(4).take_while(|&&octet| octet == b'\\');
    let slashes = slashes.count();
    if slashes == 0 {
        // A malformed escape is not an end.
        return match rest.first() {
            Some(b'%' | b'@') => Behind::Not,
            _ => Behind::End,
        };
    }
    match rest.get(slashes) {
        None if text.is_last => Behind::End,
        None => Behind::More,
        Some(b'"' | b'\'' | b'`' | b'n' | b'r' | b't' | b'\n' | b'\r' | b' ') => Behind::End,
        Some(_) => Behind::Not,
    }
}
