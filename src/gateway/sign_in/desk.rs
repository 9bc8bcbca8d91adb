//! The sign-in host and its identity providers, as one configuration has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::provider::Provider;
use crate::auth::{Session, SessionHost};
use crate::clock::Clock;
use crate::config::{GatewayConfig, IdentityProvider};
use crate::model::{ExternalUrl, Finding, SignIn};
use crate::net::{Dialler, Resolver};

/// The sign-in host and its providers.
#[derive(Debug)]
pub(crate) struct Desk {
    settings: SignIn,
    host: SessionHost,
    providers: Vec<Arc<Provider>>,
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
        Ok(Some(Self {
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

    pub(super) const fn settings(&self) -> &SignIn {
        &self.settings
    }

    pub(super) fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    pub(super) fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        let mut all = self.providers.iter();
        all.find(|provider| provider.config().name.as_str() == name)
    }

    /// Whether the provider that vouched for somebody still does: one of this name with this issuer is
    /// configured, or with this tenant.
    pub(crate) fn vouches_for(&self, session: &Session) -> bool {
        let sign_in = session.sign_in();
        let provider = self.provider(&sign_in.person.provider);
        provider.is_some_and(|provider| provider.config().is_issuer(&sign_in.issuer))
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

/// Looks at what identity providers name: secrets, keys and certificates.
///
/// # Errors
/// With all that cannot be read.
pub fn look_at_providers(config: &GatewayConfig, clock: &Clock) -> Result<(), Vec<Finding>> {
    Desk::after(None, config, clock).map(drop)
}
