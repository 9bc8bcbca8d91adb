//! What an application is told of whoever signed in.
//!
//! | what | file |
//! |---|---|
//! | fields of templates | `headers` |
//! | name and password, and the provider's token | `authorization`, `password` |
//! | the keys that a signed word is verified with, for anybody | `jwks` |

mod authorization;
mod headers;
mod jwks;
mod password;

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Gateway;
use super::published::Published;
use super::respond::Failure;
use crate::auth::Permit;
use crate::auth::assertion::NotSigned;
use crate::http as rules;
use crate::model::{ErrorCode, Person, RequestId, SignOn};

pub(super) use jwks::{PATH as JWKS, answer as jwks, is_signed};
pub(super) use password::Password;
pub use password::look_at_passwords;

/// Keeps the keys for what is signed, until the gateway stops.
pub(super) async fn follow(gateway: Arc<Gateway>) {
    let keeps = gateway.signer.follow(|| is_signed(&gateway.current()));
    tokio::select! {
        () = keeps => {}
        () = gateway.drain.is_over() => {}
    }
}

/// What an application is to be told with one request.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    person: Option<&'a Person>,
    /// Fields that are more than claims come to.
    more: Vec<(HeaderName, HeaderValue)>,
}

/// Finds out what an application is to be told.
///
/// # Errors
/// Where something of it is not to be had: the request must not reach the application without.
pub(super) async fn prepare<'a>(
    gateway: &Gateway,
    published: &Published,
    permit: &'a Permit,
) -> Result<Told<'a>, Failure> {
    let sign_on = &permit.application().sign_on;
    let Some(person) = permit.person() else {
        return Ok(Told::default());
    };
    let sign_in = permit.sign_in();
    let mut told = Told {
        person: Some(person),
        more: Vec::new(),
    };
    if let Some(settings) = &sign_on.assertion {
        // In a box: it waits only where no key is known yet.
        let kept = sign_in.map(|sign_in| &sign_in.asserted);
        let value = Box::pin(gateway.signer.assertion(settings, person, kept)).await?;
        told.more.push((settings.header.clone(), value));
    }
    if let (Some(settings), Some(password)) = (&sign_on.basic, &published.password) {
        // In a box: it waits only where the password is read again.
        let field = Box::pin(authorization::basic(settings, person, password));
        told.more.push(field.await?);
    }
    // Whoever came with a token has shown it here: it is passed on by `bearer.forward`.
    if let (Some(settings), Some(sign_in)) = (&sign_on.access_token, sign_in) {
        let now = gateway.clock.now();
        told.more
            .push(authorization::token(settings, sign_in, now)?);
    }
    Ok(told)
}

impl From<NotSigned> for Failure {
    fn from(error: NotSigned) -> Self {
        let code = match error {
            NotSigned::NoKeys => ErrorCode::StoreUnavailable,
            NotSigned::TooLong | NotSigned::Key | NotSigned::Random(_) => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// Sets an application's own fields. SECURITY: whatever a client sent under the names of any application
/// goes first, in every spelling, whether there is something to say or not (DESIGN 8, rule 5).
pub(super) fn tell(fields: &mut HeaderMap, sign_on: &SignOn, told: Told<'_>, id: &RequestId) {
    // All go before any is set: one may be another's spelling to an application.
    for name in sign_on.deleted.iter() {
        rules::remove_spellings(fields, name);
    }
    if sign_on.says_authorization() {
        fields.remove(AUTHORIZATION);
    }
    if let Some(person) = told.person {
        headers::set(fields, sign_on, person, id);
    }
    for (name, value) in told.more {
        fields.insert(name, value);
    }
}
