//! Asks name servers. The search list is walked here, so that "does not exist" under one name never
//! hides a name server that failed under another.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::resolve::ResolveError;

/// How long one question to a name server may take. The library asks twice, so a silent server
/// costs twice this: less than the patience of whoever waits for a page.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the library calls attempts are repetitions after the first question.
const REPETITIONS: usize = 1;

/// How long a received IPv4 answer waits for the IPv6 one (RFC 8305, section 3): some name servers
/// never answer questions for AAAA.
const AAAA_DELAY: Duration = Duration::from_millis(50);

/// That a name does not exist, or has no address, is believed for so long at most, whatever its zone
/// says: a name that is made right now is waited for.
const NEGATIVE_MOST: Duration = Duration::from_secs(30);

/// Asks name servers, and remembers what they said.
pub(super) struct Dns {
    pub(super) asker: TokioResolver,
    search: Vec<Name>,
    ndots: usize,
    servers: String,
}

impl Dns {
    pub(super) fn new(
        config: ResolverConfig,
        mut options: ResolverOpts,
        timeout: Duration,
    ) -> Result<Self, String> {
        let mut search = config.search().to_vec();
        if search.is_empty() {
            search.extend(config.domain().cloned());
        }
        // `search .` means no suffix, which is tried anyway.
        search.retain(|suffix| !suffix.is_root());
        let servers: Vec<_> = config
            .name_servers()
            .iter()
            .map(|server| match server.connections.first() {
                Some(connection) => SocketAddr::new(server.ip, connection.port).to_string(),
                None => server.ip.to_string(),
            })
            .collect();
        let ndots = options.ndots;
        options.timeout = timeout;
        options.attempts = REPETITIONS;
        options.negative_max_ttl = Some(NEGATIVE_MOST);
        // The library takes one family from the file and asks the DNS for the other.
        options.use_hosts_file = ResolveHosts::Never;
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self {
            asker: builder.build().map_err(|error| error.to_string())?,
            search,
            ndots,
            servers: servers.join(", "),
        })
    }

    /// Walks the search list as resolv.conf(5) has it. A failure under one name does not end the
    /// walk, and is what is reported in the end unless a later name has addresses.
    pub(super) async fn ask(&self, name: &str, parsed: Name) -> Result<Vec<IpAddr>, ResolveError> {
        let mut worst = ResolveError::NotFound {
            name: name.to_owned(),
        };
        for candidate in self.candidates(parsed) {
            match self.ask_exactly(name, candidate).await {
                Ok(addresses) => return Ok(addresses),
                Err(error) if error.weight() > worst.weight() => worst = error,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    fn candidates(&self, name: Name) -> Vec<Name> {
        let absolute_first = usize::from(name.num_labels()) > self.ndots;
        let suffixed = self
            .search
            .iter()
            // A name that grows past 255 octets is no candidate.
            .filter_map(|suffix| name.clone().append_domain(suffix).ok());
        let mut all: Vec<Name> = suffixed.collect();
        all.insert(if absolute_first { 0 } else { all.len() }, name.clone());
        for candidate in &mut all {
            candidate.set_fqdn(true);
        }
        all
    }

    async fn ask_exactly(&self, name: &str, fqdn: Name) -> Result<Vec<IpAddr>, ResolveError> {
        let v4 = self.records(name, fqdn.clone(), RecordType::A);
        let v6 = self.records(name, fqdn, RecordType::AAAA);
        tokio::pin!(v4, v6);
        let (v4, v6) = tokio::select! {
            v4 = &mut v4 => match v4 {
                // That there is none is a word on the whole name too (RFC 8020).
                v4 @ (Ok(_) | Err(ResolveError::NotFound { .. })) => {
                    match tokio::time::timeout(AAAA_DELAY, v6).await {
                        Ok(v6) => (v4, v6),
                        Err(_) => return v4,
                    }
                }
                v4 => (v4, v6.await),
            },
            // Some name servers say NXDOMAIN to AAAA where the name has an IPv4 address (RFC 4074
            // section 4.2).
            v6 = &mut v6 => (v4.await, v6),
        };
        match (v4, v6) {
            (Ok(v4), Ok(mut v6)) => {
                v6.extend(v4);
                Ok(v6)
            }
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(v4), Err(v6)) if v6.weight() > v4.weight() => Err(v6),
            (Err(v4), Err(_)) => Err(v4),
        }
    }

    async fn records(
        &self,
        name: &str,
        fqdn: Name,
        kind: RecordType,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let lookup = self
            .asker
            .lookup(fqdn, kind)
            .await
            .map_err(|error| self.explain(name, &error))?;
        // CNAMEs on the way are answers too.
        let addresses = lookup.answers().iter().filter_map(|r| r.data.ip_addr());
        some(addresses.collect(), name)
    }

    /// The name that this one is an alias of (CNAME), where it is one.
    pub(super) async fn alias(&self, mut fqdn: Name) -> Option<String> {
        fqdn.set_fqdn(true);
        let lookup = self.asker.lookup(fqdn, RecordType::CNAME).await.ok()?;
        lookup
            .answers()
            .iter()
            .find_map(|record| match &record.data {
                RData::CNAME(to) => Some(to.to_utf8().trim_end_matches('.').to_owned()),
                _ => None,
            })
    }

    fn explain(&self, name: &str, error: &NetError) -> ResolveError {
        let name = name.to_owned();
        let servers = self.servers.clone();
        match error {
            NetError::Dns(DnsError::NoRecordsFound(_)) if error.is_nx_domain() => {
                ResolveError::NotFound { name }
            }
            NetError::Dns(DnsError::NoRecordsFound(_)) => ResolveError::NoAddress { name },
            NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => {
                ResolveError::Refused { name, servers }
            }
            NetError::Dns(DnsError::ResponseCode(code)) => ResolveError::Failed {
                name,
                servers,
                why: format!("the name server answered \"{code}\""),
            },
            NetError::Timeout => ResolveError::Timeout { name, servers },
            other => ResolveError::Failed {
                name,
                servers,
                why: other.to_string(),
            },
        }
    }
}

/// A name server at a port of its own.
pub(super) fn name_server(server: SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    config.connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    config
}

/// Addresses of this name, of which there must be one.
pub(super) fn some(addresses: Vec<IpAddr>, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    if addresses.is_empty() {
        return Err(ResolveError::NoAddress {
            name: name.to_owned(),
        });
    }
    Ok(addresses)
}
