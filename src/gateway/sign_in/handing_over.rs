//! At the sign-in host: a person who is signed in there, on to the host of an application.

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use secrecy::ExposeSecret as _;

use super::super::respond::Failure;
use super::super::respond::pages::{Confirm, OwnPath, Page, Stopped, WebUrl};
use super::carried::{FormToken, Wanted};
use super::challenge::way_back;
use super::entering::{failure, session_of, stale};
use super::form::Parameters;
use super::{AtDesk, CONFIRM, redirect};
use crate::auth::{CODE_LIVES, HandOver, Session};
use crate::http::Body;

/// On to the host that wants to know who somebody is, or to the launcher.
pub(super) async fn hand_over(
    visit: &AtDesk<'_>,
    session: &Session,
    wanted: Option<Wanted>,
    (method, fields): (&Method, &HeaderMap),
) -> Result<Response<Body>, Failure> {
    let Some(wanted) = wanted else {
        return redirect("/", visit.id);
    };
    if wanted.exact || session.has_confirmed(&wanted.to) {
        return with_code(visit, session, &wanted, (method, fields)).await;
    }
    // SECURITY: whoever publishes one name below a wildcard could else learn who somebody is by a
    // link alone.
    let sessions = &visit.gateway.sessions;
    let site = WebUrl::parse(&format!("{}/", wanted.to));
    let site = site.ok_or_else(|| Failure::internal("a host without an address"))?;
    let sealed = wanted.seal(sessions).map_err(failure)?;
    let token = FormToken::make(sessions, (session.id(), wanted.id.as_str())).map_err(failure)?;
    let action = OwnPath::parse(CONFIRM).ok_or_else(|| Failure::internal("no path of ours"))?;
    let page = Page::Confirm(Confirm {
        site: &site,
        action: &action,
        fields: &[("request", &sealed), ("token", &token)],
    });
    Ok(visit.page(&page, method, fields))
}

async fn with_code(
    visit: &AtDesk<'_>,
    session: &Session,
    wanted: &Wanted,
    asked: (&Method, &HeaderMap),
) -> Result<Response<Body>, Failure> {
    let sign_in = session.sign_in_id().clone();
    let key = (visit.client, wanted.to.clone(), sign_in);
    if !visit.gateway.loops.may_go_on(&key, wanted.began) {
        let (finding, meaning) = (wanted.lacking.finding(), wanted.lacking.meaning());
        return Ok(visit.stopped(Stopped::Loop, (finding, meaning), asked));
    }
    let code = visit
        .gateway
        .sessions
        .mint_code(
            session,
            HandOver {
                to: wanted.to.clone(),
                nonce: wanted.nonce,
                // The browser keeps it, at the host it is of.
                target: String::new(),
            },
            CODE_LIVES,
        )
        .await
        .map_err(failure)?;
    // One that fails leads nowhere that it could come back from.
    visit.gateway.loops.done(key, wanted.began);
    redirect(&way_back(wanted, code.expose_secret()), visit.id)
}

/// A wildcard host was confirmed, or was not.
pub(super) async fn confirmed(
    visit: &AtDesk<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let form = Parameters::of_form(&parts.headers, body).await?;
    let sessions = &visit.gateway.sessions;
    let wanted = form.one("request").unwrap_or_default();
    let wanted = match Wanted::open(sessions, wanted) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(stale(visit, error, &Method::GET, &parts.headers)),
    };
    let session = session_of(visit, &parts.headers).await?;
    let token = form.one("token").unwrap_or_default();
    match session {
        Some(session)
            if FormToken::is_for(sessions, token, (session.id(), wanted.id.as_str()))
                && form.one("answer") == Some("confirm") =>
        {
            let asked = (&Method::GET, &parts.headers);
            let response = with_code(visit, &session, &wanted, asked).await?;
            session.confirm(wanted.to);
            Ok(response)
        }
        _ => redirect("/", visit.id),
    }
}
