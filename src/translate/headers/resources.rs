//! WebDAV's `Destination` and `If` on their way to an application.

use std::ops::Range;

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};

use super::field::Field;
use super::links::count;
use crate::model::LinkTranslation;
use crate::translate::urls::{Unpublished, UrlMap};

pub(super) const DESTINATION: HeaderName = HeaderName::from_static("destination");
pub(super) const IF: HeaderName = HeaderName::from_static("if");

/// This field names a resource that is not published, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {source}")]
pub struct Outside {
    field: HeaderName,
    source: Unpublished,
}

/// Translates both fields, or only judges them where `what` leaves headers alone.
pub(super) fn translate(
    headers: &mut HeaderMap,
    map: &UrlMap<'_>,
    what: &LinkTranslation,
) -> Result<(), Outside> {
    let resource = |url: &[u8]| match std::str::from_utf8(url) {
        Ok(url) if what.headers => map.resource_to_internal(url),
        Ok(url) => map.allow_as_it_is(url).map(|()| None),
        Err(_) => map
            .allow_as_it_is(&String::from_utf8_lossy(url))
            .map(|()| None),
    };
    for name in [DESTINATION, IF] {
        let Entry::Occupied(mut values) = headers.entry(&name) else {
            continue;
        };
        for value in values.iter_mut() {
            let changed = if name == IF {
                tagged_lists(value.as_bytes(), resource)
            } else {
                destination(value.as_bytes(), resource)
            };
            let changed = changed.map_err(|source| Outside {
                field: name.clone(),
                source,
            })?;
            if let Some(changed) = changed.and_then(|octets| HeaderValue::try_from(octets).ok()) {
                *value = changed;
            }
        }
    }
    Ok(())
}

type Changed<T> = Result<Option<T>, Unpublished>;

fn destination(value: &[u8], resource: impl Fn(&[u8]) -> Changed<String>) -> Changed<Vec<u8>> {
    Ok(resource(value.trim_ascii())?.map(String::into_bytes))
}

/// The resources in front of the lists. What stands inside a list are lock tokens and entity tags:
/// they name no resource, whatever they look like.
fn tagged_lists(value: &[u8], resource: impl Fn(&[u8]) -> Changed<String>) -> Changed<Vec<u8>> {
    let Some(tags) = tags(value) else {
        // Somebody else may read a resource in it: it is judged as one that is not ours.
        return resource(b"").map(|_| None);
    };
    let mut field = Field::new(value);
    for tag in tags {
        if let Some(url) = resource(&value[tag.clone()])? {
            field.replace(tag, url.as_bytes());
        }
    }
    Ok(field.finish())
}

/// Where the resources stand in an `If` field; `None` where it is not exactly what RFC 4918
/// section 10.4.2 allows, or where a reader who is not exact would find others.
fn tags(value: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut tags = Vec::new();
    let mut at = 0;
    let mut is_in_list = false;
    while let Some(&octet) = value.get(at) {
        let end = match (octet, is_in_list) {
            (b' ' | b'\t', _) => at,
            (b'(', false) | (b')', true) => {
                is_in_list = !is_in_list;
                at
            }
            (b'<', _) => {
                let end = at + 1 + count(&value[at + 1..], |b| !b"<> \t\"".contains(&b));
                if !is_in_list {
                    tags.push(at + 1..end);
                }
                (value.get(end) == Some(&b'>')).then_some(end)?
            }
            (b'[', true) => {
                let weak = value[at + 1..].strip_prefix(b"W/").map_or(0, |_| 2);
                let begin = at + 1 + weak;
                let end = begin + 1 + count(value.get(begin + 1..)?, |b| !b"<>\"".contains(&b));
                (value[begin] == b'"' && value[end..].starts_with(b"\"]")).then_some(end + 1)?
            }
            (b'N' | b'n', true) if value[at..].len() > 3 => value[at..at + 3]
                .eq_ignore_ascii_case(b"not")
                .then_some(at + 2)?,
            _ => return None,
        };
        at = end + 1;
    }
    (!is_in_list).then_some(tags)
}
