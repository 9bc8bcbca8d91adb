//! What can be wrong with what a connector keeps.

use std::io;
use std::path::PathBuf;

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
