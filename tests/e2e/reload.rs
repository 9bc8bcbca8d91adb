//! Another configuration for a running gateway: whole or not at all, and nobody notices who need not.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::harness::{Backend, Client, Output, Running, Stand, body, until, within, words};
use crate::visibility::until_page;

pub(crate) const REFUSED: &str =
    "the configuration that was read is refused; the one before stays in force";
pub(crate) const IN_FORCE: &str = "configuration in force";

pub(crate) async fn gateway(stand: &Running, arguments: &[&str]) -> Output {
    let file = stand.gateway_file().display().to_string();
    let all = [&["gateway"], arguments, &["--config", &file]].concat();
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    stand.program(&all, "").await
}

pub(crate) async fn reload(stand: &Running) -> Value {
    let text = gateway(stand, &["reload", "--json"]).await.success();
    serde_json::from_str(&text).unwrap()
}

/// The gateway's file with something changed in it; it is there at once and whole.
pub(crate) fn edit(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut config = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    change(&mut config);
    put(file, &config.to_string());
}

fn put(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, file).unwrap();
}

pub(crate) fn applications(config: &mut Value) -> &mut Vec<Value> {
    config["applications"].as_array_mut().unwrap()
}

fn remove(config: &mut Value, name: &str) -> Value {
    let all = applications(config);
    let at = all.iter().position(|a| a["name"] == name).unwrap();
    all.remove(at)
}

/// An application that answers `/endless` with a beginning, `/never` with nothing, and everything
/// else with its name.
pub(crate) async fn talking(name: &'static str) -> Backend {
    talking_on(name).await.0
}

/// The same, whose `/endless` goes on with each word.
pub(crate) async fn talking_on(name: &'static str) -> (Backend, watch::Sender<&'static str>) {
    let (words, said) = watch::channel("");
    let backend = Backend::answering(move |request: Request<Incoming>| {
        let said = said.clone();
        async move {
            match request.uri().path() {
                "/endless" => {
                    let data =
                        |word: &'static str| Ok(Frame::data(Bytes::from_static(word.as_bytes())));
                    let first = futures_util::stream::iter([data("first")]);
                    let rest = futures_util::stream::unfold(said, move |mut said| async move {
                        if said.changed().await.is_err() {
                            return std::future::pending().await;
                        }
                        let word = *said.borrow_and_update();
                        Some((data(word), said))
                    });
                    Response::new(UnsyncBoxBody::new(StreamBody::new(first.chain(rest))))
                }
                "/never" => std::future::pending().await,
                _ => Response::new(body(name)),
            }
        }
    });
    (backend.await, words)
}

/// The body of an `/endless`, of which the first word was read.
pub(crate) async fn endless(name: &str, client: &Client) -> Incoming {
    let request = Request::get(format!("https://{name}.localhost/endless"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let mut answer = client.send(request).await.into_body();
    assert_eq!(next_word(&mut answer).await, "first");
    answer
}

pub(crate) async fn next_word(body: &mut Incoming) -> Bytes {
    let frame = within("the next octets", body.frame()).await.unwrap();
    frame.unwrap().into_data().unwrap()
}

/// What a WebSocket is closed with; what comes before it is passed over.
pub(crate) async fn close_of<S>(socket: &mut S) -> CloseFrame
where
    S: futures_util::Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    let close = within("the cut", async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(close))) => return close,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    close.await.unwrap()
}

