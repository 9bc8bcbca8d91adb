//! Where applications are published, and which hosts nobody outside has: for who looks for dead links.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use url::Url;

use super::parts::{Parts, read_scheme};
use super::{Table, UrlMap};
use crate::model::{
    Application, ApplicationName, ExternalUrl, Host, HostPattern, InternalHost, PathPrefix, Scheme,
};

/// Every external URL, and what is known of hosts inside.
#[derive(Debug, Default)]
pub(in crate::translate) struct Sites {
    /// By host and port, the longest path first.
    exact: HashMap<(Host, u16), Vec<Site>>,
    /// By what follows `*.`, and port.
    wildcard: HashMap<(Arc<str>, u16), Vec<Site>>,
    /// Hosts of external URLs.
    outside: HashSet<Host>,
    /// Hosts of internal URLs.
    inside: HashSet<Host>,
    /// Domains that internal URLs lie in, and no external one.
    domains: HashSet<Box<str>>,
}

#[derive(Debug)]
struct Site {
    scheme: Scheme,
    path: PathPrefix,
    application: ApplicationName,
}

/// Names that no public name ends in: reserved ones (RFC 6761, RFC 6762, RFC 8375), `internal`, which ICANN keeps for
/// this, and those that RFC 6762 appendix G found in use.
const NOT_PUBLIC: [&str; 11] = [
    "local",
    "internal",
    "lan",
    "corp",
    "intranet",
    "private",
    "home",
    "home.arpa",
    "localdomain",
    "localhost",
    "test",
];

/// Second labels below which countries sell names: `example.co.uk` is somebody's, `co.uk` nobody's.
const SOLD_BELOW: [&str; 12] = [
    "ac", "co", "com", "edu", "gob", "gov", "gv", "ne", "net", "nom", "or", "org",
];

impl Sites {
    /// Of all that a table has.
    pub(in crate::translate) fn new(table: &Table) -> Self {
        let mut sites = Self::default();
        let mut external = Vec::new();
        let mut known = HashSet::new();
        // One stands there once for each internal URL.
        for application in table.applications() {
            if known.insert(&application.name) {
                for url in application.external_urls() {
                    sites.add(application, url);
                    external.push(&url.host);
                }
            }
        }
        let all = sites.exact.values_mut().chain(sites.wildcard.values_mut());
        for site in all {
            site.sort_by_key(|one| std::cmp::Reverse(one.path.as_str().len()));
        }
        for application in table.applications() {
            for url in application.internal.all() {
                let domain = match &url.host {
                    InternalHost::Exact(host) => {
                        sites.inside.insert(host.clone());
                        host.name().and_then(parent)
                    }
                    InternalHost::Wildcard { suffix } => Some(&**suffix),
                };
                let has_external = |domain: &str| {
                    external.iter().any(|host| match host {
                        HostPattern::Exact(host) => {
                            host.name().is_some_and(|name| is_below(name, domain))
                        }
                        HostPattern::Wildcard { suffix } => is_below(suffix, domain),
                    })
                };
                // Where applications are published for everybody, other hosts may be public, too.
                if let Some(domain) = domain.filter(|domain| !has_external(domain)) {
                    sites.domains.insert(domain.into());
                }
            }
        }
        sites
    }

    fn add(&mut self, application: &Application, url: &ExternalUrl) {
        let site = Site {
            scheme: url.scheme,
            path: url.path.clone(),
            application: application.name.clone(),
        };
        match &url.host {
            HostPattern::Exact(host) => {
                self.outside.insert(host.clone());
                let key = (host.clone(), url.port);
                self.exact.entry(key).or_default().push(site);
            }
            HostPattern::Wildcard { suffix } => {
                let key = (Arc::clone(suffix), url.port);
                self.wildcard.entry(key).or_default().push(site);
            }
        }
    }

    /// The application that people find at a URL. A path without its last slash leads there, too.
    pub(in crate::translate) fn owner(&self, url: &Url) -> Option<&ApplicationName> {
        let path = url.path();
        let sites = self.at(url)?;
        let scheme = read_scheme(url.scheme())?;
        let is_there = |site: &&Site| {
            site.scheme == scheme && (site.path.rest(path).is_some() || site.path.is_bare(path))
        };
        sites.iter().find(is_there).map(|site| &site.application)
    }

    /// Whether the gateway serves this origin at all.
    pub(in crate::translate) fn is_served(&self, url: &Url) -> bool {
        let scheme = read_scheme(url.scheme());
        let mut sites = self.at(url).into_iter().flatten();
        sites.any(|site| Some(site.scheme) == scheme)
    }

    fn at(&self, url: &Url) -> Option<&[Site]> {
        let host = host_of(url)?;
        let port = url.port_or_known_default()?;
        if let Some(sites) = self.exact.get(&(host.clone(), port)) {
            return Some(sites);
        }
        let (_, suffix) = host.name()?.split_once('.')?;
        let sites = self.wildcard.get(&(suffix.into(), port))?;
        Some(sites)
    }

