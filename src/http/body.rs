//! The one body type of the data path.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::delivery::Delivery;
use super::guard::{Both, Guard};
use super::idle::Idle;
use super::joining::Joining;
use super::lease::Lease;
use super::oversized::Limit;
use super::streams::{Waits, says};

/// Why a body broke; it resets the stream it was written to.
pub type BodyError = Box<dyn StdError + Send + Sync>;

/// What is done to the trailers of a streamed body, such as removing fields that may not pass.
pub type TrailerRule = fn(&mut HeaderMap);

/// A body on its way through: streamed from a connection, or short and ours.
///
/// Whatever must live as long as the body (a place in a tunnel, a pooled connection) is attached
/// with [`Body::with_guard`] and dropped with it.
#[derive(Default)]
pub struct Body {
    inner: Inner,
    /// Only an end that was announced is one: see [`Body::upload`].
    announced_end: bool,
    trailers: Option<TrailerRule>,
    guard: Option<Box<dyn Guard>>,
    idle: Option<Idle>,
    patience: Option<Duration>,
    limit: Option<Limit>,
    joining: Option<Box<Joining>>,
    lease: Option<Box<dyn Lease>>,
    delivery: Option<Delivery>,
    broken: Option<Box<Broken>>,
}

/// Its error waits until what came before is written out.
struct Broken {
    delivered: Pin<Box<dyn Future<Output = ()> + Send>>,
    why: Option<BodyError>,
}

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Full(Option<Bytes>),
    Incoming(Incoming),
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
}

impl Inner {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(octets) => Poll::Ready(octets.take().map(|o| Ok(Frame::data(o)))),
            Self::Incoming(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|f| f.map_err(|error| in_words(&error)))),
            Self::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }
}

impl Body {
    /// No octets.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// These octets.
    #[must_use]
    pub fn full(octets: impl Into<Bytes>) -> Self {
        let octets = octets.into();
        let inner = if octets.is_empty() {
            Inner::Empty
        } else {
            Inner::Full(Some(octets))
        };
        Self {
            inner,
            ..Self::default()
        }
    }

    /// What arrives on a connection.
    #[must_use]
    pub fn incoming(body: Incoming) -> Self {
        Self {
            inner: Inner::Incoming(body),
            ..Self::default()
        }
    }

    /// What a client sends over HTTP/2.
    ///
    /// hyper takes a reset without an error (RFC 9113 section 8.1) for the end of a body, which it
    /// is for an answer; a client that says so has broken off its upload, and the application must
    /// not take what came for all of it.
    #[must_use]
    pub fn upload(body: Incoming) -> Self {
        Self {
            announced_end: true,
            ..Self::incoming(body)
        }
    }

    /// Any other stream.
    #[must_use]
    pub fn boxed(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self {
            inner: Inner::Boxed(Box::pin(body)),
            ..Self::default()
        }
    }

    /// Applies `rule` to trailers as they pass.
    #[must_use]
    pub fn with_trailers(mut self, rule: TrailerRule) -> Self {
        self.trailers = Some(rule);
        self
    }

    /// Breaks the body with [`Stalled`](super::Stalled) where its reader waits longer than `limit` for the next part.
    #[must_use]
    pub fn with_idle(mut self, limit: Duration) -> Self {
        self.idle = Some(Idle::of(limit));
        self
    }

    /// Joins small parts, which cost the other end of a tunnel more than they carry.
    #[must_use]
    pub fn joined(mut self) -> Self {
        self.joining = Some(Box::default());
        self
    }

    /// Breaks the body with [`Oversized`](super::Oversized) where it has more octets.
    #[must_use]
    pub fn with_limit(mut self, octets: Option<u64>) -> Self {
        self.limit = octets.map(Limit::of);
        self
    }

    /// Breaks the body where `lease` says so.
    #[must_use]
    pub fn with_lease(mut self, lease: impl Lease + 'static) -> Self {
        if !self.is_end_stream() {
            self.lease = Some(Box::new(lease));
        }
        self
    }

    /// How long its reader may take nothing of it. [`Streams`](super::Streams) sees to it over HTTP/2,
    /// and over HTTP/1 a [`Delivery`] that is told.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// How long its reader may take nothing of it, where that was said.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// Where the body breaks, its reader learns it when all that came before is written to this
    /// connection; guards learn it at once.
    #[must_use]
    pub fn with_delivery(mut self, delivery: &Delivery) -> Self {
        self.delivery = Some(delivery.clone());
        self
    }

    /// Ties `guard` to the life of this body, beside those tied to it before. A body that is at its
    /// end already completes it at once, since nobody need poll it again.
    #[must_use]
    pub fn with_guard(mut self, guard: impl Guard + 'static) -> Self {
        self.guard = Some(match self.guard.take() {
            None => Box::new(guard),
            Some(earlier) => Box::new(Both(earlier, guard)),
        });
        if self.is_end_stream() {
            self.note_end();
        }
        self
    }

    /// What comes next from where it comes from, unless it may not go on.
    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.joining {
            None => self.inner.poll(cx),
            Some(joining) => joining.poll(cx, |cx| self.inner.poll(cx)),
        };
        match &mut self.lease {
            None => polled,
            Some(lease) => match lease.poll_over(cx, polled.is_pending()) {
                Poll::Pending => polled,
                Poll::Ready(over) => Poll::Ready(Some(Err(over))),
            },
        }
    }

    fn note_end(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.complete();
        }
    }
}

/// How long an error waits for what came before it: where others keep the connection full, nothing
/// tells that this is out, and a visitor waits for an end.
const COURTESY: Duration = Duration::from_secs(2);

async fn within(delivered: impl Future<Output = ()>) {
    let _ = timeout(COURTESY, delivered).await;
}

