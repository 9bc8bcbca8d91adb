//! A bound on the octets of a body.

use bytes::Bytes;
use http_body::Frame;

/// A body has more octets than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body has more than {0} octets")]
pub struct Oversized(pub u64);

/// How many octets a body may have, and may still have.
pub(super) struct Limit {
    octets: u64,
    left: u64,
}

impl Limit {
    /// So many.
    pub(super) fn of(octets: u64) -> Self {
        Self {
            octets,
            left: octets,
        }
    }

    /// Lets a frame pass.
    pub(super) fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Oversized> {
        let octets = frame.data_ref().map_or(0, |data| data.len() as u64);
        let left = self.left.checked_sub(octets);
        self.left = left.ok_or(Oversized(self.octets))?;
        Ok(frame)
    }
}
