//! What the documents say is so: their commands run, their configurations load, their files, targets and
//! codes exist.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts test functions only, not the helpers beside them"
)]

mod claims;
mod commands;
mod documents;
mod entra_diagnostics;
mod known;
mod machine;
mod quick_start;
mod sign_in;
mod stand;
mod troubleshooting;
