//! What an application is asked for, where its bodies are translated.

use http::header::{
    ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};

use super::list::{Quoted, members, split};
use super::tag::{Origin, TagSuffix, without_weakness};
use crate::translate::body::codec::Coding;

/// What must be remembered of a request until its answer comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Tags of `If-None-Match` that were ours, as the application knows them, without `W/`.
    mapped: Vec<Vec<u8>>,
}

impl Asked {
    /// Whether a 304 that comes with this tag, or none, speaks of a body we translated.
    pub(super) fn is_mapped(&self, tag: Option<&[u8]>) -> bool {
        let is = |tag: &[u8]| self.mapped.iter().any(|m| m == without_weakness(tag));
        tag.map_or(!self.mapped.is_empty(), is)
    }
}

/// Prepares a request to an application whose bodies are translated.
///
/// - `Accept-Encoding` becomes `gzip` where the client takes it, else `identity`: a client that
///   takes gzip should not pay for a page that came uncompressed, and gzip is what costs us least.
/// - `If-None-Match`, `If-Match` and `If-Range` lose our suffix. A tag that another table made must
///   not match: it is taken out of `If-None-Match`, and the date beside it with it; in `If-Match`
///   it stays, and the application refuses.
/// - `Range` goes where it asks for several parts, and where `If-Range` shows that the client holds a
///   translated body. It stays otherwise: what type the answer is of is not known yet, and videos and resumed downloads need
///   it. A 206 of a translated type is [`Skip::Partial`](super::Skip::Partial), and the gateway asks again
///   for the whole.
pub fn prepare_request(headers: &mut HeaderMap, suffix: impl FnOnce() -> TagSuffix) -> Asked {
    let coding = HeaderValue::from_static(if takes_gzip(headers) {
        "gzip"
    } else {
        "identity"
    });
    headers.insert(ACCEPT_ENCODING, coding);

    if let Some(range) = headers.get(RANGE)
        // Several parts come as a body of another type, whatever they are parts of.
        && range.as_bytes().contains(&b',')
    {
        headers.remove(RANGE);
    }
    // Most requests name no tag.
    if ![IF_RANGE, IF_MATCH, IF_NONE_MATCH]
        .iter()
        .any(|name| headers.contains_key(name))
    {
        return Asked::default();
    }
    let suffix = &suffix();
    let if_range = headers
        .get(IF_RANGE)
        .map(|tag| suffix.origin(tag.as_bytes().trim_ascii()));
    if matches!(if_range, Some(Origin::Ours(_) | Origin::Stale)) {
        headers.remove(IF_RANGE);
        headers.remove(RANGE);
    }
    map_tags(headers, &IF_MATCH, suffix);
    let none_match = map_tags(headers, &IF_NONE_MATCH, suffix);
    if none_match.stale {
        // Without its tag the application would compare the date.
        headers.remove(IF_MODIFIED_SINCE);
    }
    Asked {
        mapped: none_match.mapped,
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any) = (None, None);
    for member in members(headers, &ACCEPT_ENCODING, Quoted::Escapes) {
        let mut parts = split(member, b';', Quoted::Escapes);
        let name = parts.next().unwrap_or_default();
        let taken = !parts.any(is_zero_weight);
        if Coding::named(name) == Some(Coding::Gzip) {
            gzip = Some(gzip.unwrap_or_default() || taken);
        } else if name == b"*" {
            any = Some(taken);
        }
    }
    gzip.or(any).unwrap_or_default()
}

/// `q=0`, `q=0.0` and so on.
fn is_zero_weight(parameter: &[u8]) -> bool {
    let Some(weight) = parameter
        .strip_prefix(b"q=")
        .or_else(|| parameter.strip_prefix(b"Q="))
    else {
        return false;
    };
    weight.starts_with(b"0") && weight.iter().all(|octet| matches!(octet, b'0' | b'.'))
}

#[derive(Default)]
struct Mapped {
    mapped: Vec<Vec<u8>>,
    /// A tag was taken out.
    stale: bool,
}

/// Changes the tags of a condition; one without a tag of ours stays as it came.
fn map_tags(headers: &mut HeaderMap, name: &HeaderName, suffix: &TagSuffix) -> Mapped {
    let mut found = Mapped::default();
    let mut tags: Vec<Vec<u8>> = Vec::new();
    for tag in members(headers, name, Quoted::Literal) {
        match suffix.origin(tag) {
            Origin::Ours(own) => {
                found.mapped.push(without_weakness(&own).to_vec());
                tags.push(own);
            }
            Origin::Stale if *name == IF_NONE_MATCH => found.stale = true,
            Origin::Stale | Origin::Theirs => tags.push(tag.to_vec()),
        }
    }
    if found.mapped.is_empty() && !found.stale {
        return found;
    }
    headers.remove(name);
    if !tags.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&tags.join(&b", "[..]))
    {
        headers.insert(name.clone(), value);
    }
    found
}
