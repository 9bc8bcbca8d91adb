//! Names to addresses, without the system's `getaddrinfo`: in a static binary it loads the host's
//! modules and may crash.
//!
//! The order is: literal addresses, `localhost`, fixed hosts, the system's hosts file, DNS.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::proto::rr::Name;
use tokio::time::Instant;

use super::dns::{Dns, QUERY_TIMEOUT, name_server, some};
use super::system::{Files, LOOK, Mark, System};
use crate::model::Host;

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// NXDOMAIN under every name tried.
    #[error("the name `{name}` does not exist (name server's answer: NXDOMAIN)")]
    NotFound {
        /// The name that was asked for.
        name: String,
    },
    /// The name exists and has neither A nor AAAA records.
    #[error("the name `{name}` exists but has no address")]
    NoAddress {
        /// The name that was asked for.
        name: String,
    },
    /// No name server answered in time.
    #[error("no name server answered for `{name}` in time (asked: {servers})")]
    Timeout {
        /// The name that was asked for.
        name: String,
        /// The servers, separated by commas.
        servers: String,
    },
    /// The name server will not answer us.
    #[error("the name server refuses to answer for `{name}` (asked: {servers})")]
    Refused {
        /// The name that was asked for.
        name: String,
        /// The servers, separated by commas.
        servers: String,
    },
    /// SERVFAIL, a malformed answer, or the server cannot be reached.
    #[error("the name `{name}` could not be looked up: {why} (asked: {servers})")]
    Failed {
        /// The name that was asked for.
        name: String,
        /// The servers, separated by commas.
        servers: String,
        /// What happened.
        why: String,
    },
    /// There is no name server to ask.
    #[error(
        "the name `{name}` could not be looked up: there is no name server to ask ({why}); set dns.servers, or give the name an address in dns.hosts"
    )]
    NoServers {
        /// The name that was asked for.
        name: String,
        /// Why there is none.
        why: String,
    },
}

/// Resolves names; cheap to clone, the clones share one cache.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    fixed: BTreeMap<String, Vec<IpAddr>>,
    /// Those to ask, where the operator named some.
    servers: Vec<SocketAddr>,
    query_timeout: Duration,
    /// None where the system is a test's, and stays as it is.
    files: Option<Files>,
    seen: Mutex<Seen>,
}

/// The system as it was read last.
struct Seen {
    view: Arc<View>,
    mark: Option<Mark>,
    looked: Instant,
}

/// How names are looked up.
struct View {
    system: System,
    /// The asker, or why there is none.
    dns: Result<Arc<Dns>, String>,
}

impl Resolver {
    /// Asks `servers`, or those of the system where there are none; `hosts` are names in normal
    /// form with fixed addresses, which win over everything but `localhost`.
    ///
    /// Search list, `ndots`, name servers and hosts file are the system's, and are read again where
    /// its files change. A system without name servers is not an error here: names that need one get
    /// [`ResolveError::NoServers`].
    #[must_use]
    pub fn new(servers: &[SocketAddr], hosts: BTreeMap<String, Vec<IpAddr>>) -> Self {
        Self::following(servers, hosts, Files::of_system(), QUERY_TIMEOUT)
    }

    fn following(
        servers: &[SocketAddr],
        fixed: BTreeMap<String, Vec<IpAddr>>,
        files: Files,
        query_timeout: Duration,
    ) -> Self {
        let seen = Seen {
            mark: Some(files.mark()),
            view: Arc::new(View::new(files.read(), servers, query_timeout)),
            looked: Instant::now(),
        };
        Self {
            inner: Arc::new(Inner {
                fixed,
                servers: servers.to_vec(),
                query_timeout,
                files: Some(files),
                seen: Mutex::new(seen),
            }),
        }
    }

    /// Whether the operator fixed the addresses of this name.
    #[must_use]
    pub fn is_fixed(&self, name: &str) -> bool {
        self.inner.fixed.contains_key(name)
    }

