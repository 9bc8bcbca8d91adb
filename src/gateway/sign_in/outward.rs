//! From the sign-in host to an identity provider, and what its refusals come to.

use http::{HeaderMap, Method, Response};
use secrecy::ExposeSecret as _;

use super::super::respond::Failure;
use super::super::respond::pages::Stopped;
use super::carried::{UnderWay, WITHIN, Wanted};
use super::entering::failure;
use super::{AtDesk, redirect};
use crate::auth::provider::{Begin, Provider, ProviderError, SignInSecrets};
use crate::auth::{NonceHash, OwnCookies, SignInId, StepUp};
use crate::http::Body;
use crate::model::Prompt;

/// What a sign-in begins with.
pub(super) struct Beginning<'a> {
    /// The application's host that wants to know.
    pub(super) wanted: Option<Wanted>,
    /// Where to go on where there is none; one of ours.
    pub(super) after: Option<String>,
    /// Who it will be.
    pub(super) login_hint: Option<&'a str>,
}

/// On to an identity provider.
pub(super) async fn to_provider(
    visit: &AtDesk<'_>,
    provider: &Provider,
    beginning: Beginning<'_>,
    (method, fields): (&Method, &HeaderMap),
) -> Result<Response<Body>, Failure> {
    let sessions = &visit.gateway.sessions;
    let random = |error: crate::certs::RandomError| Failure::internal(error.to_string());
    let id = SignInId::new(visit.gateway.clock.now()).map_err(random)?;
    let secrets = SignInSecrets::new().map_err(random)?;
    let cookie: secrecy::SecretString = SignInSecrets::new().map_err(random)?.nonce.into();
    let under_way = UnderWay::new(
        id.clone(),
        NonceHash::of(cookie.expose_secret().as_bytes()),
        provider.config().name.as_str(),
        &secrets,
        sessions.mark(),
        (beginning.wanted, beginning.after),
    );
    let state = under_way.seal(sessions).map_err(failure)?;
    let redirect_uri = visit.desk.redirect_uri();
    let step_up = under_way.step_up();
    let begin = Begin {
        redirect_uri: &redirect_uri,
        state: &state,
        secrets: &secrets,
        prompt: step_up
            .filter(|step_up| step_up.anew)
            .map(|_| Prompt::Login),
        max_age: step_up.and_then(StepUp::max_age),
        acr_values: step_up.map_or(&[], |step_up| &step_up.acr_values),
        login_hint: beginning.login_hint,
    };
    let url = match provider.begin(&begin).await {
        Ok(url) => url,
        Err(error) => return refused(visit, provider, &error, (method, fields)),
    };
    let mut response = redirect(url.as_str(), visit.id)?;
    let own = OwnCookies::read(fields);
    own.begin_sign_in(response.headers_mut(), &id, &cookie, WITHIN);
    Ok(response)
}

/// What a provider's fault comes to: its own page where the person can do something, and the page of
/// the error list where the provider cannot be reached.
pub(super) fn refused(
    visit: &AtDesk<'_>,
    provider: &Provider,
    error: &ProviderError,
    (method, fields): (&Method, &HeaderMap),
) -> Result<Response<Body>, Failure> {
    let name = provider.config().name.as_str();
    let detail = format!(
        "identity provider {name}: [{}] {error}; {}",
        error.code(),
        error.remedy()
    );
    if error.is_unavailable() {
        return Err(Failure::new(error.error_code(), detail));
    }
    let stopped = match error.code() == "access_denied" {
        true => Stopped::Cancelled,
        false => Stopped::Provider,
    };
    Ok(visit.stopped(stopped, (error.code(), &detail), (method, fields)))
}
