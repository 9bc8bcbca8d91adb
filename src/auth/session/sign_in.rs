//! What a sign-in is, and how it is kept.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::super::assertion::Kept;
use crate::clock::Timestamp;
use crate::model::{ExternalUrl, Host, Person, PersonKey};

/// What a session belongs to: scheme, host and port, as browsers write an origin (RFC 6454 section
/// 6.2). Cookies do not tell schemes and ports apart, so this does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionHost(Arc<str>);

impl SessionHost {
    /// That of a request to this host of a published application.
    #[must_use]
    pub fn of(external: &ExternalUrl, host: &Host) -> Self {
        let scheme = external.scheme.as_str();
        Self(format!("{scheme}://{}", external.authority(host)).into())
    }

    /// As text, such as `https://wiki.example.com:8443`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an identity provider said, and what it gave for later. All sessions of one sign-in share it.
#[derive(Clone)]
pub struct SignIn {
    /// Who it is.
    pub person: Person,
    /// The issuer of the ID token (`iss`).
    pub issuer: String,
    /// The person in the ID token (`sub`): logout tokens name it, whatever the person's key is.
    pub subject: String,
    /// The provider's own session (`sid`), where it says so.
    pub sid: Option<String>,
    /// The ID token, for the hint at sign-out.
    pub id_token: Option<SecretString>,
    /// What asks the provider again.
    pub refresh_token: Option<SecretString>,
    /// What the person may do elsewhere, and until when, where an application is to have it.
    pub access_token: Option<(SecretString, Timestamp)>,
    /// When the person proved who they are (`auth_time`).
    pub auth_time: Option<Timestamp>,
    /// How strongly (`acr`).
    pub acr: Option<String>,
    /// By what means (`amr`).
    pub amr: Vec<String>,
    /// When the provider last said all this.
    pub checked: Timestamp,
    /// From when on it is to be asked again.
    pub fresh_until: Option<Timestamp>,
    /// What was signed of it for applications lately.
    pub asserted: Kept,
}

/// Without tokens and claims.
impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn")
            .field("person", &self.person)
            .field("checked", &self.checked)
            .finish_non_exhaustive()
    }
}

/// Text that is wiped when it is dropped.
pub(super) struct Secret(pub(super) Zeroizing<String>);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    person: Person,
    issuer: String,
    subject: String,
    sid: Option<String>,
    id_token: Option<Secret>,
    refresh_token: Option<Secret>,
    /// Beside it, so that versions that know of none read the rest.
    access_token: Option<Secret>,
    access_until: Option<i64>,
    auth_time: Option<i64>,
    acr: Option<String>,
    amr: Vec<String>,
    checked: i64,
    fresh_until: Option<i64>,
}

impl SignIn {
    /// The access token, while it is good for something.
    #[must_use]
    pub fn living_access_token(&self, now: Timestamp) -> Option<&SecretString> {
        let (token, until) = self.access_token.as_ref()?;
        (now < *until).then_some(token)
    }

    /// As octets, to be sealed; `None` where it cannot be written.
    pub(super) fn to_octets(&self) -> Option<Zeroizing<Vec<u8>>> {
        let secret =
            |text: &SecretString| Some(Secret(Zeroizing::new(text.expose_secret().to_owned())));
        let token = |token: &Option<SecretString>| token.as_ref().and_then(secret);
        let stored = Stored {
            person: self.person.clone(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            sid: self.sid.clone(),
            id_token: token(&self.id_token),
            refresh_token: token(&self.refresh_token),
            access_token: self
                .access_token
                .as_ref()
                .and_then(|(text, _)| secret(text)),
            access_until: self.access_token.as_ref().map(|(_, until)| until.0),
            auth_time: self.auth_time.map(|time| time.0),
            acr: self.acr.clone(),
            amr: self.amr.clone(),
            checked: self.checked.0,
            fresh_until: self.fresh_until.map(|time| time.0),
        };
        serde_json::to_vec(&stored).ok().map(Zeroizing::new)
    }

    /// From octets that were opened; `None` where they are not of this form.
    pub(super) fn from_octets(octets: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(octets).ok()?;
        let token = |token: Option<Secret>| token.map(|token| token.0.as_str().into());
        Some(Self {
            person: stored.person,
            issuer: stored.issuer,
            subject: stored.subject,
            sid: stored.sid,
            id_token: token(stored.id_token),
            refresh_token: token(stored.refresh_token),
            access_token: token(stored.access_token).zip(stored.access_until.map(Timestamp)),
            auth_time: stored.auth_time.map(Timestamp),
            acr: stored.acr,
            amr: stored.amr,
            checked: Timestamp(stored.checked),
            fresh_until: stored.fresh_until.map(Timestamp),
            asserted: Kept::default(),
        })
    }
}

/// From where somebody uses a session, for lists.
#[derive(Debug, Clone)]
pub struct Device {
    /// What the browser calls itself; its beginning is kept.
    pub user_agent: String,
    /// The client's address.
    pub address: IpAddr,
}

/// The longest part of `User-Agent` that is kept.
const USER_AGENT: usize = 200;

/// What a list shows of a session. The text is as the provider and the browser wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Who it is.
    pub person: PersonKey,
    /// The name of the identity provider in the configuration.
    pub provider: Arc<str>,
    /// The person's name.
    pub name: Option<Arc<str>>,
    /// Their e-mail address.
    pub email: Option<Arc<str>>,
    /// The beginning of what the browser calls itself.
    pub user_agent: String,
    /// From where it was made.
    pub address: IpAddr,
}

impl Shown {
    pub(super) fn new(person: &Person, device: &Device) -> Self {
        Self {
            person: person.key.clone(),
            provider: Arc::clone(&person.provider),
            name: person.name.clone(),
            email: person.email.clone(),
            user_agent: device.user_agent.chars().take(USER_AGENT).collect(),
            address: device.address,
        }
    }
}
