//! Whether an answer is translated, and what its fields say then.

use encoding_rs::Encoding;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED,
};
use http::{Method, StatusCode};

use super::Skip;
use super::list::{Quoted, members};
use super::request::Asked;
use super::tag::TagSuffix;
use super::types::MediaType;
use crate::model::BodyKind;
use crate::translate::body::codec::Coding;

/// Digests of a body that will be another one; they come as trailers, too.
pub(super) const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Whether a body of this type is to be translated, or why not.
pub type Wants<'w> = &'w dyn Fn(&MediaType) -> Result<(), Skip>;

/// How a body is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What it is.
    pub kind: BodyKind,
    /// What it is packed in.
    pub coding: Coding,
    /// The encoding that Content-Type names.
    pub charset: Option<&'static Encoding>,
    /// The head waits for more of the body than usual, since it has to name what changes in it.
    pub waits: bool,
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
    wants: Wants<'_>,
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
    match plan(status, headers, wants) {
        Ok(_) if is_head => Verdict::Fields,
        Ok(plan) => Verdict::Translate(plan),
        Err(skip) => Verdict::Skip(skip),
    }
}

fn plan(status: StatusCode, headers: &HeaderMap, wants: Wants<'_>) -> Result<Plan, Skip> {
    let media_type = MediaType::of(headers).ok_or(Skip::Type)?;
    wants(&media_type)?;
    let plan = how(headers, &media_type)?;
    match status == StatusCode::PARTIAL_CONTENT {
        true => Err(Skip::Partial),
        false => Ok(plan),
    }
}

/// How a body of this type is translated.
pub(super) fn how(headers: &HeaderMap, media_type: &MediaType) -> Result<Plan, Skip> {
    let mut directives = members(headers, &CACHE_CONTROL, Quoted::Escapes);
    if directives.any(|directive| directive.eq_ignore_ascii_case(b"no-transform")) {
        return Err(Skip::NoTransform);
    }
    let coding = coding(headers).ok_or(Skip::UnknownCoding)?;
    let charset = media_type.charset.as_deref();
    let charset = charset.and_then(Encoding::for_label);
    if charset == Some(encoding_rs::REPLACEMENT) {
        return Err(Skip::Charset);
    }
    Ok(Plan {
        kind: media_type.kind,
        coding,
        charset,
        waits: false,
    })
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
/// digests, no ranges, and a tag of its own. `Vary` stays, and `Last-Modified` beside a tag.
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
        // One that is not an entity tag cannot say which table made the body, and neither can a date.
        None => {
            headers.remove(ETAG);
            headers.remove(LAST_MODIFIED);
        }
    }
}

/// Removes digests: from the head, and from the trailers, of a translated body.
pub fn remove_digests(headers: &mut HeaderMap) {
    for name in DIGESTS {
        headers.remove(name);
    }
}
