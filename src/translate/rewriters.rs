//! What looks one body through, by its kind.

use std::sync::Arc;

use super::body::{self, Broken, Rewrite, Text};
use super::markup::{CssRewriting, HtmlOptions, HtmlRewriting, Inline, Links, Scripts};
use super::replace::Replacing;
use super::report::Report;
use super::text::{Syntax, TextRewriting};
use super::view::View;
use crate::model::BodyKind;

/// What a body's rewriter needs beside the body.
pub struct Rewriting {
    /// Whose links they are.
    pub view: View,
    /// Notes them down.
    pub report: Option<Report>,
    /// Notes down which code inside a page changes, where a policy names such code by its hash.
    pub inline: Inline,
    /// Whether data inside pages is left alone, as data of its own would be.
    pub keeps_data: bool,
}

impl Rewriting {
    /// Looks through a body of this kind.
    #[must_use]
    pub fn rewriter(self, kind: BodyKind, text: Text) -> Box<dyn Rewrite> {
        // Where a policy names code by its hash, words inside it would be others than it names.
        let words = match self.inline.is_named() {
            true => None,
            false => self.view.words(kind, &text),
        };
        let rewriter = self.links(kind, text);
        let rewriter = rewriter.unwrap_or_else(|| Box::new(Unread));
        match words {
            Some(words) => Box::new(Replacing::new(words, rewriter)),
            None => rewriter,
        }
    }

    /// `None` for an encoding that nothing is found in.
    fn links(self, kind: BodyKind, text: Text) -> Option<Box<dyn Rewrite>> {
        let Text {
            encoding,
            links: count,
            ..
        } = text;
        let settings = self.view.settings();
        let options = HtmlOptions {
            encoding,
            // What the page says of itself has been read.
            encoding_is_certain: true,
            extra_attributes: settings.attributes.clone(),
            own_styles_change: settings.body.contains(&BodyKind::Css),
            own_scripts_change: settings.body.contains(&BodyKind::JavaScript),
            scripts: self.scripts(),
            inline: self.inline.clone(),
        };
        let origins = Arc::clone(self.view.table().inside());
        let links = match self.report {
            Some(report) => report.of(self.view.links()),
            None => self.view.links(),
        };
        let syntax = match kind {
            BodyKind::Html => {
                let rewriting = HtmlRewriting::new(links, options)?;
                return Some(Box::new(Page { rewriting, count }));
            }
            BodyKind::Css => {
                let rewriting = CssRewriting::new(links, encoding)?;
                return Some(Box::new(StyleSheet { rewriting, count }));
            }
            BodyKind::Json => Syntax::Json,
            BodyKind::JavaScript => Syntax::JavaScript,
            BodyKind::Xml => Syntax::Xml,
            BodyKind::Text => Syntax::Text,
        };
        let rewriting = TextRewriting::new(links, origins, syntax, encoding)?;
        Some(Box::new(Data { rewriting, count }))
    }

    /// What of a page's scripts is looked through.
    fn scripts(&self) -> Option<Scripts> {
        let settings = self.view.settings();
        let is_on = |kind| !self.keeps_data && settings.body.contains(&kind);
        let (scripts, json) = (is_on(BodyKind::JavaScript), is_on(BodyKind::Json));
        (scripts || json).then(|| Scripts {
            scripts,
            json,
            origins: Arc::clone(self.view.table().inside()),
        })
    }
}

/// Looks through data that somebody sends back: its external URLs become internal.
#[must_use]
pub fn returning(view: &View, syntax: Syntax, text: Text) -> Box<dyn Rewrite> {
    let Text {
        encoding,
        links: count,
        ..
    } = text;
    let origins = Arc::clone(view.table().outside());
    let links: Arc<dyn Links> = Arc::new(Inwards(view.clone()));
    match TextRewriting::new(links, origins, syntax, encoding) {
        Some(rewriting) => Box::new(Data { rewriting, count }),
        None => Box::new(Unread),
    }
}

/// External URLs, as applications know them.
struct Inwards(View);

impl Links for Inwards {
    fn translate(&self, url: &str) -> Option<String> {
        self.0.table().to_internal(url)
    }

    fn changes_root(&self) -> bool {
        false
    }
}

struct Page {
    rewriting: HtmlRewriting,
    count: body::Links,
}

impl Rewrite for Page {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let pushed = self.rewriting.push(chunk, out);
        pushed.map_err(|_| Broken::Stopped("links cannot be found in the rest of the page"))
    }

    fn end(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        let finished = self.rewriting.end(out);
        self.count.add(finished.counts.links);
        Ok(())
    }
}

struct StyleSheet {
    rewriting: CssRewriting,
    count: body::Links,
}

impl Rewrite for StyleSheet {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        self.rewriting.push(chunk, out);
        Ok(())
    }

    fn end(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        let counts = self.rewriting.end(out);
        self.count.add(counts.links);
        Ok(())
    }
}

struct Data {
    rewriting: TextRewriting,
    count: body::Links,
}

impl Rewrite for Data {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        self.rewriting.push(chunk, out);
        Ok(())
    }

    fn end(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        let counts = self.rewriting.end(out);
        self.count.add(counts.links);
        Ok(())
    }
}

/// For an encoding that nothing is found in, which the way there excludes.
struct Unread;

impl Rewrite for Unread {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        out.extend_from_slice(chunk);
        Err(Broken::Stopped("nothing is found in this encoding"))
    }

    fn end(self: Box<Self>, _out: &mut Vec<u8>) -> Result<(), Broken> {
        Ok(())
    }
}
