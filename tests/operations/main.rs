//! What operators take from `examples/` and from a package: units, alerts, dashboard, the package. And
//! pages of others, whose links a gateway translates, and certificates of others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts test functions only, not the helpers beside them"
)]

mod container;
mod monitoring;
mod package;
mod pages;
mod units;
mod vectors;

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// Runs a program to its end; returns whether it ended well, and all that it printed.
fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> (bool, String) {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}
