//! Access tokens of identity providers as credentials (RFC 6750).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Challenge;
use super::provider::{Provider, ProviderError};
use crate::clock::Timestamp;
use crate::model::{Bearer, Person};

/// An access token whose signature, issuer and time are good: whoever is known by it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Whom it is about: a person, or a program at the provider.
    pub person: Person,
    /// It was given to a program for itself, and nobody signed in.
    pub is_of_client: bool,
    /// Who gave it (`iss`).
    pub issuer: Arc<str>,
    /// For whom it is (`aud`).
    pub audiences: Vec<Arc<str>>,
    /// To which program it was given (`azp`, `client_id` or `appid`).
    pub client: Option<Arc<str>>,
    /// What it may be used for (`scope` or `scp`).
    pub scopes: Vec<Arc<str>>,
    /// When it ends.
    pub expires: Timestamp,
}

/// Without what it says of the person.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("person", &self.person)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// What is wrong with an access token. The text is for the log; the caller is told
/// [`BearerError::told`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BearerError {
    /// No configured provider has given it.
    #[error(
        "it is of no configured identity provider (`iss`), or no signed token (RFC 7519) at all"
    )]
    Issuer,
    /// It is for somebody else.
    #[error(
        "it is for {said}, and not for this application (`aud`): `bearer.audience` says which are taken"
    )]
    Audience {
        /// For whom.
        said: String,
    },
    /// It was given to a program that may not come with it.
    #[error("it was given to the client {said}, which is not among `bearer.clients`")]
    Client {
        /// To which.
        said: String,
    },
    /// The provider's word is not good.
    #[error("{0}")]
    Provider(ProviderError),
}

impl BearerError {
    /// What the caller is told: nothing that helps to make a better one.
    #[must_use]
    pub const fn told(&self) -> &'static str {
        match self {
            Self::Provider(ProviderError::Expired { .. }) => "the access token has ended",
            Self::Audience { .. } => "the access token is not for this application",
            _ => "the access token is not accepted",
        }
    }
}

impl AccessToken {
    /// Whether an application takes it.
    ///
    /// # Errors
    /// Where it is for another, or was given to somebody who may not come with it.
    pub fn check(&self, wanted: &Bearer) -> Result<(), BearerError> {
        if !wanted.is_for(&self.audiences) {
            let said = self.audiences.join(", ");
            return Err(BearerError::Audience { said });
        }
        if !wanted.takes_from(self.client.as_deref()) {
            let said = self.client.as_deref().unwrap_or("nobody").to_owned();
            return Err(BearerError::Client { said });
        }
        Ok(())
    }
}

/// Finds out whose access token it is.
///
/// # Errors
/// With what is wrong with it, or where the provider cannot be asked for its keys.
pub async fn verify(
    token: &str,
    providers: &[Arc<Provider>],
    wanted: &Bearer,
) -> Result<Arc<AccessToken>, Challenge> {
    let refused = |error| Challenge::Bearer(Some(error));
    // What it says of its issuer only chooses who judges it.
    let issuer = claimed_issuer(token).ok_or_else(|| refused(BearerError::Issuer))?;
    let provider = providers.iter().find(|one| one.may_issue(&issuer));
    let provider = provider.ok_or_else(|| refused(BearerError::Issuer))?;
    let found = match provider.access_token(token).await {
        Ok(found) => found,
        Err(error) if error.is_unavailable() => {
            return Err(Challenge::Provider(error.to_string()));
        }
        Err(error) => return Err(refused(BearerError::Provider(error))),
    };
    found.check(wanted).map_err(refused)?;
    Ok(found)
}

/// The issuer that a token names, whoever made it.
fn claimed_issuer(token: &str) -> Option<String> {
    let claims = token.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}
