//! What both ends of a tunnel share: HTTP/2 with its roles reversed over mutually authenticated
//! TLS 1.3, a control stream beside the requests, and the fields that travel with a request.

pub mod control;
pub mod enrol;
mod hint;
mod inspection;
pub mod late;
pub mod link;
mod profile;
pub mod retry;
mod tied;
pub mod tls;
pub mod token;
mod verify;
pub mod wire;

pub use inspection::{Fault, Inspect, Inspected, Secured, Seen, Served, Viewed};
pub use profile::{Profile, ProfileHash};
pub use tied::Tied;
