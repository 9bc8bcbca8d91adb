//! Counts the requests of one application.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram};

use super::metrics::{NO_APPLICATION, NONE, REQUEST_DURATION, REQUESTS};
use crate::model::ErrorCode;

/// The classes of a status, and none for a request that got no answer.
const CLASSES: [&str; 6] = [NONE, "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Every code, and none.
const CODES: usize = ErrorCode::ALL.len() + 1;

/// The counters of one application's requests. They are looked up once, so a request costs a few
/// atomic additions; only a histogram's room for the next samples is allocated now and then. Series
/// that never happened do not exist.
#[derive(Debug)]
pub struct RequestMeter {
    application: String,
    ended: Box<[OnceLock<Counter>]>,
    duration: OnceLock<Histogram>,
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

    fn ended(&self, status: Option<StatusCode>, code: Option<ErrorCode>, took: Option<Duration>) {
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
    }
}

impl InFlight {
    pub(super) fn application(&self) -> &str {
        self.0.application()
    }
}

/// A request has ended: with this status, unless its client went away before; with this code,
/// unless the application answered; after this time, where it was no WebSocket.
pub(super) fn ended(
    meter: Option<&InFlight>,
    status: Option<StatusCode>,
    code: Option<ErrorCode>,
    took: Option<Duration>,
) {
    let meter = meter.map_or(&*UNROUTED, |in_flight| &*in_flight.0);
    meter.ended(status, code, took);
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
                    meter.ended(status, code, Some(Duration::from_millis(30)));
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
    }

    #[test]
    fn what_is_in_flight_comes_back_to_nothing() {
        let meter = Arc::new(RequestMeter::new("wiki"));
        let (one, two) = (meter.begin(), meter.begin());
        assert_eq!(meter.in_flight(), 2);
        drop(one);
        ended(Some(&two), None, None, Some(Duration::ZERO));
        assert_eq!(meter.in_flight(), 1);
        drop(two);
        assert_eq!(meter.in_flight(), 0);
    }
}