    /// Whether nobody outside has this host, as far as can be told from its name.
    pub(in crate::translate) fn is_inside(&self, host: &Host) -> bool {
        if self.outside.contains(host) {
            return false;
        }
        let is_in_domain = |name| domains_of(name).any(|domain| self.domains.contains(domain));
        is_not_public(host) || self.inside.contains(host) || host.name().is_some_and(is_in_domain)
    }
}

/// Whether a host is one that cannot be reached from everywhere, by its name alone.
pub(in crate::translate) fn is_not_public(host: &Host) -> bool {
    match host {
        Host::Address(address) => is_private(address.to_canonical()),
        Host::Name(name) => {
            !name.contains('.') || domains_of(name).any(|domain| NOT_PUBLIC.contains(&domain))
        }
    }
}

/// The name, and every domain it is in.
fn domains_of(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| Some(name.split_once('.')?.1))
}

impl UrlMap<'_> {
    /// Whether an absolute URL is on an origin that the application has inside, whatever its path.
    pub(in crate::translate) fn is_own_origin_inside(&self, url: &Url) -> bool {
        let parts = Parts::read(url.as_str());
        parts.is_some_and(|parts| self.own(parts.origin).is_some())
    }
}

/// The host in its normal form.
pub(in crate::translate) fn host_of(url: &Url) -> Option<Host> {
    Host::parse(url.host_str()?).ok()
}

/// The domain that a host is in, where that is somebody's.
fn parent(name: &str) -> Option<&str> {
    let (_, parent) = name.split_once('.')?;
    let (first, rest) = parent.split_once('.')?;
    let is_sold_below = rest.len() == 2 && SOLD_BELOW.contains(&first);
    (!is_sold_below).then_some(parent)
}

fn is_below(name: &str, domain: &str) -> bool {
    let before = name.strip_suffix(domain);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            // RFC 6598: carriers' own.
            let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4 == Ipv4Addr::UNSPECIFIED
                || is_shared
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6 == Ipv6Addr::UNSPECIFIED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::application;
    use super::*;

    fn sites() -> Sites {
        let all = [
            (
                "https://wiki.example.com/",
                "http://wiki.corp.example.net:8888/",
            ),
            (
                "https://portal.example.com/hr/",
                "http://hr.example.com/hr/",
            ),
            (
                "https://portal.example.com/",
                "http://portal.example.co.uk/",
            ),
            (
                "https://*.apps.example.com/",
                "https://*.apps.inside.example.org/",
            ),
            ("https://same.example.com/", "https://same.example.com/"),
            ("https://by-address.example.com/", "http://198.51.100.7/"),
        ];
        let mut numbers = 0..;
        let all = all.map(|(external, internal)| {
            let mut one = application(external, internal);
            let number = numbers.next().unwrap_or(0);
            one.name = ApplicationName::new(&format!("a{number}")).unwrap();
            Arc::new(one)
        });
        Sites::new(&Table::new(&all))
    }

    #[test]
    fn what_people_find_is_told_from_what_they_do_not() {
        let sites = sites();
        let mut seen = 0;
        for (url, is_found) in [
            ("https://wiki.example.com/a", true),
            ("https://WIKI.example.com:443/", true),
            ("http://wiki.example.com/a", false),
            ("https://wiki.example.com:8443/a", false),
            ("https://portal.example.com/hr", true),
            ("https://portal.example.com/hrx", true),
            ("https://any.apps.example.com/x", true),
            ("https://apps.example.com/x", false),
            ("https://a.b.apps.example.com/x", false),
            ("https://elsewhere.example.com/", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(sites.owner(&url).is_some(), is_found, "{url}");
            seen += 1;
        }
        assert_eq!(seen, 10);
    }

    #[test]
    fn a_host_of_the_inside_is_known_by_its_name() {
        let sites = sites();
        let mut seen = 0;
        for (host, is_inside) in [
            ("intranet", true),
            ("localhost", true),
            ("files.corp", true),
            ("files.local", true),
            ("files.home.arpa", true),
            ("home.arpa", true),
            ("FILES.INTERNAL", true),
            ("printer.lan", true),
            ("x.test", true),
            ("corp.com", false),
            ("local.example", false),
            // The application's own, and its neighbours.
            ("wiki.corp.example.net", true),
            ("git.corp.example.net", true),
            ("a.git.corp.example.net", true),
            ("www.example.net", false),
            ("notcorp.example.net", false),
            // Below what is published there are others.
            ("hr.example.com", true),
            ("www.example.com", false),
            // Nobody's domain.
            ("other.co.uk", false),
            ("portal.example.co.uk", true),
            ("git.example.co.uk", true),
            // Of a wildcard.
            ("x.apps.inside.example.org", true),
            ("inside.example.org", false),
            // Inside and outside alike.
            ("same.example.com", false),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("127.0.0.1", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("198.51.100.7", true),
            ("203.0.113.9", false),
            ("[::1]", true),
            ("[fd00::1]", true),
            ("[fe80::1]", true),
            ("[::ffff:10.0.0.1]", true),
            ("[2001:db8::1]", false),
        ] {
            let name = Host::parse(host).unwrap();
            assert_eq!(sites.is_inside(&name), is_inside, "{host}");
            seen += 1;
        }
        assert_eq!(seen, 39);
    }
}
