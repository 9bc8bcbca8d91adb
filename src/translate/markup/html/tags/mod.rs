//! Where the tags of a page are: HTML's tokenization, as far as it decides what is a tag and what is
//! text, and no more of the tree than that needs.
//!
//! | file | holds |
//! |---|---|
//! | `text` | what stands between tags: text, comments, scripts; where it ends |
//! | `open` | a tag whose end is looked for |
//! | `name` | names of elements, and whose text is no markup |
//! | `namespaces` | SVG and MathML, and the HTML inside them |
//!
//! Each octet is looked at once, but for a few at the end of what came: the beginning of something that
//! could be a tag. A tag stays with who reads the page until it is whole, unless it is too long.
//!
//! Of the tree that a browser builds, only the namespaces are known. So a start tag that a browser drops
//! (a `frame` in a `div`) is a tag here, and text of an element that it drops (a `style` in a `select`,
//! in old browsers) is that element's text here.

mod name;
mod namespaces;
mod open;
#[cfg(test)]
mod tests;
mod text;

use std::ops::Range;

use self::name::{Name, text};
use self::namespaces::Namespaces;
use self::open::Open;
use self::text::{Step, Text};

/// What an element is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    Html,
    Svg,
    MathMl,
}

/// A start tag.
#[derive(Debug)]
pub(super) struct StartTag<'a> {
    /// All of it, from `<` to `>`.
    pub(super) octets: &'a [u8],
    /// Where it stands in the input.
    pub(super) range: Range<usize>,
    /// In lower case; empty if it is longer than any name that means anything.
    pub(super) name: &'a [u8],
    pub(super) namespace: Namespace,
    /// Whether it says that nothing is inside, which counts for SVG and MathML.
    pub(super) is_empty: bool,
}

/// Who is told of the tags, in their order. Positions are those in the input.
pub(super) trait Sink {
    fn start_tag(&mut self, tag: &StartTag<'_>);

    /// A start tag begins here that is too long to be held.
    fn long_tag(&mut self, at: usize);

    /// An end tag begins here. In an element whose text is no markup, it is the one that ends it.
    fn end_tag(&mut self, at: usize);
}

/// Reads a page as it comes.
#[derive(Debug)]
pub(super) struct Tags {
    text: Text,
    open: Option<Open>,
    namespaces: Namespaces,
    /// How far what is held was read: the next input begins with it.
    at: usize,
    /// The longest tag that is held.
    limit: usize,
    /// How many octets were looked at.
    #[cfg(test)]
    looked: usize,
}

impl Tags {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            text: Text::Data,
            open: None,
            namespaces: Namespaces::default(),
            at: 0,
            limit,
            #[cfg(test)]
            looked: 0,
        }
    }

    /// Reads what came. Gives up to where it is decided; what follows, no more than the limit and a
    /// few octets, has to be the beginning of the next input.
    pub(super) fn read(&mut self, input: &[u8], sink: &mut impl Sink) -> usize {
        // Nothing is held of a tag that is too long, so that it begins with the input.
        let mut begin = 0;
        let mut at = self.at;
        loop {
            if let Some(open) = &mut self.open {
                let end = open.end(input, at);
                #[cfg(test)]
                {
                    self.looked += end.unwrap_or(input.len()) - at;
                }
                let Some(end) = end else {
                    break;
                };
                self.tag(input, begin..end, sink);
                (begin, at) = (end, end);
                continue;
            }
            let step = self.text.step(input, at, self.namespaces.current());
            let (Step::On(to) | Step::Wait(to) | Step::Tag { at: to, .. }) = step;
            #[cfg(test)]
            {
                self.looked += 1 + to - at;
            }
            begin = to;
            match step {
                Step::On(_) => at = to,
                Step::Wait(_) => {
                    self.at = 0;
                    return to;
                }
                Step::Tag { is_end, .. } => {
                    self.open = Some(Open::new(is_end));
                    at = to + 1 + usize::from(is_end);
                }
            }
        }
        self.unfinished(input, begin, sink)
    }

    /// The input ends inside a tag.
    fn unfinished(&mut self, input: &[u8], begin: usize, sink: &mut impl Sink) -> usize {
        let Some(open) = &mut self.open else {
            return begin;
        };
        let held = input.get(begin..).unwrap_or_default();
        if !open.is_long() {
            if held.len() <= self.limit {
                self.at = held.len();
                return begin;
            }
            let name = Name::new(open.name(held));
            let held = held.get(..self.limit).unwrap_or_default();
            let effect = self.namespaces.effect(open.is_end, name.octets(), held);
            match open.is_end {
                true => sink.end_tag(begin),
                false => sink.long_tag(begin),
            }
            open.passes(name, effect);
        }
        self.at = 0;
        input.len()
    }

    /// A tag is whole.
    fn tag(&mut self, input: &[u8], range: Range<usize>, sink: &mut impl Sink) {
        let Some(open) = self.open.take() else {
            return;
        };
        let is_empty = open.is_self_closing();
        let octets = input.get(range.clone()).unwrap_or_default();
        let (name, effect) = open.passed().unwrap_or_else(|| {
            let name = Name::new(open.name(octets));
            // However it was divided into chunks, a tag that is too long means the same.
            let held = octets.get(..self.limit).unwrap_or(octets);
            (
                name,
                self.namespaces.effect(open.is_end, name.octets(), held),
            )
        });
        let namespace = self.namespaces.of(effect);
        if open.is_long() {
            // It was told where it began.
        } else if open.is_end {
            sink.end_tag(range.start);
        } else if octets.len() > self.limit {
            sink.long_tag(range.start);
        } else {
            sink.start_tag(&StartTag {
                octets,
                range,
                name: name.octets(),
                namespace,
                is_empty,
            });
        }
        self.namespaces.apply(effect, is_empty);
        let is_text = !open.is_end && namespace == Namespace::Html;
        let text = is_text.then(|| text(name.octets())).flatten();
        self.text = text.unwrap_or(Text::Data);
    }
}
