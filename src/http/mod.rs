//! HTTP as both ends of the tunnel understand it: bodies, header rules, paths.
//!
//! A [`Scanner`] reads the octets of HTTP/1 before a parser does. What is done to a request's head
//! then, in this order: [`HeaderLimits`] bounds it, [`check_clear`] refuses what no HTTP/1.1 could
//! say, [`request_host`] and [`canonical`] find out what it is for, [`websocket_upgrade`] says
//! whether it opens a WebSocket, [`strip_request`] removes what belongs to the client's connection,
//! [`deny_request`] what a client may not say, [`join_cookies`] makes one `Cookie` of HTTP/2
//! crumbs, and [`Facts::set`] says what the gateway knows. An answer passes [`strip_response`] and
//! [`deny_response`]. Trailers have rules of their own, fit for
//! [`Body::with_trailers`]: [`deny_request_trailers`] and [`deny_response_trailers`].

mod body;
mod causes;
mod cookies;
mod delivery;
mod deny;
mod forwarded;
mod guard;
mod hop;
mod host;
mod idle;
mod joining;
mod lease;
mod limits;
mod oversized;
mod pace;
mod path;
mod personal;
mod scan;
mod streams;
mod target;

pub use body::{Body, BodyError, TrailerRule};
pub use causes::with_causes;
pub use cookies::{cookie_pairs, is_own_cookie, join_cookies};
pub use delivery::Delivery;
pub use deny::{
    deny_all_trailers, deny_request, deny_request_trailers, deny_response, deny_response_trailers,
    remove_spellings,
};
pub use forwarded::Facts;
pub use guard::Guard;
pub use hop::{Upgrade, UpgradeRefusal, strip_request, strip_response, websocket_upgrade};
pub use host::{HostRefusal, RequestHost, request_host};
pub use idle::Stalled;
pub use lease::Lease;
pub use limits::{
    HeaderLimits, LimitExceeded, TUNNEL_HEADERS, fits_http2, fits_tunnel, hpack_worst_case,
};
pub use oversized::Oversized;
pub use pace::Paced;
pub use path::{CanonicalPath, PathRefusal, canonical, map_path};
pub use personal::carries_connection_authentication;
pub use scan::{Fault, Scanned, Scanner};
pub use streams::Streams;
pub use target::{Unclear, check_clear};
