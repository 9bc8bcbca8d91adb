//! The sections of a PEM text (RFC 7468), and where it is damaged.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// Whatever pads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One section.
pub(super) struct Section {
    /// What stands between `-----BEGIN ` and the dashes.
    pub(super) label: String,
    /// The line with `-----BEGIN`, from 1.
    pub(super) line: usize,
    /// Whether a header says that it is encrypted (RFC 1421, as OpenSSL writes keys with it).
    pub(super) is_encrypted: bool,
    /// What is in it.
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// A section that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The line with `-----BEGIN`, or the one that is wrong, from 1.
    pub(super) line: usize,
    pub(super) label: String,
    pub(super) why: &'static str,
}

/// The text as one octet a character: it may have come from an editor that writes two. The second is what
/// else than plain text it is, in words, and whether `iconv` puts that right.
pub(super) fn plain(octets: &[u8]) -> (Cow<'_, [u8]>, Option<Written>) {
    let narrow = |body: &[u8], wide: fn([u8; 2]) -> u16| -> Vec<u8> {
        let units = body.chunks_exact(2).map(|pair| wide([pair[0], pair[1]]));
        // What is not ASCII is in no section.
        units
            .map(|unit| u8::try_from(unit).unwrap_or(b'?'))
            .collect()
    };
    let wide = Some(Written::Utf16);
    match octets {
        [0xff, 0xfe, body @ ..] => (narrow(body, u16::from_le_bytes).into(), wide),
        [0xfe, 0xff, body @ ..] => (narrow(body, u16::from_be_bytes).into(), wide),
        [b'-', 0, b'-', 0, ..] => (narrow(octets, u16::from_le_bytes).into(), wide),
        [0, b'-', 0, b'-', ..] => (narrow(octets, u16::from_be_bytes).into(), wide),
        [0xef, 0xbb, 0xbf, body @ ..] => (body.into(), Some(Written::Marked)),
        _ if octets.contains(&b'\r') && !octets.contains(&b'\n') => {
            (octets.into(), Some(Written::CarriageReturns))
        }
        _ if has_indented(octets) => (octets.into(), Some(Written::Indented)),
        _ => (octets.into(), None),
    }
}

/// What a text is written in that is not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Utf16,
    Marked,
    CarriageReturns,
    Indented,
}

fn has_indented(octets: &[u8]) -> bool {
    let front = b"-----BEGIN ";
    lines(octets).any(|line| {
        matches!(line.first(), Some(b' ' | b'\t')) && line.trim_ascii_start().starts_with(front)
    })
}

/// All sections, and what could not be read of them.
pub(super) fn sections(text: &[u8]) -> (Vec<Section>, Vec<Damage>) {
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    let mut open: Option<Open> = None;
    for (at, line) in lines(text).enumerate() {
        let line = line.trim_ascii();
        if let Some(label) = between(line, b"-----BEGIN ") {
            damaged.extend(
                open.take()
                    .map(|open| open.damaged("it has no end line: it may be cut off")),
            );
            open = Some(Open::new(label, at + 1));
        } else if let Some(label) = between(line, b"-----END ") {
            match open.take() {
                Some(open) if open.label == label => match open.read() {
                    Ok(section) => whole.push(section),
                    Err(damage) => damaged.push(damage),
                },
                Some(open) => damaged.push(open.damaged("its end line names something else")),
                None => damaged.push(Damage {
                    line: at + 1,
                    label,
                    why: "it has an end line and no `-----BEGIN` line",
                }),
            }
        } else if let Some(open) = &mut open {
            open.take(line);
        } else if line.starts_with(b"-----BEGIN") {
            damaged.push(Damage {
                line: at + 1,
                label: String::new(),
                why: "its line `-----BEGIN …-----` is malformed",
            });
        }
    }
    damaged.extend(open.map(|open| open.damaged("it has no end line: it may be cut off")));
    (whole, damaged)
}

/// Lines that end as on any system.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text
            .iter()
            .position(|&octet| octet == b'\n' || octet == b'\r');
        let Some(end) = end else {
            rest = None;
            return Some(text);
        };
        let (line, after) = text.split_at(end);
        let after = after.strip_prefix(b"\r\n").or_else(|| after.get(1..));
        rest = Some(after.unwrap_or_default());
        Some(line)
    })
}

fn between(line: &[u8], front: &[u8]) -> Option<String> {
    let label = line.strip_prefix(front)?.strip_suffix(b"-----")?;
    Some(String::from_utf8_lossy(label).into_owned())
}

struct Open {
    label: String,
    line: usize,
    is_encrypted: bool,
    in_headers: bool,
    base64: Zeroizing<Vec<u8>>,
}

