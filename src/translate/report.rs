//! What was done to the links of one body, for somebody who asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::markup::Links;

/// How many URLs of each sort are told apart. The others are counted.
const MOST: usize = 500;

/// The longest URL that is told; of a longer one its beginning is.
const LONGEST: usize = 1000;

/// Links that were looked at: each once, without query and fragment, and how often it stood there.
#[derive(Debug, Clone, Default)]
pub struct Report(Arc<Mutex<Seen>>);

/// See [`Report`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// From what to what.
    pub changed: BTreeMap<(String, String), u64>,
    /// Absolute ones that stayed: published nowhere, or external already.
    pub kept: BTreeMap<String, u64>,
    /// How many more there were than are told.
    pub more: u64,
}

impl Report {
    /// So far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes down what `links` is asked.
    pub(super) fn of(&self, links: Arc<dyn Links>) -> Arc<dyn Links> {
        Arc::new(Reporting {
            links,
            report: self.clone(),
        })
    }

    fn note(&self, from: &str, to: Option<&str>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &mut *seen;
        let is_full = match to {
            Some(to) => !add(&mut seen.changed, (short(from), short(to))),
            None => !add(&mut seen.kept, short(from)),
        };
        seen.more += u64::from(is_full);
    }
}

/// Counts one; `false` where it is not known and there is no room.
fn add<K: Ord>(of: &mut BTreeMap<K, u64>, key: K) -> bool {
    let has_room = of.len() < MOST;
    match of.get_mut(&key) {
        Some(count) => *count += 1,
        None if has_room => drop(of.insert(key, 1)),
        None => return false,
    }
    true
}

fn short(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let mut end = end.min(LONGEST);
    while !url.is_char_boundary(end) {
        end -= 1;
    }
    url[..end].to_owned()
}

struct Reporting {
    links: Arc<dyn Links>,
    report: Report,
}

impl Links for Reporting {
    fn translate(&self, url: &str) -> Option<String> {
        let to = self.links.translate(url);
        // What is relative stays with the page.
        if to.is_some() || url.starts_with("//") || url.contains("://") {
            self.report.note(url, to.as_deref());
        }
        to
    }

    fn would_translate(&self, url: &str) -> Option<String> {
        self.links.would_translate(url)
    }

    fn changes_root(&self) -> bool {
        self.links.changes_root()
    }

    fn translate_policy(&self, policy: &str) -> Option<String> {
        self.links.translate_policy(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Links for One {
        fn translate(&self, url: &str) -> Option<String> {
            (url == "http://wiki.corp/a").then(|| "https://wiki.example.com/a".to_owned())
        }

        fn changes_root(&self) -> bool {
            false
        }
    }

    #[test]
    fn what_was_asked_is_noted_down_within_bounds() {
        let report = Report::default();
        let links = report.of(Arc::new(One));
        for url in [
            "http://wiki.corp/a",
            "http://wiki.corp/a",
            "//else.corp/b",
            "/root",
            "x",
        ] {
            links.translate(url);
        }
        let seen = report.seen();
        let changed = (
            "http://wiki.corp/a".to_owned(),
            "https://wiki.example.com/a".to_owned(),
        );
        assert_eq!(seen.changed, BTreeMap::from([(changed, 2)]));
        assert_eq!(seen.kept, BTreeMap::from([("//else.corp/b".to_owned(), 1)]));
        assert_eq!(seen.more, 0);
        for number in 0..MOST {
            links.translate(&format!("http://{number}.corp/{}", "é".repeat(LONGEST)));
        }
        let seen = report.seen();
        assert_eq!((seen.kept.len(), seen.more), (MOST, 1));
        assert!(seen.kept.keys().all(|url| url.len() <= LONGEST));
    }
}
