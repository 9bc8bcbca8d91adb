//! The lines of a head: where one ends, and what a request line and a field line are.

use http::Uri;

use super::Fault;

/// The most octets of a target, and of a field's name: the parser takes no longer ones.
const TARGET: usize = 65_534;
const NAME: usize = 65_535;

/// A line that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Octets with the end of the line.
    pub(super) length: usize,
}

/// Finds the first line of `octets`. `searched` is where to begin, and where it was given up.
pub(super) fn next(octets: &[u8], searched: &mut usize) -> Option<Line> {
    let from = (*searched).min(octets.len());
    if let Some(at) = memchr::memchr(b'\n', &octets[from..]) {
        Some(Line {
            length: from + at + 1,
        })
    } else {
        *searched = octets.len();
        None
    }
}

impl Line {
    /// What stands on it, without its end.
    pub(super) fn text(self, octets: &[u8]) -> Result<&[u8], Fault> {
        let line = &octets[..self.length];
        let text = line.strip_suffix(b"\r\n").ok_or(Fault::BareLf)?;
        if memchr::memchr(b'\r', text).is_some() {
            return Err(Fault::BareCr);
        }
        Ok(text)
    }
}

/// The first line of a request (RFC 9112 section 3).
#[derive(Debug)]
pub(super) struct RequestLine {
    /// HTTP/1.0.
    pub(super) is_old: bool,
}

impl RequestLine {
    pub(super) fn parse(line: &[u8]) -> Result<Self, Fault> {
        if line.is_empty() {
            return Err(Fault::EmptyLine);
        }
        let mut parts = line.split(|&octet| octet == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::RequestLine);
        };
        if !is_token(method) {
            return Err(Fault::RequestLine);
        }
        if method == b"CONNECT" {
            return Err(Fault::Connect);
        }
        if !target.iter().all(|&octet| is_of_target(octet)) {
            return Err(Fault::Target);
        }
        if !has_known_form(method, target) {
            return Err(Fault::TargetForm);
        }
        if target.len() > TARGET {
            return Err(Fault::TargetTooLong);
        }
        // The parser would refuse it without a reference: `/<`, an authority that is none, UTF-8
        // that is none.
        if Uri::try_from(target).is_err() {
            return Err(Fault::Target);
        }
        match version {
            b"HTTP/1.1" => Ok(Self { is_old: false }),
            b"HTTP/1.0" => Ok(Self { is_old: true }),
            _ => Err(Fault::Version),
        }
    }
}

/// Octets that may stand in a target: browsers leave some as they are that RFC 3986 would encode,
/// and old ones all beyond ASCII. A fragment is not sent.
fn is_of_target(octet: u8) -> bool {
    octet > b' ' && octet != b'#' && octet != 0x7F
}

fn has_known_form(method: &[u8], target: &[u8]) -> bool {
    let begins = |scheme: &[u8]| {
        target
            .get(..scheme.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    target.starts_with(b"/")
        || begins(b"http://")
        || begins(b"https://")
        || target == b"*" && method == b"OPTIONS"
}

/// One header field (RFC 9112 section 5).
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    /// Without the white space around it.
    pub(super) value: &'a [u8],
}

impl<'a> Field<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Fault> {
        if matches!(line, [b' ' | b'\t', ..]) {
            return Err(Fault::Folded);
        }
        let colon = memchr::memchr(b':', line).ok_or(Fault::FieldName)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) {
            return Err(Fault::FieldName);
        }
        if name.len() > NAME {
            return Err(Fault::HeadTooLarge);
        }
        if !is_value(value) {
            return Err(Fault::FieldValue);
        }
        Ok(Self {
            name,
            value: trimmed(value),
        })
    }
}

/// Whether all octets may stand in a field's value (RFC 9110 section 5.5).
pub(super) fn is_value(octets: &[u8]) -> bool {
    // Without a way out in the middle: so it is done many octets at a time.
    octets.iter().fold(true, |good, &octet| {
        good & ((octet >= b' ') & (octet != 0x7F) | (octet == b'\t'))
    })
}

/// Without spaces and tabs at both ends; other white space is none of HTTP.
fn trimmed(value: &[u8]) -> &[u8] {
    let is_text = |octet: &u8| !matches!(octet, b' ' | b'\t');
    let begin = value.iter().position(is_text).unwrap_or(value.len());
    let end = value.iter().rposition(is_text).map_or(begin, |at| at + 1);
    &value[begin..end]
}

fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|&octet| is_of_token(octet))
}

/// RFC 9110 section 5.6.2.
fn is_of_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
