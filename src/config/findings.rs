//! Collects every problem of a configuration, so that an operator sees all of them at once.

use std::cell::RefCell;
use std::path::Path;

use crate::model::{Finding, Place};

/// More than this of a sentence helps nobody; a pasted file must not fill the screen.
const LONGEST_SENTENCE: usize = 800;

/// The problems found so far. Readers share it, so that none of them has to stop at the first.
#[derive(Default)]
pub(super) struct Findings(RefCell<Vec<Finding>>);

impl Findings {
    /// Notes an error at a place.
    pub(super) fn error(
        &self,
        code: &'static str,
        place: &Place,
        what: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) {
        let finding = Finding::error(code, printable(what.as_ref()), printable(remedy.as_ref()));
        let mut place = place.clone();
        place.key = printable(&place.key);
        self.0.borrow_mut().push(finding.at(place));
    }

    /// The value where nothing was found, else all findings by place: those of the main file
    /// first, then those of the included files.
    pub(super) fn conclude<T>(self, main: &Path, value: Option<T>) -> Result<T, Vec<Finding>> {
        let mut found = self.0.into_inner();
        match value {
            Some(value) if found.is_empty() => Ok(value),
            _ => {
                found.sort_by(|a, b| position(a, main).cmp(&position(b, main)));
                Err(found)
            }
        }
    }
}

fn position<'a>(finding: &'a Finding, main: &Path) -> Option<(bool, &'a Path, u64, u64, &'a str)> {
    let place = finding.place.as_ref()?;
    let included = place.file != main;
    Some((included, &place.file, place.line, place.column, &place.key))
}

/// What was written may hold escape sequences for a terminal, or line breaks that fake a log line.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST_SENTENCE {
            out.push('…');
            break;
        }
        if c.is_control() || is_direction_mark(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that turn the direction of text around and so show something else than is written.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), 801);
    }
}
