//! The only place a URL changes.
//!
//! A URL in an answer is one of the application's own if it names an internal host of it (each copy
//! may know of the others), or the
//! external host in one of the ways an application guesses it: with the internal scheme, or at
//! the port the application itself listens on. Everything else is somebody else's and stays.
//! Only scheme, host, port and path prefix change; whatever follows is kept octet by octet.

mod resource;
mod source;
mod table;

pub(super) use resource::Unpublished;
pub(super) use source::Source;
pub use table::{Table, has_bodies};

use crate::model::{
    Application, Captured, Endpoint, Host, HostHeader, HostPattern, InternalHost, InternalUrl,
    PathPrefix, Scheme,
};

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

/// 253 characters of a name, four octets each where they are not ASCII, and a port.
const LONGEST_AUTHORITY: usize = 1024;

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
        let end = url.find(['?', '#']).unwrap_or(url.len());
        let (before, tail) = url.split_at(end);
        // Browsers take `\` for `/` and skip tabs inside URLs. What we and they would read
        // differently is left as it came.
        if before.bytes().any(|b| b == b'\\' || b.is_ascii_control()) {
            return None;
        }
        let mapped = if let Some(rest) = before.strip_prefix("//") {
            let (authority, path) = self.absolute(None, rest)?;
            format!("//{authority}{path}{tail}")
        } else if before.starts_with('/') {
            format!("{}{tail}", self.path_to_external(before)?)
        } else {
            let (scheme, rest) = before.split_once("://")?;
            let (authority, path) = self.absolute(Some(read_scheme(scheme)?), rest)?;
            let scheme = self.application.external.scheme.as_str();
            format!("{scheme}://{authority}{path}{tail}")
        };
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

    /// Authority and path for what follows `//`.
    fn absolute(&self, scheme: Option<Scheme>, rest: &str) -> Option<(String, String)> {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        let (host, path) = match self.place(scheme, authority)? {
            Place::Internal(host) => (host, self.path_to_external(path)?),
            Place::External(host) => (host, self.guessed_path(path)?),
        };
        Some((self.application.external.authority(&host), path))
    }

    fn place(&self, scheme: Option<Scheme>, authority: &str) -> Option<Place> {
        // No name is longer, in any script; reading one takes more than linear time.
        if authority.len() > LONGEST_AUTHORITY {
            return None;
        }
        let (host, port) = split_port(authority)?;
        let host = Host::parse(host).ok()?;
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

    /// The path of a URL on the external origin, which an application wrote either in its own
    /// terms (it knows the host from a header) or in external ones (it was told its URL). The
    /// longer of the two prefixes it begins with says which; `None` where it is external.
    fn guessed_path(&self, path: &str) -> Option<String> {
        let internal = self.application.internal.path();
        let external = &self.application.external.path;
        let is_in = |prefix: &PathPrefix| prefix.rest(path).is_some() || prefix.is_bare(path);
        let longer = internal.as_str().len() > external.as_str().len();
        if is_in(external) && !(longer && is_in(internal)) {
            return None;
        }
        self.path_to_external(path)
    }
}

fn read_scheme(scheme: &str) -> Option<Scheme> {
    [Scheme::Https, Scheme::Http]
        .into_iter()
        .find(|s| scheme.eq_ignore_ascii_case(s.as_str()))
}

/// `host` and port; `None` with user information or a malformed port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    if authority.contains('@') {
        return None;
    }
    // The colons of an IPv6 address stand inside its brackets.
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[bracket..].find(':') else {
        return Some((authority, None));
    };
    let (host, port) = authority.split_at(bracket + colon);
    let digits = &port[1..];
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let port = digits.parse().ok().filter(|_| plain)?;
    Some((host, Some(port)))
}

/// Puts `to` in the place of `from`; a path that is `from` without its last slash stays without.
fn replace_prefix(from: &PathPrefix, to: &PathPrefix, path: &str) -> Option<String> {
    if let Some(rest) = from.rest(path) {
        return Some(format!("{}{rest}", to.as_str()));
    }
    if !from.is_bare(path) {
        return None;
    }
    let bare = to.as_str().strip_suffix('/').filter(|b| !b.is_empty());
    Some(bare.unwrap_or(to.as_str()).to_owned())
}

#[cfg(test)]
mod tests;
