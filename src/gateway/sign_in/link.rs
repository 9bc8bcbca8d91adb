//! At the hosts of applications: the one-time link of an operator, for when the identity provider is
//! down (`gateway session create`).
//!
//! The link shows a page with a button, and the button redeems it: programs that look at links in chats
//! and mails would spend it else.

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::super::respond::Failure;
use super::super::respond::pages::{OwnPath, Page, Stopped};
use super::form::{self, Parameters};
use super::settling::settle;
use super::{AtDesk, LINK as PATH, in_log, redirect};
use crate::auth::{CodeError, LINK, LINK_CLAIM};
use crate::http::Body;
use crate::model::{ErrorCode, Person};

/// Who made the link that signed somebody in, and what for; `None` where a provider did.
pub(super) fn made(person: &Person) -> Option<String> {
    person.claims.get(LINK_CLAIM).map(ToString::to_string)
}

/// Asks before it redeems.
pub(super) fn ask(
    visit: &AtDesk<'_>,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let parameters = Parameters::of_query(request);
    let Some(code) = parameters.one("code") else {
        return Err(missing());
    };
    let action = OwnPath::parse(PATH).ok_or_else(|| Failure::internal("no path of ours"))?;
    let page = Page::Enter {
        action: &action,
        code,
    };
    let mut response = visit.page(&page, request.method(), request.headers());
    // The address has a secret in it.
    let referrer = http::HeaderValue::from_static("no-referrer");
    let headers = response.headers_mut();
    headers.insert(http::header::REFERRER_POLICY, referrer);
    Ok(response)
}

fn missing() -> Failure {
    Failure::new(ErrorCode::BadRequest, "a one-time link without its code")
}

/// Redeems it.
pub(super) async fn enter(
    visit: &AtDesk<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let fields = &parts.headers;
    if !form::is_own(visit, fields) {
        let detail = "a one-time link is redeemed by another page";
        return Err(Failure::new(ErrorCode::CrossOrigin, detail).closing());
    }
    let form = Parameters::of_form(fields, body).await?;
    let code = form.one("code").ok_or_else(missing)?;
    let sessions = &visit.gateway.sessions;
    let redeemed = match sessions.redeem_code(code, &visit.host, LINK).await {
        Ok(redeemed) => redeemed,
        Err(CodeError::Store(error)) => {
            return Err(Failure::new(ErrorCode::StoreUnavailable, error.to_string()));
        }
        Err(error) => {
            let detail = match error {
                CodeError::Unknown => {
                    "the link was used before, or its time is over: `gateway session create` makes another"
                        .to_owned()
                }
                other => other.to_string(),
            };
            let asked = (&Method::POST, fields);
            return Ok(visit.stopped(Stopped::Expired, ("link", &detail), asked));
        }
    };
    let target = OwnPath::parse(&redeemed.target).or_else(|| OwnPath::parse("/"));
    let target = target.ok_or_else(|| Failure::internal("there is no way on"))?;
    let sign_in = redeemed.sign_in();
    let settled = settle(visit, redeemed, fields).await?;
    let person = &sign_in.person;
    let made = made(person);
    // Loud: nobody but an operator said who this is.
    tracing::warn!(
        request_id = %visit.id,
        session = %settled.session.id(),
        host = %visit.host,
        provider = %person.provider,
        person = in_log(visit.gateway, visit.current, &person.key).as_deref(),
        client = %visit.client,
        made,
        "signed in by an operator's one-time link, without the identity provider"
    );
    visit
        .record_of("signed_in", person)
        .with("session", settled.session.id().as_str())
        .with("cause", "an operator's one-time link")
        .write();
    let mut response = redirect(target.as_str(), visit.id)?;
    settled.clear(response.headers_mut());
    settled.tell(fields, response.headers_mut());
    Ok(response)
}
