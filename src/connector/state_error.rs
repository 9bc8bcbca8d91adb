//! What can be wrong with what a connector keeps.

use std::io;
use std::path::PathBuf;

use crate::model::Finding;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not enrolled.
    #[error("there is no identity in {folder}: run `{register}` with a token first")]
    None {
        /// Where it should be.
        folder: PathBuf,
        /// The command that gets one.
        register: String,
    },
    /// A file or the folder cannot be read or written.
    #[error("cannot {verb} {path}: {error}: check that the account appproxy runs as owns it")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file was changed by hand or only half restored.
    #[error("{path} is damaged ({what}): register again with a new token and `--replace`")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        what: &'static str,
    },
    /// Somebody registered anew while the connector ran.
    #[error("the identity in {0} is another one by now: restart this connector to use it")]
    Replaced(PathBuf),
    /// Another process registers into this folder.
    #[error("another `connector register` is at work in {0}: wait for it")]
    Busy(PathBuf),
}

impl StateError {
    /// The word for what is wrong.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.explained().0
    }

    /// What is wrong, for whoever looks for the cause.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let (code, remedy) = self.explained();
        Finding::error(code, self.to_string(), remedy)
    }

    const fn explained(&self) -> (&'static str, &'static str) {
        match self {
            Self::None { .. } => (
                "not_registered",
                "make a token on the gateway with `appproxy gateway token create --group GROUP`, and give it to `appproxy register` here",
            ),
            Self::Io { .. } => (
                "identity_unreadable",
                "run this as root, or as the account that the connector runs as: `sudo -u appproxy appproxy check`",
            ),
            Self::Damaged { .. } => (
                "identity_damaged",
                "make a token on the gateway with `appproxy gateway token create --group GROUP`, and run `appproxy register --replace` here",
            ),
            Self::Replaced(_) | Self::Busy(_) => ("identity_busy", "wait for it, and look again"),
        }
    }
}
