//! One URL, from its scheme to where the part of it ends that is asked about.

use super::Syntax;
use super::around::{Behind, behind_authority, ends_url, may_begin_relative, scheme_before};
use super::escapes::Level;
use super::origins::Origins;
use super::spelling::{Read, Spelling, Text};

/// A URL on a host that may be published.
pub(super) struct Url<'a> {
    pub(super) begin: usize,
    /// `None` for a protocol-relative one.
    pub(super) scheme: Option<&'a str>,
    /// Where the host begins.
    pub(super) host: usize,
    /// Where what is asked about ends.
    pub(super) end: usize,
    pub(super) path: Path,
    pub(super) spelling: Spelling<'a>,
}

/// What is known of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// There is none.
    None,
    /// It ends there, perhaps with marks of the sentence around it.
    Whole,
    /// It is longer than anybody's prefix, or has an empty segment: it is cut behind a slash.
    Long,
    /// It goes on with something that is put in later: `${name}`, `{name}`.
    Open,
}

/// What was found at slashes.
pub(super) enum Found<'a> {
    Url(Url<'a>),
    Not,
    /// It cannot be decided: slashes may go on behind the end.
    Cut,
    /// It cannot be decided: a URL from there on goes on behind the end.
    Hold(usize),
}

/// A name of 253 characters, and some more where they are not ASCII.
const LONGEST_HOST: usize = 300;

const LONGEST_PORT: usize = 5;

/// How much of a path is asked about: bounds the memory, and the time where URLs are in URLs.
const LONGEST_PATH: usize = 1024;

/// Looks for a URL whose slashes begin at a position; `host` is for reuse.
pub(super) fn find<'a>(
    text: &Text<'a>,
    at: usize,
    origins: &Origins,
    host: &mut String,
) -> Found<'a> {
    let (slash, level) = match slashes(text, at) {
        Slashes::Both(slash, level) => (slash, level),
        Slashes::Not => return Found::Not,
        Slashes::Cut => return Found::Cut,
    };
    let authority = at + 2 * slash.len();
    if level == Level::Plain && is_elsewhere(text.from(authority), origins) {
        return Found::Not;
    }
    let Some(begin) = beginning(text, at, slash, level) else {
        return Found::Not;
    };
    let level = begin.spelling.level;
    let host_end = match read_host(text, authority, level, host) {
        Part::To(end) => end,
        Part::Not => return Found::Not,
        Part::More => return Found::Hold(begin.at),
    };
    if !origins.may_have(host) {
        return Found::Not;
    }
    let end = match port(text, host_end, level) {
        Part::To(end) => end,
        Part::Not => return Found::Not,
        Part::More => return Found::Hold(begin.at),
    };
    let Some((end, path)) = read_path(text, end, level) else {
        return Found::Hold(begin.at);
    };
    if path == Path::None {
        match behind_authority(text, end, level) {
            Behind::End => {}
            Behind::Not => return Found::Not,
            Behind::More => return Found::Hold(begin.at),
        }
    }
    Found::Url(Url {
        begin: begin.at,
        scheme: begin.scheme,
        host: authority,
        end,
        path,
        spelling: begin.spelling,
    })
}

enum Slashes<'a> {
    /// Two of the same kind: how one of them is written.
    Both(&'a [u8], Level),
    Not,
    Cut,
}

fn slashes<'a>(text: &Text<'a>, at: usize) -> Slashes<'a> {
    let rest = text.from(at);
    // Most of what is looked at is seen not to be any at once.
    let levels: &[Level] = match rest {
        [b'/', other, ..] if *other != b'/' => return Slashes::Not,
        [b'\\', other, ..] if !matches!(other, b'/' | b'\\' | b'u' | b'x') => return Slashes::Not,
        [b'&', other, ..] if !matches!(other, b'#' | b's') => return Slashes::Not,
        [b'%', other, ..] if *other != b'2' => return Slashes::Not,
        [b'%', ..] => &[Level::Once, Level::Twice],
        _ => &[Level::Plain],
    };
    for &level in levels {
        let length = match text.read(at, level) {
            Read::Char('/', length) => length,
            Read::More => return Slashes::Cut,
            _ => continue,
        };
        let (first, second) = rest.split_at_checked(length).unwrap_or_default();
        let seen = second.len().min(length);
        let is_alike = first
            .iter()
            .zip(second)
            .all(|(one, other)| one.eq_ignore_ascii_case(other));
        return if !is_alike || (seen < length && text.is_last) {
            Slashes::Not
        } else if seen < length {
            Slashes::Cut
        } else {
            Slashes::Both(first, level)
        };
    }
    Slashes::Not
}

/// Whether a host that is plain to see is somebody else's: most are, and to see that early is what
/// makes it fast.
fn is_elsewhere(text: &[u8], origins: &Origins) -> bool {
    let is_part = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    let Some(end) = text.iter().position(|&octet| !is_part(octet)) else {
        return false;
    };
    let (host, behind) = text.split_at_checked(end).unwrap_or_default();
    let is_whole = |octet: &u8| octet.is_ascii() && !matches!(octet, b'\\' | b'&' | b'%' | b'[');
    behind.first().is_some_and(is_whole) && !host.ends_with(b".") && !origins.may_end(host)
}

