//! A body on its way through a rewriter: decode, charset, rewrite, charset, encode.
//!
//! ```text
//! Holding ──▶ Rewriting ──▶ Passing ──▶ Over
//!    └──────▶ Untouched
//! ```
//!
//! Before the first octet is given, whatever goes wrong leaves the body as it came, coding and all.
//! After it, a rewriter that gives up or malformed text ends the rewriting, and the rest is still
//! decoded and encoded. A body that does not decode any more breaks: never a clean half page.
//!
//! Memory for a response, the codecs' own windows apart: while holding, [`HOLD_RAW`] as it came and [`HOLD_MADE`]
//! that the rewriter made of it; later scratch pieces of 48 KiB; `out` is filled to [`ENOUGH`] and what one slice
//! becomes. A slice is shorter where a rewriter may make more of it. Together with the rewriter less than 256 KiB
//! between two steps, whatever the page.

mod hold;
mod rewriting;
#[cfg(test)]
mod tests;

use crate::translate::body::codec::{Damaged, Decoder, EncodeFailed, Encoder, Expansion};
use crate::translate::body::fields::{Plan, Skip};
use crate::translate::body::rewrite::{Broken, Links, Maker};
use hold::{Held, Holding};
use rewriting::{Rewriting, Stop};

/// So much text is rewritten before the first octet is given, unless the application flushes.
pub const HOLD_TEXT: usize = 16 * 1024;

/// The same where the head waits for more of a body. What came is kept no longer for that.
pub const HOLD_LONG: usize = 48 * 1024;

/// No more is waited for once so much has been made of it.
pub const HOLD_MADE: usize = 64 * 1024;

/// The most that is kept of what came, until there is text to decide by.
pub const HOLD_RAW: usize = 32 * 1024;

/// A step ends when it has given so much.
pub const ENOUGH: usize = 32 * 1024;

/// What a page that is not translated whole is counted under, and how long it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Octets of the application.
    pub taken: u64,
    /// Octets for the browser.
    pub given: u64,
    /// Links that were changed.
    pub links: u64,
    /// Why the body passed untouched, or why its rewriting stopped half way.
    pub skip: Option<Skip>,
}

/// Whether the fields of the answer are those of a translated body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They are: see [`mark_translated`](crate::translate::body::fields::mark_translated).
    Translated,
    /// The body goes out as it came, and so does the head.
    Untouched(Skip),
}

/// Whether a step took its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// All of it, and nothing more comes of it.
    Done,
    /// `out` is full enough to be sent on: call again with the rest, even if it is empty.
    More,
}

/// The body cannot be ended cleanly: its stream is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The application's fault.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Ours.
    #[error(transparent)]
    Encode(#[from] EncodeFailed),
    /// Ours.
    #[error(transparent)]
    Rewriter(Broken),
    /// It was used after its end or an error.
    #[error("the body is over")]
    Over,
}

/// One body while it is translated.
pub struct Translating {
    state: State,
    decoder: Decoder,
    encoder: Option<Encoder>,
    /// What a piece became, before it is encoded.
    text: Vec<u8>,
    /// What is left of a piece, since `out` is full enough.
    rest: Vec<u8>,
    decision: Option<Decision>,
    links: Links,
    counts: Counts,
}

enum State {
    /// Nothing was given yet.
    Holding(Box<Holding>),
    /// As it came.
    Untouched,
    Rewriting(Box<Rewriting>),
    /// Decoded and encoded only.
    Passing,
    /// It ended, or broke.
    Over,
}

impl Translating {
    /// For one body; `maker` is called once its encoding is known.
    #[must_use]
    pub fn new(plan: Plan, maker: Maker) -> Self {
        Self::with_expansion(plan, maker, Expansion::default())
    }

    /// With another bound for what is unpacked.
    #[must_use]
    pub fn with_expansion(plan: Plan, maker: Maker, expansion: Expansion) -> Self {
        let links = Links::default();
        Self {
            state: State::Holding(Box::new(Holding::new(plan, maker, links.clone()))),
            decoder: Decoder::new(plan.coding, expansion),
            encoder: Some(Encoder::new(plan.coding)),
            text: Vec::new(),
            rest: Vec::new(),
            decision: None,
            links,
            counts: Counts::default(),
        }
    }

