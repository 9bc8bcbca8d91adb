//! The URLs of all that is published: links from one application to another.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use super::{LONGEST_AUTHORITY, read_scheme, replace_prefix, split_port};
use crate::model::{
    Application, Captured, ExternalUrl, Host, HostPattern, InternalHost, InternalUrl, Mode, Scheme,
};

/// Internal URLs of all applications, and where people find them. Built once for a configuration.
#[derive(Debug, Default)]
pub struct Table {
    /// By host and port, the longest path first.
    exact: HashMap<(Host, u16), Vec<Entry>>,
    /// By what follows `*.`, and port.
    wildcard: HashMap<(Arc<str>, u16), Vec<Entry>>,
    hosts: BTreeSet<Box<str>>,
    fingerprint: [u8; 32],
}

/// An internal URL of an application.
#[derive(Debug)]
struct Entry {
    internal: InternalUrl,
    application: Arc<Application>,
}

impl Table {
    /// Of these applications. What nobody's requests can be seen of is reached by its name all the same.
    #[must_use]
    pub fn new(applications: &[Arc<Application>]) -> Self {
        let mut table = Self::default();
        let mut hash = Context::new(&SHA256);
        for application in applications {
            for url in application.external_urls() {
                hash.update(format!("{url}\n").as_bytes());
            }
            for internal in application.internal.all() {
                hash.update(format!(" {internal}\n").as_bytes());
                let entry = Entry {
                    internal: internal.clone(),
                    application: Arc::clone(application),
                };
                match &internal.host {
                    InternalHost::Exact(host) => {
                        table.hosts.insert(host.to_string().into());
                        let key = (host.clone(), internal.port);
                        table.exact.entry(key).or_default().push(entry);
                    }
                    InternalHost::Wildcard { suffix } => {
                        table.hosts.insert((&**suffix).into());
                        let key = (Arc::clone(suffix), internal.port);
                        table.wildcard.entry(key).or_default().push(entry);
                    }
                }
            }
        }
        for entries in table.exact.values_mut().chain(table.wildcard.values_mut()) {
            let length = |one: &Entry| Reverse(one.internal.path.as_str().len());
            entries.sort_by_key(length);
        }
        table.fingerprint.copy_from_slice(hash.finish().as_ref());
        table
    }

    /// Another one for every other table.
    #[must_use]
    pub const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Every host that one of the internal URLs has, lower case; of a wildcard what follows `*.`.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| &**host)
    }

    /// The external URL for an internal one of any application, absolute or protocol-relative, for
    /// somebody who uses `view`; `None` where nothing is published there.
    #[must_use]
    pub fn to_external(&self, url: &str, view: &Host) -> Option<String> {
        let end = url.find(['?', '#']).unwrap_or(url.len());
        let (before, tail) = url.split_at(end);
        // What browsers would read differently is left as it came.
        if before.bytes().any(|b| b == b'\\' || b.is_ascii_control()) {
            return None;
        }
        let (scheme, rest) = match before.strip_prefix("//") {
            Some(rest) => (None, rest),
            None => {
                let (scheme, rest) = before.split_once("://")?;
                (Some(read_scheme(scheme)?), rest)
            }
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.len() > LONGEST_AUTHORITY {
            return None;
        }
        let (host, port) = split_port(authority)?;
        let host = Host::parse(host).ok()?;
        let path = if path.is_empty() { "/" } else { path };
        let schemes = [Scheme::Https, Scheme::Http].into_iter();
        // One without a scheme takes that of the page, which the application does not know.
        let mut schemes = schemes.filter(|one| scheme.is_none_or(|written| written == *one));
        let (external, outside, path) =
            schemes.find_map(|inside| self.find((inside, &host, port), path, view))?;
        let authority = external.authority(&outside);
        Some(match scheme {
            Some(_) => {
                let scheme = external.scheme.as_str();
                format!("{scheme}://{authority}{path}{tail}")
            }
            None => format!("//{authority}{path}{tail}"),
        })
    }

    /// The application with the longest path that this one lies below, where people find it, and the path
    /// there.
    fn find<'t>(
        &'t self,
        (scheme, host, port): (Scheme, &Host, Option<u16>),
        path: &str,
        view: &Host,
    ) -> Option<(&'t ExternalUrl, Host, String)> {
        let port = port.unwrap_or_else(|| scheme.default_port());
        let label = host.name().and_then(|name| name.split_once('.'));
        let of_label = label.and_then(|(label, suffix)| {
            let entries = self.wildcard.get(&(suffix.into(), port))?;
            Some((Captured::new(label)?, entries))
        });
        let exact = self.exact.get(&(host.clone(), port));
        let exact = exact.into_iter().flatten().map(|entry| (None, entry));
        // An exact name owns its host, as outside.
        let wildcard = of_label.into_iter().flat_map(|(label, entries)| {
            let entries = entries.iter();
            entries.map(move |entry| (Some(label.clone()), entry))
        });
        let mut all = exact.chain(wildcard);
        all.find_map(
            |(
                label,
                Entry {
                    internal,
                    application,
                },
            )| {
                if internal.scheme != scheme {
                    return None;
                }
                let external = nearest(application, view);
                let path = replace_prefix(&internal.path, &external.path, path)?;
                let outside = outside(external, label.as_ref(), view)?;
                Some((external, outside, path))
            },
        )
    }
}

