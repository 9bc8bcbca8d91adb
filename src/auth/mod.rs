//! Who a request is from, and whether it may pass.
//!
//! Two stages in this order: [`authenticate`] says who sent a request or how to find out,
//! [`authorise`] says whether that identity may send it to that application. What the second
//! leaves behind is a [`Permit`], and nothing is forwarded without one. Whatever is not known to
//! be allowed is denied: both stages end in an arm that refuses.

mod origin;
mod permit;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::model::{Application, ErrorCode, ExternalUrl, Host, Identity, PreAuthentication};

pub use permit::{Denied, Permit, Rule, authorise, still_allows};

/// What a decision may look at, taken from the request and its connection.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Where the request comes from: the peer, or what a trusted proxy said.
    pub client: IpAddr,
    /// The request's method.
    pub method: &'a Method,
    /// Whether it is the handshake of a WebSocket.
    pub is_websocket: bool,
    /// The path that routing decided on, without the query.
    pub path: &'a str,
    /// The request's fields as the client sent them. Of these a decision believes only what no page
    /// can make a browser send.
    pub fields: &'a HeaderMap,
    /// The external URL that was asked for, and the host it has in this request.
    pub external: &'a ExternalUrl,
    /// As above.
    pub host: &'a Host,
}

/// Why a request is not passed on before it is known who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Challenge {
    /// None of the application's methods can be carried out, so nobody can be told apart.
    #[error("the application has no pre-authentication that this gateway can carry out")]
    NoMethod,
}

impl Challenge {
    /// The code of the answer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            // Not `sign_in_required`: there is nothing the visitor could sign in to.
            Self::NoMethod => ErrorCode::Denied,
        }
    }
}

/// Finds out who sent a request.
///
/// # Errors
/// With what to answer where nobody is known yet, or where it cannot be found out.
pub fn authenticate(
    application: &Arc<Application>,
    _facts: &Facts<'_>,
) -> Result<Identity, Challenge> {
    match application.pre_authentication.as_slice() {
        // Alone: beside another method it would open what that method closes.
        [PreAuthentication::Passthrough] => Ok(Identity::Anonymous),
        #[cfg(test)]
        [PreAuthentication::Assumed] => Ok(Identity::Assumed),
        _ => Err(Challenge::NoMethod),
    }
}

#[cfg(test)]
mod tests;
