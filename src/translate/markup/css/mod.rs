//! The URLs of a style sheet, while it streams.
//!
//! Nothing is parsed beyond what tells a URL from other text: strings, comments, `url(…)`,
//! `@import` and functions whose strings are URLs. Everything else passes octet by octet, and what
//! is held back is at most one unfinished token.

mod names;
mod pass;
mod scan;
mod tokens;

use std::sync::Arc;

use encoding_rs::Encoding;

use self::scan::Scanner;
use super::charset::Charset;
use super::decoded::Edits;
use super::html::Counts;
use super::links::Links;
use super::output::{Collected, Output};
use super::value::View;

/// A style sheet whose links are translated while it passes.
pub struct CssRewriting {
    view: View,
    scanner: Scanner,
    counts: Counts,
}

/// A URL longer than this passes as it came.
const LONGEST_TOKEN: usize = 32 * 1024;

impl CssRewriting {
    /// `None` for an encoding that is not a superset of ASCII: such text has to be transcoded
    /// first.
    #[must_use]
    pub fn new(links: Arc<dyn Links>, encoding: &'static Encoding) -> Option<Self> {
        Some(Self {
            view: View::new(links),
            scanner: Scanner::new(Charset::new(encoding)?, LONGEST_TOKEN),
            counts: Counts::default(),
        })
    }

    /// Takes what came and adds to `out` whatever is decided.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.counts.links += self.scanner.feed(chunk, false, &self.view, out);
    }

    /// The style sheet ends here.
    pub fn end(mut self, out: &mut Vec<u8>) -> Counts {
        self.counts.links += self.scanner.feed(b"", true, &self.view, out);
        self.counts
    }

    #[cfg(test)]
    pub(in crate::translate) fn kept(&self) -> usize {
        self.scanner.kept()
    }
}

/// A style element whose end comes later.
pub(super) struct StyleText(Scanner);

impl StyleText {
    pub(super) fn new(charset: Charset, longest_token: usize) -> Self {
        Self(Scanner::new(charset, longest_token))
    }

    /// Returns how many links changed.
    pub(super) fn feed<O: Output>(
        &mut self,
        text: &[u8],
        is_last: bool,
        view: &View,
        out: &mut O,
    ) -> u64 {
        self.0.feed(text, is_last, view, out)
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.0.kept()
    }
}

/// The changes of a whole text: a `style` attribute.
pub(super) fn declarations(text: &str, view: &View) -> Edits {
    // Without a function there is no URL.
    if memchr::memchr(b'(', text.as_bytes()).is_none() {
        return Edits::new();
    }
    sheet(text, view)
}

/// The changes of a whole style sheet.
pub(super) fn sheet(text: &str, view: &View) -> Edits {
    let mut collected = Collected::default();
    Scanner::new(Charset::UTF_8, text.len()).feed(text.as_bytes(), true, view, &mut collected);
    collected.into_edits()
}
