//! Who a request is from, as far as the gateway knows.

use std::fmt;
use std::sync::Arc;

use super::Session;

/// The outcome of authenticate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Identity {
    /// Nobody was asked: the application is published with `passthrough`.
    Anonymous,
    /// A person with a session at the application's host.
    Session(Arc<Session>),
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
            Self::Anonymous => false,
            Self::Session(_) => true,
            #[cfg(test)]
            Self::Assumed => true,
        }
    }

    /// The session, where it is one's.
    #[must_use]
    pub const fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Session(session) => Some(session),
            Self::Anonymous => None,
            #[cfg(test)]
            Self::Assumed => None,
        }
    }
}
