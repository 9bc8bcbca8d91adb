//! The URLs of all that is published: links from one application to another.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use super::back::Back;
use super::growth::Growth;
use super::origin::written;
use super::parts::{Parts, exchange_prefix, read_authority, split_origin};
use crate::model::{
    Application, Captured, ExternalUrl, Host, HostPattern, InternalHost, InternalUrl, Mode, Scheme,
};
use crate::translate::replace::AllWords;
use crate::translate::text::Origins;

/// Internal URLs of all applications, and where people find them. Built once for a configuration.
#[derive(Debug, Default)]
pub struct Table {
    /// By host and port, the longest path first.
    exact: HashMap<(Host, u16), Entries>,
    /// By what follows `*.`, and port.
    wildcard: HashMap<(Arc<str>, u16), Entries>,
    back: Back,
    inside: Arc<Origins>,
    outside: Arc<Origins>,
    words: AllWords,
    growth: Growth,
    fingerprint: [u8; 32],
}

/// An internal URL of an application.
#[derive(Debug)]
struct Entry {
    internal: InternalUrl,
    application: Arc<Application>,
}

type Entries = Arc<[Entry]>;

/// What may be published at an origin, in the order of preference.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// None is written.
    scheme: Option<Scheme>,
    of_scheme: Vec<(Scheme, Option<Captured>, Entries)>,
}

impl Table {
    /// Of these applications. What nobody's requests can be seen of is reached by its name all the same.
    #[must_use]
    pub fn new(applications: &[Arc<Application>]) -> Self {
        let mut table = Self::default();
        let mut hosts = BTreeSet::new();
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        let mut hash = Context::new(&SHA256);
        for application in applications {
            for url in application.external_urls() {
                hash.update(format!("{url}\n").as_bytes());
            }
            // What else makes another body of the same one.
            hash.update(format!("{:?}\n", application.link_translation).as_bytes());
            for internal in application.internal.all() {
                hash.update(format!(" {internal}\n").as_bytes());
                let entry = Entry {
                    internal: internal.clone(),
                    application: Arc::clone(application),
                };
                match &internal.host {
                    InternalHost::Exact(host) => {
                        hosts.insert(host.to_string());
                        let key = (host.clone(), internal.port);
                        exact.entry(key).or_insert_with(Vec::new).push(entry);
                    }
                    InternalHost::Wildcard { suffix } => {
                        hosts.insert(suffix.to_string());
                        let key = (Arc::clone(suffix), internal.port);
                        wildcard.entry(key).or_insert_with(Vec::new).push(entry);
                    }
                }
            }
        }
        table.exact = sorted(exact);
        table.wildcard = sorted(wildcard);
        // Nobody asks for them where no body is looked through.
        if applications.iter().any(|one| has_bodies(one)) {
            table.back = Back::new(applications);
            let outside: BTreeSet<String> = table.back.hosts().collect();
            table.inside = Arc::new(Origins::new(hosts.iter().map(String::as_str)));
            table.outside = Arc::new(Origins::new(outside.iter().map(String::as_str)));
        }
        table.growth = Growth::of(applications);
        table.fingerprint.copy_from_slice(hash.finish().as_ref());
        table
    }

    /// Another one for every other table.
    #[must_use]
    pub const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// How many times longer a text of internal URLs may become.
    #[must_use]
    pub const fn growth(&self) -> usize {
        self.growth.out
    }

    /// How many times longer a text of external URLs may become, on the way back.
    #[must_use]
    pub const fn growth_back(&self) -> usize {
        self.growth.back
    }

    /// Whatever is published: an application once for each of its internal URLs.
    pub(super) fn applications(&self) -> impl Iterator<Item = &Arc<Application>> {
        let entries = self.exact.values().chain(self.wildcard.values());
        entries.flat_map(|entries| entries.iter().map(|entry| &entry.application))
    }

    /// Finds the hosts of all internal URLs.
    #[must_use]
    pub const fn inside(&self) -> &Arc<Origins> {
        &self.inside
    }

    /// Finds the hosts of all external URLs.
    #[must_use]
    pub const fn outside(&self) -> &Arc<Origins> {
        &self.outside
    }

    /// What else is replaced in bodies.
    pub(in crate::translate) const fn words(&self) -> &AllWords {
        &self.words
    }

    /// The internal URL for an external one of any application, absolute or protocol-relative; `None` where
    /// nothing is published there, and where the application knows itself by its external URL.
    #[must_use]
    pub fn to_internal(&self, url: &str) -> Option<String> {
        self.back.to_internal(url)
    }

    /// The external URL for an internal one of any application, absolute or protocol-relative, for
    /// somebody who uses `view`; `None` where nothing is published there.
    #[must_use]
    pub fn to_external(&self, url: &str, view: &Host) -> Option<String> {
        let parts = Parts::read(url)?;
        self.candidates(parts.origin)?.to_external(&parts, view)
    }

    /// What may be published at an origin: scheme and authority, or `//` and authority.
    pub(super) fn candidates(&self, origin: &str) -> Option<Candidates> {
        let (scheme, authority) = split_origin(origin)?;
        let (host, port) = read_authority(authority)?;
        let mut of_scheme = Vec::new();
        // One without a scheme takes that of the page, which the application does not know.
        for inside in [Scheme::Https, Scheme::Http] {
            if scheme.is_none_or(|written| written == inside) {
                let port = port.unwrap_or_else(|| inside.default_port());
                let found = self.find(&host, port).into_iter();
                of_scheme.extend(found.map(|(label, entries)| (inside, label, entries)));
            }
        }
        Some(Candidates { scheme, of_scheme })
    }

