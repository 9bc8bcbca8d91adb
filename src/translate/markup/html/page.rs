//! What is known of a page while it is read.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::super::changes::Changes;
use super::super::charset::Charset;
use super::super::value::View;
use super::attributes::tag_name;
use super::element::DEEPEST;
use super::{Broken, Counts, Finished, HtmlOptions, Limits};

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
    pub(super) changes: Changes,
    pub(super) broken: Option<Broken>,
    /// What came and is not decided yet.
    pub(super) input: Vec<u8>,
    /// The position of its first octet, as the parser counts.
    pub(super) origin: usize,
    /// What to do to the input, in order.
    pub(super) events: VecDeque<Event>,
    /// The element whose text is being read, if it is text to the parser.
    pub(super) text_element: Option<&'static str>,
    /// The element in which another language than HTML is read.
    pub(super) foreign: Option<&'static str>,
    /// Whether the text being read is a style in SVG, which any tag ends.
    is_foreign_style: bool,
}

/// What to do when the output reaches a position of the input.
#[derive(Debug)]
pub(super) enum Event {
    Replace {
        range: Range<usize>,
        with: Vec<u8>,
    },
    StyleBegins(usize),
    NoscriptBegins(usize),
    /// The text of one of these.
    Ends(usize),
}

impl Event {
    /// The position up to which the input must have come.
    pub(super) fn end(&self) -> usize {
        match self {
            Self::Replace { range, .. } => range.end,
            Self::StyleBegins(at) | Self::NoscriptBegins(at) | Self::Ends(at) => *at,
        }
    }
}

/// The element if its content is text to the parser.
pub(super) fn text_element(name: &[u8]) -> Option<&'static str> {
    Some(match name {
        b"script" => "script",
        b"style" => "style",
        b"title" => "title",
        b"textarea" => "textarea",
        b"noscript" => "noscript",
        b"iframe" => "iframe",
        b"noembed" => "noembed",
        b"noframes" => "noframes",
        b"xmp" => "xmp",
        b"plaintext" => "plaintext",
        _ => return None,
    })
}

/// The element if its content is of another language than HTML.
pub(super) fn foreign_element(name: &[u8]) -> Option<&'static str> {
    match name {
        b"svg" => Some("svg"),
        b"math" => Some("math"),
        _ => None,
    }
}

/// Longest name of an element that matters.
const LONGEST_NAME: usize = 10;

/// Whether the end of the element matters, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndMatters {
    Yes,
    No,
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
            changes: Changes::default(),
            broken: None,
            input: Vec::new(),
            origin: 0,
            events: VecDeque::new(),
            text_element: None,
            foreign: None,
            is_foreign_style: false,
        }
    }

    /// A start tag, at a position as the parser counts.
    pub(super) fn start_tag(&mut self, range: Range<usize>, language: &str) -> EndMatters {
        let is_html = language == "http://www.w3.org/1999/xhtml";
        let is_svg = language == "http://www.w3.org/2000/svg";
        let Some(begin) = range.start.checked_sub(self.origin) else {
            // One of our own, that says where reading begins.
            return EndMatters::Yes;
        };
        if self.broken.is_some() {
            return EndMatters::No;
        }
        let input = std::mem::take(&mut self.input);
        let tag = input
            .get(begin..range.end - self.origin)
            .unwrap_or_default();
        let written = tag_name(tag);
        let mut lower = [0; LONGEST_NAME];
        let name = match lower.get_mut(..written.len()) {
            Some(lower) => {
                lower.copy_from_slice(written);
                lower.make_ascii_lowercase();
                &*lower
            }
            None => b"",
        };
        if std::mem::take(&mut self.is_foreign_style) {
            self.events.push_back(Event::Ends(range.start));
        }
        // However it was divided into chunks, a tag that is too long passes.
        let is_long = tag.len() > self.limits.tag;
        self.counts.long_tags += u64::from(is_long);
        // The name, `<` and `>`: there is nothing else.
        if tag.len() > written.len() + 2 && !is_long {
            if name == b"meta" && !self.has_charset {
                self.declared_charset(tag);
            }
            for splice in self.tag(tag, name, is_svg) {
                self.events.push_back(Event::Replace {
                    range: range.start + splice.range.start..range.start + splice.range.end,
                    with: splice.with,
                });
            }
        }
        let text = text_element(name).filter(|_| is_html);
        let foreign = foreign_element(name);
        self.foreign = foreign.or_else(|| self.foreign.filter(|_| !is_html));
        self.text_element = text;
        let is_style = name == b"style" && (is_html || is_svg) && !is_long && self.is_css(tag);
        if is_style {
            self.events.push_back(Event::StyleBegins(range.end));
            self.is_foreign_style = is_svg;
        } else if self.text_element == Some("noscript") && !is_long && self.depth < DEEPEST {
            self.events.push_back(Event::NoscriptBegins(range.end));
        }
        self.input = input;
        if text.is_some() || foreign.is_some() || is_style {
            EndMatters::Yes
        } else {
            EndMatters::No
        }
    }

    fn is_css(&self, tag: &[u8]) -> bool {
        let kind = self.attribute(tag, b"type");
        kind.is_none_or(|kind| kind.is_empty() || kind.eq_ignore_ascii_case("text/css"))
    }

    /// The end tag of an element whose end matters.
    pub(super) fn end_tag(&mut self, at: usize, name: &str) {
        let ends_style = std::mem::take(&mut self.is_foreign_style);
        if ends_style || (self.foreign.is_none() && matches!(name, "noscript" | "style")) {
            self.events.push_back(Event::Ends(at));
        }
        if foreign_element(name.as_bytes()).is_some() {
            self.foreign = None;
        }
        self.text_element = None;
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
        self.changes.append(inner.changes);
    }
}
