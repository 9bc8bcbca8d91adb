//! Why a connection of a connector ended: in words for the log, in one word for the metrics.

use std::time::Duration;

use super::tunnels::{MOST_OF_ONE, NotAdded};
use crate::store::StoreError;
use crate::tunnel::control::{self, PROTOCOL_VERSION};

/// From the end of the TLS handshake to the connector's hello.
pub(super) const HELLO: Duration = Duration::from_secs(5);

/// Why a connection never became a tunnel, or stopped to be one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("its certificate is not a connector's: {0}")]
    Certificate(String),
    #[error("HTTP/2 failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("it said no hello within {HELLO:?}")]
    Silent,
    #[error("its control stream failed: {0}")]
    Control(#[from] control::ControlError),
    #[error("its first message was not hello")]
    NoHello,
    #[error(
        "it speaks version {0} of the protocol, this gateway version {PROTOCOL_VERSION}: upgrade the {older}",
        older = if *.0 < PROTOCOL_VERSION { "connector" } else { "gateway" }
    )]
    Version(u32),
    #[error("it never was enrolled at this gateway's store")]
    Unknown,
    #[error("its certificate names the group {claimed}, the store {stored}")]
    Group { claimed: String, stored: String },
    #[error("it has {MOST_OF_ONE} tunnels already: another one of its own must end first")]
    TooMany,
    #[error("it asks for certificates over and over")]
    Renews,
    #[error("it was removed")]
    Removed,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it was drained")]
    Drained,
    #[error("it does not read its control stream")]
    Stuck,
    #[error("its certificate counts no more")]
    Outlived,
    #[error("it closed the tunnel")]
    Closed,
    #[error("the gateway stops")]
    Stopping,
}

impl Ended {
    /// The word in the metrics.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "certificate",
            Self::Http(_) => "broken",
            Self::Silent => "silent",
            Self::Control(_) => "control",
            Self::NoHello => "no_hello",
            Self::Version(_) => "version",
            Self::Unknown => "unknown",
            Self::Group { .. } => "group",
            Self::TooMany => "too_many",
            Self::Renews => "renews",
            Self::Removed => "removed",
            Self::Store(_) => "store",
            Self::Drained => "drained",
            Self::Stuck => "stuck",
            Self::Outlived => "outlived",
            Self::Closed => "closed",
            Self::Stopping => "stopping",
        }
    }
}

impl From<NotAdded> for Ended {
    fn from(why: NotAdded) -> Self {
        match why {
            NotAdded::Removed => Self::Removed,
            NotAdded::TooMany => Self::TooMany,
        }
    }
}
