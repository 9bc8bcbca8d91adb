//! Who may use an application, and how long a sign-in lasts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::condition::Condition;
use super::url::Host;

/// Who may use an application: somebody whom a rule of `allow` lets in, and none of `deny` keeps out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Who may. Where it is empty nobody may who would have to sign in, and everybody where nobody has to.
    pub allow: Vec<AccessRule>,
    /// Who may not, whatever `allow` says.
    pub deny: Vec<AccessRule>,
}

/// One line of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// When it says so.
    pub condition: Condition,
    /// It decides nothing: what it would have decided is logged.
    pub report_only: bool,
    /// As an operator writes it.
    text: Arc<str>,
}

impl AccessRule {
    /// A line that has its say under a condition.
    #[must_use]
    pub fn new(condition: Condition, report_only: bool) -> Self {
        let text = match report_only {
            true => format!("{condition}, report_only: true"),
            false => condition.to_string(),
        };
        Self {
            condition,
            report_only,
            text: text.into(),
        }
    }

    /// As an operator writes it.
    #[must_use]
    pub const fn text(&self) -> &Arc<str> {
        &self.text
    }
}

impl fmt::Display for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Access {
    /// Every condition.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let rules = self.allow.iter().chain(&self.deny);
        rules.map(|rule| &rule.condition)
    }

    /// Whether the path of a request decides.
    #[must_use]
    pub fn needs_path(&self) -> bool {
        self.conditions().any(Condition::needs_path)
    }

    /// Whether time alone changes who may.
    #[must_use]
    pub fn needs_time(&self) -> bool {
        self.conditions().any(Condition::needs_time)
    }
}

/// The gateway's own host for people: it signs them in for all applications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Its name.
    pub host: Host,
    /// The port people see.
    pub port: u16,
    /// Whether the part of an address behind `#` is kept, which costs a page of ours in between.
    pub keeps_fragment: bool,
    /// Whether a form whose session has ended is kept in the browser until the person is back.
    pub keeps_forms: bool,
}

impl SignIn {
    /// Scheme, host and port, as browsers write an origin.
    #[must_use]
    pub fn origin(&self) -> String {
        match self.port {
            443 => format!("https://{}", self.host),
            port => format!("https://{}:{port}", self.host),
        }
    }
}

/// How long a person stays signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLife {
    /// Without a request.
    pub idle: Duration,
    /// At all.
    pub lifetime: Duration,
}

impl Default for SessionLife {
    /// A working day without a question, and a new look at the provider each day: with its own session
    /// alive that asks nothing.
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            idle: 8 * HOUR,
            lifetime: 24 * HOUR,
        }
    }
}
