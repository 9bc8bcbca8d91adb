//! Host and path to application, with 1, 100 and 10,000 of them: what it costs must not grow with
//! how much is published.

use std::hint::black_box;

use appproxy::gateway::Routes;
use appproxy::http::{canonical, request_host};
use appproxy::model::{Host, Scheme};
use criterion::{BenchmarkId, Criterion};
use http::Request;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routing");
    for count in [1_usize, 100, 10_000] {
        let routes = Routes::new(&super::applications(count));
        // Hosts from all over the table, so that not one place of it alone is in the cache.
        let hosts: Vec<Host> = (0..count.min(1000))
            .map(|n| n * count / count.min(1000))
            .map(|n| Host::parse(&format!("app-{n}.example.com")).expect("a host"))
            .collect();
        let mut next = hosts.iter().cycle();
        group.bench_function(BenchmarkId::new("table", count), |bencher| {
            bencher.iter(|| {
                let host = next.next().expect("a cycle has no end");
                assert!(routes.leads_somewhere(Scheme::Https, black_box(host), 443, "/wiki/a"));
            });
        });
    }
    let request = Request::get("/wiki/Main_Page?useskin=vector")
        .header("host", "app-0.example.com")
        .body(())
        .expect("a request");
    group.bench_function("host and path of a request", |bencher| {
        bencher.iter(|| {
            let host = request_host(black_box(&request)).expect("a host");
            let path = canonical(request.uri().path(), false).expect("a path");
            (host, path)
        });
    });
    group.finish();
}
