//! Names, addresses and sockets.

mod dial;
mod options;
mod proxy;
mod race;
mod resolve;
#[cfg(test)]
pub(crate) mod testing;

pub use dial::{DialError, Dialled, Dialler, Refused, Route};
pub use options::{bind, inherited_listeners, tune_client, tune_tunnel};
pub use proxy::ProxyFault;
pub use resolve::{ResolveError, Resolver};
