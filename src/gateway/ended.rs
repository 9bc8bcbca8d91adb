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

    /// The word for why it never became a tunnel, as the connector has it in its log.
    pub(super) const fn code_of_refusal(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "certificate_unknown",
            Self::Removed => "connector_removed",
            Self::Silent => "tunnel_silent",
            Self::Http(_) | Self::Control(_) | Self::NoHello | Self::Closed => "tunnel_ended",
            Self::Version(_)
            | Self::Unknown
            | Self::Group { .. }
            | Self::TooMany
            | Self::Renews
            | Self::Store(_)
            | Self::Drained
            | Self::Stuck
            | Self::Outlived
            | Self::Stopping => "connector_refused",
        }
    }

    /// The word for why a tunnel that stood ended; none where that is as it should be.
    pub(super) const fn code_of_loss(&self) -> Option<&'static str> {
        match self {
            Self::Removed => Some("connector_removed"),
            Self::Renews => Some("connector_refused"),
            Self::Drained | Self::Closed | Self::Stopping | Self::Outlived => None,
            _ => Some("tunnel_lost"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_connection_has_its_word() {
        let text = || "hq".to_owned();
        for (ended, refusal, loss) in [
            (
                Ended::Certificate(text()),
                "certificate_unknown",
                Some("tunnel_lost"),
            ),
            (
                Ended::Removed,
                "connector_removed",
                Some("connector_removed"),
            ),
            (Ended::Unknown, "connector_refused", Some("tunnel_lost")),
            (Ended::Version(9), "connector_refused", Some("tunnel_lost")),
            (Ended::TooMany, "connector_refused", Some("tunnel_lost")),
            (
                Ended::Group {
                    claimed: text(),
                    stored: text(),
                },
                "connector_refused",
                Some("tunnel_lost"),
            ),
            (
                Ended::Renews,
                "connector_refused",
                Some("connector_refused"),
            ),
            (Ended::Silent, "tunnel_silent", Some("tunnel_lost")),
            (Ended::NoHello, "tunnel_ended", Some("tunnel_lost")),
            (Ended::Stuck, "connector_refused", Some("tunnel_lost")),
            (Ended::Closed, "tunnel_ended", None),
            (Ended::Drained, "connector_refused", None),
            (Ended::Outlived, "connector_refused", None),
            (Ended::Stopping, "connector_refused", None),
        ] {
            let words = (ended.code_of_refusal(), ended.code_of_loss());
            assert_eq!(words, (refusal, loss), "{ended}");
        }
    }
}
