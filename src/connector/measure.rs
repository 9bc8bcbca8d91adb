//! Counts the requests for each application, as this connector sees them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram};

use crate::model::ErrorCode;
use crate::telemetry::metrics::{BACKEND_FIRST_BYTE, BACKEND_REQUESTS, DNS_FAILURES, NONE};

/// Applications that are told apart. The names are a gateway's word: one that is taken over must not
/// fill the memory with them.
const MOST: usize = 1000;

/// The label of those beyond.
const OTHERS: &str = "-";

/// Every code, and none.
const CODES: usize = ErrorCode::ALL.len() + 1;

/// The counters of all applications.
#[derive(Debug, Default)]
pub(super) struct Measured {
    applications: RwLock<HashMap<String, Arc<Meter>>>,
    first_byte: OnceLock<Histogram>,
}

#[derive(Debug)]
struct Meter {
    application: String,
    codes: Box<[OnceLock<Counter>]>,
}

impl Measured {
    /// A request for this application was answered, with a code where not by the application.
    pub(super) fn answered(&self, application: &str, code: Option<ErrorCode>, took: Duration) {
        self.meter(application).count(code);
        match code {
            None => {
                let register = || BACKEND_FIRST_BYTE.histogram(&[]);
                self.first_byte
                    .get_or_init(register)
                    .record(took.as_secs_f64());
            }
            Some(ErrorCode::BackendDns) => DNS_FAILURES.count(&[]),
            Some(_) => {}
        }
    }

    fn meter(&self, application: &str) -> Arc<Meter> {
        let known = self
            .applications
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.get(application) {
            return Arc::clone(meter);
        }
        let name = if known.len() < MOST {
            application
        } else {
            OTHERS
        };
        drop(known);
        let mut known = self
            .applications
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Meter::new(name));
        Arc::clone(known.entry(name.to_owned()).or_insert_with(new))
    }
}

impl Meter {
    fn new(application: &str) -> Self {
        Self {
            application: application.to_owned(),
            codes: (0..CODES).map(|_| OnceLock::new()).collect(),
        }
    }

    fn count(&self, code: Option<ErrorCode>) {
        let Some(counter) = self.codes.get(code.map_or(0, |code| code as usize + 1)) else {
            return;
        };
        let word = code.map_or(NONE, ErrorCode::as_str);
        let register = || BACKEND_REQUESTS.counter(&[&self.application, word]);
        counter.get_or_init(register).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_end_do_not_fill_the_memory() {
        let measured = Measured::default();
        for n in 0..MOST + 50 {
            measured.answered(&format!("application-{n}"), None, Duration::ZERO);
        }
        let known = measured.applications.read().unwrap();
        assert_eq!(known.len(), MOST + 1);
        assert!(known.contains_key(OTHERS));
    }
}
