//! The configuration in force: built whole, swapped whole.
//!
//! A request looks here once and goes by what it found to its end, so no request sees half of one
//! configuration and half of another. What is counted and learnt of an application goes over to the
//! next configuration where it is still the same application; see [`RouteTable::after`].

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::observe::Expiries;
use super::probing;
use super::rates::Rates;
use super::respond::pages::Theme;
use super::route::RouteTable;
use super::sign_in::Desk;
use super::{Gateway, StartError, affordable, tls};
use crate::auth::Identity;
use crate::certs::{ClientAuthorities, Loaded};
use crate::clock::Clock;
use crate::config::{Change, GatewayConfig, StartOnly, What};
use crate::model::Finding;
use crate::net::TunnelSockets;
use crate::telemetry::metrics::CONFIG_RELOADS;
use crate::translate::Table;

/// One configuration as the gateway works by it.
#[derive(Debug)]
pub(super) struct Current {
    /// Counts configurations from 1, the one of the start.
    pub(super) generation: u64,
    /// As it was read and checked.
    pub(super) config: GatewayConfig,
    pub(super) table: RouteTable,
    /// Where links between applications lead.
    pub(super) links: Arc<Table>,
    /// How fast one address may ask for anything.
    pub(super) rates: Arc<Rates>,
    /// For browsers and programs.
    pub(super) people_tls: Arc<tls::People>,
    pub(super) expiries: Expiries,
    /// How our own pages look.
    pub(super) theme: Theme,
    /// Where people sign in; `None` where nobody does.
    pub(super) desk: Option<Desk>,
    loaded: Loaded,
    /// What tunnels' sockets are set to.
    pub(super) sockets: TunnelSockets,
    /// Another one is in force.
    pub(super) superseded: CancellationToken,
}

/// What was read last and is not in force, because it was refused.
#[derive(Debug, Default)]
pub(super) struct Refused {
    configuration: AtomicBool,
    certificates: AtomicBool,
}

/// Why a configuration that is right in itself is not taken by a running gateway.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It differs where only a start counts.
    #[error("`{}` counts only at the start", .0.iter().map(|key| key.key).collect::<Vec<_>>().join("`, `"))]
    NeedsRestart(Vec<StartOnly>),
    /// TLS cannot be set up with its certificates.
    #[error(transparent)]
    Tls(#[from] StartError),
}

/// What a new configuration came to.
#[derive(Debug)]
pub struct Applied {
    /// The number of the configuration in force.
    pub generation: u64,
    /// What is different by it.
    pub changes: Vec<Change>,
}

/// What keeps our own pages from looking as they are to look.
#[must_use]
pub fn look_at_pictures(config: &GatewayConfig) -> Option<Finding> {
    let theme = Theme::new(&config.brand, &config.applications);
    theme.err().map(|error| error.finding())
}

impl Current {
    /// The next one after `before`.
    pub(super) fn after(
        before: Option<&Self>,
        config: GatewayConfig,
        loaded: Loaded,
        clock: &Clock,
    ) -> Result<Self, StartError> {
        // Sessions that clients would resume are known to the one alone that began them.
        let same_files = |b: &&Self| b.loaded.is_same_as(&loaded);
        let people_tls = match before.filter(same_files) {
            Some(before) => Arc::clone(&before.people_tls),
            None => {
                let by_name = tls::ByName::new(&loaded.certificates);
                let by_name = by_name.ok_or(StartError::NoCertificate)?;
                Arc::new(tls::People::new(by_name, &loaded.client_authorities)?)
            }
        };
        let same_rate = |b: &&Self| b.config.rate_per_address == config.rate_per_address;
        Ok(Self {
            generation: before.map_or(1, |before| before.generation + 1),
            table: RouteTable::after(before.map(|b| &b.table), &config.applications),
            links: Arc::new(Table::new(&config.applications)),
            rates: before.filter(same_rate).map_or_else(
                || Arc::new(Rates::new(None, None, config.rate_per_address)),
                |before| Arc::clone(&before.rates),
            ),
            people_tls,
            theme: Theme::new(&config.brand, &config.applications)?,
            desk: Desk::after(before.and_then(|b| b.desk.as_ref()), &config, clock)
                .map_err(StartError::Providers)?,
            expiries: Expiries::of(&loaded.certificates),
            sockets: TunnelSockets::new(config.congestion.clone()),
            superseded: CancellationToken::new(),
            loaded,
            config,
        })
    }
}

impl Current {
    /// The authorities of a file, which count where it is named.
    pub(super) fn client_authorities(&self, ca: &Path) -> Option<&Arc<ClientAuthorities>> {
        let mut all = self.loaded.client_authorities.iter();
        all.find(|one| one.file == ca)
    }

