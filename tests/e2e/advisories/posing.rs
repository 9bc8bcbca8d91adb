//! 4A: requests that were taken for somebody else's.

use std::sync::Arc;

use appproxy::clock::Clock;
use appproxy::tunnel::tls::{Credentials, connector_tunnel};
use appproxy::tunnel::token::Token;
use http::Request;
use http_body_util::Full;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::sayer::Sayer;
use super::{
    BAD, DENIED, Guarded, NOBODY, all, both, cookie_of, fields, get, head, outcome, target,
};
use crate::enrolment;
use crate::harness::{Answer, Client, Recorder, Stand, exchange, within, words};
use crate::machines::{SERVICE, ask_until, service_token};
use crate::sign_in::{Browser, with_sign_in};

/// What those say who ask whether something is well.
const CHECKERS: [(&str, &str); 14] = [
    ("user-agent", "GoogleHC/1.0"),
    ("user-agent", "kube-probe/1.31"),
    ("user-agent", "ELB-HealthChecker/2.0"),
    (
        "user-agent",
        "Amazon-Route53-Health-Check-Service (ref 1; report http://amzn.to/1vsZADi)",
    ),
    ("user-agent", "Envoy/HC"),
    ("user-agent", "HAProxy"),
    ("user-agent", "Prometheus/3.0"),
    ("user-agent", "UptimeRobot/2.0"),
    ("user-agent", "appproxy"),
    ("x-health-check", "1"),
    ("x-envoy-livenessprobe", "10.0.0.1"),
    ("x-kubernetes-probe", "true"),
    ("x-forwarded-for", "127.0.0.1"),
    ("via", "1.1 google"),
];

#[tokio::test]
async fn a04_whoever_looks_like_a_health_check_is_anybody() {
    let wiki = Guarded::on(Stand::new().metrics()).await;
    let bob = cookie_of(&wiki.stand, "bob").await;
    let mut seen = 0;
    for client in both(&wiki.stand) {
        for said in CHECKERS {
            for path in ["/", "/admin/x", "/health", "/healthz", "/readyz", "/ping"] {
                let answer = wiki.ask(&client, path, &[said]).await;
                assert_eq!(outcome(&answer), NOBODY, "{said:?} {path}");
                seen += 1;
            }
            let answer = wiki
                .ask(&client, "/admin/x", &[said, ("cookie", &bob)])
                .await;
            assert_eq!(outcome(&answer), DENIED, "{said:?}");
            assert_eq!(wiki.inside.taken(), "", "{said:?}");
        }
    }
    assert_eq!(seen, 2 * 14 * 6);
    // Those who do ask have a door of their own, which leads to no application.
    let own = wiki.host.as_str();
    for (path, host, expected) in [
        ("/healthz", "localhost", "HTTP/1.1 200 "),
        ("/healthz", own, "HTTP/1.1 200 "),
        ("/", own, "HTTP/1.1 404 "),
        ("/public/x", own, "HTTP/1.1 404 "),
    ] {
        let door = TcpStream::connect(wiki.stand.metrics_address())
            .await
            .unwrap();
        let request = head("GET", path.as_bytes(), host, "Connection: close\r\n");
        let answer = exchange(door, &request).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(expected), "{host}{path}: {answer}");
        assert_eq!(wiki.inside.taken(), "", "{host}{path}");
    }
}

/// Fields in which somebody in front tells where a request comes from.
const ADDRESSES: [&str; 20] = [
    "x-forwarded-for",
    "x_forwarded_for",
    "forwarded",
    "x-forwarded",
    "forwarded-for",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-client-ip",
    "client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-remote-addr",
    "remote-addr",
    "x-originating-ip",
    "x-proxyuser-ip",
];

