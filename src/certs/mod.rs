//! Certificates: the files that certificates and authorities are loaded from, and our own authority, which
//! vouches for gateways and connectors to one another.

mod authorities;
mod authority;
mod client;
pub mod contents;
mod crypto;
pub mod diagnose;
mod examine;
mod file;
mod load;
mod peer;
pub mod pfx;
mod presented;

pub use authorities::{Authorities, IssuerError, issued_by};
pub use authority::{
    Authority, AuthorityError, ConnectorRequest, GATEWAY_LIFE, IssuedCertificate, Pin,
    RequestError, pem,
};
pub use client::{ClientAuthorities, NotTrusted, read_client_certificate};
pub use crypto::{RandomError, provider, random, sha256, system_roots};
pub use examine::{Asked, Examined, ExaminedKey, Request, examine};
pub use load::{Loaded, LoadedCertificate, load, load_authorities, load_client, load_private_key};
pub use peer::{PeerConnector, PeerError};
pub use presented::{Presented, presented};

/// The name of every authority of ours, as its certificate's common name.
pub const AUTHORITY_NAME: &str = "appproxy";

/// The one name every gateway's tunnel certificate is issued for. It is not in the public DNS:
/// a connector trusts the authority and the role, wherever the gateway happens to be.
pub const GATEWAY_NAME: &str = "gateway.appproxy.internal";
