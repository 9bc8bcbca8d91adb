//! Where counters and histograms of the process are kept, and how they are read.

use std::time::Duration;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::metrics::{ALL, Kind};

/// How often what histograms have observed is put into their buckets; it waits in memory until
/// then.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds in seconds: from what a machine of its own answers in, to the first-byte deadline
/// and the long one.
const BUCKETS: [f64; 13] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 180.0,
];

/// Why nothing is counted.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The buckets or the names are refused.
    #[error("metrics cannot be set up: {0}")]
    Build(#[from] BuildError),
    /// Another recorder was set up before.
    #[error("the metrics of this process are already set up")]
    AlreadySet,
}

/// The counters and histograms of the process.
#[derive(Debug, Clone)]
pub struct Recorder(PrometheusHandle);

impl Recorder {
    /// Counts from now on; handles made before count nothing, so call it first. To be called
    /// within the runtime.
    ///
    /// # Errors
    /// Where something counts already.
    pub fn install() -> Result<Self, RecorderError> {
        let recorder = build()?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| RecorderError::AlreadySet)?;
        describe();
        let upkeep = handle.clone();
        tokio::spawn(async move {
            let mut every = tokio::time::interval(UPKEEP);
            loop {
                every.tick().await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self(handle))
    }

    /// What was counted so far, in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

fn build() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL.iter().filter(|m| m.kind == Kind::Histogram) {
        let name = Matcher::Full(metric.name.to_owned());
        builder = builder.set_buckets_for_metric(name, &BUCKETS)?;
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
            // Not the recorder's: read from the state where somebody asks.
            Kind::Gauge => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::metrics::{BACKEND_CONNECT, REQUESTS};
    use super::*;

    /// Runs `act` and gives what it counted.
    pub(in crate::telemetry) fn counted(act: impl FnOnce()) -> String {
        let recorder = build().unwrap();
        metrics::with_local_recorder(&recorder, || {
            describe();
            act();
        });
        recorder.handle().render()
    }

    #[test]
    fn counters_and_histograms_are_rendered_with_their_help() {
        let text = counted(|| {
            REQUESTS.counter(&["wiki", "2xx", "none"]).increment(3);
            REQUESTS.count(&["a\"b", "4xx", "no_route"]);
            let took = BACKEND_CONNECT.histogram(&[]);
            took.record(0.02);
            took.record(500.0);
        });
        for line in [
            "# TYPE appproxy_requests_total counter",
            "appproxy_requests_total{application=\"wiki\",status=\"2xx\",code=\"none\"} 3",
            "appproxy_requests_total{application=\"a\\\"b\",status=\"4xx\",code=\"no_route\"} 1",
            "# TYPE appproxy_connector_backend_connect_seconds histogram",
            "# HELP appproxy_connector_backend_connect_seconds How long a connection to an application took, look-up and TLS included.",
            "appproxy_connector_backend_connect_seconds_bucket{le=\"0.01\"} 0",
            "appproxy_connector_backend_connect_seconds_bucket{le=\"0.025\"} 1",
            "appproxy_connector_backend_connect_seconds_bucket{le=\"180\"} 1",
            "appproxy_connector_backend_connect_seconds_bucket{le=\"+Inf\"} 2",
            "appproxy_connector_backend_connect_seconds_sum 500.02",
            "appproxy_connector_backend_connect_seconds_count 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn without_a_recorder_nothing_is_counted_and_nothing_fails() {
        REQUESTS.count(&["wiki", "2xx", "none"]);
        BACKEND_CONNECT.histogram(&[]).record(1.0);
    }
}
