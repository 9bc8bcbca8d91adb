//! What a body may go on by.

use std::task::{Context, Poll};

use super::BodyError;

/// Says whether a body may go on; one that may not breaks at once, also where its source is silent.
pub trait Lease: Send {
    /// Completes where the body may not go on. Where it `waits` for its source the task is woken
    /// for that too.
    fn poll_over(&mut self, cx: &mut Context<'_>, waits: bool) -> Poll<BodyError>;
}
