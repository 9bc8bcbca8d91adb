//! What outlives a gateway's process.
