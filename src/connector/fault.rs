//! What can go wrong between connector and application, and whose fault it is.

use std::io;

use http::Request;

use crate::http::Body;
use crate::model::{Endpoint, ErrorCode};
use crate::net::DialError;

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
    /// The connection ended without an octet of an answer.
    pub(super) silent: bool,
    /// The request, where nothing of it was sent.
    pub(super) request: Option<Box<Request<Body>>>,
}

impl Lost {
    pub(super) fn new(error: &hyper::Error, request: Option<Box<Request<Body>>>) -> Self {
        // hyper names a connection that ended before the head `incomplete message`; one that was
        // reset is an error of the socket.
        let silent = error.is_incomplete_message() || error.is_closed() || is_reset(error);
        let detail = if error.is_incomplete_message() {
            "the application closed the connection without an answer".to_owned()
        } else {
            format!("the application's answer cannot be used: {}", chain(error))
        };
        let error = BackendError::new(ErrorCode::BackendBadResponse, detail);
        Self {
            error,
            silent,
            request,
        }
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

pub(super) fn tls_error(endpoint: &Endpoint, error: &io::Error) -> BackendError {
    use rustls::CertificateError;
    let tls = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    let code = match tls {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => ErrorCode::BackendTlsName,
        _ => ErrorCode::BackendTlsTrust,
    };
    let hint = match tls {
        Some(rustls::Error::InvalidMessage(_)) => "; does it speak plain HTTP on this port?",
        _ => "",
    };
    BackendError::new(code, format!("TLS with {endpoint} failed: {error}{hint}"))
}

/// An error with all its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
