//! Paths: decided on in one form, forwarded as received (DESIGN 8, rule 2).

use std::borrow::Cow;

use http::uri::PathAndQuery;

use crate::model::PathPrefix;

/// How many layers of percent-encoding are looked through. Nothing proper needs two; a deeper
/// path is refused, which also bounds the work a long `%252525…` can cause.
const LAYERS: usize = 3;

/// A path that may be decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    received: &'a str,
}

/// Why a path was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathRefusal {
    /// It does not begin with `/`.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// A control character, raw.
    #[error("the path has a control character or a space")]
    Control,
    /// A fragment, which is never sent.
    #[error("the path has a `#`")]
    Fragment,
    /// A raw octet that is not ASCII.
    #[error("the path has an octet that is not ASCII and not percent-encoded")]
    NotAscii,
    /// A backslash, raw or encoded, which many servers take for `/`.
    #[error("the path has a backslash")]
    Backslash,
    /// `%` without two hexadecimal digits.
    #[error("the path has a `%` without two hexadecimal digits")]
    Escape,
    /// An encoded `/`, or its overlong UTF-8 form.
    #[error("the path has an encoded `/`")]
    EncodedSlash,
    /// An encoded control character, NUL above all.
    #[error("the path has an encoded control character")]
    EncodedControl,
    /// UTF-8 that encodes an ASCII character in more octets than it needs.
    #[error("the path has overlong UTF-8")]
    Overlong,
    /// A segment `.` or `..`, raw or encoded, parameters or not.
    #[error("the path has a dot segment")]
    DotSegment,
    /// An encoded `?` or `#` among a segment's parameters: who removes parameters first and decodes
    /// afterwards reads on behind it, and others end the path there.
    #[error("the path has an encoded `?` or `#` behind a `;`")]
    Parameter,
    /// Percent-encoding of percent-encoding, deeper than is looked through.
    #[error("the path is percent-encoded several times over")]
    Layers,
}

/// Says whether a request's path may be decided on.
///
/// On a path-`sensitive` host (several applications, an internal path other than `/`, or a rule
/// about paths) everything that servers read differently is refused: dot segments, encoded
/// separators and controls, in any layer of encoding, backslashes, broken escapes, raw octets
/// outside ASCII. Elsewhere the path passes as it came, but for raw controls.
///
/// # Errors
/// With the first reason found: a bad request.
pub fn canonical(path: &str, sensitive: bool) -> Result<CanonicalPath<'_>, PathRefusal> {
    if !path.starts_with('/') {
        return Err(PathRefusal::NotAbsolute);
    }
    if path.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Err(PathRefusal::Control);
    }
    if path.contains('#') {
        return Err(PathRefusal::Fragment);
    }
    if sensitive {
        refuse_ambiguous(path)?;
    }
    Ok(CanonicalPath { received: path })
}

fn refuse_ambiguous(path: &str) -> Result<(), PathRefusal> {
    if !path.is_ascii() {
        return Err(PathRefusal::NotAscii);
    }
    if path.contains('\\') {
        return Err(PathRefusal::Backslash);
    }
    refuse_dot_segments(path.as_bytes())?;
    let mut layer: Cow<'_, [u8]> = Cow::Borrowed(path.as_bytes());
    for depth in 0..=LAYERS {
        match decode(&layer) {
            Decoded::Nothing => return Ok(()),
            // In a deeper layer a lone `%` is a character like any other.
            Decoded::Broken(_) if depth == 0 => return Err(PathRefusal::Escape),
            Decoded::Broken(None) => return Ok(()),
            Decoded::Broken(Some(octets)) | Decoded::Whole(octets) => {
                refuse_overlong(&octets)?;
                refuse_dot_segments(&octets)?;
                layer = Cow::Owned(octets);
            }
            Decoded::Separator(why) => return Err(why),
        }
    }
    Err(PathRefusal::Layers)
}

enum Decoded {
    /// No `%` at all.
    Nothing,
    /// Every escape was one.
    Whole(Vec<u8>),
    /// Some `%` was no escape; what came of the others, if there were others.
    Broken(Option<Vec<u8>>),
    /// An escape stands for an octet that must not be hidden.
    Separator(PathRefusal),
}

/// Removes one layer of percent-encoding.
fn decode(path: &[u8]) -> Decoded {
    if !path.contains(&b'%') {
        return Decoded::Nothing;
    }
    let mut octets = Vec::with_capacity(path.len());
    let (mut whole, mut escapes) = (true, 0_usize);
    let mut rest = path;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let Some(octet) = escaped(after) else {
            whole = false;
            octets.push(b'%');
            continue;
        };
        match octet {
            b'/' => return Decoded::Separator(PathRefusal::EncodedSlash),
            b'\\' => return Decoded::Separator(PathRefusal::Backslash),
            0..=0x1f | 0x7f => return Decoded::Separator(PathRefusal::EncodedControl),
            _ => {}
        }
        escapes += 1;
        octets.push(octet);
        rest = &after[2..];
    }
    match (whole, escapes) {
        (true, _) => Decoded::Whole(octets),
        (false, 0) => Decoded::Broken(None),
        (false, _) => Decoded::Broken(Some(octets)),
    }
}

