//! Who a request is from, and whether it may pass.
//!
//! Two stages in this order: [`authenticate`] says who sent a request or how to find out,
//! [`authorise`] says whether that identity may send it to that application. What the second
//! leaves behind is a [`Permit`], and nothing is forwarded without one. Whatever is not known to
//! be allowed is denied: both stages end in an arm that refuses.

mod asker;
pub mod assertion;
pub mod bearer;
mod cookie;
mod credentials;
mod identity;
mod origin;
mod permit;
mod policy;
pub mod provider;
pub mod service_token;
mod session;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use crate::clock::Timestamp;
use crate::http::CanonicalPath;
use crate::model::{AmbiguousPath, Application, ClientCertificate, ExternalUrl, Guard, Host};
use provider::Provider;
use service_token::ServiceTokens;

pub use asker::{Asker, explain_rules, would_allow};
pub use cookie::{
    Duplicate, OwnCookies, SignInId, clear_session_cookie, clear_storage, end_sign_in_cookie,
    forget_somebody_else, set_session_cookie,
};
pub use credentials::{Challenge, Credentials, SERVICE_TOKEN, credentials};
pub use identity::Identity;
pub use permit::{
    Denied, LINK_CLAIM, Permit, Rule, authorise, judge_again, might_allow, still_allows,
};
pub use policy::{Circumstances, Holds, StepUp, Traced};
pub use session::{
    Asked, CODE_LIVES, CodeError, Device, Found, HandOver, InUse, LINK, Listed, LogMark, LoggedOut,
    LoggedOutOf, LogoutToken, NewSession, NoSession, NonceHash, Owner, Redeemed, Refreshed,
    Session, SessionError, SessionHost, SessionSettings, Sessions, Shown, SignIn, StateError,
};

/// What a decision may look at, taken from the request and its connection.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Where the request comes from: the peer, or what a trusted proxy said.
    pub client: IpAddr,
    /// The request's method.
    pub method: &'a http::Method,
    /// Whether it is the handshake of a WebSocket.
    pub is_websocket: bool,
    /// The path that routing decided on, without the query.
    pub path: CanonicalPath<'a>,
    /// What stands behind the path, which no rule goes by.
    pub query: Option<&'a str>,
    /// When it is judged.
    pub now: Timestamp,
    /// The request's fields as the client sent them. Of these a decision believes only what no page
    /// can make a browser send.
    pub fields: &'a HeaderMap,
    /// The certificate that the client has shown.
    pub certificate: &'a ShownCertificate,
    /// The external URL that was asked for, and the host it has in this request.
    pub external: &'a ExternalUrl,
    /// As above.
    pub host: &'a Host,
}

/// The certificate that a client has shown for its connection, as the authorities of the application say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ShownCertificate {
    /// It has shown none, or was not asked for one.
    #[default]
    None,
    /// It does not count; which one it is, and why.
    Refused(Arc<str>),
    /// It counts.
    Verified(Arc<ClientCertificate>),
}

impl ShownCertificate {
    /// The certificate, where it counts.
    #[must_use]
    pub const fn verified(&self) -> Option<&Arc<ClientCertificate>> {
        match self {
            Self::Verified(certificate) => Some(certificate),
            Self::None | Self::Refused(_) => None,
        }
    }
}

impl<'a> Facts<'a> {
    /// What rules look at.
    #[must_use]
    pub fn circumstances(&self) -> Circumstances<'a> {
        Circumstances {
            client: self.client,
            method: match self.is_websocket {
                // Over HTTP/2 it is a CONNECT, which is the same to the application.
                true => &http::Method::GET,
                false => self.method,
            },
            path: self.path,
            now: self.now,
            certificate: self.certificate.verified().map(|one| &**one),
        }
    }
}

/// What tells who sent a request.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Who is signed in.
    pub sessions: &'a Sessions,
    /// Whose access tokens count.
    pub providers: &'a [Arc<Provider>],
    /// The gateway's own tokens.
    pub service_tokens: &'a ServiceTokens,
}

/// What stands in front of what a request asks for.
///
/// # Errors
/// Where two guards might be meant.
pub fn guard_of<'a>(
    application: &'a Application,
    path: CanonicalPath<'_>,
) -> Result<&'a Guard, Denied> {
    let guard = application.guard_of(path.as_str(), || path.folded().into_owned());
    guard.map_err(|AmbiguousPath| Denied::AmbiguousPath)
}

/// Finds out who sent a request.
///
/// # Errors
/// With what to answer where nobody is known yet, or where it cannot be found out.
pub async fn authenticate(
    application: &Application,
    guard: &Guard,
    facts: &Facts<'_>,
    known: Known<'_>,
) -> Result<Identity, Challenge> {
    match credentials(guard, facts)? {
        Credentials::Nothing => Ok(Identity::Anonymous),
        Credentials::Ticket(ticket) => {
            let host = SessionHost::of(facts.external, facts.host);
            match known.sessions.find(&host, ticket).await {
                Found::Live(session) => Ok(Identity::Session(session)),
                Found::None(why) => Err(Challenge::SignIn(Some(why))),
                Found::Unavailable => Err(Challenge::Unavailable("the store gives no answer")),
            }
        }
        // In a box: rare beside sessions.
        Credentials::Bearer(token) => {
            let verified = bearer::verify(token, known.providers, &application.bearer);
            Box::pin(verified).await.map(Identity::Bearer)
        }
        Credentials::Certificate(certificate) => Ok(Identity::Certificate(Arc::clone(certificate))),
        Credentials::ServiceToken(token) => match known.service_tokens.find_or_look(token).await {
            Ok(Some(token)) => Ok(Identity::ServiceToken(token)),
            Ok(None) => Err(Challenge::Unavailable("the store gives no answer")),
            Err(error) => Err(Challenge::ServiceToken(Some(error))),
        },
        #[cfg(test)]
        Credentials::Assumed => Ok(Identity::Assumed),
    }
}

#[cfg(test)]
mod tests;
