//! The private side: dials out and carries requests to applications.
