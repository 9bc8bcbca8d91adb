//! Which media types are which kind of text.

use http::header::{CONTENT_TYPE, HeaderMap};

use super::list::{Quoted, split};
use crate::model::BodyKind;

/// The media type of what plain forms send.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// The media type of what forms with files send.
pub const UPLOAD: &str = "multipart/form-data";

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// Of which kind its text is.
    pub kind: BodyKind,
    /// Type and subtype, lower case.
    pub essence: String,
    /// The value of `charset`.
    pub charset: Option<Vec<u8>>,
}

impl MediaType {
    /// What a browser takes a body for; `None` where there is no text to look through. Of several fields
    /// the last one counts.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        // Most answers end here: a type that is not looked through is not read any further.
        let kind = kind(&essence(value(headers)?)?)?;
        Some(Self {
            kind,
            ..Self::any(headers)?
        })
    }

    /// The same of a request, in which a form is text.
    pub(super) fn sent(headers: &HeaderMap) -> Option<Self> {
        match Self::any(headers)? {
            form if form.is_form() => Some(form),
            _ => Self::of(headers),
        }
    }

    /// Whether it is what a form sends.
    #[must_use]
    pub fn is_form(&self) -> bool {
        self.essence == FORM || self.essence == UPLOAD
    }

    /// What a query is, which is written as a form is.
    #[must_use]
    pub fn form() -> Self {
        Self {
            kind: BodyKind::Text,
            essence: FORM.to_owned(),
            charset: None,
        }
    }

    /// Any type, as if it were text.
    pub(super) fn any(headers: &HeaderMap) -> Option<Self> {
        let value = value(headers)?;
        let essence = essence(value)?;
        let mut parts = split(value, b';', Quoted::Escapes).skip(1);
        let charset = parts.find_map(|parameter| {
            let (name, value) = parameter.split_at_checked(b"charset=".len())?;
            name.eq_ignore_ascii_case(b"charset=")
                .then(|| unquoted(value))
        });
        Some(Self {
            kind: BodyKind::Text,
            essence,
            charset,
        })
    }
}

fn value(headers: &HeaderMap) -> Option<&[u8]> {
    let last = headers.get_all(CONTENT_TYPE).iter().next_back()?;
    Some(last.as_bytes())
}

/// Type and subtype, lower case.
fn essence(value: &[u8]) -> Option<String> {
    let essence = value.split(|octet| *octet == b';').next()?.trim_ascii();
    String::from_utf8(essence.to_ascii_lowercase()).ok()
}

/// As the MIME Sniffing standard groups them; text is what else has URLs for people or players in it.
fn kind(essence: &str) -> Option<BodyKind> {
    Some(match essence {
        "text/html" | "application/xhtml+xml" => BodyKind::Html,
        "text/css" => BodyKind::Css,
        // Events are JSON nearly always, and lines of it come as they are said.
        "application/json"
        | "text/json"
        | "application/x-ndjson"
        | "application/jsonl"
        | "application/json-seq"
        | "text/event-stream" => BodyKind::Json,
        "text/javascript"
        | "application/javascript"
        | "application/x-javascript"
        | "text/x-javascript"
        | "application/ecmascript"
        | "application/x-ecmascript"
        | "text/ecmascript"
        | "text/jscript"
        | "text/livescript" => BodyKind::JavaScript,
        "application/xml" | "text/xml" => BodyKind::Xml,
        "text/plain"
        | "text/markdown"
        | "text/x-markdown"
        | "text/csv"
        | "text/calendar"
        | "text/vcard"
        | "text/vtt"
        | "text/uri-list"
        | "text/x-component"
        | "text/turtle"
        | "application/vnd.apple.mpegurl"
        | "application/x-mpegurl"
        | "audio/mpegurl"
        | "audio/x-mpegurl"
        | "application/yaml"
        | "text/yaml" => BodyKind::Text,
        _ if essence.ends_with("+json") => BodyKind::Json,
        _ if essence.ends_with("+xml") => BodyKind::Xml,
        _ => return None,
    })
}

pub(super) fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        return value.to_vec();
    };
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    inner.iter().copied().filter(|&o| o != b'\\').collect()
}
