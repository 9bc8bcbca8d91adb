//! Configuration files as operators write them: good ones are read, bad ones are refused with
//! exactly the text that stands beside them.
//!
//! `BLESS=1 cargo nextest run --test config` writes that text anew; read the difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts test functions only, not the helpers beside them"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use appproxy::config::{
    AllowHosts, ConnectionLimits, ConnectorConfig, GatewayConfig, SecretSource, Validate,
};
use appproxy::model::{
    Affinity, ApplicationLimits, BackendProtocol, Brand, Colour, Endpoint, Finding, Front,
    HealthCheck, Host, HostHeader, Hsts, Maintenance, PreAuthentication, ProxyProtocol,
    RequestLimit,
};
use proptest::prelude::*;

const VALID: &str = "testdata/config/valid";
const INVALID: &str = "testdata/config/invalid";
const VALID_FILES: usize = 27;
const INVALID_FILES: usize = 131;

/// A word that stands in the invalid files wherever a secret might; it must never be repeated.
const SECRET: &str = "hunter2";

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

/// The findings of a file; its name says whose it is.
fn findings(file: &Path) -> Vec<Finding> {
    let name = file.file_name().unwrap().to_str().unwrap();
    match name.split('-').next() {
        Some("gateway") => GatewayConfig::load(file).err(),
        Some("connector") => ConnectorConfig::load(file).err(),
        _ => panic!("{name}: the name begins with neither gateway- nor connector-"),
    }
    .unwrap_or_default()
}

fn print(findings: &[Finding]) -> String {
    findings.iter().map(|f| format!("{f}\n")).collect()
}

fn gateway(file: &str) -> GatewayConfig {
    GatewayConfig::load(Path::new(file)).unwrap_or_else(|f| panic!("{file}:\n{}", print(&f)))
}

fn connector(file: &str) -> ConnectorConfig {
    ConnectorConfig::load(Path::new(file)).unwrap_or_else(|f| panic!("{file}:\n{}", print(&f)))
}

