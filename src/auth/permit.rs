//! The proof that a request was allowed, and the only function that gives one.

use std::fmt;
use std::sync::Arc;

use crate::model::{Application, ErrorCode, Guard, Person, PreAuthentication};

use super::bearer::AccessToken;
use super::policy::{self, Circumstances, Seen, StepUp};
use super::{Facts, Identity, SignIn, guard_of, origin};

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
///     Permit { application, rule: Rule::Passthrough, would_deny: None, who: None }
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
    who: Who,
}

/// Whose request it is, as they were when it was judged.
#[derive(Debug)]
enum Who {
    Nobody,
    SignIn(Arc<SignIn>),
    Bearer(Arc<AccessToken>),
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
        match &self.who {
            Who::Nobody => None,
            Who::SignIn(sign_in) => Some(&sign_in.person),
            // SECURITY: an application takes whom it is told of for a person.
            Who::Bearer(token) => (!token.is_of_client).then_some(&token.person),
        }
    }

    /// Whether `Authorization` is what decided and is not the application's to see.
    #[must_use]
    pub fn hides_authorization(&self) -> bool {
        matches!(self.who, Who::Bearer(_)) && !self.application.bearer.forward
    }

    /// What the provider said of them, and gave for later.
    #[must_use]
    pub const fn sign_in(&self) -> Option<&Arc<SignIn>> {
        match &self.who {
            Who::SignIn(sign_in) => Some(sign_in),
            Who::Nobody | Who::Bearer(_) => None,
        }
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
    /// Two guards of the application might be meant.
    #[error(
        "the path is spelled in a way that some servers take for one of `paths`, which has another guard"
    )]
    AmbiguousPath,
    /// They may, once they have proved who they are more strongly, or anew.
    #[error("it wants further proof of who it is ({wanted}); {why}")]
    StepUp {
        /// What the provider is to be asked for.
        wanted: Box<StepUp>,
        /// What keeps them out now.
        why: Box<Denied>,
    },
    /// The access token is not one that the application takes any more.
    #[error("the access token is not taken here: {0}")]
    Token(Arc<str>),
    /// The service token is for other applications or paths.
    #[error("the service token {0} is for other applications or paths")]
    TokenElsewhere(Arc<str>),
    /// No line of `access: { allow: … }` has the service token.
    #[error(
        "no line of `access.allow` lets the service token in: it takes one with `token: {name}`; {why}"
    )]
    NoTokenRule {
        /// What the token is called.
        name: Arc<str>,
        /// Why each line does not.
        why: Arc<str>,
    },
    /// An operator's link let the person in, to another application.
    #[error("an operator's link let the person in, to another application alone")]
    ByLink,
    /// A page of another origin made the browser send it.
    #[error(
        "it may change something, the browser proves by itself whose it is, and it comes from {0}"
    )]
    CrossOrigin(String),
}