    /// What the head of the answer may say; `None` until then, while nothing is given either.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        self.decision
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            links: self.links.count(),
            ..self.counts
        }
    }

    /// Takes a chunk whole. What `out` grows by is bounded by the coding's [`Expansion`] alone:
    /// the data path takes [`step`](Self::step)s.
    ///
    /// # Errors
    /// Where the body breaks.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>, flush: bool) -> Result<(), Fatal> {
        let mut rest = chunk;
        let mut piece = Vec::new();
        while self.step(&mut rest, &mut piece, flush)? == Step::More {
            out.append(&mut piece);
        }
        out.append(&mut piece);
        Ok(())
    }

    /// Takes from the front of `chunk` until `out` holds [`ENOUGH`], or all is taken. With `flush`
    /// all that can be given of it is: the application is waiting, or was.
    ///
    /// # Errors
    /// Where the body breaks. What is in `out` then belongs to it.
    pub fn step(
        &mut self,
        chunk: &mut &[u8],
        out: &mut Vec<u8>,
        flush: bool,
    ) -> Result<Step, Fatal> {
        let (came, before) = (chunk.len(), out.len());
        let done = self.advance(chunk, out, flush);
        self.counts.taken += (came - chunk.len()) as u64;
        self.counts.given += (out.len() - before) as u64;
        done
    }

    /// The body ends here.
    ///
    /// # Errors
    /// Where it may not end cleanly. What is in `out` then belongs to it.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fatal> {
        let before = out.len();
        let done = self.finish(out);
        self.counts.given += (out.len() - before) as u64;
        done
    }

    /// Settles that the body is translated, before it is known that it can be: for a head that has
    /// to go out while the application still thinks about the body.
    pub fn commit(&mut self) {
        if let State::Holding(held) = &mut self.state {
            held.commit();
            self.decision = Some(Decision::Translated);
        }
    }

    /// What is kept beside `out` and the codecs.
    #[cfg(test)]
    pub(in crate::translate) fn kept(&self) -> usize {
        let state = match &self.state {
            State::Holding(held) => held.kept(),
            State::Rewriting(rewriting) => rewriting.kept(),
            State::Untouched | State::Passing | State::Over => 0,
        };
        self.text.capacity() + self.rest.capacity() + state
    }

    fn advance(
        &mut self,
        chunk: &mut &[u8],
        out: &mut Vec<u8>,
        flush: bool,
    ) -> Result<Step, Fatal> {
        loop {
            if out.len() >= ENOUGH {
                return Ok(Step::More);
            }
            // Whatever returns early from here leaves the body over.
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Err(Fatal::Over),
                State::Untouched => {
                    let (now, rest) = chunk.split_at(chunk.len().min(ENOUGH));
                    out.extend_from_slice(now);
                    *chunk = rest;
                    self.state = State::Untouched;
                }
                State::Holding(mut held) => {
                    match held.push(chunk, &mut self.decoder, flush) {
                        Held::Waits => {
                            self.state = State::Holding(held);
                            return Ok(Step::Done);
                        }
                        Held::Settled => self.settle(*held, out)?,
                        Held::Refused(skip, fatal) => self.give_up(&held, skip, fatal, out)?,
                    }
                    continue;
                }
                State::Rewriting(rewriting) => {
                    if self.piece(Some(rewriting), chunk, out)? {
                        continue;
                    }
                }
                State::Passing => {
                    if self.piece(None, chunk, out)? {
                        continue;
                    }
                }
            }
            if !chunk.is_empty() {
                continue;
            }
            if flush && let Some(encoder) = &mut self.encoder {
                encoder.flush(out)?;
            }
            return Ok(Step::Done);
        }
    }

    /// Takes one piece through; `false` where there is none.
    fn piece(
        &mut self,
        rewriting: Option<Box<Rewriting>>,
        chunk: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, Fatal> {
        let encoder = self.encoder.as_mut().ok_or(Fatal::Over)?;
        let left = std::mem::take(&mut self.rest);
        let piece = match left.is_empty() {
            true => self.decoder.decode(chunk)?,
            false => Some(&*left),
        };
        let Some(mut rest) = piece else {
            self.state = rewriting.map_or(State::Passing, State::Rewriting);
            return Ok(false);
        };
        let mut going = rewriting;
        while let Some(rewriting) = going.take() {
            if rest.is_empty() || out.len() >= ENOUGH {
                self.rest.extend_from_slice(rest);
                self.state = State::Rewriting(rewriting);
                return Ok(true);
            }
            let (slice, behind) = rest.split_at(rest.len().min(rewriting.slice()));
            rest = behind;
            // What needs no encoder is not copied again.
            let result = if encoder.is_identity() {
                rewriting.push(slice, out)
            } else {
                rewriting::clear(&mut self.text);
                let result = rewriting.push(slice, &mut self.text);
                encoder.encode(&self.text, out)?;
                result
            };
            going = match result {
                Ok(rewriting) => Some(rewriting),
                Err(Stop::Passing(skip)) => {
                    self.counts.skip = Some(skip);
                    None
                }
                Err(Stop::Lost(broken)) => return Err(Fatal::Rewriter(broken)),
            };
        }
        encoder.encode(rest, out)?;
        self.state = State::Passing;
        Ok(true)
    }

    /// Nothing stands against translating: gives what was held.
    fn settle(&mut self, held: Holding, out: &mut Vec<u8>) -> Result<(), Fatal> {
        let encoder = self.encoder.as_mut().ok_or(Fatal::Over)?;
        self.decision = Some(Decision::Translated);
        let (made, state, rest) = held.into_parts();
        self.rest = rest;
        match encoder.is_identity() && out.is_empty() {
            true => *out = made,
            false => encoder.encode(&made, out)?,
        }
        self.state = match state {
            Ok(rewriting) => State::Rewriting(rewriting),
            Err(skip) => {
                self.counts.skip = skip;
                State::Passing
            }
        };
        Ok(())
    }

    /// Lets the body pass as it came, unless the head said already that it does not.
    fn give_up(
        &mut self,
        held: &Holding,
        skip: Skip,
        fatal: Option<Fatal>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fatal> {
        self.counts.skip = Some(skip);
        if let Some(fatal) = fatal {
            return Err(fatal);
        }
        self.decision = Some(Decision::Untouched(skip));
        out.extend_from_slice(held.raw());
        self.state = State::Untouched;
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Fatal> {
        let mut last = Vec::new();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return Err(Fatal::Over),
            State::Untouched => return Ok(()),
            State::Holding(mut held) => match held.end(&self.decoder) {
                Held::Refused(skip, fatal) => {
                    self.give_up(&held, skip, fatal, out)?;
                    self.state = State::Over;
                    return Ok(());
                }
                Held::Waits => {
                    self.decision = Some(Decision::Translated);
                    out.extend_from_slice(held.raw());
                    return Ok(());
                }
                Held::Settled => {
                    self.decision = Some(Decision::Translated);
                    let (mut made, state, rest) = held.into_parts();
                    // Behind a rewriter that stopped.
                    made.extend_from_slice(&rest);
                    last = made;
                    self.counts.skip = state.err().flatten();
                }
            },
            State::Rewriting(rewriting) => {
                self.decoder.end()?;
                match rewriting.end(&mut last) {
                    Ok(()) => {}
                    Err(Stop::Passing(skip)) => self.counts.skip = Some(skip),
                    Err(Stop::Lost(broken)) => return Err(Fatal::Rewriter(broken)),
                }
            }
            State::Passing => self.decoder.end()?,
        }
        let mut encoder = self.encoder.take().ok_or(Fatal::Over)?;
        encoder.encode(&last, out)?;
        encoder.end(out)?;
        Ok(())
    }
}
