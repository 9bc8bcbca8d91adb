//! Signing out: by the person, and by the identity provider from server to server.

use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::respond::pages::{OwnPath, Page, ProviderSession, SignOut, WebUrl};
use super::super::respond::{self, Failure};
use super::carried::FormToken;
use super::entering::{anew, failure, session_of};
use super::form::Parameters;
use super::{AtDesk, SIGN_OUT, SIGNED_OUT, link, redirect};
use crate::auth::{
    LoggedOutOf, LogoutToken, Session, clear_session_cookie, clear_storage, forget_somebody_else,
};
use crate::http::Body;
use crate::model::ErrorCode;
use crate::telemetry::audit::Actor;

/// How long a logout token is remembered: longer than one is taken after it was made.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Front-channel logouts at once: anybody may send them, and each asks the store.
static LOOKING: Semaphore = Semaphore::const_new(4);

/// The longest `sid` that is looked up.
const LONGEST_SID: usize = 512;

/// For what is known already.
const KNOWN: Duration = Duration::from_secs(1);

/// Asks before it signs out: a link on any page must not.
pub(super) async fn ask(
    visit: &AtDesk<'_>,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let fields = request.headers();
    let Some(session) = session_of(visit, fields).await? else {
        return Ok(done(visit, ProviderSession::Kept, request.method(), fields));
    };
    let token = FormToken::make(&visit.gateway.sessions, (session.id(), SIGN_OUT));
    let token = token.map_err(failure)?;
    let action = OwnPath::parse(SIGN_OUT).ok_or_else(|| Failure::internal("no path of ours"))?;
    let provider = end_of(visit, &session).await;
    let page = Page::SignOut(SignOut {
        action: &action,
        token: &token,
        provider: provider.as_ref(),
    });
    Ok(visit.page(&page, request.method(), fields))
}

/// At an application's host: on to the sign-in host, which signs out of all; where an operator's link
/// signed in, there is a session here alone.
pub(super) async fn at_application(
    visit: &AtDesk<'_>,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    match session_of(visit, request.headers()).await? {
        Some(session) if link::made(&session.sign_in().person).is_some() => {
            ask(visit, request).await
        }
        _ => redirect(&format!("{}{SIGN_OUT}", visit.desk.origin()), visit.id),
    }
}

/// Where the provider ends its own session: browsers want a form to name where its answer may lead.
/// Nobody waits long for it, since most often it is known.
pub(super) async fn end_of(visit: &AtDesk<'_>, session: &Session) -> Option<WebUrl> {
    let sign_in = session.sign_in();
    if link::made(&sign_in.person).is_some() {
        // From an application's host it leads to the sign-in host.
        return WebUrl::parse(&format!("{}/", visit.desk.origin()));
    }
    let provider = visit.desk.provider(&sign_in.person.provider)?;
    let after = format!("{}{SIGNED_OUT}", visit.desk.origin());
    let url = timeout(KNOWN, provider.end_session_url(None, &after, "")).await;
    WebUrl::parse(url.ok()??.as_str())
}

/// Signs out: of every application, and of the provider where it has a place for that.
pub(super) async fn sign_out(
    visit: &AtDesk<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let form = Parameters::of_form(&parts.headers, body).await?;
    let sessions = &visit.gateway.sessions;
    let after = format!("{}{SIGNED_OUT}", visit.desk.origin());
    let here = match visit.host == *visit.desk.host() {
        true => SIGNED_OUT,
        false => &after,
    };
    let Some(session) = session_of(visit, &parts.headers).await? else {
        return redirect(here, visit.id);
    };
    let token = form.one("token").unwrap_or_default();
    if !FormToken::is_for(sessions, token, (session.id(), SIGN_OUT)) {
        let detail = "the form that signs out is of another session";
        return Err(Failure::new(ErrorCode::CrossOrigin, detail));
    }
    let revoked = sessions.revoke(session.sign_in_id()).await;
    revoked.map_err(|e| Failure::new(ErrorCode::StoreUnavailable, e.to_string()))?;
    tracing::info!(request_id = %visit.id, session = %session.sign_in_id(), "signed out");
    visit
        .record_of("signed_out", &session.sign_in().person)
        .with("session", session.sign_in_id().as_str())
        .with("cause", "by themselves")
        .write();
    let sign_in = session.sign_in();
    let at_provider = match visit.desk.provider(&sign_in.person.provider) {
        // The provider knows nothing of what an operator's link began.
        _ if link::made(&sign_in.person).is_some() => None,
        None => None,
        Some(provider) => {
            let hint = sign_in.id_token.as_ref();
            provider.end_session_url(hint, &after, "signed-out").await
        }
    };
    let to = at_provider.as_ref().map_or(here, |url| url.as_str());
    let mut response = redirect(to, visit.id)?;
    let headers = response.headers_mut();
    clear_session_cookie(headers);
    // From now on nothing says whose the rest is.
    if visit.host != *visit.desk.host() {
        forget_somebody_else(&parts.headers, headers);
        clear_storage(headers);
    }
    Ok(response)
}

