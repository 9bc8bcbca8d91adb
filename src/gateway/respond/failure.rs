//! How a request ends that is not answered as it wants.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Challenge, Denied};
use crate::model::{ErrorCode, Maintenance};

/// How a stage of the pipeline ends a request: what the visitor is told and what the log is told.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub(crate) struct Failure {
    pub(super) code: ErrorCode,
    pub(super) detail: String,
    pub(super) close: bool,
    pub(super) said: bool,
    pub(super) again: Option<Duration>,
    pub(super) closed: Option<Arc<Maintenance>>,
    pub(super) sign_in: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) denies: bool,
    /// It is an answer of the sign-in host.
    pub(super) at_desk: bool,
}

impl Failure {
    /// Ends the request with `code`; `detail` is for the log only.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            close: false,
            said: false,
            again: None,
            closed: None,
            sign_in: None,
            challenge: None,
            denies: false,
            at_desk: false,
        }
    }

    /// A fault of ours.
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, detail)
    }

    /// The request's framing cannot be trusted, or its body was not taken: what follows on the
    /// connection must not be read as a request.
    pub(crate) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The log was told of what this is one case of: a line for each would bury everything else.
    pub(crate) const fn said(mut self) -> Self {
        self.said = true;
        self
    }

    /// It is for maintenance, of which the visitor is told what the operator wrote.
    pub(crate) fn closed_for(mut self, maintenance: &Arc<Maintenance>) -> Self {
        self.again = maintenance.retry_after;
        self.closed = Some(Arc::clone(maintenance));
        self
    }

    /// Programs are told where somebody signs in, who opens it in a window of their own.
    pub(crate) fn signing_in_at(mut self, url: String) -> Self {
        self.sign_in = Some(url);
        self
    }

    /// Programs are told what they have to show (RFC 9110 section 11.6.1).
    pub(crate) fn challenging(mut self, challenge: Option<String>) -> Self {
        self.challenge = challenge.or(self.challenge);
        self
    }

    /// Somebody was not let in, which is recorded; nothing went wrong.
    pub(crate) const fn denying(mut self) -> Self {
        self.denies = true;
        self
    }

    /// It happened at the sign-in host.
    pub(crate) const fn at_sign_in_host(mut self) -> Self {
        self.at_desk = true;
        self
    }

    /// Whether somebody was not let in.
    pub(crate) const fn denies(&self) -> bool {
        self.denies
    }

    /// Another attempt makes sense after this time.
    pub(crate) const fn again_after(mut self, time: Duration) -> Self {
        self.again = Some(time);
        self
    }

    /// After which time another attempt makes sense, where it is known better than by the code.
    pub(crate) const fn again(&self) -> Option<Duration> {
        self.again
    }

    /// Whether the log was told of it.
    pub(crate) const fn is_said(&self) -> bool {
        self.said
    }

    /// What the visitor is told.
    pub(crate) const fn code(&self) -> ErrorCode {
        self.code
    }

    /// What the log is told, beside the code.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the connection ends after the answer: over HTTP/1 the connection then says
    /// `Connection: close`, over HTTP/2 nothing is needed.
    pub(crate) const fn closes(&self) -> bool {
        self.close
    }
}

impl From<Challenge> for Failure {
    fn from(challenge: Challenge) -> Self {
        Self::new(challenge.code(), challenge.to_string())
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::new(denied.code(), denied.to_string()).denying()
    }
}