#[tokio::test]
async fn a11_no_field_says_where_somebody_is() {
    let inside = Recorder::start().await;
    let stand = Stand::new()
        .application_with(
            "wiki",
            &inside.backend,
            json!({ "access": { "allow": [{ "ip": ["127.0.0.2"] }] } }),
        )
        .application_with(
            "shop",
            &inside.backend,
            json!({ "access": { "deny": [{ "ip": ["127.0.0.1"] }] } }),
        )
        .start()
        .await;
    let urls = ["wiki", "shop"].map(|name| stand.url(name, "/"));
    let mut refused = 0;
    for client in both(&stand) {
        for name in ADDRESSES {
            // What cannot be read skips no rule either.
            for value in [
                "127.0.0.2",
                "127.0.0.2, 127.0.0.1",
                "127.0.0.1, 127.0.0.2",
                "for=127.0.0.2;by=127.0.0.2",
                "[::ffff:127.0.0.2]:80",
                "nowhere, \"",
                "",
            ] {
                for url in &urls {
                    let request = get(url, &[(name, value), (name, "127.0.0.2")]);
                    let answer = Answer::read(client.send(request).await).await;
                    assert_eq!(outcome(&answer), DENIED, "{name}: {value} {url}");
                    refused += 1;
                }
            }
            assert_eq!(inside.taken(), "", "{name}");
        }
    }
    assert_eq!(refused, 2 * 20 * 7 * 2);
    // Nor does one keep anybody out, or tell the application anything else.
    let mut served = 0;
    for client in both(&stand) {
        let client: Client = client.at([127, 0, 0, 2]);
        for name in ADDRESSES {
            for url in &urls {
                let request = get(url, &[(name, "127.0.0.1"), (name, "10.0.0.1")]);
                let answer = Answer::read(client.send(request).await).await;
                assert_eq!(outcome(&answer), (200, ""), "{name} {url}");
                let seen = inside.taken();
                assert_eq!(all(&seen, "x-forwarded-for"), ["127.0.0.2"], "{name}");
                served += 1;
            }
        }
    }
    assert_eq!(served, 2 * 20 * 2);
}

#[tokio::test]
async fn a13_an_address_is_of_the_domain_behind_its_only_at_sign() {
    let sayer = Sayer::start().await;
    let inside = Recorder::start().await;
    let of_company = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": [{ "email_domain": "company.com" }] },
    });
    let stand = Stand::new().application_with("wiki", &inside.backend, of_company);
    let stand = with_sign_in(stand, &sayer.issuer).start().await;
    let page = stand.url("wiki", "/");
    let (mut refused, mut served) = (0, 0);
    for (email, verified, is_let_in) in [
        (json!("ann@company.com"), json!(true), true),
        (json!("ann@COMPANY.com"), json!(true), true),
        (json!("attacker@evil.com@company.com"), json!(true), false),
        (json!("attacker@company.com@evil.com"), json!(true), false),
        (json!("\"a@evil.com\"@company.com"), json!(true), false),
        (
            json!("attacker@evil.com,ann@company.com"),
            json!(true),
            false,
        ),
        (
            json!("attacker@evil.com ann@company.com"),
            json!(true),
            false,
        ),
        (json!("attacker@company.com.evil.com"), json!(true), false),
        (json!("attacker@evilcompany.com"), json!(true), false),
        (json!("attacker@sub.company.com"), json!(true), false),
        (json!("attacker@company.com."), json!(true), false),
        (json!("attacker@c\u{43e}mpany.com"), json!(true), false),
        (json!("attacker%40company.com"), json!(true), false),
        (json!("company.com"), json!(true), false),
        (json!("@company.com"), json!(true), false),
        (json!(""), json!(true), false),
        (Value::Null, json!(true), false),
        // It may be anybody's where nobody looked.
        (json!("ann@company.com"), json!(false), false),
        (json!("ann@company.com"), json!("false"), false),
        (json!("ann@company.com"), Value::Null, false),
    ] {
        let what = format!("{email} {verified}");
        sayer.says(json!({ "email": email, "email_verified": verified }));
        let mut browser = Browser::new(&stand);
        browser.sign_in(&page, "bob").await;
        let answer = browser.open(&page).await;
        let seen = inside.taken();
        if is_let_in {
            assert_eq!(outcome(&answer), (200, ""), "{what}");
            assert_eq!(target(&seen), "/", "{what}");
            served += 1;
        } else {
            assert_eq!(outcome(&answer), DENIED, "{what}");
            assert_eq!(seen, "", "{what}");
            refused += 1;
        }
    }
    assert_eq!((refused, served), (18, 2));
}