/// The octet that two hexadecimal digits stand for.
fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| {
        let digit = char::from(*digits.get(at)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    Some(digit(0)? << 4 | digit(1)?)
}

/// `..` is also `..;x` to servlet containers, `.. ` to Windows, and `..?x` to whoever decodes first and
/// then takes the target apart.
fn refuse_dot_segments(path: &[u8]) -> Result<(), PathRefusal> {
    for segment in path.split(|&b| b == b'/') {
        let parameters = segment.iter().skip_while(|b| **b != b';');
        if parameters.into_iter().any(|b| matches!(b, b'?' | b'#')) {
            return Err(PathRefusal::Parameter);
        }
        let name = segment.split(|b| matches!(b, b';' | b'?' | b'#')).next();
        let name = name.unwrap_or_default();
        if matches!(name.trim_ascii_end(), b"." | b"..") {
            return Err(PathRefusal::DotSegment);
        }
    }
    Ok(())
}

/// `%c0%af` is `/` and `%c0%ae` is `.` to decoders that do not check for the shortest form.
fn refuse_overlong(octets: &[u8]) -> Result<(), PathRefusal> {
    let continues = |b: Option<&u8>| b.is_some_and(|b| (0x80..=0xbf).contains(b));
    for (at, first) in octets.iter().enumerate() {
        let next = |n: usize| octets.get(at + n);
        let overlong = match first {
            0xc0 | 0xc1 => continues(next(1)),
            0xe0 => matches!(next(1), Some(0x80 | 0x81)) && continues(next(2)),
            0xf0 => {
                next(1) == Some(&0x80) && matches!(next(2), Some(0x80 | 0x81)) && continues(next(3))
            }
            _ => false,
        };
        if overlong {
            return Err(PathRefusal::Overlong);
        }
    }
    Ok(())
}

impl<'a> CanonicalPath<'a> {
    /// The path as received: what is routed on, what rules that open match, what is forwarded.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.received
    }

    /// What rules that close match: escapes of ASCII decoded, lower case, `;params` removed,
    /// several `/` made one, dots and blanks at the end of a segment
    /// removed, and nothing behind a decoded `?` or `#`. Two spellings that some server takes for one path have one folded
    /// form.
    #[must_use]
    pub fn folded(&self) -> Cow<'a, str> {
        let path = self.received;
        let plain = |b: u8| !b.is_ascii_uppercase() && b != b'%' && b != b';';
        // What Windows takes off the end of a name.
        let ends_plain = |segment: &str| !segment.ends_with(['.', ' ']);
        if path.bytes().all(plain) && !path.contains("//") && path.split('/').all(ends_plain) {
            return Cow::Borrowed(path);
        }
        let mut decoded = path.to_owned();
        // As deep as `canonical` looks; on hosts that are not path-sensitive no rule asks.
        for _ in 0..=LAYERS {
            let once = decode_ascii(&decoded);
            if once == decoded {
                break;
            }
            decoded = once;
        }
        // Whoever decodes before it takes a target apart ends the path here.
        if let Some(end) = decoded.find(['?', '#']) {
            decoded.truncate(end);
        }
        let mut folded = String::with_capacity(decoded.len());
        let mut segments = decoded.split('/').peekable();
        while let Some(segment) = segments.next() {
            let name = segment.split(';').next().unwrap_or_default();
            let name = name.trim_end_matches(['.', ' ']);
            folded.push_str(&name.to_lowercase());
            if segments.peek().is_some() && !folded.ends_with('/') {
                folded.push('/');
            }
        }
        Cow::Owned(folded)
    }
}

/// Decodes escapes of ASCII characters and leaves the others.
fn decode_ascii(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        decoded.push_str(before);
        match escaped(&escape.as_bytes()[1..]) {
            Some(octet) if octet.is_ascii() => {
                decoded.push(char::from(octet));
                rest = &escape[3..];
            }
            _ => {
                decoded.push('%');
                rest = &escape[1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// The target for the application: the external prefix replaced by the internal one, octet by
/// octet; nothing is repaired and the query is not touched. `None` where the path is not below
/// the external prefix. Where both prefixes are the same nothing is copied.
///
/// Nothing that [`canonical`] lets pass on a path-sensitive host leaves the internal prefix,
/// whatever the server makes of it.
#[must_use]
pub fn map_path(
    external: &PathPrefix,
    internal: &PathPrefix,
    path_and_query: &PathAndQuery,
) -> Option<PathAndQuery> {
    let below = external.rest(path_and_query.path())?;
    if external == internal {
        return Some(path_and_query.clone());
    }
    let query = path_and_query.query();
    let length = internal.as_str().len() + below.len() + query.map_or(0, |q| q.len() + 1);
    let mut mapped = String::with_capacity(length);
    mapped.push_str(internal.as_str());
    mapped.push_str(below);
    if let Some(query) = query {
        mapped.push('?');
        mapped.push_str(query);
    }
    PathAndQuery::from_maybe_shared(bytes::Bytes::from(mapped)).ok()
}

#[cfg(test)]
mod tests;
