//! A malicious connector, or a stolen one: it has a good certificate, and says what it likes.

use std::cell::Cell;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use appproxy::certs::PeerConnector;
use appproxy::connector::StateFolder;
use appproxy::http::{Body, BodyError};
use appproxy::model::StreamWindow;
use appproxy::tunnel::control::PROTOCOL_VERSION;
use appproxy::tunnel::link;
use appproxy::tunnel::tls::{GATEWAY_NAME, connector_tunnel};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::harness::{Backend, Running, Stand, until, within};

/// The group of the malicious connector.
const ROGUE: &str = "rogue";

/// A path to which it never answers.
pub(crate) const NEVER: &str = "/never";

/// A connector of a test's own.
pub(crate) struct Rogue {
    tunnel: JoinHandle<()>,
    /// What the gateway asked it for.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// Its name.
    pub(crate) connector: String,
    /// What the gateway has said on the control stream so far.
    told: Arc<Mutex<String>>,
    /// The gateway's half of the control stream, once it has ended.
    heard: Option<oneshot::Receiver<String>>,
}

impl Rogue {
    /// Dials with the identity that belongs to `config`, says `lines` on the control stream and
    /// keeps it open; answers requests as `answer` does, but for those to [`NEVER`].
    pub(crate) async fn dial(
        stand: &Running,
        config: &Path,
        lines: Vec<Bytes>,
        answer: fn(&str) -> Response<Body>,
    ) -> Self {
        let state = StateFolder::new(config.with_extension(""));
        let identity = state.stored().unwrap();
        let connector = PeerConnector::from_certificate(&identity.credentials.chain[0]).unwrap();
        let tls = TlsConnector::from(Arc::new(connector_tunnel(&identity.credentials).unwrap()));
        let tcp = TcpStream::connect(stand.address()).await.unwrap();
        let name = ServerName::try_from(GATEWAY_NAME).unwrap();
        let stream = within("a TLS handshake", tls.connect(name, tcp))
            .await
            .unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::new(Mutex::new(String::new()));
        let (tell, heard) = oneshot::channel();
        let control = Arc::new(Mutex::new(Some((lines, Arc::clone(&told), tell))));
        let service = service_fn({
            let asked = Arc::clone(&asked);
            move |request: Request<Incoming>| {
                let never = request.uri().path() == NEVER;
                let response = if request.uri().path() == "/control" {
                    control_stream(request, control.lock().unwrap().take())
                } else {
                    asked.lock().unwrap().push(request.uri().to_string());
                    answer(request.uri().path())
                };
                async move {
                    if never {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, Infallible>(response)
                }
            }
        });
        let tunnel = tokio::spawn(async move {
            let _ = link::server(StreamWindow::USUAL)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        Self {
            tunnel,
            asked,
            connector: connector.id.to_string(),
            told,
            heard: Some(heard),
        }
    }

    /// Waits until the gateway has taken so many tunnels of its identity into service, and returns
    /// what it says of the last.
    pub(crate) async fn opened(&self, stand: &Running, count: usize) -> Value {
        let seen = Cell::new(0);
        let line = stand.gateway().line("the rogue's tunnel", |line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            if line["message"] == "tunnel open" && line["connector"] == *self.connector {
                seen.set(seen.get() + 1);
            }
            seen.get() == count
        });
        serde_json::from_str(&line.await).unwrap()
    }

    /// How many probes the gateway has asked it for.
    pub(crate) fn probes(&self) -> usize {
        let told = self.told.lock().unwrap();
        let probe = |line: &&str| line.contains("\"type\":\"probe\"");
        told.lines().filter(probe).count()
    }

    /// Waits until the gateway has ended the tunnel.
    async fn ended(&mut self) {
        within("the tunnel's end", &mut self.tunnel).await.unwrap();
    }

    /// What the gateway said before it ended the control stream.
    pub(crate) async fn heard(&mut self) -> String {
        let heard = self.heard.take().unwrap();
        within("the gateway's last word", heard)
            .await
            .unwrap_or_default()
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.tunnel.abort();
    }
}

type Script = Option<(Vec<Bytes>, Arc<Mutex<String>>, oneshot::Sender<String>)>;

fn control_stream(request: Request<Incoming>, script: Script) -> Response<Body> {
    let (lines, told, tell) = script.expect("one control stream a tunnel");
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            // What the gateway says here is ASCII, wherever a frame ends.
            let text = std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
            told.lock().unwrap().push_str(text);
        }
        let _ = tell.send(told.lock().unwrap().clone());
    });
    let lines = lines
        .into_iter()
        .map(|line| Ok::<_, BodyError>(Frame::data(line)));
    let lines = futures_util::stream::iter(lines).chain(futures_util::stream::pending());
    Response::new(Body::boxed(StreamBody::new(lines)))
}

