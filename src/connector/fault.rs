//! What can go wrong between connector and application, and whose fault it is.

use std::io;

use http::Request;
use rustls::AlertDescription;

use super::refusal::{self, Refusal};
use super::trust::{Asked, Terms};
use super::tunnel::REASON;
use crate::http::{Body, with_causes};
use crate::model::{Endpoint, ErrorCode};
use crate::net::DialError;
use crate::telemetry::printable;

/// Octets of an application's answer head.
pub(super) const HEAD_OCTETS: usize = 64 * 1024;

/// Why there is no answer of the application.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(super) struct BackendError {
    pub(super) code: ErrorCode,
    pub(super) detail: String,
}

impl BackendError {
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// A request that got no answer.
pub(super) struct Lost {
    pub(super) error: BackendError,
    pub(super) fate: Fate,
}

impl From<BackendError> for Lost {
    fn from(error: BackendError) -> Self {
        Self {
            error,
            fate: Fate::Final,
        }
    }
}

/// What became of a request that got no answer, and so how it may be sent again.
pub(super) enum Fate {
    /// Nothing of it was sent: here it is.
    Unsent(Box<Request<Body>>),
    /// The application says that it did nothing with it: it refused the stream, or began to close
    /// the connection before it (RFC 9113 sections 6.8 and 8.7).
    Unprocessed,
    /// The application wants it over HTTP/1.1 (RFC 9113 section 7), as it does where it asks for
    /// NTLM or a client certificate.
    WantsHttp1,
    /// The connection ended without an octet of an answer.
    Silent,
    /// The application may have done what it was asked for.
    Final,
}

impl Lost {
    pub(super) fn new(error: &hyper::Error, request: Option<Box<Request<Body>>>) -> Self {
        let http2 = http2_error(error);
        let fate = match (request, http2) {
            (Some(request), _) => Fate::Unsent(request),
            (None, Some(http2)) => http2_fate(http2),
            // hyper names a connection that ended before the head `incomplete message`; one that
            // was reset is an error of the socket.
            (None, None)
                if error.is_incomplete_message() || error.is_closed() || is_reset(error) =>
            {
                Fate::Silent
            }
            (None, None) => Fate::Final,
        };
        let silent = error.is_incomplete_message() || matches!(fate, Fate::Silent);
        let detail = match http2.filter(|e| e.is_reset() && e.is_remote()) {
            Some(reset) => {
                let reason = reset.reason().unwrap_or(h2::Reason::NO_ERROR);
                format!("the application reset the stream: {reason:?}")
            }
            None if silent => "the application closed the connection without an answer".to_owned(),
            // SECURITY: the last words of a connection are the application's, of any length.
            None => {
                let why = printable(&with_causes(error), REASON);
                format!("the application's answer cannot be used: {why}")
            }
        };
        let error = BackendError::new(ErrorCode::BackendBadResponse, detail);
        Self { error, fate }
    }

    /// Its sender broke off, so there is nothing to answer and nothing to blame.
    pub(super) fn broken_off() -> Self {
        let detail = "the request's body broke off before its end";
        Self::finally(ErrorCode::BadRequest, detail)
    }

    /// What may not be sent again.
    pub(super) fn finally(code: ErrorCode, detail: impl Into<String>) -> Self {
        BackendError::new(code, detail).into()
    }
}

fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<h2::Error>() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

fn http2_fate(error: &h2::Error) -> Fate {
    match error.reason() {
        Some(h2::Reason::HTTP_1_1_REQUIRED) if error.is_remote() => Fate::WantsHttp1,
        Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Fate::Unprocessed,
        // The library gives this error to those streams alone that are beyond the last one the
        // application will look at.
        Some(_) if error.is_go_away() && error.is_remote() => Fate::Unprocessed,
        _ if error.is_io() => Fate::Silent,
        _ => Fate::Final,
    }
}

/// What TLS says of a connection that ended after its handshake, where it says something: with
/// TLS 1.3 an application looks at a client certificate only then.
pub(super) fn alert(error: &hyper::Error) -> Option<AlertDescription> {
    let source = std::error::Error::source(error)?;
    alert_in(source.downcast_ref::<io::Error>()?)
}

/// Whether an alert says that the certificate was the reason, or that there was none: one that is
/// signed by another authority of the same name is a signature that does not verify. After the
/// handshake any other alert may come behind a request that the application has seen.
pub(super) fn is_of_a_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
            | A::DecryptError
    )
}

fn alert_in(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|s| s.downcast_ref::<io::Error>())
        .is_some_and(|e| {
            matches!(
                e.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        })
}

pub(super) fn dial_code(error: &DialError) -> ErrorCode {
    match error {
        DialError::Resolve(_) => ErrorCode::BackendDns,
        DialError::NotPermitted(_) => ErrorCode::TargetRefused,
        DialError::Timeout { .. } => ErrorCode::BackendConnectTimeout,
        DialError::NoProxy { .. } | DialError::Proxy { .. } => ErrorCode::BackendRefused,
        DialError::Refused { .. } | DialError::Unreachable { .. } => ErrorCode::BackendRefused,
    }
}

