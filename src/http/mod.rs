//! HTTP as both ends of the tunnel understand it: bodies, header rules, paths.

mod body;

pub use body::{Body, BodyError, Guard, TrailerRule};
