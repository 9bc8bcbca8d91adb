//! What a rule looks for in a person and in a request, as an operator writes it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;

use super::client_certificate::CertificateRule;
use super::country::InCountries;
use super::week::Week;

/// What has to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Somebody has signed in.
    AnyoneSignedIn,
    /// It is this one, by what the provider calls them for good.
    User(Arc<str>),
    /// They are in this group.
    Group(Arc<str>),
    /// The e-mail address, which the provider is trusted with, is this one; letters of ASCII are the
    /// same in either case.
    Email(Arc<str>),
    /// The e-mail address is of this domain, and not of one below it.
    EmailDomain(Arc<str>),
    /// A claim has this value, or is a list that has it.
    Claim {
        /// Its name, or the way to it with dots.
        name: Arc<str>,
        /// A text, a number, `true` or `false`.
        value: Arc<str>,
    },
    /// This identity provider says who it is.
    Provider(Arc<str>),
    /// The provider says that they proved who they are this strongly (`acr`).
    Acr(Arc<str>),
    /// The provider says that they proved it by this means (`amr`), among others.
    Amr(Arc<str>),
    /// They proved it at most so long ago.
    MaxAge(MaxAge),
    /// The access token it comes with has this scope.
    Scope(Arc<str>),
    /// It comes with the service token of this name.
    ServiceToken(Arc<str>),
    /// The client has shown a certificate that counts, and it says this.
    Certificate(CertificateRule),
    /// The request comes from one of these networks.
    Ip(Arc<[IpNet]>),
    /// It comes from one of these countries.
    Country(InCountries),
    /// It has one of these methods; the handshake of a WebSocket is a GET.
    Method(Arc<[Method]>),
    /// It is for this path or something below it.
    Path(PathRule),
    /// It comes at one of these times.
    Time(Arc<Week>),
    /// All of them are so; never none.
    All(Arc<[Condition]>),
    /// One of them is so; never none.
    Any(Arc<[Condition]>),
    /// It is not so.
    Not(Arc<Condition>),
    /// What is written under this name.
    Named(Arc<str>, Arc<Condition>),
}

/// How long ago somebody may have proved who they are; shown as an operator writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxAge {
    /// The time.
    pub age: Duration,
    /// As it is written.
    pub text: Arc<str>,
}

/// A path and all that is below it; never the root, which would say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    path: Arc<str>,
    lower: Arc<str>,
}

impl PathRule {
    /// Takes one without its last slash; `None` where it is no path, the root, or has what servers read
    /// in several ways: escapes, parameters, backslashes, dots alone, letters beyond ASCII.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let plain = |b: u8| b.is_ascii_graphic() && !b"%;\\?#".contains(&b);
        let mut segments = path.split('/').skip(1);
        let good = path.starts_with('/')
            && path.bytes().all(plain)
            // Windows takes dots off the end of a name.
            && segments.all(|segment| !segment.is_empty() && !segment.ends_with('.'));
        good.then(|| Self {
            path: path.into(),
            lower: path.to_ascii_lowercase().into(),
        })
    }

    /// Without the last slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// Whether it is somewhere below another path, and not that path itself.
    #[must_use]
    pub fn is_inside(&self, published: &str) -> bool {
        let rest = self.path.strip_prefix(published.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether servers that do not tell letters apart take both for one.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.lower == other.lower
    }

    /// Whether a path is this one or below it, octet by octet.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        is_below(&self.path, path)
    }

    /// Whether a folded path (lower case, decoded) is this one or below it, however it was spelled.
    #[must_use]
    pub fn covers_folded(&self, path: &str) -> bool {
        is_below(&self.lower, path)
    }
}

