//! Who a request is from, and whether it may pass.
