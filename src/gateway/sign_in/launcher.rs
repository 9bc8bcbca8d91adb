//! The applications a person may open.

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::super::respond::Failure;
use super::super::respond::pages::{Launcher, OwnPath, Page, SignOut, Tile, WebUrl};
use super::carried::FormToken;
use super::entering::{failure, session_of};
use super::leaving::end_of;
use super::{AtDesk, SIGN_IN, SIGN_OUT, redirect};
use crate::auth::{Circumstances, Identity, still_allows};
use crate::http::{self as rules, Body};
use crate::model::{Application, HostPattern};

/// The first page of the sign-in host.
pub(super) async fn launcher(
    visit: &AtDesk<'_>,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let Some(session) = session_of(visit, request.headers()).await? else {
        return redirect(SIGN_IN, visit.id);
    };
    let token = FormToken::make(&visit.gateway.sessions, (session.id(), SIGN_OUT));
    let token = token.map_err(failure)?;
    let action = OwnPath::parse(SIGN_OUT).ok_or_else(|| Failure::internal("no path of ours"))?;
    let provider = end_of(visit, &session).await;
    let sign_in = session.sign_in();
    let identity = Identity::Session(session);
    let applications = visit.current.config.applications.iter();
    let open = applications.filter(|application| may_open(visit, &identity, application));
    let shown: Vec<_> = open
        .filter(|application| !application.front.is_hidden)
        .filter_map(|application| {
            let icon = visit.current.theme.icon(&application.name);
            Some((application, home(application)?, icon))
        })
        .collect();
    let tiles: Vec<_> = shown
        .iter()
        .map(|(application, url, icon)| Tile {
            name: application.name.as_str(),
            description: application.description.as_deref(),
            url,
            icon: icon.as_ref(),
        })
        .collect();
    let person = &sign_in.person;
    let name = person.name.as_ref().or(person.email.as_ref());
    let page = Page::Launcher(Launcher {
        person: name.unwrap_or(&person.key.subject),
        applications: &tiles,
        sign_out: SignOut {
            action: &action,
            token: &token,
            provider: provider.as_ref(),
        },
    });
    Ok(visit.page(&page, request.method(), request.headers()))
}

/// Where an application is opened; nowhere where it has many hosts.
fn home(application: &Application) -> Option<WebUrl> {
    let external = &application.external;
    let HostPattern::Exact(host) = &external.host else {
        return None;
    };
    let scheme = external.scheme.as_str();
    let path = application.front.home.as_deref();
    let path = path.unwrap_or(external.path.as_str());
    WebUrl::parse(&format!("{scheme}://{}{path}", external.authority(host)))
}

/// Whether somebody would be let in who opens an application from here and now.
fn may_open(visit: &AtDesk<'_>, identity: &Identity, application: &Application) -> bool {
    let home = application.front.home.as_deref();
    let home = home.unwrap_or(application.external.path.as_str());
    let home = home.split(['?', '#']).next().unwrap_or_default();
    let path = rules::canonical(home, false);
    path.is_ok_and(|path| {
        let request = Circumstances {
            client: visit.client,
            method: &Method::GET,
            path,
            now: visit.gateway.clock.now(),
            // What is shown there is not known here.
            certificate: None,
        };
        still_allows(identity, application, request)
    })
}
