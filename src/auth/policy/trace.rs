//! What is said of rules: which condition kept somebody out, and what each came to.

use std::sync::Arc;

use serde_json::Value;

use super::{Aim, Holds, Seen, email_of, holds, proof};
use crate::clock::Timestamp;
use crate::model::{Access, Condition};

/// Lines of `allow` whose failing condition is told where none lets somebody in.
const MOST_TOLD: usize = 5;

/// Groups that are shown of somebody.
const MOST_GROUPS_SHOWN: usize = 20;

/// Which condition failed in each line of `allow`.
pub(super) fn why_not(access: &Access, seen: &Seen<'_>) -> String {
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
pub(in crate::auth) fn trace(access: &Access, seen: &Seen<'_>) -> Vec<Traced> {
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
        Condition::Acr(_) => of(proof::acr(seen).map(str::to_owned)),
        Condition::Amr(_) => match proof::amr(seen)[..] {
            [] => "nothing".to_owned(),
            ref all => all.join(" "),
        },
        Condition::MaxAge(_) => of(proof::auth_time(seen).map(Timestamp::to_rfc3339)),
        Condition::Scope(_) => of(seen.token.map(|token| token.scopes.join(" "))),
        Condition::ServiceToken(_) => of(seen.service_token.map(str::to_owned)),
        Condition::Certificate(_) => of(request.and_then(|one| {
            let certificate = one.certificate?;
            Some(certificate.to_string())
        })),
        Condition::Ip(_) => of(request.map(|one| one.client.to_canonical().to_string())),
        Condition::Country(wanted) => of(request.map(|one| {
            let code = wanted.database.of(one.client).unwrap_or("no country");
            format!("{} ({code})", one.client.to_canonical())
        })),
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
