//! Which application a request is for: an immutable table, swapped whole.

mod candidates;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::published::Published;
use crate::model::{
    Application, ApplicationName, Captured, ExternalUrl, GroupName, Host, HostPattern, Mode,
};
use crate::telemetry::RequestMeter;

pub(crate) use candidates::{Candidates, Found, Match};

/// All applications by host; built once and never changed.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    exact: HashMap<Host, Site>,
    /// By what follows `*.`; a wildcard stands for one label, so one look-up finds the only one.
    wildcard: HashMap<Arc<str>, Site>,
    /// All of them.
    all: Vec<Arc<Published>>,
    /// TLS of some host is not like that of the others.
    has_own_tls: bool,
}

/// The applications of one host or wildcard.
#[derive(Debug, Default)]
struct Site {
    /// Longest path first, so that the first that fits is the most specific.
    applications: Vec<Arc<Published>>,
    /// Whether the decision depends on the path: then ambiguous spellings of it are refused.
    path_sensitive: bool,
    /// The file of the authorities of whom clients are asked for certificates.
    client_ca: Option<Arc<Path>>,
}

/// What the TLS of a host is to be like.
#[derive(Debug, Default)]
pub(crate) struct TlsWanted {
    /// Connections carry one request at a time: an application signs connections in.
    pub(crate) http1_alone: bool,
    /// The file of the authorities of whom its clients are asked for certificates.
    pub(crate) client_ca: Option<Arc<Path>>,
    /// The host and its application, where TLS ends there.
    pub(crate) passthrough: Option<(Host, Match)>,
}

impl RouteTable {
    /// Builds the table; configuration has refused applications of equal URLs. An application that
    /// is as it was in the table before is the same one: what was counted and learnt of it goes on.
    pub(crate) fn after(before: Option<&Self>, applications: &[Arc<Application>]) -> Self {
        let mut table = Self::default();
        let known = before.map(Self::by_url).unwrap_or_default();
        let of_name = |published: &'_ &Arc<Published>| published.application.name.clone();
        let first_of: HashMap<_, _> = before
            .iter()
            .flat_map(|before| &before.all)
            .map(|published| (of_name(&published), published))
            .collect();
        let mut on_host: HashMap<&HostPattern, HashSet<&ApplicationName>> = HashMap::new();
        for application in applications {
            for url in application.external_urls() {
                on_host
                    .entry(&url.host)
                    .or_default()
                    .insert(&application.name);
            }
        }
        for application in applications {
            let shares_host = |url: &ExternalUrl| {
                let is_alone = on_host.get(&url.host).is_some_and(|all| all.len() == 1);
                !is_alone || !url.path.is_root()
            };
            let external = &application.external;
            let was = first_of.get(&application.name).copied();
            let shares = shares_host(external);
            let same =
                was.filter(|was| was.application == *application && was.shares_host == shares);
            let first = same.cloned().unwrap_or_else(|| {
                let before = was.map(|was| &**was);
                Arc::new(Published::new(application, shares, before))
            });
            let others = application.alternates.iter().map(|url| {
                let shares = shares_host(url);
                let was = known
                    .get(url)
                    .filter(|was| same.is_some() && was.shares_host == shares);
                was.map_or_else(|| Arc::new(first.under(url, shares)), |was| Arc::clone(was))
            });
            for published in std::iter::once(Arc::clone(&first)).chain(others) {
                let site = match &published.application.external.host {
                    HostPattern::Exact(host) => table.exact.entry(host.clone()).or_default(),
                    HostPattern::Wildcard { suffix } => {
                        table.wildcard.entry(Arc::clone(suffix)).or_default()
                    }
                };
                site.applications.push(published);
            }
            table.all.push(first);
        }
        for site in table.exact.values_mut().chain(table.wildcard.values_mut()) {
            let length =
                |a: &Arc<Published>| std::cmp::Reverse(a.application.external.path.as_str().len());
            site.applications.sort_by_key(length);
            site.path_sensitive = site.applications.len() > 1
                || site
                    .applications
                    .iter()
                    .any(|published| published.application.goes_by_path());
            let mut all = site.applications.iter();
            site.client_ca = all.find_map(|published| {
                let settings = published.application.client_certificates.as_ref()?;
                Some(Arc::clone(&settings.ca))
            });
            let passes = |one: &Arc<Published>| one.application.mode == Mode::TlsPassthrough;
            table.has_own_tls |= site.client_ca.is_some() || site.applications.iter().any(passes);
        }
        table
    }

