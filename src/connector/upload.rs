//! A request's body on its way to the application, and the wait for the answer's head.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::http::Guard;

/// What is known of a request's body on its way to the application.
#[derive(Debug)]
pub(super) struct Upload {
    start: Instant,
    /// Milliseconds after `start` when the last part of it passed.
    last_ms: AtomicU64,
    /// The application would take more, and its sender has not sent it yet.
    awaited: AtomicBool,
    /// It broke off at its source.
    broken: AtomicBool,
    pub(super) done: AtomicBool,
}

impl Upload {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
            awaited: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            done: AtomicBool::new(false),
        }
    }

    /// Whether it is its sender who is waited for, and not the application.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    /// Whether it is its sender who broke off, and not the application.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }
}

pub(super) struct UploadGuard(pub(super) Arc<Upload>);

impl UploadGuard {
    fn touch(&self) {
        let since = self.0.start.elapsed().as_millis();
        self.0
            .last_ms
            .store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.0.awaited.store(false, Ordering::Relaxed);
    }
}

impl Guard for UploadGuard {
    fn progress(&mut self, _octets: usize) {
        self.touch();
    }

    fn awaited(&mut self) {
        self.0.awaited.store(true, Ordering::Relaxed);
    }

    fn broken(&mut self) {
        self.0.broken.store(true, Ordering::Release);
    }

    fn complete(&mut self) {
        self.touch();
        self.0.done.store(true, Ordering::Release);
    }
}

/// Awaits the head of an answer for as long as `limit` after the last octet of the request; `None`
/// where it did not come. A long upload does not count against the application.
pub(super) async fn within<T>(
    limit: Duration,
    upload: &Upload,
    head: impl Future<Output = T>,
) -> Option<T> {
    let mut head = std::pin::pin!(head);
    loop {
        let deadline = upload.last() + limit;
        if let Ok(outcome) = tokio::time::timeout_at(deadline, &mut head).await {
            return Some(outcome);
        }
        if upload.last() + limit <= deadline {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::StreamExt as _;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::mpsc;

    use super::*;
    use crate::http::{Body, BodyError};

    #[tokio::test]
    async fn the_sender_is_waited_for_only_while_the_application_would_take_more() {
        let (sender, receiver) = mpsc::channel::<&'static str>(1);
        let frames = futures_util::stream::unfold(receiver, async |mut receiver| {
            let text = receiver.recv().await?;
            let frame = Frame::data(Bytes::from_static(text.as_bytes()));
            Some((Ok::<_, BodyError>(frame), receiver))
        });
        let upload = Arc::new(Upload::new());
        let body = Body::boxed(StreamBody::new(frames.boxed()));
        let mut body = body.with_guard(UploadGuard(Arc::clone(&upload)));
        assert!(!upload.is_awaited(), "nobody has asked for it");
        let mut next = Box::pin(body.frame());
        assert!(futures_util::poll!(&mut next).is_pending());
        assert!(upload.is_awaited());
        sender.send("a").await.unwrap();
        next.await.unwrap().unwrap();
        assert!(!upload.is_awaited(), "the application is busy with it");
        let mut next = Box::pin(body.frame());
        assert!(futures_util::poll!(&mut next).is_pending());
        assert!(upload.is_awaited());
        drop(sender);
        assert!(next.await.is_none());
        assert!(!upload.is_awaited() && upload.done.load(Ordering::Acquire));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_is_awaited_from_the_last_octet_of_the_request() {
        let upload = Arc::new(Upload::new());
        let guard = UploadGuard(Arc::clone(&upload));
        let slow_upload = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(8)).await;
                guard.touch();
            }
            std::future::pending::<()>().await;
        };
        let began = Instant::now();
        assert!(
            within(Duration::from_secs(10), &upload, slow_upload)
                .await
                .is_none()
        );
        assert_eq!(began.elapsed().as_secs(), 50);
    }
}
