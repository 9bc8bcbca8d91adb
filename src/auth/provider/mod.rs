//! An identity provider that speaks OpenID Connect: from a person who wants in to a
//! [`Person`] whose word is the provider's.
//!
//! | step | file |
//! |---|---|
//! | what the provider says of itself, fetched when needed and kept | `metadata`, `fetched` |
//! | its keys | `keys` |
//! | the browser's way there | [`Provider::begin`] |
//! | a code for tokens, and how we prove who we are | `exchange`, `credentials` |
//! | the form and the signature of a token | `token` |
//! | what it says, judged | `claims`, `judge` |
//! | an access token for a program at the command line | `device` |
//! | access tokens that programs come with | `access_token` |
//! | who that is, with userinfo and Microsoft Graph | `person`, `graph` |
//! | what is wrong, and what an operator can do about it | `error`, `known` |
//!
//! The flow is our own over hyper, and signatures are checked by `jsonwebtoken` on aws-lc: one reader
//! of tokens serves ID tokens and logout tokens, and every fault has a finding of its own.
//!
//! Nothing here is remembered of a sign-in under way: state, nonce and verifier are the caller's to
//! keep and to compare.

mod access_token;
mod claims;
mod client;
mod credentials;
mod device;
mod error;
mod exchange;
mod fetched;
mod graph;
mod json;
mod judge;
mod keys;
mod known;
mod metadata;
mod person;
mod probing;
mod text;
mod token;
mod values;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use claims::{Claims, Expected, Subject};
use client::Client;
use exchange::{Accepted, Exchange, Tokens};
use fetched::Fetched;
use keys::Keys;
use metadata::Metadata;
pub use person::person_of;
use token::{Purpose, Unverified};

use crate::certs;
use crate::clock::{Clock, Timestamp};
use crate::config::IdentityProvider;
use crate::model::{Finding, Person, Preset};
use crate::net::Dialler;

pub use claims::LogoutToken;
pub use device::{DeviceCode, DeviceFlow, NoToken, Resource};
pub use error::{Document, ProviderError};
pub use known::Known;
pub use probing::{Probed, Told};
pub use values::{Begin, Callback, NotRefreshed, Refreshed, SignInSecrets, SignedIn};

/// One configured provider. What it fetched is shared by all who sign in.
#[derive(Debug)]
pub struct Provider {
    config: Arc<IdentityProvider>,
    client: Client,
    clock: Clock,
    metadata: Arc<Fetched<Metadata>>,
    keys: Arc<Fetched<Keys>>,
    accepted: Accepted,
    /// Access tokens that were found good a moment ago.
    judged: access_token::Judged,
    /// The log was told that it says nothing of people when it is asked again.
    says_nothing: AtomicBool,
}

/// How long a provider may take to say who somebody is once it has given new tokens.
const TOLD_AGAIN: Duration = Duration::from_secs(5);

impl Provider {
    /// Takes a provider as it is configured. Nothing is asked of it before somebody signs in, so a
    /// gateway starts without its provider. `dialler` has the proxy on the way to it.
    ///
    /// # Errors
    /// Where a secret, a key or a certificate it names cannot be read.
    pub fn new(
        config: Arc<IdentityProvider>,
        dialler: Dialler,
        clock: Clock,
    ) -> Result<Self, Vec<Finding>> {
        let mut found = credentials::check(&config);
        match Client::new(&config, dialler) {
            Ok(client) if found.is_empty() => Ok(Self {
                config,
                client,
                clock,
                metadata: Arc::new(Fetched::new()),
                keys: Arc::new(Fetched::new()),
                accepted: Accepted::default(),
                judged: access_token::Judged::default(),
                says_nothing: AtomicBool::new(false),
            }),
            Ok(_) => Err(found),
            Err(more) => {
                found.extend(more);
                Err(found)
            }
        }
    }

