//! A person, as an identity provider describes them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What names one person at one provider for good. Names and e-mail addresses change hands, so they
/// are never part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PersonKey {
    /// Who vouches: the issuer of the ID token, or what the preset has in its place.
    pub authority: Arc<str>,
    /// The person there: `sub`, or what the preset has in its place.
    pub subject: Arc<str>,
}

/// Somebody who signed in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who it is.
    pub key: PersonKey,
    /// The name of the identity provider in the configuration.
    pub provider: Arc<str>,
    /// For display, never for a decision.
    pub name: Option<Arc<str>>,
    /// The e-mail address, where there is one that the provider is trusted with.
    pub email: Option<Arc<str>>,
    /// The groups, as the provider names them; sorted, each once.
    pub groups: Arc<[Arc<str>]>,
    /// Every claim there is, as a JSON object.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

impl Person {
    /// A claim by its name, or by the way to it: `realm_access.roles` where no claim is called that.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&serde_json::Value> {
        find_claim(&self.claims, name)
    }

    /// Whether the provider says that they are in this group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups
            .binary_search_by(|own| own.as_ref().cmp(group))
            .is_ok()
    }
}

/// A claim by its name, or by the way to it with dots; none that is null.
#[must_use]
pub fn find_claim<'a>(
    claims: &'a serde_json::Map<String, serde_json::Value>,
    name: &str,
) -> Option<&'a serde_json::Value> {
    let value = claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.')
            .try_fold(claims.get(first)?, |value, part| value.get(part))
    });
    value.filter(|value| !value.is_null())
}

/// Without the claims: they are nobody's business in a log.
impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("key", &self.key)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}