#[test]
fn bad_files_are_refused_with_the_text_beside_them() {
    let bless = std::env::var_os("BLESS").is_some();
    let files = yaml_files(INVALID);
    let mut wrong = String::new();
    for file in &files {
        let printed = print(&findings(file));
        let expected_file = file.with_extension("expected");
        if bless {
            fs::write(&expected_file, &printed).unwrap();
        }
        let expected = fs::read_to_string(&expected_file).unwrap_or_default();
        let name = file.display();
        if printed != expected || printed.is_empty() {
            wrong += &format!("=== {name}\n--- expected\n{expected}--- printed\n{printed}");
        }
        if printed.contains(SECRET) {
            wrong += &format!("=== {name} repeats a secret:\n{printed}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(files.len(), INVALID_FILES, "files in {INVALID}");
    let texts = fs::read_dir(INVALID).unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.extension().is_some_and(|e| e == "expected")
    });
    assert_eq!(
        texts.count(),
        files.len(),
        "a text without its file in {INVALID}"
    );
}

#[test]
fn good_files_are_read() {
    let files = yaml_files(VALID);
    for file in &files {
        let found = findings(file);
        assert!(found.is_empty(), "{}:\n{}", file.display(), print(&found));
    }
    assert_eq!(files.len(), VALID_FILES, "files in {VALID}");
}

#[test]
fn connectors_certificates_have_the_lives_that_are_written_or_the_usual_ones() {
    let lives = |file| {
        let read = gateway(file).connector_certificates;
        (read.life, read.renewal_grace, read.overlap())
    };
    let congestion = |file| gateway(file).congestion.map(|name| name.to_string());
    assert_eq!(
        congestion("testdata/config/valid/gateway-tunnel.yaml").as_deref(),
        Some("bbr")
    );
    assert_eq!(congestion("testdata/config/valid/gateway-least.yaml"), None);
    let window = |file| gateway(file).stream_window.octets();
    assert_eq!(window("testdata/config/valid/gateway-tunnel.yaml"), 4 << 20);
    assert_eq!(window("testdata/config/valid/gateway-least.yaml"), 1 << 20);
    let day = Duration::from_secs(86_400);
    assert_eq!(
        lives("testdata/config/valid/gateway-tunnel.yaml"),
        (day * 30, day / 2, day * 10 + day / 2)
    );
    assert_eq!(
        lives("testdata/config/valid/gateway-least.yaml"),
        (day * 90, day * 30, day * 60)
    );
}

#[test]
fn our_own_pages_are_whose_it_is_written_or_nobody_s() {
    let config = gateway("testdata/config/valid/gateway-brand.yaml");
    let brand = config.brand;
    assert_eq!(brand.name.as_deref(), Some("Example Works"));
    let logo = brand.logo.unwrap();
    assert_eq!(logo.path, Path::new("testdata/config/valid/logo.SVG"));
    assert_eq!(logo.place.key, "brand.logo");
    assert_eq!(brand.colour, Colour::parse("#003366"));
    let support = brand.support.unwrap();
    assert_eq!(support.as_str(), "mailto:help@example.com");
    let config = gateway("testdata/config/valid/gateway-least.yaml");
    assert_eq!(config.brand, Brand::default());
}

#[test]
fn how_requests_are_shared_out_is_as_written_or_as_usual() {
    let config = gateway("testdata/config/valid/gateway-balancing.yaml");
    assert_eq!(config.requests_per_address, 100);
    let ConnectionLimits { total, per_address } = config.connections;
    assert_eq!((total, per_address), (5000, 200));
    let [wiki, blog, mail] = &config.applications[..] else {
        panic!("{:?}", config.applications);
    };
    let urls: Vec<_> = wiki
        .internal
        .all()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        urls,
        [
            "http://wiki-a.corp.local:8888/app/",
            "https://wiki-b.corp.local/app/",
            "http://10.1.0.7/app/"
        ]
    );
    assert_eq!(wiki.affinity, Some(Affinity::Address));
    let check = HealthCheck {
        path: Some("/healthz?full=1".into()),
        interval: Duration::from_secs(20),
        timeout: Duration::from_secs(2),
        status: vec![200, 204],
    };
    assert_eq!(wiki.health_check, Some(check));
    assert_eq!(wiki.limits.requests, RequestLimit::Count(200));
    assert_eq!(wiki.limits.per_address, Some(20));
    let rates = |limits: &ApplicationLimits| {
        [limits.rate, limits.rate_per_address].map(|rate| rate.map(|rate| rate.to_string()))
    };
    let written = [Some("50/s".to_owned()), Some("1000/h".to_owned())];
    assert_eq!(rates(&wiki.limits), written);
    let bodies = [wiki, blog, mail].map(|application| application.limits.body);
    assert_eq!(bodies, [None, Some(1 << 30), Some(1 << 16)]);
    let of_gateway = config.rate_per_address.map(|rate| rate.to_string());
    assert_eq!(of_gateway.as_deref(), Some("600/m"));
    assert_eq!(
        (config.requests_total, config.connections_are_written),
        (900, true)
    );

    assert_eq!(blog.affinity, Some(Affinity::Cookie));
    let check = HealthCheck {
        path: None,
        interval: Duration::from_secs(3),
        timeout: Duration::from_secs(3),
        status: Vec::new(),
    };
    assert_eq!(blog.health_check, Some(check));
    assert_eq!(blog.limits.requests, RequestLimit::Share(60));
    assert_eq!(blog.limits.per_address, None);
    assert_eq!(rates(&blog.limits), [None, None]);

    assert_eq!((mail.affinity, &mail.health_check), (None, &None));
    assert_eq!(mail.limits.requests, RequestLimit::Share(100));

    let config = gateway("testdata/config/valid/gateway-full.yaml");
    assert_eq!(config.requests_per_address, 512);
    assert_eq!(config.connections, ConnectionLimits::default());
    assert_eq!(
        (config.requests_total, config.connections_are_written),
        (20_000, false)
    );
    assert_eq!(config.rate_per_address, None);
    for application in &config.applications {
        assert_eq!(application.limits.requests, RequestLimit::Share(80));
        assert_eq!(
            (application.affinity, application.limits.per_address),
            (None, None)
        );
        assert_eq!(application.internal.all().len(), 1);
    }
}

