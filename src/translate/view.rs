//! The links of one application's pages, as one person sees them.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use encoding_rs::Encoding;

use super::body::{self, Broken, Kind, Kinds, Rewrite, TagSuffix, Text};
use super::markup::{CssRewriting, HtmlOptions, HtmlRewriting, Links};
use super::urls::{Table, UrlMap};
use crate::model::{Application, BodyKind, Captured, Host};

/// What pages of an application are looked through with.
#[derive(Debug, Clone)]
pub struct View {
    table: Arc<Table>,
    application: Arc<Application>,
    captured: Option<Captured>,
    host: Host,
    /// Which of its internal URLs answers.
    chosen: usize,
    /// Internal and external path differ.
    changes_root: bool,
}

impl View {
    /// Of an application that was asked for at `host`.
    #[must_use]
    pub fn new(
        table: &Arc<Table>,
        application: &Arc<Application>,
        captured: Option<&Captured>,
        host: &Host,
    ) -> Self {
        Self {
            table: Arc::clone(table),
            application: Arc::clone(application),
            captured: captured.cloned(),
            host: host.clone(),
            chosen: 0,
            changes_root: *application.internal.path() != application.external.path,
        }
    }

    /// This internal URL answers.
    pub const fn choose(&mut self, url: usize) {
        self.chosen = url;
    }

    /// Which types are looked through.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        let body = &self.application.link_translation.body;
        Kinds {
            html: body.contains(&BodyKind::Html),
            css: body.contains(&BodyKind::Css),
        }
    }

    /// What is added to entity tags: a page is another one where any URL is.
    #[must_use]
    pub fn tag_suffix(&self) -> TagSuffix {
        let mut hash = Context::new(&SHA256);
        hash.update(env!("CARGO_PKG_VERSION").as_bytes());
        hash.update(&self.table.fingerprint());
        for part in [self.application.name.as_str(), &self.host.to_string()] {
            hash.update(part.as_bytes());
            hash.update(b"\n");
        }
        let Kinds { html, css } = self.kinds();
        hash.update(&[u8::from(html), u8::from(css)]);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finish().as_ref()[..8]);
        TagSuffix::new(u64::from_be_bytes(first))
    }

    /// A rewriter for one body.
    #[must_use]
    pub fn rewriter(self, kind: Kind, text: Text) -> Box<dyn Rewrite> {
        let own_styles_change = self.kinds().css;
        let links: Arc<dyn Links> = Arc::new(self);
        let Text {
            encoding,
            links: count,
        } = text;
        let rewriter = match kind {
            Kind::Html => page(links, encoding, own_styles_change, count),
            Kind::Css => style_sheet(links, encoding, count),
        };
        rewriter.unwrap_or_else(|| Box::new(Unread))
    }
}

fn page(
    links: Arc<dyn Links>,
    encoding: &'static Encoding,
    own_styles_change: bool,
    count: body::Links,
) -> Option<Box<dyn Rewrite>> {
    let options = HtmlOptions {
        encoding,
        // What the page says of itself has been read.
        encoding_is_certain: true,
        own_styles_change,
        ..HtmlOptions::default()
    };
    let rewriting = HtmlRewriting::new(links, options)?;
    Some(Box::new(Page { rewriting, count }))
}

fn style_sheet(
    links: Arc<dyn Links>,
    encoding: &'static Encoding,
    count: body::Links,
) -> Option<Box<dyn Rewrite>> {
    let rewriting = CssRewriting::new(links, encoding)?;
    Some(Box::new(StyleSheet { rewriting, count }))
}

impl Links for View {
    fn translate(&self, url: &str) -> Option<String> {
        let mut own = UrlMap::new(&self.application, self.captured.as_ref(), &self.host)?;
        own.choose(self.chosen);
        let of_own = own.to_external(url);
        of_own.or_else(|| self.table.to_external(url, &self.host))
    }

    fn changes_root(&self) -> bool {
        self.changes_root
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
