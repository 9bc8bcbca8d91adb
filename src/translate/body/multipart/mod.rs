//! The parts of what a form with files sends (RFC 7578, RFC 2046 section 5.1), while it streams.
//!
//! ```text
//! Content (preamble) ──▶ Head ──▶ Content ──▶ Head … ──▶ Over (epilogue)
//! ```
//!
//! Fields of the form are looked through, each on its own. Files, heads and what stands between parts come out octet
//! by octet. What is kept is a piece of what came, and a head or a delimiter that is not complete.

#[cfg(test)]
mod tests;

use encoding_rs::Encoding;
use memchr::memmem::{self, Finder};

use super::fields::{Boundary, Field};
use super::rewrite::{Broken, Rewrite};

/// What looks a field through, in the encoding that the form named; `None` where it passes as it comes.
pub type Choose = Box<dyn Fn(&Field, Option<&'static Encoding>) -> Option<Box<dyn Rewrite>> + Send>;

/// The longest head of a part.
const LONGEST_HEAD: usize = 8 * 1024;

/// The most blanks between a boundary and the end of its line.
const LONGEST_PADDING: usize = 64;

/// The longest name of an encoding.
const LONGEST_CHARSET: usize = 40;

/// Larger chunks are taken in pieces, so that memory does not depend on who sends them.
const PIECE: usize = 16 * 1024;

const LINE: &[u8] = b"\r\n";

/// Takes a body apart, and changes links in its fields.
pub struct Parts {
    choose: Choose,
    /// A line's end, two dashes and the boundary.
    delimiter: Finder<'static>,
    state: State,
    /// What the form says that its fields are written in.
    charset: Option<&'static Encoding>,
    /// What is not decided yet.
    window: Vec<u8>,
    /// How many times longer a field may become.
    growth: usize,
}

enum State {
    /// Of a part, or the preamble.
    Content {
        part: Part,
        /// Nothing of it is decided: a delimiter may stand here without a line before it.
        is_start: bool,
    },
    Head {
        /// So much of it has no end in it.
        seen: usize,
    },
    /// Behind the last part.
    Over,
}

enum Part {
    Passes,
    Field(Box<dyn Rewrite>),
    /// The value that names an encoding, as far as it came.
    Charset(Vec<u8>),
}

/// Where the next delimiter is.
enum Next {
    At {
        begin: usize,
        end: usize,
        is_last: bool,
    },
    /// Up to there is none. Behind it may be one that is not complete.
    NotBefore(usize),
}

/// What stands behind a boundary.
enum Behind {
    /// The rest of the delimiter, so long.
    Line {
        length: usize,
        is_last: bool,
    },
    /// Something else: the text only looks like one.
    Not,
    More,
}

impl Parts {
    /// Of a body with this boundary, whose fields may become so many times longer.
    #[must_use]
    pub fn new(boundary: &Boundary, growth: usize, choose: Choose) -> Self {
        let delimiter = [LINE, b"--", boundary.octets()].concat();
        Self {
            choose,
            delimiter: Finder::new(&delimiter).into_owned(),
            state: State::Content {
                part: Part::Passes,
                is_start: true,
            },
            charset: None,
            window: Vec::new(),
            growth,
        }
    }

    /// Goes as far as it can be decided, which it gives.
    fn walk(&mut self, window: &[u8], out: &mut Vec<u8>) -> Result<usize, Broken> {
        let mut at = 0;
        loop {
            let rest = window.get(at..).unwrap_or_default();
            match &mut self.state {
                State::Over => {
                    out.extend_from_slice(rest);
                    return Ok(window.len());
                }
                State::Head { seen } => {
                    let Some(head) = head(rest, *seen) else {
                        if rest.len() >= LONGEST_HEAD {
                            out.extend_from_slice(rest);
                            return Err(Broken::Parts);
                        }
                        *seen = rest.len();
                        return Ok(at);
                    };
                    out.extend_from_slice(head);
                    at += head.len();
                    self.state = State::Content {
                        part: self.part(head),
                        is_start: true,
                    };
                }
                State::Content { part, is_start } => {
                    let next = next(&self.delimiter, rest, *is_start);
                    let (Next::At { begin: to, .. } | Next::NotBefore(to)) = next;
                    part.take(rest.get(..to).unwrap_or_default(), out)?;
                    *is_start &= to == 0;
                    let Next::At { end, is_last, .. } = next else {
                        return Ok(at + to);
                    };
                    self.end_part(out)?;
                    out.extend_from_slice(rest.get(to..end).unwrap_or_default());
                    at += end;
                    self.state = match is_last {
                        true => State::Over,
                        false => State::Head { seen: 0 },
                    };
                }
            }
        }
    }

    /// What is done with a part that has this head.
    fn part(&self, head: &[u8]) -> Part {
        let Some(field) = Field::read(head) else {
            return Part::Passes;
        };
        if field.names_charset() {
            return Part::Charset(Vec::new());
        }
        let rewriter = (self.choose)(&field, self.charset);
        rewriter.map_or(Part::Passes, Part::Field)
    }

    fn end_part(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let State::Content { part, .. } = &mut self.state else {
            return Ok(());
        };
        match std::mem::replace(part, Part::Passes) {
            Part::Passes => Ok(()),
            Part::Charset(name) => {
                self.charset = Encoding::for_label(&name);
                Ok(())
            }
            Part::Field(rewriter) => passed(rewriter.end(out)).map(drop),
        }
    }
}

impl Part {
    fn take(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        match self {
            // Once it gave up, the rest of the field passes.
            Self::Field(rewriter) if !octets.is_empty() => {
                if !passed(rewriter.push(octets, out))? {
                    *self = Self::Passes;
                }
            }
            Self::Field(_) => {}
            Self::Charset(name) => {
                // One octet more says that it is too long.
                let room = (LONGEST_CHARSET + 1).saturating_sub(name.len());
                name.extend(octets.iter().take(room));
                out.extend_from_slice(octets);
            }
            Self::Passes => out.extend_from_slice(octets),
        }
        Ok(())
    }
}

/// Whether a rewriter goes on. One that stopped has lost nothing.
fn passed(outcome: Result<(), Broken>) -> Result<bool, Broken> {
    match outcome {
        Ok(()) => Ok(true),
        Err(Broken::Stopped(_) | Broken::Parts) => Ok(false),
        Err(lost @ Broken::Lost(_)) => Err(lost),
    }
}

/// The head that a part begins with, and the empty line behind it, if it is there.
fn head(rest: &[u8], seen: usize) -> Option<&[u8]> {
    const END: &[u8] = b"\r\n\r\n";
    if rest.starts_with(LINE) {
        return Some(LINE);
    }
    let rest = rest.get(..LONGEST_HEAD).unwrap_or(rest);
    let from = seen.saturating_sub(END.len() - 1);
    let found = memmem::find(rest.get(from..)?, END)?;
    rest.get(..from + found + END.len())
}

/// Looks for a delimiter.
fn next(delimiter: &Finder<'_>, text: &[u8], is_start: bool) -> Next {
    let needle = delimiter.needle();
    let mut from = 0;
    if is_start {
        // The line before it is the one that ends a head, or nothing came before.
        let dashes = needle.strip_prefix(LINE).unwrap_or(needle);
        if dashes.starts_with(text) {
            return Next::NotBefore(0);
        }
        if text.starts_with(dashes)
            && let Some(next) = delimited(text, 0, dashes.len())
        {
            return next;
        }
    }
    while let Some(found) = delimiter.find(text.get(from..).unwrap_or_default()) {
        let begin = from + found;
        from = begin + needle.len();
        if let Some(next) = delimited(text, begin, from) {
            return next;
        }
    }
    let begins = |&at: &usize| needle.starts_with(text.get(at..).unwrap_or_default());
    let first = from.max((text.len() + 1).saturating_sub(needle.len()));
    Next::NotBefore((first..text.len()).find(begins).unwrap_or(text.len()))
}

/// What a boundary that ends there is; `None` where it is no delimiter.
fn delimited(text: &[u8], begin: usize, end: usize) -> Option<Next> {
    match behind(text.get(end..).unwrap_or_default()) {
        Behind::Line { length, is_last } => Some(Next::At {
            begin,
            end: end + length,
            is_last,
        }),
        Behind::More => Some(Next::NotBefore(begin)),
        Behind::Not => None,
    }
}

fn behind(rest: &[u8]) -> Behind {
    if rest.starts_with(b"--") {
        return Behind::Line {
            length: 2,
            is_last: true,
        };
    }
    let blanks = rest.iter().take(LONGEST_PADDING + 1);
    let blanks = blanks
        .take_while(|octet| matches!(octet, b' ' | b'\t'))
        .count();
    match rest.get(blanks..).unwrap_or_default() {
        _ if blanks > LONGEST_PADDING => Behind::Not,
        [b'\r', b'\n', ..] => Behind::Line {
            length: blanks + LINE.len(),
            is_last: false,
        },
        [] | [b'\r'] => Behind::More,
        [b'-'] if blanks == 0 => Behind::More,
        _ => Behind::Not,
    }
}

impl Rewrite for Parts {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(PIECE));
            rest = behind;
            let mut window = std::mem::take(&mut self.window);
            window.extend_from_slice(piece);
            match self.walk(&window, out) {
                Ok(decided) => {
                    window.drain(..decided);
                    self.window = window;
                }
                Err(broken) => {
                    out.extend_from_slice(rest);
                    return Err(broken);
                }
            }
        }
        Ok(())
    }

    /// A body that does not come to its end is not one of parts.
    fn end(mut self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        let window = std::mem::take(&mut self.window);
        match &mut self.state {
            State::Over => return Ok(()),
            State::Head { .. } => out.extend_from_slice(&window),
            State::Content { part, .. } => {
                part.take(&window, out)?;
                self.end_part(out)?;
            }
        }
        Err(Broken::Parts)
    }

    fn growth(&self) -> usize {
        self.growth
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        let part = match &self.state {
            State::Content {
                part: Part::Field(rewriter),
                ..
            } => rewriter.kept(),
            _ => 0,
        };
        self.window.capacity() + part
    }
}
