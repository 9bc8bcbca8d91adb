//! What a client may take for granted of an HTTP/1 connection: while it was not told of the end, it
//! may send its next request.
//!
//! The only word for the end stands in the head of an answer. So an answer whose head was sent
//! before a drain began leaves its client without notice, and where its body takes longer than the
//! notice for all others does, the connection has to be given one of its own.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http::header::CONNECTION;
use tokio::time::{Instant, sleep_until};

use super::told::Told;
use crate::http::{Body, Guard};

/// One connection, as its client knows it.
#[derive(Debug, Clone)]
pub(super) struct Kept(Arc<Told<State>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// An answer that did not speak of the end is on its way.
    Answering,
    /// The client may send a request, since then.
    Since(Instant),
}

/// An answer on its way.
struct Answering(Kept);

impl Kept {
    /// A connection that has just been opened.
    pub(super) fn new() -> Self {
        Self(Arc::new(Told::new(State::Since(Instant::now()))))
    }

    /// Takes note of an answer.
    pub(super) fn answers(&self, response: Response<Body>) -> Response<Body> {
        let close = |value: &http::HeaderValue| value.as_bytes() == b"close";
        if response.headers().get(CONNECTION).is_some_and(close) {
            return response;
        }
        self.0.change(|state| *state = State::Answering);
        response.map(|body| body.with_guard(Answering(self.clone())))
    }

    /// Waits until the client has had this long to send a request, and has sent none.
    pub(super) async fn idle_for(&self, notice: Duration) {
        let since = |state| match state {
            State::Since(since) => Some(since),
            State::Answering => None,
        };
        let over = |state| async move {
            if let Some(since) = since(state) {
                sleep_until(since + notice).await;
            }
        };
        self.0.stays(|state| since(state).is_some(), over).await;
    }
}

impl Guard for Answering {}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0
            .0
            .change(|state| *state = State::Since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;
    use tokio::time::advance;

    use super::*;

    const NOTICE: Duration = Duration::from_secs(5);

    fn answer(kept: &Kept) -> Response<Body> {
        kept.answers(Response::new(Body::boxed(
            http_body_util::Full::new("late".into()).map_err(|never| match never {}),
        )))
    }

    #[tokio::test(start_paused = true)]
    async fn the_notice_begins_when_the_last_answer_has_ended() {
        let kept = Kept::new();
        advance(NOTICE).await;
        assert!(kept.idle_for(NOTICE).now_or_never().is_some());
        let first = answer(&kept);
        advance(NOTICE * 3).await;
        let mut idle = Box::pin(kept.idle_for(NOTICE));
        assert!(idle.as_mut().now_or_never().is_none());
        drop(first);
        advance(NOTICE - Duration::from_millis(1)).await;
        assert!(idle.as_mut().now_or_never().is_none());
        let second = answer(&kept);
        advance(NOTICE).await;
        assert!(idle.as_mut().now_or_never().is_none());
        drop(second);
        let since = Instant::now();
        idle.await;
        assert_eq!(since.elapsed(), NOTICE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_speaks_of_the_end_is_no_promise() {
        let kept = Kept::new();
        advance(NOTICE).await;
        let mut last = Response::new(Body::full("last"));
        let fields = last.headers_mut();
        fields.insert(CONNECTION, http::HeaderValue::from_static("close"));
        let _last = kept.answers(last);
        assert!(kept.idle_for(NOTICE).now_or_never().is_some());
    }
}
