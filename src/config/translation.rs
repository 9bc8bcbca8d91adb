//! `link_translation` of an application.

use super::field::Field;
use crate::model::{ExternalUrl, Host, HostPattern, LinkTranslation};

/// Keys that the documents describe, not built yet.
const LATER: &[&str] = &["body"];

/// Reads `link_translation` of an application with this external URL.
pub(super) fn link_translation(
    field: Field<'_>,
    outside: &[&ExternalUrl],
) -> Option<LinkTranslation> {
    field.section(LATER, |section| {
        let headers = section.optional("headers").map(Field::boolean);
        let domains = section
            .optional("cookie_domains")
            .map(|field| field.distinct(|field| cookie_domain(field, outside)));
        Some(LinkTranslation {
            headers: headers.unwrap_or(Some(true))?,
            cookie_domains: domains.unwrap_or_else(|| Some(Vec::new()))?,
        })
    })?
}

/// A domain that browsers take from this application: its host, or one above it.
fn cookie_domain(field: Field<'_>, outside: &[&ExternalUrl]) -> Option<Host> {
    let remedy = "write the external host or a domain above it, such as `example.com` for \
                  `wiki.example.com`";
    let domain = field.parse_host(remedy, Host::parse)?;
    let name = domain.name().filter(|name| name.contains('.'));
    let is_above = |host: &str| {
        let above = |name: &str| {
            host.strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        name.is_some_and(|name| host == name || above(name))
    };
    let is_own = outside.iter().any(|url| match &url.host {
        HostPattern::Exact(host) => host.name().is_some_and(is_above),
        HostPattern::Wildcard { suffix } => is_above(suffix),
    });
    // Where there is none, the external URL is at fault, and says so.
    if !is_own && !outside.is_empty() {
        let what = format!("no browser takes a cookie for `{domain}` from this application");
        return field.refuse("bad_host", what, remedy);
    }
    Some(domain)
}
