//! How and when somebody proved who they are, and what further proof would let them in (step-up).

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Aim, Holds, Seen, holds, judge, of_person};
use crate::clock::Timestamp;
use crate::model::{Access, AccessRule, Condition, MaxAge};

/// How far clocks may be apart, in seconds.
const LEEWAY: i64 = 60;

/// What a provider is asked for, so that somebody may be let in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepUp {
    /// How strongly they are to prove who they are (`acr_values`), the best first.
    pub acr_values: Vec<Arc<str>>,
    /// How long ago at most, in seconds (`max_age`).
    pub max_age: Option<u64>,
    /// They are to prove it anew, in whatever way the provider has: no request names a means (`amr`).
    pub anew: bool,
}

pub(super) fn acr<'a>(seen: &Seen<'a>) -> Option<&'a str> {
    match seen.sign_in {
        Some(sign_in) => sign_in.acr.as_deref(),
        None => seen.person?.claim("acr")?.as_str(),
    }
}

pub(super) fn amr<'a>(seen: &Seen<'a>) -> Vec<&'a str> {
    if let Some(sign_in) = seen.sign_in {
        return sign_in.amr.iter().map(String::as_str).collect();
    }
    let claim = seen.person.and_then(|person| person.claim("amr"));
    let all = claim.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}

pub(super) fn has_amr(seen: &Seen<'_>, wanted: &str) -> bool {
    match seen.sign_in {
        Some(sign_in) => sign_in.amr.iter().any(|one| one == wanted),
        None => amr(seen).contains(&wanted),
    }
}

pub(super) fn auth_time(seen: &Seen<'_>) -> Option<Timestamp> {
    match seen.sign_in {
        Some(sign_in) => sign_in.auth_time,
        None => seen.person?.claim("auth_time")?.as_i64().map(Timestamp),
    }
}

/// Whether they proved it so lately. Where the provider does not say when, it cannot be told.
pub(super) fn is_recent(seen: &Seen<'_>, age: &MaxAge) -> Holds {
    let Some(request) = &seen.request else {
        return Holds::Unknown;
    };
    match auth_time(seen) {
        Some(at) => of_person(seen, |_| {
            let until = at.plus(age.age);
            at.0 <= request.now.0 + LEEWAY && request.now.0 <= until.0 + LEEWAY
        }),
        None if seen.service_token.is_some() => Holds::No,
        None => Holds::Unknown,
    }
}

/// What would let somebody in whom the rules keep out as they are known now.
pub(in crate::auth) fn step_up(access: &Access, seen: &Seen<'_>) -> Option<StepUp> {
    let anew = Seen {
        anew: true,
        ..*seen
    };
    if seen.person.is_none() || judge(access, &anew).is_err() {
        return None;
    }
    let mut wanted = StepUp::default();
    let decides = |rule: &&AccessRule| !rule.report_only;
    for rule in access.deny.iter().filter(decides) {
        if holds(&rule.condition, seen, Aim::Close) != Holds::No {
            gather(&rule.condition, seen, Aim::Close, &mut wanted);
        }
    }
    let mut allow = access.allow.iter().filter(decides);
    let lets_in =
        |seen: &Seen<'_>, rule: &AccessRule| holds(&rule.condition, seen, Aim::Open) == Holds::Yes;
    let is_let_in = access
        .allow
        .iter()
        .filter(decides)
        .any(|rule| lets_in(seen, rule));
    if !is_let_in && let Some(rule) = allow.find(|rule| lets_in(&anew, rule)) {
        gather(&rule.condition, seen, Aim::Open, &mut wanted);
    }
    (wanted != StepUp::default()).then_some(wanted)
}

/// What is missing in a condition.
fn gather(condition: &Condition, seen: &Seen<'_>, aim: Aim, wanted: &mut StepUp) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts
                .iter()
                .for_each(|part| gather(part, seen, aim, wanted));
        }
        Condition::Named(_, part) => gather(part, seen, aim, wanted),
        Condition::Not(part) => gather(part, seen, aim.turned(), wanted),
        _ if holds(condition, seen, aim) == Holds::Yes => {
            // What is so and should not be: another proof may come out otherwise.
            let is_proof = matches!(condition, Condition::Acr(_) | Condition::Amr(_));
            wanted.anew |= is_proof && aim == Aim::Close;
        }
        _ if aim == Aim::Close => {}
        Condition::Acr(acr) if !wanted.acr_values.contains(acr) => {
            wanted.acr_values.push(Arc::clone(acr));
        }
        Condition::Amr(_) => wanted.anew = true,
        Condition::MaxAge(age) => {
            let age = age.age.as_secs();
            wanted.max_age = Some(wanted.max_age.map_or(age, |other| other.min(age)));
        }
        _ => {}
    }
}

impl StepUp {
    /// As a duration.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age.map(Duration::from_secs)
    }
}

impl std::fmt::Display for StepUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if !self.acr_values.is_empty() {
            parts.push(format!("acr {}", self.acr_values.join(" or ")));
        }
        if let Some(age) = self.max_age {
            parts.push(format!("within the last {age} s"));
        }
        if self.anew {
            parts.push("anew".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}
