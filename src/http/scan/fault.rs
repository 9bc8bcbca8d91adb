//! What a request is refused for before a parser sees it.

use super::{FIELDS, HEAD};

/// What a request is refused for before a parser sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An empty line where a request should begin.
    #[error("a request begins with an empty line")]
    EmptyLine,
    /// A line that ends with LF alone.
    #[error("a line ends with LF alone, not with CR LF")]
    BareLf,
    /// CR that ends no line.
    #[error("a CR stands where no line ends")]
    BareCr,
    /// Not a method, a target and a version with one space between each.
    #[error("the request line is not a method, a target and a version with one space between")]
    RequestLine,
    /// Octets that no target has.
    #[error(
        "the request's target is no URL: octets must be percent-encoded, or there is a fragment"
    )]
    Target,
    /// A target that is too long.
    #[error("the request's target is longer than 64 KiB")]
    TargetTooLong,
    /// A target of another form than origin, absolute and, for OPTIONS, asterisk.
    #[error("the request's target is neither a path nor an http or https URL")]
    TargetForm,
    /// The method CONNECT.
    #[error("the method CONNECT is for forward proxies")]
    Connect,
    /// Neither HTTP/1.1 nor HTTP/1.0.
    #[error("the version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    /// A field line that begins with white space: it was to continue the line before.
    #[error("a header field is continued on a second line (RFC 9112 section 5.2)")]
    Folded,
    /// A field line without a colon, or with octets in its name that none has, such as a space.
    #[error("a header field's name is not one: no space may stand before the colon")]
    FieldName,
    /// Octets in a field's value that none has.
    #[error("a header field's value has control characters")]
    FieldValue,
    /// `Content-Length` that is not one decimal number, or more than one such field.
    #[error("`Content-Length` is not one plain decimal number in one field")]
    ContentLength,
    /// `Transfer-Encoding` other than one field with `chunked`.
    #[error("`Transfer-Encoding` is not `chunked` alone in one field of an HTTP/1.1 request")]
    TransferEncoding,
    /// Both.
    #[error("`Content-Length` and `Transfer-Encoding` stand in one request")]
    TwoLengths,
    /// A head that is too long.
    #[error("the request's head is longer than {} KiB", HEAD / 1024)]
    HeadTooLarge,
    /// Too many fields.
    #[error("the request has more than {FIELDS} header fields")]
    TooManyFields,
    /// A chunk's size that is no hexadecimal number, or the line's rest.
    #[error("the line of a chunk's size is malformed or too long")]
    ChunkSize,
    /// A chunk longer or shorter than its size said.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// Trailers that are too long or too many.
    #[error("the trailers are too long or too many")]
    Trailers,
    /// A chunk's line or a trailer section that takes too long. The scanner knows no time: who
    /// reads for it finds this.
    #[error("what stands between the parts of a body takes too long")]
    Drips,
}

impl Fault {
    /// Whether it is only too much of what is well-formed.
    #[must_use]
    pub const fn is_too_large(self) -> bool {
        matches!(
            self,
            Self::HeadTooLarge | Self::TooManyFields | Self::TargetTooLong
        )
    }
}
