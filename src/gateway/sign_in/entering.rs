//! At the sign-in host: on to the identity provider, and back from it with a person.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;

use super::super::respond::Failure;
use super::super::respond::pages::{Choice, Link, OwnPath, Page, Stopped};
use super::carried::{UnderWay, Wanted};
use super::form::Parameters;
use super::fresh;
use super::handing_over::hand_over;
use super::outward::{Beginning, refused, to_provider};
use super::tokens::{self, Worth};
use super::{AtDesk, SIGN_IN, in_log, redirect, web};
use crate::auth::assertion::Kept;
use crate::auth::provider::{Callback, Provider, SignedIn};
use crate::auth::{
    Found, Identity, NewSession, NonceHash, OwnCookies, Session, SessionError, SignIn, StateError,
    StepUp, end_sign_in_cookie, set_session_cookie,
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

/// The session at the host that was asked, if there is one: at the sign-in host the person's own.
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
    match visit.gateway.sessions.find(&visit.host, ticket).await {
        Found::Live(session)
            if visit
                .desk
                .vouches_for(&Identity::Session(Arc::clone(&session))) =>
        {
            let stands = fresh::still_stands(visit.gateway, visit.desk, &session).await;
            Ok(stands.then_some(session))
        }
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
    let mut same = None;
    if let Some(session) = session_of(visit, fields).await? {
        // Another one than that of which more is wanted is judged there.
        let wants_more = wanted.as_ref().is_some_and(|wanted| {
            let of = wanted.step_up.as_ref().map(|stepping| &*stepping.of);
            of == Some(session.sign_in_id().as_str())
        });
        match tokens::worth(wanted.as_ref(), &session, visit.gateway.clock.now()) {
            Worth::Enough if !wants_more => {
                return hand_over(visit, &session, wanted, (method, fields)).await;
            }
            Worth::Never => return Ok(tokens::stopped(visit, (method, fields))),
            // Whoever said who it is says so again.
            _ => same = visit.desk.provider(&session.sign_in().person.provider),
        }
    }
    let chosen = match (parameters.one("provider"), visit.desk.providers()) {
        (None, _) if same.is_some() => same,
        (Some(name), _) => visit.desk.provider(name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some(provider) = chosen else {
        return choose(visit, sealed, method, fields);
    };
    let beginning = Beginning {
        wanted,
        after: None,
        login_hint: None,
    };
    to_provider(visit, provider, beginning, (method, fields)).await
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
        Ok((provider, signed_in)) => enter(visit, provider, &under_way, signed_in, asked).await?,
        Err(page) => page,
    };
    end_sign_in_cookie(response.headers_mut(), &under_way.id);
    Ok(response)
}

/// Who it is, or a page that says why nobody is.
async fn signed_in<'a>(
    visit: &AtDesk<'a>,
    under_way: &UnderWay,
    parameters: &Parameters,
    asked: (&Method, &HeaderMap),
) -> Result<Result<(&'a Provider, SignedIn), Response<Body>>, Failure> {
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
        max_age: under_way.step_up().and_then(StepUp::max_age),
    };
    match provider.finish(&callback).await {
        Ok(signed_in) => Ok(Ok((provider, signed_in))),
        Err(error) => refused(visit, provider, &error, asked).map(Err),
    }
}

/// Makes the person's session.
async fn enter(
    visit: &AtDesk<'_>,
    provider: &Provider,
    under_way: &UnderWay,
    mut signed_in: SignedIn,
    asked: (&Method, &HeaderMap),
) -> Result<Response<Body>, Failure> {
    let sessions = &visit.gateway.sessions;
    let owned = |text: &Arc<str>| text.to_string();
    let now = visit.gateway.clock.now();
    let config = provider.config();
    let (access_token, fresh_until) = tokens::of_sign_in(visit.desk, config, &mut signed_in, now);
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
            checked: now,
            fresh_until,
            access_token,
            asserted: Kept::default(),
        },
        device: visit.device(asked.1),
        began: under_way.began,
    };
    // SECURITY: a new one at each sign-in; what the browser had before is worth nothing more.
    if let Some(before) = session_of(visit, asked.1).await? {
        // Of tabs that were opened together the first one has signed the person in, since this one began:
        // what it has open goes on.
        let is_same = before.sign_in().person.key == new.sign_in.person.key;
        if is_same && before.created() > under_way.id.began() {
            return go_on(visit, &before, under_way, asked).await;
        }
        let revoked = sessions.revoke(before.sign_in_id()).await;
        revoked.map_err(|e| Failure::new(ErrorCode::StoreUnavailable, e.to_string()))?;
    }
    let (ticket, session) = sessions.create(new).await.map_err(failure)?;
    if let Some(wanted) = under_way.step_up() {
        visit.gateway.stepped.note(session.sign_in_id(), wanted);
    }
    let person = &session.sign_in().person;
    tracing::info!(
        request_id = %visit.id,
        session = %session.id(),
        provider = %person.provider,
        person = in_log(visit.gateway, visit.current, &person.key).as_deref(),
        client = %visit.client,
        "signed in"
    );
    visit
        .record_of("signed_in", person)
        .with("session", session.id().as_str())
        .write();
    let mut response = go_on(visit, &session, under_way, asked).await?;
    set_session_cookie(response.headers_mut(), &ticket);
    Ok(response)
}

/// On to where the person wanted to go.
async fn go_on(
    visit: &AtDesk<'_>,
    session: &Session,
    under_way: &UnderWay,
    asked: (&Method, &HeaderMap),
) -> Result<Response<Body>, Failure> {
    match &under_way.after {
        Some(after) => redirect(after, visit.id),
        None => hand_over(visit, session, under_way.wanted.clone(), asked).await,
    }
}

/// Where signing in begins without an application.
pub(super) fn anew(visit: &AtDesk<'_>) -> Option<Link> {
    web(&format!("{}{SIGN_IN}", visit.desk.origin()))
}
