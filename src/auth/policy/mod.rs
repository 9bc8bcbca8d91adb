//! What rules say of somebody and of a request.
//!
//! A condition holds, does not hold, or cannot be told: an e-mail address that the provider is not
//! trusted with, the address of a request that nobody has sent. SECURITY: what cannot be told opens
//! nothing, and a rule of `deny` that cannot be told keeps out; so does `not` of what cannot be told.
//!
//! Paths are compared octet by octet where a condition helps to open, and folded where it helps to
//! close (DESIGN 8, rule 2): inside `not` the one becomes the other.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::http::CanonicalPath;
use crate::model::{Access, AccessRule, Condition, PathRule, Person};

use super::permit::Denied;

/// Lines of `allow` whose failing condition is told where none lets somebody in.
const MOST_TOLD: usize = 5;

/// Groups that are shown of somebody.
const MOST_GROUPS_SHOWN: usize = 20;

/// Whom and what rules look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// Who it is; `None`: nobody was asked.
    pub person: Option<&'a Person>,
    /// What they ask for; `None`: nothing yet.
    pub request: Option<Circumstances<'a>>,
}

/// What rules look at in a request.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Where it comes from.
    pub client: IpAddr,
    /// Its method, GET for the handshake of a WebSocket.
    pub method: &'a Method,
    /// Its path.
    pub path: CanonicalPath<'a>,
    /// When it is judged.
    pub now: Timestamp,
}

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
    for rule in &access.deny {
        let holds = holds(&rule.condition, seen, Aim::Close);
        match (holds, rule.report_only) {
            (Holds::No, _) => {}
            (_, true) => would_deny = would_deny.or_else(|| Some(rule.text())),
            (Holds::Yes, false) => return Err(Denied::Named(Arc::clone(rule.text()))),
            (Holds::Unknown, false) => return Err(Denied::Unknown(Arc::clone(rule.text()))),
        }
    }
    // Nobody is asked who they are, which the operator has said in so many words.
    if access.allow.is_empty() && seen.person.is_none() {
        return Ok(Allowed {
            by: None,
            would_deny,
        });
    }
    let lets_in = |rule: &&AccessRule| holds(&rule.condition, seen, Aim::Open) == Holds::Yes;
    let decides = access.allow.iter().filter(|rule| !rule.report_only);
    match decides.clone().find(lets_in) {
        Some(rule) => Ok(Allowed {
            by: Some(rule.text()),
            would_deny,
        }),
        None => Err(Denied::NotNamed(why_not(access, seen).into())),
    }
}

/// Whether the rules might let somebody in, whatever is not known yet.
pub(super) fn might(access: &Access, seen: &Seen<'_>) -> bool {
    let decides = |rule: &&AccessRule| !rule.report_only;
    let denied = |rule: &AccessRule| holds(&rule.condition, seen, Aim::Close) == Holds::Yes;
    let allowed = |rule: &AccessRule| holds(&rule.condition, seen, Aim::Open) != Holds::No;
    !access.deny.iter().filter(decides).any(denied)
        && access.allow.iter().filter(decides).any(allowed)
}

/// Which condition failed in each line of `allow`.
fn why_not(access: &Access, seen: &Seen<'_>) -> String {
    let mut said = Vec::new();
    for rule in access.allow.iter().filter(|rule| rule.report_only) {
        if holds(&rule.condition, seen, Aim::Open) == Holds::Yes {
            said.push(format!("`{rule}` would let it in"));
        }
    }
    let decides: Vec<_> = access
        .allow
        .iter()
        .filter(|rule| !rule.report_only)
        .collect();
    for rule in decides.iter().take(MOST_TOLD) {
        let text = match failing(&rule.condition, seen, Aim::Open) {
            None => continue,
            Some(part) if part == rule.condition => format!("not `{rule}`"),
            Some(part) => format!("not `{part}` in `{rule}`"),
        };
        said.push(text);
    }
    let more = decides.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        said.push(format!("nor any of {more} more"));
    }
    said.join("; ")
}

/// The innermost part that keeps a condition from holding.
fn failing(condition: &Condition, seen: &Seen<'_>, aim: Aim) -> Option<Condition> {
    if holds(condition, seen, aim) == Holds::Yes {
        return None;
    }
    let inner = match condition {
        Condition::All(parts) => parts.iter().find_map(|part| failing(part, seen, aim)),
        Condition::Named(_, part) => failing(part, seen, aim),
        _ => None,
    };
    Some(inner.unwrap_or_else(|| condition.clone()))
}

