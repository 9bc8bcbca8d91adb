//! Asking the identity provider again, without the person: whether it still knows them, and what it
//! says of them now.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::super::Gateway;
use super::desk::Desk;
use super::tokens;
use crate::auth::provider::{NotRefreshed, Provider};
use crate::auth::{Asked, Identity, Refreshed, Session, SignIn};
use crate::clock::{Clock, Timestamp};
use crate::model::Person;
use crate::telemetry::audit::{Actor, Record};

/// When a provider is asked again that says nothing of how long its word holds.
const USUAL: Duration = Duration::from_secs(3600);

/// The soonest, and the latest: some providers let access tokens live for a day.
const SOONEST: i64 = 10;
const LATEST: i64 = 3600;

/// After a failure in the middle.
const SOON: Duration = Duration::from_secs(30);

/// When the provider is to be asked again; never where it gave nothing to ask with. `access_expires` is
/// the end of what it gave, which is how long it stands by its word.
pub(super) fn until(
    recheck: Option<Duration>,
    (has_token, access_expires): (bool, Option<Timestamp>),
    now: Timestamp,
) -> Option<Timestamp> {
    if !has_token {
        return None;
    }
    if let Some(recheck) = recheck {
        return Some(now.plus(recheck));
    }
    let usual = now.plus(USUAL);
    let seconds = access_expires.unwrap_or(usual).0.saturating_sub(now.0);
    Some(Timestamp(
        now.0.saturating_add(seconds.clamp(SOONEST, LATEST)),
    ))
}

/// Asks where it is time, and waits for the answer as long as a request may. `false` where the session
/// has ended by it.
pub(super) async fn still_stands(gateway: &Gateway, desk: &Desk, session: &Session) -> bool {
    if !session.is_due(gateway.clock.now()) {
        return true;
    }
    ask_again(gateway, desk, session).await != Refreshed::Ended
}

/// Asks, and waits for the answer as long as a request may.
pub(super) async fn ask_again(gateway: &Gateway, desk: &Desk, session: &Session) -> Refreshed {
    let Some(provider) = desk.provider(&session.sign_in().person.provider) else {
        return Refreshed::Old;
    };
    let ask = ask(provider, desk, &gateway.clock);
    gateway.sessions.refresh(session, ask).await
}

/// Asks where it is time, and does not wait: what goes on by the session is judged again in a moment.
pub(in crate::gateway) fn look_again(gateway: &Gateway, desk: Option<&Desk>, identity: &Identity) {
    let Some((session, desk)) = identity.session().zip(desk) else {
        return;
    };
    if session.is_due(gateway.clock.now())
        && let Some(provider) = desk.provider(&session.sign_in().person.provider)
    {
        let ask = ask(provider, desk, &gateway.clock);
        drop(gateway.sessions.begin_refresh(session, ask));
    }
}

fn ask(
    provider: &Arc<Provider>,
    desk: &Desk,
    clock: &Clock,
) -> impl FnOnce(Arc<SignIn>) -> std::pin::Pin<Box<dyn Future<Output = Asked> + Send>> + Send + use<>
{
    let passes_tokens = desk.passes_tokens_of(provider.config().name.as_str());
    let (provider, clock) = (Arc::clone(provider), clock.clone());
    // In a box: rare beside requests.
    move |known| Box::pin(async move { answer(&provider, passes_tokens, &clock, &known).await })
}

/// Somebody of whom userinfo alone was heard. SECURITY: a claim that only ID tokens have is not gone by
/// that: a rule that keeps people out by it goes on.
fn with_claims_of(mut person: Person, known: &Person) -> Person {
    for (name, value) in &known.claims {
        if !person.claims.contains_key(name) {
            person.claims.insert(name.clone(), value.clone());
        }
    }
    person
}

async fn answer(provider: &Provider, passes_tokens: bool, clock: &Clock, known: &SignIn) -> Asked {
    let name = provider.config().name.as_str();
    let Some(token) = &known.refresh_token else {
        return Asked::Failed;
    };
    match provider.refresh(token, &known.issuer, &known.subject).await {
        Ok(new) => {
            let now = clock.now();
            let refresh_token = new.refresh_token.or_else(|| known.refresh_token.clone());
            let fresh_until = until(provider.config().recheck, (true, new.access_expires), now);
            let given = (new.access_token, new.access_expires);
            let access_token = tokens::kept(name, passes_tokens, given, now);
            let person = match (new.person, &new.id_token) {
                (None, _) => known.person.clone(),
                (Some(person), Some(_)) => person,
                (Some(person), None) => with_claims_of(person, &known.person),
            };
            Asked::Renewed(Box::new(SignIn {
                person,
                id_token: new.id_token.or_else(|| known.id_token.clone()),
                refresh_token,
                fresh_until: tokens::due(fresh_until, access_token.as_ref(), now),
                access_token,
                checked: now,
                ..known.clone()
            }))
        }
        Err(NotRefreshed { error, .. }) if error.denies_person() => {
            tracing::info!(provider = name, code = error.code(), %error, "the identity provider does not let a person in any more: signed out");
            Record::new("signed_out", Actor::Provider(name))
                .with("cause", error.to_string())
                .write();
            Asked::Refused
        }
        Err(NotRefreshed { error, next }) => {
            tracing::warn!(provider = name, code = error.code(), %error, "the identity provider cannot be asked again: a session goes on with what was known");
            match next {
                // It has spent the one that is known: what it said of the person did not come.
                Some(next) => Asked::Renewed(Box::new(SignIn {
                    refresh_token: Some(next),
                    fresh_until: Some(clock.now().plus(SOON)),
                    ..known.clone()
                })),
                None => Asked::Failed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_that_userinfo_does_not_have_stay() {
        let person = |claims: serde_json::Value| Person {
            key: crate::model::PersonKey {
                authority: "https://sso.test/".into(),
                subject: "1".into(),
            },
            provider: "corp".into(),
            name: None,
            email: None,
            groups: Arc::new([]),
            claims: claims.as_object().unwrap().clone(),
        };
        let known = person(serde_json::json!({ "department": "contractors", "level": 1 }));
        let told = person(serde_json::json!({ "level": 2 }));
        let both = with_claims_of(told, &known);
        let expected = serde_json::json!({ "department": "contractors", "level": 2 });
        assert_eq!(serde_json::Value::from(both.claims), expected);
    }

    #[test]
    fn a_provider_is_asked_again_when_its_word_ends() {
        let now = Timestamp(1_000_000);
        for (recheck, has_token, expires, expected) in [
            // Without a refresh token there is nothing to ask with.
            (None, false, Some(300), None),
            (Some(300), false, Some(300), None),
            (None, true, Some(300), Some(300)),
            (None, true, None, Some(3600)),
            (None, true, Some(5), Some(10)),
            (None, true, Some(-5), Some(10)),
            (None, true, Some(86_400), Some(3600)),
            (Some(600), true, Some(5), Some(600)),
            (Some(600), true, Some(86_400), Some(600)),
        ] {
            let expires = expires.map(|seconds| Timestamp(now.0 + seconds));
            let asked = until(recheck.map(Duration::from_secs), (has_token, expires), now);
            let expected = expected.map(|seconds| Timestamp(now.0 + seconds));
            assert_eq!(asked, expected, "{recheck:?} {has_token} {expires:?}");
        }
    }
}
