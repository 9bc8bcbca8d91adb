//! At the sign-in host: on to the identity provider, and back from it with a person.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use secrecy::ExposeSecret as _;

use super::super::respond::Failure;
use super::super::respond::pages::{Choice, Link, OwnPath, Page, Stopped};
use super::carried::{UnderWay, WITHIN, Wanted};
use super::form::Parameters;
use super::handing_over::hand_over;
use super::{AtDesk, SIGN_IN, in_log, redirect, web};
use crate::auth::provider::{Begin, Callback, Provider, ProviderError, SignInSecrets, SignedIn};
use crate::auth::{
    Found, NewSession, NonceHash, OwnCookies, Session, SessionError, SignIn, SignInId, StateError,
    end_sign_in_cookie, set_session_cookie,
};
use crate::http::Body;
use crate::model::ErrorCode;

/// What nobody signed in as.
pub(super) fn failure(error: SessionError) -> Failure {
    match error {
        SessionError::Store(error) => Failure::new(ErrorCode::StoreUnavailable, error.to_string()),
        SessionError::TooMany => Failure::new(ErrorCode::Throttled, error.to_string()),
        // Signed out, or refused, in the very moment in which it was to begin.
        SessionError::Refused(_) => Failure::new(ErrorCode::SignInFailed, error.to_string()),
        SessionError::Random(_) | SessionError::Misuse(_) => Failure::internal(error.to_string()),
    }
}

/// The person's own session, if there is one.
///
/// # Errors
/// Where that cannot be known now.
pub(super) async fn session_of(
    visit: &AtDesk<'_>,
    fields: &HeaderMap,
) -> Result<Option<Arc<Session>>, Failure> {
    let own = OwnCookies::read(fields);
    let ticket = own.session();
    let ticket = ticket.map_err(|twice| Failure::new(ErrorCode::BadRequest, twice.to_string()))?;
    let Some(ticket) = ticket else {
        return Ok(None);
    };
    match visit.gateway.sessions.find(visit.desk.host(), ticket).await {
        Found::Live(session) if visit.desk.vouches_for(&session) => Ok(Some(session)),
        Found::Live(_) => Ok(None),
        Found::None(_) => Ok(None),
        Found::Unavailable => {
            let detail = "whether the session is alive cannot be known now";
            Err(Failure::new(ErrorCode::StoreUnavailable, detail))
        }
    }
}

