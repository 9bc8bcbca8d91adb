//! The head scanner under octets that nobody thought of.
//!
//! Whatever arrives, how it is cut changes nothing, and what passes is read by another parser as the
//! same requests, one after the other, each with exactly one length.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The scanner alone, so that a build takes seconds and not the program's minutes.
#[allow(dead_code, unused_imports, reason = "the program uses the rest")]
#[path = "../../src/http/scan/mod.rs"]
mod scan;

use scan::{Fault, Scanner};

/// Gives a scanner octets in pieces, as a reader does that holds back what did not pass. Nobody
/// answers, so nothing passes behind a request to upgrade.
fn scanned(octets: &[u8], size: usize) -> (Vec<u8>, Option<Fault>, Scanner) {
    let mut scanner = Scanner::new();
    let (mut passed, mut held) = (Vec::new(), Vec::new());
    for piece in octets.chunks(size) {
        held.extend_from_slice(piece);
        let scanned = scanner.scan(&held);
        assert!(scanned.passed <= held.len());
        passed.extend(held.drain(..scanned.passed));
        if scanned.fault.is_some() {
            return (passed, scanned.fault, scanner);
        }
    }
    (passed, None, scanner)
}

/// Counts the requests that another parser finds.
fn counted(mut rest: &[u8]) -> u64 {
    let mut count = 0;
    while !rest.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut request = httparse::Request::new(&mut fields);
        let parsed = request.parse(rest).expect("what passes is a head");
        let httparse::Status::Complete(length) = parsed else {
            panic!("half a head has passed");
        };
        count += 1;
        let values = |name: &str| -> Vec<&[u8]> {
            let fields = request.headers.iter();
            let named = fields.filter(|field| field.name.eq_ignore_ascii_case(name));
            named.map(|field| field.value).collect()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "two lengths have passed");
        let target = request.path.expect("it is complete");
        http::Uri::try_from(target).expect("what passes is a target");
        rest = &rest[length..];
        if let Some(length) = lengths.first() {
            let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap();
            rest = &rest[length.min(rest.len())..];
        } else if let Some(coding) = codings.first() {
            assert!(coding.eq_ignore_ascii_case(b"chunked"));
            rest = behind_chunks(rest);
        }
    }
    count
}

/// What follows a chunked body, as far as it has passed.
fn behind_chunks(mut rest: &[u8]) -> &[u8] {
    loop {
        if rest.is_empty() {
            return rest;
        }
        let parsed = httparse::parse_chunk_size(rest).expect("what passes is a chunk's size");
        let httparse::Status::Complete((length, size)) = parsed else {
            panic!("half a chunk's size has passed");
        };
        rest = &rest[length..];
        if size == 0 {
            break;
        }
        let Some(behind) = usize::try_from(size).ok().and_then(|size| rest.get(size..)) else {
            return &[];
        };
        if behind.is_empty() {
            return behind;
        }
        rest = behind.strip_prefix(b"\r\n").expect("what passes is a chunk's end");
    }
    // Trailers.
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n").expect("what passes is a line");
        rest = &rest[end + 2..];
        if end == 0 {
            break;
        }
    }
    rest
}

fuzz_target!(|octets: &[u8]| {
    let Some((&size, octets)) = octets.split_first() else {
        return;
    };
    let (passed, fault, scanner) = scanned(octets, octets.len().max(1));
    let (cut, fault_of_cut, cut_scanner) = scanned(octets, usize::from(size).max(1));
    assert_eq!(passed, cut);
    assert_eq!(fault, fault_of_cut);
    assert_eq!(scanner.heads(), cut_scanner.heads());
    assert!(octets.starts_with(&passed));
    assert_eq!(counted(&passed), scanner.heads());
});
