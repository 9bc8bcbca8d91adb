//! The only place a URL changes.
//!
//! A URL in an answer is one of the application's own if it names an internal host of it (each copy
//! may know of the others), or the
//! external host in one of the ways an application guesses it: with the internal scheme, or at
//! the port the application itself listens on. Everything else is somebody else's and stays.
//! Only scheme, host, port and path prefix change; whatever follows is kept octet by octet.

mod back;
mod growth;
mod origin;
mod parts;
mod resource;
mod sites;
mod source;
mod table;

pub(super) use origin::KnownOrigins;
pub(super) use resource::Unpublished;
pub(super) use sites::{Sites, host_of, is_not_public};
pub(super) use source::Source;
pub use table::{Table, has_bodies};

use crate::model::{
    Application, Captured, Endpoint, Host, HostHeader, HostPattern, InternalHost, InternalUrl,
    Scheme,
};
use origin::{Own, is_guessed};
use parts::{Parts, read_authority, read_scheme, replace_prefix};

/// The URLs of one application as one person sees it.
#[derive(Debug, Clone)]
pub struct UrlMap<'a> {
    application: &'a Application,
    external_host: Host,
    /// Of each internal URL, in their order.
    internal_hosts: Vec<Host>,
    /// Which of them the request goes to.
    chosen: usize,
}

/// Whose URL one is, and so what its path means.
enum Place {
    /// The application's own, seen from inside; people find it on this host.
    Internal(Host),
    /// On an external origin of the application.
    External(Host),
}

impl<'a> UrlMap<'a> {
    /// The map for requests to `external_host`, which the application's external URL matched with
    /// `captured`; `None` where the internal URL has a wildcard and nothing was captured, which
    /// configuration excludes.
    #[must_use]
    pub fn new(
        application: &'a Application,
        captured: Option<&Captured>,
        external_host: &Host,
    ) -> Option<Self> {
        let urls = application.internal.all().iter();
        let internal_hosts: Option<Vec<Host>> = urls.map(|url| url.host_for(captured)).collect();
        Some(Self {
            application,
            external_host: external_host.clone(),
            internal_hosts: internal_hosts?,
            chosen: 0,
        })
    }

    /// The request goes to this one of the internal URLs; one that there is not changes nothing.
    /// Without a choice it is the first.
    pub fn choose(&mut self, url: usize) {
        if url < self.internal_hosts.len() {
            self.chosen = url;
        }
    }

