//! What a refused handshake means, in words.
//!
//! In TLS 1.3 a connector hears with its first read that the gateway refused its certificate. By
//! then HTTP/2 has the connection and keeps only a text of the error, so the reads are watched.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::channel::AttemptError;
use super::renewal::Renewal;
use crate::tunnel::tls::GatewayRefusal;

/// What to do where the authority is another one by now.
const ROTATED: &str = "if the gateways changed their authority (`gateway ca rotate`) while this connector was away, register it again with a new token and `--replace`";

/// Why a gateway could not be used, and what to do.
pub(super) fn explain(error: &AttemptError) -> String {
    match error {
        AttemptError::Untrusted(refusal) => of(refusal),
        other => other.to_string(),
    }
}

/// Why a gateway is not trusted with the authorities that are kept.
pub(super) fn of(refusal: &GatewayRefusal) -> String {
    match refusal {
        GatewayRefusal::OtherAuthority => format!("{refusal}; {ROTATED}"),
        other => other.to_string(),
    }
}

/// The alert that the other end sent, if it did.
#[derive(Debug, Clone, Default)]
pub(super) struct Alert(Arc<OnceLock<AlertDescription>>);

impl Alert {
    /// The alert's name, if there was one.
    pub(super) fn text(&self) -> Option<String> {
        let alert = self.0.get()?;
        Some(format!(
            "it refused this connector's certificate in the handshake ({alert:?})"
        ))
    }

    /// Why the gateway refused this connector's certificate, if it did; it is renewed then.
    pub(super) fn refusal(&self, renewal: &Renewal) -> Option<String> {
        let alert = self.0.get()?;
        let identity = renewal.identity.identity();
        let text = match alert {
            AlertDescription::CertificateExpired => format!(
                "the gateway says that this connector's certificate has ended or is not valid yet: it is good from {} to {}. If this host's clock is in between, one of the two clocks is wrong",
                identity.issued.to_rfc3339(),
                identity.not_after.to_rfc3339()
            ),
            AlertDescription::UnknownCA => format!(
                "the gateway does not know the authority of this connector's certificate, or not any more; {ROTATED}"
            ),
            _ => return None,
        };
        renewal.refused();
        Some(text)
    }
}

/// A TLS stream whose reads are watched for an alert.
pub(super) struct Watched<S> {
    stream: S,
    alert: Alert,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> (Self, Alert) {
        let alert = Alert::default();
        let watched = Self {
            stream,
            alert: alert.clone(),
        };
        (watched, alert)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if let Err(error) = &read
            && let Some(inner) = error.get_ref()
            && let Some(rustls::Error::AlertReceived(alert)) = inner.downcast_ref()
        {
            let _ = self.alert.0.set(*alert);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
