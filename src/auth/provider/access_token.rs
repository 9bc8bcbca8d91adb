//! Access tokens as credentials: JSON Web Tokens of the provider (RFC 9068, and the forms of providers
//! that are older than it).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::claims::{self, Claims, Subject};
use super::error::ProviderError;
use super::text::is_harmful;
use super::token::{Purpose, Unverified};
use super::{Provider, person};
use crate::auth::bearer::AccessToken;
use crate::certs::sha256;
use crate::clock::Timestamp;
use crate::model::Preset;

/// Tokens that are remembered.
const MOST: usize = 4096;

/// How long a token is believed that was judged, in seconds: the provider may have withdrawn its key.
const BELIEVED: i64 = 60;

/// How far clocks may be apart, in seconds.
const LEEWAY: i64 = 60;

/// Scopes, audiences and the like of one token.
const MOST_WORDS: usize = 1000;

/// What tokens call the client that they were given to.
const CLIENT: &[&str] = &["azp", "client_id", "appid", "cid"];

/// Entra's issuer of tokens of its first version, before the tenant.
const ENTRA_1: &str = "https://sts.windows.net/";

/// Tokens that were found good a moment ago, by their digests.
#[derive(Debug, Default)]
pub(super) struct Judged(Mutex<HashMap<[u8; 32], When>>);

/// When a token was judged, and what it came to.
type When = (Timestamp, Arc<AccessToken>);

impl Judged {
    fn get(&self, digest: &[u8; 32], now: Timestamp) -> Option<Arc<AccessToken>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (judged, token) = known.get(digest)?;
        is_believed(*judged, token, now).then(|| Arc::clone(token))
    }

    fn keep(&self, digest: [u8; 32], now: Timestamp, token: &Arc<AccessToken>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (judged, token)| is_believed(*judged, token, now));
        }
        // So many at once are judged anew.
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(digest, (now, Arc::clone(token)));
    }
}

/// A clock that was set back makes nothing younger.
fn is_believed(judged: Timestamp, token: &AccessToken, now: Timestamp) -> bool {
    (0..BELIEVED).contains(&(now.0 - judged.0)) && now < token.expires
}

impl Provider {
    /// Whether this may be the provider of tokens with this issuer.
    #[must_use]
    pub fn may_issue(&self, issuer: &str) -> bool {
        self.config.is_issuer(issuer) || self.of_first_version(issuer).is_some()
    }

    /// Judges an access token.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub async fn access_token(&self, token: &str) -> Result<Arc<AccessToken>, ProviderError> {
        let (digest, now) = (sha256(token.as_bytes()), self.clock.now());
        if let Some(known) = self.judged.get(&digest, now) {
            return Ok(known);
        }
        let allowed = &self.config.allowed_algorithms;
        let unverified = Unverified::read(token, Purpose::Access, allowed)?;
        let is_profiled = unverified.is_profiled;
        let metadata = self.metadata().await?;
        self.verify(&metadata, &unverified).await?;
        let claims = unverified.into_claims();
        // SECURITY: nothing but the form tells older kinds apart, and an ID token is in every browser.
        if !is_profiled && !self.is_for_access(&claims) {
            return Err(ProviderError::TokenKind);
        }
        let first = claims.get("iss").and_then(Value::as_str);
        let first = first.and_then(|issuer| self.of_first_version(issuer));
        let subject = self.expected(&metadata).access_token(&claims, first)?;
        let token = Arc::new(self.read(subject, claims)?);
        // Its seconds of grace are over at the same time for all.
        self.judged.keep(digest, now, &token);
        Ok(token)
    }

    fn read(
        &self,
        (subject, expires): (Subject, Timestamp),
        claims: Claims,
    ) -> Result<AccessToken, ProviderError> {
        let client = CLIENT
            .iter()
            .find_map(|name| claims.get(*name).and_then(Value::as_str))
            .filter(|client| !client.contains(is_harmful));
        let client: Option<Arc<str>> = client.map(Into::into);
        let scope = if claims.contains_key("scope") {
            "scope"
        } else {
            "scp"
        };
        if person::groups_are_elsewhere(&self.config, &claims) {
            return Err(ProviderError::GroupsElsewhere);
        }
        Ok(AccessToken {
            is_of_client: is_of_client(&claims, &subject.subject),
            issuer: Arc::clone(&subject.issuer),
            audiences: words(&claims, "aud", None)?,
            scopes: words(&claims, scope, Some(' '))?,
            client,
            expires,
            person: person::person(&self.config, &subject, claims, None)?,
        })
    }

    /// Whether claims are of an access token. SECURITY: where one registration at the provider is for people
    /// and for programs, ID tokens have the same audience.
    fn is_for_access(&self, claims: &Claims) -> bool {
        let has = |names: &[&str]| names.iter().any(|name| claims.contains_key(*name));
        let is_own = |one: &Value| *one == *self.config.client_id;
        let of_gateway = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_own),
            Some(one) => is_own(one),
            None => false,
        };
        may_be_for_access(claims)
            && match self.config.preset {
                // Its access tokens say how the client proved itself, and its ID tokens do not.
                Some(Preset::Entra) => has(&["azpacr", "appidacr"]),
                _ => !of_gateway || (has(CLIENT) && has(&["scope", "scp"])),
            }
    }

    /// Entra's tokens for an API are of its first version unless the registration of the API says
    /// otherwise (`accessTokenAcceptedVersion`): the tenant, where an issuer is of that form and this is
    /// its provider.
    fn of_first_version<'a>(&self, issuer: &'a str) -> Option<&'a str> {
        let tenant = issuer.strip_prefix(ENTRA_1)?.strip_suffix('/')?;
        let plain = tenant.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
        let second = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let ours = self.config.preset == Some(Preset::Entra) && self.config.is_issuer(&second);
        (plain && ours).then_some(tenant)
    }
}

