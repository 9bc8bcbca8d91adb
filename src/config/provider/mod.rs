//! Identity providers: what an operator says of them.

mod read;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::AuthorityFile;
use super::proxy::ProxySetting;
use super::secret::SecretSource;
use crate::clock::Timestamp;
use crate::model::{
    ClaimNames, Finding, Place, Preset, Prompt, ProviderName, Proxy, SigningAlgorithm, UserinfoUse,
};

pub(in crate::config) use read::read;

/// When the end of a client secret is warned of.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An identity provider as it is written.
#[derive(Debug, Clone)]
pub struct IdentityProvider {
    /// Where it stands.
    pub place: Place,
    /// What it is called in rules, logs and URLs of ours.
    pub name: ProviderName,
    /// What people are shown.
    pub display_name: Arc<str>,
    /// Its make, where that is known.
    pub preset: Option<Preset>,
    /// Its issuer, to the letter; without the tenant's place filled in where `tenants` is not empty.
    pub issuer: Arc<str>,
    /// Entra's tenants that may sign in, by id in small letters; empty where the issuer is of one.
    pub tenants: Vec<Arc<str>>,
    /// Who we are there.
    pub client_id: Arc<str>,
    /// How we prove it.
    pub authentication: ClientAuthentication,
    /// What is asked for; `openid` is among them.
    pub scopes: Vec<Arc<str>>,
    /// What claims are called.
    pub claims: ClaimNames,
    /// The e-mail address counts although the provider does not say that it verified it.
    pub trust_email: bool,
    /// What tokens may be signed with.
    pub allowed_algorithms: Vec<SigningAlgorithm>,
    /// How long ago somebody may have signed in there.
    pub max_age: Option<Duration>,
    /// What it is to ask for again.
    pub prompt: Option<Prompt>,
    /// How somebody is to have signed in there, the best first.
    pub acr_values: Vec<Arc<str>>,
    /// When it is asked for more than the token says.
    pub userinfo: UserinfoUse,
    /// The proxy on the way to it.
    pub proxy: ProxySetting,
    /// Authorities to trust beside the system's.
    pub extra_ca: Option<AuthorityFile>,
    /// How often it is asked whether it still knows somebody; `None`: when its word ends.
    pub recheck: Option<Duration>,
    /// How long one exchange with it may take, from the dial to the last octet.
    pub timeout: Duration,
}

/// How we prove to a provider who we are.
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// Not at all: PKCE alone.
    Public,
    /// By a secret; the next is tried where one is refused. Never empty.
    Secrets(Vec<ClientSecret>),
    /// By signing with a key of ours (RFC 7523).
    PrivateKeyJwt {
        /// The private key, PEM.
        key: PathBuf,
        /// Where it is named.
        key_place: Place,
        /// What the provider knows it by.
        key_id: Option<Arc<str>>,
    },
}

/// One client secret.
#[derive(Debug, Clone)]
pub struct ClientSecret {
    /// Where it is.
    pub source: SecretSource,
    /// Where that is written.
    pub place: Place,
    /// The day it ends, at its beginning in UTC.
    pub expires: Option<Timestamp>,
}

impl IdentityProvider {
    /// The proxy on the way to the provider, its password read. Where no key says how it is reached,
    /// the environment does, as it does for tunnels.
    ///
    /// # Errors
    /// Where the password cannot be read, or a variable is no proxy.
    pub fn proxy(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Proxy>, Vec<Finding>> {
        let remedy = "correct the variable, or write `proxy: none` for this provider";
        self.proxy
            .open_or_environment(variable, remedy)
            .map(|(proxy, _)| proxy)
    }

    /// A warning for each client secret that has ended or soon will.
    #[must_use]
    pub fn ending_secrets(&self, now: Timestamp) -> Vec<Finding> {
        let ClientAuthentication::Secrets(secrets) = &self.authentication else {
            return Vec::new();
        };
        let warning = |secret: &ClientSecret| {
            let end = secret.expires.filter(|end| *end <= now.plus(SOON))?;
            let verb = if end <= now { "ended" } else { "ends" };
            let what = format!(
                "the client secret in {} {verb} on {} by what is written here",
                secret.source,
                &end.to_rfc3339()[..10]
            );
            let remedy = "make a new one at the provider and put it first in the list";
            let found = Finding::warning("client_secret_expires", what, remedy);
            Some(found.at(secret.place.clone()))
        };
        secrets.iter().filter_map(warning).collect()
    }
}
