//! External URLs in what people send become internal again.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::parts::{Parts, read_authority, replace_prefix, split_origin};
use crate::model::{
    Application, Captured, ExternalUrl, Host, HostHeader, HostPattern, Mode, Scheme,
};

/// External URLs of all applications, and what they are inside.
#[derive(Debug, Default)]
pub(super) struct Back {
    /// By host and port, the longest path first.
    exact: HashMap<(Host, u16), Vec<Entry>>,
    /// By what follows `*.`, and port.
    wildcard: HashMap<(Arc<str>, u16), Vec<Entry>>,
}

/// An external URL of an application.
#[derive(Debug)]
struct Entry {
    external: ExternalUrl,
    application: Arc<Application>,
}

impl Back {
    /// One that is shown the external host knows itself by it, and keeps it in what it stores.
    pub(super) fn new(applications: &[Arc<Application>]) -> Self {
        let mut back = Self::default();
        let known = |one: &&Arc<Application>| {
            one.mode == Mode::Http && one.host_header != HostHeader::External
        };
        for application in applications.iter().filter(known) {
            for external in application.external_urls() {
                let entry = Entry {
                    external: external.clone(),
                    application: Arc::clone(application),
                };
                let all = match &external.host {
                    HostPattern::Exact(host) => {
                        let key = (host.clone(), external.port);
                        back.exact.entry(key).or_default()
                    }
                    HostPattern::Wildcard { suffix } => {
                        let key = (Arc::clone(suffix), external.port);
                        back.wildcard.entry(key).or_default()
                    }
                };
                all.push(entry);
            }
        }
        for entries in back.exact.values_mut().chain(back.wildcard.values_mut()) {
            entries.sort_by_key(|one| Reverse(one.external.path.as_str().len()));
        }
        back
    }

    /// Every host that one of the external URLs has, lower case; of a wildcard what follows `*.`.
    pub(super) fn hosts(&self) -> impl Iterator<Item = String> {
        let exact = self.exact.keys().map(|(host, _)| host.to_string());
        let wildcard = self.wildcard.keys().map(|(suffix, _)| suffix.to_string());
        exact.chain(wildcard)
    }

    /// The internal URL for an external one of any application, absolute or protocol-relative; `None` where
    /// nothing is published there.
    pub(super) fn to_internal(&self, url: &str) -> Option<String> {
        let parts = Parts::read(url)?;
        let (path, tail) = (parts.path(), parts.tail);
        let (scheme, authority) = split_origin(parts.origin)?;
        let (host, port) = read_authority(authority)?;
        let schemes = [Scheme::Https, Scheme::Http].into_iter();
        let mut schemes = schemes.filter(|one| scheme.is_none_or(|written| written == *one));
        let (application, label, path) =
            schemes.find_map(|outside| self.find((outside, &host, port), path))?;
        let internal = application.internal.all().first()?;
        let authority = internal.authority(&internal.host_for(label.as_ref())?);
        Some(match scheme {
            Some(_) => {
                let scheme = internal.scheme.as_str();
                format!("{scheme}://{authority}{path}{tail}")
            }
            None => format!("//{authority}{path}{tail}"),
        })
    }

    fn find(
        &self,
        (scheme, host, port): (Scheme, &Host, Option<u16>),
        path: &str,
    ) -> Option<(&Application, Option<Captured>, String)> {
        let port = port.unwrap_or_else(|| scheme.default_port());
        let exact = self.exact.get(&(host.clone(), port));
        let exact = exact.into_iter().flatten().map(|entry| (None, entry));
        let of_label = host.name().and_then(|name| name.split_once('.'));
        let of_label = of_label.and_then(|(label, suffix)| {
            let entries = self.wildcard.get(&(suffix.into(), port))?;
            Some((Captured::new(label)?, entries))
        });
        let wildcard = of_label.into_iter().flat_map(|(label, entries)| {
            let entries = entries.iter();
            entries.map(move |entry| (Some(label.clone()), entry))
        });
        exact.chain(wildcard).find_map(|(label, entry)| {
            let Entry {
                external,
                application,
            } = entry;
            if external.scheme != scheme {
                return None;
            }
            let path = replace_prefix(&external.path, application.internal.path(), path)?;
            Some((&**application, label, path))
        })
    }
}
