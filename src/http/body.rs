//! The one body type of the data path.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

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
    trailers: Option<TrailerRule>,
    guard: Option<Box<dyn Guard>>,
}

/// Something that lives as long as a body and learns whether the body came to its end.
pub trait Guard: Send {
    /// The body was read to its end, trailers included.
    fn complete(&mut self) {}

    /// A data frame of `octets` passed.
    fn progress(&mut self, octets: usize) {
        let _ = octets;
    }
}

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Full(Option<Bytes>),
    Incoming(Incoming),
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
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

    /// Ties `guard` to the life of this body, in place of an earlier one.
    #[must_use]
    pub fn with_guard(mut self, guard: impl Guard + 'static) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }

    fn note_end(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.complete();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match &mut this.inner {
            Inner::Empty => None,
            Inner::Full(octets) => octets.take().map(|o| Ok(Frame::data(o))),
            Inner::Incoming(body) => match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame.map(|f| f.map_err(BodyError::from)),
            },
            Inner::Boxed(body) => match body.as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            },
        };
        let frame = match frame {
            None => {
                this.note_end();
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                this.guard = None;
                return Poll::Ready(Some(Err(error)));
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
            Inner::Empty => true,
            Inner::Full(octets) => octets.is_none(),
            Inner::Incoming(body) => body.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
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
