//! What tokens of a provider say, judged: OpenID Connect Core 1.0 section 3.1.3.7, and Back-Channel
//! Logout 1.0 section 2.6.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::ProviderError;
use super::metadata::TENANT_ID;
use super::text::is_harmful;
use crate::clock::Timestamp;
use crate::config::IdentityProvider;
use crate::model::SigningAlgorithm;

pub(super) type Claims = Map<String, Value>;

/// How far clocks may be apart.
const LEEWAY: i64 = 60;

/// The longest `sub`, `sid` and `jti`. Core 1.0 section 2 has this limit for `sub`.
const LONGEST_ID: usize = 255;

/// How old a logout token may be: Back-Channel Logout has it sent at once and repeated soon.
const LOGOUT_AGE: i64 = 120;

/// What makes a token a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Whose tokens are expected, and when.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) config: &'a IdentityProvider,
    /// As the metadata has it.
    pub(super) issuer: &'a str,
    pub(super) now: Timestamp,
}

/// What is asked of an ID token beyond what holds for all.
pub(super) struct Asked<'a> {
    /// The nonce that has to be in it; a refreshed token need not have one.
    pub(super) nonce: Option<&'a str>,
    pub(super) max_age: Option<Duration>,
    pub(super) access_token: Option<&'a str>,
    pub(super) algorithm: SigningAlgorithm,
}

/// Whom a token is about.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) issuer: Arc<str>,
    pub(super) subject: Arc<str>,
    pub(super) auth_time: Option<Timestamp>,
    pub(super) sid: Option<Arc<str>>,
}

/// What a provider says of a sign-out (OpenID Connect Back-Channel Logout 1.0 section 2.4). At least one
/// of `sid` and `sub` is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// The issuer, as in the ID tokens.
    pub issuer: Arc<str>,
    /// The session at the provider that ended.
    pub sid: Option<Arc<str>>,
    /// The person; without `sid` all their sessions.
    pub sub: Option<Arc<str>>,
    /// What tells the token from others, so that it counts once.
    pub jti: Arc<str>,
    /// When it was made.
    pub iat: Timestamp,
}