    /// All applications by each of their external URLs.
    fn by_url(&self) -> HashMap<&ExternalUrl, &Arc<Published>> {
        let sites = self.exact.values().chain(self.wildcard.values());
        let all = sites.flat_map(|site| &site.applications);
        all.map(|published| (&published.application.external, published))
            .collect()
    }

    /// All applications.
    pub(super) fn all(&self) -> &[Arc<Published>] {
        &self.all
    }

    /// What counts the requests of each application.
    pub(crate) fn meters(&self) -> impl Iterator<Item = &RequestMeter> {
        self.all.iter().map(|published| &*published.meter)
    }

    /// Every group that an application names.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupName> {
        let applications = self.all.iter().map(|published| &published.application);
        applications.flat_map(|application| application.connectors.groups())
    }

    /// What the TLS of a host is to be like. A client names no host where it is an address: of the hosts
    /// that are addresses any may be meant.
    pub(crate) fn tls_of(&self, server_name: Option<&str>) -> TlsWanted {
        let of = |site: &Site| {
            let mut applications = site.applications.iter();
            TlsWanted {
                http1_alone: applications
                    .any(|published| published.application.connection_authentication),
                client_ca: site.client_ca.clone(),
                passthrough: None,
            }
        };
        match server_name.map(Host::parse) {
            Some(Ok(host)) => self.host(&host).map(|found| TlsWanted {
                passthrough: found.passes_tls_through().map(|to| (host.clone(), to)),
                ..of(found.site)
            }),
            Some(Err(_)) => None,
            None => {
                let sites = self.exact.iter().filter(|(host, _)| host.name().is_none());
                sites.map(|(_, site)| of(site)).reduce(|a, b| TlsWanted {
                    http1_alone: a.http1_alone || b.http1_alone,
                    client_ca: a.client_ca.or(b.client_ca),
                    passthrough: None,
                })
            }
        }
        .unwrap_or_default()
    }

    /// Whether TLS of some host is not like that of the others: its clients are asked for certificates, or it
    /// ends elsewhere.
    pub(crate) const fn has_own_tls(&self) -> bool {
        self.has_own_tls
    }

    /// The applications of a host: those published under it exactly, or else under the wildcard
    /// that stands for it. An exact host owns its name: its wildcard sees nothing of it.
    pub(crate) fn host(&self, host: &Host) -> Option<Candidates<'_>> {
        if let Some(site) = self.exact.get(host) {
            return Some(Candidates {
                site,
                captured: None,
            });
        }
        let (label, suffix) = host.name()?.split_once('.')?;
        let site = self.wildcard.get(suffix)?;
        Some(Candidates {
            site,
            captured: Some(Captured::new(label)?),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::model::{
        ApplicationLimits, ApplicationName, BackendProtocol, BackendTimeouts, Connectors,
        ExternalUrl, Front, GroupName, HostHeader, InternalUrl, InternalUrls, LinkTranslation,
        PreAuthentication, Scheme,
    };

    use super::*;

    pub(in crate::gateway) fn application(
        name: &str,
        external: &str,
        internal: &str,
    ) -> Arc<Application> {
        Arc::new(Application {
            name: ApplicationName::new(name).unwrap(),
            external: ExternalUrl::parse(external).unwrap(),
            internal: InternalUrls::new(vec![InternalUrl::parse(internal).unwrap()]).unwrap(),
            connectors: Connectors::new(vec![GroupName::new("default").unwrap()]).unwrap(),
            guard: crate::model::Guard::new(
                vec![PreAuthentication::Passthrough],
                crate::model::Access::default(),
            ),
            paths: crate::model::GuardedPaths::default(),
            bearer: Arc::default(),
            client_certificates: None,
            mode: crate::model::Mode::Http,
            sign_on: crate::model::SignOn::default(),
            description: None,
            host_header: HostHeader::Internal,
            link_translation: LinkTranslation::default(),
            timeouts: BackendTimeouts::default(),
            affinity: None,
            health_check: None,
            limits: ApplicationLimits::default(),
            front: Front::default(),
            alternates: Vec::new(),
            backend_protocol: BackendProtocol::default(),
            connection_authentication: false,
            proxy_protocol: None,
        })
    }

    fn table() -> RouteTable {
        RouteTable::after(
            None,
            &[
                application("wiki", "https://wiki.example.com/", "http://wiki.corp/"),
                application(
                    "admin",
                    "https://wiki.example.com/admin/",
                    "http://admin.corp/",
                ),
                application(
                    "deep",
                    "https://wiki.example.com/admin/deep/",
                    "http://deep.corp/x/",
                ),
                application(
                    "other-port",
                    "https://wiki.example.com:8443/",
                    "http://alt.corp/",
                ),
                application(
                    "plain",
                    "http://wiki.example.com/plain/",
                    "http://plain.corp/",
                ),
                application("any", "https://*.apps.example.com/", "http://*.corp.local/"),
                application(
                    "one",
                    "https://one.apps.example.com/only/",
                    "http://one.corp/",
                ),
            ],
        )
    }

    fn look_up(host: &str, scheme: Scheme, port: u16, path: &str) -> String {
        let table = table();
        let Some(candidates) = table.host(&Host::parse(host).unwrap()) else {
            return "no host".into();
        };
        let label = |m: Match| {
            let captured = m
                .captured
                .map(|c| format!("({})", c.as_str()))
                .unwrap_or_default();
            format!("{}{captured}", m.published.application.name)
        };
        match candidates.find(scheme, port, path) {
            Found::Application(found) => label(found),
            Found::Bare(found) => format!("bare {}", label(found)),
            Found::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn exact_hosts_then_wildcards_and_the_longest_path_on_segment_boundaries() {
        let https = |host, path| look_up(host, Scheme::Https, 443, path);
        for (host, path, expected) in [
            ("wiki.example.com", "/", "wiki"),
            ("wiki.example.com", "/administrator", "wiki"),
            ("wiki.example.com", "/admin/", "admin"),
            ("wiki.example.com", "/admin/x", "admin"),
            ("wiki.example.com", "/admin", "bare admin"),
            ("wiki.example.com", "/admin/deep", "bare deep"),
            ("wiki.example.com", "/admin/deep/", "deep"),
            ("wiki.example.com", "/admin/deeper/", "admin"),
            ("wiki.example.com", "/Admin/", "wiki"),
            ("a.apps.example.com", "/x", "any(a)"),
            ("a.b.apps.example.com", "/x", "no host"),
            ("apps.example.com", "/x", "no host"),
            ("one.apps.example.com", "/only/", "one"),
            ("one.apps.example.com", "/", "nothing"),
            ("my_host.apps.example.com", "/", "no host"),
            ("127.0.0.1", "/", "no host"),
        ] {
            assert_eq!(https(host, path), expected, "{host}{path}");
        }
    }

    #[test]
    fn scheme_and_port_are_part_of_the_name() {
        assert_eq!(
            look_up("wiki.example.com", Scheme::Https, 8443, "/"),
            "other-port"
        );
        assert_eq!(
            look_up("wiki.example.com", Scheme::Https, 9, "/"),
            "nothing"
        );
        assert_eq!(
            look_up("wiki.example.com", Scheme::Http, 80, "/plain/x"),
            "plain"
        );
        assert_eq!(
            look_up("wiki.example.com", Scheme::Http, 80, "/"),
            "nothing"
        );
    }

    #[test]
    fn a_host_is_path_sensitive_where_its_path_decides() {
        let table = table();
        let sensitive = |host| {
            table
                .host(&Host::parse(host).unwrap())
                .unwrap()
                .path_sensitive()
        };
        assert!(sensitive("wiki.example.com") && sensitive("one.apps.example.com"));
        assert!(!sensitive("a.apps.example.com"));
    }
}
