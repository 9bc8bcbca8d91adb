//! Which application a request reaches: certificates, hosts, paths, ports, and raw requests that no
//! client would send.

use std::sync::Arc;

use http::{Request, Version};
use http_body_util::Empty;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{
    Answer, Authority, Backend, Connection, Recorder, Reply, Running, Stand, exchange, replies,
    within,
};

/// What the application saw of a request, by the line it began with.
fn target(seen: &str) -> &str {
    seen.lines()
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap_or_default()
}

/// The one field of this name that the application saw.
fn field<'a>(seen: &'a str, name: &str) -> &'a str {
    let mut found = seen.lines().filter_map(|line| {
        let (n, value) = line.split_once(": ")?;
        n.eq_ignore_ascii_case(name).then_some(value)
    });
    let first = found.next().unwrap_or_default();
    assert_eq!(found.next(), None, "{name} twice in {seen}");
    first
}

/// Sends a raw request over TLS and gives the answers until the gateway closes.
async fn ask(stand: &Running, raw: &str) -> Vec<Reply> {
    let stream = stand.client().raw("wiki.localhost").await;
    replies(&exchange(stream, raw.as_bytes()).await)
}

/// Sends a raw request over plain HTTP.
async fn ask_plainly(stand: &Running, raw: &str) -> Vec<Reply> {
    let address = stand.plain_address();
    let stream = within("a connection", TcpStream::connect(address))
        .await
        .unwrap();
    replies(&exchange(stream, raw.as_bytes()).await)
}

#[tokio::test]
async fn certificates_are_chosen_by_server_name_and_both_versions_of_tls_serve() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let mut listed = Vec::new();
    let mut leaves = Vec::new();
    for (name, names) in [
        ("first", &["first.example.com"][..]),
        ("wildcard", &["*.example.com"]),
        ("exact", &["wiki.example.com"]),
    ] {
        let leaf = authority.issue(names);
        let (chain, key) = (
            folder.path().join(format!("{name}.pem")),
            folder.path().join(format!("{name}.key")),
        );
        std::fs::write(&chain, &leaf.chain).unwrap();
        std::fs::write(&key, &leaf.key).unwrap();
        listed.push(json!({ "chain": chain, "key": key }));
        leaves.push((name, leaf));
    }
    let backend = Backend::text("hello").await;
    let stand = Stand::new()
        .gateway_setting("certificates", json!(listed))
        .application_with(
            "wiki",
            &backend,
            json!({ "external_url": "https://wiki.example.com:{https}/" }),
        )
        .connectors(0)
        .start()
        .await;
    let mut seen = 0;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (sni, expected) in [
            (Some("wiki.example.com"), "exact"),
            (Some("WIKI.example.com"), "exact"),
            (Some("blog.example.com"), "wildcard"),
            (Some("first.example.com"), "first"),
            (Some("a.b.example.com"), "first"),
            (Some("example.com"), "first"),
            (Some("unknown.test"), "first"),
            (None, "first"),
        ] {
            let accepted = Arc::new(AnyCertificate);
            let mut config = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[version])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(accepted)
                .with_no_client_auth();
            config.enable_sni = sni.is_some();
            let name = ServerName::try_from(sni.unwrap_or("nobody.test").to_owned()).unwrap();
            let stream = stand.client().tcp().await;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
            let stream = within("a TLS handshake", stream).await.unwrap();
            let (_, connection) = stream.get_ref();
            assert_eq!(connection.protocol_version(), Some(version.version));
            let shown = connection.peer_certificates().unwrap()[0].clone();
            let (shown, _) = leaves
                .iter()
                .find(|(_, leaf)| leaf.chain.contains(&first_line(&shown)))
                .expect("one of ours");
            assert_eq!(*shown, expected, "{sni:?} with {:?}", version.version);
            // Without ALPN it is HTTP/1.1.
            let raw = format!(
                "GET / HTTP/1.1\r\nHost: wiki.example.com:{}\r\nConnection: close\r\n\r\n",
                stand.address().port()
            );
            let answer = replies(&exchange(stream, raw.as_bytes()).await);
            // It is routed; that no connector is there is the application's misfortune.
            assert_eq!(answer[0].status, 503, "{sni:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 16);
}