impl Expected<'_> {
    pub(super) fn id_token(
        &self,
        claims: &Claims,
        asked: &Asked<'_>,
    ) -> Result<Subject, ProviderError> {
        let issuer = self.issuer(claims)?;
        self.audience(claims)?;
        let end = time(claims, "exp")?.ok_or(ProviderError::NoClaim { claim: "exp" })?;
        self.not_ended(end)?;
        let made = time(claims, "iat")?.ok_or(ProviderError::NoClaim { claim: "iat" })?;
        self.not_in_future(claims, made)?;
        if let Some(nonce) = asked.nonce {
            match claims.get("nonce") {
                None => return Err(ProviderError::NoClaim { claim: "nonce" }),
                Some(said) if said == nonce => {}
                Some(_) => return Err(ProviderError::Nonce),
            }
        }
        let subject = id(claims, "sub")?.ok_or(ProviderError::NoClaim { claim: "sub" })?;
        let auth_time = time(claims, "auth_time")?;
        if let Some(age) = asked.max_age {
            let at = auth_time.ok_or(ProviderError::NoClaim { claim: "auth_time" })?;
            let late = self.now.0 - at.plus(age).0 - LEEWAY;
            if late > 0 {
                return Err(ProviderError::TooLongAgo { seconds: late });
            }
        }
        if let (Some(said), Some(token)) = (claims.get("at_hash"), asked.access_token)
            && *said != at_hash(token, asked.algorithm)
        {
            return Err(ProviderError::AccessTokenHash);
        }
        Ok(Subject {
            issuer,
            subject,
            auth_time,
            sid: id(claims, "sid")?,
        })
    }

    pub(super) fn logout_token(&self, claims: &Claims) -> Result<LogoutToken, ProviderError> {
        let issuer = self.issuer(claims)?;
        self.audience(claims)?;
        let made = time(claims, "iat")?.ok_or(ProviderError::NoClaim { claim: "iat" })?;
        // Older drafts have no `exp`, and its age is bounded below all the same.
        if let Some(end) = time(claims, "exp")? {
            self.not_ended(end)?;
        }
        self.not_in_future(claims, made)?;
        let age = self.now.0 - made.0;
        if age > LOGOUT_AGE + LEEWAY {
            return Err(ProviderError::LogoutTooOld { seconds: age });
        }
        let event = claims
            .get("events")
            .and_then(|events| events.get(LOGOUT_EVENT));
        if !event.is_some_and(Value::is_object) {
            return Err(ProviderError::NoLogoutEvent);
        }
        if claims.contains_key("nonce") {
            return Err(ProviderError::LogoutNonce);
        }
        let (sid, sub) = (id(claims, "sid")?, id(claims, "sub")?);
        if sid.is_none() && sub.is_none() {
            return Err(ProviderError::LogoutOfNobody);
        }
        Ok(LogoutToken {
            issuer,
            sid,
            sub,
            jti: id(claims, "jti")?.ok_or(ProviderError::NoClaim { claim: "jti" })?,
            iat: made,
        })
    }

    /// The issuer, where it is the expected one: for Entra's shared ones, that of a tenant that may
    /// sign in.
    pub(super) fn issuer(&self, claims: &Claims) -> Result<Arc<str>, ProviderError> {
        let issuer = match claims.get("iss") {
            None => return Err(ProviderError::NoClaim { claim: "iss" }),
            Some(said) => said.as_str().ok_or(ProviderError::Issuer)?,
        };
        let tenants = &self.config.tenants;
        if tenants.is_empty() {
            return match issuer == self.issuer {
                true => Ok(issuer.into()),
                false => Err(ProviderError::Issuer),
            };
        }
        let tenant = claims.get("tid").and_then(Value::as_str);
        let tenant = tenant.ok_or(ProviderError::NoClaim { claim: "tid" })?;
        if issuer != self.issuer.replace(TENANT_ID, tenant) {
            return Err(ProviderError::Issuer);
        }
        let low = tenant.to_ascii_lowercase();
        match tenants.iter().any(|one| **one == *low) {
            true => Ok(issuer.into()),
            false => Err(ProviderError::Tenant),
        }
    }

    /// Whether the token is for us. What it says of other audiences gives them nothing here, but then it
    /// has to say that it was given to us.
    fn audience(&self, claims: &Claims) -> Result<(), ProviderError> {
        let own = |value: &Value| *value == *self.config.client_id;
        let several = match claims.get("aud") {
            None => return Err(ProviderError::NoClaim { claim: "aud" }),
            Some(Value::Array(all)) if all.iter().any(own) => all.iter().any(|one| !own(one)),
            Some(one) if own(one) => false,
            Some(_) => return Err(ProviderError::Audience),
        };
        match claims.get("azp") {
            Some(party) if own(party) => Ok(()),
            None if !several => Ok(()),
            _ => Err(ProviderError::AuthorizedParty),
        }
    }

    pub(super) fn not_ended(&self, end: Timestamp) -> Result<(), ProviderError> {
        let seconds = self.now.0 - end.0;
        match seconds >= LEEWAY {
            true => Err(ProviderError::Expired { seconds }),
            false => Ok(()),
        }
    }

    pub(super) fn not_in_future(
        &self,
        claims: &Claims,
        made: Timestamp,
    ) -> Result<(), ProviderError> {
        let seconds = made.0 - self.now.0;
        if seconds > LEEWAY {
            return Err(ProviderError::Future { seconds });
        }
        let seconds = time(claims, "nbf")?.map_or(0, |start| start.0 - self.now.0);
        match seconds > LEEWAY {
            true => Err(ProviderError::NotYet { seconds }),
            false => Ok(()),
        }
    }
}

/// A time (RFC 7519 section 2, NumericDate), which may have a fraction.
pub(super) fn time(claims: &Claims, name: &str) -> Result<Option<Timestamp>, ProviderError> {
    // The year 9999; with more, sums would not be times any more.
    const LAST: f64 = 253_402_300_799.0;
    let seconds = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(_) => None,
    };
    let seconds = seconds.filter(|seconds| (0.0..=LAST).contains(seconds));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within range, and the fraction is to go"
    )]
    let whole = seconds.map(|seconds| Timestamp(seconds as i64));
    let bad = || ProviderError::BadClaim {
        claim: name.to_owned(),
    };
    whole.map(Some).ok_or_else(bad)
}

/// An identifier.
pub(super) fn id(claims: &Claims, name: &str) -> Result<Option<Arc<str>>, ProviderError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text))
            if !text.is_empty() && text.len() <= LONGEST_ID && !text.contains(is_harmful) =>
        {
            Ok(Some(text.as_str().into()))
        }
        Some(_) => Err(ProviderError::BadClaim {
            claim: name.to_owned(),
        }),
    }
}

/// The left half of a token's hash (Core 1.0 section 3.1.3.6).
pub(super) fn at_hash(token: &str, algorithm: SigningAlgorithm) -> String {
    use SigningAlgorithm as A;
    let hash = match algorithm {
        A::Rs256 | A::Ps256 | A::Es256 => &digest::SHA256,
        A::Rs384 | A::Ps384 | A::Es384 => &digest::SHA384,
        // Ed25519 signs over SHA-512.
        A::Rs512 | A::Ps512 | A::EdDsa => &digest::SHA512,
    };
    let hash = digest::digest(hash, token.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2])
}
