//! Internal URLs in fields become external ones, and back; and those in pages.

use std::hint::black_box;
use std::sync::Arc;

use appproxy::model::{Application, BodyKind, Host};
use appproxy::translate::body::codec::Coding;
use appproxy::translate::body::{Plan, Step, Text, Translating};
use appproxy::translate::{
    Inline, Rewriting, Table, UrlMap, View, translate_request, translate_response,
};
use criterion::{BatchSize, Criterion, Throughput};

use super::page;

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
    pages(criterion);
}

/// A page on its way from decoder to encoder, in pieces as they come; megabytes per second are those of a core.
fn pages(criterion: &mut Criterion) {
    let page = page::page();
    let mut group = criterion.benchmark_group("translated page");
    group.throughput(Throughput::Bytes(page.len() as u64));
    for count in [5, 1000] {
        let view = view(count);
        assert_eq!(translated(&view, page.as_bytes()), page::LINKS);
        group.bench_function(format!("of {count} applications"), |bencher| {
            bencher.iter(|| translated(&view, black_box(page.as_bytes())));
        });
    }
    group.finish();
}

fn view(count: usize) -> View {
    let mut applications = super::applications(count);
    let mut own = Application::clone(&applications[0]);
    own.link_translation.body = vec![BodyKind::Html, BodyKind::Css];
    let own = Arc::new(own);
    applications[0] = Arc::clone(&own);
    let host = Host::parse("app-0.example.com").expect("a host");
    View::new(&Arc::new(Table::new(&applications)), &own, None, &host)
}

/// How many links were changed.
fn translated(view: &View, page: &[u8]) -> u64 {
    let rewriting = Rewriting {
        view: view.clone(),
        report: None,
        inline: Inline::default(),
        keeps_data: false,
    };
    let plan = Plan {
        kind: BodyKind::Html,
        coding: Coding::Identity,
        charset: Some(encoding_rs::UTF_8),
        waits: false,
    };
    let maker = move |text: Text| rewriting.rewriter(BodyKind::Html, text);
    let mut translating = Translating::new(plan, Box::new(maker));
    let mut out = Vec::new();
    for mut piece in page.chunks(16 * 1024) {
        loop {
            let step = translating.step(&mut piece, &mut out, false);
            let step = step.expect("the page is right");
            black_box(std::mem::take(&mut out));
            if step == Step::Done {
                break;
            }
        }
    }
    translating.end(&mut out).expect("the page is right");
    black_box(out);
    translating.counts().links
}