struct Beginning<'a> {
    at: usize,
    scheme: Option<&'a str>,
    spelling: Spelling<'a>,
}

/// What stands before the slashes at a position, where a URL may begin.
fn beginning<'a>(
    text: &Text<'a>,
    at: usize,
    slash: &'a [u8],
    level: Level,
) -> Option<Beginning<'a>> {
    let before = text.before(at);
    let Some(colon) = before.filter(|before| before.character == ':') else {
        return may_begin_relative(text, at, before).then_some(Beginning {
            at,
            scheme: None,
            spelling: Spelling {
                syntax: text.syntax,
                level,
                colon: match level {
                    Level::Plain => b":",
                    Level::Once => b"%3A",
                    Level::Twice => b"%253A",
                },
                slash,
            },
        });
    };
    // Some encode one of both and not the other, but nobody encodes one of them twice.
    let both = level.max(colon.level);
    if level.min(colon.level) != Level::Plain && level != colon.level {
        return None;
    }
    let scheme = scheme_before(text, at - colon.length, both)?;
    Some(Beginning {
        at: at - colon.length - scheme.len(),
        scheme: Some(scheme),
        spelling: Spelling {
            syntax: text.syntax,
            level: both,
            colon: text.until(at, colon.length),
            slash,
        },
    })
}

enum Part {
    To(usize),
    Not,
    More,
}

/// Goes over a host, and puts it into `host`.
fn read_host(text: &Text<'_>, mut at: usize, level: Level, host: &mut String) -> Part {
    host.clear();
    // A dot at the end is one of a sentence.
    let mut end = at;
    // Most are on somebody else's host, in ASCII.
    if level == Level::Plain {
        let is_part = |octet: &&u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.');
        let run = text.from(at).iter().take_while(is_part).count();
        let run = text.from(at).get(..run.min(LONGEST_HOST));
        let run = run.and_then(|run| std::str::from_utf8(run).ok());
        host.push_str(run.unwrap_or_default());
        at += host.len();
        end += host.trim_end_matches('.').len();
    }
    loop {
        let (character, length) = match text.read(at, level) {
            Read::Char(character, length) => (character, length),
            Read::More => return Part::More,
            Read::End => break,
        };
        let is_address = host.starts_with('[');
        let is_part = match character {
            '[' => host.is_empty(),
            ':' | ']' => is_address,
            '-' | '.' | '_' => true,
            character if character.is_ascii() => character.is_ascii_alphanumeric(),
            character => !ends_url(character),
        };
        if !is_part {
            break;
        }
        host.push(character);
        if host.len() > LONGEST_HOST {
            return Part::Not;
        }
        at += length;
        if character != '.' {
            end = at;
        }
        if character == ']' {
            break;
        }
    }
    host.truncate(host.trim_end_matches('.').len());
    if host.is_empty() {
        Part::Not
    } else {
        Part::To(end)
    }
}

/// Goes over a port, if there is one.
fn port(text: &Text<'_>, from: usize, level: Level) -> Part {
    let mut at = match text.read(from, level) {
        Read::Char(':', length) => from + length,
        Read::More => return Part::More,
        _ => return Part::To(from),
    };
    for digits in 0..=LONGEST_PORT {
        match text.read(at, level) {
            Read::More => return Part::More,
            Read::Char('0'..='9', length) => at += length,
            // The colon is a mark of the sentence.
            _ if digits == 0 => return Part::To(from),
            _ => return Part::To(at),
        }
    }
    Part::Not
}

/// Goes over a path, if there is one; `None` where its end is not there yet.
fn read_path(text: &Text<'_>, from: usize, level: Level) -> Option<(usize, Path)> {
    let mut at = match text.read(from, level) {
        Read::Char('/', length) => from + length,
        Read::More => return None,
        _ => return Some((from, Path::None)),
    };
    let mut slash = at;
    // In a query, the next value begins there.
    let ends_value = level > Level::Plain || text.syntax == Syntax::Form;
    while at - from < LONGEST_PATH {
        match text.read(at, level) {
            Read::More => return None,
            Read::Char('{', _) => return Some((at, Path::Open)),
            Read::Char('$', length) => match text.read(at + length, level) {
                Read::More => return None,
                Read::Char('{', _) => return Some((at, Path::Open)),
                _ => at += length,
            },
            Read::Char('&', _) if ends_value => return Some((at, Path::Whole)),
            // Nobody's prefix has an empty segment, and another URL may begin there.
            Read::Char('/', _) if slash == at => return Some((slash, Path::Long)),
            Read::Char('/', length) => {
                at += length;
                slash = at;
            }
            Read::Char(character, length) if !ends_url(character) => at += length,
            Read::Char(..) | Read::End => return Some((at, Path::Whole)),
        }
    }
    Some((slash, Path::Long))
}
