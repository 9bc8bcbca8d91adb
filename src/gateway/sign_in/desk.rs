//! The sign-in host and its identity providers, as one configuration has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::auth::provider::Provider;
use crate::auth::{Identity, SessionHost};
use crate::clock::Clock;
use crate::config::{GatewayConfig, IdentityProvider};
use crate::model::{ExternalUrl, Finding, Person, SignIn};
use crate::net::{Dialler, Resolver};

/// The sign-in host and its providers.
#[derive(Debug)]
pub(crate) struct Desk {
    settings: SignIn,
    host: SessionHost,
    providers: Vec<Arc<Provider>>,
    /// Those whose access tokens applications are to have.
    passed_on: BTreeSet<Arc<str>>,
}

impl Desk {
    /// As a configuration says, with what the one before knows of its providers; `None` where nobody
    /// signs in.
    ///
    /// # Errors
    /// Where what it names cannot be read.
    pub(crate) fn after(
        before: Option<&Self>,
        config: &GatewayConfig,
        clock: &Clock,
    ) -> Result<Option<Self>, Vec<Finding>> {
        let Some(settings) = &config.sign_in else {
            return Ok(None);
        };
        let url = ExternalUrl::parse(&format!("{}/", settings.origin()));
        let url = url.map_err(|e| vec![Finding::error("bad_url", e.to_string(), "correct it")])?;
        let applications = config.applications.iter();
        let tokens = applications.filter_map(|one| one.sign_on.access_token.as_ref());
        Ok(Some(Self {
            passed_on: tokens.map(|one| Arc::clone(&one.provider)).collect(),
            host: SessionHost::of(&url, &settings.host),
            settings: settings.clone(),
            providers: providers(before, &config.identity_providers, clock)?,
        }))
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> &str {
        self.host.as_str()
    }

    pub(super) const fn host(&self) -> &SessionHost {
        &self.host
    }

    pub(in crate::gateway) const fn settings(&self) -> &SignIn {
        &self.settings
    }

    pub(super) fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    pub(super) fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        let mut all = self.providers.iter();
        all.find(|provider| provider.config().name.as_str() == name)
    }

    /// Whether an application is to have the access tokens of this provider.
    pub(super) fn passes_tokens_of(&self, name: &str) -> bool {
        self.passed_on.contains(name)
    }

    /// Whether the provider that vouched for somebody still does: one of this name with this issuer is
    /// configured, or with this tenant.
    pub(crate) fn vouches_for(&self, identity: &Identity) -> bool {
        let of = |person: &Person| self.provider(&person.provider);
        match identity {
            Identity::Session(session) => {
                let sign_in = session.sign_in();
                of(&sign_in.person).is_some_and(|one| one.config().is_issuer(&sign_in.issuer))
            }
            Identity::Bearer(token) => {
                of(&token.person).is_some_and(|one| one.may_issue(&token.issuer))
            }
            // Nobody's word but the gateway's own.
            _ => true,
        }
    }

    /// What is registered at each provider.
    pub(super) fn redirect_uri(&self) -> String {
        format!("{}{}", self.origin(), super::CALLBACK)
    }
}

fn providers(
    before: Option<&Desk>,
    configured: &[Arc<IdentityProvider>],
    clock: &Clock,
) -> Result<Vec<Arc<Provider>>, Vec<Finding>> {
    let (mut made, mut found) = (Vec::new(), Vec::new());
    for config in configured {
        let proxy = match config.proxy(|name| std::env::var(name).ok()) {
            Ok(proxy) => proxy,
            Err(more) => {
                found.extend(more);
                continue;
            }
        };
        let dialler = Dialler::new(Resolver::new(&[], BTreeMap::new())).through(proxy);
        match Provider::new(Arc::clone(config), dialler, clock.clone()) {
            Ok(provider) => {
                let earlier = before.and_then(|desk| desk.provider(config.name.as_str()));
                made.push(Arc::new(match earlier {
                    Some(earlier) => provider.after(earlier),
                    None => provider,
                }));
            }
            Err(more) => found.extend(more),
        }
    }
    match found.is_empty() {
        true => Ok(made),
        false => Err(found),
    }
}

/// What has to be registered at each identity provider; `None` where nobody signs in.
#[must_use]
pub fn redirect_uri(config: &GatewayConfig) -> Option<String> {
    let sign_in = config.sign_in.as_ref()?;
    Some(format!("{}{}", sign_in.origin(), super::CALLBACK))
}

/// Looks at what identity providers name: secrets, keys and certificates.
///
/// # Errors
/// With all that cannot be read.
pub fn look_at_providers(config: &GatewayConfig, clock: &Clock) -> Result<(), Vec<Finding>> {
    Desk::after(None, config, clock).map(drop)
}
