//! What an origin means to the pages of one application. A page names few, over and over, so that each
//! is read and looked up once.

use std::sync::{Arc, Mutex, PoisonError};

use super::parts::{Parts, exchange_prefix};
use super::table::Candidates;
use super::{Table, UrlMap};
use crate::model::{Application, Captured, ExternalUrl, Host, PathPrefix, Scheme};

/// An origin that is the application's own.
#[derive(Debug)]
pub(super) struct Own {
    /// The origin people use; without a scheme where none is written.
    outside: String,
    /// Its paths are those the application knows; else they may be those that people know.
    is_internal: bool,
}

impl Own {
    /// Of a URL that is a path alone.
    pub(super) fn of_paths() -> Self {
        Self {
            outside: String::new(),
            is_internal: true,
        }
    }

    pub(super) fn new(
        scheme: Option<Scheme>,
        external: &ExternalUrl,
        host: &Host,
        is_internal: bool,
    ) -> Self {
        Self {
            outside: written(scheme, external, host),
            is_internal,
        }
    }

    /// The external URL, which may be the same.
    pub(super) fn to_external(
        &self,
        application: &Application,
        parts: &Parts<'_>,
    ) -> Option<String> {
        let path = parts.path();
        let (from, to) = (application.internal.path(), &application.external.path);
        if !self.is_internal && !is_guessed(from, to, path) {
            return None;
        }
        let (prefix, rest) = exchange_prefix(from, to, path)?;
        Some([&*self.outside, prefix, rest, parts.tail].concat())
    }
}

/// The origin of an external URL at a host, with a scheme where the internal one has one.
pub(super) fn written(scheme: Option<Scheme>, external: &ExternalUrl, host: &Host) -> String {
    let scheme = scheme.map_or("", |_| external.scheme.as_str());
    let colon = if scheme.is_empty() { "" } else { ":" };
    [scheme, colon, "//", &external.authority(host)].concat()
}

/// Whether the path of a URL on the external origin is internal. An application writes it either in its own
/// terms (it knows the host from a header) or in external ones (it was told its URL): the longer of the two
/// prefixes it begins with says which.
pub(super) fn is_guessed(internal: &PathPrefix, external: &PathPrefix, path: &str) -> bool {
    let is_in = |prefix: &PathPrefix| prefix.rest(path).is_some() || prefix.is_bare(path);
    let longer = internal.as_str().len() > external.as_str().len();
    !is_in(external) || longer && is_in(internal)
}

/// An origin as the pages of one application mean it.
#[derive(Debug, Default)]
struct Origin {
    own: Option<Own>,
    others: Candidates,
}

/// What pages of an application are read with: who uses it at `host` sees all that is published.
#[derive(Debug)]
pub(in crate::translate) struct KnownOrigins {
    table: Arc<Table>,
    application: Arc<Application>,
    captured: Option<Captured>,
    host: Host,
    /// Which of its internal URLs answers.
    chosen: usize,
    /// As they are written, with what they mean.
    known: Mutex<Vec<(Box<str>, Origin)>>,
}

/// Bounds the memory of a page, with the length of what is kept.
const MOST: usize = 16;

/// A scheme and a host are rarely longer.
const LONGEST: usize = 128;

impl KnownOrigins {
    pub(in crate::translate) const fn new(
        table: Arc<Table>,
        application: Arc<Application>,
        captured: Option<Captured>,
        host: Host,
        chosen: usize,
    ) -> Self {
        Self {
            table,
            application,
            captured,
            host,
            chosen,
            known: Mutex::new(Vec::new()),
        }
    }

    /// The external URL for one in a page: of the application itself as [`UrlMap::to_external`] has it, of
    /// others as [`Table::to_external`]. What lies below both is of the one that is nearer.
    pub(in crate::translate) fn to_external(&self, url: &str) -> Option<String> {
        let parts = Parts::read(url)?;
        // One thread at a time has a page.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.iter().position(|(text, _)| **text == *parts.origin);
        if let Some(place) = place {
            return self.on(&known[place].1, url, &parts);
        }
        let origin = self.find(parts.origin);
        let external = self.on(&origin, url, &parts);
        if parts.origin.len() <= LONGEST {
            if known.len() == MOST {
                known.remove(0);
            }
            known.push((parts.origin.into(), origin));
        }
        external
    }

    fn find(&self, text: &str) -> Origin {
        let captured = self.captured.as_ref();
        let Some(mut map) = UrlMap::new(&self.application, captured, &self.host) else {
            return Origin::default();
        };
        map.choose(self.chosen);
        Origin {
            own: map.own(text),
            others: self.table.candidates(text).unwrap_or_default(),
        }
    }

    fn on(&self, origin: &Origin, url: &str, parts: &Parts<'_>) -> Option<String> {
        let own = origin.own.as_ref();
        let own = own.and_then(|own| own.to_external(&self.application, parts));
        let Some(own) = own.filter(|mapped| mapped != url) else {
            return origin.others.to_external(parts, &self.host);
        };
        let scheme = self.application.internal.all().get(self.chosen)?.scheme;
        let others = &origin.others;
        let nearer = others.nearer((&self.application, scheme), parts, &self.host);
        nearer.or(Some(own))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{application, copies, view};
    use super::*;

    #[test]
    fn what_is_known_of_an_origin_changes_no_answer() {
        let own = Arc::new(copies(
            "https://*.example.com/wiki/",
            &["http://*.corp.local:8888/app/", "https://b.corp.local/app/"],
        ));
        let other = Arc::new(application(
            "https://other.example.org/",
            "http://b.corp.local/x/",
        ));
        let table = Arc::new(Table::new(&[Arc::clone(&own), other]));
        let (captured, host) = view(&own, "a.example.com");
        let chosen = 1;
        let origins = KnownOrigins::new(
            Arc::clone(&table),
            Arc::clone(&own),
            captured.clone(),
            host.clone(),
            chosen,
        );
        let mut map = UrlMap::new(&own, captured.as_ref(), &host).unwrap();
        map.choose(chosen);
        let long = "l".repeat(LONGEST);
        let mut named: Vec<String> = (0..MOST)
            .map(|n| format!("http://n{n}.corp.local:8888"))
            .collect();
        named.extend(
            [
                "http://b.corp.local",
                "https://b.corp.local",
                "//b.corp.local",
                "HTTP://B.corp.local:80",
                "https://a.example.com",
                "http://a.example.com:8888",
                "http://b.corp.local:99999",
                "ftp://b.corp.local",
                "mailto:a@b.corp.local",
                "",
            ]
            .map(str::to_owned),
        );
        named.push(format!("http://{long}.corp.local:8888"));
        let mut changed = 0;
        for _ in 0..2 {
            for origin in &named {
                for path in ["", "/", "/app/y?q", "/app", "/wiki/app/", "/x/y#f", "/a\\b"] {
                    let url = format!("{origin}{path}");
                    let of_maps = map.to_external(&url);
                    let of_maps = of_maps.or_else(|| table.to_external(&url, &host));
                    // The second time it is known.
                    for _ in 0..2 {
                        assert_eq!(origins.to_external(&url), of_maps, "{url}");
                    }
                    changed += usize::from(of_maps.is_some());
                }
            }
        }
        assert!(changed > 60, "{changed}");
        assert!(origins.known.lock().unwrap().len() <= MOST);
    }
}
