//! What the documents say is so: their commands are those of the program, their configurations load,
//! their files, targets and codes exist.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts test functions only, not the helpers beside them"
)]

mod claims;
mod documents;
