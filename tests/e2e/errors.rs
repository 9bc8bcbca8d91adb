//! Every way a request can end without an application's answer: the closed list, each code by a
//! fault that is really there, and all that a visitor and the log are told of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use appproxy::model::{ErrorCode, Side};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::mpsc;

use crate::harness::{
    Answer, Authority, Backend, Client, Running, Stand, body, exchange, replies, within, words,
};

/// What proves a code.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// A case of `every_fault_of_the_way_has_its_own_code`.
    Case,
    /// A test of its own, which needs a stand of its own.
    OwnTest,
    /// Nothing in this version can produce it, or no test here shows it yet, for this reason.
    NotYet(&'static str),
}

/// The whole closed list: a new code does not compile until somebody says how it is proved.
fn proof(code: ErrorCode) -> Proof {
    use ErrorCode as E;
    match code {
        E::BadRequest
        | E::NoRoute
        | E::TooLarge
        | E::NoConnector
        | E::TargetRefused
        | E::BackendDns
        | E::BackendRefused
        | E::BackendTlsName
        | E::BackendTlsTrust
        | E::BackendBadResponse
        | E::BackendConnectTimeout
        | E::BackendFirstByteTimeout => Proof::Case,
        // An answer that stops has begun: the log alone says why.
        E::TunnelLost
        | E::TunnelBusy
        | E::BackendIdleTimeout
        | E::Maintenance
        | E::RequestTimeout
        | E::Denied
        | E::SignInRequired
        | E::TokenRequired
        | E::CertificateRequired
        | E::Misdirected
        | E::CrossOrigin
        | E::StoreUnavailable
        | E::BodyTooLarge
        | E::ProviderUnavailable
        | E::Throttled => Proof::OwnTest,
        E::SignInFailed => {
            Proof::NotYet("a debt: it can happen, and only tests of the library name the code")
        }
        E::Internal => Proof::NotYet("it would be a fault of ours, and none is known"),
    }
}

/// A request that must fail, and how.
struct Case {
    name: &'static str,
    code: ErrorCode,
    status: u16,
    url: &'static str,
    fields: HeaderMap,
    /// Part of what the log says and the visitor does not see.
    detail: &'static str,
    routed: Option<&'static str>,
    forwarded: bool,
}

fn case(name: &'static str, code: ErrorCode, status: u16, url: &'static str) -> Case {
    Case {
        name,
        code,
        status,
        url,
        fields: HeaderMap::new(),
        detail: "",
        routed: None,
        forwarded: false,
    }
}

impl Case {
    fn with(mut self, fields: HeaderMap) -> Self {
        self.fields = fields;
        self
    }

    fn says(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }

    fn of(mut self, application: &'static str) -> Self {
        self.routed = Some(application);
        self
    }

    /// It fails at the connector or behind it.
    fn behind(mut self, application: &'static str) -> Self {
        self.forwarded = true;
        self.of(application)
    }

    fn request(&self, accept: &'static str) -> Request<Empty<bytes::Bytes>> {
        let mut request = Request::get(self.url).body(Empty::new()).unwrap();
        *request.headers_mut() = self.fields.clone();
        let accept = HeaderValue::from_static(accept);
        request.headers_mut().insert("accept", accept);
        request
    }
}

/// More than 64 KiB of fields as the gateway counts them, less than what ends the parsing.
fn large_fields() -> HeaderMap {
    let mut fields = HeaderMap::new();
    for _ in 0..66 {
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(vec![b'x'; 1000])).unwrap();
        fields.append("x-big", value);
    }
    fields
}

fn many_fields(count: usize) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for _ in 0..count {
        fields.append("x-many", HeaderValue::from_static("1"));
    }
    fields
}

/// A name server that knows no name at all.
async fn ignorant_name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut message = [0; 512];
        while let Ok((n, peer)) = socket.recv_from(&mut message).await {
            // A response, recursion available, no such name (RFC 1035 section 4.1.1); only the
            // question goes back.
            let end = 12 + message[12..n].iter().position(|&b| b == 0).unwrap_or(0) + 5;
            let mut answer = message[..end.min(n)].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x83]);
            answer[6..12].fill(0);
            let _ = socket.send_to(&answer, peer).await;
        }
    });
    address
}