    /// The name that this one is an alias of (CNAME), where the DNS says so: what an alias leads to may be
    /// gone, and the alias be left.
    pub async fn alias(&self, name: &str) -> Option<String> {
        let parsed = Name::from_ascii(name).ok()?;
        let view = self.inner.view();
        view.dns.as_ref().ok()?.alias(parsed).await
    }

    /// The addresses of a host, in the order of preference; never empty.
    ///
    /// # Errors
    /// Where the host has no address, or nobody could say.
    pub async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, ResolveError> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => &**name,
        };
        // RFC 6761, section 6.3: nobody else may say where localhost is.
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        if let Some(fixed) = self.inner.fixed.get(name) {
            return some(fixed.clone(), name);
        }
        let parsed = Name::from_ascii(name).map_err(|error| ResolveError::Failed {
            name: name.to_owned(),
            servers: "none".to_owned(),
            why: error.to_string(),
        })?;
        let view = self.inner.view();
        let listed = view.system.listed(&parsed);
        if !listed.is_empty() {
            return Ok(listed);
        }
        match &view.dns {
            Ok(dns) => dns.ask(name, parsed).await,
            Err(why) => Err(ResolveError::NoServers {
                name: name.to_owned(),
                why: why.clone(),
            }),
        }
    }
}

impl Inner {
    /// How names are looked up now. Another view has a cache of its own: what was true in another
    /// network is forgotten.
    fn view(&self) -> Arc<View> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &self.files
            && seen.looked.elapsed() >= LOOK
        {
            seen.looked = Instant::now();
            let mark = Some(files.mark());
            if mark != seen.mark {
                let mut view = View::new(files.read(), &self.servers, self.query_timeout);
                if view.dns.is_err() && seen.view.dns.is_ok() {
                    // It may be half written, or empty while the network changes.
                    view.dns.clone_from(&seen.view.dns);
                }
                tracing::info!(
                    "the system's name servers or hosts have changed and were read again"
                );
                (seen.view, seen.mark) = (Arc::new(view), mark);
            }
        }
        Arc::clone(&seen.view)
    }
}

