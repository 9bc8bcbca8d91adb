//! `link_translation` of an application.

use super::field::Field;
use super::file::did_you_mean;
use crate::model::{BodyKind, ExternalUrl, Host, HostPattern, LinkTranslation};

/// Reads `link_translation` of an application with this external URL.
pub(super) fn link_translation(
    field: Field<'_>,
    outside: &[&ExternalUrl],
) -> Option<LinkTranslation> {
    field.section(&[], |section| {
        let headers = section.optional("headers").map(Field::boolean);
        let body = section.optional("body").map(|field| field.distinct(kind));
        let domains = section
            .optional("cookie_domains")
            .map(|field| field.distinct(|field| cookie_domain(field, outside)));
        Some(LinkTranslation {
            headers: headers.unwrap_or(Some(true))?,
            body: body.unwrap_or_else(|| Some(Vec::new()))?,
            cookie_domains: domains.unwrap_or_else(|| Some(Vec::new()))?,
        })
    })?
}

/// A kind of body.
fn kind(field: Field<'_>) -> Option<BodyKind> {
    const LATER: &[&str] = &["json", "javascript", "xml", "text"];
    let text = field.text()?;
    if let Some(kind) = BodyKind::ALL.into_iter().find(|kind| kind.as_str() == text) {
        return Some(kind);
    }
    if LATER.contains(&text) {
        return field.not_built(text);
    }
    let words = BodyKind::ALL.map(BodyKind::as_str);
    field.refuse(
        "bad_value",
        format!("`{text}` is no kind of body that can be looked through"),
        did_you_mean(text, &words).unwrap_or_else(|| format!("write {}", words.join(" or "))),
    )
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
