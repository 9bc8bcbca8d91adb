//! A tag whose end is looked for.

use memchr::memchr;

use super::name::Name;
use super::namespaces::Effect;

/// From its name on.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) is_end: bool,
    place: Place,
    /// How long its name is, as far as it was read.
    name: usize,
    /// What is remembered of a tag too long to be held.
    passed: Option<(Name, Effect)>,
}

/// HTML's states inside of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// "Tag name".
    Name,
    /// "Before attribute name", and "after attribute value (quoted)", where the same follows.
    Before,
    /// "Attribute name".
    Attribute,
    /// "After attribute name".
    After,
    /// "Before attribute value".
    Equals,
    /// "Attribute value (double-quoted)" and "(single-quoted)".
    Quoted(u8),
    /// "Attribute value (unquoted)".
    Unquoted,
    /// "Self-closing start tag".
    Slash,
}

pub(super) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | b'\x0C')
}

/// What ends a name or a value without quotes; of these, some do not, each time.
fn is_mark(octet: u8) -> bool {
    is_space(octet) || matches!(octet, b'/' | b'>' | b'=')
}

impl Open {
    pub(super) fn new(is_end: bool) -> Self {
        Self {
            is_end,
            place: Place::Name,
            name: 0,
            passed: None,
        }
    }

    /// The position behind the tag, read on from a position.
    pub(super) fn end(&mut self, input: &[u8], mut at: usize) -> Option<usize> {
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            // As far as nothing can change.
            let same = match self.place {
                Place::Quoted(quote) => memchr(quote, rest),
                Place::Name | Place::Attribute | Place::Unquoted => {
                    rest.iter().position(|&octet| is_mark(octet))
                }
                _ => Some(0),
            };
            let length = same.unwrap_or(rest.len());
            if self.place == Place::Name {
                self.name += length;
            }
            let octet = *rest.get(length)?;
            at += length + 1;
            if octet == b'>' && !matches!(self.place, Place::Quoted(_)) {
                return Some(at);
            }
            self.step(octet);
        }
        None
    }

    /// One octet, which does not end the tag.
    fn step(&mut self, octet: u8) {
        let is_space = is_space(octet);
        self.place = match (self.place, octet) {
            // An equals sign is as good as any letter there.
            (Place::Name, b'=') => {
                self.name += 1;
                Place::Name
            }
            (Place::Quoted(_), _) => Place::Before,
            (Place::Unquoted, _) if is_space => Place::Before,
            (Place::Unquoted, _) => Place::Unquoted,
            (Place::Equals, _) if is_space => Place::Equals,
            (Place::Equals, b'"' | b'\'') => Place::Quoted(octet),
            (Place::Equals, _) => Place::Unquoted,
            (_, b'/') => Place::Slash,
            (Place::Attribute | Place::After, b'=') => Place::Equals,
            (Place::Attribute | Place::After, _) if is_space => Place::After,
            (_, _) if is_space => Place::Before,
            // An equals sign at the beginning belongs to the attribute's name.
            (_, _) => Place::Attribute,
        };
    }

    /// Whether `/` stands right before its end, and not in a value.
    pub(super) fn is_self_closing(&self) -> bool {
        self.place == Place::Slash
    }

    /// Its name, of all its octets.
    pub(super) fn name<'a>(&self, tag: &'a [u8]) -> &'a [u8] {
        let begin = 1 + usize::from(self.is_end);
        tag.get(begin..begin + self.name).unwrap_or_default()
    }

    /// It is too long: this is what is remembered of it.
    pub(super) fn passes(&mut self, name: Name, effect: Effect) {
        self.passed = Some((name, effect));
    }

    pub(super) fn is_long(&self) -> bool {
        self.passed.is_some()
    }

    pub(super) fn passed(&self) -> Option<(Name, Effect)> {
        self.passed
    }
}
