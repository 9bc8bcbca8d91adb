//! A malicious gateway, or one that was taken over: it has a certificate of the right authority, and
//! asks for what it likes. What it can have is what the connector's own settings allow.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use appproxy::certs::Authorities;
use appproxy::clock::Clock;
use appproxy::gateway::load_authorities;
use appproxy::http::{Body, BodyError};
use appproxy::model::{BackendProtocol, BackendTimeouts, Endpoint, StreamWindow};
use appproxy::store::{StoreKeys, open_sqlite};
use appproxy::tunnel::control::{Down, Messages, Up};
use appproxy::tunnel::tls::GatewayTls;
use appproxy::tunnel::{Inspect, Profile, ProfileHash, Tied, link};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::gateways::NameServer;
use crate::harness::{Backend, Running, Stand, until, within, words};

/// A gateway of a test's own, which the connectors of a stand trust.
pub(crate) struct Rogue {
    pub(crate) address: SocketAddr,
    tunnels: mpsc::UnboundedReceiver<Caught>,
    listening: JoinHandle<()>,
}

/// A tunnel of a connector that fell for it: said hello, and hears nothing that a test does not say.
pub(crate) struct Caught {
    requests: SendRequest<Body>,
    say: mpsc::UnboundedSender<Bytes>,
    // Dropped, it would end the tunnel.
    heard: Messages<Incoming>,
    connection: JoinHandle<()>,
    /// Cuts the connection as it stands.
    cut: CancellationToken,
}

/// A gateway's TLS for tunnels, with a certificate of the stand's own authority.
pub(crate) async fn tunnel_tls(stand: &Running) -> Arc<ServerConfig> {
    let now = Clock::system().now();
    let authorities = authorities(stand).await;
    GatewayTls::new(&authorities, now).unwrap().tunnel()
}

/// The authorities of a stand's connectors and gateways, as they are in its store.
pub(crate) async fn authorities(stand: &Running) -> Authorities {
    let store = stand.folder().join("gateway.db");
    let keys = StoreKeys::existing(None, &store).unwrap().unwrap();
    let store = open_sqlite(&store, keys).await.unwrap();
    let now = Clock::system().now();
    load_authorities(&*store, now).await.unwrap()
}

