//! What one reading may cost, whatever the file says.

/// Octets of a file at most. A PFX with a key and its chain has 3 to 10 KiB.
pub const MAX_SIZE: usize = 1024 * 1024;

/// Applications of a hash or HMAC at most, all derivations of one reading together: the MAC, each
/// bag, each spelling of the password that is tried.
///
/// Windows writes 2,000 for each derivation, OpenSSL 2,048, Java 10,000, and RFC 9879 leaves the
/// count to the writer, where 600,000 is often advised for PBKDF2. So a million each for the MAC,
/// the certificates and the key leaves room for two more spellings.
///
/// SECURITY: the count comes from the file, and is believed before the MAC is known to be right.
/// Without a bound it holds the start of a gateway for hours, since a file may ask for
/// 4,294,967,295 as often as it has bags. This many take 0.6 seconds of SHA-256, and at the worst 5
/// seconds, of PBKDF2 with SHA-512, on one core of a server.
pub const MAX_ITERATIONS: u32 = 10_000_000;

/// Levels of elements within elements. OpenSSL's files have 11.
pub(super) const MAX_DEPTH: usize = 24;

const MAX_ELEMENTS: usize = 100_000;
const MAX_BAGS: usize = 1_000;

/// Which bound a file is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Bound {
    /// [`MAX_SIZE`].
    #[error("more than 1 MiB")]
    Size,
    /// Elements within elements.
    #[error("more than 24 levels")]
    Depth,
    /// Elements in all.
    #[error("more than 100,000 elements")]
    Elements,
    /// Keys, certificates and others, and the parts they are in.
    #[error("more than 1,000 bags")]
    Bags,
    /// [`MAX_ITERATIONS`], or the caller's budget.
    #[error("more iterations to derive its keys from the password than are done for one file")]
    Iterations,
}

/// What is left of the bounds.
#[derive(Debug)]
pub(super) struct Limits {
    iterations: u64,
    elements: usize,
    bags: usize,
}

impl Limits {
    pub(super) fn new(iterations: u32) -> Self {
        Self {
            iterations: u64::from(iterations),
            elements: MAX_ELEMENTS,
            bags: MAX_BAGS,
        }
    }

    pub(super) fn iterations(&mut self, count: u64) -> Result<(), Bound> {
        self.iterations = self
            .iterations
            .checked_sub(count)
            .ok_or(Bound::Iterations)?;
        Ok(())
    }

    pub(super) fn element(&mut self) -> Result<(), Bound> {
        self.elements = self.elements.checked_sub(1).ok_or(Bound::Elements)?;
        Ok(())
    }

    pub(super) fn bag(&mut self) -> Result<(), Bound> {
        self.bags = self.bags.checked_sub(1).ok_or(Bound::Bags)?;
        Ok(())
    }
}
