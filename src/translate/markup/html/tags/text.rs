//! What stands between tags.

use memchr::{memchr, memchr2};

use super::Namespace;
use super::open::is_space;

/// Where the reader is, if not in a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// Markup: "data".
    Data,
    /// In an element whose text ends at its end tag: "RCDATA" and "RAWTEXT".
    Raw(&'static [u8]),
    /// In a script.
    Script(Script),
    /// "PLAINTEXT": the rest of the page.
    Plain,
    Comment(Comment),
    /// "Bogus comment" and "DOCTYPE", in which quotes hide nothing.
    Bogus,
    /// "CDATA section", and how many brackets were just read.
    Cdata(u8),
}

/// HTML's states inside of a script. Old pages hide scripts in comments, and write scripts inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// "Script data".
    Plain,
    /// "Script data escaped", and how many dashes were just read.
    Escaped(u8),
    /// "Script data double escaped": the end tag ends what seems to be a script inside.
    Double(u8),
}

/// HTML's states inside of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment {
    /// "Comment start".
    Start,
    /// "Comment start dash".
    StartDash,
    /// "Comment". What it knows of `<!--` inside changes nothing about its end.
    Inside,
    /// "Comment end dash".
    Dash,
    /// "Comment end".
    Dashes,
    /// "Comment end bang".
    Bang,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Text up to here.
    On(usize),
    /// Text up to here. What follows, if anything does, says nothing yet.
    Wait(usize),
    /// A tag begins here.
    Tag { at: usize, is_end: bool },
}

impl Text {
    /// Reads on from a position.
    pub(super) fn step(&mut self, input: &[u8], at: usize, namespace: Namespace) -> Step {
        let rest = input.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Step::Wait(at);
        }
        match *self {
            Self::Data => {
                let Some(length) = memchr(b'<', rest) else {
                    return Step::Wait(input.len());
                };
                let rest = rest.get(length..).unwrap_or_default();
                self.open(rest, at + length, namespace)
            }
            Self::Raw(name) => {
                let Some(length) = memchr(b'<', rest) else {
                    return Step::Wait(input.len());
                };
                let at = at + length;
                let rest = rest.get(length..).unwrap_or_default();
                match word(rest, b"</", name) {
                    Word::Yes => Step::Tag { at, is_end: true },
                    Word::No => Step::On(at + 1),
                    Word::Unknown => Step::Wait(at),
                }
            }
            Self::Script(script) => self.script(script, rest, at),
            Self::Plain => Step::Wait(input.len()),
            Self::Comment(comment) => {
                let length = match comment {
                    Comment::Inside => memchr(b'-', rest),
                    _ => Some(0),
                };
                let length = length.unwrap_or(rest.len());
                if let Some(&octet) = rest.get(length) {
                    *self = comment.next(octet).map_or(Self::Data, Self::Comment);
                }
                Step::On((at + length + 1).min(input.len()))
            }
            Self::Bogus => match memchr(b'>', rest) {
                Some(length) => {
                    *self = Self::Data;
                    Step::On(at + length + 1)
                }
                None => Step::Wait(input.len()),
            },
            Self::Cdata(brackets) => {
                let length = match brackets {
                    0 => memchr(b']', rest),
                    _ => Some(0),
                };
                let length = length.unwrap_or(rest.len());
                if let Some(&octet) = rest.get(length) {
                    *self = match (octet, brackets) {
                        (b']', _) => Self::Cdata((brackets + 1).min(2)),
                        (b'>', 2) => Self::Data,
                        _ => Self::Cdata(0),
                    };
                }
                Step::On((at + length + 1).min(input.len()))
            }
        }
    }

    /// "Tag open" and "markup declaration open": what begins with `<`, which is there.
    fn open(&mut self, rest: &[u8], at: usize, namespace: Namespace) -> Step {
        let Some(&octet) = rest.get(1) else {
            return Step::Wait(at);
        };
        match (octet, rest.get(2)) {
            (b'a'..=b'z' | b'A'..=b'Z', _) => Step::Tag { at, is_end: false },
            (b'/' | b'!', None) => Step::Wait(at),
            (b'/', Some(b'a'..=b'z' | b'A'..=b'Z')) => Step::Tag { at, is_end: true },
            (b'/', Some(b'>')) => Step::On(at + 3),
            (b'!', Some(_)) => {
                let is_cdata = prefix(rest, b"<![CDATA[");
                let is_cdata = is_cdata.filter(|_| namespace != Namespace::Html);
                let (text, length) = match (prefix(rest, b"<!--"), is_cdata) {
                    (Some(Word::Yes), _) => (Self::Comment(Comment::Start), 4),
                    (_, Some(Word::Yes)) => (Self::Cdata(0), 9),
                    (None, None) => (Self::Bogus, 2),
                    _ => return Step::Wait(at),
                };
                *self = text;
                Step::On(at + length)
            }
            (b'/' | b'?', _) => {
                *self = Self::Bogus;
                Step::On(at + 1)
            }
            _ => Step::On(at + 1),
        }
    }

    /// In a script; the rest is not empty.
    fn script(&mut self, script: Script, rest: &[u8], at: usize) -> Step {
        let length = match script {
            Script::Plain => memchr(b'<', rest),
            Script::Escaped(0) | Script::Double(0) => memchr2(b'<', b'-', rest),
            _ => Some(0),
        };
        let Some(length) = length else {
            return Step::Wait(at + rest.len());
        };
        let at = at + length;
        let rest = rest.get(length..).unwrap_or_default();
        let (next, step) = match (script, rest.first()) {
            (Script::Plain, _) => match (word(rest, b"</", b"script"), prefix(rest, b"<!--")) {
                (Word::Yes, _) => return Step::Tag { at, is_end: true },
                (_, Some(Word::Yes)) => (Script::Escaped(2), Step::On(at + 4)),
                (Word::No, None) => (script, Step::On(at + 1)),
                _ => return Step::Wait(at),
            },
            (Script::Escaped(_), Some(b'<')) => {
                match (word(rest, b"</", b"script"), word(rest, b"<", b"script")) {
                    (Word::Yes, _) => return Step::Tag { at, is_end: true },
                    (_, Word::Yes) => (Script::Double(0), Step::On(at + 8)),
                    (Word::No, Word::No) => (Script::Escaped(0), Step::On(at + 1)),
                    _ => return Step::Wait(at),
                }
            }
            (Script::Double(_), Some(b'<')) => match word(rest, b"</", b"script") {
                Word::Yes => (Script::Escaped(0), Step::On(at + 9)),
                Word::No => (Script::Double(0), Step::On(at + 1)),
                Word::Unknown => return Step::Wait(at),
            },
            (Script::Escaped(dashes), Some(b'-')) => {
                (Script::Escaped((dashes + 1).min(2)), Step::On(at + 1))
            }
            (Script::Double(dashes), Some(b'-')) => {
                (Script::Double((dashes + 1).min(2)), Step::On(at + 1))
            }
            (Script::Escaped(2) | Script::Double(2), Some(b'>')) => {
                (Script::Plain, Step::On(at + 1))
            }
            (Script::Escaped(_), _) => (Script::Escaped(0), Step::On(at + 1)),
            (Script::Double(_), _) => (Script::Double(0), Step::On(at + 1)),
        };
        *self = Self::Script(next);
        step
    }
}