impl Rogue {
    /// Listens with a certificate of the stand's own authority.
    pub(crate) async fn start(stand: &Running) -> Self {
        let tls = TlsAcceptor::from(tunnel_tls(stand).await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (catch, tunnels) = mpsc::unbounded_channel();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, catch) = (tls.clone(), catch.clone());
                tokio::spawn(async move {
                    // A connector that is killed meanwhile is none that was caught.
                    if let Ok(stream) = tls.accept(stream).await
                        && let Some(caught) = Caught::take(TokioIo::new(stream)).await
                    {
                        let _ = catch.send(caught);
                    }
                });
            }
        });
        Self {
            address,
            tunnels,
            listening,
        }
    }

    pub(crate) async fn next(&mut self) -> Caught {
        within("a tunnel", self.tunnels.recv()).await.unwrap()
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Caught {
    async fn take<S>(stream: TokioIo<S>) -> Option<Self>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let cut = CancellationToken::new();
        let (mut requests, connection) = link::client(&Tied::to(cut.clone()), StreamWindow::USUAL)
            .handshake(stream)
            .await
            .ok()?;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let (say, lines) = mpsc::unbounded_channel::<Bytes>();
        let answer = requests.send_request(control(lines)).await.ok()?;
        let mut heard = Messages::new(answer.into_body());
        matches!(heard.next().await, Ok(Some(Up::Hello { .. }))).then_some(Self {
            requests,
            say,
            heard,
            connection,
            cut,
        })
    }

    pub(crate) fn say(&self, message: &Down) {
        self.line(&serde_json::to_vec(message).unwrap());
    }

    fn line(&self, line: &[u8]) {
        let _ = self.say.send([line, b"\n"].concat().into());
    }

    fn welcome(&self) {
        self.hand_down(&[]);
    }

    /// Says welcome with a list of gateways.
    fn hand_down(&self, gateways: &[String]) {
        self.say(&Down::Welcome {
            gateways: gateways.to_vec(),
            time: Clock::system().now().0,
        });
    }

    /// Says welcome and tells a profile; its name.
    fn ready(&self) -> ProfileHash {
        self.welcome();
        self.teach()
    }

    /// Tells a profile; its name.
    fn teach(&self) -> ProfileHash {
        let profile = Profile::new(&BackendTimeouts::default(), BackendProtocol::default()).text();
        let hash = ProfileHash::of(&profile);
        self.say(&Down::Profile {
            hash: hash.clone(),
            profile,
        });
        hash
    }

    /// What the connector finds there when it is asked to look: the word of its fault, if there is one.
    async fn inspect(&mut self, id: u64, target: &str) -> String {
        let profile = Profile::new(&BackendTimeouts::default(), BackendProtocol::default());
        let inspect = Inspect {
            scheme: "http".to_owned(),
            target: target.to_owned(),
            authority: "wiki.corp.internal".to_owned(),
            path: Some("/".to_owned()),
            profile: profile.text(),
        };
        self.say(&Down::Inspect { id, inspect });
        let heard = async {
            loop {
                match self.heard.next().await.unwrap().unwrap() {
                    Up::Inspected { id: of, found } if of == id => return *found,
                    _ => {}
                }
            }
        };
        let found = within("what was found", heard).await;
        found.fault.map(|fault| fault.code).unwrap_or_default()
    }

    /// What the connector answers: its status and why it is not the application's answer.
    async fn ask(&mut self, request: Request<Body>) -> (StatusCode, String) {
        within("the connector is ready", self.requests.ready())
            .await
            .unwrap();
        let answer = self.requests.send_request(request);
        let answer = within("an answer", answer).await.unwrap();
        let word = answer.headers().get("appproxy-error");
        let word = word.map(|word| word.to_str().unwrap().to_owned());
        let status = answer.status();
        let _ = within("its body", answer.into_body().collect()).await;
        (status, word.unwrap_or_default())
    }

    /// Waits until the connector has ended the tunnel.
    async fn ended(mut self) {
        within("the tunnel's end", &mut self.connection)
            .await
            .unwrap();
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn control(lines: mpsc::UnboundedReceiver<Bytes>) -> Request<Body> {
    let lines = futures_util::stream::unfold(lines, |mut lines| async move {
        let line = lines.recv().await?;
        Some((Ok::<_, BodyError>(Frame::data(line)), lines))
    });
    let mut request = Request::new(Body::boxed(StreamBody::new(lines.boxed())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("https://gateway.appproxy.internal/control");
    *request.version_mut() = Version::HTTP_2;
    request
}

/// A request for a target, as a gateway sends it, with these fields set over the usual ones; an
/// empty value takes a field away.
fn request(uri: &str, profile: &ProfileHash, fields: &[(&str, &str)]) -> Request<Body> {
    let mut usual = HeaderMap::new();
    let mut set = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        match value {
            "" => usual.remove(name),
            value => usual.insert(name, HeaderValue::from_str(value).unwrap()),
        };
    };
    set("appproxy-application", "wiki");
    set("appproxy-request-id", "1");
    set("appproxy-profile", profile.as_str());
    for (name, value) in fields {
        set(name, value);
    }
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri.parse().unwrap();
    *request.headers_mut() = usual;
    *request.version_mut() = Version::HTTP_2;
    request
}

/// An application that counts its connections, and a connector that knows the rogue alone.
struct Scene {
    backend: Backend,
    connections: Arc<AtomicUsize>,
    stand: Running,
    rogue: Rogue,
    /// The connector's configuration.
    config: PathBuf,
}

async fn scene() -> Scene {
    scene_with(json!({})).await
}

/// With these settings of the connector beside its gateway.
async fn scene_with(settings: Value) -> Scene {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let backend = Backend::raw(move |mut stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            crate::harness::read_head(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            let _ = stream.write_all(answer).await;
        }
    })
    .await;
    let (stand, rogue, config) = caught_by_a_rogue(&backend, settings).await;
    Scene {
        backend,
        connections,
        stand,
        rogue,
        config,
    }
}

/// A connector with these settings that may reach this application, and knows the rogue alone; and
/// its configuration.
async fn caught_by_a_rogue(backend: &Backend, mut settings: Value) -> (Running, Rogue, PathBuf) {
    let stand = Stand::new().application("wiki", backend).connectors(0);
    let mut stand = stand.start().await;
    let rogue = Rogue::start(&stand).await;
    let gateway = format!("gateway.localhost:{}", rogue.address.port());
    settings["gateways"] = json!([gateway]);
    settings["connections"] = json!(1);
    let config = stand.enrol_with("default", settings).await;
    let victim = stand.spawn_connector(&config);
    stand.connectors().push(victim);
    (stand, rogue, config)
}

#[tokio::test]
async fn a_gateway_reaches_nothing_that_the_connector_does_not_allow() {
    let mut scene = scene().await;
    let mut caught = scene.rogue.next().await;
    let profile = caught.ready();
    let port = scene.backend.address().port();
    let name = words::internal_name("wiki");
    let good = format!("http://{name}:{port}/");
    let allowed = format!("{name}:{port}");
    let asked = request(&good, &profile, &[("appproxy-target", &allowed)]);
    assert_eq!(caught.ask(asked).await, (StatusCode::OK, String::new()));
    assert_eq!(scene.connections.swap(0, Ordering::Relaxed), 1);

    let refused = "target_refused";
    let targets = [
        (format!("{name}:{}", port ^ 1), refused),
        (format!("localhost:{}", port ^ 1), refused),
        (format!("[::1]:{port}"), refused),
        (format!("[::ffff:127.0.0.1]:{}", port ^ 1), refused),
        (format!("127.0.0.2:{port}"), refused),
        (format!("0.0.0.0:{port}"), refused),
        (format!("[::]:{port}"), refused),
        ("169.254.169.254:80".to_owned(), refused),
        ("[fe80::1]:80".to_owned(), refused),
        ("[::ffff:169.254.169.254]:80".to_owned(), refused),
        ("[64:ff9b::a9fe:a9fe]:80".to_owned(), refused),
        ("metadata.google.internal:80".to_owned(), refused),
        ("224.0.0.1:80".to_owned(), refused),
        ("255.255.255.255:80".to_owned(), refused),
        ("gateway.localhost:443".to_owned(), refused),
        // An address that is listed may have any name, so the name is looked up.
        (format!("x.{allowed}"), "backend_dns"),
        (format!("{name}.:{port}x"), "bad_request"),
        (format!("evil.example@{allowed}"), "bad_request"),
        (format!("http://{allowed}"), "bad_request"),
        (format!("{allowed}/"), "bad_request"),
        (format!("{name}:99999"), "bad_request"),
        (format!("{name}:0"), "bad_request"),
        (name.clone(), "bad_request"),
        (format!("/run/appproxy.sock:{port}"), "bad_request"),
        (String::new(), "bad_request"),
    ];
    assert_eq!(targets.len(), 25);
    let mut number = 0;
    for (target, expected) in targets {
        let asked = request(&good, &profile, &[("appproxy-target", &target)]);
        let answer = caught.ask(asked).await;
        let expected = (StatusCode::BAD_GATEWAY, expected.to_owned());
        assert_eq!(answer, expected, "{target}");
        // Nor does it look there.
        number += 1;
        assert_eq!(
            caught.inspect(number, &target).await,
            expected.1,
            "{target}"
        );
    }
    // The name it is told to say does not open what the target does not.
    let port = Endpoint::parse("169.254.169.254:80").unwrap();
    let asked = request(&good, &profile, &[("appproxy-target", &port.to_string())]);
    assert_eq!(caught.ask(asked).await.1, refused);
    assert_eq!(scene.connections.load(Ordering::Relaxed), 0);
    // And the tunnel serves on.
    let asked = request(&good, &profile, &[("appproxy-target", &allowed)]);
    assert_eq!(caught.ask(asked).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_gateway_cannot_have_a_connector_knock_at_doors_of_its_own_machine() {
    const NOT_DIALLED: &str = "a gateway named another one that is not dialled";
    let door = appproxy::net::bind("[::]:0".parse().unwrap()).unwrap();
    let port = door.local_addr().unwrap().port();
    // Whatever its name, it is here; and so are the names of the stand.
    let names = NameServer::start([127, 0, 0, 1]).await;
    let wiki = words::internal_name("wiki");
    let settings = json!({
        "dns": { "servers": [names.at.to_string()], "hosts": { wiki: ["127.0.0.1"] } },
    });
    let mut scene = scene_with(settings).await;
    let mut caught = scene.rogue.next().await;
    let doors = [
        format!("127.0.0.1:{port}"),
        format!("127.1.2.3:{port}"),
        format!("[::1]:{port}"),
        format!("0.0.0.0:{port}"),
        format!("door.localhost:{port}"),
        format!("door.evil.example:{port}"),
        format!("gateway.localhost:{port}"),
        "169.254.169.254:80".to_owned(),
    ];
    caught.hand_down(&doors);
    let connector = scene.stand.connectors().remove(0);
    until("a word on each", || {
        connector.said(NOT_DIALLED) == doors.len()
    })
    .await;
    let by = format!("gateway.localhost:{}", scene.rogue.address.port());
    for door in &doors {
        let names_it = |line: &&String| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["message"] == NOT_DIALLED && line["gateway"] == **door
        };
        let log = connector.log();
        let line = log
            .iter()
            .find(names_it)
            .unwrap_or_else(|| panic!("{door}"));
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["level"], &line["by"]), (&json!("WARN"), &json!(by)));
        assert_eq!(line["code"], "gateway_not_dialled");
        let remedy = format!("add to connector.yaml: gateways: [\"{door}\"]");
        assert!(line["reason"].as_str().unwrap().contains(&remedy), "{line}");
    }
    // Said in another tunnel it is no news, and nobody is kept from working.
    caught.say(&Down::Drain { deadline_s: 30 });
    let mut next = scene.rogue.next().await;
    next.hand_down(&doors);
    let target = format!(
        "{}:{}",
        words::internal_name("wiki"),
        scene.backend.address().port()
    );
    let uri = format!("http://{target}/");
    for tunnel in [&mut caught, &mut next] {
        let profile = tunnel.teach();
        let asked = request(&uri, &profile, &[("appproxy-target", &target)]);
        assert_eq!(tunnel.ask(asked).await.0, StatusCode::OK);
    }
    assert_eq!(connector.said(NOT_DIALLED), doors.len());

    connector.terminate();
    drop((caught, next));
    connector.ended().await;
    let knocked = door.accept().map(|(_, from)| from);
    let nobody = knocked.unwrap_err().kind();
    assert_eq!(nobody, std::io::ErrorKind::WouldBlock);
    let list = scene.stand.folder().join("connector-1/gateways.json");
    let list = std::fs::read_to_string(list).unwrap();
    let kept: Vec<String> = serde_json::from_str(&list).unwrap();
    let own = format!("{}:{}", words::GATEWAY_NAME, scene.stand.address().port());
    assert_eq!(kept, [own]);
}

#[tokio::test]
async fn what_is_no_request_reaches_no_application() {
    let mut scene = scene().await;
    let mut caught = scene.rogue.next().await;
    let profile = caught.ready();
    let name = words::internal_name("wiki");
    let target = format!("{name}:{}", scene.backend.address().port());
    let good = format!("http://{target}/");
    let usual = [("appproxy-target", target.as_str())];
    let with = |method: Method, protocol: Option<&'static str>| {
        let mut request = request(&good, &profile, &usual);
        *request.method_mut() = method;
        if let Some(protocol) = protocol {
            let protocol = Protocol::from_static(protocol);
            request.extensions_mut().insert(protocol);
        }
        request
    };
    let absent = ProfileHash::of("never told");
    let cases = [
        ("no target", request(&good, &profile, &[]), "bad_request"),
        (
            "no profile",
            request(&good, &profile, &[usual[0], ("appproxy-profile", "")]),
            "bad_request",
        ),
        (
            "a profile that was never told",
            request(&good, &absent, &usual),
            "tunnel_lost",
        ),
        (
            "another scheme",
            request(&good.replace("http:", "ftp:"), &profile, &usual),
            "bad_request",
        ),
        (
            "an upgrade to what is no WebSocket",
            with(Method::CONNECT, Some("connect-udp")),
            "bad_request",
        ),
        (
            "a tunnel to anywhere",
            with(Method::CONNECT, None),
            "bad_request",
        ),
    ];
    assert_eq!(cases.len(), 6);
    for (what, asked, expected) in cases {
        let (status, word) = caught.ask(asked).await;
        let expected = (StatusCode::BAD_GATEWAY, expected);
        assert_eq!((status, word.as_str()), expected, "{what}");
    }
    assert_eq!(scene.connections.load(Ordering::Relaxed), 0);
    // A second control stream is none.
    let (_say, lines) = mpsc::unbounded_channel();
    assert_eq!(caught.ask(control(lines)).await.0, StatusCode::CONFLICT);
    let asked = request(&good, &profile, &usual);
    assert_eq!(caught.ask(asked).await.0, StatusCode::OK);
}

