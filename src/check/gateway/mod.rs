//! A gateway: its files, its host, its names, its providers, its connectors.

mod connectors;
mod listeners;
mod names;
mod providers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use tokio::time::Instant;

use super::{Area, Line, system};
use crate::certs::Loaded;
use crate::certs::diagnose::{Certificate, covers};
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::model::{Finding, HostPattern, Mode, Scheme, Severity};
use crate::net::Resolver;
use crate::store::ConnectorRecord;

/// What every visitor refuses. A gateway starts with it all the same.
const REFUSED: [&str; 3] = [
    "certificate_expired",
    "certificate_not_yet_valid",
    "certificate_is_authority",
];

/// The unit of its service.
const GATEWAY_UNIT: &str = "appproxy-gateway.service";

/// What is known before anything is asked.
#[derive(Debug)]
pub struct Known<'a> {
    /// The configuration, as start-up takes it.
    pub config: &'a GatewayConfig,
    /// Whether all of its applications are in it, and not one alone that is looked at.
    pub is_whole: bool,
    /// Its certificates.
    pub loaded: &'a Loaded,
    /// Whether all of them could be loaded.
    pub has_all_certificates: bool,
    /// Now.
    pub clock: &'a Clock,
    /// The gateway that runs with it, on this host.
    pub running: Running,
    /// The connectors in its store; `None` where it cannot be opened, or is not there yet.
    pub connectors: Option<&'a [ConnectorRecord]>,
    /// Where people are sent back to after a sign-in.
    pub redirect_uri: Option<String>,
}

/// The gateway that runs.
#[derive(Debug)]
pub enum Running {
    /// There is none.
    No,
    /// It told of itself.
    Told {
        /// Where it listens; one of an earlier version does not tell.
        listening: Option<Vec<SocketAddr>>,
        /// How many files and sockets it may have open; `None` where there is no limit, or it does not tell.
        open_files: Option<u64>,
        /// The connectors that have a tunnel to it, by their identifiers.
        connected: Vec<String>,
    },
    /// There is one, and nothing is known of it.
    Unheard,
}

/// Looks at everything, side by side, and until then.
pub async fn check(known: &Known<'_>, deadline: Instant) -> Vec<Line> {
    let mut lines = match known.running {
        Running::No => system::limits(None, GATEWAY_UNIT),
        Running::Told { open_files, .. } => system::limits(Some(open_files), GATEWAY_UNIT),
        Running::Unheard => {
            let why = "the gateway that runs does not tell";
            vec![
                Line::skip(Area::System, system::OPEN_FILES, why),
                system::ports(),
            ]
        }
    };
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

/// A place that browsers open, with the application that names it first.
struct Opened<'a> {
    host: &'a HostPattern,
    scheme: Scheme,
    port: u16,
    whose: String,
}

/// Each once: a host may be there by several ports, and by both schemes.
fn opened(config: &GatewayConfig) -> Vec<Opened<'_>> {
    let mut places: BTreeMap<_, Opened<'_>> = BTreeMap::new();
    for application in &config.applications {
        for url in application.external_urls() {
            let key = (url.host.to_string(), url.port);
            places.entry(key).or_insert_with(|| Opened {
                host: &url.host,
                scheme: url.scheme,
                port: url.port,
                whose: format!("of {}", application.name),
            });
        }
    }
    places.into_values().collect()
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
        let found = loaded.warnings.iter().map(|one| Finding {
            severity: match REFUSED.contains(&one.code) {
                true => Severity::Error,
                false => one.severity,
            },
            ..one.clone()
        });
        lines.extend(found.map(|one| Line::found(Area::Certificates, &subject, one)));
        there.extend(leaf);
    }
    let mut wanted: Vec<_> = opened(known.config)
        .into_iter()
        .filter(|one| one.scheme == Scheme::Https && !is_passed_through(known.config, one.host))
        .map(|one| (one.host.to_string(), one.host.clone(), one.whose))
        .collect();
    wanted.dedup_by(|one, before| one.0 == before.0);
    if let Some(sign_in) = &known.config.sign_in {
        let host = HostPattern::Exact(sign_in.host.clone());
        wanted.push((host.to_string(), host, "where people sign in".to_owned()));
    }
    for (name, host, whose) in wanted {
        let is_covered = there.iter().any(|one| covers(one, &host));
        if !is_covered && !known.has_all_certificates {
            let why = "a certificate could not be read, and it may be the one for this name";
            lines.push(Line::skip(Area::Certificates, name, why));
        } else if !is_covered {
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
