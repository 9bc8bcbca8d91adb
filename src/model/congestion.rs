//! How TCP decides how much it may have under way.

use std::fmt;

/// The name of a congestion control as the kernel has it, such as `bbr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CongestionControl(String);

impl CongestionControl {
    /// The longest name that a kernel takes (`TCP_CA_NAME_MAX` with its end).
    const LONGEST: usize = 15;

    /// Such a name; `None` where it can be none.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=Self::LONGEST).contains(&name.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        (fits && name.bytes().all(plain)).then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CongestionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
