//! From the tokens that came to the person they are about: the signature by the provider's keys, the
//! claims, and what has to be asked for beside them.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::claims::{Asked, Claims, Subject};
use super::client::Sent;
use super::error::{Document, ProviderError};
use super::exchange::Tokens;
use super::keys::Keys;
use super::metadata::Metadata;
use super::token::{Purpose, Unverified};
use super::{Provider, graph, person};
use crate::model::{Person, Preset, UserinfoUse};

impl Provider {
    /// Checks a signature; where it is not of a key that is known, once more with keys fetched anew.
    pub(super) async fn verify(
        &self,
        metadata: &Metadata,
        token: &Unverified<'_>,
    ) -> Result<(), ProviderError> {
        let fetch = async || Keys::fetch(&self.client, &metadata.keys).await;
        let keys = self.keys.get(fetch).await?;
        let Err(error) = token.verify(&keys) else {
            return Ok(());
        };
        let newer = self.keys.again(&keys, fetch).await?;
        if Arc::ptr_eq(&newer, &keys) {
            return Err(error);
        }
        token.verify(&newer)
    }

    /// Judges an ID token, with the nonce and the age that were asked for.
    pub(super) async fn judge(
        &self,
        metadata: &Metadata,
        id_token: &SecretString,
        tokens: &Tokens,
        (nonce, max_age): (Option<&str>, Option<Duration>),
    ) -> Result<(Subject, Claims), ProviderError> {
        let allowed = &self.config.allowed_algorithms;
        let token = Unverified::read(id_token.expose_secret(), Purpose::Id, allowed)?;
        self.verify(metadata, &token).await?;
        let asked = Asked {
            nonce,
            max_age,
            access_token: tokens
                .access_token
                .as_ref()
                .map(|token| token.expose_secret()),
            algorithm: token.algorithm,
        };
        let claims = token.into_claims();
        let subject = self.expected(metadata).id_token(&claims, &asked)?;
        Ok((subject, claims))
    }

    /// The person of an ID token, with what has to be asked for beside it.
    pub(super) async fn person(
        &self,
        metadata: &Metadata,
        subject: &Subject,
        mut claims: Claims,
        tokens: &Tokens,
    ) -> Result<Person, ProviderError> {
        let config = &self.config;
        if let Some(endpoint) = &metadata.userinfo
            && person::wants_userinfo(config, &claims)
        {
            let more = self.userinfo(endpoint, subject, tokens).await?;
            person::add_userinfo(config, &mut claims, more);
        }
        let groups = match person::groups_are_elsewhere(config, &claims) {
            false => None,
            true => match (&metadata.graph, &tokens.access_token) {
                (Some(graph), Some(token)) if config.preset == Some(Preset::Entra) => {
                    Some(graph::groups(&self.client, graph, token).await?)
                }
                _ => return Err(ProviderError::GroupsElsewhere),
            },
        };
        person::person(config, subject, claims, groups)
    }

    /// The person by userinfo alone, where that is asked and tells the groups: a person's groups must not
    /// go because they are told elsewhere.
    pub(super) async fn by_userinfo(
        &self,
        metadata: &Metadata,
        subject: &Subject,
        tokens: &Tokens,
    ) -> Result<Option<Person>, ProviderError> {
        let config = &self.config;
        let Some(endpoint) = &metadata.userinfo else {
            return Ok(None);
        };
        if config.userinfo == UserinfoUse::Never || config.preset == Some(Preset::Entra) {
            return Ok(None);
        }
        let claims = self.userinfo(endpoint, subject, tokens).await?;
        match person::tells_groups(config, &claims) {
            true => person::person(config, subject, claims, None).map(Some),
            false => Ok(None),
        }
    }

    /// What the provider says beside the token (Core 1.0 section 5.3).
    async fn userinfo(
        &self,
        endpoint: &Url,
        subject: &Subject,
        tokens: &Tokens,
    ) -> Result<Claims, ProviderError> {
        let document = Document::Userinfo;
        let token = tokens.access_token.as_ref();
        let token = token.ok_or(ProviderError::NoAccessToken)?.expose_secret();
        let bearer = Some(Zeroizing::new(format!("Bearer {token}")));
        let answer = self
            .client
            .ask(document, endpoint, bearer, Sent::Nothing)
            .await?;
        if answer.status != 200 {
            let status = answer.status;
            return Err(ProviderError::Status { document, status });
        }
        if answer.media_type == "application/jwt" {
            return Err(ProviderError::UserinfoSigned);
        }
        let why = "it is no JSON object";
        let said: Map<String, Value> = serde_json::from_slice(&answer.body)
            .map_err(|_| ProviderError::Answer { document, why })?;
        // Core 1.0 section 5.3.2: or the token of another could be slipped in.
        if said.get("sub").and_then(Value::as_str) != Some(&subject.subject) {
            return Err(ProviderError::UserinfoSubject);
        }
        Ok(said)
    }
}
