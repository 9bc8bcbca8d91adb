//! Single sign-on to an application: what it is told of the person.

use std::sync::Arc;

use http::HeaderName;

use super::finding::Place;
use super::person::Person;
use super::secret::SecretSource;
use super::template::{Rendered, Template};

/// What an application is told of whoever signed in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignOn {
    /// Fields of each request. Whatever a client sends under these names is deleted, in every spelling.
    pub headers: Vec<SignOnHeader>,
    /// A signed word of the gateway beside them.
    pub assertion: Option<Arc<Assertion>>,
    /// Name and password in `Authorization`.
    pub basic: Option<Arc<Basic>>,
    /// The person's access token.
    pub access_token: Option<Arc<AccessToken>>,
    /// Names that are deleted in what clients send: those of all applications. Behind two of them may be
    /// one program, of which only one is told who somebody is.
    pub deleted: Arc<[HeaderName]>,
}

impl SignOn {
    /// The names of the fields that say who somebody is.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let headers = self.headers.iter().map(|header| &header.name);
        let assertion = self.assertion.iter().map(|assertion| &assertion.header);
        let token = self.access_token.iter();
        let token = token.filter_map(|token| token.header.as_ref());
        headers.chain(assertion).chain(token)
    }

    /// Whether an application is told who somebody is, in whatever way.
    #[must_use]
    pub fn tells(&self) -> bool {
        !self.headers.is_empty()
            || self.assertion.is_some()
            || self.basic.is_some()
            || self.access_token.is_some()
    }

    /// Whether `Authorization` is the gateway's to say, and no client's.
    #[must_use]
    pub fn says_authorization(&self) -> bool {
        let token = self.access_token.as_ref();
        self.basic.is_some() || token.is_some_and(|token| token.header.is_none())
    }
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOnHeader {
    /// Its name.
    pub name: HeaderName,
    /// What it says.
    pub value: Arc<Template>,
}

/// A signed word of the gateway about a person: a JWT (RFC 7519) that an application can verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The field it stands in.
    pub header: HeaderName,
    /// Who says it: the sign-in host's origin.
    pub issuer: Arc<str>,
    /// Whom it is for: an application takes what is for another from nobody.
    pub audience: Arc<str>,
    /// Claims of the provider that are said beside those that always are.
    pub claims: Arc<[Arc<str>]>,
}

impl Assertion {
    /// The field's usual name.
    pub const HEADER: HeaderName = HeaderName::from_static("appproxy-assertion");

    /// What it says by itself: names that no claim of the provider is given.
    pub const OWN: &[&str] = &[
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "provider",
        "authority",
        "name",
        "email",
        "groups",
        "left_out",
    ];
}

/// Name and password for an application (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basic {
    /// As whom people come.
    pub username: Username,
    /// Where the password is.
    pub password: SecretSource,
    /// Where that is written.
    pub place: Place,
}

/// As whom people come to an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Username {
    /// All as the same.
    Fixed(Arc<str>),
    /// Each as what is made of their claims.
    Of(Arc<Template>),
}

impl Username {
    /// For somebody. SECURITY: what has a colon in it would be another name with another password (RFC 7617
    /// section 2); that, and what has control characters in it, is nobody.
    #[must_use]
    pub fn of(&self, person: &Person) -> Option<String> {
        let name = match self {
            Self::Fixed(name) => name.to_string(),
            Self::Of(template) => match template.render(person) {
                Rendered::One(name) => name,
                Rendered::Nothing | Rendered::Each(_) => return None,
            },
        };
        let odd = |c: char| c == ':' || c.is_control();
        (!name.is_empty() && !name.contains(odd)).then_some(name)
    }
}

/// The access token of the provider, for an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The field it stands in by itself; `None`: in `Authorization`, behind `Bearer`.
    pub header: Option<HeaderName>,
    /// Whose people the application is for.
    pub provider: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::super::person::PersonKey;
    use super::*;

    #[test]
    fn a_name_with_a_colon_or_a_control_character_is_nobody() {
        let person = |upn: &str| Person {
            key: PersonKey {
                authority: "https://sso.test/".into(),
                subject: "1".into(),
            },
            provider: "corp".into(),
            name: None,
            email: None,
            groups: Arc::new([]),
            claims: serde_json::json!({ "upn": upn })
                .as_object()
                .unwrap()
                .clone(),
        };
        let of = Username::Of(Arc::new(Template::parse("{upn}").unwrap()));
        for (upn, expected) in [
            ("alice@corp.test", Some("alice@corp.test")),
            ("Zo\u{eb} M", Some("Zo\u{eb} M")),
            ("CORP\\alice", Some("CORP\\alice")),
            ("admin:secret", None),
            ("a\nb", None),
            ("a\u{0}b", None),
            ("a\u{85}b", None),
            ("", None),
        ] {
            assert_eq!(of.of(&person(upn)).as_deref(), expected, "{upn:?}");
        }
        let missing = Username::Of(Arc::new(Template::parse("{missing}").unwrap()));
        assert_eq!(missing.of(&person("alice")), None);
        let fixed = Username::Fixed("service".into());
        assert_eq!(fixed.of(&person("alice")).as_deref(), Some("service"));
    }
}
