//! What rules look at: somebody, and a request.

use std::net::IpAddr;

use http::Method;

use super::super::SignIn;
use super::super::bearer::AccessToken;
use crate::clock::Timestamp;
use crate::http::CanonicalPath;
use crate::model::{AccessRule, ClientCertificate, Condition, Person};

/// Whom and what rules look at.
#[derive(Debug, Clone, Copy)]
pub(in crate::auth) struct Seen<'a> {
    /// Who it is; `None`: nobody was asked, or it is a program with a token of the gateway's own.
    pub(super) person: Option<&'a Person>,
    /// By which access token.
    pub(super) token: Option<&'a AccessToken>,
    /// By which service token.
    pub(super) service_token: Option<&'a str>,
    /// By the certificate alone.
    pub(super) by_certificate: bool,
    /// What they ask for; `None`: nothing yet.
    pub(super) request: Option<Circumstances<'a>>,
    /// How and when they proved who they are, where another than the claims says so.
    pub(super) sign_in: Option<&'a SignIn>,
    /// As if they proved it once more, in whatever way helps.
    pub(super) anew: bool,
}

impl<'a> Seen<'a> {
    /// Somebody who signed in, or nobody who was asked.
    pub(in crate::auth) const fn person(
        person: Option<&'a Person>,
        request: Option<Circumstances<'a>>,
    ) -> Self {
        Self {
            person,
            token: None,
            service_token: None,
            by_certificate: false,
            request,
            sign_in: None,
            anew: false,
        }
    }

    /// Somebody with a session.
    pub(in crate::auth) const fn signed_in(
        sign_in: &'a SignIn,
        request: Circumstances<'a>,
    ) -> Self {
        Self {
            sign_in: Some(sign_in),
            ..Self::person(Some(&sign_in.person), Some(request))
        }
    }

    /// Whoever shows an access token.
    pub(in crate::auth) const fn token(token: &'a AccessToken, request: Circumstances<'a>) -> Self {
        Self {
            token: Some(token),
            ..Self::person(Some(&token.person), Some(request))
        }
    }

    /// A program with a service token of this name.
    pub(in crate::auth) const fn service_token(name: &'a str, request: Circumstances<'a>) -> Self {
        Self {
            service_token: Some(name),
            ..Self::person(None, Some(request))
        }
    }

    /// Whoever has the key of the certificate that was shown.
    pub(in crate::auth) const fn certificate(request: Circumstances<'a>) -> Self {
        Self {
            by_certificate: true,
            ..Self::person(None, Some(request))
        }
    }

    /// Whether it is known that it is nobody whom a provider knows.
    pub(super) const fn is_nobody(&self) -> bool {
        self.service_token.is_some() || self.by_certificate
    }

    /// Whether it is a program with an access token of its own.
    pub(super) fn is_program(&self) -> bool {
        self.token.is_some_and(|token| token.is_of_client)
    }

    /// Whether a line may let it in at all. SECURITY: a service token comes in by its own name alone,
    /// and not by what a line says of everybody from somewhere; a certificate likewise.
    pub(super) fn may_come_by(&self, rule: &AccessRule) -> bool {
        let is_certificate = |part: &Condition| matches!(part, Condition::Certificate(_));
        match self.service_token {
            Some(own) => {
                let named = rule.condition.service_tokens();
                named.iter().any(|name| ***name == *own)
            }
            None => !self.by_certificate || rule.condition.is_only_for(&is_certificate),
        }
    }
}

/// What rules look at in a request.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Where it comes from.
    pub client: IpAddr,
    /// Its method, GET for the handshake of a WebSocket.
    pub method: &'a Method,
    /// Its path.
    pub path: CanonicalPath<'a>,
    /// When it is judged.
    pub now: Timestamp,
    /// The certificate that the client has shown, where it counts.
    pub certificate: Option<&'a ClientCertificate>,
}
