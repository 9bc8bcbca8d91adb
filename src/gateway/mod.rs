//! The public side: TLS, routing, decisions, forwarding.

mod route;
mod tunnels;