#[test]
fn what_pages_of_others_may_and_people_are_shown() {
    let config = gateway("testdata/config/valid/gateway-front-more.yaml");
    assert_eq!(config.requests_per_session, 64);
    assert!(!config.sign_in.unwrap().keeps_forms);
    let recheck = config.identity_providers[0].recheck;
    assert_eq!(recheck, Some(Duration::from_secs(600)));
    let front = &config.applications[0].front;
    assert!(front.is_hidden && front.is_cached_for_all);
    let icon = &front.icon.as_ref().unwrap().path;
    assert!(icon.ends_with("valid/api.svg"), "{}", icon.display());
    let texts =
        |list: &[std::sync::Arc<str>]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let cors = front.cors.as_ref().unwrap();
    assert_eq!(
        texts(&cors.origins),
        ["https://portal.example.com", "http://localhost:3000"]
    );
    assert_eq!(texts(&cors.methods), ["PUT", "DELETE"]);
    assert_eq!(texts(&cors.headers), ["content-type", "x-requested-with"]);
    assert_eq!(texts(&cors.expose), ["etag"]);
    assert_eq!(
        (cors.credentials, cors.max_age),
        (true, Duration::from_secs(3600))
    );
}

#[test]
fn what_a_gateway_says_for_its_applications_is_as_written_or_nothing() {
    let days = |days: u64| Duration::from_secs(days * 86400);
    let config = gateway("testdata/config/valid/gateway-front.yaml");
    let [usual, own, plain, none] = &config.applications[..] else {
        panic!("{:?}", config.applications);
    };
    let closed = usual.front.maintenance.as_deref().unwrap();
    assert_eq!(closed.message.as_deref(), Some("Back at 5 o'clock."));
    assert_eq!(closed.retry_after, Some(Duration::from_secs(1800)));
    let allow: Vec<_> = closed.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["192.0.2.7/32", "2001:db8::/32", "10.1.0.0/16"]);
    let hsts = |days_long, include_subdomains, preload| {
        Some(Hsts {
            max_age: days(days_long),
            include_subdomains,
            preload,
        })
    };
    assert_eq!(usual.front.hsts, hsts(30, false, false));
    assert!(usual.front.denies_robots && !usual.front.clears_site_data);
    assert_eq!(usual.front.home, None);

    let home = Some("/app/?view=start#/today".into());
    let expected = Front {
        hsts: hsts(730, true, true),
        maintenance: None,
        denies_robots: false,
        home,
        clears_site_data: true,
        ..Front::default()
    };
    assert_eq!(own.front, expected);
    let urls: Vec<_> = own.external_urls().map(ToString::to_string).collect();
    assert_eq!(
        urls,
        [
            "https://own.example.com/app/",
            "https://own.example.org:8443/app/",
            "https://*.own.example.net/app/"
        ]
    );
    assert!(usual.alternates.is_empty());

    let empty = Maintenance::default();
    assert_eq!(plain.front.maintenance.as_deref(), Some(&empty));
    assert_eq!(plain.front.home.as_deref(), Some("/start"));
    assert_eq!(none.front.maintenance.as_deref(), Some(&empty));
    assert_eq!(none.front.hsts, None);

    for application in &gateway("testdata/config/valid/gateway-full.yaml").applications {
        assert_eq!(application.front, Front::default());
    }
}

