//! The strict head scanner (DESIGN 8, rule 8): stands in front of the parser, over the octets of an
//! HTTP/1 connection, and refuses what a parser would put right unseen.
//!
//! A parser that is lenient makes one clean request of a doubtful one, and who stands behind it
//! never learns that another reader would have found two. So every head is read here by the letter
//! of RFC 9112 before a parser sees any of it, and what follows a head is followed by its framing to
//! where the next head begins. Octets of a body whose length is known cost nothing.

mod fault;
mod framing;
mod line;

pub use fault::Fault;
use framing::Framing;
pub(super) use framing::decimal;
use line::{Field, RequestLine};

/// The most octets of one head, with its request line.
const HEAD: usize = 72 * 1024;

/// The most field lines of one head, or of one trailer section.
const FIELDS: usize = 256;

/// The most octets of one trailer section.
const TRAILERS: usize = HEAD;

/// The most octets of the line of a chunk's size, with its extensions.
const CHUNK_LINE: usize = 256;

/// The most hexadecimal digits of a chunk's size: more would not fit 64 bits.
const CHUNK_DIGITS: usize = 15;

/// What came out of a look at some octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Scanned {
    /// So many of them are good to go on.
    pub passed: usize,
    /// What follows those is not.
    pub fault: Option<Fault>,
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    /// Heads that passed.
    heads: u64,
    /// After the body of this request nothing passes until its answer is known.
    may_upgrade: bool,
}

#[derive(Debug)]
enum State {
    Head(Head),
    /// Octets of a body, so many are left.
    Length(u64),
    ChunkSize {
        searched: usize,
    },
    /// Octets of a chunk, so many are left.
    Chunk(u64),
    /// CR LF behind a chunk.
    ChunkEnd,
    Trailers {
        octets: usize,
        fields: usize,
        searched: usize,
    },
    /// A request to upgrade has passed.
    Waiting,
    /// No longer HTTP.
    Upgraded,
    /// Nothing passes any more.
    Refused {
        fault: Fault,
        head: bool,
    },
}

/// A head of which the end was not found yet. Places count from its first octet.
#[derive(Debug, Default)]
struct Head {
    /// Where the next line begins.
    line: usize,
    /// Where to look for the next end of a line.
    searched: usize,
    fields: usize,
    request: Option<RequestLine>,
    framing: Framing,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// For a connection that begins.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Head(Head::default()),
            heads: 0,
            may_upgrade: false,
        }
    }

    /// How many heads have passed.
    #[must_use]
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether nothing passes until [`answered`](Self::answered) is called.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Whether everything passes from now on.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        matches!(self.state, State::Upgraded)
    }

    /// Whether a request is read whole and no other has begun, as far as this knows: octets that
    /// did not pass are not known here.
    #[must_use]
    pub fn is_between(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.searched == 0)
    }

    /// Whether what comes next belongs to what stands around the octets of a body and has begun:
    /// the line of a chunk's size, what ends a chunk, or a trailer section. `held` says whether
    /// there are octets that did not pass.
    #[must_use]
    pub fn is_between_chunks(&self, held: bool) -> bool {
        match self.state {
            State::ChunkSize { .. } | State::ChunkEnd => held,
            State::Trailers { .. } => true,
            _ => false,
        }
    }

    /// Whether a fault was found in a head: a parser has seen nothing of that request.
    #[must_use]
    pub fn refuses_head(&self) -> bool {
        matches!(self.state, State::Refused { head: true, .. })
    }

    /// The request with this number, counted from 1, was answered; `upgraded` where the connection
    /// speaks another protocol now. Requests are answered in their order, and nothing passes behind
    /// one that asks to upgrade: an answer to an earlier one decides nothing.
    pub fn answered(&mut self, request: u64, upgraded: bool) {
        if request != self.heads {
            return;
        }
        // Its body may still be on its way.
        self.may_upgrade = false;
        if upgraded {
            self.state = State::Upgraded;
        } else if self.waits() {
            self.state = State::Head(Head::default());
        }
    }

    /// Looks at octets that follow those that have passed.
    ///
    /// What did not pass has to be given again, with more behind it. A fault is for good.
    pub fn scan(&mut self, octets: &[u8]) -> Scanned {
        let mut passed = 0;
        loop {
            let rest = &octets[passed..];
            if rest.is_empty() {
                return Scanned {
                    passed,
                    fault: None,
                };
            }
            match self.step(rest) {
                Ok(0) => {
                    return Scanned {
                        passed,
                        fault: None,
                    };
                }
                Ok(more) => passed += more,
                Err(fault) => {
                    let head = matches!(self.state, State::Head(_)) || self.refuses_head();
                    self.state = State::Refused { fault, head };
                    return Scanned {
                        passed,
                        fault: Some(fault),
                    };
                }
            }
        }
    }

    /// One piece of one kind; 0 where more octets are needed.
    fn step(&mut self, octets: &[u8]) -> Result<usize, Fault> {
        match &mut self.state {
            State::Head(head) => {
                let Some((length, framing)) = head.read(octets)? else {
                    return Ok(0);
                };
                self.heads += 1;
                self.may_upgrade = framing.may_upgrade();
                self.state = match framing.body() {
                    framing::Length::Octets(0) => self.behind_body(),
                    framing::Length::Octets(octets) => State::Length(octets),
                    framing::Length::Chunked => State::ChunkSize { searched: 0 },
                };
                Ok(length)
            }
            State::Length(left) => {
                let (taken, over) = take(left, octets);
                if over {
                    self.state = self.behind_body();
                }
                Ok(taken)
            }
            State::ChunkSize { searched } => {
                let Some((size, length)) = chunk_size(octets, searched)? else {
                    return Ok(0);
                };
                self.state = match size {
                    0 => State::Trailers {
                        octets: 0,
                        fields: 0,
                        searched: 0,
                    },
                    size => State::Chunk(size),
                };
                Ok(length)
            }
            State::Chunk(left) => {
                let (taken, over) = take(left, octets);
                if over {
                    self.state = State::ChunkEnd;
                }
                Ok(taken)
            }
            State::ChunkEnd => match octets {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize { searched: 0 };
                    Ok(2)
                }
                [b'\r'] => Ok(0),
                _ => Err(Fault::ChunkEnd),
            },
            State::Trailers {
                octets: before,
                fields,
                searched,
            } => {
                let found = line::next(octets, searched);
                if *before + found.map_or(octets.len(), |found| found.length) > TRAILERS {
                    return Err(Fault::Trailers);
                }
                let Some(found) = found else {
                    return Ok(0);
                };
                let text = found.text(octets)?;
                *searched = 0;
                if text.is_empty() {
                    self.state = self.behind_body();
                } else {
                    Field::parse(text)?;
                    *before += found.length;
                    *fields += 1;
                    if *fields > FIELDS {
                        return Err(Fault::Trailers);
                    }
                }
                Ok(found.length)
            }
            State::Waiting => Ok(0),
            State::Upgraded => Ok(octets.len()),
            State::Refused { fault, .. } => Err(*fault),
        }
    }

    fn behind_body(&self) -> State {
        if self.may_upgrade {
            State::Waiting
        } else {
            State::Head(Head::default())
        }
    }
}

