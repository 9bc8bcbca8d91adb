//! Where a rewriter puts what it has decided.

use super::decoded::{Edit, Edits, MOST_EDITS};

/// Takes a text part by part: what stays, and what is replaced by what.
pub(super) trait Output {
    /// These octets stay.
    fn keep(&mut self, octets: &[u8]);

    /// Instead of the old octets, the new ones.
    fn replace(&mut self, old: &[u8], new: &[u8]);
}

impl Output for Vec<u8> {
    fn keep(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }

    fn replace(&mut self, _old: &[u8], new: &[u8]) {
        self.extend_from_slice(new);
    }
}

/// The changes alone, of a text in UTF-8.
#[derive(Debug, Default)]
pub(super) struct Collected {
    at: usize,
    edits: Edits,
}

impl Collected {
    pub(super) fn into_edits(self) -> Edits {
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
        if self.edits.len() == MOST_EDITS {
            return;
        }
        self.edits.push(Edit {
            range: begin..self.at,
            with: String::from_utf8_lossy(new).into_owned(),
        });
    }
}
