//! What a rewriter of links is to the pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::Encoding;

/// Changes the links of one body, as it streams.
pub trait Rewrite: Send {
    /// Takes octets in an ASCII-compatible encoding and gives what is decided so far.
    ///
    /// # Errors
    /// See [`Broken`]; nothing is asked of this rewriter afterwards.
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken>;

    /// The body ends: gives what was held back.
    ///
    /// # Errors
    /// See [`Broken`].
    fn end(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken>;

    /// How many times longer a text may become at most.
    fn growth(&self) -> usize {
        1
    }

    /// How many octets its buffers take.
    #[cfg(test)]
    fn kept(&self) -> usize {
        0
    }
}

/// Why a rewriter gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// All that was taken, this chunk included, is in `out`, translated or as it came: the rest of
    /// the body may follow it unchanged.
    #[error("rewriting stopped: {0}")]
    Stopped(&'static str),
    /// The same, where what a form sends cannot be taken apart.
    #[error("rewriting stopped: the parts of the form cannot be told apart")]
    Parts,
    /// Something that was taken is not in `out`: a body that went out in part has to break.
    #[error("the rewriter lost octets: {0}")]
    Lost(&'static str),
}

/// What a rewriter is made from.
#[derive(Debug, Clone)]
pub struct Text {
    /// The encoding of what it will get, always ASCII-compatible. Where a page does not say, it is
    /// windows-1252, in which every octet is a character and comes out as it went in.
    pub encoding: &'static Encoding,
    /// Octets beyond ASCII are not those of that encoding, and come out as they went in.
    pub only_ascii: bool,
    /// Where it counts the links it changed.
    pub links: Links,
}

/// Makes the rewriter once the encoding is known.
pub type Maker = Box<dyn FnOnce(Text) -> Box<dyn Rewrite> + Send>;

/// How many links a rewriter changed: its handlers count while the pipeline reads.
#[derive(Debug, Clone, Default)]
pub struct Links(Arc<AtomicU64>);

impl Links {
    /// So many more.
    pub fn add(&self, links: u64) {
        self.0.fetch_add(links, Ordering::Relaxed);
    }

    /// So far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