/// A listener whose queue is full: whoever connects waits.
struct Full {
    listener: TcpListener,
    _waiting: Vec<tokio::net::TcpStream>,
}

impl Full {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        // The first that is not taken says that the queue is full.
        while let Ok(stream) = tokio::time::timeout(
            std::time::Duration::from_millis(300),
            tokio::net::TcpStream::connect(address),
        )
        .await
        {
            waiting.push(stream.unwrap());
            assert!(waiting.len() < 64, "the queue is never full");
        }
        Self {
            listener,
            _waiting: waiting,
        }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }
}

async fn saying(octets: &'static [u8]) -> Backend {
    Backend::raw(move |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(octets).await;
    })
    .await
}

async fn silent() -> Backend {
    Backend::raw(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await
}

/// Everything that can be wrong behind the gateway, each as an application.
struct Faults {
    stand: Running,
    _backends: Vec<Backend>,
    _full: Full,
    _trusted: tempfile::TempDir,
}

impl Faults {
    async fn start() -> Self {
        let trusted = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let roots = trusted.path().join("roots.pem");
        std::fs::write(&roots, authority.pem()).unwrap();
        let hello = |_| async { Response::new(body("hello")) };
        let tls = authority.server_config(&["other.corp.internal"], &["http/1.1"]);
        let other_name = Backend::tls(tls, hello).await;
        let tls = Authority::new().server_config(&["stranger.corp.internal"], &["http/1.1"]);
        let stranger = Backend::tls(tls, hello).await;
        let plain = Backend::text("hello").await;
        let refusing = Backend::refusing().await;
        let (silent, full) = (silent().await, Full::start().await);
        let huge = Backend::answering(|_| async {
            let mut response = Response::new(body(""));
            *response.headers_mut() = large_fields();
            response
        })
        .await;
        let bad = [
            ("garbage", saying(b"SSH-2.0-OpenSSH_9.6\r\n").await),
            ("mute", saying(b"").await),
            (
                "two-lengths",
                saying(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")
                    .await,
            ),
            ("huge", huge),
        ];

        let names = [
            "plain",
            "base",
            "forbidden",
            "stopped",
            "other-name",
            "stranger",
            "not-tls",
            "late",
            "full",
            "mute-tls",
            "garbage",
            "mute",
            "two-lengths",
            "huge",
        ];
        let mut hosts: serde_json::Map<String, Value> = names
            .iter()
            .map(|name| (format!("{name}.corp.internal"), json!(["127.0.0.1"])))
            .collect();
        hosts.insert("gateway.localhost".to_owned(), json!(["127.0.0.1"]));
        let dns = json!({ "servers": [ignorant_name_server().await.to_string()], "hosts": hosts });
        // One limit each: under the others a busy machine would be late.
        let quick = |limit: &str| json!({ "timeouts": { limit: "300ms" } });
        let full_url = format!("http://full.corp.internal:{}/", full.port());
        let mut stand = Stand::new()
            .environment("SSL_CERT_FILE", roots.to_str().unwrap())
            .environment("APPPROXY_LOG", "info,appproxy::gateway=debug")
            .connector_setting("dns", dns)
            .application("plain", &plain)
            .application_with(
                "base",
                &plain,
                json!({ "internal_url": "http://base.corp.internal:{backend}/base/" }),
            )
            .application_with(
                "lonely",
                &plain,
                json!({ "connector_groups": ["elsewhere"] }),
            )
            .application_with(
                "forbidden",
                &plain,
                json!({ "internal_url": "http://forbidden.corp.internal:9/" }),
            )
            .application("nowhere", &plain)
            .application("stopped", &refusing)
            .tls_application("other-name", &other_name, Value::Null)
            .tls_application("stranger", &stranger, Value::Null)
            .tls_application("not-tls", &plain, Value::Null)
            .application_with("late", &silent, quick("first_byte"))
            .tls_application("mute-tls", &silent, quick("connect"))
            .application_with(
                "full",
                &silent,
                json!({ "timeouts": quick("connect")["timeouts"], "internal_url": full_url }),
            );
        for (name, backend) in &bad {
            stand = stand.application(name, backend);
        }
        // The port of the full queue is no application's.
        let ports: Vec<u16> = [&plain, &refusing, &other_name, &stranger, &silent]
            .into_iter()
            .chain(bad.iter().map(|(_, backend)| backend))
            .map(|backend| backend.address().port())
            .chain([full.port()])
            .collect();
        let allow: Vec<String> = ports
            .iter()
            .flat_map(|port| {
                [
                    format!("*.corp.internal:{port}"),
                    format!("127.0.0.1:{port}"),
                ]
            })
            .collect();
        let stand = stand.connector_setting("allow", json!(allow)).start().await;
        let mut backends = vec![plain, refusing, other_name, stranger, silent];
        backends.extend(bad.into_iter().map(|(_, backend)| backend));
        Self {
            stand,
            _backends: backends,
            _full: full,
            _trusted: trusted,
        }
    }
}

fn cases() -> Vec<Case> {
    use ErrorCode as E;
    vec![
        case(
            "dot segment",
            E::BadRequest,
            400,
            "https://base.localhost/a/../b",
        )
        .says("dot segment"),
        case(
            "unknown host",
            E::NoRoute,
            404,
            "https://unknown.apps.localhost/",
        )
        .says("no application is published there"),
        case(
            "unknown port",
            E::NoRoute,
            404,
            "https://plain.localhost:1/",
        ),
        case("large head", E::TooLarge, 431, "https://plain.localhost/")
            .with(large_fields())
            .says("at most 65536 are taken"),
        case(
            "no connector",
            E::NoConnector,
            503,
            "https://lonely.localhost/",
        )
        .says("elsewhere")
        .of("lonely"),
        case(
            "not allowed",
            E::TargetRefused,
            502,
            "https://forbidden.localhost/",
        )
        .says("add to connector.yaml: allow: [\"forbidden.corp.internal:9\"]")
        .behind("forbidden"),
        case("no name", E::BackendDns, 502, "https://nowhere.localhost/")
            .says("nowhere.corp.internal")
            .behind("nowhere"),
        case(
            "refused",
            E::BackendRefused,
            502,
            "https://stopped.localhost/",
        )
        .says("stopped.corp.internal")
        .behind("stopped"),
        case(
            "other name",
            E::BackendTlsName,
            502,
            "https://other-name.localhost/",
        )
        .says("other.corp.internal")
        .behind("other-name"),
        case(
            "strange authority",
            E::BackendTlsTrust,
            502,
            "https://stranger.localhost/",
        )
        .says("was signed by another authority of that name than is trusted here")
        .behind("stranger"),
        case(
            "plain HTTP",
            E::BackendTlsTrust,
            502,
            "https://not-tls.localhost/",
        )
        .says("does it speak plain HTTP on this port?")
        .behind("not-tls"),
        case(
            "no HTTP",
            E::BackendBadResponse,
            502,
            "https://garbage.localhost/",
        )
        .says("the application's answer cannot be used")
        .behind("garbage"),
        case(
            "no answer",
            E::BackendBadResponse,
            502,
            "https://mute.localhost/",
        )
        .says("closed the connection without an answer")
        .behind("mute"),
        case(
            "two lengths",
            E::BackendBadResponse,
            502,
            "https://two-lengths.localhost/",
        )
        .says("the application's answer cannot be used")
        .behind("two-lengths"),
        case(
            "large answer head",
            E::BackendBadResponse,
            502,
            "https://huge.localhost/",
        )
        .behind("huge"),
        case(
            "full queue",
            E::BackendConnectTimeout,
            504,
            "https://full.localhost/",
        )
        .says("full.corp.internal")
        .behind("full"),
        case(
            "silent in TLS",
            E::BackendConnectTimeout,
            504,
            "https://mute-tls.localhost/",
        )
        .says("did not finish the TLS handshake in time")
        .behind("mute-tls"),
        case(
            "silent",
            E::BackendFirstByteTimeout,
            504,
            "https://late.localhost/",
        )
        .says("did not begin its answer within 300ms")
        .behind("late"),
    ]
}

#[tokio::test]
async fn every_fault_of_the_way_has_its_own_code() {
    let faults = Faults::start().await;
    let stand = &faults.stand;
    let (mut answered, mut codes) = (0, BTreeSet::new());
    for case in cases() {
        codes.insert(case.code.as_str());
        for client in [stand.client().clone(), stand.client().http2()] {
            for accept in ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8"] {
                let response = client.send(case.request(accept)).await;
                let answer = Answer::read(response).await;
                is_told(stand, &case, &answer, accept != "*/*").await;
                answered += 1;
            }
        }
    }
    assert_eq!(answered, 18 * 4);
    let promised: BTreeSet<_> = ErrorCode::ALL
        .iter()
        .filter(|code| proof(**code) == Proof::Case)
        .map(|code| code.as_str())
        .collect();
    assert_eq!(codes, promised);
    // Whoever faults, the way itself is whole.
    assert_eq!(stand.get("https://plain.localhost/").await.text(), "hello");
}

/// What a visitor and the log must be told of a failed request.
async fn is_told(stand: &Running, case: &Case, answer: &Answer, page: bool) {
    let name = format!("{} over {:?}", case.name, answer.version);
    let code = case.code.as_str();
    assert_eq!(answer.status.as_u16(), case.status, "{name}: {answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{name}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{name}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{name}");
    let marked = format!("gateway;error={code}");
    assert_eq!(answer.header("appproxy-answer"), marked, "{name}");
    let policy = answer.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none';"),
        "{name}: {policy}"
    );
    assert!(policy.ends_with("frame-ancestors 'none'"), "{name}");
    assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
    let id = answer.header("x-request-id");
    assert!(
        id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{name}: {id}"
    );
    if page {
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        let text = answer.text();
        assert!(
            text.contains(&format!("<code class=\"id\">{id}</code>")),
            "{name}: {text}"
        );
        assert!(
            text.contains(&format!("{} <code>{code}</code>", case.status)),
            "{text}"
        );
    } else {
        assert_eq!(answer.header("content-type"), "application/json");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{name}");
        assert_eq!(error["status"], case.status, "{name}");
        assert_eq!(error["side"], case.code.side().as_str(), "{name}");
        assert_eq!(error["request_id"], id, "{name}");
        assert_eq!(error.as_object().unwrap().len(), 5, "{name}: {error}");
    }

    // The log has under the same reference what the visitor is not shown.
    let access = stand.access_line(id).await;
    assert_eq!(access["error"], code, "{name}");
    assert_eq!(access["status"], case.status, "{name}");
    assert_eq!(access["application"].as_str(), case.routed, "{name}");
    let connector = access["connector"].clone();
    assert_eq!(connector.is_string(), case.forwarded, "{name}");
    assert_eq!(access["ended"], "complete", "{name}: {access}");
    let lines = stand.gateway().log();
    let of_request: Vec<Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["request_id"] == id)
        .collect();
    let access = of_request.iter().filter(|line| line["target"] == "access");
    assert_eq!(access.count(), 1, "{name}");
    let told = of_request.iter().find(|line| line["detail"].is_string());
    let told = told.unwrap_or_else(|| panic!("{name}: no detail in {of_request:?}"));
    assert_eq!(told["code"], code, "{name}");
    assert_eq!(told["connector"], connector, "{name}");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains(case.detail), "{name}: {detail}");
    let level = if case.code.side() == Side::Client {
        &["DEBUG", "INFO"][..]
    } else {
        &["WARN"]
    };
    assert!(
        level.contains(&told["level"].as_str().unwrap()),
        "{name}: {told}"
    );
    let said = format!("{:?} {}", answer.headers, answer.text());
    for inner in [
        detail,
        "corp.internal",
        "127.0.0.1",
        "certificate",
        "connector.yaml",
    ] {
        assert!(!said.contains(inner), "{name}: {inner} in {said}");
    }
}