    /// An exact name owns its host, as outside; what has a wildcard comes behind, with the label it stands for.
    fn find(&self, host: &Host, port: u16) -> Vec<(Option<Captured>, Entries)> {
        let mut found = Vec::new();
        if let Some(entries) = self.exact.get(&(host.clone(), port)) {
            found.push((None, Arc::clone(entries)));
        }
        if let Some((label, suffix)) = host.name().and_then(|name| name.split_once('.'))
            && let Some(entries) = self.wildcard.get(&(suffix.into(), port))
            && let Some(label) = Captured::new(label)
        {
            found.push((Some(label), Arc::clone(entries)));
        }
        found
    }
}

impl Candidates {
    /// Of the application with the longest path that this one lies below, where people find it.
    pub(super) fn to_external(&self, parts: &Parts<'_>, view: &Host) -> Option<String> {
        let mut all = self.fitting(parts);
        all.find_map(|one| self.written(&one, parts, view))
    }

    /// The same for a URL that is one of `own`, where it lies below a longer path of another application,
    /// or on a host that the other has by name and `own` by a wildcard.
    pub(super) fn nearer(
        &self,
        (own, scheme): (&Application, Scheme),
        parts: &Parts<'_>,
        view: &Host,
    ) -> Option<String> {
        // One without a scheme takes that of the page.
        let is_meant =
            |one: &Fitting<'_>| self.scheme.is_some() || one.entry.internal.scheme == scheme;
        let first = self.fitting(parts).find(is_meant)?;
        let is_own = |one: &Fitting<'_>| is_meant(one) && one.entry.application.name == own.name;
        let of_own = self.fitting(parts).find(is_own)?;
        let is_nearer = first.rank() != of_own.rank();
        is_nearer.then(|| self.written(&first, parts, view))?
    }

    /// What a URL lies below, the nearest first.
    fn fitting<'c>(&'c self, parts: &Parts<'c>) -> impl Iterator<Item = Fitting<'c>> {
        let path = parts.path();
        self.of_scheme
            .iter()
            .flat_map(move |(scheme, label, entries)| {
                entries.iter().filter_map(move |entry| {
                    let internal = &entry.internal;
                    let is_below =
                        internal.path.rest(path).is_some() || internal.path.is_bare(path);
                    (internal.scheme == *scheme && is_below).then_some(Fitting {
                        label: label.as_ref(),
                        entry,
                    })
                })
            })
    }

    fn written(&self, one: &Fitting<'_>, parts: &Parts<'_>, view: &Host) -> Option<String> {
        let external = nearest(&one.entry.application, view);
        let (from, to) = (&one.entry.internal.path, &external.path);
        let (prefix, rest) = exchange_prefix(from, to, parts.path())?;
        let outside = outside(external, one.label, view)?;
        let origin = written(self.scheme, external, &outside);
        Some([&*origin, prefix, rest, parts.tail].concat())
    }
}

/// An internal URL that another one lies below.
struct Fitting<'c> {
    /// What a wildcard of it stands for.
    label: Option<&'c Captured>,
    entry: &'c Entry,
}

impl Fitting<'_> {
    fn rank(&self) -> (bool, usize) {
        (
            self.label.is_some(),
            self.entry.internal.path.as_str().len(),
        )
    }
}

/// The longest path first.
fn sorted<K: Eq + Hash>(entries: HashMap<K, Vec<Entry>>) -> HashMap<K, Entries> {
    let entries = entries.into_iter().map(|(key, mut entries)| {
        entries.sort_by_key(|one| Reverse(one.internal.path.as_str().len()));
        (key, entries.into())
    });
    entries.collect()
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
    use crate::model::BodyKind;

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
        named[0].link_translation.body.push(BodyKind::Json);
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
    }

    #[test]
    fn what_people_send_leads_inside_again() {
        let table = table();
        let mut seen = 0;
        for (url, expected) in [
            (
                "https://wiki.example.com/a?b=c#d",
                Some("http://wiki.corp:8888/a?b=c#d"),
            ),
            (
                "https://wiki.example.org:443/a",
                Some("http://wiki.corp:8888/a"),
            ),
            ("HTTPS://Wiki.Example.COM", Some("http://wiki.corp:8888/")),
            ("//wiki.example.com/a", Some("//wiki.corp:8888/a")),
            ("http://wiki.example.com/a", None),
            (
                "https://portal.example.com/hr/x",
                Some("http://portal.corp/hr/x"),
            ),
            ("https://portal.example.com/x", Some("http://portal.corp/x")),
            (
                "https://pay.example.com/1",
                Some("http://portal.corp/hr/pay/1"),
            ),
            (
                "https://two.apps.example.com/a",
                Some("https://two.apps.corp/a"),
            ),
            ("https://a.b.apps.example.com/", None),
            (
                "https://one.example.com/a",
                Some("https://one.apps.corp/x/a"),
            ),
            ("https://user@wiki.example.com/", None),
            ("https://else.example.com/", None),
            ("/a", None),
        ] {
            assert_eq!(table.to_internal(url).as_deref(), expected, "{url}");
            seen += 1;
        }
        assert_eq!(seen, 14);
    }
}
