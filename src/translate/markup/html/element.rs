//! One start tag: what changes in it.

use std::ops::Range;

use super::super::css;
use super::super::decoded::{Edit, Edits, MOST_GROWTH, apply, growth};
use super::super::value::{absolute, url, url_like};
use super::super::{lists, refresh};
use super::attributes::{Attribute, Attributes, decoded, escaped, tag_name};
use super::places::{Meta, Shape, is_fixed_input, meta, shape};
use super::{HtmlOptions, HtmlRewriting, Page};
use crate::translate::text::{self, Syntax};

/// Octets in place of a part of a tag.
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) with: Vec<u8>,
}

/// How deep pages inside pages are read: a `noscript` element in a `srcdoc` attribute.
pub(super) const DEEPEST: u8 = 2;

impl Page {
    /// The changes of a start tag, in order. `name` is in lower case.
    pub(super) fn tag(&mut self, tag: &[u8], name: &[u8], is_svg: bool) -> Vec<Splice> {
        let mut splices = Vec::new();
        let mut target_changed = false;
        let mut was_looked_up = false;
        for attribute in Attributes::new(tag) {
            if attribute.value.is_empty() {
                continue;
            }
            let written = &tag[attribute.name.clone()];
            let shape = shape(name, is_svg, written).or_else(|| self.extra(tag, written));
            let Some(shape) = shape else {
                continue;
            };
            let value = &tag[attribute.value.clone()];
            let keeps = match shape {
                Shape::Url => name != b"base" && self.view.keeps(value),
                Shape::Style => memchr::memchr2(b'(', b'&', value).is_none(),
                Shape::Script => self.options.scripts.is_none(),
                _ => false,
            };
            // Each looks for other attributes, and of many of one name only the first counts.
            let is_repeated = matches!(shape, Shape::Content | Shape::MayBeUrl)
                && std::mem::replace(&mut was_looked_up, true);
            if keeps || is_repeated {
                continue;
            }
            let before = splices.len();
            self.value(tag, name, &attribute, shape, &mut splices);
            let is_target =
                written.eq_ignore_ascii_case(b"src") || written.eq_ignore_ascii_case(b"href");
            target_changed |= is_target && splices.len() > before;
        }
        if name == b"script" || name == b"link" {
            self.integrity(tag, name, target_changed, &mut splices);
        }
        splices
    }

    fn extra(&self, tag: &[u8], name: &[u8]) -> Option<Shape> {
        let is_of = |element: &str| tag_name(tag).eq_ignore_ascii_case(element.as_bytes());
        let is_extra = self.options.extra_attributes.iter().any(|extra| {
            name.eq_ignore_ascii_case(extra.attribute.as_bytes())
                && extra.element.as_deref().is_none_or(is_of)
        });
        is_extra.then_some(Shape::Url)
    }

    fn value(
        &mut self,
        tag: &[u8],
        name: &[u8],
        attribute: &Attribute,
        shape: Shape,
        splices: &mut Vec<Splice>,
    ) {
        let Some(decoded) = decoded(&tag[attribute.value.clone()], self.charset) else {
            return;
        };
        let text = &*decoded.text;
        if name == b"base" && tag[attribute.name.clone()].eq_ignore_ascii_case(b"href") {
            let edits = decoded.raw(url(text, &self.view));
            self.add(attribute, edits, splices);
            if !std::mem::replace(&mut self.has_base, true) {
                self.view.set_base(text);
            }
            return;
        }
        let edits = match shape {
            Shape::Url => url(text, &self.view),
            Shape::Candidates => lists::srcset(text, &self.view),
            Shape::List => lists::blank_separated(text, &self.view),
            Shape::Style => self.style(text),
            Shape::Script => self.script(text),
            Shape::Page => self.page(text),
            Shape::Content => self.content(tag, text),
            Shape::MayBeUrl => {
                let kind = || self.attribute(tag, b"type");
                if name == b"param" || kind().is_some_and(|kind| is_fixed_input(kind.trim())) {
                    absolute(text, &self.view)
                } else {
                    Edits::new()
                }
            }
        };
        if !edits.is_empty() {
            let edits = decoded.raw(edits);
            self.add(attribute, edits, splices);
        }
    }

