//! Text of the page that is read on its own: styles, and what browsers without scripts see.

use super::super::changes::{Changed, TextHash};
use super::super::css::StyleText;
use super::super::output::Output;
use super::{HtmlRewriting, Page};

/// Where the output is.
pub(super) enum Region {
    Markup,
    Style {
        text: StyleText,
        links: u64,
        hashes: Option<Box<Hashes>>,
    },
    Noscript(Box<HtmlRewriting>),
}

/// Of a style as it came and as it goes.
pub(super) struct Hashes {
    old: TextHash,
    new: TextHash,
}

impl Region {
    pub(super) fn style(page: &Page) -> Self {
        let hash = || TextHash::new(page.charset.encoding());
        let hashes = page.options.hash_styles.then(|| {
            Box::new(Hashes {
                old: hash(),
                new: hash(),
            })
        });
        Self::Style {
            text: StyleText::new(page.charset, page.limits.style),
            links: 0,
            hashes,
        }
    }

    pub(super) fn noscript(page: &Page) -> Self {
        Self::Noscript(Box::new(HtmlRewriting::inside(page, false)))
    }

    /// Takes octets that stay, but for the links inside.
    pub(super) fn feed<O: Output>(&mut self, octets: &[u8], page: &Page, out: &mut O) {
        if octets.is_empty() {
            return;
        }
        match self {
            Self::Markup => out.keep(octets),
            Self::Noscript(inner) => inner.feed(octets, out),
            Self::Style { .. } => self.style_text(octets, false, page, out),
        }
    }

    fn style_text<O: Output>(&mut self, octets: &[u8], is_last: bool, page: &Page, out: &mut O) {
        let Self::Style {
            text,
            links,
            hashes,
        } = self
        else {
            return;
        };
        *links += match hashes {
            Some(hashes) => text.feed(octets, is_last, &page.view, &mut Hashed { out, hashes }),
            None => text.feed(octets, is_last, &page.view, out),
        };
    }

    /// The text ends; markup follows.
    pub(super) fn end<O: Output>(&mut self, page: &mut Page, out: &mut O) {
        self.style_text(b"", true, page, out);
        match std::mem::replace(self, Self::Markup) {
            Self::Markup => {}
            Self::Noscript(mut inner) => page.add_inner(inner.reader.end(out)),
            Self::Style { links, hashes, .. } => {
                page.counts.links += links;
                if let Some(hashes) = hashes.filter(|_| links > 0) {
                    page.changes.add(Changed {
                        old: hashes.old.finish(),
                        new: hashes.new.finish(),
                        attribute: false,
                    });
                }
            }
        }
    }
}

/// Hashes what passes.
struct Hashed<'a, O> {
    out: &'a mut O,
    hashes: &'a mut Hashes,
}

impl<O: Output> Output for Hashed<'_, O> {
    fn keep(&mut self, octets: &[u8]) {
        self.hashes.old.update(octets);
        self.hashes.new.update(octets);
        self.out.keep(octets);
    }

    fn replace(&mut self, old: &[u8], new: &[u8]) {
        self.hashes.old.update(old);
        self.hashes.new.update(new);
        self.out.replace(old, new);
    }
}
