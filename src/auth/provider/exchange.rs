//! The token endpoint: a code, or a refresh token, for tokens (RFC 6749 sections 4.1.3, 5 and 6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};
use url::form_urlencoded;
use zeroize::{Zeroize as _, Zeroizing};

use super::client::{Answer, Client, Sent};
use super::credentials;
use super::error::{Document, ProviderError};
use super::known::{meaning, refuses_client};
use super::metadata::Metadata;
use crate::clock::Clock;
use crate::config::IdentityProvider;

/// A longer life of an access token is taken for this: ten years.
const LONGEST_LIFE: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// What the token endpoint gave.
pub(super) struct Tokens {
    pub(super) id_token: Option<SecretString>,
    pub(super) access_token: Option<SecretString>,
    pub(super) refresh_token: Option<SecretString>,
    pub(super) expires_in: Option<Duration>,
}

/// Which of our secrets the provider took last.
#[derive(Debug, Default)]
pub(super) struct Accepted(AtomicUsize);

/// One exchange.
pub(super) struct Exchange<'a> {
    pub(super) config: &'a Arc<IdentityProvider>,
    pub(super) client: &'a Client,
    pub(super) clock: &'a Clock,
    pub(super) metadata: &'a Arc<Metadata>,
    pub(super) accepted: &'a Accepted,
}

impl Exchange<'_> {
    /// Asks with each secret in turn, the one first that was taken last. Another is tried only where
    /// the provider says that it does not know us by this one: then it has not looked at the rest.
    pub(super) async fn tokens(&self, grant: &[(&str, &str)]) -> Result<Tokens, ProviderError> {
        let count = credentials::count(self.config);
        let first = self.accepted.0.load(Ordering::Relaxed);
        let mut refused = None;
        for turn in 0..count {
            let number = (first + turn) % count;
            let answer = match self.ask(grant, number).await {
                Ok(answer) => answer,
                // One that is not there does not keep the others from being tried.
                Err(error @ ProviderError::Secret { .. }) => {
                    refused.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match read(&answer) {
                Ok(tokens) => {
                    self.accepted.0.store(number, Ordering::Relaxed);
                    return Ok(tokens);
                }
                Err(Refusal { error, client }) if client => {
                    refused = Some(error);
                }
                Err(Refusal { error, .. }) => return Err(error),
            }
        }
        Err(refused.unwrap_or(ProviderError::Busy))
    }

    async fn ask(&self, grant: &[(&str, &str)], number: usize) -> Result<Answer, ProviderError> {
        let (config, metadata) = (Arc::clone(self.config), Arc::clone(self.metadata));
        let now = self.clock.now();
        // A secret's file may lie on a disk that is slow.
        let proof = tokio::task::spawn_blocking(move || {
            credentials::proof(&config, &metadata, number, now)
        });
        let unread = |_| ProviderError::Secret {
            why: "it could not be read".to_owned(),
        };
        let proof = proof.await.map_err(unread)??;
        // In a scope of its own: it cannot wait in a task with an answer.
        let form = {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(grant);
            for (name, value) in &proof.fields {
                form.append_pair(name, value);
            }
            Sent::Form(Zeroizing::new(form.finish()))
        };
        let url = &self.metadata.tokens;
        self.client
            .ask(Document::Tokens, url, proof.authorization, form)
            .await
    }
}

struct Refusal {
    error: ProviderError,
    /// It is our proof that was refused.
    client: bool,
}

impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        Self {
            error,
            client: false,
        }
    }
}

/// Reads the answer to a question that proves nothing.
pub(super) fn tokens(answer: &Answer) -> Result<Tokens, ProviderError> {
    read(answer).map_err(|refusal| refusal.error)
}

fn read(answer: &Answer) -> Result<Tokens, Refusal> {
    let document = Document::Tokens;
    let status = answer.status;
    if matches!(status, 429 | 500..) {
        return Err(ProviderError::Status { document, status }.into());
    }
    let said = serde_json::from_slice::<Map<String, Value>>(&answer.body);
    let mut said = match said {
        Ok(said) => said,
        Err(_) if status != 200 => return Err(ProviderError::Status { document, status }.into()),
        Err(_) => {
            let why = "it is no JSON object";
            return Err(ProviderError::Answer { document, why }.into());
        }
    };
    // Some refuse with status 200.
    if let Some(error) = said.get("error") {
        let error = error.as_str().unwrap_or_default();
        let description = said.get("error_description").and_then(Value::as_str);
        let description = description.unwrap_or_default();
        return Err(Refusal {
            error: meaning(error, description),
            client: refuses_client(error, description, status),
        });
    }
    if status != 200 {
        return Err(ProviderError::Status { document, status }.into());
    }
    let kind = said.get("token_type").and_then(Value::as_str);
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(ProviderError::TokenType.into());
    }
    let expires_in = match said.get("expires_in") {
        Some(Value::Number(number)) => number.as_f64(),
        // Some write numbers as texts.
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let expires_in = expires_in
        .and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok())
        .map(|life| life.min(LONGEST_LIFE));
    let mut token = |name: &str| match said.get_mut(name) {
        Some(Value::String(text)) if !text.is_empty() => {
            let token = SecretString::from(text.as_str());
            text.zeroize();
            Some(token)
        }
        _ => None,
    };
    Ok(Tokens {
        id_token: token("id_token"),
        access_token: token("access_token"),
        refresh_token: token("refresh_token"),
        expires_in,
    })
}
