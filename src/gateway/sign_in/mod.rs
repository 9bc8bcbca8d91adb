//! Signing people in and out: what is below `/.appproxy/` on the hosts of applications, and the whole
//! of the sign-in host.
//!
//! ```text
//! application's host                 sign-in host                        identity provider
//! a page, no session ──▶ [keep #] ──▶ /.appproxy/sign-in ──▶ (choose) ──▶ asks the person
//!                                     /.appproxy/callback ◀──────────────┘
//! /.appproxy/session ◀── a code ──────┘ (the person's own session)
//! └▶ [give # back] ──▶ the page
//! ```
//!
//! | what | file |
//! |---|---|
//! | the sign-in host and its providers, as one configuration has them | `desk` |
//! | what goes through the browser, sealed | `carried` |
//! | forms and parameters | `form` |
//! | asking the provider again | `fresh` |
//! | on the hosts of applications | `challenge`, `expired`, `link`, `settling` |
//! | keys and tokens for applications, on both | `signed`, `tokens` |
//! | sign-ins that count once, and those that never end | `spent`, `loops`, `stepped` |
//! | on the sign-in host | `entering`, `outward`, `initiated`, `handing_over`, `launcher`, `leaving` |
//!
//! What leads from one host to the other is made of the configuration and of what is sealed, never of
//! a parameter that anybody could write (DESIGN 8, rule 10).

mod at_desk;
mod carried;
mod challenge;
mod desk;
mod entering;
mod expired;
mod form;
mod fresh;
mod handing_over;
mod initiated;
mod launcher;
mod leaving;
mod link;
mod loops;
mod outward;
mod settling;
mod signed;
mod spent;
mod stepped;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::LOCATION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::Gateway;
use super::current::Current;
use super::front;
use super::respond::pages::{self, Link};
use super::respond::{self, Failure};
use crate::auth::{self, Challenge, Facts, Identity, NoSession, SessionHost, StepUp};
use crate::http::{self as rules, Body};
use crate::model::{
    Application, ErrorCode, ExternalUrl, Guard, Host, LogPerson, Person, PersonKey, RequestId,
    Scheme,
};

use carried::Stepping;
pub(super) use challenge::Asked;
use challenge::challenge;
pub(super) use desk::Desk;
pub use desk::{look_at_providers, redirect_uri};
pub(super) use fresh::look_again;
use loops::Lacking;
pub(super) use loops::Loops;
pub(super) use spent::Spent;
pub(super) use stepped::Stepped;

/// Where sign-in begins, at the sign-in host.
const SIGN_IN: &str = "/.appproxy/sign-in";
/// Where providers send browsers back to, at the sign-in host.
pub const CALLBACK: &str = "/.appproxy/callback";
/// Where a provider, or a page of the company's, has people sign in, at the sign-in host.
const INITIATE: &str = "/.appproxy/initiate";
/// Where a wildcard host is confirmed, at the sign-in host.
const CONFIRM: &str = "/.appproxy/confirm";
/// Where a code becomes a session, at an application's host.
const SESSION: &str = "/.appproxy/session";
/// Where an operator's one-time link leads, at an application's host.
pub const LINK: &str = "/.appproxy/link";
/// Where a form that was kept is sent, at an application's host.
const FORM: &str = "/.appproxy/form";
/// Where people sign out, at every host.
const SIGN_OUT: &str = "/.appproxy/sign-out";
/// Where providers send browsers that signed out there, at the sign-in host.
const SIGNED_OUT: &str = "/.appproxy/signed-out";
/// Where providers say that somebody signed out; the provider's name follows.
const BACK_CHANNEL: &str = "/.appproxy/back-channel/";
/// Where providers have browsers say so; the provider's name follows.
const FRONT_CHANNEL: &str = "/.appproxy/front-channel/";

/// One request, as far as signing in is concerned.
pub(super) struct Visit<'a> {
    gateway: &'a Arc<Gateway>,
    current: &'a Current,
    scheme: Scheme,
    asked: &'a Host,
    port: u16,
    client: IpAddr,
    id: &'a RequestId,
}

/// One request, where people sign in at all.
struct AtDesk<'a> {
    gateway: &'a Arc<Gateway>,
    current: &'a Current,
    desk: &'a Desk,
    client: IpAddr,
    id: &'a RequestId,
    /// What it came to.
    host: SessionHost,
}