impl Open {
    fn new(label: String, line: usize) -> Self {
        Self {
            label,
            line,
            is_encrypted: false,
            in_headers: false,
            base64: Zeroizing::default(),
        }
    }

    fn take(&mut self, line: &[u8]) {
        if line.contains(&b':') {
            self.in_headers = true;
            self.is_encrypted |= line.starts_with(b"Proc-Type") && line.ends_with(b"ENCRYPTED");
        } else if line.is_empty() {
            self.in_headers = false;
        } else if !self.in_headers {
            let octets = line.iter().filter(|octet| !octet.is_ascii_whitespace());
            self.base64.extend(octets);
        }
    }

    fn read(self) -> Result<Section, Damage> {
        match BASE64.decode(&*self.base64) {
            Ok(der) if der.is_empty() => Err(self.damaged("it is empty")),
            Ok(der) => Ok(Section {
                der: der.into(),
                label: self.label,
                line: self.line,
                is_encrypted: self.is_encrypted,
            }),
            Err(_) => Err(self.damaged("it is not valid base64")),
        }
    }

    fn damaged(self, why: &'static str) -> Damage {
        Damage {
            line: self.line,
            label: self.label,
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN X-----\nAQID\n-----END X-----\n";

    type Shown = (String, usize, Vec<u8>);

    fn read(text: &[u8]) -> (Vec<Shown>, Vec<Damage>) {
        let (whole, damaged) = sections(text);
        let shown = |one: Section| (one.label, one.line, one.der.to_vec());
        (whole.into_iter().map(shown).collect(), damaged)
    }

    #[test]
    fn sections_are_found_however_lines_end() {
        let expected = vec![("X".to_owned(), 1, vec![1, 2, 3])];
        for end in ["\n", "\r\n", "\r", " \n", "\n\n"] {
            let text = ONE.replace('\n', end);
            let (whole, damaged) = read(text.as_bytes());
            let lines_aside: Vec<_> = whole.into_iter().map(|(l, _, d)| (l, 1, d)).collect();
            assert_eq!(
                (lines_aside, damaged),
                (expected.clone(), vec![]),
                "{end:?}"
            );
        }
        let text = format!("Bag Attributes\n    friendlyName: a\n{ONE}other: text\n{ONE}");
        let (whole, damaged) = read(text.as_bytes());
        assert_eq!(damaged, []);
        assert_eq!(whole.iter().map(|one| one.1).collect::<Vec<_>>(), [3, 7]);
    }

    #[test]
    fn what_is_damaged_is_told_with_its_line() {
        let table = [
            ("-----BEGIN X-----\nAQID\n", 1, "no end line"),
            ("-----BEGIN X-----\nAQ-D\n-----END X-----", 1, "base64"),
            (
                "\n-----BEGIN X-----\nAQID\n-----END Y-----",
                2,
                "something else",
            ),
            ("AQID\n-----END X-----", 2, "no `-----BEGIN`"),
            ("-----BEGIN X----\nAQID\n", 1, "malformed"),
            ("-----BEGIN X-----\n-----END X-----", 1, "empty"),
            (
                "-----BEGIN X-----\nAQID\n-----BEGIN X-----\nAQID\n-----END X-----",
                1,
                "cut off",
            ),
        ];
        for (text, line, why) in table {
            let (_, damaged) = read(text.as_bytes());
            assert_eq!(damaged.len(), 1, "{text:?}: {damaged:?}");
            assert_eq!(damaged[0].line, line, "{text:?}");
            assert!(damaged[0].why.contains(why), "{text:?}: {damaged:?}");
        }
    }

    #[test]
    fn headers_of_an_encrypted_key_are_no_base64() {
        let text = "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAQID\n-----END X-----";
        let (whole, damaged) = sections(text.as_bytes());
        assert_eq!(damaged, []);
        assert!(whole[0].is_encrypted);
        assert_eq!(*whole[0].der, [1, 2, 3]);
    }

    #[test]
    fn two_octets_a_character_are_told() {
        let wide: Vec<u8> = ONE.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for text in [[&[0xff, 0xfe], &*wide].concat(), wide.clone()] {
            let (plain, how) = plain(&text);
            assert_eq!(how, Some(Written::Utf16));
            assert_eq!(read(&plain).0.len(), 1);
        }
        let marked = [&[0xef, 0xbb, 0xbf], ONE.as_bytes()].concat();
        let (plain, how) = plain(&marked);
        assert_eq!((how, read(&plain).0.len()), (Some(Written::Marked), 1));
    }
}
