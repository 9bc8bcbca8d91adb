//! Questions that nobody asks in earnest: what rules would say of somebody. No permit comes of them.

use super::Facts;
use super::permit::{self, Denied, Rule};
use super::policy::{self, Circumstances, Seen};
use crate::model::{Guard, Person};

/// Whose request it would be.
#[derive(Debug, Clone, Copy)]
pub enum Asker<'a> {
    /// Nobody's who is known.
    Nobody,
    /// Somebody's who has signed in, or has an access token.
    Person(&'a Person),
    /// A program's with a service token of this name, for this application and path.
    ServiceToken(&'a str),
    /// Whoever's the certificate is that is shown.
    Certificate,
}

impl<'a> From<Option<&'a Person>> for Asker<'a> {
    fn from(person: Option<&'a Person>) -> Self {
        person.map_or(Self::Nobody, Self::Person)
    }
}

impl<'a> Asker<'a> {
    fn seen(self, request: Circumstances<'a>) -> Seen<'a> {
        match self {
            Self::Nobody => Seen::person(None, Some(request)),
            Self::Person(person) => Seen::person(Some(person), Some(request)),
            Self::ServiceToken(name) => Seen::service_token(name, request),
            Self::Certificate => Seen::certificate(request),
        }
    }
}

/// What each condition of an application's rules comes to.
#[must_use]
pub fn explain_rules<'a>(
    guard: &Guard,
    asker: impl Into<Asker<'a>>,
    facts: &Facts<'a>,
) -> Vec<policy::Traced> {
    let seen = asker.into().seen(facts.circumstances());
    policy::trace(&guard.access, &seen)
}

/// What an application's rules say of somebody.
///
/// # Errors
/// Why they keep it out.
pub fn would_allow<'a>(
    guard: &Guard,
    asker: impl Into<Asker<'a>>,
    facts: &Facts<'a>,
) -> Result<Rule, Denied> {
    let seen = asker.into().seen(facts.circumstances());
    permit::rule_for(guard, &seen)
}
