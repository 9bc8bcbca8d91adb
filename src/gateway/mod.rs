//! The public side: TLS, routing, decisions, forwarding.

mod respond;
mod route;
mod tunnels;
