//! Who a request is from, as far as the gateway knows.

use std::fmt;

/// The outcome of authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// Nobody was asked: the application is published with `passthrough`.
    Anonymous,
    /// Somebody with a session, by the word of a test.
    #[cfg(test)]
    Assumed,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anonymous",
            #[cfg(test)]
            Self::Assumed => "assumed",
        })
    }
}

impl Identity {
    /// Whether a browser proves it by itself, with a cookie or a client certificate, whatever page
    /// makes it send a request.
    #[must_use]
    pub const fn is_proven_by_browser(&self) -> bool {
        match self {
            Self::Anonymous => false,
            #[cfg(test)]
            Self::Assumed => true,
        }
    }
}
