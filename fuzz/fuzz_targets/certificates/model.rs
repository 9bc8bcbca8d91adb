//! As much of the model as the certificates know.

#[path = "../../../src/model/finding.rs"]
mod finding;
#[path = "../../../src/model/printable.rs"]
mod printable;
#[path = "../../../src/model/url/mod.rs"]
mod url;

pub use finding::{Finding, Place, Severity};
pub use printable::printable;
pub use url::{Host, HostPattern};
