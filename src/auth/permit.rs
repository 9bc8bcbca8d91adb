//! The proof that a request was allowed, and the only function that gives one.

use std::fmt;
use std::sync::Arc;

use crate::model::{Access, Application, ErrorCode, Person, PreAuthentication};

use super::{Facts, Identity, origin};

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
    /// This line of `access: { allow: … }`.
    Allow(Arc<str>),
    /// Whoever the test says.
    #[cfg(test)]
    Assumed,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passthrough => f.write_str("passthrough"),
            Self::Allow(line) => write!(f, "allow {line}"),
            #[cfg(test)]
            Self::Assumed => f.write_str("assumed"),
        }
    }
}

/// Why a request may not pass; the text is for the log, never for the visitor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Nothing opens by omission.
    #[error("no rule allows it")]
    NoRule,
    /// No line of `access: { allow: … }` names the person.
    #[error("no line of `access.allow` names the person")]
    NotNamed,
    /// A line of `access: { deny: … }` names the person.
    #[error("`access.deny` names the person: {0}")]
    Named(String),
    /// An operator's link let the person in, to another application.
    #[error("an operator's link let the person in, to another application alone")]
    ByLink,
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
            Self::NoRule | Self::NotNamed | Self::Named(_) | Self::ByLink => ErrorCode::Denied,
            Self::CrossOrigin(_) => ErrorCode::CrossOrigin,
        }
    }
}

/// Whether an application still lets in whom it let in, when its configuration or what is known of the
/// person has changed.
#[must_use]
pub fn still_allows(identity: &Identity, application: &Application) -> bool {
    judge(identity, application).is_ok()
}

/// What lets somebody in.
fn judge(identity: &Identity, application: &Application) -> Result<Rule, Denied> {
    // The method is looked at again, and not taken from the identity: an anonymous visitor of one
    // application is nobody at the next.
    match (identity, application.pre_authentication.as_slice()) {
        (Identity::Anonymous, [PreAuthentication::Passthrough]) => Ok(Rule::Passthrough),
        (Identity::Session(session), [PreAuthentication::Oidc]) => {
            let sign_in = session.sign_in();
            only_by_link(application, &sign_in.person)?;
            named(&application.access, &sign_in.person)
        }
        #[cfg(test)]
        (Identity::Assumed, [PreAuthentication::Assumed]) => Ok(Rule::Assumed),
        _ => Err(Denied::NoRule),
    }
}

/// The claim of a person whom an operator's one-time link signed in: the only application it is for, who
/// made it, and what for.
pub const LINK_CLAIM: &str = "appproxy_link";

/// A link opens one application, and no other of its host.
fn only_by_link(application: &Application, person: &Person) -> Result<(), Denied> {
    match person.claims.get(LINK_CLAIM) {
        Some(link) if link["application"] != application.name.as_str() => Err(Denied::ByLink),
        _ => Ok(()),
    }
}

/// The line that lets a person in. SECURITY: whom `deny` names stays out, whatever `allow` says.
fn named(access: &Access, person: &Person) -> Result<Rule, Denied> {
    if let Some(line) = access.deny.iter().find(|line| line.names(person)) {
        return Err(Denied::Named(line.to_string()));
    }
    let line = access.allow.iter().find(|line| line.names(person));
    let line = line.ok_or(Denied::NotNamed)?;
    Ok(Rule::Allow(line.to_string().into()))
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
        origin::check(facts, application.front.cors.as_deref())?;
    }
    let rule = judge(identity, application)?;
    Ok(Permit {
        application: Arc::clone(application),
        rule,
    })
}
