//! What a gateway tells of itself: gauges read from its state, and whether it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::Gateway;
use crate::certs::{GATEWAY_NAME, LoadedCertificate};
use crate::clock::Timestamp;
use crate::telemetry::Observed;
use crate::telemetry::metrics::{
    BUILD_INFO, CERTIFICATE_EXPIRY, CONFIG_CURRENT, CONFIG_GENERATION, CONNECTIONS_OPEN,
    CONNECTORS, DRAINING, GROUP_CONNECTORS, LAST_SEEN, Page, REQUESTS_IN_FLIGHT, TUNNEL_PLACES,
    TUNNEL_RTT, TUNNEL_STREAMS, TUNNELS, WEBSOCKETS_OPEN,
};

/// How long the store may take to say that it is there.
const STORE: Duration = Duration::from_secs(2);

/// The states of connectors, so that a state nobody is in is 0 and not absent.
const STATES: [&str; 4] = ["connected", "away", "inactive", "hidden"];

/// When certificates for people end, by their first names; of two the one that ends first.
#[derive(Debug)]
pub(super) struct Expiries(BTreeMap<String, Timestamp>);

impl Expiries {
    pub(super) fn of(certificates: &[LoadedCertificate]) -> Self {
        let mut first = BTreeMap::new();
        for certificate in certificates {
            let name = certificate.names.first().map(ToString::to_string);
            let ends = first
                .entry(name.unwrap_or_default())
                .or_insert(certificate.not_after);
            *ends = certificate.not_after.min(*ends);
        }
        Self(first)
    }
}

/// What the tunnels of one connector carry.
#[derive(Debug, Default)]
struct Load {
    tunnels: u32,
    streams: u32,
    places: u32,
    /// Of the tunnel that is quickest.
    rtt: Option<Duration>,
}

impl Gateway {
    fn sample_connectors(&self, page: &mut Page) {
        let mut loads: BTreeMap<_, Load> = BTreeMap::new();
        let rows = self.presence.rows(self.clock.now());
        // Those who have been away for long would only lengthen the page.
        let shown: Vec<_> = rows.iter().filter(|row| row.state != "hidden").collect();
        for row in &shown {
            loads
                .entry((row.group.clone(), row.connector.clone()))
                .or_default();
        }
        for tunnel in self.tunnels.live() {
            let key = (tunnel.group.clone(), tunnel.connector.clone());
            let load = loads.entry(key).or_default();
            load.tunnels += 1;
            load.streams += tunnel.in_flight();
            load.places += tunnel.places();
            let rtt = tunnel.round_trip.last();
            load.rtt = load.rtt.into_iter().chain(rtt).min();
        }
        for (metric, value) in [
            (TUNNELS, (|l| l.tunnels) as fn(&Load) -> u32),
            (TUNNEL_STREAMS, |l| l.streams),
            (TUNNEL_PLACES, |l| l.places),
        ] {
            let mut gauge = page.gauge(metric);
            for ((group, connector), load) in &loads {
                gauge.row(
                    &[group.as_str(), connector.as_str()],
                    f64::from(value(load)),
                );
            }
        }
        let mut gauge = page.gauge(TUNNEL_RTT);
        for ((group, connector), load) in &loads {
            if let Some(rtt) = load.rtt {
                gauge.row(&[group.as_str(), connector.as_str()], rtt.as_secs_f64());
            }
        }
        let mut groups: BTreeMap<_, u32> = BTreeMap::new();
        let current = self.current();
        for group in current.table.groups().chain(rows.iter().map(|r| &r.group)) {
            groups.entry(group.clone()).or_default();
        }
        let here: BTreeSet<_> = loads
            .iter()
            .filter(|(_, load)| load.tunnels > 0)
            .collect::<BTreeMap<_, _>>()
            .into_keys()
            .collect();
        for (group, _) in here {
            *groups.entry(group.clone()).or_default() += 1;
        }
        let mut gauge = page.gauge(GROUP_CONNECTORS);
        for (group, connectors) in &groups {
            gauge.row(&[group.as_str()], f64::from(*connectors));
        }
        let mut gauge = page.gauge(CONNECTORS);
        for group in groups.keys() {
            for state in STATES {
                let is_it = |row: &&super::presence::Row| row.group == *group && row.state == state;
                let count = rows.iter().filter(is_it).count();
                gauge.row(
                    &[group.as_str(), state],
                    u32::try_from(count).unwrap_or(u32::MAX).into(),
                );
            }
        }
        let mut gauge = page.gauge(LAST_SEEN);
        for row in shown {
            let values = [row.group.as_str(), row.connector.as_str()];
            gauge.row(&values, seconds(row.age));
        }
    }
}

