//! The beginning of a body, kept until it is certain that it can be translated.

use super::rewriting::{Rewriting, Stop};
use super::{Fatal, HOLD_LONG, HOLD_MADE, HOLD_RAW, HOLD_TEXT};
use crate::translate::body::charset::{Carry, Charset, Unreadable, detect};
use crate::translate::body::codec::{Damaged, Decoder};
use crate::translate::body::fields::{Plan, Skip};
use crate::translate::body::rewrite::{Links, Maker, Text};

/// So much is taken before anything is looked at, that what is kept stays bounded.
const PART: usize = 16 * 1024;

/// A flush is heeded from here on: less could be a byte order mark, and shows nothing.
const WORTH_FLUSHING: usize = 4;

/// See [`Holding::into_parts`].
type Parts = (Vec<u8>, Result<Box<Rewriting>, Option<Skip>>, Vec<u8>);

/// What became of it.
pub(super) enum Held {
    /// More has to be seen. At the end: there was no text.
    Waits,
    /// It is translated.
    Settled,
    /// It stays as it came; or it breaks, where it was committed.
    Refused(Skip, Option<Fatal>),
}

/// See the module.
pub(super) struct Holding {
    plan: Plan,
    links: Links,
    /// All that was taken, to pass it on as it came. Nothing any more once that is not done.
    raw: Vec<u8>,
    /// What it becomes.
    made: Vec<u8>,
    /// Text that is for whoever goes on.
    rest: Vec<u8>,
    /// How much text there was.
    decoded: usize,
    /// How much of it the rewriter got: at most [`hold`](Self::hold), it is settled then.
    tried: usize,
    committed: bool,
    progress: Progress,
}

enum Progress {
    /// For the encoding.
    Looking(Vec<u8>, Maker),
    Trying(Box<Rewriting>),
    /// Rewriting ended, or stopped after it was committed.
    Stopped(Option<Skip>),
}

/// Why it cannot be translated.
enum Hindrance {
    /// What was taken can go on without a rewriter.
    Stops(Skip),
    Breaks(Skip, Fatal),
}

impl Holding {
    pub(super) fn new(plan: Plan, maker: Maker, links: Links) -> Self {
        Self {
            plan,
            links,
            raw: Vec::new(),
            made: Vec::new(),
            rest: Vec::new(),
            decoded: 0,
            tried: 0,
            committed: false,
            progress: Progress::Looking(Vec::new(), maker),
        }
    }

    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(super) fn commit(&mut self) {
        self.committed = true;
        self.raw = Vec::new();
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let progress = match &self.progress {
            Progress::Looking(head, _) => head.capacity(),
            Progress::Trying(rewriting) => rewriting.kept(),
            Progress::Stopped(_) => 0,
        };
        self.raw.capacity() + self.made.capacity() + self.rest.capacity() + progress
    }

    /// What it became so far, what goes on, or the reason where nothing does, and the text that goes there next.
    pub(super) fn into_parts(self) -> Parts {
        match self.progress {
            Progress::Looking(head, _) => (head, Err(None), self.rest),
            Progress::Trying(rewriting) => (self.made, Ok(rewriting), self.rest),
            Progress::Stopped(skip) => (self.made, Err(skip), self.rest),
        }
    }

    pub(super) fn push(&mut self, chunk: &mut &[u8], decoder: &mut Decoder, flush: bool) -> Held {
        loop {
            let (mut part, rest) = chunk.split_at(chunk.len().min(PART));
            let decoded = decoder.decode(&mut part);
            let taken = chunk.len() - rest.len() - part.len();
            let piece = match decoded {
                Ok(piece) => piece,
                // The chunk is not taken, and passes as it came behind what is held.
                Err(damaged) => return self.refused(damaged),
            };
            if self.may_go_back() {
                self.raw.extend_from_slice(&chunk[..taken]);
            }
            *chunk = &chunk[taken..];
            let outcome = match piece {
                Some(piece) => self.take(piece),
                None if chunk.is_empty() => break,
                None => Ok(()),
            };
            if let Err(hindrance) = outcome {
                return self.hindered(hindrance);
            }
            if self.is_settled() {
                return Held::Settled;
            }
            if !self.may_go_back() {
                self.raw = Vec::new();
            } else if self.raw.len() >= HOLD_RAW {
                return self.hindered(Hindrance::Stops(Skip::NoText));
            }
        }
        if !flush || self.decoded < WORTH_FLUSHING {
            return Held::Waits;
        }
        match self.look(true) {
            Ok(()) => Held::Settled,
            Err(hindrance) => self.hindered(hindrance),
        }
    }