    /// Whether the provider that said who somebody is, where one did, is still believed.
    pub(super) fn vouches_for(&self, identity: &Identity) -> bool {
        let by_provider = matches!(identity, Identity::Session(_) | Identity::Bearer(_));
        let desk = self.desk.as_ref();
        !by_provider || desk.is_some_and(|desk| desk.vouches_for(identity))
    }
}

/// Which authorities came and went in files that were named before and after.
fn of_authorities(before: &Loaded, after: &Loaded) -> Vec<Change> {
    let mut changes = Vec::new();
    for own in &after.client_authorities {
        let was = before
            .client_authorities
            .iter()
            .find(|one| one.file == own.file);
        let Some(was) = was.filter(|was| was.names != own.names) else {
            continue;
        };
        let gone = was.names.iter().any(|name| !own.names.contains(name));
        let new = own.names.iter().any(|name| !was.names.contains(name));
        changes.push(Change {
            application: None,
            what: What::Setting {
                key: format!("client_certificates.ca {}", own.file.display()),
                before: was.names.join(", "),
                after: own.names.join(", "),
            },
            wider: new,
            narrower: gone,
        });
    }
    changes
}

impl Gateway {
    /// The configuration in force at this moment.
    pub(super) fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// The configuration in force, as it was read.
    #[must_use]
    pub fn config(&self) -> GatewayConfig {
        self.current().config.clone()
    }

    /// The configuration in force, and what is cancelled when another takes its place.
    #[must_use]
    pub fn config_and_end(&self) -> (GatewayConfig, CancellationToken) {
        let current = self.current();
        (current.config.clone(), current.superseded.clone())
    }

    /// The number of the configuration in force; the one of the start is 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.current().generation
    }

    /// Puts another configuration in force, with its certificates. Requests that began go on as they
    /// began, unless nothing lets them in any more: those are cut.
    ///
    /// # Errors
    /// Where it cannot be taken; all is as it was then.
    pub fn apply(
        self: &Arc<Self>,
        config: GatewayConfig,
        loaded: Loaded,
    ) -> Result<Applied, ApplyError> {
        // One at a time: each is compared with the one that is in force when it comes.
        let _applying = self
            .applying
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = self.current();
        let needs_restart = StartOnly::between(&before.config, &config);
        if !needs_restart.is_empty() {
            return Err(ApplyError::NeedsRestart(needs_restart));
        }
        let mut changes = Change::between(&before.config, &config);
        changes.extend(of_authorities(&before.loaded, &loaded));
        let next = Arc::new(Current::after(Some(&before), config, loaded, &self.clock)?);
        let config = &next.config;
        self.clients
            .limit(config.requests_per_address, config.requests_total);
        self.crowd.limit(affordable(
            config.connections,
            config.connections_are_written,
        ));
        self.drain.set_times(config.drain);
        self.issuer.set_lives(config.connector_certificates);
        self.sessions.set(super::session_settings(config));
        self.enrolment.set_gateways(config.listen.public.clone());
        self.current.store(Arc::clone(&next));
        self.probe(&next);
        self.signer.look();
        before.superseded.cancel();
        Ok(Applied {
            generation: next.generation,
            changes,
        })
    }

    /// Whether these are in force already.
    #[must_use]
    pub fn has(&self, config: &GatewayConfig, loaded: &Loaded) -> bool {
        let current = self.current();
        current.loaded.is_same_as(loaded)
            && Change::between(&current.config, config).is_empty()
            && StartOnly::between(&current.config, config).is_empty()
            && Theme::new(&config.brand, &config.applications)
                .is_ok_and(|theme| theme.is_same_as(&current.theme))
    }

    /// Notes how an attempt to have another configuration ended, or, with `of_certificates`, the
    /// certificates of the same one.
    pub fn note_reload(&self, done: bool, of_certificates: bool) {
        CONFIG_RELOADS.count(&[if done { "done" } else { "refused" }]);
        if done && !of_certificates {
            return self.note_current();
        }
        let refused = match of_certificates {
            true => &self.refused.certificates,
            false => &self.refused.configuration,
        };
        refused.store(!done, Ordering::Relaxed);
    }

    /// Notes that what is in force is what was read last.
    pub fn note_current(&self) {
        self.note_certificates();
        self.refused.configuration.store(false, Ordering::Relaxed);
    }

    /// Notes that the certificates in force are those that were read last.
    pub fn note_certificates(&self) {
        self.refused.certificates.store(false, Ordering::Relaxed);
    }

    /// Whether what was read last is not in force.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let Refused {
            configuration,
            certificates,
        } = &self.refused;
        configuration.load(Ordering::Relaxed) || certificates.load(Ordering::Relaxed)
    }

    /// Begins to ask whether the applications of a configuration are alive.
    pub(super) fn probe(self: &Arc<Self>, current: &Arc<Current>) {
        for published in current.table.all() {
            if published.probe.is_some() {
                let published = Arc::clone(published);
                let until = current.superseded.clone();
                tokio::spawn(probing::run(Arc::clone(self), published, until));
            }
        }
    }
}
