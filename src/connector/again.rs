//! A request kept in case it has to be sent a second time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http::{Body, BodyError};
use crate::tunnel::retry;

/// What of a request is kept while a copy of it is on its way.
pub(super) struct Kept {
    method: Method,
    uri: Uri,
    version: Version,
    fields: HeaderMap,
    body: Option<Arc<Mutex<Lender>>>,
}

/// A body, for as long as nothing was read of it.
struct Lender {
    body: Option<Body>,
    begun: bool,
}

/// A body that can be had back until its first frame.
struct Lent(Arc<Mutex<Lender>>);

impl Kept {
    /// Keeps a request, where sending it twice does what sending it once does (RFC 9110
    /// section 9.2.2).
    pub(super) fn harmless(request: &Request<Body>) -> Option<Self> {
        let harmless = request.body().is_end_stream() && retry::is_idempotent(request.method());
        harmless.then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            fields: request.headers().clone(),
            body: None,
        })
    }

    /// Keeps a request and returns it for sending. The body's octets are never kept.
    pub(super) fn new(request: Request<Body>) -> (Self, Request<Body>) {
        let (head, body) = request.into_parts();
        let (body, kept) = if body.is_end_stream() {
            (body, None)
        } else {
            let lender = Arc::new(Mutex::new(Lender {
                body: Some(body),
                begun: false,
            }));
            (Body::boxed(Lent(Arc::clone(&lender))), Some(lender))
        };
        let kept = Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            fields: head.headers.clone(),
            body: kept,
        };
        (kept, Request::from_parts(head, body))
    }

    /// The request once more, where nothing of its body was read.
    pub(super) fn again(self) -> Option<Request<Body>> {
        let body = match self.body {
            None => Body::empty(),
            Some(lender) => {
                let mut lender = lender.lock().unwrap_or_else(PoisonError::into_inner);
                if lender.begun {
                    return None;
                }
                lender.body.take()?
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.fields;
        Some(request)
    }

    /// The request once more, where sending it twice is harmless.
    pub(super) fn again_if_harmless(self) -> Option<Request<Body>> {
        let harmless = self.body.is_none() && retry::is_idempotent(&self.method);
        harmless.then_some(self)?.again()
    }
}

impl Lent {
    fn with<T>(&self, look: impl FnOnce(&mut Lender) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.with(|lender| {
            let Some(body) = &mut lender.body else {
                return Poll::Ready(Some(Err("the body was taken back".into())));
            };
            let frame = Pin::new(body).poll_frame(cx);
            lender.begun |= frame.is_ready();
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.with(|lender| lender.body.as_ref().is_some_and(HttpBody::is_end_stream))
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|lender| {
            let body = lender.body.as_ref();
            body.map_or_else(SizeHint::default, HttpBody::size_hint)
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn request(method: Method, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        request
    }

    #[test]
    fn only_idempotent_requests_without_a_body_are_repeated_on_suspicion() {
        let repeated = |method, body| {
            let request = request(method, body);
            let harmless = Kept::harmless(&request).is_some();
            let (kept, _sent) = Kept::new(request);
            assert_eq!(kept.again_if_harmless().is_some(), harmless);
            harmless
        };
        assert!(repeated(Method::GET, Body::empty()));
        assert!(!repeated(Method::POST, Body::empty()));
        assert!(!repeated(Method::PUT, Body::full("x")));
        assert!(!repeated(Method::GET, Body::full("x")));
    }

    #[tokio::test]
    async fn a_body_can_be_had_back_until_its_first_frame() {
        let (kept, sent) = Kept::new(request(Method::POST, Body::full("octets")));
        assert_eq!(sent.body().size_hint().exact(), Some(6));
        let again = kept.again().unwrap();
        assert_eq!(again.method(), Method::POST);
        assert!(sent.into_body().collect().await.is_err());
        let (kept, sent) = Kept::new(again);
        let octets = sent.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&octets[..], b"octets");
        assert!(kept.again().is_none());
    }
}
