//! One chunk on its way, and the URLs in it.

use std::ops::Range;

use super::super::charset::Charset;
use super::super::decoded::{Decoded, Edits};
use super::super::output::Output;
use super::super::value::{View, url};
use super::names::{escape, string_escape};

/// One chunk on its way.
pub(super) struct Pass<'a, O> {
    pub(super) text: &'a [u8],
    /// The text as far as tokens are concerned.
    pub(super) plain: &'a [u8],
    pub(super) is_last: bool,
    /// Up to where it is in the output.
    pub(super) kept: usize,
    pub(super) links: u64,
    pub(super) view: &'a View,
    pub(super) out: &'a mut O,
}

impl<O: Output> Pass<'_, O> {
    pub(super) fn keep(&mut self, to: usize) {
        if to > self.kept {
            self.out.keep(&self.text[self.kept..to]);
            self.kept = to;
        }
    }

    fn replace(&mut self, begin: usize, end: usize, new: &[u8]) {
        self.keep(begin);
        self.out.replace(&self.text[begin..end], new);
        self.kept = end;
        self.links += 1;
    }

    /// The links of a URL that stands there.
    pub(super) fn translate(&mut self, range: Range<usize>, quote: Quote, charset: Charset) {
        let begin = range.start;
        let raw = &self.text[range];
        let backslash = |octet| octet == b'\\';
        let decoded = Decoded::new(raw, charset, backslash, |text| match quote {
            Quote::None => escape(text, true),
            Quote::Of(_) => string_escape(text),
        });
        let Some(decoded) = decoded else {
            return;
        };
        let edits: Edits = decoded.raw(url(&decoded.text, self.view));
        for edit in edits {
            if let Some(new) = charset.encode(escaped(&edit.with, quote)) {
                self.replace(begin + edit.range.start, begin + edit.range.end, &new);
            }
        }
    }
}

/// What stands between parentheses, and how it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quote {
    None,
    Of(u8),
}

/// The text as it is written in a style sheet, inside markup too.
fn escaped(text: &str, quote: Quote) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0'..='\x1F' | '\x7F' | '<' => {
                escaped.push_str(&format!("\\{:x} ", u32::from(character)));
                continue;
            }
            '"' | '\'' | '\\' => escaped.push('\\'),
            '(' | ')' | ' ' if quote == Quote::None => escaped.push('\\'),
            _ => {}
        }
        escaped.push(character);
    }
    escaped
}
