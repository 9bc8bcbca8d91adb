//! A finding: one result of looking at a configuration, a certificate or a running part.

use std::fmt;
use std::path::PathBuf;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Works now, and will not for long, or not for everybody.
    Warning,
    /// Does not work, or must not.
    Error,
}

impl Severity {
    /// The word for reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where in what the operator wrote a finding lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The file, as the operator named it.
    pub file: PathBuf,
    /// Line from 1; 0 where the whole file is meant.
    pub line: u64,
    /// Column from 1; 0 where the whole line is meant.
    pub column: u64,
    /// The key's path, such as `applications[0].external_url`; empty where there is none.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        Ok(())
    }
}

/// One result of a diagnosis: what is so, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A stable word for programs, such as `unknown_key`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Where it lies, if it lies in a file.
    pub place: Option<Place>,
    /// What happened, as one sentence without a full stop.
    pub what: String,
    /// What to do about it, as one sentence without a full stop.
    pub remedy: String,
}

impl Finding {
    /// An error; add the place with [`Finding::at`].
    #[must_use]
    pub fn error(code: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            place: None,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A warning; add the place with [`Finding::at`].
    #[must_use]
    pub fn warning(code: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, what, remedy)
        }
    }

    /// Something worth knowing; add the place with [`Finding::at`].
    #[must_use]
    pub fn info(code: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Info,
            ..Self::error(code, what, remedy)
        }
    }

    /// The same finding at a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] ", self.severity.as_str(), self.code)?;
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}\n    {}", self.what, self.remedy)
    }
}