impl Denied {
    /// The code of the answer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoRule
            | Self::NotNamed(_)
            | Self::Named(_)
            | Self::Unknown(_)
            | Self::ByLink
            | Self::StepUp { .. }
            | Self::Token(_)
            | Self::TokenElsewhere(_)
            | Self::NoTokenRule { .. } => ErrorCode::Denied,
            Self::AmbiguousPath => ErrorCode::BadRequest,
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

/// Judges something else that one request asks for.
///
/// # Errors
/// Why it is not allowed.
pub fn judge_again(
    identity: &Identity,
    application: &Application,
    request: Circumstances<'_>,
) -> Result<(), Denied> {
    judge(identity, application, request).map(drop)
}

/// Whether an application might let somebody in, by what is known of them before they ask for anything.
#[must_use]
pub fn might_allow(identity: &Identity, application: &Application) -> bool {
    let signs_in = application.guard.has(PreAuthentication::Oidc);
    let Some(session) = identity.session().filter(|_| signs_in) else {
        return false;
    };
    let sign_in = session.sign_in();
    let seen = Seen::person(Some(&sign_in.person), None);
    only_by_link(application, &sign_in.person).is_ok()
        && policy::might(&application.guard.access, &seen)
}

/// What lets somebody in, what would keep them out if it decided, and who they are.
struct Judged {
    rule: Rule,
    would_deny: Option<Arc<str>>,
    who: Who,
}

fn judge(
    identity: &Identity,
    application: &Application,
    request: Circumstances<'_>,
) -> Result<Judged, Denied> {
    // The guard is looked at again, and not taken from the identity: an anonymous visitor of one
    // application is nobody at the next.
    let guard = guard_of(application, request.path)?;
    let is_odd = guard.has(PreAuthentication::Passthrough) && guard.pre_authentication.len() > 1;
    match identity {
        _ if is_odd => Err(Denied::NoRule),
        Identity::Anonymous if guard.pre_authentication == [PreAuthentication::Passthrough] => {
            by_rules(guard, &Seen::person(None, Some(request)), Who::Nobody)
        }
        Identity::Session(session) if guard.has(PreAuthentication::Oidc) => {
            let sign_in = session.sign_in();
            only_by_link(application, &sign_in.person)?;
            let seen = Seen::signed_in(&sign_in, request);
            by_rules(guard, &seen, Who::SignIn(Arc::clone(&sign_in)))
        }
        Identity::Bearer(token) if guard.has(PreAuthentication::Bearer) => {
            let taken = token.check(&application.bearer);
            taken.map_err(|error| Denied::Token(error.to_string().into()))?;
            let seen = Seen::token(token, request);
            by_rules(guard, &seen, Who::Bearer(Arc::clone(token)))
        }
        Identity::ServiceToken(token) if guard.has(PreAuthentication::ServiceToken) => {
            if !token.covers(&application.name, request.path) {
                return Err(Denied::TokenElsewhere(Arc::clone(&token.name)));
            }
            let seen = Seen::service_token(&token.name, request);
            by_rules(guard, &seen, Who::Nobody)
        }
        Identity::Certificate(_) if guard.has(PreAuthentication::ClientCertificate) => {
            by_rules(guard, &Seen::certificate(request), Who::Nobody)
        }
        #[cfg(test)]
        Identity::Assumed if guard.has(PreAuthentication::Assumed) => Ok(Judged {
            rule: Rule::Assumed,
            would_deny: None,
            who: Who::Nobody,
        }),
        _ => Err(Denied::NoRule),
    }
}

/// What an application's rules say of somebody, for a question alone.
///
/// # Errors
/// Why they keep it out.
pub(super) fn rule_for(guard: &Guard, seen: &Seen<'_>) -> Result<Rule, Denied> {
    by_rules(guard, seen, Who::Nobody).map(|judged| judged.rule)
}

fn by_rules(guard: &Guard, seen: &Seen<'_>, who: Who) -> Result<Judged, Denied> {
    let judged = policy::judge(&guard.access, seen);
    let allowed = judged.map_err(|denied| match policy::step_up(&guard.access, seen) {
        None => denied,
        Some(wanted) => Denied::StepUp {
            wanted: Box::new(wanted),
            why: Box::new(denied),
        },
    })?;
    let rule = allowed
        .by
        .map_or(Rule::Passthrough, |line| Rule::Allow(Arc::clone(line)));
    Ok(Judged {
        rule,
        would_deny: allowed.would_deny.cloned(),
        who,
    })
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

/// Whether a browser may have proved by itself whose the request is, whatever page made it send it: a
/// certificate goes with every request of a connection, and an application may go by it that asks nobody.
fn comes_from_a_page(identity: &Identity, application: &Application, facts: &Facts<'_>) -> bool {
    let by_certificate = match identity {
        Identity::Certificate(_) => true,
        Identity::Anonymous => facts.certificate.verified().is_some(),
        identity => return identity.is_proven_by_browser(),
    };
    let Some(settings) = application
        .client_certificates
        .as_ref()
        .filter(|_| by_certificate)
    else {
        return by_certificate;
    };
    let path = facts.path.as_str();
    let is_program = origin::says_nothing(facts.fields)
        && settings.without_origin.iter().any(|own| own.covers(path));
    !is_program
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
    if comes_from_a_page(identity, application, facts) {
        origin::check(facts, application.front.cors.as_deref())?;
    }
    let Judged {
        rule,
        would_deny,
        who,
    } = judge(identity, application, facts.circumstances())?;
    Ok(Permit {
        application: Arc::clone(application),
        rule,
        would_deny,
        who,
    })
}
