//! What a sign-in brings to the provider, and what it brings back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

use super::error::ProviderError;
use crate::certs::{self, RandomError};
use crate::clock::Timestamp;
use crate::model::{Person, Prompt};

/// What is secret to one sign-in under way.
#[derive(Debug)]
pub struct SignInSecrets {
    /// Goes through the browser and comes back in the ID token.
    pub nonce: String,
    /// Of PKCE (RFC 7636): sent with the code alone.
    pub verifier: SecretString,
}

impl SignInSecrets {
    /// New ones, of 256 bits each.
    ///
    /// # Errors
    /// Where the system's generator fails.
    pub fn new() -> Result<Self, RandomError> {
        let word = || certs::random::<32>().map(|octets| URL_SAFE_NO_PAD.encode(octets));
        Ok(Self {
            nonce: word()?,
            verifier: word()?.into(),
        })
    }
}

/// A sign-in that begins.
#[derive(Debug)]
pub struct Begin<'a> {
    /// Where the provider sends the browser back to, as it is registered there.
    pub redirect_uri: &'a str,
    /// What comes back with it.
    pub state: &'a str,
    /// Nonce and verifier, which [`super::Provider::finish`] wants again.
    pub secrets: &'a SignInSecrets,
    /// In place of the configured one.
    pub prompt: Option<Prompt>,
    /// In place of the configured one; [`Callback::max_age`] has to be the same.
    pub max_age: Option<Duration>,
    /// In place of the configured ones, where there are any.
    pub acr_values: &'a [Arc<str>],
    /// Who is going to sign in, where that is known.
    pub login_hint: Option<&'a str>,
}

/// What came back with the browser, and what was kept meanwhile. Debug output has no secret.
pub struct Callback<'a> {
    /// `code`.
    pub code: &'a str,
    /// `iss` (RFC 9207).
    pub issuer: Option<&'a str>,
    /// Nonce and verifier of the beginning.
    pub secrets: &'a SignInSecrets,
    /// The same as at the beginning.
    pub redirect_uri: &'a str,
    /// The same as at the beginning.
    pub max_age: Option<Duration>,
}

impl fmt::Debug for Callback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

/// Somebody who has signed in. Tokens do not print themselves.
#[derive(Debug)]
pub struct SignedIn {
    /// Who it is.
    pub person: Person,
    /// The issuer of the ID token, which logout tokens have too.
    pub issuer: Arc<str>,
    /// `sub`, which logout tokens have too, and refreshed tokens must have.
    pub subject: Arc<str>,
    /// For [`super::Provider::end_session_url`].
    pub id_token: SecretString,
    /// For [`super::Provider::refresh`], where the provider gave one.
    pub refresh_token: Option<SecretString>,
    /// When the person proved to the provider who they are.
    pub auth_time: Option<Timestamp>,
    /// How, in the provider's words.
    pub acr: Option<Arc<str>>,
    /// By which means (RFC 8176).
    pub amr: Vec<Arc<str>>,
    /// The session at the provider, which logout tokens name.
    pub sid: Option<Arc<str>>,
    /// What the person may do elsewhere.
    pub access_token: Option<SecretString>,
    /// When the access token ends, and so the latest time at which the provider would be asked again.
    pub access_expires: Option<Timestamp>,
}

/// Why somebody was not refreshed.
#[derive(Debug)]
pub struct NotRefreshed {
    /// Why.
    pub error: ProviderError,
    /// In place of the refresh token that was sent, which serves no more where the provider rotates them.
    pub next: Option<SecretString>,
}

impl From<ProviderError> for NotRefreshed {
    fn from(error: ProviderError) -> Self {
        Self { error, next: None }
    }
}

/// Somebody whom the provider still knows.
#[derive(Debug)]
pub struct Refreshed {
    /// The person as the provider describes them now; `None` where it did not say, and what was known
    /// still holds.
    pub person: Option<Person>,
    /// In place of the earlier one, where there is one.
    pub id_token: Option<SecretString>,
    /// In place of the earlier one, where there is one: the earlier one still serves else.
    pub refresh_token: Option<SecretString>,
    /// What the person may do elsewhere from now on.
    pub access_token: Option<SecretString>,
    /// When the new access token ends.
    pub access_expires: Option<Timestamp>,
}
