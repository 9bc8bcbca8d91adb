//! Reading a section: which keys it has, which it lacks, and which it does not know.
//!
//! A reader asks a [`Section`] for its keys by name; the names it asked for are the names that
//! exist. Whatever else is written is refused when the reader is done, so no reader can forget to.

use std::cell::RefCell;

use super::field::Field;
use super::findings::Findings;
use super::tree::{Entry, Node, join};
use crate::model::Place;

/// A mapping that is being read.
pub(super) struct Section<'a> {
    place: &'a Place,
    entries: &'a [Entry],
    findings: &'a Findings,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// Reads a mapping. `later` names the keys that the documents describe and this version has
    /// not built. `None` where the node is no mapping, which is then in the findings.
    pub(super) fn read<T>(
        node: &'a Node,
        findings: &'a Findings,
        later: &[&'static str],
        read: impl FnOnce(&Section<'a>) -> T,
    ) -> Option<T> {
        let entries = Field::new(node, findings).entries()?;
        let section = Self {
            place: &node.place,
            entries,
            findings,
            known: RefCell::default(),
        };
        let value = read(&section);
        section.refuse_the_rest(later);
        Some(value)
    }

    /// The value of a key that may be absent.
    pub(super) fn optional(&self, name: &'static str) -> Option<Field<'a>> {
        self.known.borrow_mut().push(name);
        self.peek(name)
    }

    /// The value of a key that somebody else reads.
    pub(super) fn peek(&self, name: &str) -> Option<Field<'a>> {
        let entry = self.entries.iter().find(|e| e.name == name)?;
        Some(Field::new(&entry.node, self.findings))
    }

    /// The value of a key that must be there; `example` shows how it may look.
    pub(super) fn required(&self, name: &'static str, example: &str) -> Option<Field<'a>> {
        let field = self.optional(name);
        if field.is_none() {
            self.missing(name, &format!("add it, such as `{name}: {example}`"));
        }
        field
    }

    /// Notes that a key is missing.
    pub(super) fn missing(&self, name: &str, remedy: &str) {
        let what = format!("`{name}` is missing");
        self.error_at_key(name, "missing_key", &what, remedy);
    }

    /// Notes an error of the section as a whole, under one of its keys.
    pub(super) fn error_at_key(&self, name: &str, code: &'static str, what: &str, remedy: &str) {
        let mut place = self.place.clone();
        place.key = join(&place.key, name);
        self.findings.error(code, &place, what, remedy);
    }

    /// Whether a key is written, whatever its value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|e| e.name == name)
    }

    fn refuse_the_rest(&self, later: &[&'static str]) {
        let known = self.known.borrow();
        for entry in self.entries {
            let name = entry.name.as_str();
            if known.contains(&name) {
                continue;
            }
            if later.contains(&name) {
                self.findings.error(
                    "not_built",
                    &entry.place,
                    format!("this version has not built `{name}` yet"),
                    "remove it, or use a version that has it",
                );
                continue;
            }
            let remedy = match nearest(name, known.iter().chain(later).copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are: {}", known.join(", ")),
            };
            self.findings.error(
                "unknown_key",
                &entry.place,
                format!("there is no key `{name}` here"),
                remedy,
            );
        }
    }
}

/// The word somebody most likely meant; `None` where none is near.
pub(super) fn nearest<'w>(written: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let plain = written.to_lowercase().replace(['-', ' '], "_");
    if plain.len() > 64 {
        return None;
    }
    words
        .map(|word| (distance(&plain, word), word))
        .filter(|(distance, word)| *distance <= 2 && *distance * 2 < word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many characters were added, lost, replaced, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        let words = || ["internal_url", "external_url", "name"].into_iter();
        assert_eq!(nearest("intrenal_url", words()), Some("internal_url"));
        assert_eq!(nearest("external-url", words()), Some("external_url"));
        assert_eq!(nearest("Name", words()), Some("name"));
        assert_eq!(nearest("port", words()), None);
        assert_eq!(nearest("", words()), None);
    }
}
