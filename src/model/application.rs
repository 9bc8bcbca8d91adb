//! A published application.

use std::sync::Arc;
use std::time::Duration;

use super::ids::{ApplicationName, GroupName};
use super::url::{ExternalUrl, InternalUrl};

/// One published thing: where people open it, where the connector finds it, who may use it, how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its name, unique in the configuration.
    pub name: ApplicationName,
    /// Where people open it.
    pub external: ExternalUrl,
    /// Where the connector finds it.
    pub internal: InternalUrl,
    /// Which connectors may carry its requests.
    pub connectors: Connectors,
    /// What happens before anything reaches it. Never empty.
    pub pre_authentication: Vec<PreAuthentication>,
    /// What the application sees as `Host`.
    pub host_header: HostHeader,
    /// What is rewritten in its answers.
    pub link_translation: LinkTranslation,
    /// How long the connector waits for it.
    pub timeouts: BackendTimeouts,
}

/// Connector groups in order of failover. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connectors(Arc<[GroupName]>);

impl Connectors {
    /// Takes the groups in order; `None` for an empty list.
    #[must_use]
    pub fn new(groups: Vec<GroupName>) -> Option<Self> {
        (!groups.is_empty()).then(|| Self(groups.into()))
    }

    /// The groups, first choice first.
    #[must_use]
    pub fn groups(&self) -> &[GroupName] {
        &self.0
    }
}

/// What happens before anything reaches the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PreAuthentication {
    /// Nothing: the application looks after itself.
    Passthrough,
}

/// What the application sees as `Host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// Host and port of the internal URL.
    Internal,
    /// Host and port people opened.
    External,
    /// This host, with a port if it needs one.
    Fixed(Arc<str>),
}

/// What is rewritten in an application's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkTranslation {
    /// Internal URLs in response headers become external ones.
    pub headers: bool,
}

/// How long the connector waits for an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendTimeouts {
    /// For the TCP connection and, with https, the TLS handshake.
    pub connect: Duration,
    /// From the end of the request's head until the answer's head.
    pub first_byte: Duration,
    /// Between two parts of an answer's body.
    pub idle: Duration,
}

impl Default for BackendTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(85),
            idle: Duration::from_secs(300),
        }
    }
}
