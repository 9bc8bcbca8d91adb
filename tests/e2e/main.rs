//! End to end: the real program, real sockets, the clients that people use.
//!
//! One binary holds all of it, one module a capability, so that it is linked once. `harness` starts
//! the processes; a test reads as what a person would do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "clippy exempts tests, and does not see that the helpers here are part of them"
)]
#![allow(
    clippy::too_many_lines,
    reason = "many cases over one stand are one test, since each test starts its own servers"
)]

mod access;
mod advisories;
mod affinity;
mod attacks;
mod audit;
mod backends;
mod backup;
mod beds;
mod brand;
mod browser;
mod certificates;
mod check;
mod check_cert;
mod choice;
mod copies;
mod crowd;
mod demo;
mod dialects;
mod downgrade;
mod egress;
mod enrolment;
mod errors;
mod faults;
mod fleet;
mod front;
mod gateways;
mod git;
mod harness;
mod headers;
mod heads;
mod hints;
mod identity;
mod limits;
mod load;
mod local;
mod machines;
mod ownership;
mod passed_on;
mod passthrough;
mod pinning;
mod rates;
mod reload;
mod removal;
mod restarts;
mod routing;
mod rules;
mod service;
mod sign_in;
mod sign_in_failures;
mod sign_on;
mod signed_in;
mod silence;
mod smuggling;
mod start;
mod streams;
mod translation;
mod uploads;
mod visibility;
mod weather;
mod websocket;
mod windows;
