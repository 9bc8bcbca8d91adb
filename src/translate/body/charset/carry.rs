//! UTF-16 and ISO-2022-JP on their way to a rewriter of ASCII-compatible text, and back.
//!
//! Well-formed text without a change comes back octet by octet. UTF-16 is carried as UTF-8. To
//! transcode ISO-2022-JP would not give back what came (its escape sequences may be redundant, and
//! encoders make full-width letters of half-width ones), so its shifted octets are carried with the
//! high bit set, between the escape sequences as they came: where ASCII is meant there is ASCII.

const ESC: u8 = 0x1b;
const HIGH: u8 = 0x80;

/// How octets are carried to the rewriter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// The encoding is ASCII-compatible.
    AsIs,
    /// As UTF-8.
    Utf16 {
        /// UTF-16BE.
        big: bool,
    },
    /// With the high bit set where a Japanese set is shifted in.
    Iso2022Jp,
}

/// What could not be carried: these octets as they came, from the first that is malformed, with
/// all that had been taken behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the text is malformed in its encoding")]
pub struct Malformed(pub Vec<u8>);

/// A rewriter gave what is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rewriter gave text that is not UTF-8")]
pub struct NotText;

/// From the application to the rewriter.
#[derive(Debug)]
pub struct Inward {
    carry: Carry,
    /// The beginning of a code point or escape sequence: less than four octets.
    held: Vec<u8>,
    shifted: bool,
}

impl Inward {
    /// For one body, behind its byte order mark.
    #[must_use]
    pub fn new(carry: Carry) -> Self {
        Self {
            carry,
            held: Vec::new(),
            shifted: false,
        }
    }

    /// Takes octets and gives the text that is complete.
    ///
    /// # Errors
    /// Where they are malformed; what is well-formed before is in `text`.
    pub fn push(&mut self, chunk: &[u8], text: &mut Vec<u8>) -> Result<(), Malformed> {
        match self.carry {
            Carry::AsIs => {
                text.extend_from_slice(chunk);
                Ok(())
            }
            Carry::Utf16 { big } => self.utf16(chunk, big, text),
            Carry::Iso2022Jp => self.iso_2022_jp(chunk, text),
        }
    }

    /// What is held, as it came: all of a text that stops being carried, or an incomplete end.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    fn utf16(&mut self, chunk: &[u8], big: bool, text: &mut Vec<u8>) -> Result<(), Malformed> {
        let unit = |octets: [u8; 2]| {
            if big {
                u16::from_be_bytes(octets)
            } else {
                u16::from_le_bytes(octets)
            }
        };
        text.reserve(chunk.len());
        let mut rest = chunk;
        // A code point that began in an earlier chunk is completed octet by octet.
        while let Some((&octet, behind)) = rest.split_first() {
            if self.held.is_empty() {
                break;
            }
            self.held.push(octet);
            rest = behind;
            let done = match *self.held.as_slice() {
                [a, b] => put(&[unit([a, b])], text),
                [a, b, c, d] => put(&[unit([a, b]), unit([c, d])], text),
                _ => Put::Incomplete,
            };
            match done {
                Put::Done => self.held.clear(),
                Put::Incomplete => {}
                Put::Malformed => return Err(self.malformed(rest)),
            }
        }
        let mut at = 0;
        while let Some(&[a, b]) = rest.get(at..at + 2) {
            let first = unit([a, b]);
            // Most of a page is ASCII.
            if first < 0x80 {
                text.push(first as u8);
                at += 2;
                continue;
            }
            let (units, length) = match rest.get(at + 2..at + 4) {
                Some(&[c, d]) if is_high(first) => ([first, unit([c, d])], 2),
                _ => ([first, 0], 1),
            };
            match put(&units[..length], text) {
                Put::Done => at += 2 * length,
                Put::Incomplete => break,
                Put::Malformed => return Err(self.malformed(&rest[at..])),
            }
        }
        self.held.extend_from_slice(&rest[at..]);
        Ok(())
    }

    /// RFC 1468 as WHATWG reads it: any octet may follow any other, but none has the high bit.
    fn iso_2022_jp(&mut self, chunk: &[u8], text: &mut Vec<u8>) -> Result<(), Malformed> {
        text.reserve(chunk.len());
        for (at, &octet) in chunk.iter().enumerate() {
            if octet & HIGH != 0 {
                return Err(self.malformed(&chunk[at..]));
            }
            self.held.push(octet);
            match *self.held.as_slice() {
                [ESC] | [ESC, b'(' | b'$'] => continue,
                [ESC, b'(', b'B' | b'J'] => {
                    text.append(&mut self.held);
                    self.shifted = false;
                }
                [ESC, b'(', b'I'] | [ESC, b'$', b'@' | b'B'] => {
                    text.append(&mut self.held);
                    self.shifted = true;
                }
                // Not an escape sequence: its octets mean what they would without it. The last of
                // them may begin another one.
                _ => {
                    let begins = self.held.len() > 1 && octet == ESC;
                    let plain = self.held.len() - usize::from(begins);
                    let shifted = self.shifted;
                    text.extend(self.held.drain(..plain).map(|o| shift(o, shifted)));
                }
            }
        }
        Ok(())
    }

    fn malformed(&mut self, rest: &[u8]) -> Malformed {
        let mut octets = std::mem::take(&mut self.held);
        octets.extend_from_slice(rest);
        Malformed(octets)
    }
}

