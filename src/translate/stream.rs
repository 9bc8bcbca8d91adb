//! A body that is translated while it streams.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::body::{Counts, Decision, Step, Translating, remove_digests};
use crate::http::{Body, BodyError};

/// What is told of a body when it has ended, or was given up; and how long it took, waiting apart.
pub type Done = Box<dyn FnOnce(Counts, Duration) + Send>;

/// An application's body on its way to somebody. What has come is looked through at once, and where the
/// application takes a pause, all that is decided goes on: a page that comes in parts appears in parts.
pub struct Translated {
    inner: Body,
    translating: Translating,
    /// What has come and is not looked through.
    chunk: Bytes,
    /// Of what was looked through, more is to give.
    more: bool,
    /// Octets were looked through since the last pause.
    owes: bool,
    /// A pause of the application does not matter yet.
    waits: bool,
    out: Vec<u8>,
    trailers: Option<HeaderMap>,
    failed: Option<BodyError>,
    state: State,
    took: Duration,
    done: Option<Done>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Streams,
    /// The application's body has ended.
    Ending,
    Over,
}

impl Translated {
    /// Looks through `inner` with `translating`; `done` learns what came of it.
    #[must_use]
    pub fn new(inner: Body, translating: Translating, done: Done) -> Self {
        Self {
            inner,
            translating,
            chunk: Bytes::new(),
            more: false,
            owes: false,
            waits: false,
            out: Vec::new(),
            trailers: None,
            failed: None,
            state: State::Streams,
            took: Duration::ZERO,
            done: Some(done),
        }
    }

    /// Goes on until it is known whether the head is that of a translated body. It never waits for the
    /// application: what it has not sent yet does not decide.
    pub async fn decide(&mut self) -> Decision {
        self.waits = false;
        poll_fn(|cx| Poll::Ready(self.decide_now(cx))).await
    }

    /// Goes on until it is known whether the head is that of a translated body, and until as much of the body
    /// is looked through as the head has to speak of, or it is over. An application that takes its time is
    /// waited for: the caller says how long, and may [`decide`](Self::decide) then.
    pub async fn wait(&mut self) -> Decision {
        self.waits = true;
        let decision = poll_fn(|cx| {
            loop {
                if let Some(decision) = self.translating.decision() {
                    return Poll::Ready(decision);
                }
                if self.failed.is_some() {
                    return Poll::Ready(self.decide_by_now());
                }
                ready!(self.advance(cx));
            }
        });
        let decision = decision.await;
        self.waits = false;
        decision
    }

    /// Waits for the end of a short body, and says how long it has become; `None` where it is longer
    /// than `most`, at most 64 KiB, or breaks.
    pub async fn gather(&mut self, most: usize) -> Option<usize> {
        poll_fn(|cx| {
            loop {
                if self.failed.is_some() || self.out.len() >= most {
                    return Poll::Ready(None);
                }
                if self.state == State::Over {
                    return Poll::Ready(Some(self.out.len()));
                }
                ready!(self.advance(cx));
            }
        })
        .await
    }

    /// What was counted so far, and how long it took.
    #[must_use]
    pub fn counts(&self) -> (Counts, Duration) {
        (self.translating.counts(), self.took)
    }

    fn decide_by_now(&mut self) -> Decision {
        self.translating.commit();
        self.translating.decision().unwrap_or(Decision::Translated)
    }

    fn decide_now(&mut self, cx: &mut Context<'_>) -> Decision {
        loop {
            if let Some(decision) = self.translating.decision() {
                return decision;
            }
            // Octets come with a decision only; an error, when there are no more of them.
            if self.failed.is_some() || self.advance(cx).is_pending() {
                return self.decide_by_now();
            }
        }
    }

