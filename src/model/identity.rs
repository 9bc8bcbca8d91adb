//! Who a request is from, as far as the gateway knows.

/// The outcome of authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// Nobody was asked: the application is published with `passthrough`.
    Anonymous,
}
