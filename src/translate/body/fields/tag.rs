//! Entity tags of translated bodies: the application's own, and which table they were made with.

use http::HeaderValue;

/// What stands between an application's tag and the table.
const MARK: &[u8] = b"-apx";

/// Hexadecimal digits of the table.
const DIGITS: usize = 16;

/// What is added inside the quotes of a tag.
///
/// A body depends on the table of all applications and on the view of the person, so both are in
/// the hash: after a change a browser has to get the page anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagSuffix(Vec<u8>);

/// What a tag of a client is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Made here with this table: the application's own tag.
    Ours(Vec<u8>),
    /// Made here with another table, or by another gateway.
    Stale,
    /// The application's.
    Theirs,
}

impl TagSuffix {
    /// For one table and view.
    #[must_use]
    pub fn new(hash: u64) -> Self {
        Self(format!("-apx{hash:016x}").into_bytes())
    }

    /// The tag with the suffix; `None` where it is not an entity tag.
    pub(super) fn add(&self, tag: &[u8]) -> Option<HeaderValue> {
        let (weak, opaque) = parse(tag)?;
        HeaderValue::from_bytes(&[weak, b"\"", opaque, &self.0, b"\""].concat()).ok()
    }

    pub(super) fn origin(&self, tag: &[u8]) -> Origin {
        let Some((weak, opaque)) = parse(tag) else {
            return Origin::Theirs;
        };
        if let Some(own) = opaque.strip_suffix(self.0.as_slice()) {
            return Origin::Ours([weak, b"\"", own, b"\""].concat());
        }
        let at = opaque.len().saturating_sub(MARK.len() + DIGITS);
        let is_suffix = opaque[at..]
            .strip_prefix(MARK)
            .is_some_and(|hash| hash.len() == DIGITS && hash.iter().all(u8::is_ascii_hexdigit));
        if is_suffix {
            Origin::Stale
        } else {
            Origin::Theirs
        }
    }
}

/// A tag without `W/`: how `If-None-Match` compares (RFC 9110 section 8.8.3.2).
pub(super) fn without_weakness(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// `W/` or nothing, and what is inside the quotes.
fn parse(tag: &[u8]) -> Option<(&[u8], &[u8])> {
    let quoted = without_weakness(tag);
    let weak = &tag[..tag.len() - quoted.len()];
    let opaque = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let good = |&octet: &u8| octet > b' ' && octet != b'"' && octet != 0x7f;
    opaque.iter().all(good).then_some((weak, opaque))
}
