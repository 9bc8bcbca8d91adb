//! What clients send: how far it is, and whose fault it is where it does not come to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body::Body as _;
use tokio_util::sync::CancellationToken;

use super::respond::Failure;
use crate::http::{Body, BodyError, Guard, Oversized};
use crate::model::ErrorCode;

/// What became of the client's body: where it broke off, no tunnel and no application is to blame.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload {
    broken: Arc<AtomicBool>,
    oversized: Arc<AtomicBool>,
    done: CancellationToken,
}

impl Upload {
    /// Follows the body that is sent.
    pub(super) fn follow(&self, body: Body) -> Body {
        if body.is_end_stream() {
            self.done.cancel();
            return body;
        }
        body.with_guard(self.clone())
    }

    /// Waits for its end.
    pub(super) async fn done(&self) {
        self.done.cancelled().await;
    }

    /// Fails where it broke off: the request ends with it.
    pub(super) fn whole(&self) -> Result<(), Failure> {
        if !self.broken.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(match self.oversized.load(Ordering::Acquire) {
            true => too_large(),
            false => broken_off(),
        })
    }
}

impl Guard for Upload {
    fn complete(&mut self) {
        self.done.cancel();
    }

    fn broken_by(&mut self, why: &BodyError) {
        self.oversized
            .store(why.is::<Oversized>(), Ordering::Release);
        self.broken.store(true, Ordering::Release);
    }
}

/// What a client sends is more than the application takes.
pub(super) fn too_large() -> Failure {
    let detail = "the request's body is larger than `limits.body` of the application";
    Failure::new(ErrorCode::BodyTooLarge, detail).closing()
}

fn broken_off() -> Failure {
    let detail = "the request's body broke off: malformed chunks, or its sender stopped";
    Failure::new(ErrorCode::BadRequest, detail).closing()
}
