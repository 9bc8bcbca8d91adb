//! Who may use an application, and how long a sign-in lasts.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::condition::Condition;
use super::person::Person;
use super::url::Host;

/// Who may use an application: somebody whom a rule of `allow` lets in, and none of `deny` keeps out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Who may. Where it is empty nobody may who would have to sign in, and everybody where nobody has to.
    pub allow: AccessRules,
    /// Who may not, whatever `allow` says.
    pub deny: AccessRules,
    needs_time: bool,
}

/// Lines in order. Those that ask for one group and nothing else are found by the group.
#[derive(Debug, Clone, Default)]
pub struct AccessRules {
    rules: Vec<AccessRule>,
    /// The first line of each group.
    groups: HashMap<Arc<str>, usize>,
    /// The other lines.
    others: Vec<usize>,
}

/// The rest follows from the rules.
impl PartialEq for AccessRules {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for AccessRules {}

impl Deref for AccessRules {
    type Target = [AccessRule];

    fn deref(&self) -> &[AccessRule] {
        &self.rules
    }
}

impl From<Vec<AccessRule>> for AccessRules {
    fn from(rules: Vec<AccessRule>) -> Self {
        let (mut groups, mut others) = (HashMap::new(), Vec::new());
        for (line, rule) in rules.iter().enumerate() {
            match &rule.condition {
                Condition::Group(group) if !rule.report_only => {
                    groups.entry(Arc::clone(group)).or_insert(line);
                }
                _ => others.push(line),
            }
        }
        Self {
            rules,
            groups,
            others,
        }
    }
}

impl AccessRules {
    /// The first line that asks for one of somebody's groups and for nothing else.
    #[must_use]
    pub fn line_of(&self, person: &Person) -> Option<usize> {
        let of = |group: &Arc<str>| self.groups.get(group).copied();
        match self.groups.len() {
            0 => None,
            // Whichever is fewer is gone through.
            few if few < person.groups.len() => {
                let lines = self.groups.iter();
                let lines = lines.filter(|(group, _)| person.is_in(group));
                lines.map(|(_, line)| *line).min()
            }
            _ => person.groups.iter().filter_map(of).min(),
        }
    }

    /// The lines that ask for anything else, in order, with their numbers.
    pub fn others(&self) -> impl Iterator<Item = (usize, &AccessRule)> {
        self.others.iter().map(|line| (*line, &self.rules[*line]))
    }
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
    /// These lines of `allow` and of `deny`.
    #[must_use]
    pub fn new(allow: Vec<AccessRule>, deny: Vec<AccessRule>) -> Self {
        let mut rules = allow.iter().chain(&deny);
        let needs_time = rules.any(|rule| rule.condition.needs_time());
        Self {
            allow: allow.into(),
            deny: deny.into(),
            needs_time,
        }
    }

    /// Whether nothing is said of who may.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Every condition.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let rules = self.allow.iter().chain(self.deny.iter());
        rules.map(|rule| &rule.condition)
    }

    /// Whether the path of a request decides.
    #[must_use]
    pub fn needs_path(&self) -> bool {
        self.conditions().any(Condition::needs_path)
    }

    /// Whether time alone changes who may.
    #[must_use]
    pub const fn needs_time(&self) -> bool {
        self.needs_time
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
