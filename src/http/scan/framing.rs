//! What follows a head (RFC 9112 section 6), where it is said once and by one field.

use super::Fault;
use super::line::Field;

/// The most digits of a length: all such numbers fit 64 bits.
const DIGITS: usize = 18;

/// What a head says of what follows it.
#[derive(Debug, Default)]
pub(super) struct Framing {
    length: Option<u64>,
    chunked: bool,
    /// `Upgrade` stands there, whatever it names: the parser decides what it asks for.
    upgrade: bool,
}

/// How long a body is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    Octets(u64),
    Chunked,
}

impl Framing {
    /// Takes note of a field.
    pub(super) fn take(&mut self, field: &Field<'_>) -> Result<(), Fault> {
        let is = |name: &[u8]| field.name.eq_ignore_ascii_case(name);
        if is(b"content-length") {
            let length = decimal(field.value).ok_or(Fault::ContentLength)?;
            if self.length.replace(length).is_some() {
                return Err(Fault::ContentLength);
            }
        } else if is(b"transfer-encoding") {
            let is_chunked = field.value.eq_ignore_ascii_case(b"chunked");
            if !is_chunked || std::mem::replace(&mut self.chunked, true) {
                return Err(Fault::TransferEncoding);
            }
        } else if is(b"upgrade") {
            self.upgrade = true;
        }
        Ok(())
    }

    /// All fields were taken note of; `is_old` for HTTP/1.0, which knows no chunks and no upgrade.
    pub(super) fn whole(self, is_old: bool) -> Result<Self, Fault> {
        if self.chunked && self.length.is_some() {
            return Err(Fault::TwoLengths);
        }
        if self.chunked && is_old {
            return Err(Fault::TransferEncoding);
        }
        let upgrade = self.upgrade && !is_old;
        Ok(Self { upgrade, ..self })
    }

    pub(super) fn may_upgrade(&self) -> bool {
        self.upgrade
    }

    pub(super) fn body(&self) -> Length {
        if self.chunked {
            Length::Chunked
        } else {
            Length::Octets(self.length.unwrap_or(0))
        }
    }
}

/// A number as RFC 9110 section 8.6 writes it, and no second way to write the same.
pub(in super::super) fn decimal(text: &[u8]) -> Option<u64> {
    let is_plain = text.len() <= DIGITS && text.iter().all(u8::is_ascii_digit);
    let is_short = text.len() == 1 || !text.starts_with(b"0");
    if text.is_empty() || !is_plain || !is_short {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
