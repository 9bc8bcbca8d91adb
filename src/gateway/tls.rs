//! TLS for people: certificates chosen by server name.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certs::{self, ClientAuthorities, LoadedCertificate};
use crate::model::{Host, HostPattern};

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
        let mut by_name = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            first,
        };
        for certificate in certificates {
            for name in &certificate.names {
                let (names, key) = match name {
                    HostPattern::Exact(host) => (&mut by_name.exact, host.to_string()),
                    HostPattern::Wildcard { suffix } => (&mut by_name.wildcard, suffix.to_string()),
                };
                names
                    .entry(key)
                    .or_insert_with(|| Arc::clone(&certificate.key));
            }
        }
        Some(by_name)
    }

    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let host = Host::parse(name).ok()?;
        let name = host.name()?;
        self.exact
            .get(name)
            .or_else(|| self.wildcard.get(name.split_once('.')?.1))
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
        f.debug_set()
            .entries(self.exact.keys())
            .entries(self.wildcard.keys())
            .finish()
    }
}

/// TLS 1.2 and 1.3 for people. SECURITY: who is asked for a certificate has a configuration of their own,
/// and with it sessions that are resumed nowhere else (DESIGN 8, rule 19).
#[derive(Debug)]
pub(crate) struct People {
    /// Where clients are asked for nothing.
    usual: Offers,
    /// Where they are asked for certificates of the authorities in this file.
    asking: HashMap<PathBuf, Offers>,
}

#[derive(Debug)]
struct Offers {
    /// HTTP/2 and HTTP/1.1.
    usual: Arc<ServerConfig>,
    /// HTTP/1.1 alone: requests one after the other, for applications that sign connections in.
    http1: Arc<ServerConfig>,
}

impl People {
    /// With these certificates.
    pub(crate) fn new(
        certificates: ByName,
        authorities: &[Arc<ClientAuthorities>],
    ) -> Result<Self, rustls::Error> {
        let certificates = Arc::new(certificates);
        let asking = authorities.iter().map(|one| {
            let offers = Offers::new(&certificates, Some(one))?;
            Ok((one.file.clone(), offers))
        });
        Ok(Self {
            asking: asking.collect::<Result<_, rustls::Error>>()?,
            usual: Offers::new(&certificates, None)?,
        })
    }

    /// What a connection is offered that is asked for certificates of the authorities in `ca`; `None`: there
    /// are none.
    pub(crate) fn offer(&self, http1_alone: bool, ca: Option<&Path>) -> Option<Arc<ServerConfig>> {
        let offers = match ca {
            None => &self.usual,
            Some(ca) => self.asking.get(ca)?,
        };
        Some(Arc::clone(match http1_alone {
            true => &offers.http1,
            false => &offers.usual,
        }))
    }
}

impl Offers {
    fn new(
        certificates: &Arc<ByName>,
        authorities: Option<&Arc<ClientAuthorities>>,
    ) -> Result<Self, rustls::Error> {
        let usual = for_people(certificates, authorities)?;
        let mut http1 = usual.clone();
        http1.alpn_protocols.retain(|protocol| protocol != b"h2");
        // A ticket of one is worth nothing to the other.
        http1.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS);
        Ok(Self {
            usual: Arc::new(usual),
            http1: Arc::new(http1),
        })
    }
}

/// Sessions of TLS 1.2 that are remembered, as many as rustls does by itself.
const SESSIONS: usize = 256;

fn for_people(
    certificates: &Arc<ByName>,
    authorities: Option<&Arc<ClientAuthorities>>,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => builder.with_client_cert_verifier(authorities.asking()),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificates) as _);
    // A client that speaks nothing newer offers `http/1.0` alone (`curl --http1.0` does).
    config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"]
        .map(<[u8]>::to_vec)
        .into();
    Ok(config)
}
