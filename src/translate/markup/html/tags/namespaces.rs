//! SVG and MathML inside of HTML, HTML inside of those, and so on.
//!
//! The other elements that are open are not known, so that pages nobody should write are read otherwise
//! than by a browser: a `p` inside of two `svg` elements leaves one of them only, `math` inside of `svg`
//! is MathML, and right inside of a `desc` element no CDATA section is known.

use super::super::attributes::Attributes;
use super::Namespace;
use super::name::leaves;

/// Deeper than this, an element takes the place of the one around it: no page is that deep, and
/// memory does not grow with a page.
const DEEPEST: usize = 128;

/// The namespaces of open elements, each where it differs from the one around it or begins anew.
#[derive(Debug, Default)]
pub(super) struct Namespaces(Vec<Namespace>);

/// What a tag does to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// An `svg` or `math` element begins, itself in that namespace.
    Enter(Namespace),
    /// An element begins with HTML inside (HTML, "integration point").
    EnterHtml,
    /// An element ends, before the tag if it is a start tag.
    Leave,
}

/// HTML inside of SVG.
fn is_svg_point(name: &[u8]) -> bool {
    matches!(name, b"desc" | b"title" | b"foreignobject")
}

/// HTML inside of MathML.
fn is_math_point(name: &[u8]) -> bool {
    matches!(name, b"mi" | b"mo" | b"mn" | b"ms" | b"mtext")
}

const ANNOTATION: &[u8] = b"annotation-xml";

impl Namespaces {
    /// The one that the next tag is in.
    pub(super) fn current(&self) -> Namespace {
        self.0.last().copied().unwrap_or(Namespace::Html)
    }

    /// The one around it.
    fn outer(&self) -> Namespace {
        let at = self.0.len().checked_sub(2);
        let outer = at.and_then(|at| self.0.get(at));
        outer.copied().unwrap_or(Namespace::Html)
    }

    /// What a tag does, by its name in lower case and its octets.
    pub(super) fn effect(&self, is_end: bool, name: &[u8], tag: &[u8]) -> Effect {
        let current = self.current();
        if is_end {
            return self.effect_of_end(current, name);
        }
        match (current, name) {
            (_, b"svg") => Effect::Enter(Namespace::Svg),
            (_, b"math") => Effect::Enter(Namespace::MathMl),
            (Namespace::Html, _) => Effect::Nothing,
            (_, b"font") => {
                let has = |name: &[u8]| Attributes::find(tag, name).is_some();
                if has(b"color") || has(b"face") || has(b"size") {
                    Effect::Leave
                } else {
                    Effect::Nothing
                }
            }
            (_, name) if leaves(name) => Effect::Leave,
            (Namespace::Svg, name) if is_svg_point(name) => Effect::EnterHtml,
            (Namespace::MathMl, name) if is_math_point(name) => Effect::EnterHtml,
            (Namespace::MathMl, ANNOTATION) if is_html(tag) => Effect::EnterHtml,
            _ => Effect::Nothing,
        }
    }

    fn effect_of_end(&self, current: Namespace, name: &[u8]) -> Effect {
        let ends = match (current, self.outer()) {
            (Namespace::Html, Namespace::Html) => false,
            (Namespace::Html, Namespace::Svg) => is_svg_point(name),
            (Namespace::Html, Namespace::MathMl) => is_math_point(name) || name == ANNOTATION,
            (Namespace::Svg, _) => matches!(name, b"svg" | b"p" | b"br"),
            (Namespace::MathMl, _) => matches!(name, b"math" | b"p" | b"br"),
        };
        if ends { Effect::Leave } else { Effect::Nothing }
    }

    /// The namespace of the element that a start tag of such an effect begins.
    pub(super) fn of(&self, effect: Effect) -> Namespace {
        match effect {
            Effect::Nothing | Effect::EnterHtml => self.current(),
            Effect::Enter(namespace) => namespace,
            Effect::Leave => self.outer(),
        }
    }

    pub(super) fn apply(&mut self, effect: Effect, is_empty: bool) {
        match effect {
            Effect::Nothing => {}
            Effect::Leave => {
                self.0.pop();
            }
            // Nothing is inside.
            Effect::Enter(_) | Effect::EnterHtml if is_empty => {}
            Effect::Enter(namespace) => self.enter(namespace),
            Effect::EnterHtml => self.enter(Namespace::Html),
        }
    }

    #[cfg(test)]
    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    fn enter(&mut self, namespace: Namespace) {
        if self.0.len() >= DEEPEST {
            self.0.pop();
        }
        self.0.push(namespace);
    }
}

/// Whether an `annotation-xml` element says that HTML is inside.
fn is_html(tag: &[u8]) -> bool {
    let encoding = Attributes::find(tag, b"encoding");
    let value = encoding.and_then(|encoding| tag.get(encoding.value));
    value.is_some_and(|value| {
        value.eq_ignore_ascii_case(b"text/html")
            || value.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}