#[tokio::test]
async fn applications_come_and_go_without_a_restart() {
    let (one, two) = (talking("one").await, talking("two").await);
    let stand = Stand::new()
        .metrics()
        .application("wiki", &one)
        .application("blog", &two)
        .start()
        .await;
    let file = stand.gateway_file();
    let mut blog = Value::Null;
    edit(&file, |config| blog = remove(config, "blog"));

    // A plan tells, and changes nothing.
    let plan = gateway(&stand, &["plan", &file.display().to_string()]).await;
    let plan = plan.success();
    assert!(
        plan.contains("application blog: removed, https://blog.localhost"),
        "{plan}"
    );
    assert!(
        plan.ends_with("compared with the running gateway: 1 changes, 0 of them wider\n"),
        "{plan}"
    );
    assert_eq!(stand.get("https://blog.localhost/").await.text(), "two");

    let told = reload(&stand).await;
    assert_eq!(
        (&told["outcome"], &told["generation"]),
        (&json!("done"), &json!(2))
    );
    let [change] = &told["changes"].as_array().unwrap()[..] else {
        panic!("{told}");
    };
    assert_eq!(change["application"], "blog");
    assert_eq!(
        (&change["wider"], &change["narrower"]),
        (&json!(false), &json!(true))
    );
    let answer = stand.get("https://blog.localhost/").await;
    assert_eq!(answer.header("appproxy-answer"), "gateway;error=no_route");
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "one");

    edit(&file, |config| applications(config).push(blog));
    let told = gateway(&stand, &["reload"]).await.success();
    assert!(
        told.contains("application blog: new, https://blog.localhost"),
        "{told}"
    );
    assert!(
        told.contains(" [wider]\ngeneration 3 is in force\n"),
        "{told}"
    );
    assert_eq!(stand.get("https://blog.localhost/").await.text(), "two");
    // What became wider is in the log, once.
    let wider = stand.gateway().lines("access is wider");
    assert_eq!(wider.len(), 1, "{wider:?}");
    assert!(wider[0].contains("application blog: new"), "{wider:?}");
    assert!(wider[0].contains("WARN"), "{wider:?}");

    let page = until_page(stand.metrics_address(), "the third generation", |page| {
        page.contains("\nappproxy_config_generation 3\n")
    })
    .await;
    assert!(
        page.contains("\nappproxy_config_last_reload_successful 1\n"),
        "{page}"
    );
    assert!(
        page.contains("appproxy_config_reloads_total{outcome=\"done\"} 2\n"),
        "{page}"
    );
    until_page(stand.metrics_address(), "a round trip", |page| {
        page.contains("\nappproxy_tunnel_rtt_seconds{group=\"default\",connector=\"")
    })
    .await;
    // Requests before it and after it are counted as one application's.
    let counted = "appproxy_requests_total{application=\"wiki\",status=\"2xx\",code=\"none\"} 1";
    assert!(page.contains(counted), "{page}");
}

#[tokio::test]
async fn a_configuration_that_is_wrong_changes_nothing_and_says_why() {
    let backend = talking("one").await;
    let stand = Stand::new()
        .metrics()
        .application("wiki", &backend)
        .start()
        .await;
    let file = stand.gateway_file();
    let good = fs::read_to_string(&file).unwrap();
    let broken = |page: &str| page.contains("\nappproxy_config_last_reload_successful 0\n");

    // One application of two is wrong: none is taken.
    edit(&file, |config| {
        let mut blog = applications(config)[0].clone();
        blog["name"] = json!("blog");
        blog["external_url"] = json!("https://blog.apps.localhost/");
        let mut wrong = blog.clone();
        wrong["name"] = json!("wrong");
        wrong["external_url"] = json!("ftp://wrong.localhost/");
        applications(config).extend([blog, wrong]);
    });
    let output = gateway(&stand, &["reload"]).await;
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(output.stderr.contains("external_url"), "{output:?}");
    assert!(output.stderr.contains("nothing was changed"), "{output:?}");
    stand.gateway().signal(Signal::HUP);
    stand.gateway().says(REFUSED).await;
    let said = stand.gateway().lines("configuration refused");
    assert!(
        said.iter()
            .any(|line| line.contains("ftp://wrong.localhost/")),
        "{said:?}"
    );
    until_page(stand.metrics_address(), "the refusal", broken).await;
    assert_eq!(stand.get("https://blog.apps.localhost/").await.status, 404);
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "one");

    // What counts only at the start is refused by name, and so is all that comes with it.
    put(&file, &good);
    edit(&file, |config| {
        config["workers"] = json!(1);
        config["listen"]["http"] = json!(["127.0.0.1:1"]);
        applications(config)[0]["maintenance"] = json!({});
    });
    let output = gateway(&stand, &["reload"]).await;
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    for key in [
        "`workers` has another value",
        "`listen.http` has another value",
    ] {
        assert!(output.stderr.contains(key), "{output:?}");
    }
    assert!(
        output.stderr.contains("generation 1 stays in force"),
        "{output:?}"
    );
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "one");

    // A certificate whose key is another's.
    put(&file, &good);
    let other = stand.authority().issue(&["wiki.localhost"]);
    let key = stand.folder().join("other.pem");
    fs::write(&key, &other.key).unwrap();
    edit(&file, |config| {
        config["certificates"][0]["key"] = json!(key)
    });
    let output = gateway(&stand, &["reload"]).await;
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "one");

    put(&file, &good);
    stand.gateway().signal(Signal::HUP);
    stand.gateway().says(IN_FORCE).await;
    until_page(stand.metrics_address(), "no refusal", |page| {
        page.contains("\nappproxy_config_last_reload_successful 1\n")
            && page.contains("\nappproxy_config_generation 2\n")
    })
    .await;
}

