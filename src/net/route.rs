//! Ways to a gateway: one for each of its addresses, or the proxy's.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use crate::model::{Endpoint, Host};

/// One way to a gateway. A gateway of several addresses is several, and a connector takes each: it
/// never depends on which of them a name happens to lead to first. Two that lead to the same place
/// are equal, whatever the gateway is called.
#[derive(Debug, Clone)]
pub struct Route {
    pub(super) gateway: Endpoint,
    pub(super) way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Way {
    At(SocketAddr),
    /// Whatever the proxy makes of the name.
    Through(Endpoint),
}

impl Route {
    /// The gateway as it was named.
    #[must_use]
    pub fn gateway(&self) -> &Endpoint {
        &self.gateway
    }

    /// What tells it from others: a proxy makes of each name what it likes.
    fn place(&self) -> (&Way, Option<&Endpoint>) {
        match &self.way {
            Way::At(_) => (&self.way, None),
            Way::Through(_) => (&self.way, Some(&self.gateway)),
        }
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Route {}

impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place().hash(state);
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.way, &self.gateway.host) {
            (Way::Through(proxy), _) => write!(f, "{} through proxy {proxy}", self.gateway),
            (Way::At(address), Host::Name(_)) => write!(f, "{} at {}", self.gateway, address.ip()),
            (Way::At(_), Host::Address(_)) => write!(f, "{}", self.gateway),
        }
    }
}
