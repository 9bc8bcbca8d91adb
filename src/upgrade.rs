//! The WebSocket splice: shared by both ends.
