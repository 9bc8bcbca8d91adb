//! Counts the requests of one application.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram};

use super::metrics::{
    NO_APPLICATION, NONE, REQUEST_DURATION, REQUEST_OCTETS, REQUEST_PARTS, REQUESTS,
};
use crate::model::ErrorCode;

/// The classes of a status, and none for a request that got no answer.
const CLASSES: [&str; 6] = [NONE, "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Every code, and none.
const CODES: usize = ErrorCode::ALL.len() + 1;

/// Where the time until an answer's head goes.
const PARTS: [&str; 3] = ["gateway", "tunnel", "backend"];

const DIRECTIONS: [&str; 2] = ["in", "out"];

/// How a request ended, and what it was.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Unless its client went away before there was one.
    pub(super) status: Option<StatusCode>,
    /// Unless the application answered.
    pub(super) code: Option<ErrorCode>,
    /// Where it was no WebSocket.
    pub(super) took: Option<Duration>,
    /// At the gateway, in the tunnel, at the application, as far as it came.
    pub(super) parts: [Option<Duration>; PARTS.len()],
    /// From the client, and to it.
    pub(super) octets: [u64; DIRECTIONS.len()],
}

/// The counters of one application's requests. They are looked up once, so a request costs a few
/// atomic additions; only a histogram's room for the next samples is allocated now and then. Series
/// that never happened do not exist.
#[derive(Debug)]
pub struct RequestMeter {
    application: String,
    ended: Box<[OnceLock<Counter>]>,
    duration: OnceLock<Histogram>,
    parts: [OnceLock<Histogram>; PARTS.len()],
    octets: [OnceLock<Counter>; DIRECTIONS.len()],
    in_flight: AtomicUsize,
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<RequestMeter>);

/// For requests that no application was found for.
static UNROUTED: LazyLock<RequestMeter> = LazyLock::new(|| RequestMeter::new(NO_APPLICATION));

impl RequestMeter {
    /// Counts for this application.
    #[must_use]
    pub fn new(application: &str) -> Self {
        Self {
            application: application.to_owned(),
            ended: (0..CLASSES.len() * CODES)
                .map(|_| OnceLock::new())
                .collect(),
            duration: OnceLock::new(),
            parts: [const { OnceLock::new() }; PARTS.len()],
            octets: [const { OnceLock::new() }; DIRECTIONS.len()],
            in_flight: AtomicUsize::new(0),
        }
    }

    /// The application.
    #[must_use]
    pub fn application(&self) -> &str {
        &self.application
    }

    /// How many requests have begun and not ended.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    fn ended(&self, outcome: &Outcome) {
        let Outcome {
            status,
            code,
            took,
            parts,
            octets,
        } = *outcome;
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100));
        let class = if class < CLASSES.len() { class } else { 0 };
        let which = code.map_or(0, |code| code as usize + 1);
        if let Some(counter) = self.ended.get(class * CODES + which) {
            let register = || {
                let code = code.map_or(NONE, ErrorCode::as_str);
                REQUESTS.counter(&[&self.application, CLASSES[class], code])
            };
            counter.get_or_init(register).increment(1);
        }
        if let Some(took) = took {
            let register = || REQUEST_DURATION.histogram(&[&self.application]);
            self.duration
                .get_or_init(register)
                .record(took.as_secs_f64());
        }
        for ((kept, part), took) in self.parts.iter().zip(PARTS).zip(parts) {
            let register = || REQUEST_PARTS.histogram(&[&self.application, part]);
            if let Some(took) = took {
                kept.get_or_init(register).record(took.as_secs_f64());
            }
        }
        for ((kept, direction), octets) in self.octets.iter().zip(DIRECTIONS).zip(octets) {
            let register = || REQUEST_OCTETS.counter(&[&self.application, direction]);
            if octets > 0 {
                kept.get_or_init(register).increment(octets);
            }
        }
    }
}

impl InFlight {
    pub(super) fn application(&self) -> &str {
        self.0.application()
    }
}

/// A request has ended.
pub(super) fn ended(meter: Option<&InFlight>, outcome: &Outcome) {
    let meter = meter.map_or(&*UNROUTED, |in_flight| &*in_flight.0);
    meter.ended(outcome);
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::tests::counted;
    use super::*;

    #[test]
    fn every_class_and_code_has_a_place_of_its_own() {
        let codes = || ErrorCode::ALL.iter().copied().map(Some).chain([None]);
        let classes = || [None, Some(204), Some(302), Some(404), Some(502), Some(999)];
        let text = counted(|| {
            let meter = RequestMeter::new("wiki");
            for class in classes() {
                for code in codes() {
                    let status = class.map(|status| StatusCode::from_u16(status).unwrap());
                    meter.ended(&Outcome {
                        status,
                        code,
                        took: Some(Duration::from_millis(30)),
                        parts: [Some(Duration::from_millis(1)), None, None],
                        octets: [0, 7],
                    });
                }
            }
        });
        let rows = text
            .lines()
            .filter(|l| l.starts_with("appproxy_requests_total{"));
        let (mut ones, mut twos) = (0, 0);
        for row in rows {
            match row.rsplit(' ').next() {
                Some("1") => ones += 1,
                // 999 is no class.
                Some("2") if row.contains("status=\"none\"") => twos += 1,
                _ => panic!("{row}"),
            }
        }
        assert_eq!((ones, twos), (4 * CODES, CODES));
        let all = format!(
            "appproxy_request_duration_seconds_count{{application=\"wiki\"}} {}",
            6 * CODES
        );
        assert!(text.contains(&all), "{text}");
        let (requests, octets) = (6 * CODES, 7 * 6 * CODES);
        for row in [
            format!(
                "appproxy_request_part_duration_seconds_count{{application=\"wiki\",part=\"gateway\"}} {requests}\n"
            ),
            format!(
                "appproxy_request_octets_total{{application=\"wiki\",direction=\"out\"}} {octets}\n"
            ),
        ] {
            assert!(text.contains(&row), "{row} is not in\n{text}");
        }
        assert!(
            !text.contains("part=\"tunnel\"") && !text.contains("direction=\"in\""),
            "{text}"
        );
    }

    #[test]
    fn what_is_in_flight_comes_back_to_nothing() {
        let meter = Arc::new(RequestMeter::new("wiki"));
        let (one, two) = (meter.begin(), meter.begin());
        assert_eq!(meter.in_flight(), 2);
        drop(one);
        let took = Some(Duration::ZERO);
        ended(
            Some(&two),
            &Outcome {
                took,
                ..Outcome::default()
            },
        );
        assert_eq!(meter.in_flight(), 1);
        drop(two);
        assert_eq!(meter.in_flight(), 0);
    }
}