impl Comment {
    /// The state after an octet; `None` at the end of the comment.
    fn next(self, octet: u8) -> Option<Self> {
        Some(match (self, octet) {
            (Self::Start | Self::StartDash | Self::Dashes | Self::Bang, b'>') => return None,
            (Self::Start, b'-') => Self::StartDash,
            (Self::StartDash | Self::Dash | Self::Dashes, b'-') => Self::Dashes,
            (Self::Inside | Self::Bang, b'-') => Self::Dash,
            (Self::Dashes, b'!') => Self::Bang,
            _ => Self::Inside,
        })
    }
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Yes,
    No,
    /// What came ends too early.
    Unknown,
}

/// Whether the octets begin with these; `None` if not.
fn prefix(octets: &[u8], expected: &[u8]) -> Option<Word> {
    let length = octets.len().min(expected.len());
    let is_same = octets.get(..length) == expected.get(..length);
    let found = if length == expected.len() {
        Word::Yes
    } else {
        Word::Unknown
    };
    is_same.then_some(found)
}

/// Whether the octets begin with a mark and a name, in any case, that ends there.
fn word(octets: &[u8], mark: &[u8], name: &[u8]) -> Word {
    match prefix(octets, mark) {
        None => return Word::No,
        Some(Word::Yes) => {}
        Some(_) => return Word::Unknown,
    }
    let octets = octets.get(mark.len()..).unwrap_or_default();
    let length = octets.len().min(name.len());
    let (octets, after) = (octets.get(..length), octets.get(length));
    let is_same = octets
        .zip(name.get(..length))
        .is_some_and(|(octets, name)| octets.eq_ignore_ascii_case(name));
    match after {
        _ if !is_same => Word::No,
        None => Word::Unknown,
        Some(&octet) if is_space(octet) || matches!(octet, b'/' | b'>') => Word::Yes,
        Some(_) => Word::No,
    }
}
