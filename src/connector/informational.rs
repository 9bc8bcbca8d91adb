//! The answers before the answer (1xx) of one request: counted and bounded, and never passed on
//! (DESIGN 8, rule 14).
//!
//! Over HTTP/1.1. Over HTTP/2 hyper passes them over unseen; there they cost what other frames of
//! the application do, and time is their limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Request;
use tokio_util::sync::CancellationToken;

use super::fault::BackendError;
use crate::model::ErrorCode;
use crate::telemetry::metrics::BACKEND_INFORMATIONAL;

/// Of one request. `102 Processing` every 10 s for twenty minutes stays below it.
const MOST: u32 = 128;

/// What came before the answer to one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Informational(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    count: AtomicU32,
    exceeded: CancellationToken,
}

impl Informational {
    /// Counts those of this request.
    pub(super) fn of<B>(request: &mut Request<B>) -> Self {
        let counted = Self::default();
        let seen = Arc::clone(&counted.0);
        hyper::ext::on_informational(request, move |_| {
            BACKEND_INFORMATIONAL.count(&[]);
            if seen.count.fetch_add(1, Ordering::Relaxed) >= MOST {
                seen.exceeded.cancel();
            }
        });
        counted
    }

    /// Awaits an answer; its connection is of no use any more where too many come before it.
    pub(super) async fn before<T>(
        &self,
        answer: impl Future<Output = T>,
    ) -> Result<T, BackendError> {
        tokio::select! {
            biased;
            () = self.0.exceeded.cancelled() => {
                let detail = format!("the application gave more than {MOST} informational answers");
                Err(BackendError::new(ErrorCode::BackendBadResponse, detail))
            }
            answer = answer => Ok(answer),
        }
    }
}
