//! Links in text that is no markup of ours to parse: JSON, scripts, XML, plain text and form fields,
//! found while they stream.
//!
//! Nothing is parsed beyond what tells a link from other text. A link is an absolute or
//! protocol-relative URL on a published host, exactly; root-relative URLs and bare host names stay.
//! Everything else passes octet by octet, and what is held back is at most one unfinished URL.
//!
//! The search goes from slashes to slashes, however they are written. What stands before them says
//! whether a URL may begin there, what follows is looked up among the [`Origins`], and only then
//! [`Links`] is asked. What is put in is written as what it replaces was.
//!
//! | file | holds |
//! |---|---|
//! | `origins` | the published hosts |
//! | `scan` | the text on its way, over any division into chunks |
//! | `candidate` | one URL, from its scheme to its end |
//! | `around` | what may stand before and behind a URL |
//! | `spelling`, `escapes` | how characters are written, there and back |
//! | `change` | what becomes of a URL |
//! | `tail` | what has to wait for the next chunk |
//! | `xml` | names and declarations in XML that look like addresses and are none |
//!
//! In XML, the values of `xmlns`, `xmlns:…`, `namespace` and `targetNamespace`, the first of each pair
//! in `…:schemaLocation`, declarations (`<!DOCTYPE …>`, with identifiers and entities) and comments stay
//! as they came: the former are names, and a comment is read by nobody. Character data, CDATA sections,
//! processing instructions and all other attributes are looked through.

mod around;
mod candidate;
mod change;
mod escapes;
mod origins;
mod scan;
mod spelling;
mod tail;
mod xml;

use std::sync::Arc;

use encoding_rs::Encoding;

use self::scan::Scanner;
use super::markup::{Charset, Collected, Counts, Edits, Links, Output};

pub use origins::Origins;

/// What a text is written in, and so how links in it are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// JSON, and what is made of it: lines of it, event streams.
    Json,
    /// Scripts.
    JavaScript,
    /// XML of any kind: SVG, feeds, SOAP.
    Xml,
    /// Text without escapes.
    Text,
    /// `application/x-www-form-urlencoded`
    Form,
}

/// A text whose links are translated while it passes.
pub struct TextRewriting {
    links: Arc<dyn Links>,
    scanner: Scanner,
    counts: Counts,
}

impl TextRewriting {
    /// `None` for an encoding that is not a superset of ASCII: such text has to be transcoded
    /// first.
    #[must_use]
    pub fn new(
        links: Arc<dyn Links>,
        origins: Arc<Origins>,
        syntax: Syntax,
        encoding: &'static Encoding,
    ) -> Option<Self> {
        Some(Self {
            links,
            scanner: Scanner::new(Charset::new(encoding)?, syntax, origins),
            counts: Counts::default(),
        })
    }

    /// Takes what came and adds to `out` whatever is decided: everything but an unfinished URL.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.counts.links += self.scanner.feed(chunk, false, &*self.links, out);
    }

    /// The text ends here.
    pub fn end(mut self, out: &mut Vec<u8>) -> Counts {
        self.counts.links += self.scanner.feed(b"", true, &*self.links, out);
        self.counts
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.scanner.kept()
    }
}

/// A script element whose end comes later.
pub(super) struct ScriptText(Scanner);

impl ScriptText {
    pub(super) fn new(charset: Charset, syntax: Syntax, origins: Arc<Origins>) -> Self {
        Self(Scanner::new(charset, syntax, origins))
    }

    /// Returns how many links changed.
    pub(super) fn feed<O: Output>(
        &mut self,
        text: &[u8],
        is_last: bool,
        links: &dyn Links,
        out: &mut O,
    ) -> u64 {
        self.0.feed(text, is_last, links, out)
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.0.kept()
    }
}

/// The changes of a whole text, in UTF-8.
pub(super) fn edits(
    text: &str,
    syntax: Syntax,
    origins: &Arc<Origins>,
    links: &dyn Links,
) -> Edits {
    let mut collected = Collected::default();
    let mut scanner = Scanner::new(Charset::UTF_8, syntax, Arc::clone(origins));
    scanner.feed(text.as_bytes(), true, links, &mut collected);
    collected.into_edits()
}

#[cfg(test)]
mod tests;
