//! The public side: TLS, routing, decisions, forwarding.
