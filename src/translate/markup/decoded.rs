//! Text out of its escapes, and the way back.
//!
//! URLs hide behind HTML entities, CSS escapes, percent signs and blanks that browsers skip. A
//! change is found in the plain text, and only what it covers is written anew: everything else
//! keeps the octets it came with.

use std::borrow::Cow;
use std::ops::Range;

use super::charset::Charset;

/// Something else in place of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::translate) struct Edit {
    pub(in crate::translate) range: Range<usize>,
    pub(in crate::translate) with: String,
}

/// In order, and none overlaps another.
pub(in crate::translate) type Edits = Vec<Edit>;

/// How many changes one attribute may have: bounds the memory. What follows stays as it came.
pub(in crate::translate) const MOST_EDITS: usize = 512;

/// How many octets longer a tag, or a text that changes as a whole, may become: bounds the memory. What follows stays
/// as it came.
pub(in crate::translate) const MOST_GROWTH: usize = 16 * 1024;

/// How much longer something becomes that stands in place of these octets.
pub(in crate::translate) fn growth(old: usize, new: &[u8]) -> usize {
    new.len().saturating_sub(old)
}

/// All of them further on.
pub(in crate::translate) fn shifted(mut edits: Edits, by: usize) -> Edits {
    for edit in &mut edits {
        edit.range = edit.range.start + by..edit.range.end + by;
    }
    edits
}

/// The text with its changes made.
pub(in crate::translate) fn apply(text: &str, edits: &Edits) -> String {
    let mut new = String::new();
    let mut at = 0;
    for edit in edits {
        new.push_str(&text[at..edit.range.start]);
        new.push_str(&edit.with);
        at = edit.range.end;
    }
    new + &text[at..]
}

/// Plain text, and where each part of it came from.
#[derive(Debug)]
pub(in crate::translate) struct Decoded<'a> {
    pub(in crate::translate) text: Cow<'a, str>,
    /// The parts that do not stand for themselves, in order.
    units: Vec<Unit>,
}

#[derive(Debug, Clone, Copy)]
struct Unit {
    text: u32,
    text_length: u16,
    raw_length: u16,
    raw: u32,
}

/// Bounds the memory of one value; a text with more escapes stays as it came.
const MOST_UNITS: usize = 2048;

/// Longest run of characters beyond ASCII decoded as one unit.
const LONGEST_UNIT: usize = 16 * 1024;

impl<'a> Decoded<'a> {
    /// A text without escapes.
    pub(in crate::translate) fn plain(text: &'a str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            units: Vec::new(),
        }
    }

    /// `begins` tells the octets at which `escape` may find one: its length, and the character it
    /// stands for if any. `None` where a text has more escapes than anybody writes.
    pub(in crate::translate) fn new(
        raw: &'a [u8],
        charset: Charset,
        begins: impl Fn(u8) -> bool,
        escape: impl Fn(&[u8]) -> Option<(usize, Option<char>)>,
    ) -> Option<Self> {
        let is_plain = |octet: &u8| octet.is_ascii() && !begins(*octet);
        if let Ok(text) = std::str::from_utf8(raw)
            && raw.iter().all(is_plain)
        {
            return Some(Self::plain(text));
        }
        let mut decoded = Self {
            text: Cow::Owned(String::with_capacity(raw.len())),
            units: Vec::new(),
        };
        let text = decoded.text.to_mut();
        let mut at = 0;
        while at < raw.len() {
            let rest = &raw[at..];
            let plain = rest.iter().take_while(|octet| is_plain(octet)).count();
            if plain > 0 {
                text.extend(rest[..plain].iter().map(|&octet| char::from(octet)));
                at += plain;
                continue;
            }
            let mut begin = text.len();
            let length = if rest[0].is_ascii() {
                let Some((length, character)) = escape(rest) else {
                    text.push(char::from(rest[0]));
                    at += 1;
                    continue;
                };
                text.extend(character);
                length
            } else {
                let length = charset.beyond_ascii(rest);
                if charset == Charset::UTF_8 {
                    let chunk = rest[..length].utf8_chunks().next();
                    let valid = chunk.as_ref().map_or("", |chunk| chunk.valid());
                    text.push_str(valid);
                    at += valid.len();
                    let invalid = chunk.map_or(0, |chunk| chunk.invalid().len());
                    if invalid == 0 {
                        continue;
                    }
                    begin = text.len();
                    text.push(char::REPLACEMENT_CHARACTER);
                    invalid
                } else {
                    let length = length.min(LONGEST_UNIT);
                    text.push_str(&charset.decode(&rest[..length]));
                    length
                }
            };
            if decoded.units.len() == MOST_UNITS {
                return None;
            }
            decoded.units.push(Unit {
                text: u32::try_from(begin).ok()?,
                text_length: u16::try_from(text.len() - begin).ok()?,
                raw_length: u16::try_from(length).ok()?,
                raw: u32::try_from(at).ok()?,
            });
            at += length;
        }
        Some(decoded)
    }

    /// The changes of the text as changes of what it was decoded from. One whose ends are inside
    /// something that cannot be divided is dropped.
    pub(in crate::translate) fn raw(&self, edits: Edits) -> Edits {
        if self.units.is_empty() {
            return edits;
        }
        let raw = |Edit { range, with }| {
            // What stands for nothing, like a newline in a URL, stays outside.
            let start = self.raw_position(range.start, |unit| unit.text as usize <= range.start)?;
            let end = self.raw_position(range.end, |unit| (unit.text as usize) < range.end)?;
            (start <= end).then_some(Edit {
                range: start..end,
                with,
            })
        };
        edits.into_iter().filter_map(raw).collect()
    }

    fn raw_position(&self, at: usize, is_before: impl Fn(&Unit) -> bool) -> Option<usize> {
        let after = self.units.partition_point(is_before);
        let Some(unit) = after.checked_sub(1).map(|last| self.units[last]) else {
            return Some(at);
        };
        let (text, raw) = (unit.text as usize, unit.raw as usize);
        let text_end = text + usize::from(unit.text_length);
        if at >= text_end {
            Some(raw + usize::from(unit.raw_length) + (at - text_end))
        } else {
            (at == text).then_some(raw)
        }
    }
}
