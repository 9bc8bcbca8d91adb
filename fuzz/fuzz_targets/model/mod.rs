//! As much of the model as link translation knows.

#![allow(dead_code, unused_imports, reason = "the program uses the rest")]

mod condition {
    /// Nothing here has a path.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PathRule;

    impl PathRule {
        pub fn as_str(&self) -> &str {
            ""
        }

        pub fn covers_folded(&self, _path: &str) -> bool {
            false
        }
    }
}

mod url {
    /// Nor a cookie.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Host;
}

#[path = "../../../src/model/link_translation.rs"]
mod link_translation;

pub use link_translation::{BodyKind, LinkAttribute};
