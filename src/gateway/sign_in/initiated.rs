//! At the sign-in host: a sign-in that the provider begins, or a page with its applications (OpenID Connect
//! Core 1.0 section 4).

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use url::Url;

use super::super::respond::Failure;
use super::super::route::Found;
use super::entering::{Beginning, session_of, to_provider};
use super::form::Parameters;
use super::{AtDesk, redirect};
use crate::http::{self as rules, Body};
use crate::model::{ErrorCode, Host, Scheme};

/// The longest hint that is passed on.
const LONGEST_HINT: usize = 256;

/// Begins it: at the provider that is named, and on to the page that is named.
pub(super) async fn begin(
    visit: &AtDesk<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let bad = |detail: &str| Failure::new(ErrorCode::BadRequest, detail.to_owned());
    let query = Parameters::of_query(&request);
    let (parts, body) = request.into_parts();
    let parameters = match parts.method {
        Method::POST => Parameters::of_form(&parts.headers, body).await?,
        _ => query,
    };
    let issuer = parameters.one("iss");
    let issuer = issuer.ok_or_else(|| bad("a sign-in that a provider begins names its `iss`"))?;
    let mut providers = visit.desk.providers().iter();
    let provider = providers.find(|provider| provider.issues_as(issuer));
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

/// A page of an application that is published over https, as it is to be opened. SECURITY: whoever makes
/// a link writes the address; it leads to what the configuration has, or nowhere.
fn own_page(visit: &AtDesk<'_>, text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let host = Host::parse(url.host_str()?).ok()?;
    let candidates = visit.current.table.host(&host)?;
    let path = rules::canonical(url.path(), candidates.path_sensitive()).ok()?;
    match candidates.find(Scheme::Https, url.port_or_known_default()?, path.as_str()) {
        Found::Application(_) => Some(url.to_string()),
        _ => None,
    }
}
