//! The configuration files: as written, then checked whole.
//!
//! | step | file |
//! |---|---|
//! | text → tree of nodes that know their place | `tree` |
//! | node → typed value, or a finding | `field`, `section`, `units`, `allow` |
//! | file → checked configuration | `file`, `gateway`, `application`, `applications`, `access`, `balancing`, `brand`, `external`, `front`, `provider`, `sign_in`, `sign_on`, `connector`, `backend_tls` |
//! | what editors are told of the files | `schema`, `schema.json` |
//!
//! A reader asks its section for every key before it gives up, notes what is wrong and goes on,
//! so an operator sees all problems at once. To add a key: read it with a method of `Field` in
//! the reader of its section, take its name out of that reader's list of later keys, and describe
//! it in `schema.json`.

mod access;
mod allow;
mod application;
mod applications;
mod backend_tls;
mod balancing;
mod brand;
mod certificate;
mod client_certificates;
mod connector;
mod cors;
mod cycles;
mod described;
mod drain;
mod external;
mod field;
mod file;
mod findings;
mod front;
mod gateway;
mod guard;
mod limits;
mod log;
mod passthrough;
mod provider;
mod proxy;
mod reload;
mod schema;
mod secret;
mod section;
mod sign_in;
mod sign_on;
mod start_only;
mod translation;
mod tree;
mod tunnel;
mod units;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::model::{
    Application, Brand, CongestionControl, Endpoint, Finding, Host, LogSettings, Place, Rate,
    SessionLife, SignIn, StreamWindow,
};

/// Where a gateway's configuration is looked for.
pub const GATEWAY_FILE: &str = "/etc/appproxy/gateway.yaml";

/// Where a connector's file is where nobody says otherwise.
pub const CONNECTOR_FILE: &str = "/etc/appproxy/connector.yaml";

/// How a connector's command is to be typed for a configuration.
#[must_use]
pub fn connector_command(command: &str, file: &Path) -> String {
    if file == Path::new(CONNECTOR_FILE) {
        return command.to_owned();
    }
    format!("{command} --config {}", file.display())
}

pub use crate::model::CertificateFiles;

pub use crate::model::SecretSource;
pub use allow::{Allow, AllowHosts};
pub use backend_tls::BadPin;
pub use described::{Change, Described, What};
pub use provider::{ClientAuthentication, ClientSecret, IdentityProvider};
pub use proxy::{Proxies, ProxyConfig, ProxySetting};
pub use reload::{Reload, Sources};
pub use schema::{SchemaOf, schema};
pub use secret::SecretError;
pub use start_only::StartOnly;

/// A gateway's configuration, checked whole.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The file it was read from.
    pub file: PathBuf,
    /// Where what is looked at later stands in it.
    pub places: GatewayPlaces,
    /// The files it was read from.
    pub sources: Sources,
    /// When it is read again.
    pub reload: Reload,
    /// What is logged, how, and where to.
    pub log: LogSettings,
    /// Where the gateway listens.
    pub listen: Listen,
    /// The SQLite file of the store.
    pub store: PathBuf,
    /// The key that seals secrets in the store; without one, a file beside the store.
    pub store_key: Option<SecretSource>,
    /// Certificates for people, chosen by server name.
    pub certificates: Vec<CertificateFiles>,
    /// The files of authorities whose certificates clients may show, each once.
    pub client_authorities: Vec<AuthorityFile>,
    /// How long connectors' certificates are good for.
    pub connector_certificates: ConnectorCertificates,
    /// What an answer may have in flight in a tunnel.
    pub stream_window: StreamWindow,
    /// TCP's congestion control in tunnels; the system's default where it is absent.
    pub congestion: Option<CongestionControl>,
    /// How long a stop may take.
    pub drain: GatewayDrain,
    /// Requests of one client address that may be in tunnels at once.
    pub requests_per_address: u32,
    /// Requests of one session that may be in tunnels at once, over all applications.
    pub requests_per_session: u32,
    /// Requests that may be in tunnels at once, all together.
    pub requests_total: u32,
    /// How fast requests of one client address may come, over all applications.
    pub rate_per_address: Option<Rate>,
    /// Connections that people may have.
    pub connections: ConnectionLimits,
    /// Somebody wrote how many they may have all together.
    pub connections_are_written: bool,
    /// Who says who somebody is.
    pub identity_providers: Vec<Arc<IdentityProvider>>,
    /// Where people sign in; nobody can where it is absent.
    pub sign_in: Option<SignIn>,
    /// How long they stay signed in.
    pub session: SessionLife,
    /// Whose our own pages are, and how they look.
    pub brand: Brand,
    /// What is published.
    pub applications: Vec<Arc<Application>>,
    /// Worker threads; the number of cores where it is absent.
    pub workers: Option<NonZeroUsize>,
}

