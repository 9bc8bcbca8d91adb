//! Counts the bodies of one application that are looked through.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram};

use crate::model::ApplicationName;
use crate::telemetry::metrics::{
    TRANSLATED, TRANSLATED_LINKS, TRANSLATED_OCTETS, TRANSLATION_SECONDS,
};
use crate::translate::body::{Counts, Skip};

/// The counters are looked up once, so an answer that passes as it came costs one atomic addition. Series that
/// never happened do not exist.
#[derive(Debug)]
pub(in crate::gateway) struct BodyMeter {
    application: ApplicationName,
    skipped: [OnceLock<Counter>; Skip::ALL.len()],
    translated: OnceLock<Counter>,
    links: OnceLock<Counter>,
    octets: OnceLock<Counter>,
    seconds: OnceLock<Histogram>,
}

impl BodyMeter {
    /// Counts for this application.
    pub(in crate::gateway) fn new(application: &ApplicationName) -> Self {
        Self {
            application: application.clone(),
            skipped: [const { OnceLock::new() }; Skip::ALL.len()],
            translated: OnceLock::new(),
            links: OnceLock::new(),
            octets: OnceLock::new(),
            seconds: OnceLock::new(),
        }
    }

    /// A body that passed as it came.
    pub(super) fn skipped(&self, skip: Skip) {
        let counter = &self.skipped[skip as usize];
        let register = || TRANSLATED.counter(&[self.application.as_str(), skip.name()]);
        counter.get_or_init(register).increment(1);
    }

    /// A body that was looked through, if not to its end, and how long that took.
    pub(super) fn ended(&self, counts: &Counts, took: Duration) {
        let of = [self.application.as_str()];
        match counts.skip {
            Some(skip) => self.skipped(skip),
            None => {
                let register = || TRANSLATED.counter(&[of[0], "translated"]);
                self.translated.get_or_init(register).increment(1);
            }
        }
        let links = self.links.get_or_init(|| TRANSLATED_LINKS.counter(&of));
        links.increment(counts.links);
        let octets = self.octets.get_or_init(|| TRANSLATED_OCTETS.counter(&of));
        octets.increment(counts.taken);
        let seconds = || TRANSLATION_SECONDS.histogram(&of);
        self.seconds.get_or_init(seconds).record(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_place_of_its_own() {
        let places: Vec<_> = Skip::ALL.iter().map(|skip| *skip as usize).collect();
        assert_eq!(places, (0..Skip::ALL.len()).collect::<Vec<_>>());
    }
}