fn shift(octet: u8, shifted: bool) -> u8 {
    match octet {
        0x21..=0x7e if shifted => octet | HIGH,
        _ => octet,
    }
}

fn is_high(unit: u16) -> bool {
    matches!(unit, 0xd800..=0xdbff)
}

enum Put {
    Done,
    Incomplete,
    Malformed,
}

/// Writes one code point.
fn put(units: &[u16], text: &mut Vec<u8>) -> Put {
    if let [first] = units
        && is_high(*first)
    {
        return Put::Incomplete;
    }
    match char::decode_utf16(units.iter().copied()).next() {
        Some(Ok(c)) => {
            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            Put::Done
        }
        _ => Put::Malformed,
    }
}

/// From the rewriter to the browser.
#[derive(Debug)]
pub struct Outward {
    carry: Carry,
    /// The beginning of a character: less than four octets.
    held: Vec<u8>,
}

impl Outward {
    /// For one body.
    #[must_use]
    pub fn new(carry: Carry) -> Self {
        Self {
            carry,
            held: Vec::new(),
        }
    }

    /// Takes what a rewriter gave.
    ///
    /// # Errors
    /// Where that is not text any more.
    pub fn push(&mut self, mut text: &[u8], out: &mut Vec<u8>) -> Result<(), NotText> {
        match self.carry {
            Carry::AsIs => out.extend_from_slice(text),
            Carry::Iso2022Jp => out.extend(text.iter().map(|octet| octet & !HIGH)),
            Carry::Utf16 { big } => {
                while !self.held.is_empty()
                    && let Some((&octet, rest)) = text.split_first()
                {
                    self.held.push(octet);
                    text = rest;
                    if self.put_whole(big, out)? {
                        break;
                    }
                }
                let whole = whole_part(text)?;
                put_utf16(whole, big, out);
                self.held.extend_from_slice(&text[whole.len()..]);
            }
        }
        Ok(())
    }

    /// The text ends, or goes on without the rewriter.
    ///
    /// # Errors
    /// Where it ends inside a character.
    pub fn end(&self) -> Result<(), NotText> {
        if self.held.is_empty() {
            Ok(())
        } else {
            Err(NotText)
        }
    }

    /// Writes the held character where it is complete.
    fn put_whole(&mut self, big: bool, out: &mut Vec<u8>) -> Result<bool, NotText> {
        let whole = whole_part(&self.held)?;
        if whole.is_empty() {
            return Ok(false);
        }
        put_utf16(whole, big, out);
        self.held.clear();
        Ok(true)
    }
}

/// The text without a character that is not complete.
fn whole_part(text: &[u8]) -> Result<&str, NotText> {
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text),
        Err(error) if error.error_len().is_some() => Err(NotText),
        Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).map_err(|_| NotText),
    }
}

fn put_utf16(text: &str, big: bool, out: &mut Vec<u8>) {
    out.reserve(2 * text.len());
    for unit in text.encode_utf16() {
        out.extend_from_slice(&if big {
            unit.to_be_bytes()
        } else {
            unit.to_le_bytes()
        });
    }
}
