//! How many tunnels a way to a gateway has: more while load asks, fewer once it is quiet.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Connections;

/// With more than so many requests in flight a tunnel, another one is opened. An eighth of what one
/// carries: a burst has room until the next one stands, and no more than that waits together where
/// one connection loses a packet.
const BUSY: usize = 128;

/// A way that would be half as busy as that with a tunnel less, for this long, has one too many.
const QUIET: Duration = Duration::from_secs(30);

/// Decides it.
#[derive(Debug)]
pub(super) struct Size {
    allowed: Connections,
    quiet_since: Option<Instant>,
}

impl Size {
    pub(super) fn new(allowed: Connections) -> Self {
        Self {
            allowed,
            quiet_since: None,
        }
    }

    /// With more than so many in flight another tunnel is opened beside `open`; zero where none may
    /// be.
    pub(super) fn mark(&self, open: usize) -> usize {
        if open < usize::from(self.allowed.most) {
            open * BUSY
        } else {
            0
        }
    }

    /// Whether one of `open` tunnels can go, with so many requests in flight. To be asked again and
    /// again.
    pub(super) fn is_too_large(&mut self, open: usize, in_flight: usize, now: Instant) -> bool {
        let is_quiet = open > usize::from(self.allowed.least) && in_flight < (open - 1) * BUSY / 2;
        if !is_quiet {
            self.quiet_since = None;
            return false;
        }
        now.duration_since(*self.quiet_since.get_or_insert(now)) >= QUIET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Connections = Connections { least: 2, most: 4 };

    #[test]
    fn another_is_opened_at_128_a_tunnel_up_to_the_most() {
        let size = Size::new(ALLOWED);
        assert_eq!([2, 3, 4, 5].map(|open| size.mark(open)), [256, 384, 0, 0]);
        let fixed = Size::new(Connections { least: 3, most: 3 });
        assert_eq!(fixed.mark(3), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_goes_after_thirty_quiet_seconds_and_never_below_the_least() {
        let mut size = Size::new(ALLOWED);
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        // Quiet is half of what would open it again: what opened the fourth does not close it.
        assert!(!size.is_too_large(4, 385, at(0)));
        assert!(!size.is_too_large(4, 192, at(60)));
        assert!(!size.is_too_large(4, 191, at(61)));
        assert!(!size.is_too_large(4, 191, at(90)));
        assert!(size.is_too_large(4, 191, at(91)));
        // And then the next, where it is as quiet with one less.
        assert!(size.is_too_large(3, 127, at(92)));
        assert!(!size.is_too_large(2, 0, at(93)));
        // A moment of load begins the time anew.
        assert!(!size.is_too_large(3, 0, at(94)));
        assert!(!size.is_too_large(3, 200, at(120)));
        assert!(!size.is_too_large(3, 0, at(125)));
        assert!(!size.is_too_large(3, 0, at(154)));
        assert!(size.is_too_large(3, 0, at(155)));
    }
}
