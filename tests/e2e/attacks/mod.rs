//! Attacks: what a malicious application, connector, gateway or visitor sends, and what becomes of
//! everybody else. Each attack has a victim beside it, who must notice nothing.

mod application;
pub(crate) mod connector;
pub(crate) mod gateway;
mod redirects;
mod sign_in;
