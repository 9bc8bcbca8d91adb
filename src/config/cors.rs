//! `cors`: which pages of other origins may ask an application for something.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::field::Field;
use crate::model::{Cors, ExternalUrl, provider_url};

/// What browsers remember where nothing is said; Chromium takes two hours at most.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Reads the section, of an application with these external URLs.
pub(super) fn cors(field: Field<'_>, own: &[&ExternalUrl]) -> Option<Arc<Cors>> {
    field.section(&[], |section| {
        let origins = section.required("origins", "[\"https://portal.example.com\"]");
        let origins = origins.map(|field| (field, field.distinct(|item| origin(item, own))));
        let methods = section.optional("methods").map(|f| f.distinct(method));
        let headers = section.optional("headers").map(|f| f.distinct(header));
        let expose = section.optional("expose").map(|f| f.distinct(header));
        let credentials = section.optional("credentials").map(Field::boolean);
        let max_age = section.optional("max_age").map(Field::duration);
        let none = || Some(Vec::new());
        let (at_origins, origins) = origins?;
        let (origins, credentials) = (origins?, credentials.unwrap_or(Some(false))?);
        if credentials && origins.iter().any(|origin| !is_safe(origin)) {
            return at_origins.refuse(
                "conflict",
                "with `credentials` a page over plain http may act for people, and anybody on the way writes such pages",
                "write https origins; http is for `localhost` and loopback addresses",
            );
        }
        Some(Arc::new(Cors {
            origins,
            methods: methods.unwrap_or_else(none)?,
            headers: headers.unwrap_or_else(none)?,
            expose: expose.unwrap_or_else(none)?,
            credentials,
            max_age: max_age.unwrap_or(Some(MAX_AGE))?,
        }))
    })?
}

/// Whether nobody between can write the pages of an origin.
fn is_safe(origin: &str) -> bool {
    origin.starts_with("https://") || provider_url(origin).is_ok()
}

fn origin(field: Field<'_>, own: &[&ExternalUrl]) -> Option<Arc<str>> {
    const FORM: &str = "write scheme and host of one site, and a port where it has one of its own, such as \
                        `https://portal.example.com`";
    let text = field.text()?;
    let why = match text {
        "*" => "any page at all could have a browser ask in somebody's name",
        "null" => "this is the origin of pages that hide theirs, which anybody can make",
        _ => match Cors::origin(text) {
            Some(origin) => {
                let is_own = own.iter().any(|url| {
                    let scheme = url.scheme.as_str();
                    match &url.host {
                        crate::model::HostPattern::Exact(host) => {
                            *origin == format!("{scheme}://{}", url.authority(host))
                        }
                        crate::model::HostPattern::Wildcard { .. } => false,
                    }
                });
                if !is_own {
                    return Some(origin);
                }
                "this is the application's own origin, which needs no rule"
            }
            None => "this is no origin of pages",
        },
    };
    field.refuse("bad_origin", why, FORM)
}

fn method(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let known = Method::from_bytes(text.as_bytes());
    // A browser compares octet by octet.
    let good = known.is_ok_and(|method| method != Method::CONNECT && method != Method::TRACE)
        && text
            .bytes()
            .all(|octet| octet.is_ascii_uppercase() || octet == b'-');
    if !good {
        return field.refuse(
            "bad_value",
            format!("`{text}` is no method that a page could use"),
            "write it in capital letters, such as `PUT`",
        );
    }
    Some(text.into())
}

fn header(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let name = text.parse::<HeaderName>().ok();
    match name.filter(|_| text != "*") {
        Some(name) => Some(name.as_str().into()),
        None => field.refuse(
            "bad_value",
            format!("`{text}` is no name of a header"),
            "write one name such as `x-requested-with`; there is no sign for all",
        ),
    }
}
