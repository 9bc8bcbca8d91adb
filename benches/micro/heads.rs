//! What is done to the fields of a request and of its answer on the way through.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use appproxy::http::{
    Facts, HeaderLimits, deny_request, deny_response, fits_tunnel, join_cookies, strip_request,
    strip_response,
};
use appproxy::model::{Host, RequestId, Scheme};
use criterion::{BatchSize, Criterion};
use http::header::HOST;

pub(crate) fn bench(criterion: &mut Criterion) {
    let (request, answer) = (
        super::fields(&super::BROWSER),
        super::fields(&super::ANSWER),
    );
    let host = Host::parse("app-0.example.com").expect("a host");
    let id = RequestId::from_random([7; 8]);
    let facts = Facts {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scheme: Scheme::Https,
        host: &host,
        port: 443,
        id: &id,
    };
    let mut group = criterion.benchmark_group("heads");
    group.bench_function("limits", |bencher| {
        bencher.iter(|| HeaderLimits::default().check(black_box(&request)));
    });
    // The copy is not measured, and neither is its end.
    group.bench_function("request", |bencher| {
        bencher.iter_batched(
            || request.clone(),
            |mut fields| {
                strip_request(&mut fields);
                deny_request(&mut fields);
                join_cookies(&mut fields);
                fields.remove(HOST);
                facts.set(&mut fields);
                fits_tunnel(&fields, &[3, 16, 20, 5]).expect("it fits");
                fields
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("answer", |bencher| {
        bencher.iter_batched(
            || answer.clone(),
            |mut fields| {
                strip_response(&mut fields);
                deny_response(&mut fields);
                fields
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
