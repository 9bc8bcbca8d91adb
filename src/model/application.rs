//! A published application.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::bearer::Bearer;
use super::client_certificate::ClientCertificates;
use super::front::Front;
use super::guard::{AmbiguousPath, Guard, GuardedPaths, PreAuthentication};
use super::ids::{ApplicationName, GroupName};
use super::link_translation::LinkTranslation;
use super::sign_on::SignOn;
use super::url::{ExternalUrl, InternalUrl, PathPrefix};

/// One published thing: where people open it, where the connector finds it, who may use it, how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its name, unique in the configuration.
    pub name: ApplicationName,
    /// What the gateway understands of it.
    pub mode: Mode,
    /// Where people open it.
    pub external: ExternalUrl,
    /// Where they find it as well, each with the path of the first: who uses one of these stays there.
    pub alternates: Vec<ExternalUrl>,
    /// Where the connector finds it.
    pub internal: InternalUrls,
    /// Which connectors may carry its requests.
    pub connectors: Connectors,
    /// What stands in front of it.
    pub guard: Guard,
    /// Paths of it that have guards of their own.
    pub paths: GuardedPaths,
    /// Which access tokens programs may come with.
    pub bearer: Arc<Bearer>,
    /// How its clients show certificates; `None`: they are asked for none.
    pub client_certificates: Option<Arc<ClientCertificates>>,
    /// What it is told of whoever signed in.
    pub sign_on: SignOn,
    /// What it is for, as people are told.
    pub description: Option<Arc<str>>,
    /// What the application sees as `Host`.
    pub host_header: HostHeader,
    /// What is rewritten in its answers.
    pub link_translation: LinkTranslation,
    /// How long the connector waits for it.
    pub timeouts: BackendTimeouts,
    /// What the connector speaks with it.
    pub backend_protocol: BackendProtocol,
    /// It signs connections in (NTLM), and not requests: each connection of a client has one to it.
    pub connection_authentication: bool,
    /// In which way a connection to it says first whose it is; `None`: it says nothing.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// By what a visitor stays with one connector and one internal URL; `None`: by nothing.
    pub affinity: Option<Affinity>,
    /// How it is asked whether it is alive; `None`: it is not asked, visitors find out.
    pub health_check: Option<HealthCheck>,
    /// How many requests it may have in tunnels at once.
    pub limits: ApplicationLimits,
    /// What the gateway itself does and says for it.
    pub front: Front,
}

impl Application {
    /// What stands in front of a path of it; `folded` is the path as servers may read it that do not tell
    /// letters, parameters and empty segments apart.
    ///
    /// # Errors
    /// Where two guards might be meant.
    pub fn guard_of(
        &self,
        path: &str,
        folded: impl FnOnce() -> String,
    ) -> Result<&Guard, AmbiguousPath> {
        self.paths.of(&self.guard, path, folded)
    }

    /// Everything that stands in front of a part of it.
    pub fn guards(&self) -> impl Iterator<Item = &Guard> {
        let paths = self.paths.all().iter().map(|one| &one.guard);
        std::iter::once(&self.guard).chain(paths)
    }

    /// Whether this is a method of any of its parts.
    #[must_use]
    pub fn has(&self, method: PreAuthentication) -> bool {
        self.guards().any(|guard| guard.has(method))
    }

    /// Whether anybody is told apart before anything reaches a part of it, or by it.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        if self.client_certificates.is_some() {
            return true;
        }
        let open = PreAuthentication::Passthrough;
        let mut methods = self.guards().flat_map(|guard| &guard.pre_authentication);
        methods.any(|method| *method != open)
    }

    /// Whether somebody may have to sign in before anything reaches it.
    #[must_use]
    pub fn signs_in(&self) -> bool {
        self.has(PreAuthentication::Oidc)
    }

    /// Whether the path of a request decides anything: it is not all of its host, or it is not guarded
    /// alike everywhere.
    #[must_use]
    pub fn goes_by_path(&self) -> bool {
        !self.internal.path().is_root()
            || !self.external.path.is_root()
            || !self.paths.all().is_empty()
            || self.guards().any(|guard| guard.access.needs_path())
    }

    /// Every URL under which people find it, first choice first.
    pub fn external_urls(&self) -> impl Iterator<Item = &ExternalUrl> {
        std::iter::once(&self.external).chain(&self.alternates)
    }
}

/// What the gateway understands of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Its requests and answers.
    #[default]
    Http,
    /// The server name that its clients say in the TLS handshake, and nothing behind it: TLS ends at the
    /// application.
    TlsPassthrough,
}

/// Equal copies of one application: all have the same path. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalUrls(Arc<[InternalUrl]>);

impl InternalUrls {
    /// Takes the copies; `None` where there is none, or their paths differ.
    #[must_use]
    pub fn new(urls: Vec<InternalUrl>) -> Option<Self> {
        let first = urls.first()?;
        let same = urls.iter().all(|url| url.path == first.path);
        same.then(|| Self(urls.into()))
    }

    /// All copies, as they are written.
    #[must_use]
    pub fn all(&self) -> &[InternalUrl] {
        &self.0
    }

    /// The path that stands for the external one.
    #[must_use]
    pub fn path(&self) -> &PathPrefix {
        &self.0[0].path
    }
}

/// By what a visitor stays with one connector and one internal URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// A cookie of the gateway's.
    Cookie,
    /// The visitor's address.
    Address,
}

/// How an application is asked whether it is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for with GET, path and query; `None`: a connection is enough.
    pub path: Option<Arc<str>>,
    /// From one question to the next.
    pub interval: Duration,
    /// For connection and answer together.
    pub timeout: Duration,
    /// The answers of one that is alive; empty: any below 500.
    pub status: Vec<u16>,
}

/// How much an application may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApplicationLimits {
    /// All requests together.
    pub requests: RequestLimit,
    /// Those of one client address; `None`: only the gateway's own limit counts.
    pub per_address: Option<u32>,
    /// How fast requests may come, all together.
    pub rate: Option<Rate>,
    /// How fast those of one client address may; beside the gateway's own limit.
    pub rate_per_address: Option<Rate>,
    /// Octets of a request's body; `None`: as many as there are.
    pub body: Option<u64>,
}

/// So many requests in so long a time; as many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub requests: NonZeroU32,
    /// In how long.
    pub per: RateUnit,
}

/// What rates are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateUnit {
    /// One second.
    Second,
    /// One minute.
    Minute,
    /// One hour.
    Hour,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            RateUnit::Second => "s",
            RateUnit::Minute => "m",
            RateUnit::Hour => "h",
        };
        write!(f, "{}/{per}", self.requests)
    }
}

/// How many requests at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestLimit {
    /// So many of a hundred places that the tunnels of a group have.
    Share(u8),
    /// So many, whatever the tunnels have.
    Count(u32),
}

impl Default for RequestLimit {
    /// A fifth of the places stays for others, however slow one application becomes. A share and
    /// not a number, since places come with connectors and their tunnels.
    fn default() -> Self {
        Self::Share(80)
    }
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

/// What the connector speaks with an application. A WebSocket is always HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2. With https it is agreed on in the TLS handshake, and HTTP/1.1 where the application
    /// does not choose it; with http it is spoken without asking (h2c, RFC 9113 section 3.3).
    Http2,
}

/// A version of the PROXY protocol, in which a connection says first whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// A block of octets.
    V2,
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
