//! What an application says of its copies, and how requests are shared out among them.

use std::sync::Arc;
use std::time::Duration;

use super::field::Field;
use super::file::did_you_mean;
use super::section::Section;
use crate::model::{Affinity, HealthCheck, InternalHost, InternalUrl, InternalUrls};

/// From one question to the next where nothing is said, and the shortest time that can be: more
/// often is load on every copy from every connector, and nothing anybody waits for.
const INTERVAL: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_secs(1);

/// How long an answer may take where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `internal_url`, or `internal_urls` for equal copies; exactly one of the two.
pub(super) fn internal_urls(
    section: &Section<'_>,
    read: impl Fn(Field<'_>) -> Option<InternalUrl>,
) -> Option<InternalUrls> {
    let Some(list) = section.optional("internal_urls") else {
        let one = section.required("internal_url", "http://wiki.corp.local:8888/");
        return InternalUrls::new(vec![one.and_then(read)?]);
    };
    if let Some(one) = section.optional("internal_url") {
        one.refuse::<()>(
            "conflict",
            "`internal_urls` says the same in another way",
            "keep one of the two",
        );
        read(one);
    }
    let first = std::cell::OnceCell::new();
    let urls = list.distinct(|field| {
        let url = read(field)?;
        let first: &InternalUrl = first.get_or_init(|| url.clone());
        if url.path != first.path {
            return field.refuse(
                "different_path",
                format!(
                    "the path is `{}`, and that of the first URL is `{}`",
                    url.path.as_str(),
                    first.path.as_str()
                ),
                "give all the same path: they are equal copies of one application",
            );
        }
        let is_wildcard = |url: &InternalUrl| matches!(url.host, InternalHost::Wildcard { .. });
        if is_wildcard(&url) != is_wildcard(first) {
            return field.refuse(
                "wildcard",
                "some of these URLs have a wildcard, and some have none",
                "write `*.` in all of them, or in none: they are equal copies of one application",
            );
        }
        Some(url)
    })?;
    InternalUrls::new(urls).filter(|_| !section.has("internal_url"))
}

/// `cookie`, `address`, or `none` where `defaults:` says otherwise.
pub(super) fn affinity(field: Field<'_>) -> Option<Option<Affinity>> {
    let text = field.text()?;
    match text {
        "none" => Some(None),
        "cookie" => Some(Some(Affinity::Cookie)),
        "address" => Some(Some(Affinity::Address)),
        _ => field.refuse(
            "bad_value",
            format!("`{text}` is nothing that visitors are told apart by"),
            did_you_mean(text, &["cookie", "address", "none"])
                .unwrap_or_else(|| "write `cookie`, `address` or `none`".to_owned()),
        ),
    }
}

/// `health_check` of an application with these internal URLs.
pub(super) fn health_check(
    field: Field<'_>,
    internal: Option<&InternalUrls>,
) -> Option<HealthCheck> {
    let wildcard = internal.is_some_and(|urls| {
        let mut hosts = urls.all().iter().map(|url| &url.host);
        hosts.any(|host| matches!(host, InternalHost::Wildcard { .. }))
    });
    field.section(&[], |section| {
        let asked = section.optional("path");
        let path = asked.map(check_path);
        let at_timeout = section.optional("timeout");
        let (written, timeout) = (
            section.optional("interval").map(interval),
            at_timeout.map(Field::duration),
        );
        let at_status = section.optional("status");
        let status = at_status.map(|field| field.distinct(status));
        if let (Some(field), None) = (at_status, asked) {
            field.refuse::<()>(
                "conflict",
                "without `path` nothing is asked for, so there is no status",
                "add `path`, such as `path: /healthz`, or remove this",
            );
            return None;
        }
        if wildcard {
            return field.refuse(
                "wildcard",
                "an internal URL with a wildcard is no one host that could be asked",
                "remove it, or publish the application with an internal host in full",
            );
        }
        let interval = written.unwrap_or(Some(INTERVAL))?;
        let timeout = timeout.unwrap_or_else(|| Some(TIMEOUT.min(interval)))?;
        if let Some(field) = at_timeout.filter(|_| timeout > interval) {
            return field.refuse(
                "out_of_range",
                format!("the next question comes after {interval:?}, before this one has its time"),
                "write a `timeout` that is not longer than `interval`",
            );
        }
        Some(HealthCheck {
            path: match path {
                Some(read) => Some(read?),
                None => None,
            },
            interval,
            timeout,
            status: status.unwrap_or_else(|| Some(Vec::new()))?,
        })
    })?
}

fn check_path(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !plain || !text.starts_with('/') || text.starts_with("//") {
        return field.refuse(
            "bad_path",
            format!("`{text}` is not a path that can be asked for"),
            "write it from the application's root on, such as `/healthz`",
        );
    }
    Some(text.into())
}

fn interval(field: Field<'_>) -> Option<Duration> {
    let interval = field.duration()?;
    if interval >= SHORTEST {
        return Some(interval);
    }
    field.refuse(
        "out_of_range",
        "every connector would ask every copy more often than once a second",
        "write at least `1s`; without the key it is `10s`",
    )
}

fn status(field: Field<'_>) -> Option<u16> {
    // Below 200 nothing is an answer.
    field.number(200..=599).and_then(|n| u16::try_from(n).ok())
}