pub(crate) fn line(message: &Value) -> Bytes {
    format!("{message}\n").into()
}

pub(crate) fn hello(max_streams: u32) -> Value {
    json!({
        "type": "hello", "version": 1, "id": "somebody else", "instance": "x", "time": -1,
        "max_streams": max_streams, "software": "1\u{1b}[2J\nforged=line",
    })
}

pub(crate) fn plain(_: &str) -> Response<Body> {
    Response::new(Body::full("rogue"))
}

async fn two_groups(honest: &Backend) -> Running {
    let rogue = json!({ "connector_groups": [ROGUE] });
    let stand = Stand::new()
        .application("honest", honest)
        .application_with("victim", honest, rogue);
    stand.start().await
}

#[tokio::test]
async fn a_connector_without_places_takes_none_from_the_others() {
    let honest = Backend::text("hello").await;
    let mut stand = Stand::new().application("honest", &honest).start().await;
    let config = stand.enrol("default").await;
    let rogue = Rogue::dial(&stand, &config, vec![line(&hello(0))], plain).await;
    rogue.opened(&stand, 1).await;
    for _ in 0..20 {
        let answer = stand.get("https://honest.localhost/").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "hello"));
    }
    assert!(rogue.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_connector_speaks_for_its_group_alone_and_its_words_stay_small() {
    let honest = Backend::text("hello").await;
    let mut stand = two_groups(&honest).await;
    let config = stand.enrol(ROGUE).await;
    let answer = |path: &str| {
        let mut response = Response::new(Body::full("rogue"));
        let fields = response.headers_mut();
        if path == "/odd" {
            let word = HeaderValue::from_bytes(b"from\xff the future").unwrap();
            fields.insert("appproxy-error", word);
            let detail = HeaderValue::from_bytes(&[0xff; 20_000]).unwrap();
            fields.insert("appproxy-error-detail", detail);
        }
        fields.insert(
            "appproxy-timing",
            HeaderValue::from_static("18446744073709551615"),
        );
        response
    };
    let mut lines = vec![line(&hello(u32::MAX))];
    lines.extend((0..5000).map(|_| line(&json!({ "type": "sing", "verse": [[[]]] }))));
    let mut rogue = Rogue::dial(&stand, &config, lines, answer).await;
    let open = rogue.opened(&stand, 1).await;
    assert_eq!(open["software"], "1[2Jforged=line");
    assert_eq!(open["group"], ROGUE);

    for _ in 0..20 {
        assert_eq!(stand.get("https://honest.localhost/").await.text(), "hello");
    }
    assert_eq!(stand.get("https://victim.localhost/").await.text(), "rogue");
    let odd = stand.get("https://victim.localhost/odd").await;
    assert_eq!(odd.status.as_u16(), 502);
    assert_eq!(odd.header("appproxy-answer"), "gateway;error=tunnel_lost");
    assert!(!odd.text().contains("future"), "{}", odd.text());
    let failed = stand.gateway().says("request failed").await;
    assert!(failed.len() < 8 * 1024, "{} octets of log", failed.len());
    assert_eq!(rogue.asked.lock().unwrap().len(), 2);

    // A thousand farewells are one line, and the tunnel gets no more requests.
    let mut lines = vec![line(&hello(9))];
    lines.extend((0..1000).map(|_| line(&json!({ "type": "drain", "deadline_s": 1 }))));
    lines.push(Bytes::from_static(b"nonsense\n"));
    let mut leaving = Rogue::dial(&stand, &config, lines, plain).await;
    leaving.ended().await;
    let draining = |line: &&String| line.contains("\"tunnel draining\"");
    stand
        .gateway()
        .line("its end", |line| {
            // It carries nothing, so it may be drained before its last word is read.
            let ends = ["it was drained", "a control message cannot be read"];
            line.contains("tunnel closed") && ends.iter().any(|end| line.contains(end))
        })
        .await;
    assert_eq!(stand.gateway().log().iter().filter(draining).count(), 1);

    let id = open["connector"].as_str().unwrap().to_owned();
    let file = stand.gateway_file().display().to_string();
    let arguments = ["gateway", "connector", "remove", &id, "--config", &file];
    stand
        .program(&arguments.map(str::to_owned), "")
        .await
        .success();
    rogue.ended().await;
    assert!(rogue.heard().await.contains("\"removed\""));
    let refused = stand.get("https://victim.localhost/").await;
    assert_eq!(
        refused.header("appproxy-answer"),
        "gateway;error=no_connector"
    );
    assert_eq!(stand.get("https://honest.localhost/").await.text(), "hello");
}

/// A stolen connector does not hang up when it is told to go, and has people's answers under way.
#[tokio::test]
async fn a_connector_that_is_removed_and_stays_loses_what_it_carries() {
    let honest = Backend::text("hello").await;
    let mut stand = two_groups(&honest).await;
    let config = stand.enrol(ROGUE).await;
    let answer = |path: &str| match path {
        "/endless" => {
            let first =
                futures_util::stream::iter([Ok::<_, BodyError>(Frame::data("begun".into()))]);
            let body = first.chain(futures_util::stream::pending());
            Response::new(Body::boxed(StreamBody::new(body)))
        }
        _ => plain(path),
    };
    let mut rogue = Rogue::dial(&stand, &config, vec![line(&hello(9))], answer).await;
    let open = rogue.opened(&stand, 1).await;

    let mut connection = stand.client().connect("victim.localhost").await;
    let request = Request::get(stand.url("victim", "/endless")).body(Empty::<Bytes>::new());
    let response = within("a head", connection.send(request.unwrap()))
        .await
        .unwrap();
    let mut endless = response.into_body();
    let first = within("its first octets", endless.frame()).await.unwrap();
    assert_eq!(first.unwrap().into_data().unwrap(), "begun");
    let unanswered = tokio::spawn({
        let client = stand.client().clone();
        async move {
            client
                .get(&format!("https://victim.localhost{NEVER}"))
                .await
        }
    });
    within("the second request", async {
        while rogue.asked.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let id = open["connector"].as_str().unwrap().to_owned();
    let file = stand.gateway_file().display().to_string();
    let arguments = ["gateway", "connector", "remove", &id, "--config", &file];
    let removed = stand.program(&arguments.map(str::to_owned), "").await;
    removed.success();
    // Both are told, neither goes on, and the connection itself is closed.
    let rest = within("the end of the answer", endless.frame()).await;
    assert!(rest.is_some_and(|frame| frame.is_err()));
    let answer = within("an answer", unanswered).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.header("appproxy-answer")),
        (502, "gateway;error=tunnel_lost")
    );
    rogue.ended().await;
}

/// It says that the application gave a bad answer, and says so at once.
fn fails_fast(_: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::BAD_GATEWAY;
    let word = HeaderValue::from_static("backend_bad_response");
    response.headers_mut().insert("appproxy-error", word);
    response
}

#[tokio::test]
async fn a_connector_that_fails_fast_attracts_nobody() {
    let slow = Backend::answering(|_| async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Response::new(crate::harness::body("slow"))
    })
    .await;
    let mut stand = Stand::new().application("wiki", &slow).start().await;
    let config = stand.enrol("default").await;
    let rogue = Rogue::dial(&stand, &config, vec![line(&hello(100))], fails_fast).await;
    rogue.opened(&stand, 1).await;
    for _ in 0..60 {
        stand.get("https://wiki.localhost/").await;
    }
    let failed = rogue.asked.lock().unwrap().len();
    // It is tried once, or a second time after what that counted for is forgotten.
    assert!((1..=3).contains(&failed), "{failed} of 60");
}

