//! Logs, the access line, and what of a stranger's text may be shown.

mod access;
mod logs;
mod printable;
mod request_ids;

pub use access::{AccessLine, Ended, OctetsIn};
pub use logs::{LogError, LogFormat, LogOptions, init};
pub use printable::printable;
pub use request_ids::RequestIds;
