//! What the gateway itself says for an application: `hsts`, `maintenance`, `robots`, `home_path`, and how
//! the launcher shows it.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::field::Field;
use super::file::did_you_mean;
use super::section::Section;
use super::{brand, cors};
use crate::model::{ExternalUrl, Front, Hsts, Maintenance, Scheme};

/// What lists of sites that are delivered with browsers demand (hstspreload.org).
const PRELOAD: Duration = Duration::from_secs(365 * 86400);

/// Of a message, in characters: some sentences.
const MESSAGE: usize = 1000;

/// What holds where an application says nothing else.
#[derive(Debug, Clone, Default)]
pub(super) struct Common {
    pub(super) hsts: Option<Hsts>,
    pub(super) denies_robots: bool,
    pub(super) maintenance: Option<Arc<Maintenance>>,
}

/// `hsts` and `robots` of `defaults:`.
pub(super) fn defaults(section: &Section<'_>) -> Common {
    Common {
        hsts: section.optional("hsts").and_then(hsts).flatten(),
        denies_robots: section
            .optional("robots")
            .and_then(robots)
            .unwrap_or_default(),
        maintenance: None,
    }
}

/// The keys of an application with this external URL.
pub(super) fn front(
    section: &Section<'_>,
    urls: &[&ExternalUrl],
    folder: &Path,
    common: &Common,
) -> Option<Front> {
    let external = urls.first().copied();
    let hsts = match section.optional("hsts") {
        Some(field) if external.is_some_and(|url| url.scheme == Scheme::Http) => field.refuse(
            "conflict",
            "browsers take this over TLS alone, and the external URL is http",
            "publish the application with https, or remove this",
        ),
        Some(field) => hsts(field),
        None => Some(common.hsts),
    };
    let maintenance = match section.optional("maintenance") {
        Some(field) => maintenance(field),
        None => Some(common.maintenance.clone()),
    };
    let denies_robots = match section.optional("robots") {
        Some(field) => robots(field),
        None => Some(common.denies_robots),
    };
    let home = section
        .optional("home_path")
        .map(|field| home_path(field, external));
    let clears_site_data = section.optional("clear_site_data").map(Field::boolean);
    let cors = section
        .optional("cors")
        .map(|field| cors::cors(field, urls));
    let cache = section.optional("cache").map(cache);
    let icon = section
        .optional("icon")
        .map(|field| brand::logo(field, folder));
    let is_hidden = section.optional("hidden").map(Field::boolean);
    Some(Front {
        hsts: hsts?,
        maintenance: maintenance?,
        denies_robots: denies_robots?,
        home: match home {
            Some(read) => Some(read?),
            None => None,
        },
        clears_site_data: clears_site_data.unwrap_or(Some(false))?,
        cors: match cors {
            Some(read) => Some(read?),
            None => None,
        },
        is_cached_for_all: cache.unwrap_or(Some(false))?,
        icon: match icon {
            Some(read) => Some(Arc::new(read?)),
            None => None,
        },
        is_hidden: is_hidden.unwrap_or(Some(false))?,
    })
}

/// Whether what it says of caches counts as it stands.
fn cache(field: Field<'_>) -> Option<bool> {
    match field.text()? {
        "private" => Some(false),
        "application" => Some(true),
        other => field.refuse(
            "bad_value",
            format!("`{other}` is nothing to do with caches"),
            "write `private`, or `application` to leave it to the application",
        ),
    }
}

/// A section, or `none` where `defaults:` says otherwise.
fn hsts(field: Field<'_>) -> Option<Option<Hsts>> {
    if field.is_word("none") {
        return Some(None);
    }
    field.section(&[], |section| {
        let max_age = section.required("max_age", "365d").map(Field::duration);
        let flag = |name| {
            let field = section.optional(name);
            (field, field.map_or(Some(false), Field::boolean))
        };
        let (_, include_subdomains) = flag("include_subdomains");
        let (at_preload, preload) = flag("preload");
        let (max_age, include_subdomains) = (max_age??, include_subdomains?);
        let preload = preload?;
        if let Some(field) = at_preload.filter(|_| preload)
            && (!include_subdomains || max_age < PRELOAD)
        {
            return field.refuse(
                "conflict",
                "no browser is delivered with a promise for less than a year or without its subdomains",
                "add `include_subdomains: true` and `max_age: 365d` or more, or remove this",
            );
        }
        Some(Some(Hsts {
            max_age,
            include_subdomains,
            preload,
        }))
    })?
}