/// What broke a body, without its kind. SECURITY: hyper would reset the stream on the other side for
/// the very reason this one was reset for, and reasons such as `REFUSED_STREAM` have a meaning there.
fn in_words(error: &hyper::Error) -> BodyError {
    super::with_causes(error).into()
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(broken) = &mut this.broken {
            ready!(broken.delivered.as_mut().poll(cx));
            return Poll::Ready(broken.why.take().map(Err));
        }
        let polled = this.poll_source(cx);
        if let (Poll::Pending, Some(guard)) = (&polled, &mut this.guard) {
            guard.awaited();
        }
        if let Some(patience) = this.patience {
            says(match polled {
                Poll::Pending => Waits::Source,
                Poll::Ready(_) => Waits::Reader(patience),
            });
        }
        let frame = match (polled, &mut this.idle) {
            (Poll::Ready(frame), None) => frame,
            (Poll::Ready(frame), Some(idle)) => {
                idle.ends();
                frame
            }
            (Poll::Pending, None) => return Poll::Pending,
            (Poll::Pending, Some(idle)) => match idle.poll_expired(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(stalled) => Some(Err(stalled.into())),
            },
        };
        let frame = match frame {
            None if this.announced_end && !this.is_end_stream() => {
                Some(Err("the upload was reset before its end".into()))
            }
            Some(Ok(frame)) => Some(match &mut this.limit {
                Some(limit) => limit.take(frame).map_err(Into::into),
                None => Ok(frame),
            }),
            frame => frame,
        };
        let frame = match frame {
            None => {
                this.note_end();
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                if let Some(mut guard) = this.guard.take() {
                    guard.broken_by(&error);
                }
                let Some(delivery) = this.delivery.take() else {
                    return Poll::Ready(Some(Err(error)));
                };
                // What it held on to is free.
                this.inner = Inner::Empty;
                this.broken = Some(Box::new(Broken {
                    delivered: Box::pin(within(delivery.of_all_before())),
                    why: Some(error),
                }));
                return self.poll_frame(cx);
            }
            Some(Ok(frame)) => frame,
        };
        let frame = match (frame.into_trailers(), this.trailers) {
            (Ok(mut trailers), Some(rule)) => {
                rule(&mut trailers);
                Frame::trailers(trailers)
            }
            (Ok(trailers), None) => Frame::trailers(trailers),
            (Err(frame), _) => frame,
        };
        if let (Some(guard), Some(data)) = (&mut this.guard, frame.data_ref()) {
            guard.progress(data.len());
        }
        // A reader that sees the end announced does not poll again, so the guard learns it here.
        if this.guard.is_some() && this.is_end_stream() {
            this.note_end();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            _ if self.broken.is_some() => false,
            _ if self.joining.as_ref().is_some_and(|joining| joining.holds()) => false,
            Inner::Empty => true,
            Inner::Full(octets) => octets.is_none(),
            Inner::Incoming(body) => body.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            _ if self.broken.is_some() => SizeHint::default(),
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(octets) => {
                SizeHint::with_exact(octets.as_ref().map_or(0, |o| o.len() as u64))
            }
            Inner::Incoming(body) => body.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.inner {
            Inner::Empty => "empty",
            Inner::Full(_) => "full",
            Inner::Incoming(_) => "incoming",
            Inner::Boxed(_) => "boxed",
        };
        f.debug_tuple("Body").field(&kind).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::*;
    use crate::http::Stalled;

    #[derive(Default, Clone)]
    struct Counts(Arc<[AtomicUsize; 3]>);

    impl Counts {
        fn get(&self) -> [usize; 3] {
            [0, 1, 2].map(|i| self.0[i].load(Ordering::SeqCst))
        }
    }

    impl Guard for Counts {
        fn complete(&mut self) {
            self.0[0].fetch_add(1, Ordering::SeqCst);
        }

        fn progress(&mut self, octets: usize) {
            self.0[1].fetch_add(octets, Ordering::SeqCst);
        }
    }

    impl Drop for Counts {
        fn drop(&mut self) {
            self.0[2].fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn guards_learn_octets_and_the_end_once() {
        let (a, b) = (Counts::default(), Counts::default());
        let body = Body::full("12345")
            .with_guard(a.clone())
            .with_guard(b.clone());
        assert_eq!(a.get(), [0, 0, 0]);
        let octets = body.collect().await.unwrap().to_bytes();
        assert_eq!(&octets[..], b"12345");
        assert_eq!((a.get(), b.get()), ([1, 5, 1], [1, 5, 1]));
    }

    #[test]
    fn a_body_without_octets_completes_its_guard_at_once() {
        let counts = Counts::default();
        drop(Body::empty().with_guard(counts.clone()));
        assert_eq!(counts.get(), [1, 0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_breaks_where_its_reader_waits_too_long_and_not_while_it_is_busy() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<&'static str>(8);
        let frames = futures_util::stream::unfold(receiver, async |mut receiver| {
            let text = receiver.recv().await?;
            Some((
                Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
                receiver,
            ))
        });
        let mut body = Body::boxed(http_body_util::StreamBody::new(Box::pin(frames)))
            .with_idle(Duration::from_secs(10));
        sender.send("a").await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::sleep(Duration::from_secs(60)).await;
        sender.send("b").await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        let began = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(
            error.downcast_ref(),
            Some(&Stalled(Duration::from_secs(10)))
        );
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[test]
    fn an_abandoned_body_drops_its_guard_without_completing_it() {
        let counts = Counts::default();
        drop(Body::full("1").with_guard(counts.clone()));
        assert_eq!(counts.get(), [0, 0, 1]);
    }
}