impl<'a> Visit<'a> {
    /// Of a request to this scheme, host and port.
    pub(super) const fn new(
        gateway: &'a Arc<Gateway>,
        current: &'a Current,
        (scheme, asked, port): (Scheme, &'a Host, u16),
        client: IpAddr,
        id: &'a RequestId,
    ) -> Self {
        Self {
            gateway,
            current,
            scheme,
            asked,
            port,
            client,
            id,
        }
    }

    /// Answers what came to the sign-in host; over plain HTTP it leads to itself over TLS. What did not
    /// come there is given back. SECURITY: at another port it is nobody's, whatever wildcard fits it:
    /// cookies do not tell ports apart.
    pub(super) async fn at_desk(
        &self,
        request: Request<Incoming>,
    ) -> Result<Request<Incoming>, Result<Response<Body>, Failure>> {
        let desk = self.current.desk.as_ref();
        let Some(desk) = desk.filter(|desk| desk.settings().host == *self.asked) else {
            return Ok(request);
        };
        Err(match self.scheme {
            Scheme::Https if desk.settings().port == self.port => {
                // In a box: rare beside requests for applications.
                let answer = Box::pin(self.at_sign_in_host(desk, request)).await;
                answer
                    .map(|mut answer| {
                        respond::of_sign_in_host(answer.headers_mut());
                        answer
                    })
                    .map_err(Failure::at_sign_in_host)
            }
            Scheme::Https => Err(nothing()),
            Scheme::Http => {
                let path = request
                    .uri()
                    .path_and_query()
                    .map_or("/", |path| path.as_str());
                redirect(&format!("{}{path}", desk.origin()), self.id)
            }
        })
    }

    fn at<'b>(&'b self, desk: &'b Desk, host: SessionHost) -> AtDesk<'b> {
        AtDesk {
            gateway: self.gateway,
            current: self.current,
            desk,
            client: self.client,
            id: self.id,
            host,
        }
    }

    /// Pages of ours, and what they load.
    async fn at_sign_in_host(
        &self,
        desk: &Desk,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Failure> {
        let path = rules::canonical(request.uri().path(), true);
        let path = path
            .map_err(|why| Failure::new(ErrorCode::BadRequest, why.to_string()).closing())?
            .as_str()
            .to_owned();
        if let Ok(asset) = self.asset(&path, &request) {
            return Ok(asset);
        }
        if let Some(keys) = self.keys_at(&path, &request, true).await {
            return keys;
        }
        at_sign_in_host(&self.at(desk, desk.host().clone()), &path, request).await
    }

    /// What is ours at the host of an application, of which `external` signs people in.
    pub(super) async fn at_application_host(
        &self,
        external: Option<&ExternalUrl>,
        path: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Failure> {
        if let (Some(desk), Some(external)) = (&self.current.desk, external) {
            let visit = self.at(desk, SessionHost::of(external, self.asked));
            match path {
                SESSION if *request.method() == Method::GET => {
                    return challenge::hand_over(&visit, &request).await;
                }
                LINK if *request.method() == Method::GET => return link::ask(&visit, &request),
                LINK if *request.method() == Method::POST => {
                    return link::enter(&visit, request).await;
                }
                FORM if *request.method() == Method::POST => {
                    return expired::send(&visit, external, request).await;
                }
                SIGN_OUT if front::is_read(&request) => {
                    return leaving::at_application(&visit, &request).await;
                }
                SIGN_OUT if *request.method() == Method::POST => {
                    return leaving::sign_out(&visit, request).await;
                }
                _ => {}
            }
            if let Some(keys) = self.keys_at(path, &request, false).await {
                return keys;
            }
        }
        self.asset(path, &request)
    }

    /// Who sent a request to an application, by the word of a provider that is still believed.
    pub(super) async fn identity(
        &self,
        application: &Application,
        guard: &Guard,
        facts: &Facts<'_>,
    ) -> Result<Identity, Challenge> {
        let known = auth::Known {
            sessions: &self.gateway.sessions,
            providers: self.current.desk.as_ref().map_or(&[], Desk::providers),
            service_tokens: &self.gateway.service_tokens,
        };
        let identity = auth::authenticate(application, guard, facts, known).await?;
        if !self.current.vouches_for(&identity) {
            return Err(Challenge::SignIn(None));
        }
        if let (Some(session), Some(desk)) = (identity.session(), &self.current.desk)
            && session.is_due(self.gateway.clock.now())
            // In a box: rare beside requests.
            && !Box::pin(fresh::still_stands(self.gateway, desk, session)).await
        {
            return Err(Challenge::SignIn(Some(NoSession::Revoked)));
        }
        self.with_token(application, &identity).await?;
        Ok(identity)
    }

    /// What the log says of the person a request is from.
    pub(super) fn said_of(&self, identity: &Identity) -> Option<Arc<str>> {
        let said = |person: &Person| in_log(self.gateway, self.current, &person.key);
        match identity {
            Identity::Session(session) => said(&session.sign_in().person),
            Identity::Bearer(token) => said(&token.person),
            Identity::Certificate(one) => in_log(self.gateway, self.current, &one.key()),
            _ => None,
        }
    }

    /// What somebody gets who has no session where one is asked for.
    pub(super) fn challenge(
        &self,
        facts: &Facts<'_>,
        asked: Asked,
        why: Option<&NoSession>,
        request: &Request<Incoming>,
    ) -> Result<Response<Body>, Failure> {
        let desk = self.current.desk.as_ref().ok_or_else(nothing)?;
        let visit = self.at(desk, SessionHost::of(facts.external, facts.host));
        let lacking = Lacking::of(why);
        challenge(&visit, facts.external, (asked, lacking, None), request)
    }

    /// What somebody with a session gets of whom further proof is wanted; `None` where they come from
    /// there, or would lose what they sent.
    pub(super) fn step_up(
        &self,
        facts: &Facts<'_>,
        wanted: &StepUp,
        identity: &Identity,
        request: &Request<Incoming>,
    ) -> Option<Result<Response<Body>, Failure>> {
        let desk = self.current.desk.as_ref()?;
        let session = identity.session()?;
        let asked = Asked::of(facts.method, facts.is_websocket, facts.fields);
        if asked == Asked::Form || self.gateway.stepped.has(session.sign_in_id(), wanted) {
            return None;
        }
        let visit = self.at(desk, SessionHost::of(facts.external, facts.host));
        let stepping = Stepping {
            of: session.sign_in_id().to_string(),
            wanted: wanted.clone(),
        };
        let how = (asked, Lacking::Proof, Some(stepping));
        Some(challenge(&visit, facts.external, how, request))
    }

    /// What somebody gets who sent a form where a session is asked for, and has none.
    pub(super) async fn form(
        &self,
        external: &ExternalUrl,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Failure> {
        let desk = self.current.desk.as_ref().ok_or_else(nothing)?;
        let visit = self.at(desk, SessionHost::of(external, self.asked));
        expired::keep(&visit, external, request).await
    }

    /// What pages of ours load. Anybody may have it.
    fn asset(&self, path: &str, request: &Request<Incoming>) -> Result<Response<Body>, Failure> {
        let asset = self.current.theme.asset(path);
        let asset = asset.filter(|_| front::is_read(request));
        let asset = asset.ok_or_else(nothing)?;
        Ok(pages::asset(asset, request.method(), self.id))
    }
}

/// A person, as far as the log is to say so.
fn in_log(gateway: &Gateway, current: &Current, person: &PersonKey) -> Option<Arc<str>> {
    match current.config.log.person {
        LogPerson::Full => Some(Arc::clone(&person.subject)),
        LogPerson::Hash => Some(gateway.sessions.pseudonym(person).into()),
        LogPerson::None => None,
    }
}

fn nothing() -> Failure {
    Failure::new(ErrorCode::NoRoute, "there is nothing of ours")
}

/// What is at the sign-in host.
async fn at_sign_in_host(
    visit: &AtDesk<'_>,
    path: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let reads = front::is_read(&request);
    // What spends something is for GET alone.
    let gets = *request.method() == Method::GET;
    let posts = *request.method() == Method::POST;
    match path {
        "/" if reads => launcher::launcher(visit, &request).await,
        SIGN_IN if gets => entering::begin(visit, &request).await,
        INITIATE if gets || posts => initiated::begin(visit, request).await,
        CALLBACK if gets => entering::callback(visit, &request).await,
        CONFIRM if posts => handing_over::confirmed(visit, request).await,
        SIGN_OUT if reads => leaving::ask(visit, &request).await,
        SIGN_OUT if posts => leaving::sign_out(visit, request).await,
        SIGNED_OUT if reads => Ok(leaving::signed_out(visit, &request)),
        front::ROBOTS if reads => Ok(respond::robots(request.method(), visit.id)),
        _ => {
            if let Some(name) = path.strip_prefix(BACK_CHANNEL).filter(|_| posts) {
                return leaving::back_channel(visit, name, request).await;
            }
            match path.strip_prefix(FRONT_CHANNEL).filter(|_| gets) {
                Some(name) => leaving::front_channel(visit, name, &request).await,
                None => Err(nothing()),
            }
        }
    }
}

/// Sends a browser on with GET (RFC 9110 section 15.4.4). `to` is ours or an identity provider's.
fn redirect(to: &str, id: &RequestId) -> Result<Response<Body>, Failure> {
    let to = HeaderValue::from_str(to)
        .map_err(|e| Failure::internal(format!("the way on cannot stand in a field: {e}")))?;
    let mut response = respond::plain(StatusCode::SEE_OTHER, id);
    response.headers_mut().insert(LOCATION, to);
    Ok(response)
}

/// A link to an absolute address of ours, or of an identity provider.
fn web(text: &str) -> Option<Link> {
    pages::WebUrl::parse(text).map(Link::from)
}
