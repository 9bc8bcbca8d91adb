//! Which access tokens an application takes.

use std::sync::Arc;

use super::url::{ExternalUrl, HostPattern};

/// Which access tokens of identity providers an application takes, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bearer {
    /// For whom a token has to be (`aud`): one of these.
    pub audiences: Vec<Arc<str>>,
    /// To which clients it has to have been given (`azp`, `client_id` or `appid`); empty: to any.
    pub clients: Vec<Arc<str>>,
    /// Whether the application gets the token too.
    pub forward: bool,
    /// How people get a token for the command line.
    pub login: Option<Login>,
}

/// How people get a token for the command line (`appproxy login`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The identity provider; `None`: the only one.
    pub provider: Option<Arc<str>>,
    /// What it knows the command line as.
    pub client_id: Arc<str>,
    /// What to ask for.
    pub scopes: Vec<Arc<str>>,
}

impl Bearer {
    /// For whom tokens are where nothing else is said: the application's external URL, with and without
    /// the slash at its end, since clients write it in either way (RFC 8707, RFC 9728). None for a
    /// wildcard, which is many hosts.
    #[must_use]
    pub fn usual_audiences(external: &ExternalUrl) -> Vec<Arc<str>> {
        match &external.host {
            HostPattern::Wildcard { .. } => Vec::new(),
            HostPattern::Exact(_) => {
                let with = external.to_string();
                let without = with.trim_end_matches('/').to_owned();
                vec![without.into(), with.into()]
            }
        }
    }

    /// Whether a token for these is for the application.
    #[must_use]
    pub fn is_for(&self, audiences: &[Arc<str>]) -> bool {
        audiences.iter().any(|one| self.audiences.contains(one))
    }

    /// Whether a token that was given to this client is taken.
    #[must_use]
    pub fn takes_from(&self, client: Option<&str>) -> bool {
        self.clients.is_empty()
            || client.is_some_and(|client| self.clients.iter().any(|one| **one == *client))
    }
}
