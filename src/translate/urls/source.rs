//! Sources of a Content Security Policy: they name hosts, not URLs, and may cover more than one.

use super::parts::{replace_prefix, split_port};
use super::{Place, UrlMap};
use crate::model::{Host, HostPattern, InternalHost, Scheme};

/// What becomes of a source outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::translate) enum Source {
    /// It stays as it is.
    Kept,
    /// It names the application alone: this one does so for people.
    Replaced(String),
    /// It covers the application and others: it stays, and this one is needed beside it.
    Beside(String),
}

/// `scheme://host:port/path`, where all but the host may be missing.
#[derive(Clone, Copy)]
struct HostSource<'a> {
    scheme: Option<SourceScheme>,
    /// Host and port.
    authority: &'a str,
    host: &'a str,
    port: Port,
    path: &'a str,
}

#[derive(Clone, Copy)]
struct SourceScheme {
    /// What carries it: that of `wss` is https.
    scheme: Scheme,
    is_socket: bool,
}

#[derive(Clone, Copy)]
enum Port {
    /// None is written: that of the scheme.
    Usual,
    /// `*`.
    Any,
    This(u16),
}

impl UrlMap<'_> {
    /// The external source for one that an application wrote. A source that is exactly the
    /// application's own is replaced; a wildcard (`*.corp.local`, `wiki.corp.local:*`) is kept,
    /// since others that it covers may be meant too, and does not widen.
    #[must_use]
    pub(in crate::translate) fn source_to_external(&self, source: &str) -> Source {
        let Some(parts) = HostSource::read(source) else {
            return Source::Kept;
        };
        let wide = parts.host.starts_with('*') || matches!(parts.port, Port::Any);
        let external = if wide {
            self.wide_source(&parts)
        } else {
            self.own_source(&parts).map(Source::Replaced)
        };
        match external {
            Some(Source::Replaced(text)) if text == source => Source::Kept,
            Some(external) => external,
            None => Source::Kept,
        }
    }

    fn own_source(&self, parts: &HostSource<'_>) -> Option<String> {
        let place = self.place(parts.scheme.map(|s| s.scheme), parts.authority);
        let (host, path) = match place {
            Some(Place::Internal(host)) => (host, self.source_path(parts.path)?),
            Some(Place::External(host)) => (host, self.guessed_path(parts.path)?),
            // `http:` covers https too, and no scheme covers that of the page.
            None if self.covers_internal(parts) => {
                (self.external_host.clone(), self.source_path(parts.path)?)
            }
            None => return None,
        };
        let authority = self.application.external.authority(&host);
        Some(self.write_source(parts, &authority, &path))
    }

    fn wide_source(&self, parts: &HostSource<'_>) -> Option<Source> {
        let external = &self.application.external;
        if let (Some(suffix), HostPattern::Wildcard { suffix: outside }) =
            (parts.host.strip_prefix("*."), &external.host)
            && !matches!(parts.port, Port::Any)
            && self.is_own_wildcard(parts, suffix)
        {
            // The application's own: every label that it covers is published.
            let path = self.source_path(parts.path)?;
            let port = match external.port {
                usual if usual == external.scheme.default_port() => String::new(),
                port => format!(":{port}"),
            };
            let authority = format!("*.{outside}{port}");
            return Some(Source::Replaced(
                self.write_source(parts, &authority, &path),
            ));
        }
        let seen = (external.scheme, &self.external_host, external.port);
        if !self.covers_internal(parts) || parts.covers(external.scheme, seen) {
            return None;
        }
        let path = self.source_path(parts.path)?;
        let authority = external.authority(&self.external_host);
        Some(Source::Beside(self.write_source(parts, &authority, &path)))
    }

    fn is_own_wildcard(&self, parts: &HostSource<'_>, suffix: &str) -> bool {
        let urls = self.application.internal.all();
        urls.iter().zip(&self.internal_hosts).any(|(url, host)| {
            matches!(&url.host, InternalHost::Wildcard { suffix: own } if own.eq_ignore_ascii_case(suffix))
                && parts.covers(url.scheme, (url.scheme, host, url.port))
        })
    }

    fn covers_internal(&self, parts: &HostSource<'_>) -> bool {
        let urls = self.application.internal.all();
        urls.iter()
            .zip(&self.internal_hosts)
            .any(|(url, host)| parts.covers(url.scheme, (url.scheme, host, url.port)))
    }

    /// The path of a source: none is none, one that ends in `/` covers all below it, any other
    /// itself alone. `None` where nothing that is published is covered.
    fn source_path(&self, path: &str) -> Option<String> {
        let internal = self.application.internal.path();
        let external = &self.application.external.path;
        if path.is_empty() {
            return Some(String::new());
        }
        if path.ends_with('/') && internal.as_str().starts_with(path) {
            return Some(external.as_str().to_owned());
        }
        replace_prefix(internal, external, path)
    }

    fn write_source(&self, parts: &HostSource<'_>, authority: &str, path: &str) -> String {
        let scheme = match (parts.scheme, self.application.external.scheme) {
            (None, _) => "",
            (
                Some(SourceScheme {
                    is_socket: true, ..
                }),
                Scheme::Http,
            ) => "ws://",
            (
                Some(SourceScheme {
                    is_socket: true, ..
                }),
                Scheme::Https,
            ) => "wss://",
            (Some(_), Scheme::Http) => "http://",
            (Some(_), Scheme::Https) => "https://",
        };
        format!("{scheme}{authority}{path}")
    }
}