#[tokio::test]
async fn live_streams_go_on_and_what_nothing_lets_in_any_more_is_cut() {
    let ((one, words), two) = (talking_on("one").await, talking("two").await);
    let (chat, _) = Backend::demo().await;
    let stand = Stand::new()
        .metrics()
        .application("wiki", &one)
        .application("blog", &two)
        .application("chat", &chat)
        .application("stay", &chat)
        .start()
        .await;
    let mut kept = endless("wiki", stand.client()).await;
    let mut kept_http2 = endless("wiki", &stand.client().http2()).await;
    let mut cut = endless("blog", stand.client()).await;
    let mut cut_http2 = endless("blog", &stand.client().http2()).await;
    let waiting = {
        let client = stand.client().at(Ipv4Addr::new(127, 0, 0, 9));
        tokio::spawn(async move { client.get("https://blog.localhost/never").await })
    };
    let (mut gone, _) = stand.client().websocket("wss://chat.localhost/ws").await;
    let (mut stays, _) = stand.client().websocket("wss://stay.localhost/ws").await;
    until_page(stand.metrics_address(), "all in flight", |page| {
        page.contains("\nappproxy_requests_in_flight{application=\"blog\"} 3\n")
            && page.contains("\nappproxy_websockets_open 2\n")
    })
    .await;
    let file = stand.gateway_file();
    edit(&file, |config| {
        remove(config, "blog");
        remove(config, "chat");
        // Each of these has something new too.
        for application in applications(config) {
            application["timeouts"] = json!({ "connect": "3s" });
        }
    });
    let told = reload(&stand).await;
    assert_eq!(told["changes"].as_array().unwrap().len(), 4, "{told}");

    for body in [&mut cut, &mut cut_http2] {
        let frame = within("the cut", body.frame()).await;
        assert!(frame.unwrap().is_err());
    }
    let answer = within("the answer", waiting).await.unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.header("appproxy-answer"), "gateway;error=no_route");
    let close = close_of(&mut gone).await;
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "no longer published")
    );

    // The others are as they were.
    stays.send(Message::text("still here")).await.unwrap();
    within("the echo", async {
        loop {
            match stays.next().await {
                Some(Ok(Message::Text(text))) if text.contains("still here") => return,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    until_page(stand.metrics_address(), "what is left", |page| {
        page.contains("\nappproxy_requests_in_flight{application=\"wiki\"} 2\n")
            && page.contains("\nappproxy_websockets_open 1\n")
    })
    .await;
    words.send("second").unwrap();
    for body in [&mut kept, &mut kept_http2] {
        assert_eq!(next_word(body).await, "second");
    }
    until("five lines", || {
        stand
            .gateway()
            .said("cut: the rules do not let it in any more")
            == 4
    })
    .await;

    // Closed for its address is as good as gone.
    edit(&file, |config| {
        for application in applications(config) {
            application["maintenance"] = json!({ "allow": ["192.0.2.0/24"] });
        }
    });
    reload(&stand).await;
    assert_eq!(close_of(&mut stays).await.code, CloseCode::Policy);
    for body in [&mut kept, &mut kept_http2] {
        let frame = within("the cut", body.frame()).await;
        assert!(frame.unwrap().is_err());
    }
}

/// Whether whoever serves this port has octets to send and a reader without room for them: the kernel's
/// timer for that (4, zero window probe) runs.
fn waits_for_room(port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").expect("a file of the kernel");
    let port = format!(":{port:04X}");
    sockets.lines().any(|socket| {
        let fields: Vec<&str> = socket.split_whitespace().collect();
        fields[1].ends_with(&port) && fields[5].starts_with("04:")
    })
}

/// An answer that nobody takes is not asked for, and cannot tell that it is over.
#[tokio::test]
async fn an_upload_is_cut_though_nobody_reads_its_answer() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::answering(move |request: Request<Incoming>| {
        let tell = tell.clone();
        async move {
            tokio::spawn(async move {
                let mut upload = request.into_body();
                loop {
                    let frame = upload.frame().await;
                    let word = match &frame {
                        None => "end",
                        Some(Ok(_)) => "part",
                        Some(Err(_)) => "broken",
                    };
                    if tell.send(word).is_err() || word != "part" {
                        return;
                    }
                }
            });
            let parts = futures_util::stream::repeat_with(|| {
                Ok(Frame::data(Bytes::from_static(&[b'x'; 65_536])))
            });
            Response::new(UnsyncBoxBody::new(StreamBody::new(parts)))
        }
    })
    .await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let (parts, receiver) = tokio::sync::mpsc::channel::<&'static str>(1);
    let upload = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let part = receiver.recv().await?;
        let frame = Frame::data(Bytes::from_static(part.as_bytes()));
        Some((Ok::<_, std::convert::Infallible>(frame), receiver))
    });
    let request = Request::post(stand.url("wiki", "/"))
        .body(StreamBody::new(upload))
        .unwrap();
    let client = stand.client().http2();
    parts.send("one").await.unwrap();
    let answer = client.send(request).await;
    assert_eq!(within("the upload", told.recv()).await, Some("part"));
    // The whole way is full when the application's own kernel waits for room in the connector's.
    let port = backend.address().port();
    until("the halt of the answer", || waits_for_room(port)).await;
    parts.send("two").await.unwrap();
    assert_eq!(within("the upload", told.recv()).await, Some("part"));
    edit(&stand.gateway_file(), |config| {
        applications(config)[0]["external_url"] = json!("https://other.localhost/");
    });
    reload(&stand).await;
    let ends = within("the end of the upload", async {
        loop {
            match told.recv().await {
                Some("part") => {}
                other => return other,
            }
        }
    });
    assert_eq!(ends.await, Some("broken"));
    drop(answer);
}

