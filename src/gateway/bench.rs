//! The door for `benches/`: what is measured there and is nobody else's to call.

use std::sync::Arc;

use super::route::{Found, RouteTable};
use crate::model::{Application, Host, Scheme};

/// The table of what is published, as requests meet it.
#[derive(Debug)]
pub struct Routes(RouteTable);

impl Routes {
    /// Builds the table.
    #[must_use]
    pub fn new(applications: &[Arc<Application>]) -> Self {
        Self(RouteTable::after(None, applications))
    }

    /// Whether an application is published there.
    #[must_use]
    pub fn leads_somewhere(&self, scheme: Scheme, host: &Host, port: u16, path: &str) -> bool {
        let candidates = self.0.host(host);
        candidates.is_some_and(|candidates| {
            matches!(candidates.find(scheme, port, path), Found::Application(_))
        })
    }
}
