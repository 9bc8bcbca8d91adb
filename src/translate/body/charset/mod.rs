//! Which encoding a page is in, and how the encodings that hide ASCII are carried to a rewriter.

mod carry;
mod prescan;
#[cfg(test)]
mod tests;

pub use carry::{Carry, Inward, Malformed, NotText, Outward};
use encoding_rs::{Encoding, ISO_2022_JP, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::model::BodyKind;

/// How far into a page its encoding is looked for, as browsers do.
pub const PRESCAN: usize = 1024;

/// The longest byte order mark.
const LONGEST_MARK: usize = 3;

/// How the text of a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset {
    /// What the rewriter is told: an ASCII-compatible encoding.
    pub encoding: &'static Encoding,
    /// How the octets get to it, and back.
    pub carry: Carry,
    /// So many octets at the beginning are a byte order mark. It is not shown to the rewriter.
    pub mark: usize,
}

/// A page in one of the encodings that browsers refuse to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("browsers do not show pages of this encoding")]
pub struct Unreadable;

/// The encoding of a body that begins with `head`; `None` where more of it has to be seen, which
/// never is where `head` is `whole`, or as much as will be waited for.
///
/// In the order of WHATWG: the byte order mark, `declared` in Content-Type, what the text says of
/// itself; data is in UTF-8 otherwise. Where nothing is said the octets pass as they are: in every encoding of the web but two
/// ASCII is ASCII, and one of them is only known by a mark or a declaration.
///
/// # Errors
/// Where no browser reads it.
pub fn detect(
    kind: BodyKind,
    declared: Option<&'static Encoding>,
    head: &[u8],
    whole: bool,
) -> Result<Option<Charset>, Unreadable> {
    if let Some((encoding, mark)) = Encoding::for_bom(head) {
        return Charset::of(encoding, mark).map(Some);
    }
    if !whole && may_be_mark(head) {
        return Ok(None);
    }
    if let Some(encoding) = declared {
        return Charset::of(encoding, 0).map(Some);
    }
    let says_itself = matches!(kind, BodyKind::Html | BodyKind::Css | BodyKind::Xml);
    if !whole && says_itself && head.len() < PRESCAN {
        return Ok(None);
    }
    let head = &head[..head.len().min(PRESCAN)];
    let said = match kind {
        BodyKind::Html => prescan::html(head),
        BodyKind::Css => prescan::css(head),
        BodyKind::Xml => prescan::xml(head),
        BodyKind::Json | BodyKind::JavaScript | BodyKind::Text => None,
    };
    let usual = match kind.is_data() {
        true => UTF_8,
        false => WINDOWS_1252,
    };
    Charset::of(said.unwrap_or(usual), 0).map(Some)
}

/// Whether more octets could make a byte order mark of these.
fn may_be_mark(head: &[u8]) -> bool {
    const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"];
    head.len() < LONGEST_MARK && MARKS.iter().any(|mark| mark.starts_with(head))
}

impl Charset {
    fn of(encoding: &'static Encoding, mark: usize) -> Result<Self, Unreadable> {
        let (encoding, carry) = if encoding == UTF_16LE {
            (UTF_8, Carry::Utf16 { big: false })
        } else if encoding == UTF_16BE {
            (UTF_8, Carry::Utf16 { big: true })
        } else if encoding == ISO_2022_JP {
            (WINDOWS_1252, Carry::Iso2022Jp)
        } else if encoding == REPLACEMENT {
            return Err(Unreadable);
        } else {
            (encoding, Carry::AsIs)
        };
        Ok(Self {
            encoding,
            carry,
            mark,
        })
    }
}