/// Back from the provider, or straight from here.
pub(super) fn signed_out(visit: &AtDesk<'_>, request: &Request<Incoming>) -> Response<Body> {
    let came_back = Parameters::of_query(request).one("state") == Some("signed-out");
    let provider = match came_back {
        true => ProviderSession::Ended,
        false => ProviderSession::Kept,
    };
    done(visit, provider, request.method(), request.headers())
}

fn done(
    visit: &AtDesk<'_>,
    provider: ProviderSession,
    method: &Method,
    fields: &HeaderMap,
) -> Response<Body> {
    match anew(visit) {
        Some(sign_in) => {
            let page = Page::SignedOut {
                sign_in: &sign_in,
                provider,
            };
            visit.page(&page, method, fields)
        }
        None => respond::plain(StatusCode::OK, visit.id),
    }
}

/// The provider has a browser say that somebody signed out (OpenID Connect Front-Channel Logout 1.0
/// section 2), in a frame that brings no cookie of ours: who knows `sid` may say so.
pub(super) async fn front_channel(
    visit: &AtDesk<'_>,
    name: &str,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let provider = visit.desk.provider(name).ok_or_else(no_provider)?;
    let parameters = Parameters::of_query(request);
    let (Some(issuer), Some(sid)) = (parameters.one("iss"), parameters.one("sid")) else {
        let detail = "a front-channel logout names `iss` and `sid`";
        return Err(Failure::new(ErrorCode::BadRequest, detail));
    };
    if sid.len() > LONGEST_SID || !provider.config().is_issuer(issuer) {
        let detail = "a front-channel logout of another issuer";
        return Err(Failure::new(ErrorCode::BadRequest, detail));
    }
    let Ok(_turn) = LOOKING.try_acquire() else {
        let detail = "too many ask at once what belongs to a `sid`";
        return Err(Failure::new(ErrorCode::Throttled, detail));
    };
    let ended = visit.gateway.sessions.revoke_sid(issuer, sid).await;
    let ended = ended.map_err(|e| Failure::new(ErrorCode::StoreUnavailable, e.to_string()))?;
    if ended > 0 {
        tracing::info!(request_id = %visit.id, provider = name, ended, "signed out by the identity provider, through the browser");
        visit
            .record("signed_out", Actor::Provider(name))
            .with("sessions", ended.to_string())
            .with("cause", "front-channel logout")
            .write();
    }
    Ok(respond::plain(StatusCode::OK, visit.id))
}

fn no_provider() -> Failure {
    let detail = "there is no identity provider of this name";
    Failure::new(ErrorCode::NoRoute, detail)
}

/// The provider says that somebody signed out (OpenID Connect Back-Channel Logout 1.0 section 2.5).
pub(super) async fn back_channel(
    visit: &AtDesk<'_>,
    name: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let provider = visit.desk.provider(name).ok_or_else(no_provider)?;
    let form = Parameters::of_form(&parts.headers, body).await?;
    let token = form.one("logout_token").unwrap_or_default();
    let token = provider.verify_logout_token(token).await;
    let token = token.map_err(|error| {
        let detail = format!("identity provider {name}: [{}] {error}", error.code());
        match error.is_unavailable() {
            true => Failure::new(error.error_code(), detail),
            false => Failure::new(ErrorCode::BadRequest, detail),
        }
    })?;
    let of = match (&token.sid, &token.sub) {
        (Some(sid), subject) => LoggedOutOf::Session(sid, subject.as_deref()),
        (None, Some(subject)) => LoggedOutOf::Subject(subject),
        (None, None) => {
            return Err(Failure::new(ErrorCode::BadRequest, "it names nobody"));
        }
    };
    let ended = visit
        .gateway
        .sessions
        .log_out(&LogoutToken {
            issuer: &token.issuer,
            jti: &token.jti,
            ends: visit.gateway.clock.now().plus(REMEMBERED),
            of,
        })
        .await;
    let ended = ended.map_err(|e| Failure::new(ErrorCode::StoreUnavailable, e.to_string()))?;
    tracing::info!(request_id = %visit.id, provider = name, ?ended, "signed out by the identity provider");
    visit
        .record("signed_out", Actor::Provider(name))
        .with("cause", "back-channel logout")
        .write();
    Ok(respond::plain(StatusCode::OK, visit.id))
}