#[test]
fn the_closed_list_is_proved_or_says_why_not() {
    let not_yet = ErrorCode::ALL.iter().filter_map(|code| match proof(*code) {
        Proof::NotYet(why) => Some(why),
        _ => None,
    });
    assert_eq!(ErrorCode::ALL.len(), 29);
    assert!(not_yet.clone().all(|why| !why.is_empty()));
    assert_eq!(not_yet.count(), 2);
}

#[tokio::test]
async fn a_connector_killed_in_the_middle_of_a_request_is_tunnel_lost() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = arrived.send(());
            std::future::pending::<()>().await;
        }
    })
    .await;
    let mut stand = Stand::new()
        .application("wiki", &backend)
        .environment("APPPROXY_LOG", "info,appproxy::gateway=debug")
        .start()
        .await;
    let case = case(
        "killed",
        ErrorCode::TunnelLost,
        502,
        "https://wiki.localhost/",
    )
    .behind("wiki");
    let (client, request) = (stand.client().clone(), case.request("*/*"));
    let asked = tokio::spawn(async move { Answer::read(client.send(request).await).await });
    within("the request at the application", arrivals.recv()).await;
    stand.connectors()[0].kill();
    let answer = asked.await.unwrap();
    is_told(&stand, &case, &answer, false).await;

    // Now that the gateway knows, the next one learns it at once.
    let after = Case {
        code: ErrorCode::NoConnector,
        status: 503,
        forwarded: false,
        ..case
    };
    let answer = Answer::read(stand.send(after.request("*/*")).await).await;
    is_told(&stand, &after, &answer, false).await;
}