/// Whether claims may be of an access token, where its header does not say so (RFC 9068 is of 2021): it says
/// what it is for, and nothing that only other tokens say.
fn may_be_for_access(claims: &Claims) -> bool {
    let is_for = ["scope", "scp", "roles"]
        .iter()
        .any(|name| claims.contains_key(*name));
    let is_other = ["nonce", "at_hash", "c_hash", "events"]
        .iter()
        .any(|name| claims.contains_key(*name));
    // Keycloak's word for its kinds of tokens.
    let kind = claims.get("typ").is_none_or(|kind| *kind == "Bearer");
    is_for && !is_other && kind
}

/// Whether nobody signed in for it. Providers say so in different ways, where they say so.
fn is_of_client(claims: &Claims, subject: &str) -> bool {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // RFC 9068 section 2.2: then the client is the subject.
    CLIENT.iter().any(|name| text(name) == Some(subject))
        // Keycloak's.
        || claims.contains_key("clientHost")
        || claims.contains_key("clientAddress")
        || text("idtyp") == Some("app")
        || text("gty") == Some("client-credentials")
        || text("preferred_username").is_some_and(|name| name.starts_with("service-account-"))
        // Entra: a person's token has `scp`, that of an application only `roles`.
        || (claims.contains_key("appidacr") || claims.contains_key("azpacr"))
            && !claims.contains_key("scp")
}

/// Words of a claim: a list, or a text that is one of them or, with `separator`, several.
fn words(
    claims: &Claims,
    name: &str,
    separator: Option<char>,
) -> Result<Vec<Arc<str>>, ProviderError> {
    let bad = || ProviderError::BadClaim {
        claim: name.to_owned(),
    };
    let all: Vec<&str> = match claims.get(name) {
        None => Vec::new(),
        Some(Value::String(text)) => match separator {
            Some(separator) => text
                .split(separator)
                .filter(|word| !word.is_empty())
                .collect(),
            None => vec![text],
        },
        Some(Value::Array(all)) => {
            let all = all.iter().map(|one| one.as_str().ok_or_else(bad));
            all.collect::<Result<_, _>>()?
        }
        Some(_) => return Err(bad()),
    };
    if all.len() > MOST_WORDS || all.iter().any(|word| word.contains(is_harmful)) {
        return Err(bad());
    }
    Ok(all.into_iter().map(Into::into).collect())
}

impl claims::Expected<'_> {
    /// Judges what an access token says of who gave it and when; for whom it is, is the application's to
    /// say. `first` is the tenant of a token of Entra's first version.
    pub(super) fn access_token(
        &self,
        claims: &Claims,
        first: Option<&str>,
    ) -> Result<(Subject, Timestamp), ProviderError> {
        let issuer = match first {
            None => self.issuer(claims)?,
            Some(tenant) => {
                let said = claims.get("tid").and_then(Value::as_str);
                let same = said.is_some_and(|said| said.eq_ignore_ascii_case(tenant));
                let said = claims.get("iss").and_then(Value::as_str);
                let issuer = said.filter(|_| same).ok_or(ProviderError::Issuer)?;
                issuer.into()
            }
        };
        if !claims.contains_key("aud") {
            return Err(ProviderError::NoClaim { claim: "aud" });
        }
        let end = claims::time(claims, "exp")?.ok_or(ProviderError::NoClaim { claim: "exp" })?;
        self.not_ended(end)?;
        // RFC 9068 wants it; Okta and others gave none for long.
        let made = claims::time(claims, "iat")?.unwrap_or(self.now);
        self.not_in_future(claims, made)?;
        let subject = claims::id(claims, "sub")?.ok_or(ProviderError::NoClaim { claim: "sub" })?;
        let subject = Subject {
            issuer,
            subject,
            auth_time: claims::time(claims, "auth_time")?,
            sid: None,
        };
        Ok((subject, Timestamp(end.0 + LEEWAY)))
    }
}