#[tokio::test]
async fn a_tunnel_that_is_lost_is_one_failure_however_many_it_carried() {
    let honest = Backend::text("hello").await;
    let mut stand = two_groups(&honest).await;
    let config = stand.enrol(ROGUE).await;
    let lines = || vec![line(&hello(100))];
    let lost = Rogue::dial(&stand, &config, lines(), plain).await;
    let left = Rogue::dial(&stand, &config, lines(), plain).await;
    left.opened(&stand, 2).await;
    let carried = |rogue: &Rogue| rogue.asked.lock().unwrap().len();
    let mut requests = tokio::task::JoinSet::new();
    // More than the failures in a row for which a connector is left; how two tunnels share them is
    // not asked here.
    while carried(&lost) < 7 {
        let client = stand.client().clone();
        requests.spawn(async move {
            client
                .get(&format!("https://victim.localhost{NEVER}"))
                .await
        });
        let sent = requests.len();
        until("it is on its way", || {
            carried(&lost) + carried(&left) == sent
        })
        .await;
    }
    let all = requests.len();
    drop(lost);
    until("they are sent again", || carried(&left) == all).await;
    let ejected = "connector does not reach the application";
    let said = stand.gateway().log();
    assert!(!said.iter().any(|line| line.contains(ejected)), "{said:#?}");
    requests.shutdown().await;
}