/// 1,024 requests that wait, over the one tunnel of one connector.
#[tokio::test]
async fn a_tunnel_whose_places_are_all_taken_is_tunnel_busy() {
    const PLACES: usize = 1024;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = arrived.send(());
            std::future::pending::<()>().await;
        }
    })
    .await;
    let stand = Stand::new()
        .connector_setting("connections", json!("1"))
        .environment("APPPROXY_LOG", "info,appproxy::gateway=debug")
        .gateway_setting("limits", words::no_limits())
        .application("wiki", &backend)
        .start()
        .await;
    let client: Client = stand.client().http2();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..PLACES / 128 {
        let connection = client.connect("wiki.localhost").await;
        let crate::harness::Connection::Http2(sender) = connection else {
            panic!("HTTP/2 was asked for");
        };
        for _ in 0..128 {
            let request = Request::get(stand.url("wiki", "/wait"));
            let request = request.body(Empty::new().map_err(Into::into).boxed_unsync());
            let mut sender = sender.clone();
            waiting.spawn(async move { sender.send_request(request.unwrap()).await.is_ok() });
        }
    }
    for n in 0..PLACES {
        within(&format!("request {n} at the application"), arrivals.recv()).await;
    }
    let busy = case(
        "busy",
        ErrorCode::TunnelBusy,
        503,
        "https://wiki.localhost/",
    )
    .says("carries as many requests as it may")
    .of("wiki");
    let answer = Answer::read(stand.send(busy.request("*/*")).await).await;
    is_told(&stand, &busy, &answer, false).await;

    // Whoever leaves makes room; that a client goes away is nobody's error.
    waiting.shutdown().await;
    let gone = stand.gateway().line("a client that went away", |line| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        line["ended"] == "client_gone"
    });
    let gone: Value = serde_json::from_str(&gone.await).unwrap();
    assert_eq!(gone["error"], Value::Null);
    assert_eq!(gone["status"], Value::Null);
    assert_eq!(gone["application"], "wiki");
    let failed = stand
        .gateway()
        .log()
        .iter()
        .filter(|l| l.contains("request failed"))
        .count();
    assert_eq!(failed, 1, "tunnel_busy alone");
}