/// Why the handshake failed, and what to do about it.
pub(super) fn tls_error(
    target: &Endpoint,
    terms: &Terms,
    asked: &Asked,
    error: &io::Error,
) -> BackendError {
    let tls = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    if let Some(refusal) = tls.and_then(Refusal::of) {
        let remedy = refusal.remedy(target, &terms.source);
        let detail = format!("TLS with {target} failed: {refusal}; {remedy}");
        return BackendError::new(refusal.code(), detail);
    }
    let alert = alert_in(error);
    if let Some(error) = client_certificate_fault(target, terms, asked, alert) {
        return error;
    }
    let (code, hint) = match (tls, alert) {
        (Some(rustls::Error::InvalidMessage(_)), _) => (
            ErrorCode::BackendTlsTrust,
            "; does it speak plain HTTP on this port?",
        ),
        (_, Some(AlertDescription::UnrecognisedName)) => (
            ErrorCode::BackendTlsName,
            "; it has no site of this name: write the one it has as `server_name` into `backend_tls`",
        ),
        (_, Some(AlertDescription::ProtocolVersion)) => (
            ErrorCode::BackendTlsTrust,
            "; it speaks only versions of TLS before 1.2, which are broken",
        ),
        (_, Some(AlertDescription::HandshakeFailure)) => (
            ErrorCode::BackendTlsTrust,
            "; it shares no cipher with this connector, or has no certificate for the name",
        ),
        _ => (ErrorCode::BackendTlsTrust, ""),
    };
    BackendError::new(code, format!("TLS with {target} failed: {error}{hint}"))
}

/// The fault of an application that asked for a client certificate and then ended the connection
/// without an answer; `None` where it did not ask.
pub(super) fn client_certificate_fault(
    target: &Endpoint,
    terms: &Terms,
    asked: &Asked,
    alert: Option<AlertDescription>,
) -> Option<BackendError> {
    let issuers = match asked.issuers()? {
        [] => String::new(),
        issuers => format!(" issued by {}", refusal::list(issuers)),
    };
    let said = alert.map_or_else(String::new, |alert| format!(" (alert {alert:?})"));
    let detail = match (terms.shows, alert) {
        (false, None) => format!(
            "{target} asked for a client certificate{issuers}, was shown none and ended the \
             connection; if it demands one write `client_certificate: {{ chain: FILE, key: FILE }}` {}",
            terms.source.entry(target)
        ),
        (false, Some(_)) => format!(
            "{target} demands a client certificate{issuers}, and this connector shows none{said}; \
             write `client_certificate: {{ chain: FILE, key: FILE }}` {}",
            terms.source.entry(target)
        ),
        (true, Some(alert)) => format!(
            "{target} refuses the client certificate named {}: {alert:?}; it wants one{issuers}",
            terms.source.entry(target)
        ),
        // Its reason is lost where it closes before it has read what was sent meanwhile.
        (true, None) => format!(
            "{target} ended the connection after it was shown the client certificate named {}: it \
             may refuse it; it wants one{issuers}",
            terms.source.entry(target)
        ),
    };
    // Where TLS itself does not say that it was the reason, the application may have seen the
    // request, which must not be sent again.
    let code = match alert {
        Some(_) => ErrorCode::BackendTlsTrust,
        None => ErrorCode::BackendBadResponse,
    };
    Some(BackendError::new(code, detail))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    /// A connection that ends when a request is written to it.
    struct Dying {
        write: Option<ErrorKind>,
        read: Option<ErrorKind>,
        written: bool,
        reader: Option<Waker>,
    }

    impl AsyncRead for Dying {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.written {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(self.read.map_or(Ok(()), |kind| Err(kind.into())))
        }
    }

    impl AsyncWrite for Dying {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            octets: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.written = true;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
            Poll::Ready(self.write.map_or(Ok(octets.len()), |kind| Err(kind.into())))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn alerts_about_a_certificate_are_told_from_all_others() {
        let of_a_certificate: Vec<u8> = (0..=255)
            .filter(|code| is_of_a_certificate(AlertDescription::from(*code)))
            .collect();
        assert_eq!(of_a_certificate, [42, 43, 44, 45, 46, 48, 49, 51, 116]);
    }

    #[tokio::test]
    async fn a_connection_that_dies_under_a_request_is_silent_in_every_shape() {
        let (broken, reset) = (
            Some(ErrorKind::BrokenPipe),
            Some(ErrorKind::ConnectionReset),
        );
        for (write, read) in [
            (None, None),
            (None, reset),
            (broken, None),
            (broken, reset),
            (reset, reset),
        ] {
            let stream = Dying {
                write,
                read,
                written: false,
                reader: None,
            };
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let request = Request::get("/").body(Body::empty()).unwrap();
            let mut error = sender.try_send_request(request).await.unwrap_err();
            let request = error.take_message().map(Box::new);
            let lost = Lost::new(&error.into_error(), request);
            assert!(
                matches!(lost.fate, Fate::Silent | Fate::Unsent(_)),
                "{write:?} {read:?}: {}",
                lost.error
            );
        }
    }
}
