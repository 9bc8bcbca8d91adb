//! At the sign-in host: a sign-in that the provider begins, or a page with its applications (OpenID Connect
//! Core 1.0 section 4).

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use url::Url;

use super::super::pipeline;
use super::super::respond::Failure;
use super::super::route::Found;
use super::entering::session_of;
use super::form::Parameters;
use super::outward::{Beginning, to_provider};
use super::{AtDesk, INITIATE, redirect};
use crate::http::{self as rules, Body};
use crate::model::{ErrorCode, Host, Scheme};

/// The longest address that is gone on to: it is carried through the provider and back.
const LONGEST_PAGE: usize = 2048;

/// The longest hint that is passed on.
const LONGEST_HINT: usize = 256;

/// Begins it: at the provider that is named, and on to the page that is named.
pub(super) async fn begin(
    visit: &AtDesk<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let bad = |detail: &str| Failure::new(ErrorCode::BadRequest, detail.to_owned());
    let (parts, body) = request.into_parts();
    if parts.method == Method::POST {
        return as_get(visit, &Parameters::of_form(&parts.headers, body).await?);
    }
    let request = Request::from_parts(parts, body);
    let parameters = Parameters::of_query(&request);
    let parts = request.into_parts().0;
    let issuer = parameters.one("iss");
    let issuer = issuer.ok_or_else(|| bad("a sign-in that a provider begins names its `iss`"))?;
    let mut providers = visit.desk.providers().iter();
    let provider = providers.find(|provider| provider.config().is_issuer(issuer));
    let provider =
        provider.ok_or_else(|| bad("a sign-in is begun by an issuer that is not configured"))?;
    let after = match parameters.one("target_link_uri") {
        Some(target) => {
            let own = own_page(visit, target);
            Some(own.ok_or_else(|| bad("`target_link_uri` is no page of a published application"))?)
        }
        None => None,
    };
    let asked: (&Method, &HeaderMap) = (&Method::GET, &parts.headers);
    if session_of(visit, asked.1).await?.is_some() {
        return redirect(after.as_deref().unwrap_or("/"), visit.id);
    }
    let hint = parameters.one("login_hint");
    let beginning = Beginning {
        wanted: None,
        after,
        login_hint: hint.filter(|hint| hint.len() <= LONGEST_HINT),
    };
    to_provider(visit, provider, beginning, asked).await
}

/// The same with GET. SECURITY: another site's POST brings no cookies, so that whoever is signed in would
/// look like nobody, and be signed in anew, perhaps as another.
fn as_get(visit: &AtDesk<'_>, form: &Parameters) -> Result<Response<Body>, Failure> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for name in ["iss", "login_hint", "target_link_uri"] {
        if let Some(value) = form.one(name) {
            query.append_pair(name, value);
        }
    }
    redirect(&format!("{INITIATE}?{}", query.finish()), visit.id)
}

/// A page of an application that is published over https, as it is to be opened. SECURITY: whoever makes
/// a link writes the address; it leads to what the configuration has, or nowhere.
fn own_page(visit: &AtDesk<'_>, text: &str) -> Option<String> {
    if text.len() > LONGEST_PAGE {
        return None;
    }
    let url = Url::parse(text).ok()?;
    if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let host = Host::parse(url.host_str()?).ok()?;
    if host == visit.desk.settings().host || pipeline::is_ours(url.path()) {
        return None;
    }
    let candidates = visit.current.table.host(&host)?;
    let path = rules::canonical(url.path(), candidates.path_sensitive()).ok()?;
    match candidates.find(Scheme::Https, url.port_or_known_default()?, path.as_str()) {
        Found::Application(_) => Some(url.to_string()),
        _ => None,
    }
}
