//! A rewriter between the two charset conversions of a body.

use crate::translate::body::charset::{Carry, Inward, Malformed, NotText, Outward};
use crate::translate::body::fields::Skip;
use crate::translate::body::rewrite::{Broken, Rewrite};

/// What a scratch buffer keeps of the room it once needed.
const KEPT: usize = 48 * 1024;

/// So much may come of what is rewritten at once: a piece that becomes twice as long.
const ROOM: usize = 32 * 1024;

/// Less is never rewritten at once: a word of four octets may become a thousand characters.
const LEAST: usize = 16;

/// Rewriting is over before the body is.
#[derive(Debug)]
pub(super) enum Stop {
    /// All that was taken is given: the rest may follow as it comes.
    Passing(Skip),
    /// It is not.
    Lost(Broken),
}

/// See the module.
pub(super) struct Rewriting {
    rewriter: Box<dyn Rewrite>,
    carry: Carry,
    inward: Inward,
    outward: Outward,
    /// What the rewriter gets, and what it gives.
    text: Vec<u8>,
    made: Vec<u8>,
}

impl Rewriting {
    pub(super) fn new(rewriter: Box<dyn Rewrite>, carry: Carry) -> Self {
        Self {
            rewriter,
            carry,
            inward: Inward::new(carry),
            outward: Outward::new(carry),
            text: Vec::new(),
            made: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.text.capacity() + self.made.capacity() + self.rewriter.kept()
    }

    /// So much is rewritten at once, that what it becomes is bounded.
    pub(super) fn slice(&self) -> usize {
        (ROOM / self.rewriter.growth().max(1)).max(LEAST)
    }

    /// Gives itself back as long as it goes on.
    pub(super) fn push(
        mut self: Box<Self>,
        piece: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Box<Self>, Stop> {
        if self.carry == Carry::AsIs {
            self.rewriter.push(piece, out)?;
            return Ok(self);
        }
        clear(&mut self.text);
        clear(&mut self.made);
        let carried = self.inward.push(piece, &mut self.text);
        let pushed = self.rewriter.push(&self.text, &mut self.made);
        self.outward.push(&self.made, out)?;
        let rest = match carried {
            Ok(()) => &[][..],
            Err(Malformed(ref rest)) => rest,
        };
        if let Err(broken) = pushed {
            self.outward.end()?;
            out.extend_from_slice(self.inward.held());
            out.extend_from_slice(rest);
            return Err(broken.into());
        }
        if carried.is_ok() {
            return Ok(self);
        }
        // The rewriter gives what it holds of the text before, and what is malformed follows.
        if let Err(lost @ Stop::Lost(_)) = self.end_text(out) {
            return Err(lost);
        }
        out.extend_from_slice(rest);
        Err(Stop::Passing(Skip::Malformed))
    }

    pub(super) fn end(self, out: &mut Vec<u8>) -> Result<(), Stop> {
        if self.carry == Carry::AsIs {
            return Ok(self.rewriter.end(out)?);
        }
        let incomplete = self.inward.held().to_vec();
        let ended = self.end_text(out);
        if let Err(lost @ Stop::Lost(_)) = ended {
            return Err(lost);
        }
        out.extend_from_slice(&incomplete);
        match ended {
            Ok(()) if !incomplete.is_empty() => Err(Stop::Passing(Skip::Malformed)),
            other => other,
        }
    }

    /// Ends the text for the rewriter.
    fn end_text(self, out: &mut Vec<u8>) -> Result<(), Stop> {
        let mut outward = self.outward;
        let mut made = Vec::new();
        let ended = self.rewriter.end(&mut made);
        outward.push(&made, out)?;
        outward.end()?;
        Ok(ended?)
    }
}

/// Empties a buffer, and gives back what one large piece made it take.
pub(super) fn clear(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT);
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Stopped(_) => Self::Passing(Skip::Rewriter),
            Broken::Parts => Self::Passing(Skip::Parts),
            Broken::Lost(_) => Self::Lost(broken),
        }
    }
}

impl From<NotText> for Stop {
    fn from(_: NotText) -> Self {
        Self::Lost(Broken::Lost("what it gave is not UTF-8"))
    }
}
