//! Where people find an application: `external_url` and `alternate_external_urls`.

use super::application::Common;
use super::field::Field;
use super::section::Section;
use crate::model::{ApplicationName, ExternalUrl, Place, Scheme};

/// The external URL as written, or that of name and default domain.
pub(super) fn external_url(
    section: &Section<'_>,
    name: Option<&(ApplicationName, Place)>,
    common: &Common,
) -> Option<(ExternalUrl, Place)> {
    if let Some(field) = section.optional("external_url") {
        let url = written_url(field, common)?;
        return Some((url, field.place().clone()));
    }
    let Some(domain) = &common.domain else {
        section.missing(
            "external_url",
            "add it, such as `external_url: https://wiki.example.com/`, or set `default_domain` \
             for all applications",
        );
        return None;
    };
    let (Some(domain), Some((name, place))) = (domain, name) else {
        return None;
    };
    match ExternalUrl::parse(&format!("https://{name}.{domain}/")) {
        Ok(url) => Some((url, place.clone())),
        Err(error) => {
            section.error_at_key(
                "external_url",
                "bad_host",
                &error.to_string(),
                "choose a shorter name or domain, or write `external_url`",
            );
            None
        }
    }
}

fn written_url(field: Field<'_>, common: &Common) -> Option<ExternalUrl> {
    let url = field.parse_host(
        "write scheme, host and path, such as `https://wiki.example.com/`",
        ExternalUrl::parse,
    )?;
    if url.scheme == Scheme::Http && !common.serves_http {
        return field.refuse(
            "no_http_listener",
            format!("`{url}` is http, and `listen.http` is missing"),
            "add `listen.http`, or publish the application with https",
        );
    }
    Some(url)
}

/// `alternate_external_urls`: those that could be read, with their places, and all of them where each
/// could.
pub(super) fn alternates(
    section: &Section<'_>,
    external: Option<&ExternalUrl>,
    common: &Common,
) -> (Vec<(ExternalUrl, Place)>, Option<Vec<ExternalUrl>>) {
    let Some(field) = section.optional("alternate_external_urls") else {
        return (Vec::new(), Some(Vec::new()));
    };
    let read = field.distinct(|field| {
        let url = alternate(field, external, common)?;
        Some((url, field.place().clone()))
    });
    let urls = read.as_ref();
    let urls = urls.map(|read| read.iter().map(|(url, _)| url.clone()).collect());
    (read.unwrap_or_default(), urls)
}

/// Another external URL of an application that has `external` already.
fn alternate(
    field: Field<'_>,
    external: Option<&ExternalUrl>,
    common: &Common,
) -> Option<ExternalUrl> {
    let url = written_url(field, common)?;
    match external {
        Some(first) if first.path != url.path => field.refuse(
            "different_path",
            format!(
                "the path is `{}`, and that of the external URL is `{}`",
                url.path.as_str(),
                first.path.as_str()
            ),
            "give both the same path: only scheme, host and port may differ",
        ),
        _ => Some(url),
    }
}
