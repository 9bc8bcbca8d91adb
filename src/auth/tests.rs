//! What opens, and that nothing else does.

use std::net::Ipv4Addr;
use std::sync::Arc;

use http::Method;

use crate::model::{
    ApplicationLimits, ApplicationName, BackendProtocol, BackendTimeouts, Connectors, ErrorCode,
    ExternalUrl, Front, GroupName, HostHeader, HostPattern, InternalUrl, InternalUrls,
    LinkTranslation, PreAuthentication,
};

use super::*;

fn application(pre_authentication: Vec<PreAuthentication>) -> Arc<Application> {
    Arc::new(Application {
        name: ApplicationName::new("wiki").unwrap(),
        external: ExternalUrl::parse("https://wiki.example.com/").unwrap(),
        internal: InternalUrls::new(vec![
            InternalUrl::parse("http://wiki.corp.local:8888/").unwrap(),
        ])
        .unwrap(),
        connectors: Connectors::new(vec![GroupName::new("hq").unwrap()]).unwrap(),
        guard: crate::model::Guard::new(pre_authentication, crate::model::Access::default()),
        paths: crate::model::GuardedPaths::default(),
        bearer: Arc::default(),
        client_certificates: None,
        mode: crate::model::Mode::Http,
        sign_on: crate::model::SignOn::default(),
        description: None,
        host_header: HostHeader::Internal,
        link_translation: LinkTranslation::default(),
        timeouts: BackendTimeouts::default(),
        affinity: None,
        health_check: None,
        limits: ApplicationLimits::default(),
        front: Front::default(),
        alternates: Vec::new(),
        backend_protocol: BackendProtocol::default(),
        connection_authentication: false,
        proxy_protocol: None,
    })
}

/// Who is known without a look at the request.
fn known(application: &Application) -> Result<Identity, Challenge> {
    let fields = HeaderMap::new();
    let facts = asked(application, &Method::GET, &fields);
    match credentials(&application.guard, &facts)? {
        Credentials::Nothing => Ok(Identity::Anonymous),
        Credentials::Assumed => Ok(Identity::Assumed),
        _ => panic!("it shows nothing"),
    }
}

/// A request for the only application there is, of a client that says nothing of itself.
fn asked<'a>(application: &'a Application, method: &'a Method, fields: &'a HeaderMap) -> Facts<'a> {
    let HostPattern::Exact(host) = &application.external.host else {
        panic!("one host");
    };
    Facts {
        certificate: &ShownCertificate::None,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        method,
        is_websocket: false,
        path: crate::http::canonical("/page", false).unwrap(),
        query: None,
        now: Timestamp(0),
        fields,
        external: &application.external,
        host,
    }
}

/// A request with these fields and this query, for one look at it.
pub(super) fn facts_of<T>(
    fields: &HeaderMap,
    query: Option<&str>,
    look: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    let wiki = application(Vec::new());
    let facts = Facts {
        certificate: &ShownCertificate::None,
        query,
        ..asked(&wiki, &Method::GET, fields)
    };
    look(&facts)
}

#[test]
fn passthrough_lets_anybody_through_to_that_application() {
    let wiki = application(vec![PreAuthentication::Passthrough]);
    let fields = HeaderMap::new();
    let facts = asked(&wiki, &Method::POST, &fields);
    let identity = known(&wiki).unwrap();
    assert!(matches!(identity, Identity::Anonymous));
    let permit = authorise(&identity, &wiki, &facts).unwrap();
    assert!(Arc::ptr_eq(permit.application(), &wiki));
    assert_eq!(permit.rule().to_string(), "passthrough");
}

#[test]
fn whatever_is_not_passthrough_alone_is_denied_by_both_stages() {
    let methods = PreAuthentication::Passthrough;
    let with_session = PreAuthentication::Assumed;
    for odd in [
        vec![],
        vec![methods, methods],
        vec![methods; 3],
        vec![with_session, methods],
    ] {
        let odd = application(odd);
        let fields = HeaderMap::new();
        let facts = asked(&odd, &Method::GET, &fields);
        let challenge = known(&odd).unwrap_err();
        assert_eq!(challenge.code(), ErrorCode::Denied);
        // Even if the first stage had let it pass.
        for identity in [Identity::Anonymous, Identity::Assumed] {
            let denied = authorise(&identity, &odd, &facts).unwrap_err();
            assert_eq!(denied.code(), ErrorCode::Denied);
        }
    }
}

