//! appproxy publishes web applications of a private network to the internet.

pub mod auth;
pub mod certs;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connector;
pub mod demo;
pub mod gateway;
pub mod http;
pub mod model;
pub mod net;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod translate;
pub mod tunnel;
pub mod upgrade;
