//! Whether a request may be sent a second time: the one place that decides it.

use http::Method;

use crate::model::ErrorCode;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Nothing of it was processed: it was handed back unsent, or refused as a whole
    /// (`REFUSED_STREAM`, RFC 9113 section 8.7).
    NotProcessed,
    /// The tunnel was lost before the head of an answer.
    Lost,
    /// The connector has no answer of the application, for this reason.
    Failed(ErrorCode),
}

/// What is left of the request to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It has none.
    None,
    /// It has one, of which nothing was read.
    Whole,
    /// Some of it was read, and it cannot be had again.
    Begun,
}

/// Whether a request may go to another connector after this attempt. `deaths` counts the tunnels
/// that were lost with it in flight, this one included: a request that may be what ends them is
/// not given a third.
#[must_use]
pub fn may_repeat(attempt: Attempt, method: &Method, body: Body, deaths: u32) -> bool {
    match (attempt, body) {
        (_, Body::Begun) => false,
        (Attempt::NotProcessed, Body::None | Body::Whole) => true,
        (Attempt::Lost, Body::None) => deaths < 2 && is_idempotent(method),
        (Attempt::Failed(code), Body::None) => never_reached(code),
        (Attempt::Lost | Attempt::Failed(_), Body::Whole) => false,
    }
}

/// Whether HTTP/2 says that nothing of a request was processed: its stream was refused as a whole,
/// or lies beyond the last one the other end will look at (RFC 9113 sections 6.8 and 8.7).
#[must_use]
pub fn is_not_processed(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let is_refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            // The library gives the error of a GOAWAY to those streams alone that are beyond it.
            return error.is_remote() && (is_refused || error.is_go_away());
        }
        source = cause.source();
    }
    false
}

/// Whether this reason says that nothing reached the application, whoever is to blame.
#[must_use]
pub fn never_reached(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::TargetRefused
            | ErrorCode::BackendDns
            | ErrorCode::BackendRefused
            | ErrorCode::BackendConnectTimeout
            | ErrorCode::BackendTlsName
            | ErrorCode::BackendTlsTrust
    )
}

/// Methods of which two requests do what one does (RFC 9110 section 9.2.2).
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PUT,
        Method::DELETE,
    ]
    .contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_decided() {
        let methods = [
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::TRACE,
            Method::PUT,
            Method::DELETE,
            Method::POST,
            Method::PATCH,
            Method::CONNECT,
            Method::from_bytes(b"PROPFIND").unwrap(),
        ];
        let mut seen = 0;
        for method in &methods {
            let idempotent = methods[..6].contains(method);
            for body in [Body::None, Body::Whole, Body::Begun] {
                for deaths in 0..4 {
                    let may = |attempt| may_repeat(attempt, method, body, deaths);
                    assert_eq!(may(Attempt::NotProcessed), body != Body::Begun);
                    let lost = body == Body::None && idempotent && deaths < 2;
                    assert_eq!(may(Attempt::Lost), lost, "{method} {body:?} {deaths}");
                    for code in ErrorCode::ALL {
                        let reached = ![
                            "target_refused",
                            "backend_dns",
                            "backend_refused",
                            "backend_connect_timeout",
                            "backend_tls_name",
                            "backend_tls_trust",
                        ]
                        .contains(&code.as_str());
                        assert_eq!(
                            may(Attempt::Failed(*code)),
                            body == Body::None && !reached,
                            "{method} {body:?} {code}"
                        );
                        seen += 1;
                    }
                }
            }
        }
        assert_eq!(seen, 10 * 3 * 4 * ErrorCode::ALL.len());
    }
}