/// How many connections people may have; tunnels do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// All together.
    pub total: u32,
    /// From one address, or one IPv6 subnet (/64).
    pub per_address: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            // Under the descriptors a service may have by default (524,288 with systemd), and what
            // this many idle connections need of memory is found on a small machine.
            total: 20_000,
            // An office of hundreds behind one address: a browser has one HTTP/2 connection a host,
            // or six of HTTP/1.1, and what is idle makes room.
            per_address: 1000,
        }
    }
}

/// How long connectors' certificates are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectorCertificates {
    /// From issue to end; a connector renews at two thirds of it.
    pub life: Duration,
    /// How long after its end a connector may still renew by proof of its key.
    pub renewal_grace: Duration,
}

impl ConnectorCertificates {
    /// How long two authorities overlap: as long as a connector may be off at any time without
    /// needing hands. That is the third of its life a certificate still has when it is renewed, and
    /// the grace after it.
    #[must_use]
    pub fn overlap(&self) -> Duration {
        self.life / 3 + self.renewal_grace
    }
}

impl Default for ConnectorCertificates {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            life: DAY * 90,
            renewal_grace: DAY * 30,
        }
    }
}

/// How a gateway stops. Both count from the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayDrain {
    /// How long clients are told to go elsewhere while everything is still served.
    pub notice: Duration,
    /// When what is still in flight is cut; longer than the notice.
    pub deadline: Duration,
}

impl Default for GatewayDrain {
    fn default() -> Self {
        Self {
            notice: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
        }
    }
}

/// How a connector stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectorDrain {
    /// When, from the signal on, what is still in flight is cut.
    pub deadline: Duration,
}

impl Default for ConnectorDrain {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
        }
    }
}

/// Where the keys stand whose values show only at the start whether they can be used.
#[derive(Debug, Clone)]
pub struct GatewayPlaces {
    /// `listen`.
    pub listen: Place,
    /// `log`; the whole file where it is absent.
    pub log: Place,
    /// `store`.
    pub store: Place,
    /// `store_key`, or `store` where it is absent.
    pub store_key: Place,
}

/// A gateway's file as far as it can be read, so that what it names can be looked at whatever
/// else is wrong with it.
#[derive(Debug)]
pub struct GatewayReading {
    /// The configuration, or every problem found, sorted by place; never an empty list.
    pub config: Result<GatewayConfig, Vec<Finding>>,
    /// The certificates it names.
    pub certificates: Vec<CertificateFiles>,
}

/// Where a gateway listens.
#[derive(Debug, Clone)]
pub struct Listen {
    /// For people and connectors, over TLS.
    pub https: Vec<SocketAddr>,
    /// For redirects to https, and for applications published with http.
    pub http: Vec<SocketAddr>,
    /// For connectors alone, where a device that does not pass their TLS owns the https port.
    pub tunnel: Vec<SocketAddr>,
    /// Sources that pass connections on, whose PROXY header says for whom.
    pub proxy_protocol: Vec<IpNet>,
    /// Where connectors dial; printed into tokens.
    pub public: Vec<Endpoint>,
    /// Metrics and health, over plain HTTP; nowhere where it is absent.
    pub metrics: Option<SocketAddr>,
    /// A socket file at which the gateway takes orders; beside the store where it is absent.
    pub admin: Option<PathBuf>,
}