#[tokio::test]
async fn a14_a_token_for_somebody_else_opens_nothing() {
    let sayer = Sayer::start().await;
    let inside = Recorder::start().await;
    let api = json!({
        "pre_authentication": ["bearer"],
        "access": { "allow": [{ "scope": "wiki.read" }] },
        "bearer": { "clients": ["cli", "robot"] },
    });
    let of_people = json!({
        "pre_authentication": ["bearer"],
        "access": { "allow": ["anyone_signed_in"] },
    });
    let pages = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": ["anyone_signed_in"] },
    });
    let stand = Stand::new()
        .application_with("wiki", &inside.backend, api)
        .application_with("people", &inside.backend, of_people)
        .application_with("pages", &inside.backend, pages);
    let stand = with_sign_in(stand, &sayer.issuer).start().await;
    let now = Clock::system().now().0;
    let good = json!({
        "iss": sayer.issuer,
        "aud": stand.url("wiki", ""),
        "sub": "alice",
        "client_id": "cli",
        "iat": now,
        "exp": now + 300,
        "jti": "1",
        "scope": "wiki.read",
    });
    // The good one with another value of a claim, or without it.
    let but = |name: &str, value: Value| {
        let mut claims = good.clone();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims
    };
    let ask = async |name: &str, token: &str| {
        let field = format!("Bearer {token}");
        let request = get(&stand.url(name, "/x"), &[("authorization", &field)]);
        Answer::read(stand.send(request).await).await
    };
    let own = "at+jwt";
    let answer = ask("wiki", &sayer.token(own, &good)).await;
    assert_eq!(outcome(&answer), (200, ""), "{}", answer.text());
    let seen = inside.taken();
    assert_eq!(target(&seen), "/x");
    assert_eq!(all(&seen, "authorization"), [""; 0]);

    let unknown = (401, "token_required");
    let mut refused = 0;
    for (what, kind, claims) in [
        (
            "another issuer",
            own,
            but("iss", json!("https://evil.example")),
        ),
        ("no issuer", own, but("iss", Value::Null)),
        (
            "another application",
            own,
            but("aud", json!(stand.url("people", ""))),
        ),
        (
            "another API",
            own,
            but("aud", json!("https://other.example.com")),
        ),
        ("the gateway's client", own, but("aud", json!("appproxy"))),
        (
            "others",
            own,
            but("aud", json!(["https://a.example", "https://b.example"])),
        ),
        (
            "more behind it",
            own,
            but("aud", json!(stand.url("wiki", "/x"))),
        ),
        ("no audience", own, but("aud", Value::Null)),
        ("another client", own, but("client_id", json!("evil"))),
        ("another party", own, but("azp", json!("evil"))),
        ("no client", own, but("client_id", Value::Null)),
        ("ended", own, but("exp", json!(now - 3600))),
        ("without an end", own, but("exp", Value::Null)),
        ("not begun", own, but("nbf", json!(now + 3600))),
        ("made tomorrow", own, but("iat", json!(now + 86_400))),
        ("of nobody", own, but("sub", Value::Null)),
        ("of an empty name", own, but("sub", json!(""))),
        ("an ID token", "JWT", but("nonce", json!("n"))),
        ("a logout token", "logout+jwt", good.clone()),
        ("a proof", "dpop+jwt", good.clone()),
    ] {
        let answer = ask("wiki", &sayer.token(kind, &claims)).await;
        assert_eq!(outcome(&answer), unknown, "{what}: {}", answer.text());
        assert_eq!(inside.taken(), "", "{what}");
        refused += 1;
    }
    let answer = ask("wiki", &Sayer::forged(own, &good)).await;
    assert_eq!(outcome(&answer), unknown, "signed by another key");
    // Good for what it is for, and for nothing else: a token is no session.
    let elsewhere = ask("people", &sayer.token(own, &good)).await;
    assert_eq!(outcome(&elsewhere), unknown, "for another application");
    let pages = ask("pages", &sayer.token(own, &good)).await;
    assert_eq!(outcome(&pages), NOBODY, "where people sign in");
    // A program is none of the people, whatever it is called.
    let mut robot = but("aud", json!(stand.url("people", "")));
    robot["sub"] = json!("robot");
    robot["client_id"] = json!("robot");
    let answer = ask("people", &sayer.token(own, &robot)).await;
    assert_eq!(outcome(&answer), DENIED, "a program");
    assert_eq!(inside.taken(), "");
    assert_eq!(refused, 20);
}

