//! Names and declarations in XML that look like addresses and are none.
//!
//! Nothing is checked: what is not well-formed is looked through as well as it can be.

use memchr::memmem;
use memchr::{memchr, memchr2};

use super::scan::{CONTEXT, NEAR, near_or_far};
use super::spelling::Text;

/// A part of the text.
pub(super) struct Region {
    /// Where it ends.
    pub(super) to: usize,
    /// Links in it count.
    pub(super) is_searched: bool,
    /// What comes behind it.
    pub(super) next: State,
}

impl Region {
    pub(super) fn search(to: usize) -> Self {
        State::Content.searched(to)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Content,
    /// In a tag, between attributes.
    Tag,
    /// In the end of an element, which has no attributes.
    End,
    /// In the value of an attribute.
    Value(u8, Value),
    Instruction,
    Section,
    Comment(Within),
    /// `<!DOCTYPE …>` and the like.
    Declaration(Within),
    /// A string in a declaration.
    Identifier(u8, Within),
}

/// Where a declaration, or a comment, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    Document,
    /// Between the brackets of a document type.
    Subset,
}

/// What the value of an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Anything, and links too.
    Any,
    /// The name of a namespace.
    Name,
    /// Names and locations, turn by turn.
    Pairs { is_location: bool, is_inside: bool },
}

impl State {
    fn searched(self, to: usize) -> Region {
        Region {
            to,
            is_searched: true,
            next: self,
        }
    }

    fn passed(self, to: usize) -> Region {
        Region {
            to,
            is_searched: false,
            next: self,
        }
    }
}

/// Where in a document the text is.
pub(super) struct Xml(State);

impl Default for Xml {
    fn default() -> Self {
        Self(State::Content)
    }
}

impl Xml {
    pub(super) fn enter(&mut self, state: State) {
        self.0 = state;
    }

    /// The part that begins at a position, and at any other of the same part in the same state; `None` where that is not there yet. One that is empty leads to another
    /// state.
    pub(super) fn region(&self, text: &Text<'_>, at: usize) -> Option<Region> {
        let rest = text.from(at);
        match self.0 {
            // A tag that was never closed ends there.
            State::Content | State::Tag if rest.first() == Some(&b'<') => opened(text, at),
            State::Content => Some(in_content(rest, at)),
            State::Tag => Some(in_tag(text, at)),
            State::End => Some(in_end(rest, at)),
            State::Value(quote, value) => in_value(text, at, quote, value),
            State::Instruction => until(text, at, b"?>", State::Instruction, State::Content),
            State::Section => until(text, at, b"]]>", State::Section, State::Content),
            State::Comment(within) => {
                let next = match within {
                    Within::Document => State::Content,
                    Within::Subset => State::Declaration(within),
                };
                let mut region = until(text, at, b"-->", State::Comment(within), next)?;
                region.is_searched = false;
                Some(region)
            }
            State::Declaration(within) => in_declaration(text, at, within),
            State::Identifier(quote, within) => Some(match memchr(quote, rest) {
                Some(length) => State::Declaration(within).passed(at + length + 1),
                None => self.0.passed(text.len()),
            }),
        }
    }
}

/// At `<` in the document.
fn opened(text: &Text<'_>, at: usize) -> Option<Region> {
    let rest = text.from(at);
    const KINDS: [(&[u8], State); 4] = [
        (b"<!--", State::Comment(Within::Document)),
        (b"<![CDATA[", State::Section),
        (b"<!", State::Declaration(Within::Document)),
        (b"<?", State::Instruction),
    ];
    for (begin, state) in KINDS {
        if rest.starts_with(begin) {
            return Some(state.passed(at + begin.len()));
        }
        if begin.starts_with(rest) && !text.is_last {
            return None;
        }
    }
    if rest.get(1) == Some(&b'/') {
        return Some(State::End.passed(at + 2));
    }
    Some(State::Tag.passed(at + 1))
}

/// Up to the next `<`. Where no slash comes first, there is nothing to search for.
fn in_content(rest: &[u8], at: usize) -> Region {
    let near = rest.iter().take(NEAR);
    let special = |&&octet: &&u8| matches!(octet, b'<' | b'/' | b'&' | b'%');
    let near = near.take_while(|octet| !special(octet)).count();
    if rest.get(near) == Some(&b'<') {
        return State::Content.passed(at + near);
    }
    State::Content.searched(at + memchr(b'<', rest).unwrap_or(rest.len()))
}

fn in_end(rest: &[u8], at: usize) -> Region {
    let is_one = |octet| matches!(octet, b'>' | b'<');
    match near_or_far(rest, is_one, |rest| memchr2(b'>', b'<', rest)) {
        Some(length) => State::Content.passed(at + length),
        None => State::End.passed(at + rest.len()),
    }
}

fn in_tag(text: &Text<'_>, at: usize) -> Region {
    let rest = text.from(at);
    let ends = |octet: u8| matches!(octet, b'"' | b'\'' | b'>' | b'<');
    let special = |&octet: &u8| ends(octet) || matches!(octet, b'/' | b'&' | b'%');
    let first = rest.iter().position(special);
    let plain = first.filter(|&first| rest.get(first).is_some_and(|&octet| ends(octet)));
    let Some(length) = plain.or_else(|| rest.iter().position(|&octet| ends(octet))) else {
        return State::Tag.searched(text.len());
    };
    let mut region = tag_end(text, at, length);
    region.is_searched = plain.is_none();
    region
}

