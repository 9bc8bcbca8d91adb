//! How the characters of a text are written.

use super::Syntax;
use super::escapes::{self, Escape, LONGEST_REFERENCE, Level};
use crate::translate::markup::Charset;

/// In place of what cannot be read.
pub(super) const UNKNOWN: char = char::REPLACEMENT_CHARACTER;

/// What is there of a text, and how to read it.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) octets: &'a [u8],
    /// The same with the second octet of characters out of the way, in encodings where it may look
    /// like ASCII.
    pub(super) plain: &'a [u8],
    pub(super) is_last: bool,
    pub(super) syntax: Syntax,
    pub(super) charset: Charset,
}

/// What stands at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// A character, in so many octets.
    Char(char, usize),
    /// The end of the text, or what is in no URL.
    End,
    /// It goes on behind the end of what is there.
    More,
}

/// What stands before a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) character: char,
    /// In how many octets.
    pub(super) length: usize,
    pub(super) level: Level,
}

impl<'a> Text<'a> {
    pub(super) fn from(&self, at: usize) -> &'a [u8] {
        self.plain.get(at..).unwrap_or_default()
    }

    pub(super) fn octet(&self, at: usize) -> Option<u8> {
        self.plain.get(at).copied()
    }

    /// Up to there, as far back as anybody looks.
    pub(super) fn until(&self, at: usize, length: usize) -> &'a [u8] {
        self.plain
            .get(at.saturating_sub(length)..at)
            .unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len()
    }

    /// The character at a position, in text that is percent-encoded so often.
    pub(super) fn read(&self, at: usize, level: Level) -> Read {
        let rest = self.from(at);
        let Some(&first) = rest.first() else {
            return self.cut();
        };
        if first >= 0x80 {
            return self.beyond_ascii(at, first);
        }
        let plain = Read::Char(char::from(first), 1);
        let (escape, otherwise) = match (level, first) {
            (Level::Plain, b'\\') => (self.backslash(rest), Read::End),
            (Level::Plain, b'&') if self.syntax == Syntax::Xml => (escapes::reference(rest), plain),
            (Level::Plain, b'+') if self.syntax == Syntax::Form => return Read::End,
            (Level::Plain, _) => return plain,
            (_, b'%') => (escapes::percent(rest, level), Read::End),
            (_, b'/' | b':' | b'@' | b'-' | b'.' | b'_' | b'~' | b'!' | b'*') => return plain,
            (_, octet) if octet.is_ascii_alphanumeric() => return plain,
            _ => return Read::End,
        };
        match escape {
            Escape::Is(character, length) => Read::Char(character, length),
            Escape::Other => Read::End,
            Escape::Not => otherwise,
            Escape::Cut if self.is_last => otherwise,
            Escape::Cut => Read::More,
        }
    }

    fn cut(&self) -> Read {
        if self.is_last { Read::End } else { Read::More }
    }

    fn backslash(&self, text: &[u8]) -> Escape {
        match self.syntax {
            Syntax::Json => escapes::backslash(text, false),
            Syntax::JavaScript => escapes::backslash(text, true),
            _ => Escape::Not,
        }
    }

    fn beyond_ascii(&self, at: usize, first: u8) -> Read {
        if self.charset != Charset::UTF_8 {
            let pair = self.charset.has_ascii_trails() && self.charset.is_lead(first);
            let length = if pair { 2 } else { 1 };
            let Some(octets) = self.octets.get(at..at + length) else {
                return if self.is_last { Read::End } else { Read::More };
            };
            let character = first_char(&self.charset.decode(octets));
            return Read::Char(character.unwrap_or(UNKNOWN), length);
        }
        let longest = self.octets.get(at..).unwrap_or_default();
        let longest = longest.get(..4).unwrap_or(longest);
        match std::str::from_utf8(longest) {
            Ok(text) => whole(first_char(text)),
            Err(error) => {
                let valid = longest.get(..error.valid_up_to()).unwrap_or_default();
                let valid = std::str::from_utf8(valid).unwrap_or_default();
                match (first_char(valid), error.error_len()) {
                    (None, None) if !self.is_last => Read::More,
                    (character, _) => whole(character),
                }
            }
        }
    }

    /// The character before a position, plain or escaped; `None` at the beginning of the text.
    pub(super) fn before(&self, at: usize) -> Option<Before> {
        let text = self.until(at, LONGEST_REFERENCE + 2);
        let last = *text.last()?;
        let plain = Before {
            character: if last.is_ascii() {
                char::from(last)
            } else {
                UNKNOWN
            },
            length: 1,
            level: Level::Plain,
        };
        let escaped = match (self.syntax, last) {
            (Syntax::Xml, b';') => reference_before(text),
            (_, octet) if !octet.is_ascii_alphanumeric() => None,
            (Syntax::Json | Syntax::JavaScript, _) => {
                self.backslash_before(text).or_else(|| percent_before(text))
            }
            _ => percent_before(text),
        };
        Some(escaped.unwrap_or(plain))
    }

    fn backslash_before(&self, text: &[u8]) -> Option<Before> {
        // `\n` and the like, which are blanks.
        if let [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f' | b'v'] = text {
            return Some(escaped(' ', 2, Level::Plain));
        }
        [6, 4].into_iter().find_map(|length| {
            let begin = text.len().checked_sub(length)?;
            let Escape::Is(character, found) = self.backslash(text.get(begin..)?) else {
                return None;
            };
            (found == length).then(|| {
                let more = text.get(..begin).unwrap_or_default().iter().rev().take(2);
                let more = more.take_while(|&&octet| octet == b'\\').count();
                escaped(character, length + more, Level::Plain)
            })
        })
    }
}