#[tokio::test]
async fn a15_one_field_shows_who_a_program_is() {
    let (wiki, crm) = (Recorder::start().await, Recorder::start().await);
    let guard = json!({
        "pre_authentication": ["service_token"],
        "access": { "allow": [{ "token": "ci" }, { "token": "other" }] },
    });
    let stand = Stand::new()
        .application_with("wiki", &wiki.backend, guard.clone())
        .application_with("crm", &crm.backend, guard)
        .start()
        .await;
    let page = stand.url("wiki", "/x");
    let ours = service_token(&stand, &["--name", "ci", "--app", "wiki"]).await;
    let theirs = service_token(&stand, &["--name", "other", "--app", "crm"]).await;
    ask_until(&stand, &page, (SERVICE, &ours), 200).await;
    ask_until(&stand, &stand.url("crm", "/x"), (SERVICE, &theirs), 200).await;
    for app in [&wiki, &crm] {
        assert_ne!(app.taken(), "");
    }
    let bare = ours.trim_start_matches("Bearer ");
    let (twice, cookie) = (format!("{ours}, {ours}"), format!("token={bare}"));
    let both_of_them = format!("{ours}, {theirs}");

    let missing = (401, "token_required");
    let mut refused = 0;
    for (app, said, expected) in [
        // In a field that is for something else it is nothing.
        (
            "wiki",
            &[("proxy-authorization", ours.as_str())][..],
            missing,
        ),
        ("wiki", &[("authorization", &ours)], missing),
        (
            "wiki",
            &[("authorization", &ours), ("proxy-authorization", &ours)],
            missing,
        ),
        ("wiki", &[("x-authorization", &ours)], missing),
        ("wiki", &[("appproxy_authorization", &ours)], missing),
        ("wiki", &[("appproxy-authorization-1", &ours)], missing),
        ("wiki", &[("cookie", &cookie)], missing),
        // Two of it are none, whichever of them is good.
        ("wiki", &[(SERVICE, &ours), (SERVICE, &ours)], BAD),
        ("wiki", &[(SERVICE, &ours), (SERVICE, &theirs)], BAD),
        ("wiki", &[(SERVICE, &theirs), (SERVICE, &ours)], BAD),
        ("wiki", &[(SERVICE, &twice)], BAD),
        ("wiki", &[(SERVICE, &both_of_them)], BAD),
        ("wiki", &[(SERVICE, bare)], BAD),
        (
            "wiki",
            &[(SERVICE, "Basic Y2k6eA=="), ("authorization", &ours)],
            BAD,
        ),
        // Another field routes nothing to where a token is good.
        ("wiki", &[(SERVICE, &theirs)], DENIED),
        ("crm", &[(SERVICE, &ours)], DENIED),
        (
            "crm",
            &[(SERVICE, &ours), ("proxy-authorization", &theirs)],
            DENIED,
        ),
        (
            "crm",
            &[(SERVICE, &ours), ("authorization", &theirs)],
            DENIED,
        ),
        (
            "crm",
            &[
                (SERVICE, &ours),
                ("x-forwarded-host", "wiki.localhost"),
                ("appproxy-application", "wiki"),
                ("appproxy-target", "wiki.corp.internal:80"),
            ],
            DENIED,
        ),
    ] {
        let answer = Answer::read(stand.send(get(&stand.url(app, "/x"), said)).await).await;
        assert_eq!(outcome(&answer), expected, "{app} {said:?}");
        assert_eq!(wiki.taken() + &crm.taken(), "", "{said:?}");
        refused += 1;
    }
    assert_eq!(refused, 19);

    // What decided is the gateway's, and the others are what they always are.
    let said = [
        (SERVICE, ours.as_str()),
        ("proxy-authorization", "Basic Ym9iOng="),
        ("authorization", "Basic Y2Fyb2w6eA=="),
    ];
    for client in both(&stand) {
        let answer = Answer::read(client.send(get(&page, &said)).await).await;
        assert_eq!(outcome(&answer), (200, ""));
        let seen = wiki.taken();
        assert_eq!(all(&seen, "authorization"), ["Basic Y2Fyb2w6eA=="]);
        assert_eq!(all(&seen, "proxy-authorization"), [""; 0]);
        assert!(
            fields(&seen).all(|(_, value)| !value.contains(bare)),
            "{seen}"
        );
        assert_eq!(crm.taken(), "");
        let line = stand.access_line(answer.header("x-request-id")).await;
        let person = line["person"].as_str().unwrap();
        assert!(person.starts_with("service token ci ("), "{line}");
    }
    // Nor does the gateway lead anywhere for whoever shows something in `Proxy-Authorization`.
    let request = Request::builder()
        .method("POST")
        .uri(&page)
        .header("proxy-authorization", &ours)
        .body(Full::<bytes::Bytes>::default())
        .unwrap();
    let answer = Answer::read(stand.send(request).await).await;
    assert_eq!(outcome(&answer), missing);
    assert_eq!(wiki.taken(), "");
}

