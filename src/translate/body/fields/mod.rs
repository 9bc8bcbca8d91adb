//! Header fields of requests and answers whose bodies are translated.

mod list;
mod part;
mod request;
mod response;
mod sent;
mod tag;
#[cfg(test)]
mod tests;
mod types;

pub use part::Field;
pub use request::{Asked, prepare_request};
pub use response::{Plan, Verdict, Wants, judge, mark_translated, remove_digests};
pub use sent::{Boundary, Sent, judge_request};
pub use tag::TagSuffix;
pub use types::{FORM, MediaType, UPLOAD};

/// Why a body is not translated, or only its beginning: a closed list, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// There is no body: 1xx, 204, 205, 304, or a length of 0.
    Empty,
    /// It is not of a type that is translated.
    Type,
    /// The configuration excludes it.
    Excluded,
    /// Programs write it back where it comes from, and would write what was made of it.
    Written,
    /// `Cache-Control: no-transform`.
    NoTransform,
    /// A coding we do not know, or several.
    UnknownCoding,
    /// 206 of a type that is translated: offsets are those of the application's text.
    Partial,
    /// An encoding that no browser reads.
    Charset,
    /// The text is malformed in an encoding that has to be transcoded.
    Malformed,
    /// It does not unpack.
    Damaged,
    /// It unpacks to too much.
    Expands,
    /// Too much came without a text in it.
    NoText,
    /// What a form with files sends is not made of parts, or they do not come to an end.
    Parts,
    /// The rewriter gave up.
    Rewriter,
}

impl Skip {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Empty,
        Self::Type,
        Self::Excluded,
        Self::Written,
        Self::NoTransform,
        Self::UnknownCoding,
        Self::Partial,
        Self::Charset,
        Self::Malformed,
        Self::Damaged,
        Self::Expands,
        Self::NoText,
        Self::Parts,
        Self::Rewriter,
    ];

    /// Its name in metrics and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Type => "type",
            Self::Excluded => "excluded",
            Self::Written => "written",
            Self::NoTransform => "no_transform",
            Self::UnknownCoding => "unknown_coding",
            Self::Partial => "partial",
            Self::Charset => "charset",
            Self::Malformed => "malformed",
            Self::Damaged => "damaged",
            Self::Expands => "expands",
            Self::NoText => "no_text",
            Self::Parts => "multipart",
            Self::Rewriter => "rewriter",
        }
    }
}