/// Begins a sign-in, or hands over the one there is.
pub(super) async fn begin(
    visit: &AtDesk<'_>,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (method, fields) = (request.method(), request.headers());
    let parameters = Parameters::of_query(request);
    let sealed = parameters.one("request");
    let wanted = match sealed.map(|text| Wanted::open(&visit.gateway.sessions, text)) {
        None if parameters.has_twice("request") => {
            return Err(Failure::new(
                ErrorCode::BadRequest,
                "two requests for a sign-in",
            ));
        }
        None => None,
        Some(Ok(wanted)) => Some(wanted),
        Some(Err(error)) => return Ok(stale(visit, error, method, fields)),
    };
    if let Some(session) = session_of(visit, fields).await? {
        return hand_over(visit, &session, wanted, (method, fields)).await;
    }
    let chosen = match (parameters.one("provider"), visit.desk.providers()) {
        (Some(name), _) => visit.desk.provider(name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some(provider) = chosen else {
        return choose(visit, sealed, method, fields);
    };
    to_provider(visit, provider, wanted, (method, fields)).await
}

/// A page of the providers there are.
fn choose(
    visit: &AtDesk<'_>,
    sealed: Option<&str>,
    method: &Method,
    fields: &HeaderMap,
) -> Result<Response<Body>, Failure> {
    let mut ways = Vec::new();
    for provider in visit.desk.providers() {
        let mut to = format!("{SIGN_IN}?provider={}", provider.config().name);
        if let Some(sealed) = sealed {
            // As it was opened a moment ago: letters, digits, `-` and `_`.
            to.push_str("&request=");
            to.push_str(sealed);
        }
        let to = OwnPath::parse(&to).map(Link::from);
        ways.push(to.ok_or_else(|| Failure::internal("no way to a provider"))?);
    }
    let choices: Vec<_> = visit
        .desk
        .providers()
        .iter()
        .zip(&ways)
        .map(|(provider, begin)| Choice {
            name: &provider.config().display_name,
            begin,
        })
        .collect();
    let page = Page::Chooser {
        providers: &choices,
    };
    Ok(visit.page(&page, method, fields))
}

async fn to_provider(
    visit: &AtDesk<'_>,
    provider: &Provider,
    wanted: Option<Wanted>,
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
        wanted,
    );
    let state = under_way.seal(sessions).map_err(failure)?;
    let redirect_uri = visit.desk.redirect_uri();
    let begin = Begin {
        redirect_uri: &redirect_uri,
        state: &state,
        secrets: &secrets,
        prompt: None,
        max_age: None,
        acr_values: &[],
        login_hint: None,
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
fn refused(
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

/// A state that was altered, or is too old.
pub(super) fn stale(
    visit: &AtDesk<'_>,
    error: StateError,
    method: &Method,
    fields: &HeaderMap,
) -> Response<Body> {
    let finding = match error {
        StateError::Forged => "state_forged",
        StateError::Expired => "state_expired",
    };
    let detail = error.to_string();
    visit.stopped(Stopped::Expired, (finding, &detail), (method, fields))
}

/// Back from the provider.
pub(super) async fn callback(
    visit: &AtDesk<'_>,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (method, fields) = (request.method(), request.headers());
    let asked = (method, fields);
    let sessions = &visit.gateway.sessions;
    let parameters = Parameters::of_query(request);
    for name in ["state", "code", "iss", "error"] {
        if parameters.has_twice(name) {
            let detail = format!("the provider's answer has `{name}` twice");
            return Err(Failure::new(ErrorCode::BadRequest, detail));
        }
    }
    let state = parameters.one("state").unwrap_or_default();
    let under_way = match UnderWay::open(sessions, state) {
        Ok(under_way) => under_way,
        Err(error) => return Ok(stale(visit, error, method, fields)),
    };
    let own = OwnCookies::read(fields);
    let cookie = own.sign_in(&under_way.id);
    let cookie = cookie.map_err(|twice| Failure::new(ErrorCode::BadRequest, twice.to_string()))?;
    if cookie.map(NonceHash::of) != Some(under_way.nonce) {
        // Clicked twice, gone back to, or a bookmark: where the person is signed in it goes on.
        if let Some(session) = session_of(visit, fields).await? {
            return hand_over(visit, &session, under_way.wanted, asked).await;
        }
        // SECURITY: never begins anew by itself; whoever sent the person here may have begun it.
        let detail = "the browser did not bring the cookie of this sign-in back";
        return Ok(visit.stopped(Stopped::NoCookie, ("no_cookie", detail), asked));
    }
    // SECURITY: each answer goes to the provider once, or anybody who began a single sign-in could have
    // this gateway ask it over and over.
    if !visit
        .gateway
        .spent
        .first(&under_way.id, visit.gateway.clock.now())
    {
        if let Some(session) = session_of(visit, fields).await? {
            return hand_over(visit, &session, under_way.wanted, asked).await;
        }
        let detail = "the provider's answer came before";
        return Ok(visit.stopped(Stopped::Expired, ("answered", detail), asked));
    }
    let mut response = match signed_in(visit, &under_way, &parameters, asked).await? {
        Ok(signed_in) => enter(visit, under_way.began, &under_way, signed_in, asked).await?,
        Err(page) => page,
    };
    end_sign_in_cookie(response.headers_mut(), &under_way.id);
    Ok(response)
}

/// Who it is, or a page that says why nobody is.
async fn signed_in(
    visit: &AtDesk<'_>,
    under_way: &UnderWay,
    parameters: &Parameters,
    asked: (&Method, &HeaderMap),
) -> Result<Result<SignedIn, Response<Body>>, Failure> {
    let Some(provider) = visit.desk.provider(&under_way.provider) else {
        let detail = format!(
            "there is no identity provider {} any more",
            under_way.provider
        );
        let page = visit.stopped(Stopped::Expired, ("no_provider", &detail), asked);
        return Ok(Err(page));
    };
    let issuer = parameters.one("iss");
    if let Some(error) = parameters.one("error") {
        let description = parameters.one("error_description");
        let error = provider.refused(error, description, issuer).await;
        return refused(visit, provider, &error, asked).map(Err);
    }
    let redirect_uri = visit.desk.redirect_uri();
    let callback = Callback {
        code: parameters.one("code").unwrap_or_default(),
        issuer,
        secrets: &under_way.secrets(),
        redirect_uri: &redirect_uri,
        max_age: None,
    };
    match provider.finish(&callback).await {
        Ok(signed_in) => Ok(Ok(signed_in)),
        Err(error) => refused(visit, provider, &error, asked).map(Err),
    }
}

/// Makes the person's session.
async fn enter(
    visit: &AtDesk<'_>,
    began: crate::auth::LogMark,
    under_way: &UnderWay,
    signed_in: SignedIn,
    asked: (&Method, &HeaderMap),
) -> Result<Response<Body>, Failure> {
    let sessions = &visit.gateway.sessions;
    let owned = |text: &Arc<str>| text.to_string();
    let new = NewSession {
        host: visit.desk.host().clone(),
        sign_in: SignIn {
            person: signed_in.person,
            issuer: owned(&signed_in.issuer),
            subject: owned(&signed_in.subject),
            sid: signed_in.sid.as_ref().map(owned),
            id_token: Some(signed_in.id_token),
            refresh_token: signed_in.refresh_token,
            auth_time: signed_in.auth_time,
            acr: signed_in.acr.as_ref().map(owned),
            amr: signed_in.amr.iter().map(owned).collect(),
            checked: visit.gateway.clock.now(),
            fresh_until: None,
        },
        device: visit.device(asked.1),
        began,
    };
    // SECURITY: a new one at each sign-in; what the browser had before is worth nothing more.
    if let Some(before) = session_of(visit, asked.1).await? {
        let revoked = sessions.revoke(before.sign_in_id()).await;
        revoked.map_err(|e| Failure::new(ErrorCode::StoreUnavailable, e.to_string()))?;
    }
    let (ticket, session) = sessions.create(new).await.map_err(failure)?;
    let person = &session.sign_in().person;
    tracing::info!(
        request_id = %visit.id,
        session = %session.id(),
        provider = %person.provider,
        person = in_log(visit.gateway, visit.current, &person.key).as_deref(),
        client = %visit.client,
        "signed in"
    );
    let mut response = hand_over(visit, &session, under_way.wanted.clone(), asked).await?;
    set_session_cookie(response.headers_mut(), &ticket);
    Ok(response)
}

/// Where signing in begins without an application.
pub(super) fn anew(visit: &AtDesk<'_>) -> Option<Link> {
    web(&format!("{}{SIGN_IN}", visit.desk.origin()))
}
