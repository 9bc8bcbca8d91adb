//! Logs, the access line, metrics and health, and what of a stranger's text may be shown.

mod access;
pub mod audit;
mod endpoint;
mod logs;
pub mod metrics;
mod plain;
mod recorder;
mod request_ids;
mod requests;
mod together;

pub use crate::model::printable;
pub use access::{AccessLine, Ended, OctetsIn};
pub use endpoint::{Endpoint, Observed, Reach};
pub use logs::{
    LogEnd, LogError, LogOptions, apply as apply_log, apply_audit, check as check_log, init,
    reopen as reopen_log, set_level,
};
pub use recorder::{Recorder, RecorderError};
pub use request_ids::RequestIds;
pub use requests::RequestMeter;