#[tokio::test]
async fn before_the_welcome_nothing_reaches_an_application_and_without_one_the_tunnel_ends() {
    let mut scene = scene().await;
    let mut caught = scene.rogue.next().await;
    let profile = Profile::new(&BackendTimeouts::default(), BackendProtocol::default()).text();
    let hash = ProfileHash::of(&profile);
    caught.say(&Down::Profile {
        hash: hash.clone(),
        profile,
    });
    let target = format!(
        "{}:{}",
        words::internal_name("wiki"),
        scene.backend.address().port()
    );
    let uri = format!("http://{target}/");
    let asked = request(&uri, &hash, &[("appproxy-target", &target)]);
    let answer = caught.requests.send_request(asked);
    // The tunnel's end, or an answer that is none of the application's: whichever is first.
    if let Ok(answer) = within("an answer", answer).await {
        assert_eq!(answer.headers()["appproxy-error"], "tunnel_lost");
    }
    caught.ended().await;
    assert_eq!(scene.connections.load(Ordering::Relaxed), 0);
    // Of the other ways there are that they lead nowhere is said too.
    let said = |line: &str| line.contains("did not say welcome within 5s");
    let line = scene.stand.connectors()[0].line("why it ended", said);
    let line = line.await;
    assert!(line.contains("no tunnel; trying again"));
    assert!(line.contains("\"code\":\"tunnel_silent\""), "{line}");
    // It is tried again.
    let again = scene.rogue.next().await;
    again.welcome();
    scene.stand.connectors()[0].says(words::TUNNEL_OPEN).await;
}

