//! Character encodings, as far as finding URLs needs them.

use std::borrow::Cow;

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252,
    X_USER_DEFINED,
};

/// An encoding in which ASCII octets stand for themselves, but for the second octet of some
/// characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::translate) struct Charset(&'static Encoding);

impl Charset {
    pub(in crate::translate) const UTF_8: Self = Self(UTF_8);

    /// `None` where text has to be transcoded first: UTF-16, ISO-2022-JP.
    pub(in crate::translate) fn new(encoding: &'static Encoding) -> Option<Self> {
        encoding.is_ascii_compatible().then_some(Self(encoding))
    }

    /// What a `meta` element declares, as HTML's prescan reads it; `None` for an unknown name.
    pub(in crate::translate) fn declared(label: &[u8]) -> Option<&'static Encoding> {
        let encoding = Encoding::for_label_no_replacement(label)?;
        // Who can read the element is not reading UTF-16.
        Some(if encoding == UTF_16BE || encoding == UTF_16LE {
            UTF_8
        } else if encoding == X_USER_DEFINED {
            WINDOWS_1252
        } else {
            encoding
        })
    }

    /// Whether the second octet of a character may look like ASCII.
    pub(in crate::translate) fn has_ascii_trails(self) -> bool {
        [SHIFT_JIS, GBK, GB18030, BIG5, EUC_KR].contains(&self.0)
    }

    /// Whether the octet begins a character of two octets, in an encoding with such trails.
    /// The four octets of GB18030 are two such pairs.
    pub(in crate::translate) fn is_lead(self, octet: u8) -> bool {
        if self.0 == SHIFT_JIS {
            matches!(octet, 0x81..=0x9F | 0xE0..=0xFC)
        } else {
            matches!(octet, 0x81..=0xFE)
        }
    }

    /// How many octets the characters beyond ASCII at the beginning take.
    pub(in crate::translate) fn beyond_ascii(self, octets: &[u8]) -> usize {
        let pairs = self.has_ascii_trails();
        let mut at = 0;
        while at < octets.len() && octets[at] >= 0x80 {
            at += if pairs && self.is_lead(octets[at]) {
                2
            } else {
                1
            };
        }
        at.min(octets.len())
    }

    pub(in crate::translate) fn decode(self, octets: &[u8]) -> Cow<'_, str> {
        self.0.decode_without_bom_handling(octets).0
    }

    /// `None` where the encoding lacks a character.
    pub(in crate::translate) fn encode(self, text: String) -> Option<Vec<u8>> {
        if self == Self::UTF_8 || text.is_ascii() {
            return Some(text.into_bytes());
        }
        let (octets, _, lacks) = self.0.encode(&text);
        (!lacks).then(|| octets.into_owned())
    }
}