/// What a certificate has that is to be taken for a connector's.
fn like_a_connector(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, id);
    params.subject_alt_names = enrolment::connector_names(id, "hq");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let now = OffsetDateTime::from_unix_timestamp(Clock::system().now().0).unwrap();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::hours(1);
    params
}

#[tokio::test]
async fn a18_no_certificate_makes_another_one_good() {
    let stand = Stand::new().connectors(0).start().await;
    let token = Token::parse(&stand.token("hq").await).unwrap();
    let key = KeyPair::generate().unwrap();
    let good = enrolment::enrol(&stand, &token, &key, CertificateParams::default()).await;
    let ours = enrolment::authority(&stand).await;
    let read = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (leaf, authority) = (read(&good.chain), read(&ours.certificate_pem));
    let shown = |chain: Vec<CertificateDer<'static>>, key: &str| {
        let credentials = Credentials {
            chain,
            key: PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            authorities: vec![authority.clone()],
        };
        connector_tunnel(&credentials).unwrap()
    };

    // Signed by a connector, which is no authority: with its certificate, with all of them, and alone.
    let own = Issuer::from_ca_cert_pem(
        &good.chain,
        KeyPair::from_pem(&key.serialize_pem()).unwrap(),
    );
    let own = own.unwrap();
    let below = KeyPair::generate().unwrap();
    let nested = like_a_connector(&good.id).signed_by(&below, &own).unwrap();
    let nested = read(&nested.pem());
    let below = below.serialize_pem();
    // Signed by the authority, and an authority itself: as a connector's, and above one.
    let issuer = enrolment::issuer(&ours);
    let between = KeyPair::generate().unwrap();
    let mut params = like_a_connector(&good.id);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let as_authority = read(&params.signed_by(&between, &issuer).unwrap().pem());
    let mut cases = vec![
        (
            "below a connector",
            shown(vec![nested.clone(), leaf.clone()], &below),
        ),
        (
            "below a connector, with the authority",
            shown(
                vec![nested.clone(), leaf.clone(), authority.clone()],
                &below,
            ),
        ),
        (
            "below a connector, alone",
            shown(vec![nested.clone()], &below),
        ),
        (
            "below a connector, as if below the authority",
            shown(vec![nested, authority.clone()], &below),
        ),
        (
            "an authority's for a connector's",
            shown(vec![as_authority], &between.serialize_pem()),
        ),
        (
            "the authority's own",
            shown(vec![authority.clone()], ours.key_pem.expose_secret()),
        ),
    ];
    // Somebody else's authority that goes by the name of ours.
    let stranger = KeyPair::generate().unwrap();
    let named = Issuer::from_ca_cert_pem(
        &ours.certificate_pem,
        KeyPair::from_pem(&stranger.serialize_pem()).unwrap(),
    );
    let named = named.unwrap();
    let theirs = KeyPair::generate().unwrap();
    let forged = like_a_connector(&good.id)
        .signed_by(&theirs, &named)
        .unwrap();
    let forged = read(&forged.pem());
    cases.push((
        "another authority's of the same name",
        shown(vec![forged, authority.clone()], &theirs.serialize_pem()),
    ));
    let mut refused = 0;
    for (what, config) in cases {
        let alert = enrolment::tunnel_alert(&stand, config).await;
        assert!(
            alert.starts_with("received fatal alert: "),
            "{what}: {alert}"
        );
        refused += 1;
    }
    assert_eq!(refused, 7);
    assert_eq!(stand.tunnels().0, 0);

    // It is not for something else that they were refused: to its own certificate the gateway talks.
    let config = shown(vec![leaf], &key.serialize_pem());
    let tcp = TcpStream::connect(stand.address()).await.unwrap();
    let name = ServerName::try_from(words::GATEWAY_NAME).unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let mut tls = within("a TLS handshake", tls).await.unwrap();
    let mut preface = [0; 3];
    within("the gateway's word", tls.read_exact(&mut preface))
        .await
        .unwrap();
    assert_eq!(&preface, b"PRI");
}