/// It answers every PING and other requests, so that only the clock tells.
#[tokio::test]
async fn a_connector_that_never_answers_one_request_is_tunnel_lost_for_it_alone() {
    let honest = Backend::text("hello").await;
    let settings = json!({
        "connector_groups": [ROGUE],
        "timeouts": { "connect": "1s", "first_byte": "2s" },
    });
    let mut stand = Stand::new()
        .application_with("victim", &honest, settings)
        .connectors(0)
        .start()
        .await;
    let config = stand.enrol(ROGUE).await;
    let _rogue = Rogue::dial(&stand, &config, vec![line(&hello(9))], plain).await;
    stand.gateway().says("tunnel open").await;
    let began = Instant::now();
    let answer = stand.get(&format!("https://victim.localhost{NEVER}")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("appproxy-answer")),
        (502, "gateway;error=tunnel_lost")
    );
    // What the application may take, and five seconds for the connector itself: not earlier, and the
    // gateway says that it was then.
    assert!(began.elapsed() >= Duration::from_secs(1 + 2 + 5));
    let failed = stand.gateway().says("request failed").await;
    let why = "has not answered within 8s, though it is alive";
    assert!(failed.contains(why), "{failed}");
    let other = stand.get("https://victim.localhost/").await;
    assert_eq!(other.text(), "rogue");
    assert_eq!(stand.tunnels(), (1, 0));
}