#[tokio::test]
async fn nonsense_on_the_control_stream_ends_the_tunnel_and_not_the_connector() {
    let mut scene = scene().await;
    let wrong = json!({ "type": "profile", "hash": "00", "profile": "{}" });
    let unreadable = ProfileHash::of("{}");
    let unreadable = json!({ "type": "profile", "hash": unreadable, "profile": "{}" });
    let cases = [
        ("a line without end", vec![b'x'; 100_000]),
        ("no JSON", b"GET / HTTP/1.1\r".to_vec()),
        ("deep JSON", vec![b'['; 60_000]),
        (
            "a profile under a wrong name",
            wrong.to_string().into_bytes(),
        ),
        (
            "a profile that is none",
            unreadable.to_string().into_bytes(),
        ),
        (
            "a refusal with a terminal's commands",
            b"{\"type\":\"refused\",\"reason\":\"\\u001b[2J\\nforged\"}".to_vec(),
        ),
    ];
    assert_eq!(cases.len(), 6);
    for (_what, line) in cases {
        let caught = scene.rogue.next().await;
        caught.welcome();
        caught.line(&line);
        caught.ended().await;
    }
    // What a newer gateway may say is passed over, however often.
    let mut caught = scene.rogue.next().await;
    caught.welcome();
    for hour in 0..1000 {
        caught.say(&Down::Welcome {
            gateways: vec![format!("gw{hour}.corp.internal:443")],
            time: hour * 3600,
        });
    }
    for _ in 0..1000 {
        caught.line(br#"{"type":"sing","verse":[[[]]]}"#);
        caught.line(br#"{"type":"renewed","chain":"x","authorities":[]}"#);
        caught.line(br#"{"type":"authorities","authorities":["x"]}"#);
    }
    let profile = caught.ready();
    // Few of so many wait in the connector's queue; these come when it is empty.
    for _ in 0..100 {
        let asked = request("http://nowhere.corp.internal/", &profile, &[]);
        assert_eq!(caught.ask(asked).await.1, "bad_request");
        caught.line(br#"{"type":"authorities","authorities":["x"]}"#);
    }
    let asked = request("http://nowhere.corp.internal/", &profile, &[]);
    assert_eq!(caught.ask(asked).await.1, "bad_request");
    let connector = &scene.stand.connectors()[0];
    for line in connector.log() {
        assert!(!line.contains('\u{1b}'), "{line}");
    }
    let same = "the gateway's new authorities cannot be used";
    let line = connector.says(same).await;
    assert!(line.contains("\"code\":\"authorities_unusable\""), "{line}");
    assert_eq!(connector.said(same), 1);
    let clocks = |line: &&String| line.contains("this host's clock");
    assert_eq!(connector.log().iter().filter(clocks).count(), 0);
    let lists = "a gateway named gateways that were not known";
    assert_eq!(connector.said(lists), 0);
}

/// Each time the connector opens another tunnel, as it is asked to, and keeps the one before until
/// the gateway ends it. This one ends none.
#[tokio::test]
async fn a_gateway_that_asks_for_other_tunnels_and_ends_none_gets_few() {
    const RETIRED: usize = 16;
    let mut scene = scene().await;
    let mut kept = Vec::new();
    for _ in 0..=RETIRED + 1 {
        let caught = scene.rogue.next().await;
        caught.welcome();
        caught.say(&Down::Drain { deadline_s: 3600 });
        kept.push(caught);
    }
    kept.remove(0).ended().await;
    let cut = "the gateway asks for other tunnels and ends none: the oldest of those it has is cut";
    let line = scene.stand.connectors()[0].says(cut).await;
    assert!(line.contains("\"code\":\"tunnels_not_ended\""), "{line}");
    // The one that is left serves.
    let mut last = scene.rogue.next().await;
    let profile = last.ready();
    let asked = request("http://nowhere.corp.internal/", &profile, &[]);
    assert_eq!(last.ask(asked).await.1, "bad_request");
}

/// What a gateway of a later version says to a connector that it does not speak with any more.
#[tokio::test]
async fn a_gateway_that_refuses_a_version_is_quoted_in_the_connectors_log_and_status() {
    let Scene {
        mut stand,
        mut rogue,
        config,
        ..
    } = scene().await;
    let of_rogue = format!("gateway.localhost:{} at 127.0.0.1 ", rogue.address.port());
    let reason =
        "it speaks version 1 of the protocol, this gateway version 4: upgrade the connector";
    let refuses = async {
        let mut refused = Vec::new();
        loop {
            let caught = rogue.next().await;
            caught.say(&Down::Refused {
                reason: reason.to_owned(),
            });
            refused.push(caught);
        }
    };
    let said = format!("the gateway refuses this connector: {reason}");
    let connector = stand.connectors().pop().unwrap();
    let told = connector.line("the refusal in the connector's log", |line| {
        line.contains(&said)
    });
    let config = config.display().to_string();
    let arguments = ["connector", "status", "--config", &config].map(str::to_owned);
    // Refused until the end: silence would be another reason.
    let (told, status) = tokio::select! {
        both = async { (told.await, stand.program(&arguments, "").await) } => both,
        () = refuses => unreachable!(),
    };
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["level"], "WARN", "{told}");
    assert_eq!(told["code"], "connector_refused", "{told}");
    assert_eq!(status.status.code(), Some(1));
    let row = status.stdout.lines().find(|line| line.contains(&of_rogue));
    assert!(
        row.is_some_and(|row| row.contains(&format!(": [connector_refused] {said}"))),
        "{}",
        status.stdout
    );
}

#[tokio::test]
async fn what_a_gateway_says_last_is_heard_though_the_end_comes_with_it() {
    let mut scene = scene().await;
    let caught = scene.rogue.next().await;
    caught.welcome();
    let connector = &scene.stand.connectors()[0];
    connector.says("tunnel open").await;
    // It reads both at once.
    connector.signal(Signal::STOP);
    caught.say(&Down::Removed);
    // Everything here is written when each task has had its turns.
    let turns = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    turns().await;
    caught.cut.cancel();
    turns().await;
    connector.signal(Signal::CONT);
    assert!(!connector.ended().await.success());
    let removed = |line: &String| line.contains("this connector was removed at its gateways");
    assert!(connector.log().iter().any(removed), "{:?}", connector.log());
}

#[tokio::test]
async fn what_a_gateway_says_fills_no_log() {
    let mut scene = scene().await;
    let caught = scene.rogue.next().await;
    caught.welcome();
    caught.say(&Down::Refused {
        reason: "long ".repeat(10_000),
    });
    caught.ended().await;
    let mut caught = scene.rogue.next().await;
    let profile = caught.ready();
    let name = words::internal_name("wiki");
    let target = format!("{name}:{}", scene.backend.address().port());
    let long = "0123456789abcdef".repeat(700);
    let fields = [("appproxy-target", &*target), ("appproxy-profile", &long)];
    let asked = request(&format!("http://{target}/"), &profile, &fields);
    assert_eq!(caught.ask(asked).await.1, "tunnel_lost");
    let connector = &scene.stand.connectors()[0];
    connector.says("no answer from the application").await;
    let refused = |line: &String| line.contains("the gateway refuses this connector: long");
    assert!(connector.log().iter().any(refused), "{:?}", connector.log());
    for line in connector.log() {
        assert!(line.len() < 2048, "{} octets: {line}", line.len());
    }
}

#[tokio::test]
async fn an_upload_that_is_broken_off_without_an_error_is_never_whole() {
    const LAST: &[u8] = b"0\r\n\r\n";
    let (received, mut requests) = mpsc::unbounded_channel();
    let begun = Arc::new(Notify::new());
    let backend = Backend::raw({
        let begun = Arc::clone(&begun);
        move |mut stream| {
            let (received, begun) = (received.clone(), Arc::clone(&begun));
            async move {
                let (mut all, mut part) = (Vec::new(), [0; 4096]);
                while let Ok(n @ 1..) = stream.read(&mut part).await {
                    all.extend_from_slice(&part[..n]);
                    if all.windows(4).any(|four| four == b"half") {
                        begun.notify_one();
                    }
                    if all.ends_with(LAST) {
                        break;
                    }
                }
                let _ = received.send(all);
            }
        }
    })
    .await;
    let (_stand, mut rogue, _) = caught_by_a_rogue(&backend, json!({})).await;
    let mut caught = rogue.next().await;
    let profile = caught.ready();
    let target = format!(
        "{}:{}",
        words::internal_name("wiki"),
        backend.address().port()
    );
    let upload = futures_util::stream::once(async { Ok(Frame::data(Bytes::from_static(b"half"))) });
    let end = futures_util::stream::once(async move {
        begun.notified().await;
        Err(BodyError::from(h2::Error::from(h2::Reason::NO_ERROR)))
    });
    let mut asked = request(
        &format!("http://{target}/"),
        &profile,
        &[("appproxy-target", &target)],
    );
    *asked.method_mut() = Method::POST;
    *asked.body_mut() = Body::boxed(StreamBody::new(upload.chain(end).boxed()));
    within("the connector is ready", caught.requests.ready())
        .await
        .unwrap();
    let answer = caught.requests.send_request(asked);
    let whole = within("the upload's end", requests.recv()).await.unwrap();
    assert!(
        !whole.ends_with(LAST),
        "{}",
        String::from_utf8_lossy(&whole)
    );
    drop(answer);
}