/// Of an application's external URLs the one that is nearest to the host somebody uses: who came by one name
/// of the organisation stays with it.
fn nearest<'a>(application: &'a Application, view: &Host) -> &'a ExternalUrl {
    let shared = |url: &&ExternalUrl| {
        let own = match &url.host {
            HostPattern::Exact(host) => host.name().unwrap_or_default(),
            HostPattern::Wildcard { suffix } => suffix,
        };
        let view = view.name().unwrap_or_default();
        let pairs = own.rsplit('.').zip(view.rsplit('.'));
        pairs.take_while(|(a, b)| a == b && !a.is_empty()).count()
    };
    let mut best = &application.external;
    for url in &application.alternates {
        if shared(&url) > shared(&best) {
            best = url;
        }
    }
    best
}

/// The host that an external URL has for somebody; of a wildcard the label comes from the internal one, or
/// from the host that is used.
fn outside(external: &ExternalUrl, label: Option<&Captured>, view: &Host) -> Option<Host> {
    match &external.host {
        HostPattern::Exact(host) => Some(host.clone()),
        HostPattern::Wildcard { suffix } => match label {
            Some(label) => Host::parse(&format!("{}.{suffix}", label.as_str())).ok(),
            None => external.host.matches(view).map(|_| view.clone()),
        },
    }
}

/// Whether an application's answers are looked through at all: of one whose TLS passes through nobody sees
/// any.
#[must_use]
pub fn has_bodies(application: &Application) -> bool {
    application.mode == Mode::Http && !application.link_translation.body.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::application;
    use super::*;

    fn table() -> Table {
        let mut named: Vec<Application> = [
            ("https://wiki.example.com/", "http://wiki.corp:8888/"),
            ("https://portal.example.com/hr/", "http://portal.corp/hr/"),
            ("https://portal.example.com/", "http://portal.corp/"),
            ("https://pay.example.com/", "http://portal.corp/hr/pay/"),
            ("https://*.apps.example.com/", "https://*.apps.corp/"),
            ("https://one.example.com/", "https://one.apps.corp/x/"),
            ("https://by-address.example.com/", "http://10.1.2.3/"),
        ]
        .into_iter()
        .map(|(external, internal)| application(external, internal))
        .collect();
        let alternate = ExternalUrl::parse("https://wiki.example.org/").unwrap();
        named[0].alternates.push(alternate);
        let all: Vec<_> = named.into_iter().map(Arc::new).collect();
        Table::new(&all)
    }

    #[test]
    fn links_to_other_applications_lead_to_where_people_find_them() {
        let table = table();
        let mut seen = 0;
        for (url, expected) in [
            (
                "http://wiki.corp:8888/a?b=c#d",
                Some("https://wiki.example.com/a?b=c#d"),
            ),
            ("HTTP://WIKI.Corp:8888", Some("https://wiki.example.com/")),
            ("//wiki.corp:8888/a", Some("//wiki.example.com/a")),
            ("http://wiki.corp/a", None),
            ("https://wiki.corp:8888/a", None),
            ("http://wiki.corp:8888@evil/", None),
            ("http://wiki.corp.evil:8888/", None),
            ("http://portal.corp/", Some("https://portal.example.com/")),
            (
                "http://portal.corp:80/x",
                Some("https://portal.example.com/x"),
            ),
            ("//portal.corp/x", Some("//portal.example.com/x")),
            (
                "http://portal.corp/hr/x",
                Some("https://portal.example.com/hr/x"),
            ),
            (
                "http://portal.corp/hr",
                Some("https://portal.example.com/hr"),
            ),
            (
                "http://portal.corp/hrx",
                Some("https://portal.example.com/hrx"),
            ),
            (
                "http://portal.corp/hr/pay/1",
                Some("https://pay.example.com/1"),
            ),
            (
                "https://two.apps.corp/a",
                Some("https://two.apps.example.com/a"),
            ),
            (
                "https://one.apps.corp/x/a",
                Some("https://one.example.com/a"),
            ),
            (
                "https://one.apps.corp/a",
                Some("https://one.apps.example.com/a"),
            ),
            ("https://a.b.apps.corp/", None),
            (
                "http://10.1.2.3/a",
                Some("https://by-address.example.com/a"),
            ),
            ("http://elsewhere.corp/", None),
            ("http://wiki.corp:8888\\a", None),
            ("/root", None),
            ("mailto:a@wiki.corp", None),
        ] {
            let view = Host::parse("wiki.example.com").unwrap();
            let told = table.to_external(url, &view);
            assert_eq!(told.as_deref(), expected, "{url}");
            seen += 1;
        }
        assert_eq!(seen, 23);
        // Who came by the other name stays with it.
        let view = Host::parse("portal.example.org").unwrap();
        let told = table.to_external("http://wiki.corp:8888/", &view);
        assert_eq!(told.as_deref(), Some("https://wiki.example.org/"));
        let hosts: Vec<_> = table.hosts().collect();
        assert_eq!(
            hosts,
            [
                "10.1.2.3",
                "apps.corp",
                "one.apps.corp",
                "portal.corp",
                "wiki.corp"
            ]
        );
    }
}