impl Observed for Gateway {
    fn samples(&self, page: &mut Page) {
        page.gauge(BUILD_INFO)
            .row(&[env!("CARGO_PKG_VERSION")], 1.0);
        page.value(CONFIG_GENERATION, count_of(self.generation()));
        page.value(CONFIG_CURRENT, if self.is_behind() { 0.0 } else { 1.0 });
        page.value(DRAINING, if self.is_stopping() { 1.0 } else { 0.0 });
        page.value(CONNECTIONS_OPEN, count(self.connections.len()));
        page.value(WEBSOCKETS_OPEN, count(self.websockets.len()));
        let mut gauge = page.gauge(REQUESTS_IN_FLIGHT);
        let current = self.current();
        for meter in current.table.meters() {
            gauge.row(&[meter.application()], count(meter.in_flight()));
        }
        self.sample_connectors(page);
        let now = self.clock.now();
        let mut gauge = page.gauge(CERTIFICATE_EXPIRY);
        for (name, not_after) in &current.expiries.0 {
            gauge.row(
                &["people", name],
                seconds(not_after.0.saturating_sub(now.0)),
            );
        }
        let ends = self.tunnel_tls.ends();
        gauge.row(
            &["tunnel", GATEWAY_NAME],
            seconds(ends.0.saturating_sub(now.0)),
        );
    }

    fn missing(&self) -> BoxFuture<'_, Vec<String>> {
        async {
            let mut missing = Vec::new();
            if self.is_stopping() {
                missing.push("it is stopping and takes nothing new".to_owned());
            }
            if self.accept_failing.load(Ordering::Relaxed) {
                missing.push("it cannot accept connections: the log says why".to_owned());
            }
            match timeout(STORE, self.store.last_change()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => missing.push(error.to_string()),
                Err(_) => missing.push(format!("the store has not answered within {STORE:?}")),
            }
            missing
        }
        .boxed()
    }

    fn status(&self) -> Option<serde_json::Value> {
        None
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and seconds are far below 2 to the 52nd"
)]
fn seconds(seconds: i64) -> f64 {
    seconds as f64
}

fn count_of(count: u64) -> f64 {
    seconds(i64::try_from(count).unwrap_or(i64::MAX))
}

