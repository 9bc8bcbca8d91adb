//! A form that came after its session had ended: it waits in the browser, in a page of ours, until the
//! same person is signed in again, looks at it, and sends it.
//!
//! SECURITY: the gateway keeps nothing of it. Only what a page of the application's own sent is kept, or
//! any page could have the person send what they did not write; and it goes on only for the person whose
//! session had ended, or the next one at a shared computer would.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::super::respond::pages::{Expired, OwnPath, Page, Stopped};
use super::super::respond::{self, Failure};
use super::carried::WITHIN;
use super::form::{self, Parameters};
use super::{AtDesk, FORM, web};
use crate::auth::{Found, Identity, OwnCookies, Owner};
use crate::http::Body;
use crate::model::{ErrorCode, ExternalUrl};

/// The largest form that is kept: more is no text that somebody wrote.
const LARGEST: u64 = 64 * 1024;

/// Of more fields the page would be many times the form.
const MOST_FIELDS: usize = 1000;

/// Where a form was going, and whose it is.
#[derive(Serialize, Deserialize)]
struct Kept {
    owner: Owner,
    target: String,
}

impl Kept {
    const PURPOSE: &str = "form kept";
}

fn refused() -> Failure {
    let detail = "a form came after its session had ended";
    Failure::new(ErrorCode::SignInRequired, detail).closing()
}

/// A form with so many fields that a page could show them.
fn few(form: Parameters) -> Result<Parameters, Failure> {
    match form.all().len() {
        0..=MOST_FIELDS => Ok(form),
        _ => Err(refused()),
    }
}

fn is_small_form(fields: &HeaderMap) -> bool {
    let text = |name: &HeaderName| fields.get(name).and_then(|value| value.to_str().ok());
    let length = text(&CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    length.is_some_and(|length| length <= LARGEST)
        && text(&CONTENT_TYPE).is_some_and(form::is_urlencoded)
}

/// Keeps a form that came without a session to an application at `external`, in the answer.
///
/// # Errors
/// Where it is not kept.
pub(super) async fn keep(
    visit: &AtDesk<'_>,
    external: &ExternalUrl,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let fields = &parts.headers;
    let own = OwnCookies::read(fields);
    let ticket = own.session().ok().flatten();
    let owner = ticket.and_then(|ticket| visit.gateway.sessions.owner_of(ticket));
    let target = parts.uri.path_and_query().map(|target| target.as_str());
    let (Some(owner), Some(target)) = (owner, target) else {
        return Err(refused());
    };
    if !visit.desk.settings().keeps_forms
        || parts.method != Method::POST
        || !form::is_own(visit, fields)
        || !is_small_form(fields)
        || OwnPath::parse(target).is_none()
    {
        return Err(refused());
    }
    let kept = Kept {
        owner,
        target: target.to_owned(),
    };
    let sealed = visit
        .gateway
        .sessions
        .seal_state(Kept::PURPOSE, &kept, WITHIN);
    // An address too long to be carried.
    let sealed = sealed.map_err(|_| refused())?;
    let form = few(Parameters::of_form(fields, body).await?)?;
    tracing::info!(request_id = %visit.id, host = %visit.host, "a form that came after its session had ended is kept in the browser");
    show(visit, external, &sealed, &form, fields)
}

fn show(
    visit: &AtDesk<'_>,
    external: &ExternalUrl,
    sealed: &str,
    form: &Parameters,
    fields: &HeaderMap,
) -> Result<Response<Body>, Failure> {
    let action = OwnPath::parse(&format!("{FORM}?of={sealed}"));
    let sign_in = web(&format!("{}{}", visit.host, external.path.as_str()));
    let (Some(action), Some(sign_in)) = (action, sign_in) else {
        return Err(Failure::internal("a page of ours leads nowhere"));
    };
    let page = Page::Expired(Expired {
        action: &action,
        fields: form.all(),
        sign_in: &sign_in,
    });
    let mut response = visit.page(&page, &Method::POST, fields);
    names_its_origin(&mut response);
    Ok(response)
}

/// Without it browsers say `Origin: null` of what is sent from here, which many applications refuse.
fn names_its_origin(response: &mut Response<Body>) {
    let own = HeaderValue::from_static("same-origin");
    response.headers_mut().insert(REFERRER_POLICY, own);
}

/// A form that was kept is sent: it goes on to where it was going, as it is, if the same person is
/// signed in.
pub(super) async fn send(
    visit: &AtDesk<'_>,
    external: &ExternalUrl,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let sealed = Parameters::of_query(&request);
    let (parts, body) = request.into_parts();
    let fields = &parts.headers;
    if !form::is_own(visit, fields) {
        let detail = "a form that was kept is sent by another page";
        return Err(Failure::new(ErrorCode::CrossOrigin, detail).closing());
    }
    if !is_small_form(fields) {
        let detail = "what is sent is not the form that was kept";
        return Err(Failure::new(ErrorCode::BadRequest, detail).closing());
    }
    let sealed = sealed.one("of").unwrap_or_default();
    let sessions = &visit.gateway.sessions;
    // Read in any case: what is left of it could not be told from the next request.
    let form = few(Parameters::of_form(fields, body).await?)?;
    let asked = (&Method::POST, fields);
    let kept = match sessions.open_state::<Kept>(Kept::PURPOSE, sealed) {
        Ok(kept) => kept,
        Err(error) => {
            let detail = error.to_string();
            return Ok(visit.stopped(Stopped::Expired, ("form_expired", &detail), asked));
        }
    };
    let own = OwnCookies::read(fields);
    let ticket = own.session();
    let ticket = ticket.map_err(|twice| Failure::new(ErrorCode::BadRequest, twice.to_string()))?;
    let found = match ticket {
        Some(ticket) => sessions.find(&visit.host, ticket).await,
        None => return show(visit, external, sealed, &form, fields),
    };
    match found {
        Found::Live(session) if session.owner() != kept.owner => {
            let detail = "somebody else is signed in now than when the form was filled in";
            Ok(visit.stopped(Stopped::OtherPerson, ("other_person", detail), asked))
        }
        Found::Live(session)
            if visit
                .current
                .vouches_for(&Identity::Session(session.clone())) =>
        {
            let target = OwnPath::parse(&kept.target);
            let target = target.ok_or_else(|| Failure::internal("a form with nowhere to go"))?;
            let target = HeaderValue::from_str(target.as_str());
            let target = target.map_err(|error| Failure::internal(error.to_string()))?;
            // The browser sends the same again, there (RFC 9110 section 15.4.8).
            let mut response = respond::plain(StatusCode::TEMPORARY_REDIRECT, visit.id);
            response.headers_mut().insert(LOCATION, target);
            names_its_origin(&mut response);
            Ok(response)
        }
        Found::Live(_) | Found::None(_) => show(visit, external, sealed, &form, fields),
        Found::Unavailable => {
            let detail = "whether the session is alive cannot be known now";
            Err(Failure::new(ErrorCode::StoreUnavailable, detail))
        }
    }
}
