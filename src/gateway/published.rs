//! An application as the gateway serves it: what it is, and what is known and counted of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::HeaderValue;

use super::affinity::Cookie;
use super::failover::Failover;
use super::limits::Load;
use super::probing::Probe;
use super::rates::Rates;
use super::sign_on::Password;
use super::translated::BodyMeter;
use super::written::Written;
use crate::model::{Affinity, Application, ExternalUrl};
use crate::telemetry::RequestMeter;
use crate::tunnel::{Profile, ProfileHash};

/// An application with what its connectors must know of it.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) application: Arc<Application>,
    /// The profile's text.
    pub(crate) profile: String,
    /// The profile's name.
    pub(crate) hash: ProfileHash,
    /// Counts its requests.
    pub(crate) meter: Arc<RequestMeter>,
    /// Which of its groups serves it.
    pub(super) failover: Arc<Failover>,
    /// What it has in tunnels.
    pub(super) load: Arc<Load>,
    /// How fast its requests may come.
    pub(super) rates: Arc<Rates>,
    /// Keeps a visitor where it is, if a cookie does.
    pub(super) cookie: Option<Cookie>,
    /// What browsers are told of its host.
    pub(super) hsts: Option<HeaderValue>,
    /// Others are published on its host, or may be: it lies below a path.
    pub(super) shares_host: bool,
    /// How it is asked whether it is alive, if it is.
    pub(super) probe: Option<Probe>,
    /// With what people come to it, if it is one for all.
    pub(super) password: Option<Arc<Password>>,
    /// The log was told that it asks for NTLM or Negotiate.
    pub(super) asks_for_connections: Arc<AtomicBool>,
    /// Counts its bodies that are looked through.
    pub(super) bodies: Arc<BodyMeter>,
    /// Where programs write its data.
    pub(super) written: Arc<Written>,
    /// Where they write its pages.
    pub(super) edited: Arc<Written>,
}

impl Published {
    /// An application under its first external URL. What `before` counted and learnt goes on where
    /// it still means the same.
    pub(super) fn new(
        application: &Arc<Application>,
        shares_host: bool,
        before: Option<&Self>,
    ) -> Self {
        let was = before.map(|before| (before, &*before.application));
        let still = |same: fn(&Application, &Application) -> bool| {
            let unchanged = was.filter(|(_, was)| same(was, application));
            unchanged.map(|(before, _)| before)
        };
        let same_ways = still(|a, b| a.internal == b.internal && a.connectors == b.connectors);
        let same_load =
            same_ways.filter(|b| b.application.limits.requests == application.limits.requests);
        let same_rates = still(|a, b| {
            let rates = |a: &Application| (a.limits.rate, a.limits.rate_per_address);
            rates(a) == rates(b)
        });
        let profile = Profile::new(&application.timeouts, application.backend_protocol)
            .with_proxy_protocol(application.proxy_protocol);
        let cookie = || Cookie::of(&application.external);
        let check = application.health_check.as_ref();
        let text = profile.text();
        Self {
            application: Arc::clone(application),
            hash: ProfileHash::of(&text),
            meter: before.map_or_else(
                || Arc::new(RequestMeter::new(application.name.as_str())),
                |before| Arc::clone(&before.meter),
            ),
            failover: same_ways.map_or_else(Arc::default, |b| Arc::clone(&b.failover)),
            load: same_load.map_or_else(
                || Load::of(application, before.map(|b| &*b.load)),
                |b| Arc::clone(&b.load),
            ),
            rates: same_rates.map_or_else(
                || {
                    Arc::new(Rates::new(
                        Some(application.name.clone()),
                        application.limits.rate,
                        application.limits.rate_per_address,
                    ))
                },
                |b| Arc::clone(&b.rates),
            ),
            cookie: (application.affinity == Some(Affinity::Cookie)).then(cookie),
            probe: check.map(|check| Probe::new(check, profile)),
            hsts: application
                .front
                .hsts
                .and_then(|hsts| HeaderValue::try_from(hsts.value()).ok()),
            password: Password::of(application),
            asks_for_connections: Arc::default(),
            bodies: before.map_or_else(
                || Arc::new(BodyMeter::new(&application.name)),
                |before| Arc::clone(&before.bodies),
            ),
            written: before.map_or_else(Arc::default, |b| Arc::clone(&b.written)),
            edited: before.map_or_else(Arc::default, |b| Arc::clone(&b.edited)),
            shares_host,
            profile: text,
        }
    }

    /// The same application under another of its external URLs. It is one: what is counted, chosen
    /// and found out of it is shared; links and origins are those of the URL that people use.
    pub(super) fn under(&self, url: &ExternalUrl, shares_host: bool) -> Self {
        let application = Application {
            external: url.clone(),
            ..(*self.application).clone()
        };
        Self {
            cookie: self.cookie.is_some().then(|| Cookie::of(url)),
            application: Arc::new(application),
            profile: self.profile.clone(),
            hash: self.hash.clone(),
            meter: Arc::clone(&self.meter),
            failover: Arc::clone(&self.failover),
            load: Arc::clone(&self.load),
            rates: Arc::clone(&self.rates),
            hsts: self.hsts.clone(),
            password: self.password.clone(),
            asks_for_connections: Arc::clone(&self.asks_for_connections),
            bodies: Arc::clone(&self.bodies),
            written: Arc::clone(&self.written),
            edited: Arc::clone(&self.edited),
            shares_host,
            // It is asked once.
            probe: None,
        }
    }
}
