//! What rules say of somebody and of a request.
//!
//! A condition holds, does not hold, or cannot be told: an e-mail address that the provider is not
//! trusted with, the address of a request that nobody has sent. SECURITY: what cannot be told opens
//! nothing, and a rule of `deny` that cannot be told keeps out; so does `not` of what cannot be told.
//!
//! Paths are compared octet by octet where a condition helps to open, and folded where it helps to
//! close (DESIGN 8, rule 2): inside `not` the one becomes the other.

mod proof;
mod seen;
mod trace;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::http::CanonicalPath;
use crate::model::{Access, AccessRule, Condition, PathRule, Person};

pub use proof::StepUp;
pub(super) use proof::step_up;
pub use seen::Circumstances;
pub(super) use seen::Seen;
pub use trace::Traced;
pub(super) use trace::trace;
use trace::why_not;

use super::permit::Denied;

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It cannot be told.
    Unknown,
}

impl Holds {
    const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "cannot be told",
        })
    }
}

/// Whether a condition is there to let in or to keep out, which decides how paths are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Open,
    Close,
}

impl Aim {
    const fn turned(self) -> Self {
        match self {
            Self::Open => Self::Close,
            Self::Close => Self::Open,
        }
    }
}

/// What let somebody in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Allowed<'a> {
    /// The line of `allow`; `None` where there are none and nobody has to sign in.
    pub(super) by: Option<&'a Arc<str>>,
    /// The line of `deny` that would keep them out if it decided.
    pub(super) would_deny: Option<&'a Arc<str>>,
}

/// Judges by the rules of an application. SECURITY: whom `deny` names stays out, whatever `allow` says.
pub(super) fn judge<'a>(access: &'a Access, seen: &Seen<'_>) -> Result<Allowed<'a>, Denied> {
    let mut would_deny = None;
    // Groups alone are found at once, where it is known who it is.
    let by_group = seen.person.and_then(|person| access.deny.line_of(person));
    let named = |line: usize| Denied::Named(Arc::clone(access.deny[line].text()));
    let lines: &mut dyn Iterator<Item = (usize, &AccessRule)> = match seen.person {
        Some(_) => &mut access.deny.others(),
        None => &mut access.deny.iter().enumerate(),
    };
    for (line, rule) in lines {
        // The first one is told.
        if let Some(first) = by_group.filter(|first| *first < line) {
            return Err(named(first));
        }
        let holds = holds(&rule.condition, seen, Aim::Close);
        match (holds, rule.report_only) {
            (Holds::No, _) => {}
            (_, true) => would_deny = would_deny.or_else(|| Some(rule.text())),
            (Holds::Yes, false) => return Err(named(line)),
            (Holds::Unknown, false) => return Err(Denied::Unknown(Arc::clone(rule.text()))),
        }
    }
    if let Some(first) = by_group {
        return Err(named(first));
    }
    // Nobody is asked who they are, which the operator has said in so many words.
    if access.allow.is_empty() && seen.person.is_none() && !seen.is_nobody() {
        return Ok(Allowed {
            by: None,
            would_deny,
        });
    }
    let by_group = seen.person.and_then(|person| access.allow.line_of(person));
    let lets_in = |(_, rule): &(usize, &AccessRule)| {
        !rule.report_only
            && seen.may_come_by(rule)
            && holds(&rule.condition, seen, Aim::Open) == Holds::Yes
    };
    // The first one is told.
    let mut before = access.allow.others();
    let before = before.find(|one| by_group.is_some_and(|first| first < one.0) || lets_in(one));
    let line = before
        .map(|(line, _)| line)
        .into_iter()
        .chain(by_group)
        .min();
    match line {
        Some(line) => Ok(Allowed {
            by: Some(access.allow[line].text()),
            would_deny,
        }),
        None => Err(not_named(access, seen)),
    }
}

/// Why nothing lets it in.
fn not_named(access: &Access, seen: &Seen<'_>) -> Denied {
    let why = why_not(access, seen).into();
    match seen.service_token {
        None => Denied::NotNamed(why),
        Some(name) => Denied::NoTokenRule {
            name: name.into(),
            why,
        },
    }
}

/// Whether the rules might let somebody in, whatever is not known yet.
pub(super) fn might(access: &Access, seen: &Seen<'_>) -> bool {
    // They may prove more when they ask for something.
    let seen = &Seen {
        anew: true,
        ..*seen
    };
    let decides = |rule: &&AccessRule| !rule.report_only;
    let denied = |rule: &AccessRule| holds(&rule.condition, seen, Aim::Close) == Holds::Yes;
    let allowed = |rule: &AccessRule| holds(&rule.condition, seen, Aim::Open) != Holds::No;
    !access.deny.iter().filter(decides).any(denied)
        && access.allow.iter().filter(decides).any(allowed)
}

