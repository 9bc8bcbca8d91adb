//! URLs in requests that name a resource of the application beside the one asked for: WebDAV's
//! `Destination` and `If` (RFC 4918 sections 10.3 and 10.4).

use super::UrlMap;
use super::parts::{read_scheme, replace_prefix, split_port};
use crate::http::canonical;
use crate::model::Host;

/// A resource that is not published, in words that an application could take for one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it names a resource outside the published path, or cannot be read; it must be below the \
     application's external URL"
)]
pub(in crate::translate) struct Unpublished;

impl UrlMap<'_> {
    /// The internal URL for one on the external origin and below the external path, absolute or
    /// root-relative, with scheme and authority as the application sees them; `None` where it
    /// stays as it is. A resource of somebody else stays: it is for the application to say that
    /// it cannot reach another server (502, RFC 4918 section 9.8.5).
    ///
    /// # Errors
    /// SECURITY: applications often read the path alone, and know names of themselves that we do
    /// not. Whatever stays must therefore be below the internal path whoever's it is, or a person
    /// could copy into what is not published.
    pub(in crate::translate) fn resource_to_internal(
        &self,
        url: &str,
    ) -> Result<Option<String>, Unpublished> {
        let external = &self.application.external;
        let internal = self.application.internal.path();
        let (before, tail) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
        let (origin, path) = split_origin(before);
        let all_is_published = external.path.is_root() && internal.is_root();
        let is_sound = all_is_published || canonical(path, true).is_ok();
        // `//host/…` is on another one, to those who know that form.
        let is_own = match origin {
            Some(origin) => self.is_own_origin(origin),
            None => !path.starts_with("//"),
        };
        let mapped = replace_prefix(&external.path, internal, path).filter(|_| is_own && is_sound);
        if let Some(mapped) = mapped {
            let mapped = match origin {
                None => format!("{mapped}{tail}"),
                Some(_) => {
                    let scheme = self.internal().scheme.as_str();
                    format!("{scheme}://{}{mapped}{tail}", self.host_header())
                }
            };
            return Ok((mapped != url).then_some(mapped));
        }
        self.allow_as_it_is(url).map(|()| None)
    }

    /// Whether a URL that is not translated may reach the application.
    ///
    /// # Errors
    /// See [`UrlMap::resource_to_internal`].
    pub(in crate::translate) fn allow_as_it_is(&self, url: &str) -> Result<(), Unpublished> {
        let internal = self.application.internal.path();
        let (origin, path) = split_origin(url.split(['?', '#']).next().unwrap_or_default());
        let is_below = internal.rest(path).is_some() || internal.is_bare(path);
        // Some take `\` for `/`, and so read another path.
        let is_plain = !origin.is_some_and(|origin| origin.contains('\\'));
        let stays_inside = is_below && is_plain && canonical(path, true).is_ok();
        if internal.is_root() || stays_inside {
            Ok(())
        } else {
            Err(Unpublished)
        }
    }

    /// Whether this is the origin that people use. Clients write it as they like: with another
    /// case, or with a port that need not be written.
    fn is_own_origin(&self, origin: &str) -> bool {
        let external = &self.application.external;
        let own = || {
            let (scheme, authority) = origin.split_once("://")?;
            let scheme = read_scheme(scheme).filter(|scheme| *scheme == external.scheme)?;
            let (host, port) = split_port(authority)?;
            let port = port.unwrap_or_else(|| scheme.default_port());
            let host = Host::parse(host).ok()?;
            Some(port == external.port && host == self.external_host)
        };
        own().unwrap_or(false)
    }
}

/// `scheme://authority` and the path; no origin where the URL has no scheme.
fn split_origin(url: &str) -> (Option<&str>, &str) {
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    let scheme = url
        .find("://")
        .filter(|&end| url[..end].bytes().all(is_scheme));
    let Some(scheme) = scheme else {
        return (None, url);
    };
    let authority = scheme + 3;
    let end = url[authority..].find('/').map(|at| authority + at);
    match end {
        Some(end) => (Some(&url[..end]), &url[end..]),
        None => (Some(url), "/"),
    }
}
