//! Text of the page that is read on its own: styles, scripts, and what browsers without scripts see.

use super::super::css::{self, StyleText};
use super::super::decoded::{Edits, apply};
use super::super::inline::Inline;
use super::super::output::Output;
use super::page::Language;
use super::{HtmlRewriting, Page};
use crate::translate::text::{self, ScriptText};

/// Where the output is.
pub(super) enum Region {
    Markup,
    Style(StyleText),
    Script(ScriptText),
    /// Code that a policy may name by its hash: it waits for its end.
    Named {
        language: Language,
        octets: Vec<u8>,
        inline: Inline,
    },
    /// The rest of what was too long to wait.
    Kept,
    Noscript(Box<HtmlRewriting>),
}

impl Region {
    pub(super) fn code(language: Language, page: &Page) -> Self {
        let inline = &page.options.inline;
        if inline.is_named() {
            return Self::Named {
                language,
                octets: Vec::new(),
                inline: inline.clone(),
            };
        }
        match language {
            Language::Css => Self::Style(StyleText::new(page.charset, page.limits.style)),
            Language::Script(syntax) => match &page.options.scripts {
                Some(scripts) => {
                    let origins = scripts.origins.clone();
                    Self::Script(ScriptText::new(page.charset, syntax, origins))
                }
                None => Self::Kept,
            },
        }
    }

    /// How many octets its buffers take.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        match self {
            Self::Markup | Self::Kept => 0,
            Self::Style(text) => text.kept(),
            Self::Script(text) => text.kept(),
            Self::Named { octets, .. } => octets.capacity(),
            Self::Noscript(inner) => inner.kept(),
        }
    }

    pub(super) fn noscript(page: &Page) -> Self {
        Self::Noscript(Box::new(HtmlRewriting::inside(page, false)))
    }

    /// Takes octets that stay, but for the links inside. Gives how many changed.
    pub(super) fn feed<O: Output>(&mut self, octets: &[u8], page: &Page, out: &mut O) -> u64 {
        if octets.is_empty() {
            return 0;
        }
        match self {
            Self::Markup | Self::Kept => out.keep(octets),
            Self::Noscript(inner) => inner.feed(octets, out),
            Self::Style(text) => return text.feed(octets, false, &page.view, out),
            Self::Script(text) => return text.feed(octets, false, page.view.links(), out),
            Self::Named {
                octets: waiting, ..
            } => {
                waiting.extend_from_slice(octets);
                if waiting.len() > page.limits.style {
                    out.keep(waiting);
                    *self = Self::Kept;
                }
            }
        }
        0
    }

    /// The text ends; markup follows.
    pub(super) fn end<O: Output>(&mut self, page: &mut Page, out: &mut O) {
        page.counts.links += match std::mem::replace(self, Self::Markup) {
            Self::Markup | Self::Kept => 0,
            Self::Noscript(inner) => {
                page.add_inner(inner.reader.end(out));
                0
            }
            Self::Style(mut text) => text.feed(b"", true, &page.view, out),
            Self::Script(mut text) => text.feed(b"", true, page.view.links(), out),
            Self::Named {
                language,
                octets,
                inline,
            } => named(language, &octets, &inline, page, out),
        };
    }
}

/// Changes code as a whole, or leaves it as a whole.
fn named<O: Output>(
    language: Language,
    octets: &[u8],
    inline: &Inline,
    page: &Page,
    out: &mut O,
) -> u64 {
    // Where decoding does not give back what came, its hash cannot be known.
    let text = page.charset.decode(octets);
    let same = page.charset.encode(text.clone().into_owned());
    let edits = match language {
        _ if same.as_deref() != Some(octets) => Edits::new(),
        Language::Css => css::sheet(&text, &page.view),
        Language::Script(syntax) => match &page.options.scripts {
            Some(scripts) => text::edits(&text, syntax, &scripts.origins, page.view.links()),
            None => Edits::new(),
        },
    };
    if edits.is_empty() {
        out.keep(octets);
        return 0;
    }
    let new = apply(&text, &edits);
    match page.charset.encode(new.clone()) {
        Some(encoded) if inline.change(&text, &new) => {
            out.replace(octets, &encoded);
            edits.len() as u64
        }
        _ => {
            out.keep(octets);
            0
        }
    }
}