impl View {
    fn new(mut system: System, servers: &[SocketAddr], timeout: Duration) -> Self {
        let configured: Vec<_> = servers.iter().map(|&server| name_server(server)).collect();
        let config = std::mem::replace(&mut system.config, Err(String::new()));
        let dns = match (config, configured.is_empty()) {
            (Ok((config, options)), true) => Dns::new(config, options, timeout),
            (Ok((config, options)), false) => {
                let (domain, search, _) = config.into_parts();
                let config = ResolverConfig::from_parts(domain, search, configured);
                Dns::new(config, options, timeout)
            }
            (Err(_), false) => Dns::new(
                ResolverConfig::from_name_servers(configured),
                ResolverOpts::default(),
                timeout,
            ),
            (Err(why), true) => Err(why),
        };
        Self {
            system,
            dns: dns.map(Arc::new),
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl ResolveError {
    /// Which of two failures says more about what is wrong.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 0,
            Self::NoAddress { .. } => 1,
            Self::Refused { .. } => 2,
            Self::Failed { .. } => 3,
            Self::Timeout { .. } => 4,
            Self::NoServers { .. } => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::{Hosts, system_conf};

    use super::*;
    use crate::net::testing::{DnsServer, Reply};

    impl Resolver {
        /// Asks one server of a test: a hosts file and a search list from text, a short timeout.
        pub(crate) fn for_test(server: SocketAddr, conf: &str, hosts: &str) -> Self {
            let mut hosts_file = Hosts::default();
            hosts_file.read_hosts_conf(hosts.as_bytes()).unwrap();
            let system = System {
                config: Ok(system_conf::parse_resolv_conf(conf).unwrap()),
                hosts_file,
            };
            let query_timeout = Duration::from_millis(500);
            let seen = Seen {
                view: Arc::new(View::new(system, &[server], query_timeout)),
                mark: None,
                looked: Instant::now(),
            };
            Self {
                inner: Arc::new(Inner {
                    fixed: BTreeMap::new(),
                    servers: vec![server],
                    query_timeout,
                    files: None,
                    seen: Mutex::new(seen),
                }),
            }
        }
    }

    /// The files of a system.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// Replaces one as a whole, as those who write them do.
        fn write(&self, name: &str, text: &str) {
            let new = self.0.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, self.0.path().join(name)).unwrap();
        }

        fn resolver(
            &self,
            servers: &[SocketAddr],
            fixed: BTreeMap<String, Vec<IpAddr>>,
        ) -> Resolver {
            let files = Files {
                resolv_conf: self.0.path().join("resolv.conf"),
                hosts: self.0.path().join("hosts"),
            };
            Resolver::following(servers, fixed, files, Duration::from_millis(500))
        }
    }

    /// Lets time pass to the next look at the files.
    async fn later() {
        tokio::time::pause();
        tokio::time::advance(LOOK).await;
        tokio::time::resume();
    }

    const CONF: &str = "nameserver 192.0.2.53\nsearch corp.test\noptions ndots:1\n";

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|a| a.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn nobody_is_asked_about_addresses_localhost_fixed_hosts_and_the_hosts_file() {
        let dns =
            DnsServer::start(|_, _| Reply::Addresses(vec!["203.0.113.9".parse().unwrap()])).await;
        let hosts = "10.0.0.5 wiki.corp.test wiki\nfd00::5 wiki.corp.test\n127.9.9.9 localhost\n";
        let resolver = Resolver::for_test(dns.address, CONF, hosts);
        for (name, expected) in [
            ("192.0.2.7", addresses(&["192.0.2.7"])),
            ("[2001:db8::7]", addresses(&["2001:db8::7"])),
            ("localhost", addresses(&["127.0.0.1", "::1"])),
            ("LocalHost.", addresses(&["127.0.0.1", "::1"])),
            ("a.b.localhost", addresses(&["127.0.0.1", "::1"])),
            ("Wiki.corp.test", addresses(&["fd00::5", "10.0.0.5"])),
            ("wiki", addresses(&["10.0.0.5"])),
        ] {
            assert_eq!(resolver.resolve(&host(name)).await, Ok(expected), "{name}");
        }
        assert!(dns.asked().is_empty());

        let fixed = BTreeMap::from([
            ("wiki.corp.test".to_owned(), addresses(&["10.0.0.6"])),
            ("empty.corp.test".to_owned(), vec![]),
        ]);
        let resolver = Resolver::new(&[dns.address], fixed);
        let wiki = resolver.resolve(&host("wiki.corp.test")).await;
        assert_eq!(wiki, Ok(addresses(&["10.0.0.6"])));
        let empty = resolver.resolve(&host("empty.corp.test")).await;
        assert!(
            matches!(empty, Err(ResolveError::NoAddress { .. })),
            "{empty:?}"
        );
        assert!(dns.asked().is_empty());
        // `notlocalhost` is a name like any other.
        resolver.resolve(&host("notlocalhost.test")).await.unwrap();
        assert!(!dns.asked().is_empty());
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let dns = DnsServer::start(|name, kind| match name {
            "nx.test" => Reply::Code(3),
            "servfail.test" => Reply::Code(2),
            "refused.test" => Reply::Code(5),
            "silent.test" => Reply::Silence,
            "v4only.test" if kind == 1 => Reply::Addresses(addresses(&["192.0.2.1"])),
            "v6only.test" if kind == 28 => Reply::Addresses(addresses(&["2001:db8::1"])),
            "both.test" if kind == 1 => Reply::Addresses(addresses(&["192.0.2.1"])),
            "both.test" => Reply::Addresses(addresses(&["2001:db8::1"])),
            // A name server that drops what it does not know, as there are.
            "noaaaa.test" if kind == 1 => Reply::Addresses(addresses(&["192.0.2.1"])),
            "noaaaa.test" => Reply::Silence,
            "halfbroken.test" if kind == 1 => Reply::Code(2),
            _ => Reply::Addresses(vec![]),
        })
        .await;
        let resolver = Resolver::for_test(dns.address, "nameserver 192.0.2.53\nsearch .\n", "");
        let resolve = async |name: &str| resolver.resolve(&host(name)).await;
        assert!(matches!(
            resolve("nx.test").await,
            Err(ResolveError::NotFound { .. })
        ));
        assert!(matches!(
            resolve("nothing.test").await,
            Err(ResolveError::NoAddress { .. })
        ));
        assert!(matches!(
            resolve("servfail.test").await,
            Err(ResolveError::Failed { .. })
        ));
        assert!(matches!(
            resolve("halfbroken.test").await,
            Err(ResolveError::Failed { .. })
        ));
        assert!(matches!(
            resolve("refused.test").await,
            Err(ResolveError::Refused { .. })
        ));
        let silent = resolve("silent.test").await.unwrap_err();
        assert!(matches!(silent, ResolveError::Timeout { .. }), "{silent:?}");
        let text = silent.to_string();
        assert!(
            text.contains("silent.test") && text.contains(&dns.address.to_string()),
            "{text}"
        );
        assert_eq!(resolve("v4only.test").await, Ok(addresses(&["192.0.2.1"])));
        assert_eq!(
            resolve("v6only.test").await,
            Ok(addresses(&["2001:db8::1"]))
        );
        assert_eq!(resolve("noaaaa.test").await, Ok(addresses(&["192.0.2.1"])));
        // The IPv6 answer is waited for only shortly; on a busy machine it may be late once.
        let mut both = vec![];
        for _ in 0..100 {
            both = resolve("both.test").await.unwrap();
            assert!(both.contains(&addresses(&["192.0.2.1"])[0]), "{both:?}");
            if both.len() == 2 {
                break;
            }
        }
        assert_eq!(both, addresses(&["2001:db8::1", "192.0.2.1"]));
    }

    #[tokio::test]
    async fn the_search_list_is_walked_and_hides_no_failure() {
        let dns = DnsServer::start(|name, _| match name {
            "wiki.corp.test" => Reply::Addresses(addresses(&["10.0.0.1"])),
            "broken" | "broken.sub" => Reply::Code(2),
            _ => Reply::Code(3),
        })
        .await;
        let resolver = Resolver::for_test(dns.address, CONF, "");
        // Below ndots the suffix comes first.
        resolver.resolve(&host("wiki")).await.unwrap();
        assert!(
            dns.asked().iter().all(|name| name == "wiki.corp.test"),
            "{:?}",
            dns.asked()
        );
        // With a dot the name itself does, and a broken server is not "does not exist".
        for name in ["broken", "broken.sub"] {
            let broken = resolver.resolve(&host(name)).await;
            assert!(
                matches!(broken, Err(ResolveError::Failed { .. })),
                "{broken:?}"
            );
        }
        assert!(dns.asked().contains(&"broken.sub.corp.test".to_owned()));
    }

    #[tokio::test]
    async fn a_system_without_name_servers_says_so_at_the_look_up() {
        let fixed = BTreeMap::from([("a.test".to_owned(), addresses(&["10.0.0.1"]))]);
        let resolver = Folder::new().resolver(&[], fixed);
        assert_eq!(
            resolver.resolve(&host("a.test")).await,
            Ok(addresses(&["10.0.0.1"]))
        );
        let error = resolver
            .resolve(&host("b.test"))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/resolv.conf: ") && error.contains("dns.servers"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_resolv_conf_that_comes_later_is_read_and_one_that_goes_is_remembered() {
        let folder = Folder::new();
        let resolver = folder.resolver(&[], BTreeMap::new());
        let asked = async || match resolver.resolve(&host("a.test")).await {
            Err(ResolveError::NoServers { .. }) => "nobody".to_owned(),
            Err(ResolveError::Timeout { servers, .. } | ResolveError::Failed { servers, .. }) => {
                servers
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(asked().await, "nobody");
        // Nothing listens there.
        folder.write("resolv.conf", "nameserver 127.0.0.2\nsearch .\n");
        assert_eq!(
            asked().await,
            "nobody",
            "a look at the files with each name"
        );
        later().await;
        assert_eq!(asked().await, "127.0.0.2:53");
        folder.write("resolv.conf", "nameserver 127.0.0.3\nsearch .\n");
        later().await;
        assert_eq!(asked().await, "127.0.0.3:53");
        // The network changes.
        folder.write("resolv.conf", "");
        later().await;
        assert_eq!(asked().await, "127.0.0.3:53");
    }

    #[tokio::test]
    async fn another_search_list_and_another_hosts_file_count_without_a_restart() {
        let dns = DnsServer::start(|name, _| match name {
            "wiki.office.test" => Reply::Addresses(addresses(&["10.0.0.1"])),
            "wiki.home.test" => Reply::Addresses(addresses(&["10.0.0.2"])),
            _ => Reply::Code(3),
        })
        .await;
        let folder = Folder::new();
        folder.write("resolv.conf", "nameserver 192.0.2.53\nsearch office.test\n");
        let resolver = folder.resolver(&[dns.address], BTreeMap::new());
        let wiki = async || resolver.resolve(&host("wiki")).await;
        assert_eq!(wiki().await, Ok(addresses(&["10.0.0.1"])));
        folder.write("resolv.conf", "nameserver 192.0.2.53\nsearch home.test\n");
        later().await;
        assert_eq!(wiki().await, Ok(addresses(&["10.0.0.2"])));
        folder.write("hosts", "10.0.0.3 wiki\n");
        later().await;
        assert_eq!(wiki().await, Ok(addresses(&["10.0.0.3"])));
    }

    #[tokio::test]
    async fn nxdomain_for_one_family_does_not_hide_an_address_of_the_other() {
        let dns = DnsServer::start(|name, kind| match (name, kind) {
            ("v4.test", 1) => Reply::Late(addresses(&["192.0.2.1"])),
            ("v6.test", 28) => Reply::Addresses(addresses(&["2001:db8::1"])),
            // It answers AAAA never, and the name does not exist.
            ("deaf.test", 28) => Reply::Silence,
            _ => Reply::Code(3),
        })
        .await;
        let resolver = dns.resolver();
        // Which of two answers that are there is looked at first is left to chance.
        for _ in 0..20 {
            let v4 = resolver.resolve(&host("v4.test")).await;
            assert_eq!(v4, Ok(addresses(&["192.0.2.1"])));
        }
        // This one is waited for only shortly; on a busy machine it may be late now and then.
        let mut v6 = vec![];
        for _ in 0..100 {
            v6 = resolver.resolve(&host("v6.test")).await.unwrap_or_default();
            if !v6.is_empty() {
                break;
            }
        }
        assert_eq!(v6, addresses(&["2001:db8::1"]));
        let deaf = resolver.resolve(&host("deaf.test")).await;
        assert!(
            matches!(deaf, Err(ResolveError::NotFound { .. })),
            "{deaf:?}"
        );
    }

    #[test]
    fn that_there_is_no_such_name_is_believed_for_half_a_minute() {
        let folder = Folder::new();
        folder.write("resolv.conf", CONF);
        let resolver = folder.resolver(&[], BTreeMap::new());
        let dns = resolver.inner.view().dns.clone().unwrap();
        let most = dns.asker.options().negative_max_ttl;
        assert_eq!(most, Some(Duration::from_secs(30)));
    }
}