/// A connector's configuration, checked whole.
#[derive(Debug, Clone)]
pub struct ConnectorConfig {
    /// The file it was read from.
    pub file: PathBuf,
    /// What is logged, how, and where to.
    pub log: LogSettings,
    /// Gateways to dial, beside those kept in the state.
    pub gateways: Vec<Endpoint>,
    /// Whether gateways that these name are dialled too. A connector in its gateway's own process has
    /// no use for them.
    pub follows_gateways: bool,
    /// The folder of identity and gateway list.
    pub state: PathBuf,
    /// What the connector may reach; empty reaches nothing.
    pub allow: Vec<Allow>,
    /// Connections to each gateway, on each of its addresses.
    pub connections: Connections,
    /// What a request may have in flight in a tunnel.
    pub stream_window: StreamWindow,
    /// TCP's congestion control in tunnels; the system's default where it is absent.
    pub congestion: Option<CongestionControl>,
    /// How long a stop may take.
    pub drain: ConnectorDrain,
    /// The proxy on the way to gateways.
    pub tunnel_proxy: ProxySetting,
    /// The proxy on the way to applications.
    pub backend_proxy: ProxySetting,
    /// How applications are known over TLS; the first that names a target counts for it.
    pub backend_tls: Vec<BackendTls>,
    /// Names.
    pub dns: Dns,
    /// Metrics, health and status, over plain HTTP; over the socket in the state alone where it is
    /// absent.
    pub metrics: Option<SocketAddr>,
    /// Worker threads; the number of cores where it is absent.
    pub workers: Option<NonZeroUsize>,
}

/// A connector's file as far as it can be read, so that what it names can be looked at whatever
/// else is wrong with it.
#[derive(Debug)]
pub struct ConnectorReading {
    /// The configuration, or every problem found, sorted by place; never an empty list.
    pub config: Result<ConnectorConfig, Vec<Finding>>,
    /// The entries of `backend_tls` that make sense.
    pub backend_tls: Vec<BackendTls>,
}

/// How some applications are known over TLS, and what they are shown. It is the connector's own
/// word: a gateway that is taken over cannot have a certificate passed over.
#[derive(Debug, Clone)]
pub struct BackendTls {
    /// Where it stands.
    pub place: Place,
    /// For which targets, by the name or address an internal URL has.
    pub hosts: Vec<Allow>,
    /// The authorities to trust in place of the system's.
    pub ca: Option<AuthorityFile>,
    /// Public keys, one of which the application must have; any where it is empty.
    pub pins: Vec<SpkiPin>,
    /// The name to ask for and to find in the certificate, in place of the target's.
    pub server_name: Option<Host>,
    /// What the application is shown where it asks for a certificate.
    pub client_certificate: Option<CertificateFiles>,
    /// What has to be right.
    pub validate: Validate,
}

/// What of an application's certificate has to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Validate {
    /// Issuer, dates and name, and the public key where pins are written.
    #[default]
    Certificate,
    /// The public key alone, by the pins.
    Pins,
    /// Nothing: whoever answers is believed.
    Nothing,
}

/// A file of certificates of authorities.
#[derive(Debug, Clone)]
pub struct AuthorityFile {
    /// The file, PEM.
    pub file: PathBuf,
    /// Where it is named.
    pub place: Place,
}

/// The SHA-256 of a public key, as its `SubjectPublicKeyInfo` has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpkiPin(pub [u8; 32]);

/// How many connections a connector keeps on each way to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// So many at all times.
    pub least: u8,
    /// Up to so many while load asks for them; never fewer than `least`.
    pub most: u8,
}

/// How a connector resolves names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Name servers; the system's where empty.
    pub servers: Vec<SocketAddr>,
    /// Names with fixed addresses, by their normal form.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}
