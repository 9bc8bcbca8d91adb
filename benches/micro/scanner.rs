//! The strict scanner, which reads every head before the parser does.

use std::hint::black_box;

use appproxy::http::Scanner;
use criterion::{Criterion, Throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scanner");
    let small = b"GET /1k HTTP/1.1\r\nHost: localhost:8443\r\n\r\n".to_vec();
    let mut browser = b"GET /wiki/Main_Page HTTP/1.1\r\n".to_vec();
    for (name, value) in super::BROWSER {
        browser.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    browser.extend_from_slice(b"\r\n");
    for (name, head) in [("small head", small), ("browser's head", browser)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let scanned = Scanner::new().scan(black_box(&head));
                assert!(scanned.fault.is_none() && scanned.passed == head.len());
            });
        });
    }
    group.finish();
}