    /// Changes of an attribute's value as it is written.
    fn add(&mut self, attribute: &Attribute, edits: Edits, splices: &mut Vec<Splice>) {
        let of = |splice: &Splice| growth(splice.range.len(), &splice.with);
        let mut grown: usize = splices.iter().map(of).sum();
        for Edit { range, with } in edits {
            let with = escaped(with, attribute.quote);
            if let Some(with) = self.charset.encode(with) {
                grown += growth(range.len(), &with);
                if grown > MOST_GROWTH {
                    return;
                }
                let begin = attribute.value.start;
                splices.push(Splice {
                    range: begin + range.start..begin + range.end,
                    with,
                });
                self.counts.links += 1;
            }
        }
    }

    fn style(&self, text: &str) -> Edits {
        self.named(text, css::declarations(text, &self.view))
    }

    /// What a browser runs.
    fn script(&self, text: &str) -> Edits {
        let Some(scripts) = self.options.scripts.as_ref().filter(|one| one.scripts) else {
            return Edits::new();
        };
        let links = self.view.links();
        let edits = text::edits(text, Syntax::JavaScript, &scripts.origins, links);
        self.named(text, edits)
    }

    /// Changes of code that a policy may name by its hash.
    fn named(&self, text: &str, edits: Edits) -> Edits {
        let inline = &self.options.inline;
        match edits.is_empty() || inline.change(text, &apply(text, &edits)) {
            true => edits,
            false => Edits::new(),
        }
    }

    /// A page in a `srcdoc` attribute.
    fn page(&mut self, text: &str) -> Edits {
        if self.depth == DEEPEST {
            return Edits::new();
        }
        let (edits, inner) = HtmlRewriting::inside(self, true).whole(text);
        self.add_inner(inner);
        // They are counted once more where they are written.
        self.counts.links = self.counts.links.saturating_sub(edits.len() as u64);
        edits
    }

    fn content(&mut self, tag: &[u8], text: &str) -> Edits {
        let http_equiv = self.attribute(tag, b"http-equiv");
        let name = self.attribute(tag, b"property");
        let name = name.or_else(|| self.attribute(tag, b"name"));
        match meta(http_equiv.as_deref(), name.as_deref()) {
            Meta::Refresh => refresh::refresh(text, &self.view),
            Meta::UrlLike => url_like(text, &self.view),
            Meta::Other => absolute(text, &self.view),
            Meta::Policy => {
                self.options.inline.name_inside(text.as_bytes());
                let new = self.view.links().translate_policy(text);
                let whole = |with| Edit {
                    range: 0..text.len(),
                    with,
                };
                new.map(whole).into_iter().collect()
            }
        }
    }

    /// An attribute's value without entities.
    pub(super) fn attribute(&self, tag: &[u8], name: &[u8]) -> Option<String> {
        let attribute = Attributes::find(tag, name)?;
        let decoded = decoded(&tag[attribute.value], self.charset)?;
        Some(decoded.text.into_owned())
    }

    /// Drops the checksum of what may change on its way as this page does: it could not hold.
    fn integrity(
        &mut self,
        tag: &[u8],
        name: &[u8],
        target_changed: bool,
        splices: &mut Vec<Splice>,
    ) {
        let is_script = name == b"script";
        let is_own = || {
            let target = self.attribute(tag, if is_script { b"src" } else { b"href" });
            let target = target.map(|target| target.trim_start().replace('\\', "/"));
            target.is_some_and(|target| !target.starts_with("//") && !target.contains("://"))
        };
        let HtmlOptions {
            own_styles_change,
            own_scripts_change,
            ..
        } = *self.options;
        // A link may be to a script that is wanted soon.
        let own_change = own_scripts_change || own_styles_change && !is_script;
        if !(target_changed || own_change && is_own()) {
            return;
        }
        let Some(integrity) = Attributes::find(tag, b"integrity") else {
            return;
        };
        self.counts.integrity_removed += 1;
        splices.push(Splice {
            range: integrity.whole,
            with: Vec::new(),
        });
        splices.sort_by_key(|splice| splice.range.start);
    }
}
