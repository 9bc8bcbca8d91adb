//! Identity providers: what an operator says of them.

mod read;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::AuthorityFile;
use super::proxy::ProxySetting;
use crate::clock::Timestamp;
use crate::model::{
    ClaimNames, Finding, Place, Preset, Prompt, ProviderName, Proxy, SecretSource,
    SigningAlgorithm, UserinfoUse,
};

pub(in crate::config) use read::read;

/// What Entra's shared issuers have in a tenant's place.
const SHARED: [&str; 2] = ["common", "organizations"];

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
    /// One that nobody has configured: a program asks it for a token for itself, and has no secret there.
    #[must_use]
    pub fn of_program(
        issuer: Arc<str>,
        client_id: Arc<str>,
        extra_ca: Option<AuthorityFile>,
    ) -> Option<Self> {
        Some(Self {
            place: Place::default(),
            name: ProviderName::new("provider").ok()?,
            display_name: Arc::clone(&issuer),
            preset: None,
            issuer,
            tenants: Vec::new(),
            client_id,
            authentication: ClientAuthentication::Public,
            scopes: Vec::new(),
            claims: ClaimNames::default(),
            trust_email: false,
            allowed_algorithms: SigningAlgorithm::ALL.to_vec(),
            max_age: None,
            prompt: None,
            acr_values: Vec::new(),
            userinfo: UserinfoUse::Never,
            proxy: ProxySetting::Unsaid,
            extra_ca,
            recheck: None,
            timeout: read::TIMEOUT,
        })
    }

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

    /// Whether this is its issuer; where it has tenants, that of one of them.
    #[must_use]
    pub fn is_issuer(&self, issuer: &str) -> bool {
        if self.tenants.is_empty() {
            return *self.issuer == *issuer;
        }
        let is_tenant = |part: &str| {
            let mut all = self.tenants.iter();
            all.any(|tenant| tenant.eq_ignore_ascii_case(part))
        };
        let (mut own, mut other) = (self.issuer.split('/'), issuer.split('/'));
        loop {
            match (own.next(), other.next()) {
                (None, None) => return true,
                (Some(own), Some(other)) if SHARED.contains(&own) && is_tenant(other) => {}
                (Some(own), Some(other)) if own == other && !SHARED.contains(&own) => {}
                _ => return false,
            }
        }
    }

    /// An issuer of people who may sign in: its own, or that of the first of its tenants.
    #[must_use]
    pub fn some_issuer(&self) -> Arc<str> {
        let Some(tenant) = self.tenants.first() else {
            return Arc::clone(&self.issuer);
        };
        let part = |part| {
            if SHARED.contains(&part) {
                &**tenant
            } else {
                part
            }
        };
        let parts: Vec<_> = self.issuer.split('/').map(part).collect();
        parts.join("/").into()
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::GatewayConfig;

    #[test]
    fn an_issuer_is_one_s_own_or_one_of_its_tenants() {
        const TENANT: &str = "8d1f0c3a-5b0e-4a51-9a55-0f6c1c1f2a3b";
        let text = format!(
            "
version: 1
kind: gateway
listen: {{ https: ['[::]:443'] }}
store: sqlite:x
certificates: [{{ chain: a, key: b }}]
identity_providers:
  - {{ name: corp, issuer: 'https://sso.example.com/', client_id: x }}
  - {{ name: entra, preset: entra, issuer: 'https://login.microsoftonline.com/organizations/v2.0', client_id: x, tenants: [{TENANT}] }}
"
        );
        let config = GatewayConfig::from_text(Path::new("gateway.yaml"), &text).unwrap();
        let [corp, entra] = &config.identity_providers[..] else {
            unreachable!()
        };
        let of = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
        assert!(corp.is_issuer("https://sso.example.com/"));
        assert!(!corp.is_issuer("https://sso.example.com"));
        assert_eq!(&*corp.some_issuer(), "https://sso.example.com/");
        assert!(entra.is_issuer(&of(TENANT)) && entra.is_issuer(&of(&TENANT.to_uppercase())));
        assert_eq!(*entra.some_issuer(), of(TENANT));
        for other in [
            of("organizations"),
            of("00000000-0000-0000-0000-000000000000"),
            format!("{}/{TENANT}", of(TENANT)),
            format!("https://evil.example/{TENANT}/v2.0"),
            String::new(),
        ] {
            assert!(!entra.is_issuer(&other), "{other}");
        }
    }
}
