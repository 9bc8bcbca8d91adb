//! What is known of a page while it is read.

use std::sync::Arc;

use super::super::charset::Charset;
use super::super::value::View;
use super::element::{DEEPEST, Splice};
use super::tags::{Namespace, StartTag};
use super::{Broken, Counts, Finished, HtmlOptions, Limits};
use crate::translate::text::Syntax;

pub(super) struct Page {
    pub(super) view: View,
    pub(super) charset: Charset,
    pub(super) options: Arc<HtmlOptions>,
    pub(super) limits: Limits,
    pub(super) depth: u8,
    pub(super) has_base: bool,
    /// Whether the encoding cannot change any more.
    pub(super) has_charset: bool,
    pub(super) counts: Counts,
    pub(super) broken: Option<Broken>,
}

/// What the text of an element is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Css,
    Script(Syntax),
}

/// What is inside of an element, where it is read on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Code(Language),
    /// The markup that browsers without scripts see.
    Noscript,
}

impl Page {
    pub(super) fn new(
        view: View,
        charset: Charset,
        options: Arc<HtmlOptions>,
        limits: Limits,
    ) -> Self {
        Self {
            view,
            charset,
            has_charset: options.encoding_is_certain,
            options,
            limits,
            depth: 0,
            has_base: false,
            counts: Counts::default(),
            broken: None,
        }
    }

    /// The changes of a start tag, in order.
    pub(super) fn start_tag(&mut self, tag: &StartTag<'_>) -> Vec<Splice> {
        // The name, `<` and `>`: there is nothing else.
        if tag.octets.len() <= tag.name.len() + 2 {
            return Vec::new();
        }
        if tag.name == b"meta" && !self.has_charset {
            self.declared_charset(tag.octets);
        }
        self.tag(tag.octets, tag.name, tag.namespace == Namespace::Svg)
    }

    /// What begins behind a start tag.
    pub(super) fn inside(&self, tag: &StartTag<'_>) -> Option<Inside> {
        match (tag.name, tag.namespace) {
            (b"style", Namespace::Html) => {}
            (b"style", Namespace::Svg) if !tag.is_empty => {}
            (b"script", Namespace::Html) => return self.language(tag.octets).map(Inside::Code),
            (b"noscript", Namespace::Html) if self.depth < DEEPEST => {
                return Some(Inside::Noscript);
            }
            _ => return None,
        }
        let is_css = self.is_css(tag.octets);
        is_css.then_some(Inside::Code(Language::Css))
    }

    fn is_css(&self, tag: &[u8]) -> bool {
        let kind = self.attribute(tag, b"type");
        kind.is_none_or(|kind| kind.is_empty() || kind.eq_ignore_ascii_case("text/css"))
    }

    /// In what the text of a script element is, if it is looked through.
    fn language(&self, tag: &[u8]) -> Option<Language> {
        let scripts = self.options.scripts.as_ref()?;
        let kind = self.attribute(tag, b"type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is = |known: &str| kind.eq_ignore_ascii_case(known);
        let ends = |end: &str| {
            let begin = kind.len().checked_sub(end.len());
            begin
                .and_then(|begin| kind.get(begin..))
                .is_some_and(|found| found.eq_ignore_ascii_case(end))
        };
        let is_script = kind.is_empty() || is("module") || ends("javascript") || ends("ecmascript");
        let is_json = is("importmap") || is("speculationrules") || ends("/json") || ends("+json");
        match (is_script, is_json) {
            (true, _) => scripts
                .scripts
                .then_some(Language::Script(Syntax::JavaScript)),
            (_, true) => scripts.json.then_some(Language::Script(Syntax::Json)),
            // Templates, shaders and the like.
            _ => None,
        }
    }

    fn declared_charset(&mut self, tag: &[u8]) {
        let label = self.attribute(tag, b"charset").or_else(|| {
            let http_equiv = self.attribute(tag, b"http-equiv")?;
            let is_type = http_equiv.trim().eq_ignore_ascii_case("content-type");
            let content = is_type.then(|| self.attribute(tag, b"content"))??;
            let at = content.to_ascii_lowercase().find("charset")?;
            let label = content[at + 7..].trim_start().strip_prefix('=')?;
            let label = label.trim_start().trim_start_matches(['"', '\'']);
            let end = label.find(['"', '\'', ';', ' ', '\t', '\n', '\r', '\x0C']);
            Some(label[..end.unwrap_or(label.len())].to_owned())
        });
        let Some(encoding) = label.and_then(|label| Charset::declared(label.trim().as_bytes()))
        else {
            return;
        };
        self.has_charset = true;
        match Charset::new(encoding) {
            Some(charset) => self.charset = charset,
            None => self.broken = Some(Broken::Encoding),
        }
    }

    /// What a page inside this one did.
    pub(super) fn add_inner(&mut self, inner: Finished) {
        self.counts.links += inner.counts.links;
        self.counts.add_skips(&inner.counts);
    }
}