/// A line of the PEM form of a certificate from its middle, where no two are alike.
fn first_line(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    text[128..192].to_owned()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Takes every certificate: which one it was is what the test asks.
#[derive(Debug, Default)]
struct AnyCertificate;

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[tokio::test]
async fn alpn_chooses_the_version_of_http() {
    let backend = Backend::text("hello").await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let answer = stand.get("https://wiki.localhost/").await;
    assert_eq!((answer.version, answer.text()), (Version::HTTP_11, "hello"));
    let answer = stand.client().http2().get("https://wiki.localhost/").await;
    assert_eq!((answer.version, answer.text()), (Version::HTTP_2, "hello"));
    // Both offered: HTTP/2 it is. A protocol that nobody speaks: no connection.
    for (offered, chosen) in [
        (&["http/1.1", "h2"][..], Some(Some(&b"h2"[..]))),
        (&[], Some(None)),
        (&["spdy/3"], None),
    ] {
        let connector = TlsConnector::from(stand.authority().client_config(offered));
        let name = ServerName::try_from("wiki.localhost").unwrap();
        let stream = connector.connect(name, stand.client().tcp().await);
        let stream = within("a TLS handshake", stream).await.ok();
        let agreed = stream.as_ref().map(|s| s.get_ref().1.alpn_protocol());
        assert_eq!(agreed, chosen, "{offered:?}");
        if let Some(stream) = stream {
            assert_eq!(
                stream.get_ref().1.protocol_version(),
                Some(ProtocolVersion::TLSv1_3)
            );
        }
    }
}

pub(crate) async fn plain_http_leads_to_https_and_nowhere_else() {
    let recorder = Recorder::start().await;
    let stand = Stand::new()
        .redirects()
        .application("wiki", &recorder.backend)
        .application_with(
            "far",
            &recorder.backend,
            json!({ "external_url": "https://far.localhost:8443/" }),
        )
        .application_with(
            "usual",
            &recorder.backend,
            json!({ "external_url": "https://usual.localhost/deep/" }),
        )
        .application_with(
            "any",
            &recorder.backend,
            json!({
                "external_url": "https://*.any.localhost:{https}/",
                "internal_url": "http://any.corp.internal:{backend}/",
            }),
        )
        .application_with(
            "plain",
            &recorder.backend,
            json!({ "external_url": "http://plain.localhost:{http}/" }),
        )
        .start()
        .await;
    let https = stand.address().port();
    let http = stand.plain_address().port();
    let wiki = format!("https://wiki.localhost:{https}");
    let cases = [
        (
            format!("wiki.localhost:{http}"),
            "/",
            Ok(format!("{wiki}/")),
        ),
        (
            "wiki.localhost".to_owned(),
            "/a%2Fb/../c?x=1&y=%20",
            Ok(format!("{wiki}/a%2Fb/../c?x=1&y=%20")),
        ),
        (
            "WIKI.localhost.:1".to_owned(),
            "/a",
            Ok(format!("{wiki}/a")),
        ),
        (
            "far.localhost".to_owned(),
            "/a?b",
            Ok("https://far.localhost:8443/a?b".to_owned()),
        ),
        (
            "usual.localhost".to_owned(),
            "/deep/x",
            Ok("https://usual.localhost/deep/x".to_owned()),
        ),
        (
            "usual.localhost".to_owned(),
            "/deep",
            Ok("https://usual.localhost/deep".to_owned()),
        ),
        ("usual.localhost".to_owned(), "/deeper", Err(404)),
        (
            "a.any.localhost".to_owned(),
            "/x",
            Ok(format!("https://a.any.localhost:{https}/x")),
        ),
        ("a.b.any.localhost".to_owned(), "/x", Err(404)),
        ("unknown.localhost".to_owned(), "/", Err(404)),
        (
            "wiki.localhost".to_owned(),
            "//evil.example/x",
            Ok(format!("{wiki}//evil.example/x")),
        ),
        (
            "wiki.localhost".to_owned(),
            "/\\evil.example",
            Ok(format!("{wiki}/\\evil.example")),
        ),
        ("wiki.localhost@evil.example".to_owned(), "/", Err(400)),
        ("evil.example".to_owned(), "/", Err(404)),
        ("wiki.localhost.evil.example".to_owned(), "/", Err(404)),
        ("wiki.localhost/.evil.example".to_owned(), "/", Err(400)),
        // The http:// application owns its name.
        (format!("plain.localhost:{http}"), "/x", Err(200)),
    ];
    let count = cases.len();
    for (host, path, expected) in cases {
        for method in ["GET", "POST"] {
            let raw = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let answers = ask_plainly(&stand, &raw).await;
            let name = format!("{method} {host}{path}: {answers:?}");
            assert_eq!(answers.len(), 1, "{name}");
            match &expected {
                Ok(location) => {
                    assert_eq!(answers[0].status, 308, "{name}");
                    assert_eq!(answers[0].field("location"), location, "{name}");
                    assert_eq!(answers[0].field("cache-control"), "no-store", "{name}");
                }
                Err(status) => {
                    assert_eq!(answers[0].status, *status, "{name}");
                    assert_eq!(answers[0].field("location"), "", "{name}");
                }
            }
        }
    }
    assert_eq!(count, 17);
    let seen = recorder.taken();
    assert_eq!(
        seen.matches("HTTP/1.1\r\n").count(),
        2,
        "the http:// application alone: {seen}"
    );
    assert!(seen.contains("X-Forwarded-Proto: http\r\n"), "{seen}");
    // An https:// name is not served in plain, and an http:// one not over TLS.
    assert_eq!(
        stand
            .get(&format!("https://plain.localhost:{http}/"))
            .await
            .status,
        404
    );
}

async fn paths() -> (Recorder, Running) {
    let recorder = Recorder::start().await;
    let at = |external: &str, internal: &str| {
        json!({
            "external_url": external.replace("PORT", "{https}"),
            "internal_url": format!("http://{internal}"),
        })
    };
    let backend = &recorder.backend;
    let port = backend.address().port();
    let stand = Stand::new()
        .application("wiki", backend)
        .application("free", backend)
        .application_with(
            "port",
            backend,
            at(
                "https://wiki.localhost:4443/",
                "port.corp.internal:{backend}/port/",
            ),
        )
        .application_with(
            "admin",
            backend,
            at(
                "https://deep.localhost:PORT/admin/",
                "admin.corp.internal:{backend}/",
            ),
        )
        .application_with(
            "deep",
            backend,
            at(
                "https://deep.localhost:PORT/",
                "deep.corp.internal:{backend}/base/",
            ),
        )
        .application_with(
            "deeper",
            backend,
            at(
                "https://deep.localhost:PORT/admin/x/",
                "deeper.corp.internal:{backend}/y/",
            ),
        )
        .application_with(
            "any",
            backend,
            at(
                "https://*.apps.localhost:PORT/",
                "*.corp.internal:{backend}/",
            ),
        )
        .application_with(
            "own",
            backend,
            at(
                "https://own.apps.localhost:PORT/only/",
                "own.corp.internal:{backend}/",
            ),
        )
        .application_with(
            "idn",
            backend,
            at(
                "https://bücher.localhost:PORT/",
                "idn.corp.internal:{backend}/",
            ),
        )
        .connector_setting(
            "dns",
            json!({ "hosts": {
            "gateway.localhost": ["127.0.0.1"],
            "wiki.corp.internal": ["127.0.0.1"], "free.corp.internal": ["127.0.0.1"], "port.corp.internal": ["127.0.0.1"],
            "admin.corp.internal": ["127.0.0.1"], "deep.corp.internal": ["127.0.0.1"],
            "deeper.corp.internal": ["127.0.0.1"], "own.corp.internal": ["127.0.0.1"],
            "idn.corp.internal": ["127.0.0.1"], "red.corp.internal": ["127.0.0.1"],
        } }),
        )
        .connector_setting(
            "allow",
            json!([
                format!("*.corp.internal:{port}"),
                format!("127.0.0.1:{port}")
            ]),
        )
        .start()
        .await;
    (recorder, stand)
}

/// What came of a request: the internal host and target that the application saw, or our status and
/// where it leads.
async fn outcome(recorder: &Recorder, stand: &Running, raw: &str) -> String {
    let answers = ask(stand, raw).await;
    let seen = recorder.taken();
    assert_eq!(answers.len(), 1, "{raw}: {answers:?}");
    match (answers[0].status, answers[0].field("location")) {
        (200, _) => {
            let host = field(&seen, "host").split('.').next().unwrap_or_default();
            format!("{host} {}", target(&seen))
        }
        (status, location) => {
            assert_eq!(seen, "", "{raw} reached the application");
            format!("{status} {location}").trim_end().to_owned()
        }
    }
}

#[tokio::test]
async fn hosts_ports_and_paths_find_their_application() {
    let (recorder, stand) = paths().await;
    let cases = [
        ("wiki", "wiki.localhost:HTTPS", "/", "wiki /"),
        (
            "query kept",
            "wiki.localhost:HTTPS",
            "/a?b=c%20d&e",
            "wiki /a?b=c%20d&e",
        ),
        ("an empty query", "wiki.localhost:HTTPS", "/a?", "wiki /a?"),
        (
            "any external port",
            "wiki.localhost:4443",
            "/x",
            "port /port/x",
        ),
        ("no port is 443", "wiki.localhost", "/", "404"),
        ("case", "WiKi.LOCALHOST:HTTPS", "/", "wiki /"),
        ("trailing dot", "wiki.localhost.:HTTPS", "/", "wiki /"),
        ("two dots", "wiki.localhost..:HTTPS", "/", "400"),
        ("unknown", "unknown.localhost:HTTPS", "/", "404"),
        ("an address", "127.0.0.1:HTTPS", "/", "404"),
        ("an odd address", "0x7f.1:HTTPS", "/", "400"),
        ("port 0", "wiki.localhost:0", "/", "400"),
        ("port too large", "wiki.localhost:65536", "/", "400"),
        ("no digits", "wiki.localhost:https", "/", "400"),
        ("empty port", "wiki.localhost:", "/", "400"),
        ("userinfo", "me@wiki.localhost:HTTPS", "/", "400"),
        ("empty host", "", "/", "400"),
        (
            "IDN as ASCII",
            "xn--bcher-kva.localhost:HTTPS",
            "/",
            "idn /",
        ),
        (
            "IDN in capitals",
            "XN--BCHER-KVA.localhost:HTTPS",
            "/",
            "idn /",
        ),
        ("IDN raw", "bücher.localhost:HTTPS", "/", "400"),
        ("wildcard", "red.apps.localhost:HTTPS", "/x", "red /x"),
        ("wildcard, case", "RED.apps.localhost:HTTPS", "/x", "red /x"),
        (
            "wildcard, two labels",
            "a.red.apps.localhost:HTTPS",
            "/",
            "404",
        ),
        ("wildcard, no label", "apps.localhost:HTTPS", "/", "404"),
        ("wildcard, not LDH", "r_d.apps.localhost:HTTPS", "/", "404"),
        (
            "exact before wildcard",
            "own.apps.localhost:HTTPS",
            "/only/x",
            "own /x",
        ),
        (
            "exact owns its name",
            "own.apps.localhost:HTTPS",
            "/",
            "404",
        ),
        ("internal path", "deep.localhost:HTTPS", "/", "deep /base/"),
        (
            "octet for octet",
            "deep.localhost:HTTPS",
            "/a%20b/c;d=e//f?g=/../h",
            "deep /base/a%20b/c;d=e//f?g=/../h",
        ),
        (
            "longer path",
            "deep.localhost:HTTPS",
            "/admin/a",
            "admin /a",
        ),
        (
            "longest path",
            "deep.localhost:HTTPS",
            "/admin/x/a",
            "deeper /y/a",
        ),
        (
            "segment boundary",
            "deep.localhost:HTTPS",
            "/admin/xy",
            "admin /xy",
        ),
        (
            "segment boundary",
            "deep.localhost:HTTPS",
            "/administrator",
            "deep /base/administrator",
        ),
        ("bare path", "deep.localhost:HTTPS", "/admin", "308 /admin/"),
        (
            "bare path, query",
            "deep.localhost:HTTPS",
            "/admin?a=b",
            "308 /admin/?a=b",
        ),
        (
            "bare deeper path",
            "deep.localhost:HTTPS",
            "/admin/x",
            "308 /admin/x/",
        ),
        (
            "bare path of a lone one",
            "own.apps.localhost:HTTPS",
            "/only",
            "308 /only/",
        ),
        (
            "paths have case",
            "deep.localhost:HTTPS",
            "/Admin/a",
            "deep /base/Admin/a",
        ),
    ];
    let count = cases.len();
    let https = stand.address().port().to_string();
    for (name, host, path, expected) in cases {
        let host = host.replace("HTTPS", &https);
        let raw = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(outcome(&recorder, &stand, &raw).await, expected, "{name}");
    }
    assert_eq!(count, 38);
}

pub(crate) async fn a_request_names_exactly_one_host() {
    let (recorder, stand) = paths().await;
    let cases = [
        ("no host", "GET / HTTP/1.1\r\n", "400"),
        (
            "two hosts",
            "GET / HTTP/1.1\r\nHost: H\r\nHost: H\r\n",
            "400",
        ),
        (
            "two hosts, one elsewhere",
            "GET / HTTP/1.1\r\nHost: H\r\nhost: deep.localhost:HTTPS\r\n",
            "400",
        ),
        ("two in one", "GET / HTTP/1.1\r\nHost: H, H\r\n", "400"),
        (
            "absolute form",
            "GET https://H/a?b HTTP/1.1\r\nHost: H\r\n",
            "wiki /a?b",
        ),
        (
            "absolute form, case",
            "GET https://WIKI.localhost.:HTTPS/ HTTP/1.1\r\nHost: H\r\n",
            "wiki /",
        ),
        (
            "absolute form, other host",
            "GET https://deep.localhost:HTTPS/ HTTP/1.1\r\nHost: H\r\n",
            "400",
        ),
        (
            "absolute form, other port",
            "GET https://wiki.localhost:4443/ HTTP/1.1\r\nHost: H\r\n",
            "400",
        ),
        (
            "absolute form, userinfo",
            "GET https://me@H/ HTTP/1.1\r\nHost: H\r\n",
            "400",
        ),
        ("absolute form alone", "GET https://H/ HTTP/1.1\r\n", "400"),
        (
            "HTTP/1.0 with host",
            "GET /a HTTP/1.0\r\nHost: H\r\n",
            "wiki /a",
        ),
        ("HTTP/1.0 without host", "GET /a HTTP/1.0\r\n", "400"),
    ];
    let count = cases.len();
    let port = stand.address().port();
    for (name, head, expected) in cases {
        let head = head.replace("HTTPS", &port.to_string());
        let head = head.replace(" H\r", &format!(" wiki.localhost:{port}\r"));
        let head = head.replace("//H/", &format!("//wiki.localhost:{port}/"));
        let head = head.replace("me@H/", &format!("me@wiki.localhost:{port}/"));
        let head = head.replace(
            " H, H\r",
            &format!(" wiki.localhost:{port}, wiki.localhost:{port}\r"),
        );
        let raw = format!("{head}Connection: close\r\n\r\n");
        assert_eq!(
            outcome(&recorder, &stand, &raw).await,
            expected,
            "{name}: {raw}"
        );
    }
    assert_eq!(count, 12);

    // HTTP/2: `:authority` and `Host` have to agree too.
    let client = stand.client().http2();
    let mut seen = 0;
    for (host, status) in [("wiki.localhost:PORT", 200), ("deep.localhost:PORT", 400)] {
        let mut connection = client.connect("wiki.localhost").await;
        let request = Request::get(stand.url("wiki", "/"))
            .header("host", host.replace("PORT", &port.to_string()))
            .body(Empty::new())
            .unwrap();
        assert!(matches!(connection, Connection::Http2(_)));
        let answer = Answer::read(connection.send(request).await.unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{host}");
        seen += 1;
    }
    assert_eq!(seen, 2);
}

pub(crate) async fn ambiguous_paths_are_refused_where_the_path_decides_and_passed_elsewhere() {
    let (recorder, stand) = paths().await;
    let port = stand.address().port();
    let spellings = [
        "/a/../b",
        "/..",
        "/a/..",
        "/./a",
        "/a/.",
        "/%2e%2e/a",
        "/%2E./a",
        "/.%2e/a",
        "/a/%2e/b",
        "/..;/a",
        "/..;x=y/a",
        "/a/.;/b",
        "/%2e%2e;/a",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a%00b",
        "/a%0ab",
        "/%252e%252e/a",
        "/a%252fb",
        "/a%255cb",
        "/a%2500b",
        "/%25252e%25252e/a",
        "/a%c0%afb",
        "/%c0%ae%c0%ae/a",
        "/a%zzb",
        "/a%",
        "/%25%32%65%25%32%65/a",
    ];
    for spelling in spellings {
        for (host, expected) in [
            ("deep", "400".to_owned()),
            ("free", format!("free {spelling}")),
        ] {
            let raw = format!(
                "GET {spelling}?q HTTP/1.1\r\nHost: {host}.localhost:{port}\r\nConnection: close\r\n\r\n"
            );
            let expected = if host == "free" {
                format!("{expected}?q")
            } else {
                expected
            };
            assert_eq!(
                outcome(&recorder, &stand, &raw).await,
                expected,
                "{host}{spelling}"
            );
        }
    }
    assert_eq!(spellings.len(), 29);
}
