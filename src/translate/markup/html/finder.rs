//! The links of a page, found and not changed.

use std::sync::{Arc, Mutex, PoisonError};

use encoding_rs::Encoding;

use super::super::css::{self, StyleText};
use super::super::links::Links;
use super::super::output::Output;
use super::super::{lists, refresh};
use super::attributes::{Attributes, decoded};
use super::tags::{Namespace, Sink, StartTag, Tags};
use super::{Charset, LIMITS, View};

/// What becomes of a link in a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::translate) enum Use {
    /// It is no link: relative ones begin there.
    Base,
    /// People follow it, or the browser does so for them.
    Followed {
        /// To another page, as far as can be seen.
        to_page: bool,
    },
    /// The browser loads it as a part of the page.
    Loaded,
    /// A form is sent there.
    Sent,
}

/// A link as it is written, but for entities.
#[derive(Debug, Clone, Copy)]
pub(in crate::translate) struct Found<'a> {
    /// The element's name; empty where it is longer than any that means anything.
    pub(in crate::translate) element: &'a str,
    /// The attribute's name; empty in the text of a `style` element.
    pub(in crate::translate) attribute: &'static str,
    pub(in crate::translate) url: &'a str,
    pub(in crate::translate) purpose: Use,
}

/// Who is told of links, in their order.
pub(in crate::translate) trait Finds {
    fn found(&mut self, link: Found<'_>);
}

/// Reads a page as it comes. In style sheets relative URLs are passed over, and so is what browsers without
/// scripts see.
pub(in crate::translate) struct LinkFinder {
    tags: Tags,
    /// What came and is not decided: the beginning of a tag.
    held: Vec<u8>,
    eye: Eye,
}

/// What is kept from one piece to the next beside a tag.
struct Eye {
    charset: Charset,
    /// Asks `heard` about the URLs of styles.
    view: View,
    heard: Arc<Heard>,
    style: Option<StyleText>,
}

/// As much as is added at once to what is held.
const PIECE: usize = 8 * 1024;

impl LinkFinder {
    /// `None` for an encoding that is not a superset of ASCII.
    pub(in crate::translate) fn new(encoding: &'static Encoding) -> Option<Self> {
        let heard = Arc::new(Heard::default());
        let links: Arc<dyn Links> = heard.clone();
        Some(Self {
            tags: Tags::new(LIMITS.tag),
            held: Vec::new(),
            eye: Eye {
                charset: Charset::new(encoding)?,
                view: View::new(links),
                heard,
                style: None,
            },
        })
    }

    /// Takes what came.
    pub(in crate::translate) fn push(&mut self, chunk: &[u8], finds: &mut impl Finds) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(PIECE));
            rest = after;
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(piece);
            let mut glance = Glance {
                eye: &mut self.eye,
                finds,
                input: &held,
                done: 0,
            };
            let decided = self.tags.read(&held, &mut glance);
            glance.pass(decided, false);
            held.drain(..decided);
            self.held = held;
        }
    }

    /// The page ends here. A tag that does not end is none.
    pub(in crate::translate) fn end(mut self, finds: &mut impl Finds) {
        let mut glance = Glance {
            eye: &mut self.eye,
            finds,
            input: &self.held,
            done: 0,
        };
        glance.pass(self.held.len(), true);
    }

    #[cfg(test)]
    pub(in crate::translate) fn kept(&self) -> usize {
        let style = self.eye.style.as_ref().map_or(0, StyleText::kept);
        self.held.capacity() + style
    }
}

/// The URLs that a style sheet asks for; none changes.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Links for Heard {
    fn translate(&self, url: &str) -> Option<String> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(url.to_owned());
        None
    }

    fn changes_root(&self) -> bool {
        true
    }
}

/// Nothing is put out.
struct Nowhere;

impl Output for Nowhere {
    fn keep(&mut self, _octets: &[u8]) {}

    fn replace(&mut self, _old: &[u8], _new: &[u8]) {}
}

/// One piece of a page.
struct Glance<'a, F> {
    eye: &'a mut Eye,
    finds: &'a mut F,
    input: &'a [u8],
    /// Up to where text of a style was read.
    done: usize,
}

