//! What one stream of a tunnel may have in flight towards its receiver.

/// A stream's receive window, in octets: each end of a tunnel has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamWindow(u32);

impl StreamWindow {
    /// HTTP/2's own default: less would only be slow.
    pub const LEAST: Self = Self(64 << 10);

    /// 1 MiB carries about 106 Mbit/s at 50 ms; HTTP/2's own default of 64 KiB carries 8.
    pub const USUAL: Self = Self(1 << 20);

    /// More than this leaves a connection too few streams.
    pub const MOST: Self = Self(4 << 20);

    /// So many octets; `None` where that is less than [`Self::LEAST`] or more than [`Self::MOST`].
    #[must_use]
    pub fn new(octets: u64) -> Option<Self> {
        let octets = u32::try_from(octets).ok()?;
        (Self::LEAST.0..=Self::MOST.0)
            .contains(&octets)
            .then_some(Self(octets))
    }

    /// In octets; never none.
    #[must_use]
    pub const fn octets(self) -> u32 {
        self.0
    }
}

impl Default for StreamWindow {
    fn default() -> Self {
        Self::USUAL
    }
}
