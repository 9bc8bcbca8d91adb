//! Texts with certificates that nobody thought of, and what is said of them.

#![no_main]

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the program uses the rest"
)]
#[path = "certificates/certs.rs"]
mod certs;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/clock.rs"]
mod clock;
#[path = "certificates/judge.rs"]
mod judge;
#[allow(dead_code, unused_imports, reason = "the program uses the rest")]
#[path = "certificates/model.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let [how, text @ ..] = octets {
        judge::judged(text, *how);
    }
});
