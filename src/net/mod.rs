//! Names, addresses and sockets.

mod descriptors;
mod dial;
mod dns;
mod finding;
mod options;
mod proxy;
pub mod proxy_header;
mod race;
mod resolve;
mod route;
mod socket_file;
mod source;
mod system;
#[cfg(test)]
pub(crate) mod testing;

pub use descriptors::{most_descriptors, raise_descriptors};
pub use dial::{DialError, Dialled, Dialler, Refused};
pub use options::{TunnelSockets, bind, inherited_listeners, tune_client};
pub use proxy::ProxyFault;
pub use resolve::{ResolveError, Resolver};
pub use route::Route;
pub use socket_file::SocketFile;
pub use source::source_towards;