/// What comes behind so much of a tag.
fn tag_end(text: &Text<'_>, at: usize, length: usize) -> Region {
    let end = at + length;
    match text.octet(end) {
        Some(quote @ (b'"' | b'\'')) => {
            State::Value(quote, value(text.until(end, CONTEXT))).searched(end + 1)
        }
        // One that was never closed.
        Some(b'<') => State::Content.searched(end),
        _ => State::Content.searched(end + 1),
    }
}

/// What the attribute before a quote holds.
fn value(before: &[u8]) -> Value {
    let is_whole = before.len() < CONTEXT;
    let Some(before) = before.trim_ascii_end().strip_suffix(b"=") else {
        return Value::Any;
    };
    let before = before.trim_ascii_end();
    let begin = before.iter().rposition(|&octet| is_outside_name(octet));
    let name = match begin {
        Some(begin) => before.get(begin + 1..).unwrap_or_default(),
        // Too long to be seen whole: as likely a prefix for a namespace as anything.
        None if !is_whole => return Value::Name,
        None => before,
    };
    let local = name.rsplit(|&octet| octet == b':').next().unwrap_or(name);
    let has_prefix = local.len() < name.len();
    match local {
        b"xmlns" | b"namespace" | b"targetNamespace" => Value::Name,
        _ if name.starts_with(b"xmlns:") => Value::Name,
        b"schemaLocation" if has_prefix => Value::Pairs {
            is_location: false,
            is_inside: false,
        },
        _ => Value::Any,
    }
}

fn is_outside_name(octet: u8) -> bool {
    octet.is_ascii_whitespace() || matches!(octet, b'<' | b'>' | b'"' | b'\'' | b'=' | b'/')
}

fn in_value(text: &Text<'_>, at: usize, quote: u8, value: Value) -> Option<Region> {
    let rest = text.from(at);
    match rest.first() {
        // It is in no value: the quote was none.
        Some(b'<') => return opened(text, at),
        Some(first) if *first == quote => return Some(State::Tag.passed(at + 1)),
        _ => {}
    }
    let stay = State::Value(quote, value);
    let Value::Pairs {
        is_location,
        is_inside,
    } = value
    else {
        let length = memchr2(quote, b'<', rest);
        let to = at + length.unwrap_or(rest.len());
        return Some(match value {
            Value::Name => stay.passed(to),
            _ => stay.searched(to),
        });
    };
    let blanks = rest.iter().take_while(|octet| octet.is_ascii_whitespace());
    let blanks = blanks.count();
    let pairs = |is_location, is_inside| {
        State::Value(
            quote,
            Value::Pairs {
                is_location,
                is_inside,
            },
        )
    };
    if blanks > 0 {
        return Some(pairs(is_location != is_inside, false).passed(at + blanks));
    }
    let special = |&octet: &u8| octet == quote || octet == b'<' || octet.is_ascii_whitespace();
    let to = at + rest.iter().position(special).unwrap_or(rest.len());
    let next = pairs(is_location, true);
    Some(if is_location {
        next.searched(to)
    } else {
        next.passed(to)
    })
}

/// Up to and over some octets.
fn until(text: &Text<'_>, at: usize, end: &[u8], stay: State, next: State) -> Option<Region> {
    let rest = text.from(at);
    if let Some(length) = memmem::find(rest, end) {
        return Some(next.searched(at + length + end.len()));
    }
    if text.is_last {
        return Some(stay.searched(text.len()));
    }
    // The end may have begun.
    let begun = (1..end.len())
        .rev()
        .find(|&length| end.get(..length).is_some_and(|end| rest.ends_with(end)));
    let length = rest.len() - begun.unwrap_or(0);
    (length > 0).then(|| stay.searched(at + length))
}

fn in_declaration(text: &Text<'_>, at: usize, within: Within) -> Option<Region> {
    let rest = text.from(at);
    let special = |&octet: &u8| matches!(octet, b'"' | b'\'' | b'>' | b'<' | b'[' | b']');
    let Some(length) = rest.iter().position(special) else {
        return Some(State::Declaration(within).passed(text.len()));
    };
    let end = at + length;
    let next = match text.octet(end) {
        Some(quote @ (b'"' | b'\'')) => State::Identifier(quote, within),
        Some(b'>') if within == Within::Document => State::Content,
        Some(b'[') => State::Declaration(Within::Subset),
        Some(b']') => State::Declaration(Within::Document),
        Some(b'<') => {
            let begin: &[u8] = b"<!--";
            if text.from(end).starts_with(begin) {
                return Some(State::Comment(Within::Subset).passed(end + begin.len()));
            }
            if begin.starts_with(text.from(end)) && !text.is_last {
                return (length > 0).then(|| State::Declaration(within).passed(end));
            }
            State::Declaration(within)
        }
        _ => State::Declaration(within),
    };
    Some(next.passed(end + 1))
}