    /// One step; ready where there is something to give, or nothing more to come.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.chunk.is_empty() || self.more {
                let mut rest = &self.chunk[..];
                let began = Instant::now();
                let step = self.translating.step(&mut rest, &mut self.out, false);
                self.took += began.elapsed();
                let taken = self.chunk.len() - rest.len();
                let _ = self.chunk.split_to(taken);
                self.owes = true;
                self.more = step == Ok(Step::More);
                match step {
                    Ok(Step::More) => return Poll::Ready(()),
                    Ok(Step::Done) => {}
                    Err(error) => return self.fails(error.into()),
                }
                if !self.out.is_empty() {
                    return Poll::Ready(());
                }
            }
            if self.state == State::Ending {
                self.state = State::Over;
                if let Err(error) = self.translating.end(&mut self.out) {
                    return self.fails(error.into());
                }
                return Poll::Ready(());
            }
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.chunk = data,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        if let Some(trailers) = &mut self.trailers {
                            remove_digests(trailers);
                        }
                        self.state = State::Ending;
                    }
                },
                Poll::Ready(Some(Err(error))) => return self.fails(error),
                Poll::Ready(None) => self.state = State::Ending,
                Poll::Pending if self.owes && !self.waits => match self.flush() {
                    Ok(()) if self.out.is_empty() => return Poll::Pending,
                    Ok(()) => return Poll::Ready(()),
                    Err(error) => return self.fails(error),
                },
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn flush(&mut self) -> Result<(), BodyError> {
        let mut nothing: &[u8] = &[];
        let step = self.translating.step(&mut nothing, &mut self.out, true)?;
        self.more = step == Step::More;
        self.owes = self.more;
        Ok(())
    }

    /// What was made before goes out first.
    fn fails(&mut self, error: BodyError) -> Poll<()> {
        self.failed = Some(error);
        self.state = State::Over;
        self.chunk = Bytes::new();
        Poll::Ready(())
    }

    fn tell(&mut self) {
        if let Some(done) = self.done.take() {
            done(self.translating.counts(), self.took);
        }
    }
}

impl Drop for Translated {
    fn drop(&mut self) {
        self.tell();
    }
}

impl HttpBody for Translated {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if !this.out.is_empty() {
                let out = std::mem::take(&mut this.out);
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
            if let Some(error) = this.failed.take() {
                this.tell();
                return Poll::Ready(Some(Err(error)));
            }
            if this.state == State::Over {
                this.tell();
                let trailers = this.trailers.take();
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            }
            ready!(this.advance(cx));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Over
            && self.out.is_empty()
            && self.failed.is_none()
            && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::model::BodyKind;
    use crate::translate::body::codec::Coding;
    use crate::translate::body::testing::{CODINGS, pack, unpack};
    use crate::translate::body::{Broken, Plan, Rewrite, Text};

    /// Says everything a thousand times.
    struct Echo;

    impl Rewrite for Echo {
        fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
            out.extend(chunk.iter().flat_map(|octet| [*octet; 1000]));
            Ok(())
        }

        fn end(self: Box<Self>, _out: &mut Vec<u8>) -> Result<(), Broken> {
            Ok(())
        }

        fn growth(&self) -> usize {
            1000
        }
    }

    #[tokio::test]
    async fn what_one_chunk_becomes_comes_whole_and_in_pieces() {
        let text = b"abcdefgh".repeat(1000);
        for coding in CODINGS {
            let plan = Plan {
                kind: BodyKind::Text,
                coding,
                charset: None,
                waits: false,
            };
            let maker = |_: Text| -> Box<dyn Rewrite> { Box::new(Echo) };
            let translating = Translating::new(plan, Box::new(maker));
            let inner = Body::full(pack(coding, &text));
            let mut body = Translated::new(inner, translating, Box::new(|_, _| {}));
            let mut octets = Vec::new();
            while let Some(frame) = body.frame().await {
                let data = frame.unwrap().into_data().unwrap();
                assert!(coding != Coding::Identity || data.len() < 128 * 1024);
                octets.extend_from_slice(&data);
            }
            let expected = text.iter().flat_map(|octet| [*octet; 1000]);
            assert!(
                unpack(coding, &octets).into_iter().eq(expected),
                "{coding:?}"
            );
        }
    }
}