/// Of one that cannot be read, the first octet goes alone.
fn whole(character: Option<char>) -> Read {
    character.map_or(Read::Char(UNKNOWN, 1), |character| {
        Read::Char(character, character.len_utf8())
    })
}

fn first_char(text: &str) -> Option<char> {
    text.chars().next()
}

fn escaped(character: char, length: usize, level: Level) -> Before {
    Before {
        character,
        length,
        level,
    }
}

fn reference_before(text: &[u8]) -> Option<Before> {
    let begin = text.iter().rposition(|&octet| octet == b'&')?;
    let reference = text.get(begin..)?;
    match escapes::reference(reference) {
        Escape::Is(character, length) if length == reference.len() => {
            Some(escaped(character, length, Level::Plain))
        }
        _ => None,
    }
}

fn percent_before(text: &[u8]) -> Option<Before> {
    [(Level::Twice, 5), (Level::Once, 3)]
        .into_iter()
        .find_map(|(level, length)| {
            let begin = text.len().checked_sub(length)?;
            if text.get(begin) != Some(&b'%') {
                return None;
            }
            match escapes::percent(text.get(begin..)?, level) {
                Escape::Is(character, found) if found == length => {
                    Some(escaped(character, length, level))
                }
                // The end of a character of several octets.
                Escape::Cut => Some(escaped(UNKNOWN, length, level)),
                _ => None,
            }
        })
}

/// What a URL is written with.
#[derive(Clone, Copy)]
pub(super) struct Spelling<'a> {
    pub(super) syntax: Syntax,
    pub(super) level: Level,
    pub(super) colon: &'a [u8],
    pub(super) slash: &'a [u8],
}

impl Spelling<'_> {
    /// The text as it is written here; `None` where there is no way to write it. Colons and slashes
    /// are written as the URL's own, the rest in ASCII or beyond it.
    pub(super) fn write(&self, text: &str) -> Option<String> {
        let colon = std::str::from_utf8(self.colon).ok()?;
        let slash = std::str::from_utf8(self.slash).ok()?;
        let mut written = String::with_capacity(text.len() * 2);
        for character in text.chars() {
            match character {
                ':' => written.push_str(colon),
                '/' => written.push_str(slash),
                _ if self.level > Level::Plain => self.percent(character, &mut written),
                _ => self.plain(character, &mut written)?,
            }
        }
        Some(written)
    }

    fn percent(&self, character: char, written: &mut String) {
        if character.is_ascii_alphanumeric() || "-._~".contains(character) {
            written.push(character);
            return;
        }
        let percent = self.level.percent();
        for octet in character.encode_utf8(&mut [0; 4]).bytes() {
            written.push_str(&format!("{percent}{octet:02X}"));
        }
    }

    fn plain(&self, character: char, written: &mut String) -> Option<()> {
        match self.syntax {
            Syntax::Json | Syntax::JavaScript if needs_escape(character) => {
                // With escapes inside escapes, nobody knows how many readers there are.
                let is_simple = self.slash.iter().filter(|&&octet| octet == b'\\').count() < 2;
                is_simple.then(|| written.push_str(&format!("\\u{:04x}", u32::from(character))))?;
            }
            Syntax::Xml => match character {
                '&' => written.push_str("&amp;"),
                '<' => written.push_str("&lt;"),
                '>' => written.push_str("&gt;"),
                '"' => written.push_str("&quot;"),
                '\'' => written.push_str("&#39;"),
                _ => written.push(character),
            },
            Syntax::Form if "&;+= ".contains(character) => {
                written.push_str(&format!("%{:02X}", u32::from(character)));
            }
            _ => written.push(character),
        }
        Some(())
    }
}

/// What would end a string, or more: a template, or the script element around it.
fn needs_escape(character: char) -> bool {
    character <= '\x1F' || matches!(character, '"' | '\'' | '`' | '\\' | '<' | '{' | '\x7F')
}
