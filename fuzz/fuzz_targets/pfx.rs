//! PFX files that nobody thought of, by their octets and by what is in their bags.

#![no_main]

#[allow(dead_code, unused_imports, reason = "the program uses the rest")]
#[path = "../../src/certs/pfx/mod.rs"]
mod pfx;

use libfuzzer_sys::fuzz_target;
use pfx::{Pfx, PfxError, decrypt_key_within, read_within};

/// Enough for the seeds, whose keys are derived with one iteration, and little enough for speed.
const ITERATIONS: u32 = 100;

const PASSWORD: &str = "Secret123";

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).expect("an input is short");
    let mut out = vec![tag, 0x84];
    out.extend(len.to_be_bytes());
    out.extend(content);
    out
}

/// A file without a MAC, in which are these bags.
fn unprotected(bags: &[u8]) -> Vec<u8> {
    let data = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    let info = |content: &[u8]| {
        let string = element(0xa0, &element(0x04, content));
        element(0x30, &[&data[..], &string].concat())
    };
    let safe = element(0x30, &info(&element(0x30, bags)));
    element(0x30, &[&[0x02, 1, 3][..], &info(&safe)].concat())
}

/// A bag of a kind of PKCS#12, by the last number of its identifier.
fn bag(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut content = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01".to_vec();
    content.push(kind);
    content.extend(element(0xa0, value));
    element(0x30, &content)
}

fn read(file: &[u8], password: Option<&str>) -> Result<Pfx, PfxError> {
    let read = read_within(file, password, ITERATIONS);
    assert_eq!(read, read_within(file, password, ITERATIONS), "once so, once so");
    let Ok(pfx) = &read else {
        // What it says has to be sayable.
        assert!(!format!("{read:?}").contains(PASSWORD));
        return read;
    };
    if pfx.protection.octets_after == 0 {
        let cut = read_within(&file[..file.len() - 1], password, ITERATIONS);
        assert!(cut.is_err(), "a file that is cut off opens");
    }
    let longer = read_within(&[file, &[0]].concat(), password, ITERATIONS);
    let longer = longer.expect("an octet after it does no harm");
    assert_eq!((&longer.keys, &longer.certificates), (&pfx.keys, &pfx.certificates));
    for key in &pfx.keys {
        // What is DER stays.
        let again = read_within(&unprotected(&bag(1, &key.pkcs8)), None, 0);
        let again = again.expect("a key that was read is a key");
        assert!(again.keys.len() == 1 && again.keys[0].pkcs8 == key.pkcs8);
    }
    read
}

fuzz_target!(|octets: &[u8]| {
    let [how, rest @ ..] = octets else {
        return;
    };
    let password = match how >> 6 {
        0 => None,
        1 => Some(PASSWORD),
        2 => Some("\"Secret123\"\n"),
        _ => Some("pässwörd😀"),
    };
    match how & 0x3f {
        0x30 => drop(read(rest, password)),
        0x31 => drop(read(&unprotected(rest), password)),
        0x32 => drop(decrypt_key_within(rest, password, ITERATIONS)),
        kind => drop(read(&unprotected(&bag(kind % 8, rest)), password)),
    }
});
