//! A gateway: its files, its host, its names, its providers, its connectors.

mod connectors;
mod listeners;
mod names;
mod providers;

use std::collections::BTreeMap;
use std::path::Path;

use tokio::time::Instant;

use super::{Area, Line, PATIENCE, system};
use crate::certs::Loaded;
use crate::certs::diagnose::{Certificate, covers};
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::model::{Finding, HostPattern, Mode, Scheme};
use crate::net::Resolver;
use crate::store::ConnectorRecord;

/// What is known before anything is asked.
#[derive(Debug)]
pub struct Known<'a> {
    /// The configuration, as start-up takes it.
    pub config: &'a GatewayConfig,
    /// Whether all of its applications are in it, and not one alone that is looked at.
    pub is_whole: bool,
    /// Its certificates.
    pub loaded: &'a Loaded,
    /// Now.
    pub clock: &'a Clock,
    /// Whether a gateway runs with it, on this host.
    pub runs: bool,
    /// The connectors that have a tunnel to it, by their identifiers.
    pub connected: Vec<String>,
    /// The connectors in its store; `None` where it cannot be opened, or is not there yet.
    pub connectors: Option<&'a [ConnectorRecord]>,
    /// Where people are sent back to after a sign-in.
    pub redirect_uri: Option<String>,
}

/// Looks at everything, side by side.
pub async fn check(known: &Known<'_>) -> Vec<Line> {
    let deadline = Instant::now() + PATIENCE;
    let mut lines = system::limits();
    // A name alone lies in this folder.
    let folder = known.config.store.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    lines.push(system::room(folder.unwrap_or_else(|| Path::new("."))));
    lines.extend(certificates(known));
    lines.extend(listeners::look(known));
    let resolver = Resolver::new(&[], BTreeMap::new());
    let names = names::look(known, &resolver, deadline);
    let providers = providers::look(known, deadline);
    let (names, providers) = tokio::join!(names, providers);
    lines.extend(names);
    lines.extend(providers);
    lines.extend(connectors::look(known));
    lines.sort_by_key(|line| line.area);
    lines
}

/// Each host that browsers open over TLS, once, with the one that names it.
fn hosts(config: &GatewayConfig) -> BTreeMap<String, (&HostPattern, Scheme, u16, String)> {
    let mut hosts = BTreeMap::new();
    for application in &config.applications {
        for url in application.external_urls() {
            hosts.entry(url.host.to_string()).or_insert_with(|| {
                (
                    &url.host,
                    url.scheme,
                    url.port,
                    format!("of {}", application.name),
                )
            });
        }
    }
    hosts
}

/// What is wrong with the certificates, and for which hosts there is none.
fn certificates(known: &Known<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut there = Vec::new();
    for loaded in &known.loaded.certificates {
        let names: Vec<_> = loaded.names.iter().map(ToString::to_string).collect();
        let subject = names.join(", ");
        let leaf = loaded
            .key
            .cert
            .first()
            .and_then(|der| Certificate::read(der.clone()));
        if loaded.warnings.is_empty() {
            let seen = format!("good until {}", loaded.not_after.to_rfc3339());
            lines.push(Line::pass(Area::Certificates, &subject, seen));
        }
        let found = loaded.warnings.iter();
        lines.extend(found.map(|one| Line::found(Area::Certificates, &subject, one.clone())));
        there.extend(leaf);
    }
    let mut wanted: Vec<_> = hosts(known.config)
        .into_iter()
        .filter(|(_, (host, scheme, ..))| {
            *scheme == Scheme::Https && !is_passed_through(known.config, host)
        })
        .map(|(name, (host, _, _, whose))| (name, host.clone(), whose))
        .collect();
    if let Some(sign_in) = &known.config.sign_in {
        let host = HostPattern::Exact(sign_in.host.clone());
        wanted.push((host.to_string(), host, "where people sign in".to_owned()));
    }
    for (name, host, whose) in wanted {
        if !there.iter().any(|one| covers(one, &host)) {
            let finding = Finding::error(
                "name_not_covered",
                format!("no certificate is for {name} ({whose}): browsers refuse it"),
                format!(
                    "have one issued for {name}, and name it under `certificates`; `appproxy check-cert FILE --config {}` tells whether it fits",
                    known.config.file.display()
                ),
            );
            lines.push(Line::found(Area::Certificates, name, finding));
        }
    }
    lines
}

/// Whether TLS ends at the application itself, which has the certificate.
fn is_passed_through(config: &GatewayConfig, host: &HostPattern) -> bool {
    let mut all = config.applications.iter();
    all.any(|one| {
        one.mode == Mode::TlsPassthrough && one.external_urls().any(|url| url.host == *host)
    })
}
