//! At the hosts of applications: what somebody without a session gets, and how a code becomes one.

use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, Method, Request, Response};
use secrecy::ExposeSecret as _;

use super::super::respond::Failure;
use super::super::respond::pages::{OwnPath, Page, Stopped};
use super::carried::{self, Stepping, WITHIN, Wanted};
use super::form::Parameters;
use super::loops::Lacking;
use super::settling::settle;
use super::{AtDesk, SESSION, SIGN_IN, redirect};
use crate::auth::provider::SignInSecrets;
use crate::auth::{CodeError, Found, LINK, NonceHash, OwnCookies, SignInId, end_sign_in_cookie};
use crate::http::Body;
use crate::model::{ErrorCode, ExternalUrl, HostPattern};

static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What a request without a session asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A page, in a window of its own: the person is sent to sign in.
    Page,
    /// A page, in a frame, where no identity provider lets itself be shown.
    Frame,
    /// A page as the answer to a form: what was sent would be lost on the way.
    Form,
    /// Something that a script, a page or a program loads: a page would only be mistaken for it.
    Data,
}

impl Asked {
    /// By what browsers say of themselves (Fetch Metadata); where one says nothing, by whether it
    /// takes HTML.
    pub(crate) fn of(method: &Method, is_websocket: bool, fields: &HeaderMap) -> Self {
        let navigates = match said(fields, &SEC_FETCH_MODE) {
            Some(mode) => mode == "navigate",
            None => fields
                .get_all(ACCEPT)
                .iter()
                .filter_map(|accept| accept.to_str().ok())
                .any(|accept| accept.contains("text/html")),
        };
        if is_websocket || !navigates {
            return Self::Data;
        }
        match (said(fields, &SEC_FETCH_DEST), method) {
            (Some("iframe" | "frame" | "embed" | "object" | "fencedframe"), _) => Self::Frame,
            (_, &Method::GET | &Method::HEAD) => Self::Page,
            _ => Self::Form,
        }
    }
}

fn said<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields.get(name).and_then(|value| value.to_str().ok())
}

/// What somebody gets who has no session at an application's host.
///
/// # Errors
/// Where it is an answer of the closed list.
pub(crate) fn challenge<B>(
    visit: &AtDesk<'_>,
    external: &ExternalUrl,
    (asked, lacking, step_up): (Asked, Lacking, Option<Stepping>),
    request: &Request<B>,
) -> Result<Response<Body>, Failure> {
    let (method, fields) = (request.method(), request.headers());
    let target = request.uri().path_and_query();
    let target = target.map_or("/", |path| path.as_str());
    let failed = |error: &dyn std::fmt::Display| Failure::internal(error.to_string());
    let own = format!("{}{target}", visit.host);
    match asked {
        // What asks for further proof asks for it in a window too.
        Asked::Data if step_up.is_some() => {
            let detail = "further proof is wanted of who it is";
            Err(Failure::new(ErrorCode::SignInRequired, detail).signing_in_at(own))
        }
        // The application's own address signs in where it is opened in a window.
        Asked::Data => {
            let url = format!("{}{}", visit.host, external.path.as_str());
            Err(Failure::new(ErrorCode::SignInRequired, "there is no session").signing_in_at(url))
        }
        Asked::Frame => {
            let open = super::web(&own).ok_or_else(|| failed(&"a page that has no address"))?;
            Ok(visit.page(&Page::Frame { open: &open }, method, fields))
        }
        // Whoever has the whole request may keep it: see `expired`.
        Asked::Form => {
            let detail = "a form came after its session had ended";
            Err(Failure::new(ErrorCode::SignInRequired, detail))
        }
        Asked::Page => {
            let sessions = &visit.gateway.sessions;
            let id = SignInId::new(visit.gateway.clock.now()).map_err(|e| failed(&e))?;
            let secret = SignInSecrets::new().map_err(|e| failed(&e))?.nonce;
            let path = target.split('?').next().unwrap_or("/");
            let cookie = carried::cookie(sessions, &secret, target, path);
            let cookie = cookie.map_err(|e| failed(&e))?;
            let wanted = Wanted {
                id: id.clone(),
                to: visit.host.clone(),
                exact: matches!(external.host, HostPattern::Exact(_)),
                nonce: NonceHash::of(cookie.expose_secret().as_bytes()),
                began: visit.gateway.loops.begin(),
                lacking,
                step_up,
            };
            let wanted = wanted.seal(sessions).map_err(|e| failed(&e))?;
            let to = format!("{}{SIGN_IN}?request={wanted}", visit.desk.origin());
            let mut response = if visit.desk.settings().keeps_fragment {
                let sign_in = super::web(&to).ok_or_else(|| failed(&"no way to sign in"))?;
                let page = Page::Keep {
                    state: id.as_str(),
                    sign_in: &sign_in,
                };
                visit.page(&page, method, fields)
            } else {
                redirect(&to, visit.id)?
            };
            let own = OwnCookies::read(fields);
            own.begin_sign_in(response.headers_mut(), &id, &cookie, WITHIN);
            Ok(response)
        }
    }
}

