//! Which inline styles changed, for policies that name them by their hash.

use aws_lc_rs::digest::{Context, SHA256, digest};
use encoding_rs::{Decoder, Encoding, UTF_8};

/// The inline styles of a page that changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changes {
    /// At most 64, in no particular order.
    pub styles: Vec<Changed>,
    /// How many more there were.
    pub more: u64,
}

/// SHA-256 of one style element's text or style attribute's value, as a Content Security Policy
/// counts it: in UTF-8, with newlines made one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// As it came.
    pub old: [u8; 32],
    /// As it went.
    pub new: [u8; 32],
    /// Of an attribute, for which a policy also needs `'unsafe-hashes'`.
    pub attribute: bool,
}

/// Bounds the memory; a page with more is better served by a nonce.
const MOST: usize = 64;

impl Changes {
    pub(super) fn add(&mut self, changed: Changed) {
        if self.styles.len() < MOST {
            self.styles.push(changed);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn add_attribute(&mut self, old: &str, new: &str) {
        self.add(Changed {
            old: hash(old),
            new: hash(new),
            attribute: true,
        });
    }

    pub(super) fn append(&mut self, other: Self) {
        for changed in other.styles {
            self.add(changed);
        }
        self.more += other.more;
    }
}

fn hash(text: &str) -> [u8; 32] {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    octets(digest(&SHA256, text.as_bytes()).as_ref())
}

fn octets(digest: &[u8]) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest);
    octets
}

/// The hash of text that comes in parts.
pub(super) struct TextHash {
    context: Context,
    decoder: Option<Decoder>,
    after_return: bool,
}

impl TextHash {
    pub(super) fn new(encoding: &'static Encoding) -> Self {
        Self {
            context: Context::new(&SHA256),
            decoder: (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling()),
            after_return: false,
        }
    }

    pub(super) fn update(&mut self, octets: &[u8]) {
        let Some(mut decoder) = self.decoder.take() else {
            return self.text(octets);
        };
        let mut rest = octets;
        let mut buffer = [0; 1024];
        while !rest.is_empty() {
            let (_, read, written, _) = decoder.decode_to_utf8(rest, &mut buffer, false);
            self.text(&buffer[..written]);
            rest = &rest[read..];
        }
        self.decoder = Some(decoder);
    }

    fn text(&mut self, octets: &[u8]) {
        for part in octets.split_inclusive(|&octet| octet == b'\r' || octet == b'\n') {
            let Some((&last, before)) = part.split_last() else {
                continue;
            };
            let is_second = before.is_empty() && last == b'\n' && self.after_return;
            self.after_return = last == b'\r';
            if is_second {
                continue;
            }
            if last == b'\r' {
                self.context.update(before);
                self.context.update(b"\n");
            } else {
                self.context.update(part);
            }
        }
    }

    pub(super) fn finish(self) -> [u8; 32] {
        octets(self.context.finish().as_ref())
    }
}
