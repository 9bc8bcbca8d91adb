//! Rules: usual ones, and very many for somebody in very many groups.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use appproxy::auth::{Facts, ShownCertificate, would_allow};
use appproxy::clock::Timestamp;
use appproxy::config::GatewayConfig;
use appproxy::http::canonical;
use appproxy::model::{Application, Host, Person, PersonKey};
use criterion::Criterion;
use http::{HeaderMap, Method};

fn application(access: &str) -> Arc<Application> {
    let text = format!(
        "version: 1\nkind: gateway\nlisten: {{ https: ['127.0.0.1:443'] }}\nstore: sqlite:/nowhere/x.db\n\
         certificates: [ {{ chain: c.pem, key: k.pem }} ]\nsign_in: {{ url: 'https://login.example.com/' }}\n\
         identity_providers: [ {{ name: corp, issuer: 'https://sso.example.com/', client_id: x }} ]\n\
         applications:\n  - {{ name: wiki, external_url: 'https://wiki.example.com/', internal_url: \
         'http://wiki.corp/', pre_authentication: [oidc], access: {{ {access} }} }}\n"
    );
    let config = GatewayConfig::from_text(Path::new("/nowhere/gateway.yaml"), &text);
    let applications = config.expect("the configuration is right").applications;
    Arc::clone(&applications[0])
}

fn person(groups: usize) -> Person {
    let mut groups: Vec<Arc<str>> = (0..groups).map(|n| format!("group-{n}").into()).collect();
    groups.push("staff".into());
    groups.sort_unstable();
    Person {
        key: PersonKey {
            authority: "https://sso.example.com/".into(),
            subject: "1f3c2b".into(),
        },
        provider: "corp".into(),
        name: None,
        email: Some("alice@example.com".into()),
        groups: groups.into(),
        claims: serde_json::Map::new(),
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let usual = application(
        "allow: [ { group: other }, { group: staff, ip: [192.0.2.0/24] } ], deny: [ { user: x }, { path: \
         /admin, not: { group: admins } } ]",
    );
    let lines: Vec<_> = (0..10_000)
        .map(|n| format!("{{ group: other-{n} }}"))
        .collect();
    let many = application(&format!(
        "allow: [ {}, {{ group: staff }} ]",
        lines.join(", ")
    ));
    let timed = application(
        "allow: [ { group: staff, time: { zone: Europe/Berlin, days: [mon, tue, wed, thu, fri, sat, sun] } } ]",
    );
    let fields = HeaderMap::new();
    let host = Host::parse("wiki.example.com").expect("a host");
    for (name, application, groups) in [
        ("usual rules, 20 groups", &usual, 20),
        ("a time of the week", &timed, 20),
        ("10,000 rules, 10,000 groups", &many, 10_000),
    ] {
        let person = person(groups);
        let facts = Facts {
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            method: &Method::GET,
            is_websocket: false,
            path: canonical("/wiki/page", true).expect("a path"),
            query: None,
            now: Timestamp(1_800_000_000),
            fields: &fields,
            certificate: &ShownCertificate::None,
            external: &application.external,
            host: &host,
        };
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let rule = would_allow(black_box(&application.guard), Some(&person), &facts);
                rule.expect("it is allowed")
            });
        });
    }
}
