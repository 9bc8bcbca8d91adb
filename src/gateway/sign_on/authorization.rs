//! What stands in `Authorization`, or where a token stands instead.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::super::respond::Failure;
use super::Password;
use crate::auth::SignIn;
use crate::clock::Timestamp;
use crate::model::{AccessToken, Basic, ErrorCode, Person};

/// Name and password (RFC 7617, in UTF-8).
///
/// # Errors
/// Where there is no name for this person: SECURITY: the application would take them for somebody else.
pub(super) async fn basic(
    settings: &Basic,
    person: &Person,
    password: &Password,
) -> Result<(HeaderName, HeaderValue), Failure> {
    let name = settings.username.of(person).ok_or_else(|| {
        Failure::new(
            ErrorCode::Denied,
            "`single_sign_on.basic.username` comes to nothing for this person, or to what has a colon or \
             control characters in it: the application is not asked",
        )
    })?;
    let password = password.get().await;
    let password = password.ok_or_else(|| {
        Failure::internal("the password of `single_sign_on.basic` was never read")
    })?;
    let pair = Zeroizing::new(format!("{name}:{}", password.expose_secret()));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    Ok((AUTHORIZATION, secret(&text)?))
}

/// The person's access token (RFC 6750 section 2.1), where it is alive.
///
/// # Errors
/// Where it is not: it was asked for before, and whoever gives it has not answered.
pub(super) fn token(
    settings: &AccessToken,
    sign_in: &SignIn,
    now: Timestamp,
) -> Result<(HeaderName, HeaderValue), Failure> {
    // SECURITY: an application of one provider's people is shown the tokens of no other.
    if sign_in.person.provider != settings.provider {
        let detail = "the person is of another identity provider than the application's tokens";
        return Err(Failure::new(ErrorCode::Denied, detail));
    }
    let token = sign_in.living_access_token(now).ok_or_else(|| {
        Failure::new(
            ErrorCode::ProviderUnavailable,
            "the access token has ended, and the identity provider gives no other at the moment",
        )
    })?;
    let token = token.expose_secret();
    match &settings.header {
        Some(name) => Ok((name.clone(), secret(token)?)),
        None => {
            let text = Zeroizing::new(format!("Bearer {token}"));
            Ok((AUTHORIZATION, secret(&text)?))
        }
    }
}

fn secret(text: &str) -> Result<HeaderValue, Failure> {
    let value = HeaderValue::from_bytes(text.as_bytes());
    let mut value =
        value.map_err(|_| Failure::internal("a secret cannot stand in a header field"))?;
    value.set_sensitive(true);
    Ok(value)
}