fn is_below(above: &str, path: &str) -> bool {
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Condition {
    /// This one and all inside it.
    fn any_inside(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.any_inside(is)),
                Self::Not(part) | Self::Named(_, part) => part.any_inside(is),
                _ => false,
            }
    }

    /// The paths it asks for.
    #[must_use]
    pub fn paths(&self) -> Vec<&PathRule> {
        match self {
            Self::Path(path) => vec![path],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::paths).collect(),
            Self::Not(part) | Self::Named(_, part) => part.paths(),
            _ => Vec::new(),
        }
    }

    /// Every service token that it wants.
    #[must_use]
    pub fn service_tokens(&self) -> Vec<&Arc<str>> {
        match self {
            Self::ServiceToken(name) => vec![name],
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().flat_map(Self::service_tokens).collect()
            }
            Self::Named(_, part) => part.service_tokens(),
            // `not` says what it does not want.
            _ => Vec::new(),
        }
    }

    /// Whether it asks for what only a request has, or a handshake that the gateway takes part in.
    #[must_use]
    pub fn needs_request(&self) -> bool {
        self.any_inside(&|part| {
            matches!(part, Self::Method(_) | Self::Path(_) | Self::Certificate(_))
        })
    }

    /// Whether it asks for a client's certificate.
    #[must_use]
    pub fn needs_certificate(&self) -> bool {
        self.any_inside(&|part| matches!(part, Self::Certificate(_)))
    }

    /// Whether it holds for nobody of whom no part holds that `is` so: in every way in there is one.
    #[must_use]
    pub fn is_only_for(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().any(|part| part.is_only_for(is)),
            Self::Any(parts) => parts.iter().all(|part| part.is_only_for(is)),
            Self::Named(_, part) => part.is_only_for(is),
            part => is(part),
        }
    }

    /// Every scope that it wants.
    #[must_use]
    pub fn scopes(&self) -> Vec<&Arc<str>> {
        match self {
            Self::Scope(scope) => vec![scope],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::scopes).collect(),
            Self::Named(_, part) => part.scopes(),
            _ => Vec::new(),
        }
    }

    /// Whether it asks who somebody is.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        self.any_inside(&|part| {
            matches!(
                part,
                Self::AnyoneSignedIn
                    | Self::User(_)
                    | Self::Group(_)
                    | Self::Email(_)
                    | Self::EmailDomain(_)
                    | Self::Claim { .. }
                    | Self::Provider(_)
                    | Self::Acr(_)
                    | Self::Amr(_)
                    | Self::MaxAge(_)
                    | Self::Scope(_)
                    | Self::ServiceToken(_)
            )
        })
    }

    /// Whether it asks for the path.
    #[must_use]
    pub fn needs_path(&self) -> bool {
        !self.paths().is_empty()
    }

    /// Whether time alone changes what it says.
    #[must_use]
    pub fn needs_time(&self) -> bool {
        self.any_inside(&|part| matches!(part, Self::Time(_) | Self::MaxAge(_)))
    }
}

impl fmt::Display for Condition {
    /// As an operator writes it, a list of conditions without brackets around each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
            f.write_str("[")?;
            for (number, item) in items.iter().enumerate() {
                let comma = if number == 0 { "" } else { ", " };
                write!(f, "{comma}{item}")?;
            }
            f.write_str("]")
        }
        match self {
            Self::AnyoneSignedIn => f.write_str("anyone_signed_in"),
            Self::User(subject) => write!(f, "user: {subject}"),
            Self::Group(group) => write!(f, "group: {group}"),
            Self::Email(email) => write!(f, "email: {email}"),
            Self::EmailDomain(domain) => write!(f, "email_domain: {domain}"),
            Self::Claim { name, value } => write!(f, "claim: {name} = {value}"),
            Self::Provider(name) => write!(f, "provider: {name}"),
            Self::Acr(acr) => write!(f, "acr: {acr}"),
            Self::Amr(amr) => write!(f, "amr: {amr}"),
            Self::MaxAge(age) => write!(f, "max_age: {}", age.text),
            Self::Scope(scope) => write!(f, "scope: {scope}"),
            Self::ServiceToken(name) => write!(f, "token: {name}"),
            Self::Certificate(rule) => write!(f, "{rule}"),
            Self::Ip(networks) => {
                f.write_str("ip: ")?;
                list(f, networks)
            }
            Self::Country(countries) => {
                f.write_str("country: ")?;
                list(f, &countries.codes)
            }
            Self::Method(methods) => {
                f.write_str("method: ")?;
                list(f, methods)
            }
            Self::Path(path) => write!(f, "path: {}", path.as_str()),
            Self::Time(week) => write!(f, "time: {week}"),
            // Conditions side by side are all of them.
            Self::All(parts) => {
                for (number, part) in parts.iter().enumerate() {
                    let comma = if number == 0 { "" } else { ", " };
                    match part {
                        Self::All(_) => write!(f, "{comma}all: [{part}]")?,
                        part => write!(f, "{comma}{part}")?,
                    }
                }
                Ok(())
            }
            Self::Any(parts) => {
                f.write_str("any: [")?;
                for (number, part) in parts.iter().enumerate() {
                    let comma = if number == 0 { "" } else { ", " };
                    match part {
                        Self::AnyoneSignedIn => write!(f, "{comma}{part}")?,
                        Self::Certificate(rule) if rule.is_any() => write!(f, "{comma}{part}")?,
                        part => write!(f, "{comma}{{ {part} }}")?,
                    }
                }
                f.write_str("]")
            }
            Self::Not(part) => write!(f, "not: {{ {part} }}"),
            Self::Named(name, _) => write!(f, "rule: {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_at_a_segment() {
        let path = PathRule::new("/admin/").unwrap();
        for (asked, expected) in [
            ("/admin", true),
            ("/admin/", true),
            ("/admin/x", true),
            ("/administrator", false),
            ("/Admin", false),
            ("/", false),
            ("/x/admin", false),
        ] {
            assert_eq!(path.covers(asked), expected, "{asked}");
        }
        for none in [
            "", "/", "admin", "//", "/a//b", "/a/../b", "/./a", "/a./b", "/%61", "/a;b", "/a?b",
            "/\u{e9}", "/a b",
        ] {
            assert_eq!(PathRule::new(none), None, "{none}");
        }
    }
}
