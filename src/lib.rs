//! appproxy publishes web applications of a private network to the internet, without an inbound
//! port there, with sign-in in front, and without changing the applications.
//!
//! One binary has both ends. The **gateway** stands on the public side; the **connector** stands in
//! the private network, dials out, and carries each request to an application there.
//!
//! ```text
//! browser ──TLS──▶ gateway                                            connector ──▶ application
//!                  listener → connection → route → authenticate → authorise ─Permit─▶
//!                  forward ═══════ tunnel stream ═══════▶ serve → backend
//!                  respond ◀ translate ◀════════════════ response, streamed both ways
//! ```
//!
//! # The life of a request
//!
//! `gateway/pipeline.rs` lists the stages in this order.
//!
//! | stage | where | what it does | when it fails |
//! |---|---|---|---|
//! | accept | `gateway/listener` | one task a connection, whose a load balancer's is, TLS under a deadline; ALPN tells people, connectors and enrolment apart | closed |
//! | connection | `gateway/connection` | HTTP/1.1 or HTTP/2 under limits | closed, the client's fault |
//! | route | `gateway/route` | host and path → application, from an immutable table | `no_route`, `bad_request` |
//! | authenticate | [`auth`] | request → identity | a challenge, or refused |
//! | authorise | [`auth`] | identity and application → [`auth::Permit`] | `denied` |
//! | forward | `gateway/forward` | permit and request → a stream of a chosen tunnel | `no_connector`, `tunnel_busy`, `tunnel_lost` |
//! | serve | `connector/serve` | what the stream wants, and whether this connector may | `target_refused` |
//! | backend | `connector/backend` | → the application's answer | `backend_…` |
//! | translate | [`translate`] | internal URLs in the answer become external ones | untouched |
//! | respond | `gateway/respond` | every error and redirect of ours becomes an answer; the only chooser of our status codes | – |
//!
//! # Modules
//!
//! A module imports only from the layers below its own; `tests/architecture.rs` holds it to that.
//!
//! | layer | module | what it is |
//! |---|---|---|
//! | 0 | [`model`], [`clock`], [`owner`], [`shutdown`] | plain values; "now"; whose files are; signals |
//! | 1 | [`config`], [`http`], [`net`], [`certs`], [`telemetry`] | the files an operator writes; header and path rules; names and sockets; certificates; logs |
//! | 2 | [`tunnel`], [`upgrade`], [`translate`], [`store`] | what both ends share; the WebSocket splice; link translation; what outlives a process |
//! | 3 | [`auth`] | who, and whether |
//! | 4 | [`gateway`], [`connector`], [`check`] | the two ends, and diagnosis; none imports another |
//! | 5 | [`cli`], [`demo`], [`local`] | the command line; the whole product on one machine; a connector in its gateway's process |
//!
//! # Invariants
//!
//! - Nothing is forwarded without a [`auth::Permit`], and only `auth` can make one. Every internal
//!   error on the way to a decision denies.
//! - Bodies are never collected: uploads, downloads, events and WebSockets flow as they come, with
//!   back-pressure from end to end. A body that breaks resets the stream; it never ends cleanly.
//! - The octets forwarded are those received: paths are judged, never repaired.
//! - Fields that steer anything are ours alone: what a browser or an application sends under those
//!   names is deleted before ours are set.
//! - A connector reaches what its own allow-list names, checked on the address it dials; a gateway
//!   that is taken over cannot roam the private network.
//! - A gateway is trusted by the pin in the token, a connector by its certificate *and* the store.
//! - Status codes are chosen in `gateway/respond`, names and addresses are resolved in [`net`],
//!   keys are read in [`certs`], SQL is in [`store`], "now" comes from [`clock`].

pub mod auth;
pub mod certs;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connector;
pub mod demo;
pub mod gateway;
pub mod http;
pub mod local;
pub mod model;
pub mod net;
pub mod owner;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod translate;
pub mod tunnel;
pub mod upgrade;
