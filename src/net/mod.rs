//! Names, addresses and sockets.

mod dial;
mod options;
mod resolve;
#[cfg(test)]
pub(crate) mod testing;

pub use dial::{DialError, Dialler, Refused, Route};
pub use options::{bind, inherited_listeners, tune_client, tune_tunnel};
pub use resolve::{ResolveError, Resolver};
