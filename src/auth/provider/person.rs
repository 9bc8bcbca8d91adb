//! From claims to a person: which of them say who it is, and what of them can be believed.

use std::sync::Arc;

use serde_json::Value;

use super::claims::{Claims, Subject};
use super::error::ProviderError;
use super::text::{cleaned, is_harmful};
use crate::config::IdentityProvider;
use crate::model::{Person, PersonKey, Preset, UserinfoUse, find_claim as find};

/// The most groups of one person.
pub(super) const MOST_GROUPS: usize = 10_000;

/// The longest e-mail address (RFC 5321 section 4.5.3.1), and the longest name of a group.
const LONGEST_EMAIL: usize = 320;
const LONGEST_GROUP: usize = 1024;

/// What claims say that they are not all.
const ELSEWHERE: &str = "_claim_names";

/// Whether the provider is to be asked for what the token does not say.
pub(super) fn wants_userinfo(config: &IdentityProvider, claims: &Claims) -> bool {
    let names = &config.claims;
    let misses = |name: &str| find(claims, name).is_none();
    match config.userinfo {
        UserinfoUse::Always => true,
        UserinfoUse::Never => false,
        UserinfoUse::Auto => match config.preset {
            // Neither says more of groups there than in the token.
            Some(Preset::Entra | Preset::Google) => misses(&names.email) && misses(&names.name),
            _ => misses(&names.email) || misses(&names.name) || misses(&names.groups),
        },
    }
}

/// Whether the groups are among the claims.
pub(super) fn tells_groups(config: &IdentityProvider, claims: &Claims) -> bool {
    find(claims, &config.claims.groups).is_some()
}

/// Adds what userinfo says to what the token says, whose word counts.
pub(super) fn add_userinfo(config: &IdentityProvider, claims: &mut Claims, more: Claims) {
    let email = config.claims.email.as_ref();
    // Of two addresses one may be verified, and it is not to vouch for the other.
    let same_email = !claims.contains_key(email) || claims.get(email) == more.get(email);
    for (name, value) in more {
        let vouches = name == verified_by(config);
        if !claims.contains_key(&name) && (same_email || !vouches) {
            claims.insert(name, value);
        }
    }
}

/// Whether the person's groups are not in the token because they are too many.
pub(super) fn groups_are_elsewhere(config: &IdentityProvider, claims: &Claims) -> bool {
    let name = config.claims.groups.as_ref();
    let named = claims.get(ELSEWHERE).and_then(|names| names.get(name));
    // The implicit flow's way to say it, which is always of `groups`.
    let has = name == "groups" && claims.get("hasgroups").is_some_and(is_true);
    named.is_some() || has
}

/// The claim by which the provider says that it verified the address. Entra has one of its own: there
/// anybody who runs a tenant can give anybody any address.
fn verified_by(config: &IdentityProvider) -> &'static str {
    match config.preset {
        Some(Preset::Entra) => "xms_edov",
        _ => "email_verified",
    }
}

/// The person whom claims describe. `groups` are those that had to be asked for.
pub(super) fn person(
    config: &IdentityProvider,
    subject: &Subject,
    claims: Claims,
    groups: Option<Vec<String>>,
) -> Result<Person, ProviderError> {
    let names = &config.claims;
    let key = match config.preset {
        // `sub` is another for each registration there, and `oid` is not.
        Some(Preset::Entra) => PersonKey {
            authority: uuid(&claims, "tid")?,
            subject: uuid(&claims, "oid")?,
        },
        _ => PersonKey {
            authority: Arc::clone(&subject.issuer),
            subject: Arc::clone(&subject.subject),
        },
    };
    let groups = match groups {
        Some(groups) => sorted(groups)?,
        None => sorted(listed(&names.groups, find(&claims, &names.groups))?)?,
    };
    let name = find(&claims, &names.name).and_then(Value::as_str);
    Ok(Person {
        key,
        provider: config.name.as_str().into(),
        name: name.and_then(cleaned).map(Into::into),
        email: email(config, &claims)?,
        groups,
        claims,
    })
}

/// The person whom these claims would describe in an ID token, for a question that nobody signs in for.
///
/// # Errors
/// Where they would describe nobody.
pub fn person_of(config: &IdentityProvider, claims: Claims) -> Result<Person, ProviderError> {
    let subject = claims.get("sub").and_then(Value::as_str);
    let subject = Subject {
        issuer: config.some_issuer(),
        subject: subject.unwrap_or_default().into(),
        auth_time: None,
        sid: None,
    };
    person(config, &subject, claims, None)
}

/// `true`, in the spellings that are about.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::String(text) => text == "true" || text == "1",
        Value::Number(number) => number.as_u64() == Some(1),
        _ => false,
    }
}

fn uuid(claims: &Claims, name: &'static str) -> Result<Arc<str>, ProviderError> {
    let value = claims
        .get(name)
        .ok_or(ProviderError::NoClaim { claim: name })?;
    let text = value.as_str().filter(|text| {
        text.len() == 36 && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
    });
    let bad = || ProviderError::BadClaim {
        claim: name.to_owned(),
    };
    Ok(text.ok_or_else(bad)?.to_ascii_lowercase().as_str().into())
}

/// The address, where the provider is trusted with it.
fn email(config: &IdentityProvider, claims: &Claims) -> Result<Option<Arc<str>>, ProviderError> {
    let claim = || config.claims.email.to_string();
    let text = match find(claims, &config.claims.email) {
        None => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) if text.len() <= LONGEST_EMAIL => text,
        Some(_) => return Err(ProviderError::BadClaim { claim: claim() }),
    };
    if text.contains(is_harmful) {
        return Err(ProviderError::ClaimCharacters { claim: claim() });
    }
    let verified = claims.get(verified_by(config)).is_some_and(is_true);
    let counts = config.trust_email || verified;
    Ok(counts.then(|| text.as_str().into()))
}

/// The groups of a claim: a list, or one alone.
pub(super) fn listed(claim: &str, value: Option<&Value>) -> Result<Vec<String>, ProviderError> {
    let bad = || ProviderError::BadClaim {
        claim: claim.to_owned(),
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => checked(claim, one).map(|one| vec![one]),
        Some(Value::Array(all)) if all.len() > MOST_GROUPS => Err(ProviderError::TooManyGroups),
        Some(Value::Array(all)) => {
            let group = |value: &Value| checked(claim, value.as_str().ok_or_else(bad)?);
            all.iter().map(group).collect()
        }
        Some(_) => Err(bad()),
    }
}

fn checked(claim: &str, group: &str) -> Result<String, ProviderError> {
    let claim = || claim.to_owned();
    if group.contains(is_harmful) {
        return Err(ProviderError::ClaimCharacters { claim: claim() });
    }
    if group.is_empty() || group.len() > LONGEST_GROUP {
        return Err(ProviderError::BadClaim { claim: claim() });
    }
    Ok(group.to_owned())
}

fn sorted(mut groups: Vec<String>) -> Result<Arc<[Arc<str>]>, ProviderError> {
    if groups.len() > MOST_GROUPS {
        return Err(ProviderError::TooManyGroups);
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(groups.into_iter().map(Into::into).collect())
}