fn count(count: usize) -> f64 {
    seconds(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::super::{Memory, Parts, presence};
    use super::*;
    use crate::certs::{Authority, Loaded};
    use crate::clock::Clock;
    use crate::config::GatewayConfig;
    use crate::model::{ConnectorId, GroupName, HostPattern};
    use crate::store::{NewToken, Seen, SpendToken, Store as _};

    pub(in crate::gateway) const NOW: Timestamp = Timestamp(1_800_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    /// A gateway without a listener, over a store in memory.
    pub(in crate::gateway) async fn gateway(clock: &Clock) -> (Arc<Gateway>, Arc<Memory>) {
        let store = Arc::new(Memory::default());
        let text = "version: 1\nkind: gateway\nlisten: { https: [\"[::]:443\"] }\nstore: sqlite:x\n\
                    certificates: [{ chain: a, key: b }]\n";
        let authority = Authority::create(NOW).unwrap();
        let certificate = |days: u32, name: &str| LoadedCertificate {
            key: authority.issue_gateway(NOW).unwrap(),
            names: vec![HostPattern::Exact(crate::model::Host::parse(name).unwrap())],
            not_after: NOW.plus(days * 24 * 60 * MINUTE),
            warnings: Vec::new(),
        };
        let parts = Parts {
            config: GatewayConfig::from_text(Path::new("gateway.yaml"), text).unwrap(),
            loaded: Loaded {
                certificates: vec![
                    certificate(9, "wiki.example.com"),
                    certificate(2, "wiki.example.com"),
                    certificate(5, "blog.example.com"),
                ],
                ..Loaded::default()
            },
            store: Arc::clone(&store) as Arc<dyn crate::store::Store>,
            https: Vec::new(),
            http: Vec::new(),
            tunnel: Vec::new(),
            clock: clock.clone(),
        };
        (Gateway::start(parts).await.unwrap(), store)
    }

    fn samples(gateway: &Gateway) -> String {
        let mut page = Page::default();
        gateway.samples(&mut page);
        page.into_text()
    }

    #[tokio::test]
    async fn what_keeps_a_gateway_from_serving_is_named() {
        let (gateway, store) = gateway(&Clock::manual(NOW)).await;
        assert_eq!(gateway.missing().await, [""; 0]);
        gateway.accept_failing.store(true, Ordering::Relaxed);
        store.break_down();
        let expected = [
            "it cannot accept connections: the log says why",
            "the store cannot be used: broken",
        ];
        assert_eq!(gateway.missing().await, expected);
        gateway.stop().await;
        let missing = gateway.missing().await;
        assert_eq!(missing[0], "it is stopping and takes nothing new");
        assert_eq!(missing[1..], expected);
        assert!(samples(&gateway).contains("\nappproxy_draining 1\n"));
    }

    #[tokio::test]
    async fn certificates_and_connectors_are_told_as_of_the_clock() {
        let clock = Clock::manual(NOW);
        let (gateway, store) = gateway(&clock).await;
        let group = GroupName::new("hq").unwrap();
        let id = ConnectorId::from_random([7; 12]);
        let token = NewToken {
            id: "t1".to_owned(),
            secret_hash: [1; 32],
            group,
            uses: 1,
            created: NOW,
            expires: NOW.plus(MINUTE),
        };
        store.create_token(token).await.unwrap();
        let spend = SpendToken {
            secret_hash: [1; 32],
            public_key_hash: [2; 32],
            id: id.clone(),
            name: "rack-7".to_owned(),
            now: NOW,
        };
        store.spend_token(spend).await.unwrap().unwrap();
        let seen = Seen {
            at: NOW,
            address: [192, 0, 2, 1].into(),
            version: "1".to_owned(),
        };
        store.connector_seen(&id, seen).await.unwrap();
        for (after, state, age) in [
            (MINUTE, "away", Some(60)),
            (14 * MINUTE, "inactive", Some(900)),
            (10 * 24 * 60 * MINUTE, "hidden", None),
        ] {
            clock.advance(after);
            presence::look(&gateway).await;
            let text = samples(&gateway);
            for known in STATES {
                let count = u32::from(known == state);
                let row =
                    format!("appproxy_connectors{{group=\"hq\",state=\"{known}\"}} {count}\n");
                assert!(text.contains(&row), "{row} is not in\n{text}");
            }
            let series = format!("{{group=\"hq\",connector=\"{id}\"}}");
            for (name, value) in [("tunnels", Some(0)), ("connectors_last_seen_seconds", age)] {
                let row = value.map(|value| format!("appproxy_{name}{series} {value}\n"));
                // Whoever is hidden has no row of its own.
                let row = row.filter(|_| age.is_some());
                let is_there = text.contains(&format!("appproxy_{name}{series} "));
                assert_eq!(is_there, row.is_some(), "{name}, {state}: {text}");
                assert!(row.is_none_or(|row| text.contains(&row)), "{name}: {text}");
            }
            assert!(
                text.contains("appproxy_group_connectors{group=\"hq\"} 0\n"),
                "{text}"
            );
        }
        let left = |days: i64| days * 24 * 3600 - 10 * 24 * 3600 - 900;
        for (name, seconds) in [
            ("use=\"people\",name=\"wiki.example.com\"", left(2)),
            ("use=\"people\",name=\"blog.example.com\"", left(5)),
            (
                "use=\"tunnel\",name=\"gateway.appproxy.internal\"",
                left(30),
            ),
        ] {
            let row = format!("appproxy_certificate_expiry_seconds{{{name}}} {seconds}\n");
            assert!(
                samples(&gateway).contains(&row),
                "{row}{}",
                samples(&gateway)
            );
        }
    }
}
