//! The proof that a request was allowed, and the only function that gives one.

use std::fmt;
use std::sync::Arc;

use crate::model::{Application, ErrorCode, Person, PreAuthentication};

use super::policy::{self, Circumstances, Seen};
use super::{Facts, Identity, SignIn, origin};

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
///     Permit { application, rule: Rule::Passthrough, would_deny: None, sign_in: None }
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
    would_deny: Option<Arc<str>>,
    sign_in: Option<Arc<SignIn>>,
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

    /// Whose request it is, as they were when it was judged.
    #[must_use]
    pub fn person(&self) -> Option<&Person> {
        self.sign_in.as_ref().map(|sign_in| &sign_in.person)
    }

    /// The line of `access: { deny: … }` that would have kept it out, were it not `report_only`.
    #[must_use]
    pub const fn would_deny(&self) -> Option<&Arc<str>> {
        self.would_deny.as_ref()
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
    /// No line of `access: { allow: … }` lets it in; which condition failed in each.
    #[error("no line of `access.allow` lets it in: {0}")]
    NotNamed(Arc<str>),
    /// A line of `access: { deny: … }` keeps it out.
    #[error("`access.deny` keeps it out: {0}")]
    Named(Arc<str>),
    /// A line of `access: { deny: … }` asks for what is not known.
    #[error("whether `access.deny` keeps it out cannot be told: {0}")]
    Unknown(Arc<str>),
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
            Self::NoRule | Self::NotNamed(_) | Self::Named(_) | Self::Unknown(_) | Self::ByLink => {
                ErrorCode::Denied
            }
            Self::CrossOrigin(_) => ErrorCode::CrossOrigin,
        }
    }
}

/// Whether an application still lets in whom it let in, when its configuration, the time, or what is
/// known of the person has changed.
#[must_use]
pub fn still_allows(
    identity: &Identity,
    application: &Application,
    request: Circumstances<'_>,
) -> bool {
    judge(identity, application, request).is_ok()
}

/// Whether an application might let somebody in, by what is known of them before they ask for anything.
#[must_use]
pub fn might_allow(identity: &Identity, application: &Application) -> bool {
    let Some(session) = identity.session().filter(|_| application.signs_in()) else {
        return false;
    };
    let sign_in = session.sign_in();
    let seen = Seen {
        person: Some(&sign_in.person),
        request: None,
    };
    only_by_link(application, &sign_in.person).is_ok() && policy::might(&application.access, &seen)
}

/// What lets somebody in, what would keep them out if it decided, and who they are.
struct Judged {
    rule: Rule,
    would_deny: Option<Arc<str>>,
    sign_in: Option<Arc<SignIn>>,
}

fn judge(
    identity: &Identity,
    application: &Application,
    request: Circumstances<'_>,
) -> Result<Judged, Denied> {
    // The method is looked at again, and not taken from the identity: an anonymous visitor of one
    // application is nobody at the next.
    match (identity, application.pre_authentication.as_slice()) {
        (Identity::Anonymous, [PreAuthentication::Passthrough]) => {
            by_rules(application, None, request)
        }
        (Identity::Session(session), [PreAuthentication::Oidc]) => {
            let sign_in = session.sign_in();
            only_by_link(application, &sign_in.person)?;
            let judged = by_rules(application, Some(&sign_in.person), request)?;
            Ok(Judged {
                sign_in: Some(sign_in),
                ..judged
            })
        }
        #[cfg(test)]
        (Identity::Assumed, [PreAuthentication::Assumed]) => Ok(Judged {
            rule: Rule::Assumed,
            would_deny: None,
            sign_in: None,
        }),
        _ => Err(Denied::NoRule),
    }
}

fn by_rules(
    application: &Application,
    person: Option<&Person>,
    request: Circumstances<'_>,
) -> Result<Judged, Denied> {
    let request = Some(request);
    let allowed = policy::judge(&application.access, &Seen { person, request })?;
    let rule = allowed
        .by
        .map_or(Rule::Passthrough, |line| Rule::Allow(Arc::clone(line)));
    Ok(Judged {
        rule,
        would_deny: allowed.would_deny.cloned(),
        sign_in: None,
    })
}

/// What each condition of an application's rules comes to, for whom it would be asked.
#[must_use]
pub fn explain_rules(
    application: &Application,
    person: Option<&Person>,
    facts: &Facts<'_>,
) -> Vec<policy::Traced> {
    let request = Some(facts.circumstances());
    policy::trace(&application.access, &Seen { person, request })
}

/// What an application's rules say of somebody who has no session: for a question alone, and no permit.
///
/// # Errors
/// Why they keep the person out.
pub fn would_allow(
    application: &Application,
    person: Option<&Person>,
    facts: &Facts<'_>,
) -> Result<Rule, Denied> {
    by_rules(application, person, facts.circumstances()).map(|judged| judged.rule)
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
    let Judged {
        rule,
        would_deny,
        sign_in,
    } = judge(identity, application, facts.circumstances())?;
    Ok(Permit {
        application: Arc::clone(application),
        rule,
        would_deny,
        sign_in,
    })
}
