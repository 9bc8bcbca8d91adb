//! Certificates: loading, our own authority.
