//! What is logged, how, and where to.

use std::path::PathBuf;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line, with `timestamp`, `level`, `target`, `message` and the event's own
    /// fields beside them.
    Json,
}

impl LogFormat {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
    /// The end of this file; it is opened again with SIGUSR1 and each reload.
    File(PathBuf),
    /// The socket of a syslog daemon, in the form of RFC 3164.
    Syslog(PathBuf),
}

/// What the line of a request says of the person it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogPerson {
    /// What the identity provider calls them.
    #[default]
    Full,
    /// The same word for the same person, which nobody without the store's keys can turn back.
    Hash,
    /// Nothing.
    None,
}

impl LogPerson {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::Hash, Self::None];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Hash => "hash",
            Self::None => "none",
        }
    }
}

/// The log, as far as a configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSettings {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or directives such as
    /// `info,access=off,appproxy::tunnel=debug`.
    pub level: Option<String>,
    /// How lines look.
    pub format: Option<LogFormat>,
    /// Where they go.
    pub to: LogTarget,
    /// What is said of people.
    pub person: LogPerson,
    /// Where records go of what somebody may have to answer for; `None`: into the log.
    pub audit: Option<LogTarget>,
}