#[tokio::test]
async fn a_connector_that_says_no_proper_hello_never_becomes_a_tunnel() {
    let honest = Backend::text("hello").await;
    let mut stand = two_groups(&honest).await;
    let config = stand.enrol(ROGUE).await;
    let with = |key: &str, value: Value| {
        let mut hello = hello(9);
        hello[key] = value;
        line(&hello)
    };
    let endless = vec![Bytes::from(vec![b'x'; 8192]); 20];
    let cases: Vec<(&str, Vec<Bytes>)> = vec![
        ("a line without end", endless),
        (
            "no JSON",
            vec![Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")],
        ),
        (
            "deep JSON",
            vec![Bytes::from([&[b'['; 60_000][..], b"\n"].concat())],
        ),
        (
            "another message first",
            vec![line(&json!({ "type": "drain", "deadline_s": 1 }))],
        ),
        ("another version", vec![with("version", json!(2))]),
        ("a version that is none", vec![with("version", json!(-1))]),
        (
            "more streams than there are numbers",
            vec![with("max_streams", json!(4_294_967_296_u64))],
        ),
        ("a field missing", vec![with("max_streams", Value::Null)]),
    ];
    assert_eq!(cases.len(), 8);
    for (what, lines) in cases {
        let mut rogue = Rogue::dial(&stand, &config, lines, plain).await;
        rogue.ended().await;
        assert!(rogue.asked.lock().unwrap().is_empty(), "{what}");
        assert_eq!(
            stand.get("https://honest.localhost/").await.text(),
            "hello",
            "{what}"
        );
    }
    let answer = stand.get("https://victim.localhost/").await;
    assert_eq!(
        answer.header("appproxy-answer"),
        "gateway;error=no_connector"
    );
    let opened = stand
        .gateway()
        .log()
        .iter()
        .filter(|line| line.contains("\"tunnel open\""))
        .count();
    assert_eq!(opened, 2, "the honest connector's");
}

#[tokio::test]
async fn a_connector_that_asks_for_certificates_without_end_loses_its_tunnel() {
    let honest = Backend::text("hello").await;
    let mut stand = two_groups(&honest).await;
    let config = stand.enrol(ROGUE).await;
    let mut lines = vec![line(&hello(9))];
    lines.extend((0..5000).map(|_| line(&json!({ "type": "renew", "csr": "bm9uZQ==" }))));
    let mut rogue = Rogue::dial(&stand, &config, lines, plain).await;
    rogue.ended().await;
    let closed = stand.gateway().line("its end", |line| {
        line.contains("it asks for certificates over and over")
    });
    closed.await;
    let line = stand.gateway().says("certificate not renewed").await;
    assert!(line.contains("\"code\":\"identity_not_renewed\""), "{line}");
    let refused = stand.gateway().said("certificate not renewed");
    assert!((120..200).contains(&refused), "{refused}");
    assert_eq!(stand.get("https://honest.localhost/").await.text(), "hello");
}

/// Both ends tell which of them to upgrade.
#[tokio::test]
async fn a_connector_of_another_version_is_told_which_end_is_the_older() {
    let honest = Backend::text("hello").await;
    let mut stand = two_groups(&honest).await;
    let config = stand.enrol(ROGUE).await;
    for (version, older) in [
        (PROTOCOL_VERSION - 1, "connector"),
        (PROTOCOL_VERSION + 1, "gateway"),
        (PROTOCOL_VERSION + 3, "gateway"),
    ] {
        let mut hello = hello(9);
        hello["version"] = json!(version);
        let mut rogue = Rogue::dial(&stand, &config, vec![line(&hello)], plain).await;
        rogue.ended().await;
        let reason = format!(
            "it speaks version {version} of the protocol, this gateway version \
             {PROTOCOL_VERSION}: upgrade the {older}"
        );
        let heard: Value = serde_json::from_str(rogue.heard().await.trim()).unwrap();
        assert_eq!(heard, json!({ "type": "refused", "reason": reason }));
        let told = stand
            .gateway()
            .line("the refusal in the gateway's log", |line| {
                line.contains(&reason) && line.contains("\"group\":\"rogue\"")
            });
        told.await;
    }
}
