//! The links of a page, while it streams.
//!
//! | file | holds |
//! |---|---|
//! | `tags` | where the tags are: what is markup, and what is a script |
//! | `reader` | the way of the octets, from what came to what is put out |
//! | `page` | what is known of the page, and what begins behind a tag |
//! | `element`, `attributes`, `places` | one start tag: where its URLs are, and what changes |
//! | `region` | text that is read on its own: styles, scripts, `noscript` |
//! | `finder` | the same links for who only looks |
//!
//! What changes is spliced into the octets as they came, attribute by attribute, so that nothing but
//! links differs.

mod attributes;
mod element;
mod finder;
mod page;
mod places;
mod reader;
mod region;
mod tags;

use std::sync::Arc;

use encoding_rs::Encoding;

pub(in crate::translate) use self::finder::{Finds, Found, LinkFinder, Use};
use self::page::Page;
use self::reader::Reader;
use super::charset::Charset;
use super::decoded::Edits;
use super::inline::Inline;
use super::links::Links;
use super::output::{Collected, Output};
use super::value::View;
use crate::model::LinkAttribute;
use crate::translate::text::Origins;

/// What one page needs.
#[derive(Debug, Clone)]
pub struct HtmlOptions {
    /// As the header or the octets at the beginning say; a superset of ASCII.
    pub encoding: &'static Encoding,
    /// Whether a `meta` element cannot say otherwise.
    pub encoding_is_certain: bool,
    /// Further attributes that hold a URL.
    pub extra_attributes: Vec<LinkAttribute>,
    /// What of scripts is looked through.
    pub scripts: Option<Scripts>,
    /// Where scripts and styles inside the page are noted down that change, and stay where they may not. Each
    /// waits for its end where a policy names any by its hash.
    pub inline: Inline,
    /// Whether style sheets of the page's own application are translated too, so that no checksum
    /// of them can hold.
    pub own_styles_change: bool,
    /// The same of scripts.
    pub own_scripts_change: bool,
}

/// What of a page's scripts is looked through, and for which hosts.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// Scripts, and attributes that are.
    pub scripts: bool,
    /// Data in JSON.
    pub json: bool,
    /// The published hosts.
    pub origins: Arc<Origins>,
}

impl Default for HtmlOptions {
    fn default() -> Self {
        Self {
            encoding: encoding_rs::UTF_8,
            encoding_is_certain: false,
            extra_attributes: Vec::new(),
            scripts: None,
            inline: Inline::default(),
            own_styles_change: false,
            own_scripts_change: false,
        }
    }
}

/// How much was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// URLs that changed.
    pub links: u64,
    /// `integrity` attributes that went, since their target changes on its way.
    pub integrity_removed: u64,
    /// Tags too long to be held, which passed as they came.
    pub long_tags: u64,
}

impl Counts {
    /// Adds everything but links.
    fn add_skips(&mut self, other: &Self) {
        self.integrity_removed += other.integrity_removed;
        self.long_tags += other.long_tags;
    }
}

/// Why the rest of a page passes as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A `meta` element declares an encoding that is not a superset of ASCII.
    #[error("the page declares an encoding in which links cannot be found")]
    Encoding,
}

/// The end of a page.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// How much was done.
    pub counts: Counts,
    /// Why the rest passed as it came, if it did.
    pub broken: Option<Broken>,
}

/// How much memory a page may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// The longest tag that is held.
    tag: usize,
    /// The longest URL in a style element, and the longest such element that waits for its end.
    style: usize,
}

/// Together with a piece of what came, and a page inside of this one, below 256 KiB.
const LIMITS: Limits = Limits {
    tag: 32 * 1024,
    style: 32 * 1024,
};

/// Of a page inside a page.
const INNER_LIMITS: Limits = Limits {
    tag: 8 * 1024,
    style: 8 * 1024,
};

/// A page whose links are translated while it passes.
pub struct HtmlRewriting {
    reader: Reader,
}

impl HtmlRewriting {
    /// `None` for an encoding that is not a superset of ASCII: such text has to be transcoded
    /// first.
    #[must_use]
    pub fn new(links: Arc<dyn Links>, options: HtmlOptions) -> Option<Self> {
        let charset = Charset::new(options.encoding)?;
        let page = Page::new(View::new(links), charset, Arc::new(options), LIMITS);
        Some(Self {
            reader: Reader::new(page),
        })
    }

    /// Takes what came and adds to `out` whatever is decided: everything but an unfinished tag or
    /// URL.
    ///
    /// # Errors
    ///
    /// Once, when links cannot be found any longer. Nothing is lost: `out` has everything, and
    /// later chunks pass as they come.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        self.reader.feed(chunk, out)
    }

    /// The page ends here.
    pub fn end(self, out: &mut Vec<u8>) -> Finished {
        self.reader.end(out)
    }

    #[cfg(test)]
    pub(in crate::translate) fn kept(&self) -> usize {
        self.reader.kept()
    }

    /// A page inside another: a document of its own, or a part that is hidden from the reader.
    fn inside(page: &Page, is_document: bool) -> Self {
        let charset = if is_document {
            Charset::UTF_8
        } else {
            page.charset
        };
        let options = Arc::clone(&page.options);
        let mut inner = Page::new(page.view.clone(), charset, options, INNER_LIMITS);
        inner.depth = page.depth + 1;
        inner.has_base = !is_document;
        inner.has_charset = true;
        Self {
            reader: Reader::new(inner),
        }
    }

    fn feed<O: Output>(&mut self, chunk: &[u8], out: &mut O) {
        // The rest of the inner page passes; the outer one goes on.
        let _ = self.reader.feed(chunk, out);
    }

    /// The changes of a whole page.
    fn whole(mut self, text: &str) -> (Edits, Finished) {
        let mut collected = Collected::default();
        self.feed(text.as_bytes(), &mut collected);
        let finished = self.reader.end(&mut collected);
        (collected.into_edits(), finished)
    }
}
