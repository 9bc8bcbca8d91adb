//! Content codings: gzip, deflate and br, by push, in both directions.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::{EncodeFailed, Encoder};

/// A content coding that is taken off before a body is translated and put on again after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// None: what came uncompressed is not compressed.
    Identity,
    /// RFC 1952, also of several members.
    Gzip,
    /// RFC 1950; what some servers send instead (RFC 1951 alone) is understood, never written.
    Deflate,
    /// RFC 7932.
    Brotli,
}

impl Coding {
    /// The coding of this name, in any case.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], Coding); 5] = [
            (b"identity", Coding::Identity),
            (b"gzip", Coding::Gzip),
            (b"x-gzip", Coding::Gzip), // RFC 9110 section 8.4.1.3
            (b"deflate", Coding::Deflate),
            (b"br", Coding::Brotli),
        ];
        let (_, coding) = NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(*coding)
    }
}

/// Why a body could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// It is not of its coding, or its checksum is another.
    #[error("the body is not what its Content-Encoding says")]
    Content,
    /// It ends too early.
    #[error("the compressed body ends too early")]
    Truncated,
    /// It unpacks to more than [`Expansion`] allows.
    #[error("the compressed body unpacks to too much")]
    Expands,
}

/// How much a body may unpack to.
///
/// SECURITY: applications are untrusted (DESIGN 8, rule 14). Memory is bounded whatever a body
/// unpacks to, but each octet of it costs time here and in the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expansion {
    /// This many octets, whatever came.
    pub free: u64,
    /// After them, this many for each octet that came.
    pub ratio: u64,
}

impl Default for Expansion {
    fn default() -> Self {
        // Deflate cannot do more than 1,032; brotli has no limit of its own.
        Self {
            free: 1024 * 1024,
            ratio: 200,
        }
    }
}