/// One row: what says where the request comes from, and whether it passes as a GET, as a POST and as
/// the handshake of a WebSocket.
type Row = (&'static [(&'static str, &'static str)], [bool; 3]);

const ANY: [bool; 3] = [true; 3];
const READS: [bool; 3] = [true, false, false];

const ORIGINS: [Row; 27] = [
    (&[("origin", "https://wiki.example.com")], ANY),
    (
        &[
            ("origin", "https://wiki.example.com"),
            ("sec-fetch-site", "same-origin"),
        ],
        ANY,
    ),
    // One that says by other means that its own page asks, or the person.
    (&[("sec-fetch-site", "same-origin")], ANY),
    (&[("sec-fetch-site", "none")], ANY),
    (
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        ANY,
    ),
    // What says nothing: browsers of old in a form of any page.
    (&[], READS),
    (&[("referer", "https://evil.example/")], READS),
    (&[("referer", "https://wiki.example.com/")], READS),
    // Siblings, which `SameSite` lets through.
    (&[("origin", "https://shop.example.com")], READS),
    (&[("origin", "https://example.com")], READS),
    (&[("origin", "https://evil.wiki.example.com")], READS),
    (&[("sec-fetch-site", "same-site")], READS),
    (&[("sec-fetch-site", "cross-site")], READS),
    (&[("sec-fetch-site", "")], READS),
    (
        &[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ],
        READS,
    ),
    (
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        READS,
    ),
    (&[("origin", "null"), ("sec-fetch-site", "none")], READS),
    // Nothing but its own, to the octet.
    (&[("origin", "null")], READS),
    (&[("origin", "")], READS),
    (&[("origin", "http://wiki.example.com")], READS),
    (&[("origin", "https://wiki.example.com:8443")], READS),
    (&[("origin", "https://wiki.example.com/")], READS),
    (
        &[("origin", "https://wiki.example.com.evil.example")],
        READS,
    ),
    (&[("origin", "https://wiki.example.comevil.example")], READS),
    (
        &[
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "same-origin"),
        ],
        READS,
    ),
    (
        &[("origin", "https://wiki.example.com https://evil.example")],
        READS,
    ),
    (
        &[
            ("origin", "https://wiki.example.com"),
            ("origin", "https://wiki.example.com"),
        ],
        READS,
    ),
];

#[test]
fn rule_17_with_a_session_only_the_applications_own_pages_change_anything() {
    let wiki = application(vec![PreAuthentication::Assumed]);
    let open = application(vec![PreAuthentication::Passthrough]);
    let (mut passed, mut denied) = (0, 0);
    for (said, expected) in ORIGINS {
        let mut fields = HeaderMap::new();
        for (name, value) in said {
            fields.append(*name, value.parse().unwrap());
        }
        let webdav = Method::from_bytes(b"PROPFIND").unwrap();
        for (method, is_websocket, passes) in [
            (&Method::GET, false, expected[0]),
            (&Method::HEAD, false, expected[0]),
            (&Method::OPTIONS, false, expected[0]),
            (&Method::POST, false, expected[1]),
            (&Method::PUT, false, expected[1]),
            (&Method::DELETE, false, expected[1]),
            (&Method::PATCH, false, expected[1]),
            (&webdav, false, expected[1]),
            (&Method::GET, true, expected[2]),
            (&Method::CONNECT, true, expected[2]),
        ] {
            let judge = |application: &Arc<Application>| {
                let facts = Facts {
                    certificate: &ShownCertificate::None,
                    is_websocket,
                    ..asked(application, method, &fields)
                };
                let identity = known(application).unwrap();
                authorise(&identity, application, &facts).map(|permit| permit.rule().clone())
            };
            match judge(&wiki) {
                Ok(rule) => {
                    assert_eq!(rule, Rule::Assumed);
                    passed += 1;
                    assert!(passes, "{method} {is_websocket} {said:?}");
                }
                Err(why) => {
                    assert_eq!(why.code(), ErrorCode::CrossOrigin);
                    denied += 1;
                    assert!(!passes, "{method} {is_websocket} {said:?}: {why}");
                }
            }
            // Without a session there is nothing that a foreign page could use.
            assert_eq!(judge(&open), Ok(Rule::Passthrough));
        }
    }
    assert_eq!((passed, denied), (5 * 10 + 22 * 3, 22 * 7));
}

#[test]
fn rule_17_the_log_has_the_foreign_origin_cut_and_harmless() {
    let wiki = application(vec![PreAuthentication::Assumed]);
    for (origin, shown) in [
        (
            "https://evil.example".to_owned(),
            "\"https://evil.example\"".to_owned(),
        ),
        (
            format!("https://{}", "a".repeat(9000)),
            format!("\"https://{}\"", "a".repeat(192)),
        ),
        ("a\tb".to_owned(), "\"a\\tb\"".to_owned()),
    ] {
        let mut fields = HeaderMap::new();
        fields.insert("origin", origin.parse().unwrap());
        let facts = asked(&wiki, &Method::POST, &fields);
        let why = authorise(&Identity::Assumed, &wiki, &facts)
            .unwrap_err()
            .to_string();
        assert!(why.contains(&shown), "{why}");
    }
}