    /// Goes on with what `before` fetched, where that is the same provider, trusted by the same
    /// authorities: a reload must not forget keys while the provider is down.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        if self.config.issuer == before.config.issuer
            && self.config.tenants == before.config.tenants
            && self.client.trusts_as(&before.client)
        {
            self.metadata = Arc::clone(&before.metadata);
            self.keys = Arc::clone(&before.keys);
        }
        self
    }

    /// As it is configured.
    #[must_use]
    pub const fn config(&self) -> &Arc<IdentityProvider> {
        &self.config
    }

    /// Where the browser goes to sign in (OpenID Connect Core 1.0 section 3.1.2.1).
    ///
    /// # Errors
    /// Where the provider cannot be asked where that is.
    pub async fn begin(&self, begin: &Begin<'_>) -> Result<Url, ProviderError> {
        let (config, metadata) = (&self.config, self.metadata().await?);
        let challenge = certs::sha256(begin.secrets.verifier.expose_secret().as_bytes());
        let mut url = metadata.authorization.clone();
        // Appends: what stands in the endpoint's query stays there (RFC 6749 section 3.1).
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("response_mode", "query")
            .append_pair("client_id", &config.client_id)
            .append_pair("redirect_uri", begin.redirect_uri)
            .append_pair("scope", &config.scopes.join(" "))
            .append_pair("state", begin.state)
            .append_pair("nonce", &begin.secrets.nonce)
            .append_pair("code_challenge_method", "S256")
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge));
        if let Some(prompt) = begin.prompt.or(config.prompt) {
            query.append_pair("prompt", prompt.as_str());
        }
        if let Some(age) = smaller(begin.max_age, config.max_age) {
            query.append_pair("max_age", &age.as_secs().to_string());
        }
        let acr_values = match begin.acr_values {
            [] => &config.acr_values,
            wanted => wanted,
        };
        if !acr_values.is_empty() {
            query.append_pair("acr_values", &acr_values.join(" "));
        }
        if let Some(hint) = begin.login_hint {
            query.append_pair("login_hint", hint);
        }
        // Google's way to ask for a refresh token.
        if config.preset == Some(Preset::Google) {
            query.append_pair("access_type", "offline");
        }
        drop(query);
        Ok(url)
    }

    /// What an answer with `error` means. Its `iss` is judged as that of a good one is.
    pub async fn refused(
        &self,
        error: &str,
        description: Option<&str>,
        issuer: Option<&str>,
    ) -> ProviderError {
        let judged = match self.metadata().await {
            Ok(metadata) => callback_issuer(&metadata, issuer),
            // What it said needs no metadata.
            Err(_) => Ok(()),
        };
        match judged {
            Ok(()) => known::meaning(error, description.unwrap_or_default()),
            Err(mixed_up) => mixed_up,
        }
    }

    /// Takes the code to the provider and judges what it gives. `state` was compared before.
    ///
    /// # Errors
    /// With the first thing that is wrong; nobody is signed in then.
    pub async fn finish(&self, callback: &Callback<'_>) -> Result<SignedIn, ProviderError> {
        let metadata = self.metadata().await?;
        // Before the code goes anywhere: in a mix-up it is another provider's.
        callback_issuer(&metadata, callback.issuer)?;
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", callback.code),
            ("redirect_uri", callback.redirect_uri),
            ("code_verifier", callback.secrets.verifier.expose_secret()),
        ];
        let mut tokens = self.exchange(&metadata).tokens(&grant).await?;
        let id_token = tokens.id_token.take().ok_or(ProviderError::NoIdToken)?;
        let asked = (
            Some(&*callback.secrets.nonce),
            smaller(callback.max_age, self.config.max_age),
        );
        let (subject, claims) = self.judge(&metadata, &id_token, &tokens, asked).await?;
        let (acr, amr) = (text(&claims, "acr"), words(&claims, "amr"));
        let person = self.person(&metadata, &subject, claims, &tokens).await?;
        Ok(SignedIn {
            person,
            issuer: subject.issuer,
            subject: subject.subject,
            id_token,
            auth_time: subject.auth_time,
            acr,
            amr,
            sid: subject.sid,
            access_expires: self.access_expires(&tokens),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
        })
    }

    /// Asks the provider whether it still knows somebody (Core 1.0 section 12). `issuer` and `subject`
    /// are those of [`SignedIn`].
    ///
    /// # Errors
    /// [`ProviderError::InvalidGrant`] where the refresh token does not serve any more, and
    /// [`ProviderError::SubjectChanged`] where the answer is about somebody else. With it comes the
    /// next refresh token where there is one: the one that was sent may serve no more.
    pub async fn refresh(
        &self,
        refresh_token: &SecretString,
        issuer: &str,
        subject: &str,
    ) -> Result<Refreshed, NotRefreshed> {
        let metadata = self.metadata().await?;
        let grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
        ];
        let mut tokens = self.exchange(&metadata).tokens(&grant).await?;
        let id_token = tokens.id_token.take();
        let next = tokens.refresh_token.take();
        // No longer than whoever asks waits, with what has been spent already.
        let told = self.told_again(&metadata, id_token.as_ref(), &tokens, (issuer, subject));
        let person = match timeout(TOLD_AGAIN, told).await {
            Ok(Ok(person)) => person,
            Ok(Err(error)) => return Err(NotRefreshed { error, next }),
            Err(_) => {
                let error = ProviderError::Timeout {
                    document: Document::Userinfo,
                    limit: TOLD_AGAIN,
                };
                return Err(NotRefreshed { error, next });
            }
        };
        Ok(Refreshed {
            person,
            id_token,
            access_expires: self.access_expires(&tokens),
            access_token: tokens.access_token,
            refresh_token: next,
        })
    }

    /// The person as the provider describes them with new tokens. It need not give an ID token (Core 1.0
    /// section 12.2), but may say the same as userinfo; `None` where it says nothing of groups.
    async fn told_again(
        &self,
        metadata: &Metadata,
        id_token: Option<&SecretString>,
        tokens: &Tokens,
        (issuer, subject): (&str, &str),
    ) -> Result<Option<Person>, ProviderError> {
        if let Some(id_token) = id_token {
            let judged = self.judge(metadata, id_token, tokens, (None, None));
            let (known, claims) = judged.await?;
            if *known.subject != *subject || *known.issuer != *issuer {
                return Err(ProviderError::SubjectChanged);
            }
            let person = self.person(metadata, &known, claims, tokens);
            return person.await.map(Some);
        }
        let known = Subject {
            issuer: issuer.into(),
            subject: subject.into(),
            auth_time: None,
            sid: None,
        };
        let told = self.by_userinfo(metadata, &known, tokens).await?;
        if told.is_none() && !self.says_nothing.swap(true, Ordering::Relaxed) {
            tracing::warn!(provider = %self.config.name, "the identity provider gives no ID token where it is asked again, and does not tell groups otherwise: a person's groups stay as they were at sign-in");
        }
        Ok(told)
    }

    /// Where the browser goes to sign out at the provider too (OpenID Connect RP-Initiated Logout 1.0);
    /// `None` where the provider has no such place, or cannot be asked.
    pub async fn end_session_url(
        &self,
        id_token_hint: Option<&SecretString>,
        post_logout_redirect_uri: &str,
        state: &str,
    ) -> Option<Url> {
        let metadata = self.metadata().await.ok()?;
        let mut url = metadata.end_session.clone()?;
        let mut query = url.query_pairs_mut();
        if let Some(hint) = id_token_hint {
            query.append_pair("id_token_hint", hint.expose_secret());
        }
        query
            .append_pair("client_id", &self.config.client_id)
            .append_pair("post_logout_redirect_uri", post_logout_redirect_uri)
            .append_pair("state", state);
        drop(query);
        Some(url)
    }

    /// Judges a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6). Whether its `jti` was
    /// there before is the caller's to remember.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub async fn verify_logout_token(&self, token: &str) -> Result<LogoutToken, ProviderError> {
        let allowed = &self.config.allowed_algorithms;
        let unverified = Unverified::read(token, Purpose::Logout, allowed)?;
        let metadata = self.metadata().await?;
        self.verify(&metadata, &unverified).await?;
        self.expected(&metadata)
            .logout_token(&unverified.into_claims())
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        let fetch = async || Metadata::fetch(&self.client, &self.config).await;
        self.metadata.get(fetch).await
    }

    fn expected<'a>(&'a self, metadata: &'a Metadata) -> Expected<'a> {
        Expected {
            config: &self.config,
            issuer: &metadata.issuer,
            now: self.clock.now(),
        }
    }

    fn exchange<'a>(&'a self, metadata: &'a Arc<Metadata>) -> Exchange<'a> {
        Exchange {
            config: &self.config,
            client: &self.client,
            clock: &self.clock,
            metadata,
            accepted: &self.accepted,
        }
    }

    fn access_expires(&self, tokens: &Tokens) -> Option<Timestamp> {
        tokens.expires_in.map(|life| self.clock.now().plus(life))
    }
}

/// The smaller one of those that there are: what a rule allows is no more than what the provider's setting
/// does.
fn smaller(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// Judges the `iss` of a callback (RFC 9207 section 2.4).
fn callback_issuer(metadata: &Metadata, said: Option<&str>) -> Result<(), ProviderError> {
    match said {
        None if metadata.names_itself => Err(ProviderError::NoCallbackIssuer),
        None => Ok(()),
        Some(said) if said == metadata.issuer => Ok(()),
        // One of Entra's tenants, which the ID token will have to be of.
        Some(said) if metadata.is_of_tenant(said) => Ok(()),
        Some(_) => Err(ProviderError::CallbackIssuer),
    }
}

fn text(claims: &Claims, name: &str) -> Option<Arc<str>> {
    let text = claims.get(name)?.as_str()?;
    (!text.contains(self::text::is_harmful)).then(|| text.into())
}

fn words(claims: &Claims, name: &str) -> Vec<Arc<str>> {
    let all = claims.get(name).and_then(Value::as_array);
    let words = all.into_iter().flatten().filter_map(Value::as_str);
    words
        .filter(|word| !word.contains(self::text::is_harmful))
        .map(Into::into)
        .collect()
}
