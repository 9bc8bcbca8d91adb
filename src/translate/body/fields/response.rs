//! Whether an answer is translated, and what its fields say then.

use encoding_rs::Encoding;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue,
};
use http::{Method, StatusCode};

use super::Skip;
use super::list::{Quoted, members, split};
use super::request::Asked;
use super::tag::TagSuffix;
use crate::translate::body::charset::Kind;
use crate::translate::body::codec::Coding;

/// Digests of a body that will be another one; they come as trailers, too.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Which types an application's setting has translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds {
    /// `text/html` and `application/xhtml+xml`.
    pub html: bool,
    /// `text/css`.
    pub css: bool,
}

/// How a body is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What it is.
    pub kind: Kind,
    /// What it is packed in.
    pub coding: Coding,
    /// The encoding that Content-Type names.
    pub charset: Option<&'static Encoding>,
}

/// What is done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its body is translated, unless the body itself stops that, and its fields are those of a
    /// translated body.
    Translate(Plan),
    /// It has no body, but its fields are those of a translated one: HEAD, and 304 to a tag of ours.
    Fields,
    /// It passes as it came.
    Skip(Skip),
}

/// Decides by the head of an answer.
#[must_use]
pub fn judge(
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
    kinds: Kinds,
    asked: &Asked,
) -> Verdict {
    if status == StatusCode::NOT_MODIFIED {
        let tag = headers.get(ETAG).map(|tag| tag.as_bytes().trim_ascii());
        return if asked.is_mapped(tag) {
            Verdict::Fields
        } else {
            Verdict::Skip(Skip::Empty)
        };
    }
    let has_no_body = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
    let is_head = method == Method::HEAD;
    let is_empty = !is_head
        && headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length == "0");
    if has_no_body || is_empty {
        return Verdict::Skip(Skip::Empty);
    }
    match plan(status, headers, kinds) {
        Ok(_) if is_head => Verdict::Fields,
        Ok(plan) => Verdict::Translate(plan),
        Err(skip) => Verdict::Skip(skip),
    }
}

fn plan(status: StatusCode, headers: &HeaderMap, kinds: Kinds) -> Result<Plan, Skip> {
    let (kind, label) = content_type(headers).ok_or(Skip::Type)?;
    let wanted = match kind {
        Kind::Html => kinds.html,
        Kind::Css => kinds.css,
    };
    if !wanted {
        return Err(Skip::Type);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        return Err(Skip::Partial);
    }
    let mut directives = members(headers, &CACHE_CONTROL, Quoted::Escapes);
    if directives.any(|directive| directive.eq_ignore_ascii_case(b"no-transform")) {
        return Err(Skip::NoTransform);
    }
    let coding = coding(headers).ok_or(Skip::UnknownCoding)?;
    let charset = label.as_deref().and_then(Encoding::for_label);
    if charset == Some(encoding_rs::REPLACEMENT) {
        return Err(Skip::Charset);
    }
    Ok(Plan {
        kind,
        coding,
        charset,
    })
}

/// What a browser takes an answer for, and its `charset`. Of several fields the last one counts.
fn content_type(headers: &HeaderMap) -> Option<(Kind, Option<Vec<u8>>)> {
    let value = headers.get_all(CONTENT_TYPE).iter().next_back()?;
    let mut parts = split(value.as_bytes(), b';', Quoted::Escapes);
    let essence = parts.next()?.to_ascii_lowercase();
    let kind = match essence.as_slice() {
        b"text/html" | b"application/xhtml+xml" => Kind::Html,
        b"text/css" => Kind::Css,
        _ => return None,
    };
    let label = parts.find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(b"charset=".len())?;
        name.eq_ignore_ascii_case(b"charset=")
            .then(|| unquoted(value))
    });
    Some((kind, label))
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        return value.to_vec();
    };
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    inner.iter().copied().filter(|&o| o != b'\\').collect()
}

/// `None` for a coding that is unknown, and for several.
fn coding(headers: &HeaderMap) -> Option<Coding> {
    let mut codings = members(headers, &CONTENT_ENCODING, Quoted::Escapes);
    let Some(first) = codings.next() else {
        return Some(Coding::Identity);
    };
    if codings.next().is_some() {
        return None;
    }
    Coding::named(first)
}

/// Makes the fields those of a translated body, the same for GET, HEAD and 304: no length, no
/// digests, no ranges, and a tag of its own. `Vary` and `Last-Modified` stay.
pub fn mark_translated(headers: &mut HeaderMap, suffix: &TagSuffix) {
    headers.remove(CONTENT_LENGTH);
    remove_digests(headers);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    let mut tags = headers.get_all(ETAG).iter();
    let tag = match (tags.next(), tags.next()) {
        (Some(tag), None) => suffix.add(tag.as_bytes().trim_ascii()),
        _ => None,
    };
    match tag {
        Some(tag) => drop(headers.insert(ETAG, tag)),
        // One that is not an entity tag cannot say which table made the body.
        None => drop(headers.remove(ETAG)),
    }
}

/// Removes digests: from the head, and from the trailers, of a translated body.
pub fn remove_digests(headers: &mut HeaderMap) {
    for name in DIGESTS {
        headers.remove(name);
    }
}
