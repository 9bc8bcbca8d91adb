//! Certificates, requests, keys and collections of them that nobody thought of, by their octets.

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

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;

/// The sections that an input can be put into, so that what is in them is found without base64.
const LABELS: [&str; 10] = [
    "CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "CERTIFICATE REQUEST",
    "PKCS7",
    "X509 CRL",
    "PUBLIC KEY",
];

fuzz_target!(|octets: &[u8]| {
    let [how, der @ ..] = octets else {
        return;
    };
    match LABELS.get(usize::from(how & 0x0f)) {
        None => judge::judged(der, *how),
        Some(label) => {
            let text = STANDARD.encode(der);
            let text = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
            judge::judged(text.as_bytes(), *how);
        }
    }
});
