//! Who a request is from, and whether it may pass.
//!
//! Two stages in this order: [`authenticate`] says who sent a request or how to find out,
//! [`authorise`] says whether that identity may send it to that application. What the second
//! leaves behind is a [`Permit`], and nothing is forwarded without one. Whatever is not known to
//! be allowed is denied: both stages end in an arm that refuses.

mod cookie;
mod identity;
mod origin;
mod permit;
mod policy;
pub mod provider;
mod session;

use std::net::IpAddr;

use http::HeaderMap;

use crate::clock::Timestamp;
use crate::http::CanonicalPath;
use crate::model::{Application, ErrorCode, ExternalUrl, Host, PreAuthentication};

pub use cookie::{
    Duplicate, OwnCookies, SignInId, clear_session_cookie, clear_storage, end_sign_in_cookie,
    forget_somebody_else, set_session_cookie,
};
pub use identity::Identity;
pub use permit::{
    Denied, LINK_CLAIM, Permit, Rule, authorise, explain_rules, might_allow, still_allows,
    would_allow,
};
pub use policy::{Circumstances, Holds, Traced};
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
    /// When it is judged.
    pub now: Timestamp,
    /// The request's fields as the client sent them. Of these a decision believes only what no page
    /// can make a browser send.
    pub fields: &'a HeaderMap,
    /// The external URL that was asked for, and the host it has in this request.
    pub external: &'a ExternalUrl,
    /// As above.
    pub host: &'a Host,
}

impl<'a> Facts<'a> {
    /// What rules look at.
    #[must_use]
    pub const fn circumstances(&self) -> Circumstances<'a> {
        Circumstances {
            client: self.client,
            method: match self.is_websocket {
                // Over HTTP/2 it is a CONNECT, which is the same to the application.
                true => &http::Method::GET,
                false => self.method,
            },
            path: self.path,
            now: self.now,
        }
    }
}

/// Why a request is not passed on before it is known who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Challenge {
    /// None of the application's methods can be carried out, so nobody can be told apart.
    #[error("the application has no pre-authentication that this gateway can carry out")]
    NoMethod,
    /// There is no session at this host; where there was a ticket, what is wrong with it.
    #[error("nobody is signed in at this host{}", because(.0.as_ref()))]
    SignIn(Option<NoSession>),
    /// The browser sent two tickets, of which one may be somebody else's.
    #[error(transparent)]
    Cookies(#[from] Duplicate),
    /// Whether there is a session cannot be known now.
    #[error("whether the session is alive cannot be known now")]
    Unavailable,
}

fn because(why: Option<&NoSession>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

impl Challenge {
    /// The code of the answer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            // Not `sign_in_required`: there is nothing the visitor could sign in to.
            Self::NoMethod => ErrorCode::Denied,
            Self::SignIn(_) => ErrorCode::SignInRequired,
            Self::Cookies(_) => ErrorCode::BadRequest,
            // Never a way to sign in: that would be a loop.
            Self::Unavailable => ErrorCode::StoreUnavailable,
        }
    }
}

/// By what an application tells people apart.
#[derive(Debug, Clone)]
pub enum Method {
    /// By nothing, or by what a test says: it is known without a look at the request.
    Known(Identity),
    /// By the session of a browser.
    Session,
}

/// By what an application tells people apart.
///
/// # Errors
/// Where it is by nothing that can be carried out here.
pub fn method(application: &Application) -> Result<Method, Challenge> {
    match application.pre_authentication.as_slice() {
        // Alone: beside another method it would open what that method closes.
        [PreAuthentication::Passthrough] => Ok(Method::Known(Identity::Anonymous)),
        [PreAuthentication::Oidc] => Ok(Method::Session),
        #[cfg(test)]
        [PreAuthentication::Assumed] => Ok(Method::Known(Identity::Assumed)),
        _ => Err(Challenge::NoMethod),
    }
}

/// Finds out who sent a request.
///
/// # Errors
/// With what to answer where nobody is known yet, or where it cannot be found out.
pub async fn authenticate(
    application: &Application,
    facts: &Facts<'_>,
    sessions: &Sessions,
) -> Result<Identity, Challenge> {
    match method(application)? {
        Method::Known(identity) => Ok(identity),
        Method::Session => {
            let own = OwnCookies::read(facts.fields);
            let ticket = own.session()?.ok_or(Challenge::SignIn(None))?;
            let host = SessionHost::of(facts.external, facts.host);
            match sessions.find(&host, ticket).await {
                Found::Live(session) => Ok(Identity::Session(session)),
                Found::None(why) => Err(Challenge::SignIn(Some(why))),
                Found::Unavailable => Err(Challenge::Unavailable),
            }
        }
    }
}

#[cfg(test)]
mod tests;