impl Head {
    /// Reads on; where the head is whole, how long it is and what follows it.
    fn read(&mut self, octets: &[u8]) -> Result<Option<(usize, Framing)>, Fault> {
        loop {
            let mut searched = self.searched - self.line;
            let Some(found) = line::next(&octets[self.line..], &mut searched) else {
                self.searched = self.line + searched;
                if octets.len() > HEAD {
                    return Err(Fault::HeadTooLarge);
                }
                return Ok(None);
            };
            let text = found.text(&octets[self.line..])?;
            self.line += found.length;
            self.searched = self.line;
            if self.line > HEAD {
                return Err(Fault::HeadTooLarge);
            }
            let Some(request) = &self.request else {
                self.request = Some(RequestLine::parse(text)?);
                continue;
            };
            if text.is_empty() {
                let framing = std::mem::take(&mut self.framing).whole(request.is_old)?;
                return Ok(Some((self.line, framing)));
            }
            self.fields += 1;
            if self.fields > FIELDS {
                return Err(Fault::TooManyFields);
            }
            self.framing.take(&Field::parse(text)?)?;
        }
    }
}

/// Takes as many octets as there are of those that are left; whether that was all.
fn take(left: &mut u64, octets: &[u8]) -> (usize, bool) {
    let taken = usize::try_from(*left).map_or(octets.len(), |left| left.min(octets.len()));
    *left -= taken as u64;
    (taken, *left == 0)
}

/// The size of a chunk, and how long its line is.
fn chunk_size(octets: &[u8], searched: &mut usize) -> Result<Option<(u64, usize)>, Fault> {
    let found = line::next(octets, searched);
    if found.map_or(octets.len(), |found| found.length) > CHUNK_LINE {
        return Err(Fault::ChunkSize);
    }
    let Some(found) = found else {
        return Ok(None);
    };
    let text = found.text(octets)?;
    let digits = text.iter().take_while(|octet| octet.is_ascii_hexdigit());
    let (digits, extension) = text.split_at(digits.count());
    let is_extension = matches!(extension, [] | [b';', ..]);
    if digits.is_empty() || digits.len() > CHUNK_DIGITS || !is_extension {
        return Err(Fault::ChunkSize);
    }
    if !line::is_value(extension) {
        return Err(Fault::ChunkSize);
    }
    let size = digits.iter().fold(0, |size, &digit| {
        let digit = char::from(digit).to_digit(16).unwrap_or_default();
        size << 4 | u64::from(digit)
    });
    Ok(Some((size, found.length)))
}

#[cfg(test)]
mod tests;
