//! What the head of a part says, of what a form sends (RFC 7578, section 4).

use encoding_rs::Encoding;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::list::{Quoted, split};
use super::response::{DIGESTS, Wants, how};
use super::sent::syntax;
use super::types::{MediaType, unquoted};
use crate::translate::body::codec::Coding;
use crate::translate::text::Syntax;

/// What programs say of text that needs no packing.
const PLAIN: [&[u8]; 3] = [b"7bit", b"8bit", b"binary"];

/// A part that is a field of the form, not a file.
#[derive(Debug)]
pub struct Field {
    head: HeaderMap,
    name: Vec<u8>,
}

impl Field {
    /// Reads the head of a part, with the empty line at its end. `None` for a file, for whatever else is no field,
    /// and where programs may read the head in several ways.
    #[must_use]
    pub fn read(head: &[u8]) -> Option<Self> {
        let head = fields(head)?;
        // Its value would be another one than the head says.
        if head.contains_key(CONTENT_LENGTH) || DIGESTS.iter().any(|name| head.contains_key(name)) {
            return None;
        }
        let name = name(&head)?;
        let packed = head.get_all("content-transfer-encoding");
        let is_plain = |value: &HeaderValue| {
            let value = value.as_bytes().trim_ascii();
            PLAIN.iter().any(|plain| value.eq_ignore_ascii_case(plain))
        };
        let is_plain = packed.iter().all(is_plain);
        is_plain.then_some(Self { head, name })
    }

    /// Whether its value names the encoding of the fields behind it (RFC 7578, section 5.1.2).
    #[must_use]
    pub fn names_charset(&self) -> bool {
        self.name.eq_ignore_ascii_case(b"_charset_")
    }

    /// The encoding that it names itself, and what links in it are written in; `None` where it passes as it comes.
    /// Plain text is what the form is, and is not asked about.
    #[must_use]
    pub fn judge(&self, wants: Wants<'_>) -> Option<(Option<&'static Encoding>, Syntax)> {
        if !self.head.contains_key(CONTENT_TYPE) {
            return Some((None, Syntax::Text));
        }
        let media_type = MediaType::of(&self.head)?;
        if media_type.essence != "text/plain" {
            wants(&media_type).ok()?;
        }
        let plan = how(&self.head, &media_type).ok()?;
        (plan.coding == Coding::Identity).then(|| (plan.charset, syntax(&media_type)))
    }
}

/// The name of a field, which may be empty.
fn name(head: &HeaderMap) -> Option<Vec<u8>> {
    let mut dispositions = head.get_all(CONTENT_DISPOSITION).iter();
    let (Some(disposition), None) = (dispositions.next(), dispositions.next()) else {
        return None;
    };
    let disposition = disposition.as_bytes();
    // A backslash in front of a quote may be one of a path.
    let mut readings = [Quoted::Escapes, Quoted::Literal].into_iter();
    if readings.any(|quoted| names_file(disposition, quoted)) {
        return None;
    }
    let mut parts = split(disposition, b';', Quoted::Escapes);
    if !parts.next()?.eq_ignore_ascii_case(b"form-data") {
        return None;
    }
    let name = parts.find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(b"name=".len())?;
        name.eq_ignore_ascii_case(b"name=").then(|| unquoted(value))
    });
    Some(name.unwrap_or_default())
}

/// Whether a disposition is that of a file, with quoted strings read so.
fn names_file(disposition: &[u8], quoted: Quoted) -> bool {
    split(disposition, b';', quoted).skip(1).any(|parameter| {
        let name = parameter.split(|octet| matches!(octet, b'=' | b'*')).next();
        let name = name.unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"filename")
    })
}

/// The fields of a head. `None` where a line is none.
fn fields(head: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in head
        .strip_suffix(b"\r\n")?
        .split_inclusive(|octet| *octet == b'\n')
    {
        let line = line.strip_suffix(b"\r\n")?;
        match (line.first()?, lines.last_mut()) {
            // It goes on with the one before.
            (b' ' | b'\t', Some(last)) => last.extend_from_slice(line),
            _ => lines.push(line.to_vec()),
        }
    }
    for line in lines {
        let colon = line.iter().position(|octet| *octet == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.strip_prefix(b":")?.trim_ascii();
        let name = HeaderName::from_bytes(name).ok()?;
        fields.append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BodyKind;
    use crate::translate::body::Skip;

    fn judged(head: &str) -> Option<(Option<&'static Encoding>, Syntax)> {
        let wants = |media_type: &MediaType| match media_type.kind {
            BodyKind::Json | BodyKind::Html => Ok(()),
            _ => Err(Skip::Type),
        };
        let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
        Field::read(head.as_bytes())?.judge(&wants)
    }

    #[test]
    fn fields_are_told_from_files() {
        let mut seen = 0;
        for (rest, expected) in [
            ("", Some((None, Syntax::Text))),
            ("\nContent-Type: text/plain", Some((None, Syntax::Text))),
            (
                "\ncontent-type: TEXT/plain; charset=\"shift_jis\"",
                Some((Some(encoding_rs::SHIFT_JIS), Syntax::Text)),
            ),
            (
                "\nContent-Type: application/json;\n charset=utf-8",
                Some((Some(encoding_rs::UTF_8), Syntax::Json)),
            ),
            ("\nContent-Type: text/html", Some((None, Syntax::Text))),
            ("\nContent-Type: text/css", None),
            ("\nContent-Type: text/plain; charset=iso-2022-kr", None),
            ("\nContent-Type: multipart/mixed; boundary=x", None),
            ("\nContent-Type: image/png", None),
            ("\nContent-Type: nothing", None),
            ("\nContent-Encoding: gzip\nContent-Type: text/plain", None),
            (
                "\nContent-Transfer-Encoding: 8BIT",
                Some((None, Syntax::Text)),
            ),
            ("\nContent-Transfer-Encoding: base64", None),
            ("; filename=x", None),
            ("; FileName=\"\"", None),
            ("; filename*=utf-8''x", None),
            ("; filename = x", None),
            ("; x=\"a\\\"; filename=\\\"b\"", None),
            ("; x=\"a\\\"; filename=b", None),
            ("; x=\"; filename=b\"", Some((None, Syntax::Text))),
            ("\nContent-Disposition: form-data; filename=x", None),
            ("\nContent-Length: 3", None),
            ("\nContent-MD5: x", None),
            ("\nno field", None),
            ("\nA: b\rc", None),
            ("\nA b: c", None),
        ] {
            let head = format!("Content-Disposition: form-data; name=\"a\"{rest}");
            assert_eq!(judged(&head), expected, "{rest}");
            seen += 1;
        }
        assert_eq!(seen, 26);
        for head in [
            "",
            "A: b",
            "Content-Disposition: attachment; name=a",
            " a: b",
        ] {
            assert_eq!(judged(head), None, "{head}");
        }
        let named = |name: &str| {
            let head = format!("Content-Disposition: Form-Data; name={name}\r\n\r\n");
            Field::read(head.as_bytes()).unwrap().names_charset()
        };
        assert!(named("_charset_") && named("\"_Charset_\"") && !named("charset"));
    }
}
