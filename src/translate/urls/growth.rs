//! How much longer URLs become.

use std::sync::Arc;

use crate::model::Application;

/// How many times longer a text may become that is nothing but URLs, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Growth {
    /// Where internal URLs become external.
    pub(super) out: usize,
    /// The other way round.
    pub(super) back: usize,
}

impl Default for Growth {
    fn default() -> Self {
        Self { out: 1, back: 1 }
    }
}

/// What stands for `*` in a wildcard.
const LONGEST_LABEL: usize = 63;

/// What a URL without a scheme lacks.
const SCHEME: usize = "https:".len();

impl Growth {
    pub(super) fn of(applications: &[Arc<Application>]) -> Self {
        let (mut inside, mut outside) = (Lengths::default(), Lengths::default());
        for application in applications {
            for url in application.external_urls() {
                outside.add(&url.to_string(), url.path.as_str());
            }
            for url in application.internal.all() {
                inside.add(&url.to_string(), url.path.as_str());
            }
        }
        Self {
            out: outside.over(&inside),
            back: inside.over(&outside),
        }
    }
}

/// Of all URLs on one side.
#[derive(Debug, Default)]
struct Lengths {
    longest: usize,
    shortest: Option<usize>,
    longest_path: usize,
}

impl Lengths {
    fn add(&mut self, url: &str, path: &str) {
        let is_wildcard = url.contains('*');
        let longest = url.len() + if is_wildcard { LONGEST_LABEL } else { 0 };
        self.longest = self.longest.max(longest);
        let shortest = url.len().saturating_sub(SCHEME).max(1);
        self.shortest = Some(self.shortest.map_or(shortest, |known| known.min(shortest)));
        self.longest_path = self.longest_path.max(path.len());
    }

    /// How many of the others fit into one of these: of absolute ones, or of paths with a blank between them.
    fn over(&self, others: &Self) -> usize {
        let absolute = self.longest.div_ceil(others.shortest.unwrap_or(1));
        absolute.max(self.longest_path / 2).max(1)
    }
}