impl<F: Finds> Glance<'_, F> {
    /// Text up to a position: a style's, if one is open.
    fn pass(&mut self, to: usize, is_last: bool) {
        let text = self.input.get(self.done..to).unwrap_or_default();
        self.done = to;
        let Some(style) = &mut self.eye.style else {
            return;
        };
        style.feed(text, is_last, &self.eye.view, &mut Nowhere);
        if is_last {
            self.eye.style = None;
        }
        self.tell_heard("style", "");
    }

    fn tell_heard(&mut self, element: &str, attribute: &'static str) {
        for url in self.eye.heard.take() {
            self.tell(element, attribute, &url, Use::Loaded);
        }
    }

    fn tell(&mut self, element: &str, attribute: &'static str, url: &str, purpose: Use) {
        if !url.is_empty() {
            self.finds.found(Found {
                element,
                attribute,
                url,
                purpose,
            });
        }
    }

    fn attribute(&self, tag: &[u8], name: &[u8]) -> Option<String> {
        let attribute = Attributes::find(tag, name)?;
        let decoded = decoded(&tag[attribute.value], self.eye.charset)?;
        Some(decoded.text.into_owned())
    }

    /// What a link of this attribute is for, where it has one.
    fn purpose(&self, tag: &StartTag<'_>, name: &'static str) -> Option<Use> {
        let is_svg = tag.namespace == Namespace::Svg;
        let asks = |attribute: &[u8]| self.attribute(tag.octets, attribute).unwrap_or_default();
        Some(match (tag.name, name) {
            (b"base", "href") => Use::Base,
            (b"a", "href") if !is_svg => Use::Followed {
                to_page: Attributes::find(tag.octets, b"download").is_none(),
            },
            (b"a" | b"area", "href" | "xlink:href") => Use::Followed { to_page: false },
            (b"link", "href" | "imagesrcset") => related(&asks(b"rel"))?,
            (b"meta", "content") => {
                let is_refresh = asks(b"http-equiv").trim().eq_ignore_ascii_case("refresh");
                is_refresh.then_some(Use::Followed { to_page: true })?
            }
            (b"form", "action") | (b"button" | b"input", "formaction") => Use::Sent,
            (b"input", "src") => {
                let is_image = asks(b"type").trim().eq_ignore_ascii_case("image");
                is_image.then_some(Use::Loaded)?
            }
            (
                b"script" | b"img" | b"iframe" | b"frame" | b"embed" | b"audio" | b"video"
                | b"source" | b"track",
                "src",
            )
            | (b"img" | b"source", "srcset" | "data-srcset")
            | (b"img" | b"iframe", "data-src")
            | (b"video", "poster")
            | (b"object", "data")
            | (b"body" | b"table" | b"tr" | b"td" | b"th", "background")
            | (_, "style") => Use::Loaded,
            (b"image" | b"use", "href" | "xlink:href") if is_svg => Use::Loaded,
            _ => return None,
        })
    }
}

/// The attributes that are looked at; of each what it holds depends on the element.
const NAMES: [&str; 14] = [
    "href",
    "src",
    "srcset",
    "style",
    "action",
    "formaction",
    "content",
    "data",
    "poster",
    "background",
    "data-src",
    "data-srcset",
    "imagesrcset",
    "xlink:href",
];

/// What a `link` element is for. Most are for machines that ask of themselves, and no browser follows them.
fn related(rel: &str) -> Option<Use> {
    let is = |known: &[&str]| {
        let mut words = rel.split_ascii_whitespace();
        words.any(|word| known.iter().any(|one| word.eq_ignore_ascii_case(one)))
    };
    let loads = [
        "stylesheet",
        "icon",
        "apple-touch-icon",
        "apple-touch-icon-precomposed",
        "mask-icon",
        "manifest",
        "preload",
        "modulepreload",
        "prefetch",
    ];
    is(&loads).then_some(Use::Loaded)
}

impl<F: Finds> Sink for Glance<'_, F> {
    fn start_tag(&mut self, tag: &StartTag<'_>) {
        self.pass(tag.range.start, true);
        // SECURITY: it stands on a terminal, and a page may name its elements as it likes.
        let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-';
        let element = match tag.name.iter().all(is_plain) {
            true => String::from_utf8_lossy(tag.name),
            false => "*".into(),
        };
        let mut seen = [false; NAMES.len()];
        for attribute in Attributes::new(tag.octets) {
            let written = &tag.octets[attribute.name];
            let at = NAMES
                .iter()
                .position(|name| written.eq_ignore_ascii_case(name.as_bytes()));
            // Of several of a name the first one counts, as in browsers.
            let Some(at) = at.filter(|at| !std::mem::replace(&mut seen[*at], true)) else {
                continue;
            };
            let name = NAMES[at];
            let Some(purpose) = self.purpose(tag, name) else {
                continue;
            };
            let Some(value) = decoded(&tag.octets[attribute.value], self.eye.charset) else {
                continue;
            };
            let text = &*value.text;
            match name {
                "style" => {
                    // It asks as it goes, and changes nothing.
                    drop(css::declarations(text, &self.eye.view));
                    self.tell_heard(&element, name);
                }
                "srcset" | "imagesrcset" | "data-srcset" => {
                    for candidate in lists::candidates(text) {
                        self.tell(&element, name, &text[candidate], purpose);
                    }
                }
                "content" => {
                    if let Some(target) = refresh::target(text) {
                        self.tell(&element, name, &text[target], purpose);
                    }
                }
                _ => self.tell(&element, name, text, purpose),
            }
        }
        let is_style = tag.name == b"style"
            && (tag.namespace == Namespace::Html
                || tag.namespace == Namespace::Svg && !tag.is_empty);
        if is_style {
            self.done = tag.range.end;
            self.eye.style = Some(StyleText::new(self.eye.charset, LIMITS.style));
        }
    }

    fn long_tag(&mut self, at: usize) {
        self.pass(at, true);
    }

    fn end_tag(&mut self, at: usize) {
        self.pass(at, true);
    }
}
