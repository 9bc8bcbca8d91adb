//! Small parts of a body become larger ones on their way into a tunnel; see [`Pace`].

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::Frame;

use super::body::BodyError;
use super::pace::{Pace, SMALL};

/// So many octets are joined at most.
const FULL: usize = 16 * 1024;

type Polled = Option<Result<Frame<Bytes>, BodyError>>;

/// Parts that are not sent yet.
#[derive(Default)]
pub(super) struct Joining {
    held: BytesMut,
    /// What came behind them.
    next: Option<Polled>,
    pace: Pace,
}

impl Joining {
    /// Whether it has something to give.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty() || self.next.is_some()
    }

    /// The next part of what `source` gives.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut source: impl FnMut(&mut Context<'_>) -> Poll<Polled>,
    ) -> Poll<Polled> {
        loop {
            if self.held.len() >= FULL {
                return self.give();
            }
            if self.next.is_none() {
                match source(cx) {
                    Poll::Ready(Some(Ok(frame))) if is_small(&frame) => {
                        if let Some(data) = frame.data_ref() {
                            self.held.extend_from_slice(data);
                        }
                        continue;
                    }
                    Poll::Ready(other) if self.held.is_empty() => return Poll::Ready(other),
                    Poll::Ready(other) => self.next = Some(other),
                    Poll::Pending if self.held.is_empty() => return Poll::Pending,
                    Poll::Pending if self.held.len() >= SMALL => return self.give(),
                    Poll::Pending => {
                        if self.pace.poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                        return self.give();
                    }
                }
            }
            if !self.held.is_empty() {
                return self.give();
            }
            return Poll::Ready(self.next.take().flatten());
        }
    }

    fn give(&mut self) -> Poll<Polled> {
        if self.held.len() < SMALL {
            self.pace.take();
        }
        let joined = self.held.split().freeze();
        Poll::Ready(Some(Ok(Frame::data(joined))))
    }
}

fn is_small(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_some_and(|data| data.len() < SMALL)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt as _, StreamBody};

    use crate::http::{Body, BodyError};

    use super::*;

    fn body(parts: Vec<Result<Frame<Bytes>, BodyError>>) -> Body {
        Body::boxed(StreamBody::new(stream::iter(parts))).joined()
    }

    fn data(octets: usize) -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(vec![b'x'; octets].into()))
    }

    async fn lengths(mut body: Body) -> Vec<Option<usize>> {
        let mut lengths = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.ok();
            lengths.push(frame.map(|f| f.data_ref().map_or(0, Bytes::len)));
        }
        lengths
    }

    #[tokio::test]
    async fn what_is_there_is_one_part_and_in_order() {
        let parts = (0..40_000).map(|_| data(1)).collect();
        assert_eq!(
            lengths(body(parts)).await,
            [16_384, 16_384, 7_232].map(Some)
        );
        // A large one is not copied, and what was before it comes before it.
        let parts = vec![data(3), data(0), data(5), data(70_000), data(2)];
        assert_eq!(lengths(body(parts)).await, [8, 70_000, 2].map(Some));
        // Trailers and errors come behind.
        let trailers = Ok(Frame::trailers(HeaderMap::new()));
        let mut whole = body(vec![data(3), trailers]);
        assert!(!http_body::Body::is_end_stream(&whole));
        assert_eq!(
            whole
                .frame()
                .await
                .unwrap()
                .unwrap()
                .data_ref()
                .unwrap()
                .len(),
            3
        );
        assert!(whole.frame().await.unwrap().unwrap().is_trailers());
        assert!(whole.frame().await.is_none());
        let cut = body(vec![data(3), data(4), Err("cut".into())]);
        assert_eq!(lengths(cut).await, [Some(7), None]);
    }

    #[tokio::test]
    async fn what_comes_late_is_not_held_back() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let parts = stream::unfold(receiver, async |mut receiver| {
            Some((receiver.recv().await?, receiver))
        });
        let mut body = Body::boxed(StreamBody::new(Box::pin(parts))).joined();
        for n in 1..100 {
            sender.send(data(n)).await.unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.data_ref().unwrap().len(), n);
        }
        drop(sender);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_come_one_by_one_are_joined() {
        const PARTS: usize = 20_000;
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let parts = stream::unfold(receiver, async |mut receiver| {
            Some((receiver.recv().await?, receiver))
        });
        let body = Body::boxed(StreamBody::new(Box::pin(parts))).joined();
        let sending = tokio::spawn(async move {
            for _ in 0..PARTS {
                sender.send(data(1)).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let lengths = lengths(body).await;
        sending.await.unwrap();
        assert_eq!(lengths.iter().flatten().sum::<usize>(), PARTS);
        assert!(lengths.len() < 1500, "{} frames", lengths.len());
    }
}