/// `true`, `false`, or a section with what is to be said and for whom it stays open.
pub(super) fn maintenance(field: Field<'_>) -> Option<Option<Arc<Maintenance>>> {
    if field.is_word("true") || field.is_word("false") {
        let closed = field.boolean()?;
        return Some(closed.then(Arc::default));
    }
    field.section(&[], |section| {
        let message = section.optional("message").map(message);
        let retry_after = section.optional("retry_after").map(Field::duration);
        let allow = section
            .optional("allow")
            .map(|field| field.distinct(network));
        Some(Some(Arc::new(Maintenance {
            message: match message {
                Some(read) => Some(read?),
                None => None,
            },
            retry_after: match retry_after {
                Some(read) => Some(read?),
                None => None,
            },
            allow: allow.unwrap_or_else(|| Some(Vec::new()))?,
        })))
    })?
}

fn message(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    if text.chars().count() > MESSAGE {
        return field.refuse(
            "out_of_range",
            format!("the message is longer than {MESSAGE} characters"),
            "write some sentences, and put the rest on a page of its own",
        );
    }
    // Lines of the file are not lines of the page.
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(words.join(" ").into())
}

/// A network of IPv4 addresses that is written as one of IPv6 (`::ffff:192.0.2.0/120`), as addresses are
/// compared.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else {
        return network;
    };
    let length = six.prefix_len().checked_sub(96);
    let four = six.addr().to_ipv4_mapped().zip(length);
    let four = four.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    four.map_or(network, IpNet::V4)
}

/// An address or a network.
pub(super) fn network(field: Field<'_>) -> Option<IpNet> {
    let text = field.text()?;
    let network = match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse::<IpNet>().ok().map(unmapped),
    };
    match network {
        Some(network) if network.addr() == network.network() => Some(network),
        Some(network) => field.refuse(
            "bad_network",
            format!("`{text}` is an address within a network"),
            format!(
                "write `{}`, or the address without its length",
                network.trunc()
            ),
        ),
        None => field.refuse(
            "bad_network",
            format!("`{text}` is no address and no network"),
            "write `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/32`",
        ),
    }
}

/// Whether search engines are told to stay away.
fn robots(field: Field<'_>) -> Option<bool> {
    let text = field.text()?;
    match text {
        "deny" => Some(true),
        "application" => Some(false),
        _ => field.refuse(
            "bad_value",
            format!("`{text}` is nothing that is said to search engines"),
            did_you_mean(text, &["deny", "application"]).unwrap_or_else(|| {
                "write `deny` to keep them away, or `application` to leave it to the application"
                    .to_owned()
            }),
        ),
    }
}

fn home_path(field: Field<'_>, external: Option<&ExternalUrl>) -> Option<Arc<str>> {
    let text = field.text()?;
    // SECURITY: a second slash, or a backslash that browsers take for one, would name a host.
    let is_path = text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let has_dots = text[..end].split('/').any(|s| matches!(s, "." | ".."));
    if !is_path || has_dots {
        return field.refuse(
            "bad_path",
            format!("`{text}` is no path of this host"),
            "write a path such as `/start` or `/app/#/home`, percent-encoded where it is not ASCII",
        );
    }
    let root = external?.path.as_str();
    if !text.starts_with(root) {
        return field.refuse(
            "bad_path",
            format!("`{text}` is not below `{root}`, where the application is published"),
            format!("write a path that begins with `{root}`"),
        );
    }
    if &text[..end] == root && !text[end..].starts_with('?') {
        return field.refuse(
            "bad_path",
            "this is the root itself, and whoever asks for that is sent here: it would never end",
            "write another path, add a query, or remove the line",
        );
    }
    Some(text.into())
}
