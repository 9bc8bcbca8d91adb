//! What holds on to a body's life.

use super::BodyError;

/// Something that lives as long as a body and learns whether the body came to its end.
pub trait Guard: Send {
    /// The body was read to its end, trailers included.
    fn complete(&mut self) {}

    /// The body broke at its source. A guard dropped with neither call was given up by its reader.
    fn broken(&mut self) {}

    /// The same, with the reason.
    fn broken_by(&mut self, why: &BodyError) {
        let _ = why;
        self.broken();
    }

    /// A data frame of `octets` passed.
    fn progress(&mut self, octets: usize) {
        let _ = octets;
    }

    /// Its reader waits for the next part, which is not there yet.
    fn awaited(&mut self) {}
}

/// Two guards on one body.
pub(super) struct Both<G>(pub(super) Box<dyn Guard>, pub(super) G);

impl<G: Guard> Guard for Both<G> {
    fn complete(&mut self) {
        self.0.complete();
        self.1.complete();
    }

    fn broken_by(&mut self, why: &BodyError) {
        self.0.broken_by(why);
        self.1.broken_by(why);
    }

    fn progress(&mut self, octets: usize) {
        self.0.progress(octets);
        self.1.progress(octets);
    }

    fn awaited(&mut self) {
        self.0.awaited();
        self.1.awaited();
    }
}
