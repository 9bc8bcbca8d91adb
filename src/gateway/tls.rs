//! TLS for each kind of client: certificates for people are chosen by server name, those for
//! connectors are our own.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::StartError;
use crate::certs::{self, Authority, LoadedCertificate};
use crate::clock::Clock;
use crate::model::{Host, HostPattern};
use crate::tunnel;

/// Certificates by name.
pub(crate) struct ByName {
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// For a client that sends no name, or one no certificate covers: it gets a clear warning from
    /// its browser instead of a broken connection.
    first: Arc<CertifiedKey>,
}

impl ByName {
    /// `None` without a certificate. Of two for one name the first in the configuration counts.
    pub(crate) fn new(certificates: &[LoadedCertificate]) -> Option<Self> {
        let first = Arc::clone(&certificates.first()?.key);
        let mut by_name = Self { exact: HashMap::new(), wildcard: HashMap::new(), first };
        for certificate in certificates {
            for name in &certificate.names {
                let (names, key) = match name {
                    HostPattern::Exact(host) => (&mut by_name.exact, host.to_string()),
                    HostPattern::Wildcard { suffix } => (&mut by_name.wildcard, suffix.to_string()),
                };
                names.entry(key).or_insert_with(|| Arc::clone(&certificate.key));
            }
        }
        Some(by_name)
    }

    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let host = Host::parse(name).ok()?;
        let name = host.name()?;
        self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.of(name));
        Some(Arc::clone(named.unwrap_or(&self.first)))
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.exact.keys()).entries(self.wildcard.keys()).finish()
    }
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
fn for_people(certificates: ByName) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The TLS of each kind of client on the one public port.
pub(crate) struct Configs {
    people: Arc<ServerConfig>,
    own: ArcSwap<Own>,
}

/// What stands on the gateway's own certificate, which it renews itself.
struct Own {
    tunnel: Arc<ServerConfig>,
    enrol: Arc<ServerConfig>,
}

impl Own {
    fn new(authority: &Authority, clock: &Clock) -> Result<Self, StartError> {
        let key = authority.issue_gateway(clock.now())?;
        Ok(Self {
            tunnel: Arc::new(tunnel::tls::gateway_tunnel(authority, Arc::clone(&key))?),
            enrol: Arc::new(tunnel::tls::gateway_enrol(key)?),
        })
    }
}

impl Configs {
    pub(crate) fn new(people: ByName, authority: &Authority, clock: &Clock) -> Result<Self, StartError> {
        Ok(Self {
            people: for_people(people)?,
            own: ArcSwap::from_pointee(Own::new(authority, clock)?),
        })
    }

    /// For browsers and programs.
    pub(crate) fn people(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.people)
    }

    /// For connectors: with our own certificate, and none of theirs means no connection.
    pub(crate) fn tunnel(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.own.load().tunnel)
    }

    /// For those about to become connectors.
    pub(crate) fn enrol(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.own.load().enrol)
    }

    /// Takes a fresh certificate of our own into service; connections keep what they began with.
    pub(crate) fn reissue(&self, authority: &Authority, clock: &Clock) -> Result<(), StartError> {
        self.own.store(Arc::new(Own::new(authority, clock)?));
        Ok(())
    }
}

impl fmt::Debug for Configs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configs").finish_non_exhaustive()
    }
}
