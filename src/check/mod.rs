//! Diagnosis: looks at what is there, names what is wrong with it, and what to do about it.
//!
//! A check is a list of lines, each about one thing. What depends on something that failed is skipped, and
//! says so; what does not depend on another is looked at side by side. Nothing takes longer than
//! [`PATIENCE`] in all.

pub mod application;
pub mod connector;
mod endpoint;
pub mod gateway;
pub mod links;
mod system;

pub use endpoint::{Endpoint, look};

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::model::{Finding, Severity};

/// For a whole check.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What kind of thing it was about.
    pub area: Area,
    /// Which one.
    pub subject: String,
    /// How it is.
    pub outcome: Outcome,
}

/// Kinds of things, in the order in which one depends on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Area {
    /// What is written in the configuration and its files.
    Configuration,
    /// The database and its key.
    Store,
    /// Limits of this host.
    System,
    /// Certificates, and the hosts they are for.
    Certificates,
    /// Ports to listen on.
    Listeners,
    /// Names in the DNS, and where they lead.
    Names,
    /// Identity providers.
    Providers,
    /// Connectors and their groups.
    Connectors,
    /// A connector's identity, and whether it runs.
    Enrolment,
    /// Gateways, as a connector sees them.
    Gateways,
    /// Applications, as connectors see them.
    Applications,
    /// Links in their pages.
    Links,
}

impl Area {
    /// The word for reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Store => "store",
            Self::System => "system",
            Self::Certificates => "certificates",
            Self::Listeners => "listeners",
            Self::Names => "names",
            Self::Providers => "providers",
            Self::Connectors => "connectors",
            Self::Enrolment => "enrolment",
            Self::Gateways => "gateways",
            Self::Applications => "applications",
            Self::Links => "links",
        }
    }
}

/// How something is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// As it should be; what was seen, in a few words.
    Pass(String),
    /// Something is to be said: an error where it does not work, a warning where it may not.
    Found(Box<Finding>),
    /// It was not looked at, and why.
    Skip(String),
}

impl Line {
    fn new(area: Area, subject: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            area,
            subject: subject.into(),
            outcome,
        }
    }

    /// All is well.
    pub fn pass(area: Area, subject: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(area, subject, Outcome::Pass(seen.into()))
    }

    /// Something is to be said.
    pub fn found(area: Area, subject: impl Into<String>, finding: Finding) -> Self {
        Self::new(area, subject, Outcome::Found(Box::new(finding)))
    }

    /// It was not looked at.
    pub fn skip(area: Area, subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(area, subject, Outcome::Skip(why.into()))
    }

    /// The finding, where there is one.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        match &self.outcome {
            Outcome::Found(finding) => Some(finding),
            _ => None,
        }
    }

    /// How bad it is; `None` where all is well, or nothing is known.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        self.finding().map(|finding| finding.severity)
    }
}

/// The lines of a look, or one that says that there was no time for it.
async fn in_time(
    deadline: Instant,
    area: Area,
    subject: &str,
    look: impl Future<Output = Vec<Line>>,
) -> Vec<Line> {
    match timeout_at(deadline, look).await {
        Ok(lines) => lines,
        Err(_) => {
            let finding = Finding::warning(
                "check_late",
                format!(
                    "this took longer than {} s and was broken off",
                    PATIENCE.as_secs()
                ),
                "run it again; where that recurs, see whether the network or a server is slow",
            );
            vec![Line::found(area, subject, finding)]
        }
    }
}