#[test]
fn who_passes_connections_on_and_who_is_told_so_is_as_written() {
    let config = gateway("testdata/config/valid/gateway-full.yaml");
    let passes_on = config.listen.proxy_protocol.iter();
    let passes_on: Vec<_> = passes_on.map(ToString::to_string).collect();
    assert_eq!(passes_on, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8:1::/48"]);
    let versions = config.applications.iter().map(|a| a.proxy_protocol);
    let versions: Vec<_> = versions.collect();
    let (v1, v2) = (Some(ProxyProtocol::V1), Some(ProxyProtocol::V2));
    assert_eq!(versions, [None, v2, None, v1, None, None]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one key after the other")]
fn every_key_of_a_gateway_has_its_value() {
    let config = gateway("testdata/config/valid/gateway-full.yaml");
    let addresses =
        |list: &[&str]| -> Vec<SocketAddr> { list.iter().map(|a| a.parse().unwrap()).collect() };
    assert_eq!(
        config.listen.https,
        addresses(&["[::]:443", "192.0.2.1:8443"])
    );
    assert_eq!(config.listen.http, addresses(&["[::]:80"]));
    assert_eq!(
        config.listen.tunnel,
        addresses(&["[::]:8443", "192.0.2.1:9443"])
    );
    assert_eq!(config.drain.notice, Duration::from_secs(10));
    assert_eq!(config.drain.deadline, Duration::from_secs(120));
    let public: Vec<_> = config
        .listen
        .public
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(public, ["gw1.example.com:443", "[2001:db8::1]:8443"]);
    assert_eq!(config.store, Path::new("/var/lib/appproxy/gateway.db"));
    let key = PathBuf::from("/var/lib/appproxy/store.key");
    assert_eq!(config.store_key, Some(SecretSource::File(key)));
    assert_eq!(config.workers.map(usize::from), Some(4));

    let [apps, other, shop] = &config.certificates[..] else {
        panic!("{:?}", config.certificates);
    };
    assert_eq!(apps.chain, Path::new("/etc/appproxy/apps.pem"));
    assert_eq!(other.key, Path::new("testdata/config/valid/other.key"));
    assert!(shop.is_one_file() && shop.chain.ends_with("valid/shop.pfx"));
    let password = SecretSource::File("/etc/appproxy/shop.password".into());
    assert_eq!(shop.password, Some(password));
    assert!(!apps.is_one_file() && apps.password.is_none());
    let place = "testdata/config/valid/gateway-full.yaml:16:30: certificates[1].key";
    assert_eq!(other.key_place.to_string(), place);

    let names: Vec<_> = config
        .applications
        .iter()
        .map(|a| a.name.as_str())
        .collect();
    assert_eq!(names, ["wiki", "blog", "sites", "old", "mail", "shop"]);
    let [wiki, blog, sites, old, mail, _] = &config.applications[..] else {
        panic!("{names:?}");
    };
    assert_eq!(wiki.external.to_string(), "https://wiki.example.com/");
    assert_eq!(
        wiki.internal.all()[0].to_string(),
        "http://wiki.corp.local:8888/app/"
    );
    let groups: Vec<_> = wiki
        .connectors
        .groups()
        .iter()
        .map(|g| g.as_str())
        .collect();
    assert_eq!(groups, ["hq", "backup"]);
    assert_eq!(
        wiki.guard.pre_authentication,
        [PreAuthentication::Passthrough]
    );
    assert_eq!(wiki.host_header, HostHeader::External);
    assert!(!wiki.link_translation.headers);
    let domains = wiki.link_translation.cookie_domains.iter();
    let domains: Vec<String> = domains.map(ToString::to_string).collect();
    assert_eq!(domains, ["example.com", "wiki.example.com"]);
    assert_eq!(wiki.timeouts.connect, Duration::from_secs(5));
    assert_eq!(wiki.timeouts.first_byte, Duration::from_secs(120));
    assert_eq!(wiki.timeouts.idle, Duration::from_millis(250));

    assert_eq!(blog.external.to_string(), "https://blog.apps.example.com/");
    assert_eq!(
        blog.host_header,
        HostHeader::Fixed("blog.corp.local:8443".into())
    );
    assert_eq!(blog.timeouts.first_byte, Duration::from_secs(180));
    assert_eq!(blog.timeouts.idle, Duration::from_secs(300));
    assert_eq!(
        sites.external.to_string(),
        "https://*.sites.example.com:8443/"
    );
    assert_eq!(sites.internal.all()[0].to_string(), "http://*.corp.local/");
    assert_eq!(old.internal.all()[0].to_string(), "http://[fd00::1]:8080/");
    assert_eq!(mail.external.to_string(), "https://mail.apps.example.com/");
}

#[test]
fn what_a_gateway_need_not_say_has_a_default() {
    let config = gateway("testdata/config/valid/gateway-least.yaml");
    assert_eq!(config.store, Path::new("testdata/config/valid/gateway.db"));
    assert_eq!(config.store_key, None);
    assert_eq!(config.workers, None);
    assert!(config.listen.http.is_empty() && config.listen.public.is_empty());
    assert!(config.listen.tunnel.is_empty() && config.listen.proxy_protocol.is_empty());
    assert_eq!(config.drain.notice, Duration::from_secs(5));
    assert_eq!(config.drain.deadline, Duration::from_secs(30));
    assert!(config.applications.is_empty());

    let text = "{ version: 1, kind: gateway, listen: { https: ['[::]:443'] }, store: 'sqlite:/g', \
                certificates: [ { chain: c, key: k } ], default_domain: a.b, applications: [ \
                { name: wiki, internal_url: 'http://w/', pre_authentication: [passthrough] } ] }";
    let config = GatewayConfig::from_text(Path::new("gateway.yaml"), text).unwrap();
    let wiki = &config.applications[0];
    assert_eq!(wiki.connectors.groups()[0].as_str(), "default");
    assert_eq!(wiki.host_header, HostHeader::Internal);
    assert!(wiki.link_translation.headers);
    assert!(wiki.link_translation.cookie_domains.is_empty());
    assert_eq!(wiki.timeouts, Default::default());
    assert_eq!(config.certificates[0].chain, Path::new("c"));
}

#[test]
fn an_application_is_spoken_to_in_the_protocol_of_its_own_or_that_of_all() {
    let protocols = |file| -> Vec<_> {
        let applications = gateway(file).applications;
        applications.iter().map(|a| a.backend_protocol).collect()
    };
    assert_eq!(
        protocols("testdata/config/valid/gateway-backend-protocol.yaml"),
        [BackendProtocol::Http2, BackendProtocol::Http1]
    );
    let usual = protocols("testdata/config/valid/gateway-full.yaml");
    assert_eq!(usual, [BackendProtocol::Http1; 6]);
}

#[test]
fn an_application_signs_connections_in_where_it_says_so() {
    let config = gateway("testdata/config/valid/gateway-connection-authentication.yaml");
    let applications = config.applications.iter();
    let said: Vec<bool> = applications.map(|a| a.connection_authentication).collect();
    assert_eq!(said, [true, false]);
}

#[test]
fn applications_over_tls_are_known_by_the_first_entry_that_names_them() {
    let config = connector("testdata/config/valid/connector-backend-tls.yaml");
    let entries = config.backend_tls;
    let entry = |target: &str| {
        let target = Endpoint::parse(target).unwrap();
        entries.iter().position(|entry| entry.is_for(&target))
    };
    for (target, expected) in [
        ("wiki.corp.local:443", Some(0)),
        ("wiki.corp.local:8443", None),
        ("a.lab.corp.local:8443", Some(1)),
        ("10.1.2.3:443", Some(1)),
        ("old.corp.local:443", Some(2)),
        ("other.corp.local:443", None),
    ] {
        assert_eq!(entry(target), expected, "{target}");
    }
    let [wiki, lab, old] = &entries[..] else {
        panic!("{entries:?}");
    };
    let ca = wiki.ca.as_ref().unwrap();
    assert_eq!(ca.file, Path::new("testdata/config/valid/corp-ca.pem"));
    assert_eq!(ca.place.key, "backend_tls[0].ca");
    assert_eq!(wiki.pins.len(), 2);
    assert_eq!(wiki.server_name, Host::parse("wiki.internal").ok());
    let client = wiki.client_certificate.as_ref().unwrap();
    assert_eq!(client.key, Path::new("/etc/appproxy/client.key"));
    let validated = [wiki, lab, old].map(|entry| entry.validate);
    assert_eq!(
        validated,
        [Validate::Certificate, Validate::Nothing, Validate::Pins]
    );
    assert!(
        connector("testdata/config/valid/connector-full.yaml")
            .backend_tls
            .is_empty()
    );
}

#[test]
fn secrets_are_named_by_their_place() {
    let env = gateway("testdata/config/valid/gateway-json.yaml").store_key;
    assert_eq!(env, Some(SecretSource::Env("STORE_KEY".into())));
    let credential = gateway("testdata/config/valid/gateway-include-nothing.yaml").store_key;
    assert_eq!(
        credential,
        Some(SecretSource::Credential("store-key".into()))
    );
}

#[test]
fn every_key_of_a_connector_has_its_value() {
    let config = connector("testdata/config/valid/connector-full.yaml");
    let gateways: Vec<_> = config.gateways.iter().map(ToString::to_string).collect();
    assert_eq!(gateways, ["gw1.example.com:443", "192.0.2.1:8443"]);
    assert_eq!(config.state, Path::new("/var/lib/appproxy/connector"));
    assert_eq!((config.connections.least, config.connections.most), (3, 8));
    assert_eq!(config.stream_window.octets(), 64 << 10);
    assert_eq!(config.congestion.unwrap().as_str(), "fifteen_letters");
    assert_eq!(config.drain.deadline, Duration::from_secs(45));
    assert_eq!(config.workers.map(usize::from), Some(1));
    let ports: Vec<_> = config.allow.iter().map(|a| a.port).collect();
    assert_eq!(ports, [8888, 443, 80, 8080, 443]);
    assert_eq!(
        config.allow[1].hosts,
        AllowHosts::Below("corp.local".into())
    );
    let network = "10.1.0.0/16".parse().unwrap();
    assert_eq!(config.allow[2].hosts, AllowHosts::Network(network));
    let servers: Vec<_> = config.dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        servers,
        [
            "10.0.0.53:53",
            "10.0.0.54:5353",
            "[fd00::53]:53",
            "[fd00::54]:5353"
        ]
    );
    assert_eq!(config.dns.hosts["wiki.corp.local"].len(), 2);

    let written: Vec<_> = config.allow.iter().map(ToString::to_string).collect();
    let expected = [
        "wiki.corp.local:8888",
        "*.corp.local:443",
        "10.1.0.0/16:80",
        "[fd00::1]:8080",
        "[fd00::/8]:443",
    ];
    assert_eq!(written, expected);

    let config = connector("testdata/config/valid/connector-least.yaml");
    assert_eq!(config.state, Path::new("testdata/config/valid/state"));
    assert_eq!((config.connections.least, config.connections.most), (2, 8));
    assert_eq!(config.stream_window.octets(), 1 << 20);
    assert_eq!(config.congestion, None);
    assert_eq!(config.drain.deadline, Duration::from_secs(30));
    assert!(config.gateways.is_empty() && config.allow.is_empty());
    let config = connector("testdata/config/valid/connector-empty-lists.yaml");
    assert_eq!((config.connections.least, config.connections.most), (8, 8));
    assert!(config.dns.servers.is_empty() && config.dns.hosts.is_empty());
}

#[test]
fn metrics_have_a_listener_of_their_own() {
    let config = gateway("testdata/config/valid/gateway-metrics.yaml");
    assert_eq!(config.listen.metrics, "127.0.0.1:9443".parse().ok());
    let config = connector("testdata/config/valid/connector-metrics.yaml");
    assert_eq!(config.metrics, "[::1]:9444".parse().ok());
    let config = connector("testdata/config/valid/connector-least.yaml");
    assert_eq!(config.metrics, None);
}

#[test]
fn an_absent_file_is_a_finding_that_names_it_and_the_flag() {
    let file = Path::new("testdata/config/no-such-file.yaml");
    for found in [
        GatewayConfig::load(file).unwrap_err(),
        ConnectorConfig::load(file).unwrap_err(),
    ] {
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, "file_unreadable");
        let printed = found[0].to_string();
        assert!(printed.contains("no-such-file.yaml: "), "{printed}");
        assert!(printed.contains("--config"), "{printed}");
    }
    let folder = ConnectorConfig::load(Path::new("testdata")).unwrap_err();
    assert_eq!(folder[0].code, "file_unreadable");
}

#[test]
fn whom_an_application_keeps_out_stays_out_of_its_paths() {
    let text = "
version: 1
kind: gateway
listen: { https: ['[::]:443'] }
store: sqlite:x
certificates: [{ chain: a, key: b }]
sign_in: { url: 'https://login.example.com/' }
identity_providers: [ { name: corp, issuer: 'https://sso.example.com/', client_id: x } ]
applications:
  - name: wiki
    external_url: https://w.example.com/
    internal_url: http://w.corp/
    pre_authentication: [oidc]
    access: { allow: [anyone_signed_in], deny: [ { ip: [203.0.113.0/24] }, { group: banned } ] }
    paths:
      - { path: /hook/, pre_authentication: [passthrough] }
      - { path: /open/, pre_authentication: [passthrough], access: { deny: [ { method: [PUT] } ] } }
      - { path: /api/, pre_authentication: [bearer] }
      - { path: /own/, pre_authentication: [oidc], access: { allow: [ { group: own } ] } }
";
    let config = GatewayConfig::from_text(Path::new("gateway.yaml"), text).unwrap();
    let mut seen = Vec::new();
    for one in config.applications[0].paths.all() {
        let lines = |rules: &[appproxy::model::AccessRule]| {
            let lines: Vec<_> = rules.iter().map(ToString::to_string).collect();
            lines.join("; ")
        };
        let access = &one.guard.access;
        seen.push((one.path.as_str(), lines(&access.allow), lines(&access.deny)));
    }
    seen.sort_unstable();
    let expected = [
        (
            "/api",
            "anyone_signed_in",
            "ip: [203.0.113.0/24]; group: banned",
        ),
        // Of nobody it cannot be told in which group they are.
        ("/hook", "", "ip: [203.0.113.0/24]"),
        ("/open", "", "ip: [203.0.113.0/24]; method: [PUT]"),
        ("/own", "group: own", "ip: [203.0.113.0/24]; group: banned"),
    ];
    let expected = expected.map(|(path, allow, deny)| (path, allow.to_owned(), deny.to_owned()));
    assert_eq!(seen, expected);
}

#[test]
fn the_examples_are_read() {
    // For what runs appproxy and watches it; `tests/operations` looks at them.
    const OPERATIONS: [&str; 3] = ["container", "monitoring", "service"];
    let mut scenarios = 0;
    for entry in fs::read_dir("examples").unwrap() {
        let folder = entry.unwrap().path();
        if OPERATIONS.iter().any(|name| folder.ends_with(name)) {
            continue;
        }
        gateway(folder.join("gateway.yaml").to_str().unwrap());
        connector(folder.join("connector.yaml").to_str().unwrap());
        assert!(folder.join("README.md").is_file(), "{}", folder.display());
        scenarios += 1;
    }
    assert_eq!(scenarios, 1, "scenarios in examples");
}

/// Pieces that get further into the readers than arbitrary characters do.
fn pieces() -> impl Strategy<Value = String> {
    let words = "version: 1\n|kind: gateway\n|kind: connector\n|listen:|https:|http:|store:|\
                 store_key:|certificates:|applications:|name:|wiki|external_url:|internal_url:|\
                 https://*.a.b:1/c/|http://[::1]/|allow:|dns:|hosts:|timeouts:|\
                 pre_authentication:|connections:|2..8|include:|*|sqlite:/x|default_domain:|\
                 defaults:|state:|10|10s|é|\u{feff}|\u{202e}|\t|\n|\n  |\n  - |- |[|]|{|}|, |: |\
                 '|\"|&a |*a|!t |>\n |~|---\n|...\n|%YAML 1.2\n|? |# |${|\\|\0";
    let piece = prop::sample::select(words.split('|').collect::<Vec<_>>());
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Both readers, whatever the text: they come to an end, and refuse with a reason and a place.
fn refuses_with_reason(text: &str) -> Result<(), TestCaseError> {
    let file = Path::new("testdata/config/any.yaml");
    let found = [
        GatewayConfig::from_text(file, text).err(),
        ConnectorConfig::from_text(file, text).err(),
    ];
    for found in found.into_iter().flatten() {
        prop_assert!(!found.is_empty());
        for finding in found {
            prop_assert!(finding.place.is_some(), "{finding}");
            prop_assert!(!finding.what.contains(char::is_control), "{finding}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_the_loader(text in any::<String>()) {
        refuses_with_reason(&text)?;
    }

    #[test]
    fn arbitrary_yaml_never_panics_the_loader(text in pieces()) {
        refuses_with_reason(&text)?;
    }

    #[test]
    fn a_spoilt_file_never_panics_the_loader(
        at in any::<prop::sample::Index>(),
        remove in 0..40_usize,
        insert in pieces(),
    ) {
        let good = fs::read_to_string("testdata/config/valid/gateway-full.yaml").unwrap();
        let mut chars: Vec<char> = good.chars().collect();
        let from = at.index(chars.len());
        let to = chars.len().min(from + remove);
        chars.splice(from..to, insert.chars());
        refuses_with_reason(&chars.into_iter().collect::<String>())?;
    }
}

#[test]
fn deep_nesting_is_refused_at_once() {
    for text in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
    ] {
        let found = GatewayConfig::from_text(Path::new("deep.yaml"), &text).unwrap_err();
        assert_eq!(found[0].code, "syntax");
    }
}