#[tokio::test]
async fn fields_are_counted_whatever_the_version() {
    let recorder = crate::harness::Recorder::start().await;
    let stand = Stand::new()
        .application("wiki", &recorder.backend)
        .start()
        .await;
    // hyper's own refusal over HTTP/1 has no body; ours over HTTP/2 has a code.
    let mut seen = 0;
    for (fields, h1, h2) in [
        (254, 200, 200),
        (256, 431, 200),
        (257, 431, 431),
        (1000, 431, 431),
    ] {
        // `Host` is a field of HTTP/1: 254 and host are 255.
        let mut raw = format!(
            "GET / HTTP/1.1\r\nHost: wiki.localhost:{}\r\nConnection: close\r\n",
            stand.address().port()
        );
        raw.push_str(&"X-Many: 1\r\n".repeat(fields));
        raw.push_str("\r\n");
        let stream = stand.client().raw("wiki.localhost").await;
        let answer = replies(&exchange(stream, raw.as_bytes()).await);
        assert_eq!(answer.len(), 1);
        assert_eq!(answer[0].status, h1, "{fields} over HTTP/1.1");

        let mut request = Request::get("https://wiki.localhost/")
            .body(Empty::new())
            .unwrap();
        *request.headers_mut() = many_fields(fields);
        let answer = Answer::read(stand.client().http2().send(request).await).await;
        assert_eq!(answer.status.as_u16(), h2, "{fields} over HTTP/2");
        if h2 == 431 {
            assert_eq!(answer.json()["error"]["code"], "too_large");
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[tokio::test]
async fn a_failed_head_has_the_fields_of_a_failed_get_and_no_body() {
    let backend = Backend::text("hello").await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let get = stand.get("https://unknown.apps.localhost/").await;
    let head = Request::head("https://unknown.apps.localhost/")
        .body(Empty::new())
        .unwrap();
    let head = Answer::read(stand.send(head).await).await;
    assert_eq!(head.status, StatusCode::NOT_FOUND);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(head.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_request_has_one_access_line_with_every_field() {
    let backend = Backend::echo().await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let request = Request::post("https://wiki.localhost/page?token=secret")
        .header("x-request-id", "mine")
        .body(body("four"))
        .unwrap();
    let answer = Answer::read(stand.client().http2().send(request).await).await;
    let id = answer.header("x-request-id");
    assert_ne!(id, "mine");
    assert_eq!(answer.json()["headers"]["x-request-id"], json!([id]));
    let line = stand.access_line(id).await;
    let port = stand.address().port();
    for (field, value) in [
        ("client", json!("127.0.0.1")),
        ("method", json!("POST")),
        ("host", json!(format!("wiki.localhost:{port}"))),
        ("path", json!("/page")),
        ("protocol", json!("HTTP/2")),
        ("status", json!(200)),
        ("application", json!("wiki")),
        ("octets_in", json!(4)),
        ("octets_out", json!(answer.body.len())),
        ("ended", json!("complete")),
        ("message", json!("request")),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(line.get("error").is_none_or(Value::is_null), "{line}");
    assert!(
        line["connector"].as_str().is_some_and(|c| !c.is_empty()),
        "{line}"
    );
    for time in ["gateway_ms", "tunnel_ms", "backend_ms", "duration_ms"] {
        assert!(
            line[time].as_f64().is_some_and(|ms| ms >= 0.0),
            "{time}: {line}"
        );
    }
    let log = stand.gateway().log();
    assert!(
        !log.iter().any(|l| l.contains("secret")),
        "the query is nobody's"
    );
    let lines = log
        .iter()
        .filter(|l| l.contains(id) && l.contains("\"access\""));
    assert_eq!(lines.count(), 1);
}