fn holds(condition: &Condition, seen: &Seen<'_>, aim: Aim) -> Holds {
    match condition {
        Condition::AnyoneSignedIn => seen.person.is_some().into(),
        Condition::User(subject) => of_person(seen, |one| *subject == one.key.subject),
        Condition::Group(group) => of_person(seen, |one| one.is_in(group)),
        Condition::Provider(name) => of_person(seen, |one| *name == one.provider),
        Condition::Claim { name, value } => of_person(seen, |one| has_claim(one, name, value)),
        Condition::Email(email) => {
            email_of(seen).map_or(Holds::Unknown, |own| own.eq_ignore_ascii_case(email).into())
        }
        Condition::EmailDomain(domain) => match email_of(seen).and_then(domain_of) {
            Some(own) => own.eq_ignore_ascii_case(domain).into(),
            None => Holds::Unknown,
        },
        Condition::Ip(networks) => of_request(seen, |request| {
            let client = request.client.to_canonical();
            Some(networks.iter().any(|network| network.contains(&client)))
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

fn of_person(seen: &Seen<'_>, is: impl FnOnce(&Person) -> bool) -> Holds {
    seen.person
        .map_or(Holds::Unknown, |person| is(person).into())
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

/// What one condition of a rule came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// `allow` or `deny`, and the line there, from 0.
    pub list: &'static str,
    /// As above.
    pub line: usize,
    /// How far inside the rule it stands; 0: it is the rule.
    pub depth: usize,
    /// The condition, as an operator writes it.
    pub condition: String,
    /// The value it was compared with.
    pub saw: String,
    /// What it came to.
    pub holds: Holds,
    /// The rule decides nothing.
    pub report_only: bool,
}

/// What each condition of an application's rules comes to.
#[must_use]
pub(super) fn trace(access: &Access, seen: &Seen<'_>) -> Vec<Traced> {
    let mut traced = Vec::new();
    for (list, rules, aim) in [
        ("deny", &access.deny, Aim::Close),
        ("allow", &access.allow, Aim::Open),
    ] {
        for (line, rule) in rules.iter().enumerate() {
            let at = (list, line, rule.report_only);
            follow(&rule.condition, seen, aim, at, 0, &mut traced);
        }
    }
    traced
}

fn follow(
    condition: &Condition,
    seen: &Seen<'_>,
    aim: Aim,
    at: (&'static str, usize, bool),
    depth: usize,
    traced: &mut Vec<Traced>,
) {
    let (list, line, report_only) = at;
    traced.push(Traced {
        list,
        line,
        depth,
        condition: condition.to_string(),
        saw: saw(condition, seen),
        holds: holds(condition, seen, aim),
        report_only,
    });
    let (parts, aim) = match condition {
        Condition::All(parts) | Condition::Any(parts) => (&parts[..], aim),
        Condition::Not(part) => (std::slice::from_ref(&**part), aim.turned()),
        Condition::Named(_, part) => (std::slice::from_ref(&**part), aim),
        _ => return,
    };
    for part in parts {
        follow(part, seen, aim, at, depth + 1, traced);
    }
}

/// The value that a condition is compared with.
fn saw(condition: &Condition, seen: &Seen<'_>) -> String {
    let of = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
    let (person, request) = (seen.person, seen.request.as_ref());
    match condition {
        Condition::AnyoneSignedIn | Condition::User(_) => {
            of(person.map(|one| one.key.subject.to_string()))
        }
        Condition::Group(_) => of(person.map(|one| shown(&one.groups))),
        Condition::Email(_) | Condition::EmailDomain(_) => of(email_of(seen).map(str::to_owned)),
        Condition::Claim { name, .. } => {
            of(person.and_then(|one| one.claim(name)).map(Value::to_string))
        }
        Condition::Provider(_) => of(person.map(|one| one.provider.to_string())),
        Condition::Ip(_) => of(request.map(|one| one.client.to_canonical().to_string())),
        Condition::Method(_) => of(request.map(|one| one.method.to_string())),
        Condition::Path(_) => of(request.map(|one| one.path.as_str().to_owned())),
        Condition::Time(_) => of(request.map(|one| one.now.to_rfc3339())),
        Condition::All(_) | Condition::Any(_) | Condition::Not(_) | Condition::Named(..) => {
            String::new()
        }
    }
}

fn shown(groups: &[Arc<str>]) -> String {
    let more = groups.len().saturating_sub(MOST_GROUPS_SHOWN);
    let mut all = groups[..groups.len() - more].join(", ");
    match (groups.len(), more) {
        (0, _) => "no groups".to_owned(),
        (_, 0) => all,
        (_, more) => {
            all.push_str(&format!(" and {more} more"));
            all
        }
    }
}

#[cfg(test)]
mod tests;
