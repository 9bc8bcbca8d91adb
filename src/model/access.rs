//! Who may use an application, and how long a sign-in lasts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::person::Person;
use super::url::Host;

/// Who may use an application: somebody whom a rule of `allow` names, and none of `deny`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Who may; nobody where it is empty.
    pub allow: Vec<Condition>,
    /// Who may not, whatever `allow` says.
    pub deny: Vec<Condition>,
}

/// What a rule looks for in a person.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// What has to be so.
    pub who: Who,
    /// The identity provider that has to say so; `None`: any of them.
    pub provider: Option<Arc<str>>,
}

/// Whom a rule names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// Everybody who has signed in.
    AnyoneSignedIn,
    /// This one, by what the provider calls them for good.
    User(Arc<str>),
    /// The members of this group.
    Group(Arc<str>),
}

impl Condition {
    /// Whether it names this person.
    #[must_use]
    pub fn names(&self, person: &Person) -> bool {
        let vouched = self.provider.as_ref();
        vouched.is_none_or(|provider| *provider == person.provider)
            && match &self.who {
                Who::AnyoneSignedIn => true,
                Who::User(subject) => *subject == person.key.subject,
                Who::Group(group) => person.is_in(group),
            }
    }
}

impl fmt::Display for Condition {
    /// As an operator writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::AnyoneSignedIn => f.write_str("anyone_signed_in")?,
            Who::User(subject) => write!(f, "user: {subject}")?,
            Who::Group(group) => write!(f, "group: {group}")?,
        }
        match &self.provider {
            Some(provider) => write!(f, ", provider: {provider}"),
            None => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::super::person::PersonKey;
    use super::*;

    fn person(provider: &str, subject: &str, groups: &[&str]) -> Person {
        Person {
            key: PersonKey {
                authority: "https://login.test/".into(),
                subject: subject.into(),
            },
            provider: provider.into(),
            name: None,
            email: None,
            groups: groups.iter().map(|&group| group.into()).collect(),
            claims: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_condition_names_whom_it_says_and_nobody_of_another_provider() {
        let alice = person("entra", "alice", &["admins", "staff"]);
        for (who, provider, expected) in [
            (Who::AnyoneSignedIn, None, true),
            (Who::AnyoneSignedIn, Some("entra"), true),
            (Who::AnyoneSignedIn, Some("google"), false),
            (Who::User("alice".into()), None, true),
            (Who::User("Alice".into()), None, false),
            (Who::User("alice".into()), Some("google"), false),
            (Who::Group("staff".into()), None, true),
            (Who::Group("Staff".into()), None, false),
            (Who::Group("staf".into()), None, false),
            (Who::Group("staff".into()), Some("google"), false),
        ] {
            let provider = provider.map(Arc::from);
            let condition = Condition { who, provider };
            assert_eq!(condition.names(&alice), expected, "{condition}");
        }
    }
}
