//! What counts only at the start of a process.

use super::{ConnectorConfig, GatewayConfig};
use crate::model::{Finding, Place};

/// A key that a running gateway cannot take another value of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartOnly {
    /// The key.
    pub key: &'static str,
    /// Where it stands, or where what holds it does.
    pub place: Place,
}

/// The keys, as they are called where configurations are compared.
pub(super) const KEYS: [&str; 8] = [
    "listen.https",
    "listen.http",
    "listen.tunnel",
    "listen.metrics",
    "listen.admin",
    "store",
    "store_key",
    "workers",
];

impl StartOnly {
    /// The keys of which `after` has other values.
    #[must_use]
    pub fn between(before: &GatewayConfig, after: &GatewayConfig) -> Vec<Self> {
        let (was, is) = (&before.listen, &after.listen);
        let places = &after.places;
        let whole = || Place {
            file: after.file.clone(),
            ..Place::default()
        };
        let keys = [
            ("listen.https", was.https == is.https, &places.listen),
            ("listen.http", was.http == is.http, &places.listen),
            ("listen.tunnel", was.tunnel == is.tunnel, &places.listen),
            ("listen.metrics", was.metrics == is.metrics, &places.listen),
            ("listen.admin", was.admin == is.admin, &places.listen),
            ("store", before.store == after.store, &places.store),
            (
                "store_key",
                before.store_key == after.store_key,
                &places.store_key,
            ),
        ];
        let differing = keys.into_iter().filter(|(_, same, _)| !same);
        let mut found: Vec<_> = differing
            .map(|(key, _, place)| Self {
                key,
                place: place.clone(),
            })
            .collect();
        if before.workers != after.workers {
            found.push(Self {
                key: "workers",
                place: whole(),
            });
        }
        found
    }

    /// What an operator is told.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let key = self.key;
        let what = format!("`{key}` has another value, and counts only at the start");
        let remedy = "restart the gateway, or take the old value back and reload";
        Finding::error("needs_restart", what, remedy).at(self.place.clone())
    }
}

impl ConnectorConfig {
    /// A finding for each key of which `after` has another value, and that a running connector cannot
    /// take another value of.
    #[must_use]
    pub fn needs_restart(&self, after: &Self) -> Vec<Finding> {
        let keys = [
            ("gateways", self.gateways == after.gateways),
            ("state", self.state == after.state),
            ("connections", self.connections == after.connections),
            ("tunnel", self.stream_window == after.stream_window),
            ("congestion", self.congestion == after.congestion),
            ("drain", self.drain == after.drain),
            ("tunnel_proxy", self.tunnel_proxy == after.tunnel_proxy),
            ("dns", self.dns == after.dns),
            ("metrics", self.metrics == after.metrics),
            ("workers", self.workers == after.workers),
        ];
        let differing = keys.into_iter().filter(|(_, same)| !same);
        let finding = |(key, _)| {
            let what = format!("`{key}` has another value, and counts only at the start");
            let remedy = "restart the connector, or take the old value back and reload";
            let whole = Place {
                file: after.file.clone(),
                ..Place::default()
            };
            Finding::error("needs_restart", what, remedy).at(whole)
        };
        differing.map(finding).collect()
    }
}
