//! A field's value while parts of it are replaced.

use std::ops::Range;

/// What an application can make of a field of 64 KiB by naming itself over and over.
///
/// SECURITY: a longer external URL makes a longer field. One that would become longer than this
/// stays as it came.
const LONGEST: usize = 128 * 1024;

/// A field's value: what is not replaced is kept octet by octet.
#[derive(Debug)]
pub(super) struct Field<'a> {
    value: &'a [u8],
    written: Vec<u8>,
    /// How much of the value is in `written`, or replaced there.
    done: usize,
    changed: bool,
}

impl<'a> Field<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self {
            value,
            written: Vec::new(),
            done: 0,
            changed: false,
        }
    }

    /// The value as it came.
    pub(super) fn value(&self) -> &'a [u8] {
        self.value
    }

    /// Replaces the octets of this range, which begins where the last one ended or later.
    pub(super) fn replace(&mut self, range: Range<usize>, with: &[u8]) {
        self.written
            .extend_from_slice(&self.value[self.done..range.start]);
        self.written.extend_from_slice(with);
        self.done = range.end;
        self.changed = true;
    }

    /// Replaces what stands in this range between white space by what `change` makes of it.
    pub(super) fn change(
        &mut self,
        range: Range<usize>,
        change: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) {
        let inner = self.value[range.clone()].trim_ascii_start();
        let begin = range.end - inner.len();
        let inner = inner.trim_ascii_end();
        if let Some(with) = change(inner) {
            self.replace(begin..begin + inner.len(), &with);
        }
    }

    /// The new value; `None` where nothing was replaced.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        self.written.extend_from_slice(&self.value[self.done..]);
        (self.changed && self.written.len() <= LONGEST).then_some(self.written)
    }
}

/// What `change` makes of a URL whose octets need not be UTF-8: applications write paths and
/// queries as they like. Such octets and all behind them are kept.
pub(super) fn change_url(
    url: &[u8],
    change: impl FnOnce(&str) -> Option<String>,
) -> Option<Vec<u8>> {
    let (head, rest) = match std::str::from_utf8(url) {
        Ok(url) => (url, &b""[..]),
        Err(error) => {
            let good = error.valid_up_to();
            let is_tail = |b: &u8| matches!(b, b'?' | b'#');
            // The whole of a segment says whether a path is the application's.
            let end = match url[..good].iter().position(is_tail) {
                Some(end) => end,
                None => url[..good].iter().rposition(|&b| b == b'/')? + 1,
            };
            (std::str::from_utf8(&url[..end]).ok()?, &url[end..])
        }
    };
    let mut changed = change(head)?.into_bytes();
    changed.extend_from_slice(rest);
    Some(changed)
}
