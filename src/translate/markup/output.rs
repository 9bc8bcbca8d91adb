//! Where a rewriter puts what it has decided.

use super::decoded::{Edit, Edits, MOST_EDITS, MOST_GROWTH, growth};

/// Takes a text part by part: what stays, and what is replaced by what.
pub(in crate::translate) trait Output {
    /// So many octets come next.
    fn expect(&mut self, _octets: usize) {}

    /// These octets stay.
    fn keep(&mut self, octets: &[u8]);

    /// Instead of the old octets, the new ones.
    fn replace(&mut self, old: &[u8], new: &[u8]);
}

impl Output for Vec<u8> {
    /// They come in small parts, and a buffer that grows with each is moved over and over. Links become longer.
    fn expect(&mut self, octets: usize) {
        self.reserve(octets + octets / 8);
    }

    fn keep(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }

    fn replace(&mut self, _old: &[u8], new: &[u8]) {
        self.extend_from_slice(new);
    }
}

/// The changes alone, of a text in UTF-8.
#[derive(Debug, Default)]
pub(in crate::translate) struct Collected {
    at: usize,
    edits: Edits,
    grown: usize,
}

impl Collected {
    pub(in crate::translate) fn into_edits(self) -> Edits {
        self.edits
    }
}

impl Output for Collected {
    fn keep(&mut self, octets: &[u8]) {
        self.at += octets.len();
    }

    fn replace(&mut self, old: &[u8], new: &[u8]) {
        let begin = self.at;
        self.at += old.len();
        let grown = self.grown + growth(old.len(), new);
        if self.edits.len() == MOST_EDITS || grown > MOST_GROWTH {
            return;
        }
        self.grown = grown;
        self.edits.push(Edit {
            range: begin..self.at,
            with: String::from_utf8_lossy(new).into_owned(),
        });
    }
}
