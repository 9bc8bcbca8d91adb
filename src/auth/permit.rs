//! The proof that a request was allowed, and the only function that gives one.

use std::fmt;
use std::sync::Arc;

use crate::model::{Application, ErrorCode, Identity, PreAuthentication};

use super::{Facts, origin};

/// Proof that one request may be forwarded to one application.
///
/// Only [`authorise`] makes one. It is taken by value where a request is forwarded, so it serves
/// once, and it brings the application along, so it cannot serve another.
///
/// ```
/// use appproxy::auth::Permit;
/// fn forward(permit: Permit) -> String {
///     permit.application().name.to_string()
/// }
/// ```
///
/// It cannot be made elsewhere:
///
/// ```compile_fail,E0451
/// use appproxy::auth::{Permit, Rule};
/// fn forge(application: std::sync::Arc<appproxy::model::Application>) -> Permit {
///     Permit { application, rule: Rule::Passthrough }
/// }
/// ```
///
/// Nor used twice:
///
/// ```compile_fail,E0599
/// use appproxy::auth::Permit;
/// fn twice(permit: Permit) -> (Permit, Permit) {
///     (Permit::clone(&permit), permit)
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permit that is not used means a request that was allowed and not forwarded"]
pub struct Permit {
    application: Arc<Application>,
    rule: Rule,
}

impl Permit {
    /// The application the request may go to, and no other.
    #[must_use]
    pub const fn application(&self) -> &Arc<Application> {
        &self.application
    }

    /// What allowed it.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }
}

/// What allowed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The application is published with `passthrough`: it looks after itself.
    Passthrough,
    /// Whoever the test says.
    #[cfg(test)]
    Assumed,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passthrough => "passthrough",
            #[cfg(test)]
            Self::Assumed => "assumed",
        })
    }
}

/// Why a request may not pass; the text is for the log, never for the visitor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Nothing opens by omission.
    #[error("no rule allows it")]
    NoRule,
    /// A page of another origin made the browser send it.
    #[error(
        "it may change something, the browser proves by itself whose it is, and it comes from {0:?} \
         and not from the application's own origin"
    )]
    CrossOrigin(String),
}

impl Denied {
    /// The code of the answer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoRule => ErrorCode::Denied,
            Self::CrossOrigin(_) => ErrorCode::CrossOrigin,
        }
    }
}

/// Whether an application still lets in what this rule let in, when its configuration has changed.
#[must_use]
pub fn still_allows(rule: &Rule, application: &Application) -> bool {
    match (rule, application.pre_authentication.as_slice()) {
        (Rule::Passthrough, [PreAuthentication::Passthrough]) => true,
        #[cfg(test)]
        (Rule::Assumed, [PreAuthentication::Assumed]) => true,
        _ => false,
    }
}

/// Judges one request; asked again for every request of a connection.
///
/// # Errors
/// With the reason for the log. Every internal error on the way is such a reason too.
pub fn authorise(
    identity: &Identity,
    application: &Arc<Application>,
    facts: &Facts<'_>,
) -> Result<Permit, Denied> {
    if identity.is_proven_by_browser() {
        origin::check(facts)?;
    }
    // The method is looked at again, and not taken from the identity: an anonymous visitor of one
    // application is nobody at the next.
    let rule = match (identity, application.pre_authentication.as_slice()) {
        (Identity::Anonymous, [PreAuthentication::Passthrough]) => Rule::Passthrough,
        #[cfg(test)]
        (Identity::Assumed, [PreAuthentication::Assumed]) => Rule::Assumed,
        _ => return Err(Denied::NoRule),
    };
    Ok(Permit {
        application: Arc::clone(application),
        rule,
    })
}
