//! The configuration files: as written, then checked whole.
//!
//! | step | file |
//! |---|---|
//! | text → tree of nodes that know their place | `tree` |
//! | node → typed value, or a finding | `field`, `section`, `units`, `allow` |
//! | file → checked configuration | `file`, `gateway`, `application`, `applications`, `connector` |
//!
//! A reader asks its section for every key before it gives up, notes what is wrong and goes on,
//! so an operator sees all problems at once. To add a key: read it with a method of `Field` in
//! the reader of its section, and take its name out of that reader's list of later keys.

mod allow;
mod application;
mod applications;
mod connector;
mod field;
mod file;
mod findings;
mod gateway;
mod proxy;
mod secret;
mod section;
mod tree;
mod units;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::model::{Application, Endpoint, Finding, Host, Place};

pub use crate::model::CertificateFiles;

pub use proxy::{Proxies, ProxyConfig, ProxySetting};
pub use secret::{SecretError, SecretSource};

/// A gateway's configuration, checked whole.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The file it was read from.
    pub file: PathBuf,
    /// Where what is looked at later stands in it.
    pub places: GatewayPlaces,
    /// Where the gateway listens.
    pub listen: Listen,
    /// The SQLite file of the store.
    pub store: PathBuf,
    /// The key that seals secrets in the store; without one, a file beside the store.
    pub store_key: Option<SecretSource>,
    /// Certificates for people, chosen by server name.
    pub certificates: Vec<CertificateFiles>,
    /// How long connectors' certificates are good for.
    pub connector_certificates: ConnectorCertificates,
    /// What is published.
    pub applications: Vec<Arc<Application>>,
    /// Worker threads; the number of cores where it is absent.
    pub workers: Option<NonZeroUsize>,
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

/// Where the keys stand whose values show only at the start whether they can be used.
#[derive(Debug, Clone)]
pub struct GatewayPlaces {
    /// `listen`.
    pub listen: Place,
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
    /// Where connectors dial; printed into tokens.
    pub public: Vec<Endpoint>,
}

/// A connector's configuration, checked whole.
#[derive(Debug, Clone)]
pub struct ConnectorConfig {
    /// The file it was read from.
    pub file: PathBuf,
    /// Gateways to dial; where empty, those kept in the state.
    pub gateways: Vec<Endpoint>,
    /// The folder of identity and gateway list.
    pub state: PathBuf,
    /// What the connector may reach; empty reaches nothing.
    pub allow: Vec<Allow>,
    /// Connections to each gateway.
    pub connections: u8,
    /// The proxy on the way to gateways.
    pub tunnel_proxy: ProxySetting,
    /// The proxy on the way to applications.
    pub backend_proxy: ProxySetting,
    /// Names.
    pub dns: Dns,
    /// Worker threads; the number of cores where it is absent.
    pub workers: Option<NonZeroUsize>,
}

/// One line of the connector's allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// Which hosts.
    pub hosts: AllowHosts,
    /// Which port.
    pub port: u16,
}

/// The hosts of one line of the allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowHosts {
    /// This name or address.
    Exact(Host),
    /// Every name that ends in a dot and this suffix.
    Below(Arc<str>),
    /// Every address of this network.
    Network(IpNet),
}

/// How a connector resolves names.
#[derive(Debug, Clone, Default)]
pub struct Dns {
    /// Name servers; the system's where empty.
    pub servers: Vec<SocketAddr>,
    /// Names with fixed addresses, by their normal form.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}
