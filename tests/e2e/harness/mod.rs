//! Starts a gateway, connectors and applications, and holds the clients that talk to them.
//!
//! ```text
//! let backend = Backend::text("hello").await;
//! let stand = Stand::new().application("wiki", &backend).start().await;
//! let answer = stand.get("https://wiki.localhost/page").await;
//! assert_eq!(answer.text(), "hello");
//! ```
//!
//! Nothing here sleeps: what is waited for is a line in a log, an octet on a socket or the end of a
//! process, each under [`DEADLINE`]. Every port is the system's choice.

mod authority;
mod backend;
mod client;
mod demo;
mod git;
mod process;
mod raw;
mod relay;
mod screen;
mod stand;
mod strict;
mod tools;
mod trap;
pub(crate) mod words;

use std::time::Duration;

pub(crate) use authority::{Authority, Leaf};
pub(crate) use backend::{Backend, ResponseBody, body, echo, gone, read_head};
pub(crate) use client::{Answer, Client, Connection, Tls};
pub(crate) use demo::{Demo, names, temporary};
pub(crate) use git::{git, git_with, repository};
pub(crate) use process::{Output, Process, run, run_for};
pub(crate) use raw::{Recorder, Reply, Talk, exchange, replies};
pub(crate) use relay::{Relay, Weather};
pub(crate) use screen::Screen;
pub(crate) use stand::{Running, Stand};
pub(crate) use strict::{Read, Seen, read as read_strictly};
pub(crate) use tools::{at, browse};
pub(crate) use trap::Trap;

/// How long anything may take that a test waits for: long enough for a slow machine with other work,
/// and reached only by a test that fails. Half of what nextest leaves a test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for what nothing tells of, such as a count of the kernel's.
pub(crate) async fn until(what: &str, met: impl Fn() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    within(what, async {
        while !met() {
            look.tick().await;
        }
    })
    .await;
}

/// Waits for a future, and names what was waited for where it does not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within {} s", DEADLINE.as_secs()))
}
