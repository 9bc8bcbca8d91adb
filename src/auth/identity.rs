//! Who a request is from, as far as the gateway knows.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Session;
use super::bearer::AccessToken;
use super::service_token::ServiceToken;
use crate::clock::Timestamp;
use crate::model::ClientCertificate;

/// The outcome of authenticate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Identity {
    /// Nobody was asked: the application is published with `passthrough`.
    Anonymous,
    /// A person with a session at the application's host.
    Session(Arc<Session>),
    /// Whoever an identity provider gave an access token for.
    Bearer(Arc<AccessToken>),
    /// A program that showed a token of the gateway's own.
    ServiceToken(Arc<ServiceToken>),
    /// Whoever has the key of a certificate that counts.
    Certificate(Arc<ClientCertificate>),
    /// Somebody with a session, by the word of a test.
    #[cfg(test)]
    Assumed,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Session(session) => {
                let sign_in = session.sign_in();
                let person = &sign_in.person;
                write!(f, "{} at {}", person.key.subject, person.provider)
            }
            Self::Bearer(token) => {
                let person = &token.person;
                write!(
                    f,
                    "{} by an access token of {}",
                    person.key.subject, person.provider
                )
            }
            Self::ServiceToken(token) => write!(f, "the service token {}", token.name),
            Self::Certificate(certificate) => write!(f, "the {certificate}"),
            #[cfg(test)]
            Self::Assumed => f.write_str("assumed"),
        }
    }
}

impl Identity {
    /// Whether a browser proves it by itself, with a cookie or a client certificate, whatever page
    /// makes it send a request.
    #[must_use]
    pub const fn is_proven_by_browser(&self) -> bool {
        match self {
            Self::Anonymous | Self::Bearer(_) | Self::ServiceToken(_) => false,
            Self::Session(_) | Self::Certificate(_) => true,
            #[cfg(test)]
            Self::Assumed => true,
        }
    }

    /// The session, where it is one's.
    #[must_use]
    pub const fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Session(session) => Some(session),
            Self::Anonymous | Self::Bearer(_) | Self::ServiceToken(_) | Self::Certificate(_) => {
                None
            }
            #[cfg(test)]
            Self::Assumed => None,
        }
    }

    /// Until when it counts, where that is known; a session's end moves on.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        match self {
            Self::Anonymous => None,
            Self::Session(session) => Some(session.ends()),
            Self::Bearer(token) => Some(token.expires),
            Self::ServiceToken(token) => Some(token.expires),
            // It counts to the end of its last second (RFC 5280 section 4.1.2.5).
            Self::Certificate(one) => Some(Timestamp(one.not_after.saturating_add(1))),
            #[cfg(test)]
            Self::Assumed => None,
        }
    }

    /// What is cancelled where it does not count any more before its end.
    #[must_use]
    pub fn revoked(&self) -> Option<&CancellationToken> {
        match self {
            Self::Session(session) => Some(session.revoked()),
            Self::ServiceToken(token) => Some(&token.revoked),
            Self::Anonymous | Self::Bearer(_) | Self::Certificate(_) => None,
            #[cfg(test)]
            Self::Assumed => None,
        }
    }
}