impl<'a> HostSource<'a> {
    /// `None` for everything else: keywords, nonces, schemes alone, and `*`, which covers
    /// everything already.
    fn read(source: &'a str) -> Option<Self> {
        let strange = |b: u8| !(b'!'..=b'~').contains(&b) || b"?#\\@'\"".contains(&b);
        if source == "*" || source.bytes().any(strange) {
            return None;
        }
        let (scheme, rest) = match source.split_once("://") {
            Some((scheme, rest)) => (Some(SourceScheme::read(scheme)?), rest),
            None => (None, source),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = if let Some(host) = authority.strip_suffix(":*") {
            (host, Port::Any)
        } else {
            let (host, port) = split_port(authority)?;
            (host, port.map_or(Port::Usual, Port::This))
        };
        Some(Self {
            scheme,
            authority,
            host,
            port,
            path,
        })
    }

    /// Whether it covers this origin on a page of that scheme (CSP 3 section 6.7.2.8): http covers
    /// https, no port is the usual one.
    fn covers(&self, page: Scheme, (scheme, host, port): (Scheme, &Host, u16)) -> bool {
        let own = self.scheme.map_or(page, |s| s.scheme);
        let covers_scheme = own == scheme || own == Scheme::Http;
        let covers_port = match self.port {
            Port::Any => true,
            Port::Usual => port == scheme.default_port(),
            Port::This(own) => own == port,
        };
        covers_scheme && covers_port && self.covers_host(host)
    }

    fn covers_host(&self, host: &Host) -> bool {
        if self.host == "*" {
            return true;
        }
        let Some(suffix) = self.host.strip_prefix('*') else {
            return Host::parse(self.host).is_ok_and(|own| own == *host);
        };
        let Some(name) = host.name().filter(|_| suffix.starts_with('.')) else {
            return false;
        };
        let begin = name.len().checked_sub(suffix.len());
        begin.is_some_and(|at| at > 0 && name[at..].eq_ignore_ascii_case(suffix))
    }
}

impl SourceScheme {
    fn read(scheme: &str) -> Option<Self> {
        [
            ("https", Scheme::Https, false),
            ("http", Scheme::Http, false),
            ("wss", Scheme::Https, true),
            ("ws", Scheme::Http, true),
        ]
        .into_iter()
        .find(|(name, ..)| scheme.eq_ignore_ascii_case(name))
        .map(|(_, scheme, is_socket)| Self { scheme, is_socket })
    }
}
