//! The private side: dials out and carries requests to applications.

mod allow;
mod backend;
mod identity;
mod pool;
mod profiles;
mod register;
mod serve;
mod supervisor;