    /// The internal URL that was chosen.
    #[must_use]
    pub fn internal(&self) -> &'a InternalUrl {
        &self.application.internal.all()[self.chosen]
    }

    /// Where a connector finds it.
    #[must_use]
    pub fn target(&self) -> Endpoint {
        Endpoint {
            host: self.internal_hosts[self.chosen].clone(),
            port: self.internal().port,
        }
    }

    /// What the application sees as `Host`.
    #[must_use]
    pub fn host_header(&self) -> String {
        match &self.application.host_header {
            HostHeader::Internal => {
                let host = &self.internal_hosts[self.chosen];
                self.internal().authority(host)
            }
            HostHeader::External => self.application.external.authority(&self.external_host),
            HostHeader::Fixed(authority) => authority.to_string(),
        }
    }

    /// The origin people use, as browsers write it.
    #[must_use]
    pub(super) fn external_origin(&self) -> String {
        let external = &self.application.external;
        let scheme = external.scheme.as_str();
        format!("{scheme}://{}", external.authority(&self.external_host))
    }

    /// The application whose URLs these are.
    #[must_use]
    pub fn application(&self) -> &'a Application {
        self.application
    }

    /// The external URL for one that an application wrote: absolute, protocol-relative
    /// (`//host/…`) or root-relative (`/…`). `None` where it stays as it is: not the
    /// application's, not published, relative, or the same already.
    #[must_use]
    pub fn to_external(&self, url: &str) -> Option<String> {
        let parts = Parts::read(url)?;
        let own = self.own(parts.origin)?;
        let mapped = own.to_external(self.application, &parts)?;
        (mapped != url).then_some(mapped)
    }

    /// The external origin for one that an application wrote, with scheme and without a path;
    /// `None` where it stays: not the application's own, or external already.
    #[must_use]
    pub(super) fn origin_to_external(&self, origin: &str) -> Option<String> {
        let (scheme, authority) = origin.split_once("://")?;
        let Place::Internal(host) = self.place(Some(read_scheme(scheme)?), authority)? else {
            return None;
        };
        let external = &self.application.external;
        let scheme = external.scheme.as_str();
        let mapped = format!("{scheme}://{}", external.authority(&host));
        (mapped != origin).then_some(mapped)
    }

    /// The external path for one below the internal path, on segment boundaries; `None` for any
    /// other.
    #[must_use]
    pub(super) fn path_to_external(&self, path: &str) -> Option<String> {
        let from = self.application.internal.path();
        replace_prefix(from, &self.application.external.path, path)
    }

    /// What an application that is to see its own origin instead of the external one finds in
    /// `Origin` or `Referer`; `None` where the URL is not exactly on the external origin, or not
    /// below the external path, or the application sees the external host anyway (DESIGN 8, rule
    /// 18: a foreign origin passes unchanged).
    #[must_use]
    pub fn to_internal(&self, url: &str) -> Option<String> {
        let (external, internal) = (&self.application.external, self.internal());
        if self.application.host_header == HostHeader::External {
            return None;
        }
        let authority = self.host_header();
        let rest = url
            .strip_prefix(external.scheme.as_str())?
            .strip_prefix("://")?
            .strip_prefix(external.authority(&self.external_host).as_str())?;
        let scheme = internal.scheme.as_str();
        if rest.is_empty() {
            return Some(format!("{scheme}://{authority}"));
        }
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        let (path, tail) = rest.split_at(end);
        let path = replace_prefix(&external.path, &internal.path, path)?;
        Some(format!("{scheme}://{authority}{path}{tail}"))
    }

    /// What people find at an origin, if it is the application's own.
    fn own(&self, origin: &str) -> Option<Own> {
        if origin.is_empty() {
            return Some(Own::of_paths());
        }
        let (scheme, authority) = parts::split_origin(origin)?;
        let (host, is_internal) = match self.place(scheme, authority)? {
            Place::Internal(host) => (host, true),
            Place::External(host) => (host, false),
        };
        let external = &self.application.external;
        Some(Own::new(scheme, external, &host, is_internal))
    }

    fn place(&self, scheme: Option<Scheme>, authority: &str) -> Option<Place> {
        let (host, port) = read_authority(authority)?;
        // The one that answers is the likeliest, and the one whose scheme a URL without one takes.
        let others = (0..self.internal_hosts.len()).filter(|&url| url != self.chosen);
        std::iter::once(self.chosen)
            .chain(others)
            .find_map(|url| self.place_seen_by(url, scheme, &host, port))
    }

    /// The same, as one of the internal URLs sees it.
    fn place_seen_by(
        &self,
        url: usize,
        scheme: Option<Scheme>,
        host: &Host,
        port: Option<u16>,
    ) -> Option<Place> {
        let external = &self.application.external;
        let internal = &self.application.internal.all()[url];
        // A protocol-relative URL takes the scheme of the page, which is the external one for
        // people and the internal one for the application that wrote it.
        let outside = scheme.unwrap_or(external.scheme);
        let inside = scheme.unwrap_or(internal.scheme);
        let port_for = |scheme: Scheme| port.unwrap_or_else(|| scheme.default_port());
        let seen = port_for(outside);
        if self.is_external(host) {
            if outside == external.scheme && seen == external.port {
                return Some(Place::External(host.clone()));
            }
            let own_port = port_for(inside) == internal.port;
            let own_scheme = scheme == Some(internal.scheme)
                && (seen == external.port || seen == inside.default_port());
            return (own_port || own_scheme).then(|| Place::Internal(host.clone()));
        }
        if inside != internal.scheme || port_for(inside) != internal.port {
            return None;
        }
        self.outside(url, host).map(Place::Internal)
    }

    fn is_external(&self, host: &Host) -> bool {
        *host == self.external_host || self.application.external.host.matches(host).is_some()
    }

    /// The external host for an internal one; of a wildcard every label is published.
    fn outside(&self, url: usize, host: &Host) -> Option<Host> {
        if *host == self.internal_hosts[url] {
            return Some(self.external_host.clone());
        }
        let internal = &self.application.internal.all()[url];
        let InternalHost::Wildcard { suffix } = &internal.host else {
            return None;
        };
        let HostPattern::Wildcard { suffix: external } = &self.application.external.host else {
            return None;
        };
        let (label, rest) = host.name()?.split_once('.')?;
        let label = Captured::new(label).filter(|_| rest == &**suffix)?;
        Host::parse(&format!("{}.{external}", label.as_str())).ok()
    }

    /// The path of a URL on the external origin, where it is internal.
    fn guessed_path(&self, path: &str) -> Option<String> {
        let (internal, external) = (
            self.application.internal.path(),
            &self.application.external.path,
        );
        is_guessed(internal, external, path)
            .then(|| self.path_to_external(path))
            .flatten()
    }
}

#[cfg(test)]
mod tests;