    /// The body ends here.
    pub(super) fn end(&mut self, decoder: &Decoder) -> Held {
        if let Err(damaged) = decoder.end() {
            return self.refused(damaged);
        }
        if self.decoded == 0 {
            return Held::Waits;
        }
        if let Err(hindrance) = self.look(true) {
            return self.hindered(hindrance);
        }
        match std::mem::replace(&mut self.progress, Progress::Stopped(None)) {
            Progress::Trying(rewriting) => {
                // Of a body this short no more is left than the beginning in which its encoding is looked for.
                let rest = std::mem::take(&mut self.rest);
                let pushed = rewriting.push(&rest, &mut self.made);
                match pushed.and_then(|rewriting| rewriting.end(&mut self.made)) {
                    Ok(()) => Held::Settled,
                    Err(stop) => self.hindered(stop.into()),
                }
            }
            other => {
                self.progress = other;
                Held::Settled
            }
        }
    }

    /// So much text is rewritten before the first octet is given.
    const fn hold(&self) -> usize {
        match self.plan.waits {
            true => HOLD_LONG,
            false => HOLD_TEXT,
        }
    }

    fn is_settled(&self) -> bool {
        match self.progress {
            Progress::Looking(..) => false,
            Progress::Trying(_) => {
                self.committed || self.tried >= self.hold() || self.made.len() >= HOLD_MADE
            }
            Progress::Stopped(_) => true,
        }
    }

    /// Whether the body may still stay as it came. A head that waits for more does not wait for that.
    const fn may_go_back(&self) -> bool {
        !self.committed && self.tried < HOLD_TEXT
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Hindrance> {
        self.decoded += piece.len();
        if let Progress::Looking(head, _) = &mut self.progress {
            head.extend_from_slice(piece);
            return self.look(false);
        }
        self.try_on(piece)
    }

    /// Begins to rewrite as soon as the encoding is known, which it is where the head is all that
    /// will be waited for.
    fn look(&mut self, whole: bool) -> Result<(), Hindrance> {
        let Progress::Looking(head, _) = &self.progress else {
            return Ok(());
        };
        let charset = match detect(self.plan.kind, self.plan.charset, head, whole) {
            Ok(Some(charset)) => charset,
            Ok(None) => return Ok(()),
            Err(Unreadable) => return Err(Hindrance::Stops(Skip::Charset)),
        };
        self.begin(charset)
    }

    fn begin(&mut self, charset: Charset) -> Result<(), Hindrance> {
        let stopped = Progress::Stopped(None);
        let Progress::Looking(head, maker) = std::mem::replace(&mut self.progress, stopped) else {
            return Ok(());
        };
        let rewriter = maker(Text {
            encoding: charset.encoding,
            only_ascii: charset.carry == Carry::Iso2022Jp,
            links: self.links.clone(),
        });
        let (mark, text) = head.split_at(charset.mark);
        self.made.extend_from_slice(mark);
        self.progress = Progress::Trying(Box::new(Rewriting::new(rewriter, charset.carry)));
        self.try_on(text)
    }

    /// Where the rewriting stops must not depend on where chunks end: behind the first [`HOLD_TEXT`] it does not
    /// keep a body from being translated.
    fn try_on(&mut self, text: &[u8]) -> Result<(), Hindrance> {
        let mut rest = text;
        while !rest.is_empty() && !self.is_settled() {
            let stopped = Progress::Stopped(None);
            let rewriting = match std::mem::replace(&mut self.progress, stopped) {
                Progress::Trying(rewriting) => rewriting,
                other => {
                    self.progress = other;
                    break;
                }
            };
            let mark = match self.tried < HOLD_TEXT {
                true => HOLD_TEXT,
                false => self.hold(),
            };
            let length = rewriting.slice().min(mark - self.tried).min(rest.len());
            let (now, behind) = rest.split_at(length);
            rest = behind;
            match rewriting.push(now, &mut self.made) {
                Ok(rewriting) => self.progress = Progress::Trying(rewriting),
                Err(stop) => {
                    self.rest.extend_from_slice(rest);
                    return Err(stop.into());
                }
            }
            self.tried += now.len();
        }
        self.rest.extend_from_slice(rest);
        Ok(())
    }

    fn refused(&self, damaged: Damaged) -> Held {
        let skip = match damaged {
            Damaged::Content | Damaged::Truncated => Skip::Damaged,
            Damaged::Expands => Skip::Expands,
        };
        Held::Refused(skip, (!self.may_go_back()).then_some(damaged.into()))
    }

    fn hindered(&mut self, hindrance: Hindrance) -> Held {
        match hindrance {
            Hindrance::Stops(skip) if !self.may_go_back() => {
                let stopped = Progress::Stopped(Some(skip));
                if let Progress::Looking(head, _) = std::mem::replace(&mut self.progress, stopped) {
                    self.made = head;
                }
                Held::Settled
            }
            Hindrance::Stops(skip) => Held::Refused(skip, None),
            Hindrance::Breaks(skip, fatal) => {
                Held::Refused(skip, (!self.may_go_back()).then_some(fatal))
            }
        }
    }
}

impl From<Stop> for Hindrance {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Passing(skip) => Self::Stops(skip),
            Stop::Lost(broken) => Self::Breaks(Skip::Rewriter, Fatal::Rewriter(broken)),
        }
    }
}
