//! The connector as those who watch see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::backend::Backend;
use super::super::renewal::Renewal;
use super::{Entry, Reason, State, Status};
use crate::clock::Timestamp;
use crate::net::most_descriptors;
use crate::telemetry::Observed;
use crate::telemetry::metrics::{
    BACKEND_IDLE, BUILD_INFO, CERTIFICATE_EXPIRY, CLOCK_SKEW, CONFIG_CURRENT, CONFIG_GENERATION,
    CONNECTOR_STREAMS, CONNECTOR_TUNNELS, DRAINING, Page,
};

/// A running connector.
pub(in crate::connector) struct Connector {
    pub(in crate::connector) status: Arc<Status>,
    pub(in crate::connector) renewal: Arc<Renewal>,
    pub(in crate::connector) backend: Arc<Backend>,
    pub(in crate::connector) stop: CancellationToken,
    /// The proxy on the way to gateways.
    pub(in crate::connector) tunnel_proxy: Option<String>,
}

impl Connector {
    fn now(&self) -> Timestamp {
        self.renewal.clock.now()
    }

    /// What keeps it from serving; nothing where it serves.
    fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        if self.stop.is_cancelled() {
            lacks.push("it is stopping and takes nothing new".to_owned());
        }
        if self.status.open() == 0 {
            lacks.push("there is no tunnel to any gateway".to_owned());
        }
        let ends = self.renewal.identity.identity().not_after;
        if self.now() >= ends {
            lacks.push(format!(
                "its certificate has ended at {}",
                ends.to_rfc3339()
            ));
        }
        lacks
    }
}

impl Observed for Connector {
    fn samples(&self, page: &mut Page) {
        page.gauge(BUILD_INFO)
            .row(&[env!("CARGO_PKG_VERSION")], 1.0);
        let stopping = self.stop.is_cancelled();
        page.value(DRAINING, if stopping { 1.0 } else { 0.0 });
        let generation = u32::try_from(self.backend.number()).unwrap_or(u32::MAX);
        page.value(CONFIG_GENERATION, f64::from(generation));
        let is_behind = self.backend.is_behind.load(Ordering::Relaxed);
        page.value(CONFIG_CURRENT, if is_behind { 0.0 } else { 1.0 });
        let mut open: BTreeMap<String, u32> = BTreeMap::new();
        for entry in self.status.entries() {
            let open = open.entry(entry.gateway).or_default();
            *open += u32::from(entry.state == State::Open);
        }
        let mut gauge = page.gauge(CONNECTOR_TUNNELS);
        for (gateway, tunnels) in open {
            gauge.row(&[&gateway], f64::from(tunnels));
        }
        page.value(CONNECTOR_STREAMS, count(self.status.in_flight.count()));
        page.value(BACKEND_IDLE, count(self.backend.idle_connections()));
        if let Some(skew) = self.renewal.clock_skew() {
            page.value(CLOCK_SKEW, seconds(skew));
        }
        let identity = self.renewal.identity.identity();
        let left = identity.not_after.0.saturating_sub(self.now().0);
        let values = ["connector", identity.id.as_str()];
        page.gauge(CERTIFICATE_EXPIRY).row(&values, seconds(left));
    }

    fn missing(&self) -> BoxFuture<'_, Vec<String>> {
        std::future::ready(self.lacks()).boxed()
    }

    fn status(&self) -> Option<Value> {
        let identity = self.renewal.identity.identity();
        let connections: Vec<_> = self.status.entries().iter().map(connection).collect();
        let reach = self.backend.reach();
        Some(json!({
            "id": identity.id.as_str(),
            "group": identity.group.as_str(),
            "version": env!("CARGO_PKG_VERSION"),
            "time": self.now().to_rfc3339(),
            "missing": self.lacks(),
            "certificate": {
                "issued": identity.issued.to_rfc3339(),
                "ends": identity.not_after.to_rfc3339(),
                "renewal": identity.renewal().to_rfc3339(),
            },
            "tunnels": self.status.open(),
            "connections": connections,
            "in_flight": self.status.in_flight.count(),
            "open_files": most_descriptors(),
            "clock_skew_seconds": self.renewal.clock_skew(),
            "allow": reach.lines,
            "tunnel_proxy": self.tunnel_proxy,
            "backend_proxy": reach.proxy,
        }))
    }
}

fn connection(entry: &Entry) -> Value {
    let (state, retry) = match entry.state {
        State::Dialling => ("dialling", None),
        State::Open => ("open", None),
        State::Waiting(until) => ("waiting", Some(until.duration_since(Instant::now()))),
    };
    let failure = entry
        .failure
        .as_ref()
        .map(|(at, Reason { code, text })| json!({ "at": at.to_rfc3339(), "code": code, "reason": text }));
    json!({
        "gateway": entry.gateway,
        "route": entry.route,
        "connection": entry.number,
        "state": state,
        "since": entry.since.to_rfc3339(),
        "retry_in_ms": retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)),
        "failure": failure,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and seconds are far below 2 to the 52nd"
)]
fn seconds(seconds: i64) -> f64 {
    seconds as f64
}

fn count(count: usize) -> f64 {
    seconds(i64::try_from(count).unwrap_or(i64::MAX))
}