fn holds(condition: &Condition, seen: &Seen<'_>, aim: Aim) -> Holds {
    match condition {
        // A program with a token of its own has not.
        Condition::AnyoneSignedIn => (seen.person.is_some() && !seen.is_program()).into(),
        // SECURITY: what a program is called may be somebody else's name, where its owner chose it (RFC
        // 9068 section 5).
        Condition::User(_) | Condition::Email(_) | Condition::EmailDomain(_)
            if aim == Aim::Open && seen.is_program() =>
        {
            Holds::No
        }
        Condition::User(subject) => of_person(seen, |one| *subject == one.key.subject),
        Condition::Group(group) => of_person(seen, |one| one.is_in(group)),
        Condition::Provider(name) => of_person(seen, |one| *name == one.provider),
        Condition::Acr(_) | Condition::Amr(_) | Condition::MaxAge(_) if seen.anew => match aim {
            Aim::Open => Holds::Yes,
            Aim::Close => Holds::No,
        },
        Condition::Acr(acr) => of_person(seen, |_| proof::acr(seen) == Some(acr)),
        Condition::Amr(amr) => of_person(seen, |_| proof::has_amr(seen, amr)),
        Condition::MaxAge(age) => proof::is_recent(seen, age),
        Condition::Scope(scope) => seen
            .token
            .is_some_and(|token| token.scopes.contains(scope))
            .into(),
        Condition::ServiceToken(name) => {
            seen.service_token.is_some_and(|own| **name == *own).into()
        }
        Condition::Claim { name, value } => of_person(seen, |one| has_claim(one, name, value)),
        Condition::Email(_) | Condition::EmailDomain(_) if seen.is_nobody() => Holds::No,
        Condition::Email(email) => {
            email_of(seen).map_or(Holds::Unknown, |own| own.eq_ignore_ascii_case(email).into())
        }
        Condition::EmailDomain(domain) => match email_of(seen).and_then(domain_of) {
            Some(own) => own.eq_ignore_ascii_case(domain).into(),
            None => Holds::Unknown,
        },
        Condition::Certificate(rule) => of_request(seen, |request| match request.certificate {
            Some(certificate) => rule.fits(certificate, aim == Aim::Close),
            None => Some(false),
        }),
        Condition::Ip(networks) => of_request(seen, |request| {
            let client = request.client.to_canonical();
            Some(networks.iter().any(|network| network.contains(&client)))
        }),
        // Of an address that is in no country it cannot be told.
        Condition::Country(wanted) => of_request(seen, |request| {
            let code = wanted.database.of(request.client)?;
            Some(wanted.codes.iter().any(|one| **one == *code))
        }),
        Condition::Method(methods) => of_request(seen, |request| {
            let asked = request.method.as_str();
            Some(methods.iter().any(|method| match aim {
                Aim::Open => method.as_str() == asked,
                // Some servers take `post` for POST.
                Aim::Close => method.as_str().eq_ignore_ascii_case(asked),
            }))
        }),
        Condition::Path(path) => of_request(seen, |request| Some(covers(path, request.path, aim))),
        Condition::Time(week) => of_request(seen, |request| week.has(request.now.0)),
        Condition::All(parts) => {
            let mut all = Holds::Yes;
            for part in parts.iter() {
                match holds(part, seen, aim) {
                    Holds::No => return Holds::No,
                    Holds::Unknown => all = Holds::Unknown,
                    Holds::Yes => {}
                }
            }
            all
        }
        Condition::Any(parts) => {
            let mut any = Holds::No;
            for part in parts.iter() {
                match holds(part, seen, aim) {
                    Holds::Yes => return Holds::Yes,
                    Holds::Unknown => any = Holds::Unknown,
                    Holds::No => {}
                }
            }
            any
        }
        Condition::Not(part) => holds(part, seen, aim.turned()).not(),
        Condition::Named(_, part) => holds(part, seen, aim),
    }
}

/// Of a program with a service token it is known that it is nobody, and so it is of a certificate's owner.
fn of_person(seen: &Seen<'_>, is: impl FnOnce(&Person) -> bool) -> Holds {
    match (seen.person, seen.is_nobody()) {
        (Some(person), _) => is(person).into(),
        (None, true) => Holds::No,
        (None, false) => Holds::Unknown,
    }
}

fn of_request(seen: &Seen<'_>, is: impl FnOnce(&Circumstances<'_>) -> Option<bool>) -> Holds {
    let is = seen.request.as_ref().and_then(is);
    is.map_or(Holds::Unknown, Holds::from)
}

fn email_of<'a>(seen: &Seen<'a>) -> Option<&'a str> {
    seen.person?.email.as_deref()
}

/// What stands behind the only `@`. SECURITY: of two nobody knows which one mail goes by, and what is
/// beyond ASCII may look like another domain.
fn domain_of(email: &str) -> Option<&str> {
    let (name, domain) = email.split_once('@')?;
    let one = !name.is_empty() && !domain.is_empty() && !domain.contains('@');
    let one = one && !domain.ends_with('.');
    (one && email.is_ascii()).then_some(domain)
}

fn has_claim(person: &Person, name: &str, wanted: &str) -> bool {
    let is = |value: &Value| match value {
        Value::String(text) => text == wanted,
        Value::Bool(yes) => wanted == if *yes { "true" } else { "false" },
        Value::Number(number) => number.to_string() == wanted,
        _ => false,
    };
    match person.claim(name) {
        Some(Value::Array(all)) => all.iter().any(is),
        Some(value) => is(value),
        None => false,
    }
}

fn covers(rule: &PathRule, path: CanonicalPath<'_>, aim: Aim) -> bool {
    match aim {
        Aim::Open => rule.covers(path.as_str()),
        Aim::Close => rule.covers_folded(&path.folded()),
    }
}

#[cfg(test)]
mod tests;
