//! Logs and the access line.

mod access;
mod logs;
mod request_ids;

pub use access::{AccessLine, Ended, OctetsIn};
pub use logs::{LogError, LogFormat, LogOptions, init};
pub use request_ids::RequestIds;