#[tokio::test]
async fn nobody_notices_reloads_however_many_come() {
    let backend = talking("one").await;
    let stand = Stand::new()
        .metrics()
        .gateway_setting("limits", words::no_limits())
        .application("wiki", &backend)
        .start()
        .await;
    let file = stand.gateway_file();
    let client = stand.client().clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let askers: Vec<_> = (0..4)
        .map(|_| {
            let (client, stopped) = (client.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut asked = 0;
                while !*stopped.borrow() {
                    let answer = client.get("https://wiki.localhost/").await;
                    assert_eq!((answer.status.as_u16(), answer.text()), (200, "one"));
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    for turn in 0..10 {
        edit(&file, |config| {
            applications(config)[0]["timeouts"] = json!({ "idle": format!("{}s", 60 + turn) });
        });
        // Two at once, and one by signal.
        let (a, b) = tokio::join!(reload(&stand), reload(&stand));
        assert_eq!(
            (&a["outcome"], &b["outcome"]),
            (&json!("done"), &json!("done"))
        );
    }
    stop.send(true).unwrap();
    let mut asked = 0;
    for asker in askers {
        asked += within("its last answer", asker).await.unwrap();
    }
    assert!(asked >= 4, "{asked}");
    until_page(stand.metrics_address(), "twenty reloads", |page| {
        page.contains("\nappproxy_config_generation 21\n")
            && page.contains("\nappproxy_requests_in_flight{application=\"wiki\"} 0\n")
    })
    .await;
}

#[tokio::test]
async fn certificates_are_taken_by_themselves_when_their_files_change() {
    let backend = talking("one").await;
    let stand = Stand::new()
        .metrics()
        .application("wiki", &backend)
        .start()
        .await;
    let mut before = stand.client().connect("wiki.localhost").await;
    let leaf = stand
        .authority()
        .issue(&["wiki.localhost", "new.localhost"]);
    let expires = |page: &str, name: &str| {
        page.contains(&format!(
            "appproxy_certificate_expiry_seconds{{use=\"people\",name=\"{name}\"}}"
        ))
    };
    // A chain without its key is not taken, and said once.
    put(&stand.folder().join("chain.pem"), &leaf.chain);
    stand.gateway().says(REFUSED).await;
    until_page(stand.metrics_address(), "the refusal", |page| {
        page.contains("\nappproxy_config_last_reload_successful 0\n")
    })
    .await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "one");
    put(&stand.folder().join("key.pem"), &leaf.key);
    let line = stand.gateway().says(IN_FORCE).await;
    assert!(line.contains("changed certificates"), "{line}");
    until_page(stand.metrics_address(), "the new certificate", |page| {
        page.contains("\nappproxy_config_last_reload_successful 1\n")
            && expires(page, "wiki.localhost")
    })
    .await;
    // What the new one covers is answered, and who was connected still is.
    assert_eq!(stand.get("https://new.localhost/").await.status, 404);
    let request = Request::get(stand.url("wiki", "/"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    assert_eq!(before.send(request).await.unwrap().status(), 200);
    assert_eq!(stand.gateway().said(REFUSED), 1);
}

#[tokio::test]
async fn a_watched_configuration_is_taken_without_a_word() {
    let backend = talking("one").await;
    let folder = tempfile::tempdir().unwrap();
    let stand = Stand::new()
        .application("wiki", &backend)
        .gateway_setting("reload", json!("watch"))
        .gateway_setting(
            "include",
            json!(folder.path().join("*.yaml").display().to_string()),
        )
        .start()
        .await;
    let mut blog = Value::Null;
    edit(&stand.gateway_file(), |config| {
        blog = applications(config)[0].clone();
    });
    blog["name"] = json!("blog");
    let port = stand.address().port();
    blog["external_url"] = json!(format!("https://blog.apps.localhost:{port}/"));
    let file = folder.path().join("blog.yaml");
    put(&file, &json!([blog]).to_string());
    stand.gateway().says("access is wider").await;
    stand.gateway().says(IN_FORCE).await;
    assert_eq!(
        stand.get("https://blog.apps.localhost/").await.text(),
        "one"
    );
    put(&file, "- name: [");
    stand.gateway().says(REFUSED).await;
    assert_eq!(
        stand.get("https://blog.apps.localhost/").await.text(),
        "one"
    );
    fs::remove_file(&file).unwrap();
    until("the removal", || stand.gateway().said(IN_FORCE) == 2).await;
    assert_eq!(stand.get("https://blog.apps.localhost/").await.status, 404);
}

#[tokio::test]
async fn without_a_gateway_an_order_says_so_and_a_plan_compares_files() {
    let backend = talking("one").await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let socket = stand.folder().join("gateway.sock");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    stand.stop_gateway().await;
    assert!(!socket.exists());
    let output = gateway(&stand, &["reload"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("no gateway runs with"), "{output:?}");
    let other = stand.folder().join("other.yaml");
    fs::copy(stand.gateway_file(), &other).unwrap();
    edit(&other, |config| {
        applications(config)[0]["maintenance"] = json!({ "allow": ["192.0.2.0/24"] });
    });
    let plan = gateway(&stand, &["plan", &other.display().to_string()])
        .await
        .success();
    assert!(
        plan.contains("application wiki: open_for: everybody -> nobody, 192.0.2.0/24 [narrower]"),
        "{plan}"
    );
    assert!(
        plan.contains("(no gateway runs): 1 changes, 0 of them wider"),
        "{plan}"
    );
}

#[tokio::test]
async fn a_question_is_explained_and_the_log_changes_while_all_runs() {
    let backend = talking("one").await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .application_with(
            "old",
            &backend,
            json!({ "maintenance": { "allow": ["192.0.2.0/24"] } }),
        )
        .start()
        .await;
    let explain = async |arguments: &[&str]| {
        let arguments = [&["explain", "--json"], arguments].concat();
        let text = gateway(&stand, &arguments).await.success();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let told = explain(&["--url", &stand.url("wiki", "/a")]).await;
    assert_eq!(told["reaches"], true, "{told}");
    until("both tunnels", || stand.tunnels() == (2, 0)).await;
    let told = explain(&["--url", &stand.url("wiki", "/a")]).await;
    let group = told["steps"].as_array().unwrap().iter();
    let mut group = group.filter(|step| step["stage"] == "connector group");
    assert_eq!(group.next().unwrap()["decision"], "tunnels: 2", "{told}");
    let url = stand.url("old", "/");
    let told = explain(&["--url", &url, "--ip", "192.0.2.3", "--method", "POST"]).await;
    assert_eq!(told["reaches"], true, "{told}");
    let text = gateway(&stand, &["explain", "--url", &url, "--ip", "203.0.113.1"]).await;
    let text = text.success();
    assert!(text.contains("closed for this address"), "{text}");
    assert!(text.contains("\nrefused: maintenance: "), "{text}");
    let output = gateway(&stand, &["explain", "--url", "wiki.localhost"]).await;
    assert_eq!(output.status.code(), Some(64), "{output:?}");

    // The level changes for what comes, and back again.
    let asked = async || {
        stand.get("https://wiki.localhost/").await;
    };
    let lines = || stand.gateway().said("request");
    asked().await;
    until("a line", || lines() == 1).await;
    let output = gateway(&stand, &["log-level", "info,access=off"]).await;
    assert!(output.success().contains("`info,access=off`"));
    asked().await;
    let output = gateway(&stand, &["log-level", "a=b=c"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output.stderr.contains("`a=b=c` is not understood"),
        "{output:?}"
    );
    gateway(&stand, &["log-level"]).await.success();
    asked().await;
    until("another line", || lines() == 2).await;

    // With a file, lines go there, and to another one when it was moved away.
    let log = stand.folder().join("gateway.log");
    edit(&stand.gateway_file(), |config| {
        config["log"] = json!({ "to": { "file": log }, "level": "info,appproxy::gateway=debug" });
    });
    reload(&stand).await;
    let contains =
        |path: &Path, what: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(what));
    asked().await;
    until("lines in the file", || {
        contains(&log, "\"target\":\"access\"")
    })
    .await;
    let moved = stand.folder().join("gateway.log.1");
    fs::rename(&log, &moved).unwrap();
    stand.gateway().signal(Signal::HUP);
    until("the file again", || {
        contains(&log, "configuration in force")
    })
    .await;
    edit(&stand.gateway_file(), |config| {
        config["log"] = json!({ "to": { "file": "/nowhere/gateway.log" } });
    });
    let output = gateway(&stand, &["reload"]).await;
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(output.stderr.contains("/nowhere/gateway.log"), "{output:?}");
}
