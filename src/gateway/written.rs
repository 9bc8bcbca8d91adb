//! Where programs write data of an application: what they read there must not change on its way, or they
//! would write back what was made of it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use http::Method;

/// The paths of one application at which data was written, folded.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<Paths>);

#[derive(Debug, Default)]
struct Paths {
    /// Without the slash at the end; the empty one stands for the whole application.
    below: BTreeSet<Box<str>>,
    /// The root alone: many a program asks for everything there.
    at_root: bool,
}

/// More stand for the whole application: a bound for memory.
const MOST: usize = 512;

impl Written {
    /// Data is sent to this path. Gives the path at and below which data stays as it is from now on, where that
    /// was not so before.
    pub(super) fn note(&self, method: &Method, path: &str) -> Option<String> {
        let path = path.trim_end_matches('/');
        // POST names the collection, what else writes names one of its members.
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let path = match *method == Method::POST || parent.is_empty() {
            true => path,
            false => parent,
        };
        let mut paths = self.lock();
        if paths.covers(path) {
            return None;
        }
        if path.is_empty() {
            paths.at_root = true;
            return Some("/".to_owned());
        }
        let path = match paths.below.len() < MOST {
            true => path,
            false => "",
        };
        let below = format!("{path}/");
        paths.below.retain(|one| !one.starts_with(&below));
        paths.below.insert(path.into());
        Some(below)
    }

    /// Whether data at this path is written, too.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.lock().covers(path.trim_end_matches('/'))
    }

    /// Whether nothing is written anywhere.
    pub(super) fn is_empty(&self) -> bool {
        let paths = self.lock();
        paths.below.is_empty() && !paths.at_root
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Paths> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paths {
    fn covers(&self, path: &str) -> bool {
        if path.is_empty() && self.at_root {
            return true;
        }
        let mut above = Some(path);
        while let Some(path) = above {
            if self.below.contains(path) {
                return true;
            }
            above = path.rsplit_once('/').map(|(parent, _)| parent);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_covers_what_lies_below() {
        let written = Written::default();
        assert!(written.is_empty());
        let notes = [
            (Method::POST, "/api/pages", Some("/api/pages/")),
            (Method::POST, "/api/pages/", None),
            (Method::PUT, "/api/pages/5", None),
            (Method::PATCH, "/api/users/7", Some("/api/users/")),
            (Method::PUT, "/settings", Some("/settings/")),
            (Method::POST, "/api", Some("/api/")),
        ];
        for (method, path, expected) in notes {
            assert_eq!(written.note(&method, path).as_deref(), expected, "{path}");
        }
        assert!(!written.is_empty());
        for (path, covered) in [
            ("/api", true),
            ("/api/", true),
            ("/api/x/y", true),
            ("/apix", false),
            ("/settings/a", true),
            ("/setting", false),
            ("/", false),
        ] {
            assert_eq!(written.covers(path), covered, "{path}");
        }
        // What lies below is not kept beside what lies above.
        assert_eq!(written.lock().below.len(), 2);
    }

    #[test]
    fn too_many_paths_are_the_whole_application() {
        let written = Written::default();
        for number in 0..MOST {
            assert!(written.note(&Method::POST, &format!("/{number}")).is_some());
            assert!(!written.covers("/elsewhere"));
        }
        assert_eq!(written.note(&Method::POST, "/more").as_deref(), Some("/"));
        assert!(written.covers("/elsewhere") && written.covers("/"));
        assert_eq!(written.lock().below.len(), 1);
        assert_eq!(written.note(&Method::POST, "/again"), None);
    }

    #[test]
    fn what_is_written_at_the_root_is_not_the_whole_application() {
        let written = Written::default();
        assert_eq!(written.note(&Method::POST, "/").as_deref(), Some("/"));
        assert_eq!(written.note(&Method::POST, "/"), None);
        assert!(written.covers("/") && !written.covers("/a/b") && !written.is_empty());
    }
}