/// Makes a session of a code.
pub(super) async fn hand_over<B>(
    visit: &AtDesk<'_>,
    request: &Request<B>,
) -> Result<Response<Body>, Failure> {
    let (method, fields) = (request.method(), request.headers());
    let stop = |stopped, finding, detail: &str| {
        visit.stopped(stopped, (finding, detail), (method, fields))
    };
    let parameters = Parameters::of_query(request);
    let id = parameters
        .one("id")
        .map(|id| SignInId::try_from(id.to_owned()));
    let (Some(Ok(id)), Some(code)) = (id, parameters.one("code")) else {
        return Err(Failure::new(
            ErrorCode::BadRequest,
            "a code of ours is missing",
        ));
    };
    let sessions = &visit.gateway.sessions;
    let own = OwnCookies::read(fields);
    let cookie = match own.sign_in(&id) {
        // SECURITY: an operator's link is redeemed where that is said aloud.
        Ok(Some(cookie)) if cookie != LINK => cookie,
        Ok(_) => {
            // SECURITY: the code is spent all the same.
            let _ = sessions.redeem_code(code, &visit.host, b"").await;
            // A tab that was reloaded, or gone back to: the session is there already.
            if let Ok(Some(ticket)) = own.session()
                && let Found::Live(_) = sessions.find(&visit.host, ticket).await
            {
                return redirect("/", visit.id);
            }
            let detail = "the browser did not bring the cookie of this sign-in back";
            return Ok(stop(Stopped::NoCookie, "no_cookie", detail));
        }
        Err(twice) => {
            let _ = sessions.redeem_code(code, &visit.host, b"").await;
            return Err(Failure::new(ErrorCode::BadRequest, twice.to_string()));
        }
    };
    let redeemed = match sessions.redeem_code(code, &visit.host, cookie).await {
        Ok(redeemed) => redeemed,
        Err(CodeError::Store(error)) => {
            return Err(Failure::new(ErrorCode::StoreUnavailable, error.to_string()));
        }
        Err(error) => {
            let stopped = match error {
                CodeError::OtherBrowser => Stopped::NoCookie,
                _ => Stopped::Expired,
            };
            return Ok(stop(stopped, "code", &error.to_string()));
        }
    };
    let target = carried::target(sessions, cookie);
    let target = target.ok().and_then(|target| OwnPath::parse(&target));
    let target = target.or_else(|| OwnPath::parse("/"));
    let target = target.ok_or_else(|| Failure::internal("there is no way back"))?;
    let settled = settle(visit, redeemed, fields).await?;
    let session = &settled.session;
    tracing::info!(request_id = %visit.id, host = %visit.host, session = %session.id(), "signed in at an application's host");
    let mut response = if visit.desk.settings().keeps_fragment {
        let page = Page::Return {
            state: id.as_str(),
            target: &target,
            clears: settled.is_another,
        };
        visit.page(&page, method, fields)
    } else {
        let mut response = redirect(target.as_str(), visit.id)?;
        settled.clear(response.headers_mut());
        response
    };
    let headers = response.headers_mut();
    end_sign_in_cookie(headers, &id);
    settled.tell(fields, headers);
    Ok(response)
}

/// Where a browser takes a code.
pub(super) fn way_back(wanted: &Wanted, code: &str) -> String {
    let id = wanted.id.as_str();
    format!("{}{SESSION}?id={id}&code={code}", wanted.to)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_asked_for_is_known_by_what_browsers_say_of_themselves() {
        for (method, fields, expected) in [
            ("GET", &[("sec-fetch-mode", "navigate")][..], Asked::Page),
            ("HEAD", &[("sec-fetch-mode", "navigate")], Asked::Page),
            ("POST", &[("sec-fetch-mode", "navigate")], Asked::Form),
            (
                "GET",
                &[
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document"),
                ],
                Asked::Page,
            ),
            (
                "GET",
                &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
                Asked::Frame,
            ),
            // A script that says it takes HTML is a script all the same.
            (
                "GET",
                &[("sec-fetch-mode", "cors"), ("accept", "text/html")],
                Asked::Data,
            ),
            ("GET", &[("sec-fetch-mode", "no-cors")], Asked::Data),
            ("GET", &[("sec-fetch-mode", "same-origin")], Asked::Data),
            ("GET", &[("accept", "text/html,*/*;q=0.8")], Asked::Page),
            // As browsers ask for what makes an application of a page.
            (
                "GET",
                &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "manifest")],
                Asked::Data,
            ),
            (
                "GET",
                &[
                    ("sec-fetch-mode", "same-origin"),
                    ("sec-fetch-dest", "serviceworker"),
                ],
                Asked::Data,
            ),
            (
                "GET",
                &[("sec-fetch-mode", "websocket"), ("accept", "text/html")],
                Asked::Data,
            ),
            ("GET", &[("accept", "*/*")], Asked::Data),
            ("GET", &[], Asked::Data),
            ("POST", &[("accept", "text/html")], Asked::Form),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let asked = Asked::of(&method, false, &headers);
            assert_eq!(asked, expected, "{method} {fields:?}");
            assert_eq!(Asked::of(&method, true, &headers), Asked::Data);
        }
    }
}
