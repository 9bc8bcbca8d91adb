//! Internal URLs in fields become external ones, and back.

use std::hint::black_box;

use appproxy::model::Host;
use appproxy::translate::{UrlMap, translate_request, translate_response};
use criterion::{BatchSize, Criterion};

pub(crate) fn bench(criterion: &mut Criterion) {
    let applications = super::applications(1);
    let application = applications.first().expect("one application");
    let host = Host::parse("app-0.example.com").expect("a host");
    let map = UrlMap::new(application, None, &host).expect("a map");
    let what = &application.link_translation;
    let request = super::fields(&super::BROWSER);
    let plain = super::fields(&super::ANSWER);
    let mut redirect = plain.clone();
    redirect.extend(super::fields(&[
        (
            "location",
            "http://app-0.corp.local:8080/wiki/Main_Page?from=search",
        ),
        (
            "link",
            "<http://app-0.corp.local:8080/style.css>; rel=preload; as=style",
        ),
        (
            "content-security-policy",
            "default-src 'self' http://app-0.corp.local:8080; img-src * data:",
        ),
    ]));
    let mut group = criterion.benchmark_group("translation");
    group.bench_function("map of a request", |bencher| {
        bencher.iter(|| UrlMap::new(black_box(application), None, &host));
    });
    for (name, answer) in [("answer without URLs", plain), ("redirect", redirect)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || answer.clone(),
                |mut fields| {
                    translate_response(&mut fields, &map, what);
                    fields
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("request with Referer", |bencher| {
        bencher.iter_batched(
            || request.clone(),
            |mut fields| {
                translate_request(&mut fields, &map, what).expect("it is allowed");
                fields
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
