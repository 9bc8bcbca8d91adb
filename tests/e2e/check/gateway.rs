//! A gateway that does not run, its store, and its connectors.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

use appproxy::clock::Clock;
use appproxy::connector::StateFolder;
use appproxy::store::{Seen, StoreKeys, open_sqlite};
use rustix::process::Signal;
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::{change, check, order, through_the_tunnel};
use crate::beds::check::{Report, changed};
use crate::harness::{
    Backend, Process, Relay, Running, Stand, gone, read_head, run, within, words,
};

async fn wiki() -> (Backend, Running) {
    let app = Backend::text("wiki").await;
    let stand = Stand::new().application("wiki", &app).start().await;
    (app, stand)
}

#[tokio::test]
async fn a_gateway_that_does_not_run_is_started_and_a_damaged_store_restored() {
    let (_app, mut stand) = wiki().await;
    let file = stand.gateway_file();
    let config = file.display().to_string();
    let backup = stand.folder().join("backup").display().to_string();
    order(&stand, &["gateway", "backup", &backup, "--config", &config]).await;
    let connector = stand.folder().join("connector-1.yaml");
    stand.connectors().clear();
    stand.stop_gateway().await;

    let down = through_the_tunnel(&stand, "wiki").await;
    down.found("gateway_not_running");
    assert_eq!(down.code, 2);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(stand.folder().join(format!("gateway.db{end}")));
    }
    fs::write(stand.folder().join("gateway.db"), [b'x'; 8192]).unwrap();
    let damaged = check(&file).await;
    let remedy = damaged.found("store_unreadable")["remedy"]
        .as_str()
        .unwrap();
    assert!(remedy.contains("appproxy gateway restore"), "{remedy}");
    order(
        &stand,
        &[
            "gateway",
            "restore",
            &backup,
            "--replace",
            "--config",
            &config,
        ],
    )
    .await;
    let restored = check(&file).await;
    assert!(!restored.has("store_unreadable"), "{:#?}", restored.lines);

    stand.successor().await;
    stand.start_connector(&connector).await;
    let up = through_the_tunnel(&stand, "wiki").await;
    assert!(!up.has("gateway_not_running"), "{:#?}", up.lines);
    up.passes("wiki (");
}

#[tokio::test]
async fn a_connector_that_hangs_or_is_of_another_version_or_serves_nothing_is_told() {
    let (_app, mut stand) = wiki().await;
    let file = stand.gateway_file();

    // Stopped, it keeps its tunnel for a while and says nothing.
    stand.connectors()[0].signal(Signal::STOP);
    let hanging = through_the_tunnel(&stand, "wiki").await;
    stand.connectors()[0].signal(Signal::CONT);
    hanging.found("connector_silent");
    within("what is looked at again", async {
        while through_the_tunnel(&stand, "wiki")
            .await
            .has("connector_silent")
        {}
    })
    .await;

    // As one of an earlier version is kept in the store.
    let store = stand.folder().join("gateway.db");
    let keys = StoreKeys::existing(None, &store).unwrap().unwrap();
    let store = open_sqlite(&store, keys).await.unwrap();
    let config = stand.folder().join("connector-1.yaml");
    let identity = StateFolder::new(config.with_extension(""))
        .stored()
        .unwrap();
    let seen = Seen {
        at: Clock::system().now(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        version: "0.0.9".to_owned(),
    };
    store.connector_seen(&identity.id, seen).await.unwrap();
    let old = check(&file).await;
    let line = old.found("connector_version");
    assert!(line["what"].as_str().unwrap().contains("0.0.9"), "{line}");
    stand.connectors().clear();
    stand.start_connector(&config).await;
    let same = check(&file).await;
    assert!(!same.has("connector_version"), "{:#?}", same.lines);

    // One of a group that nobody names, told on both sides.
    let branch = stand.enrol("branch").await;
    check(&branch).await.found("group_serves_nothing");
    let line = check(&file).await.found("group_serves_nothing").clone();
    assert!(
        line["remedy"].as_str().unwrap().contains("[branch]"),
        "{line}"
    );
    change(&file, |config| {
        config["applications"][0]["connector_groups"] = json!(["default", "branch"]);
    });
    let config = file.display().to_string();
    order(&stand, &["gateway", "reload", "--config", &config]).await;
    for side in [&file, &branch] {
        let after = check(side).await;
        assert!(!after.has("group_serves_nothing"), "{:#?}", after.lines);
    }
}

#[tokio::test]
async fn a_server_in_this_gateways_place_that_refuses_the_handshake_is_told() {
    let (_app, stand) = wiki().await;
    let at = |port: u16| {
        changed(&stand, |config| {
            let url = format!("https://wiki.localhost:{port}/");
            config["applications"][0]["external_url"] = json!(url);
        })
    };
    // By OpenSSL's own doing: no certificate for the name, too old, no cipher suite that is shared, and a failure.
    let leaf = stand.authority().issue(&["*.localhost"]);
    let files = ["x.pem", "x.key"].map(|name| stand.folder().join(name));
    fs::write(&files[0], &leaf.chain).unwrap();
    fs::write(&files[1], &leaf.key).unwrap();
    let serve = async |fault: &str, port: u16| {
        let mut command = Command::new("python3");
        command.arg("tests/e2e/python/tls_server.py");
        command.args([fault, &port.to_string()]);
        command.args(&files).stdout(Stdio::null());
        let server = Process::start("server", &mut command);
        server.line("it listens", |line| line == "listening").await;
        server
    };
    for (fault, code) in [
        ("name", "tls_name_unknown"),
        ("old", "tls_too_old"),
        ("cipher", "tls_no_cipher"),
        ("failed", "tls_failed"),
    ] {
        let port = free_port();
        let file = at(port);
        let server = serve(fault, port).await;
        let report = check(&file).await;
        let line = report.found(code);
        assert!(!line["remedy"].as_str().unwrap().is_empty(), "{line}");
        drop(server);
        // Put right where it stands; what it is instead of this gateway is another matter.
        let _right = serve("right", port).await;
        let after = check(&file).await;
        assert!(!after.has(code), "{code}: {:#?}", after.lines);
        let line = after.found("leads_elsewhere");
        assert!(
            line["subject"].as_str().unwrap().starts_with("wiki"),
            "{line}"
        );
    }

    // One that hangs up, and what is in its place then.
    let mut closes = Backend::raw(|mut stream| async move {
        let _ = stream.read_u8().await;
        let _ = stream.shutdown().await;
        gone(&mut stream).await;
    })
    .await;
    let address = closes.address();
    let file = at(address.port());
    check(&file).await.found("tls_closed");
    closes.stop().await;
    let _way = Relay::between(address, stand.address()).await;
    let after = check(&file).await;
    assert!(!after.has("tls_closed"), "{:#?}", after.lines);
    after.passes("wiki.localhost (of wiki)");
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_store_whose_key_is_another_s_is_told_until_its_own_is_back() {
    let (_app, mut stand) = wiki().await;
    let file = stand.gateway_file();
    stand.connectors().clear();
    stand.stop_gateway().await;
    let key = stand.folder().join("store.key");
    let own = fs::read_to_string(&key).unwrap();
    // As a key is made: 32 octets in Base64.
    fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    let wrong = check(&file).await;
    let line = wrong.found("store_key_wrong");
    let remedy = line["remedy"].as_str().unwrap();
    assert!(remedy.contains("that it was made with"), "{line}");
    assert!(!line.to_string().contains("AAECAwQF"), "{line}");
    assert_eq!(wrong.code, 2);
    fs::write(&key, own).unwrap();
    let after = check(&file).await;
    assert!(!after.has("store_key_wrong"), "{:#?}", after.lines);
    stand.successor().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_be_asked_is_told_and_the_rest_is_looked_at() {
    let (_app, stand) = wiki().await;
    let file = stand.gateway_file();
    let socket = stand.folder().join("gateway.sock");

    // Stopped, it takes connections and says nothing.
    stand.gateway().signal(Signal::STOP);
    let (whole, one) = tokio::join!(check(&file), through_the_tunnel(&stand, "wiki"));
    stand.gateway().signal(Signal::CONT);
    for silent in [whole, one] {
        let line = silent.found("gateway_silent");
        assert!(
            line["remedy"].as_str().unwrap().contains("restart"),
            "{line}"
        );
        assert_eq!(silent.code, 2);
        silent.passes("listen.https");
        let skipped = ["group default", "open files"];
        for subject in skipped {
            let mut lines = silent.lines.iter();
            let line = lines.find(|line| line["subject"] == subject).unwrap();
            assert_eq!(line["outcome"], "skip", "{line}");
        }
    }
    // It goes on by itself, and no restart is needed; its connector may have given it up, and comes back.
    let is_seen = |line: &Value| line["subject"].as_str().unwrap().starts_with("wiki (");
    within("the application is seen again", async {
        loop {
            let one = through_the_tunnel(&stand, "wiki").await;
            assert!(!one.has("gateway_silent"), "{:#?}", one.lines);
            if one.lines.iter().any(is_seen) {
                return one.passes("wiki (");
            }
        }
    })
    .await;

    // Root without what makes it root, at the socket of another account; and root, as the remedy says.
    std::os::unix::fs::chown(&socket, Some(65_534), None).unwrap();
    let config = file.display().to_string();
    let command = [words::PROGRAM, "check", "--json", "--config", &config];
    let all = [&["--bounding-set=-dac_override"], &command[..]].concat();
    let other = Report::of(&run("setpriv", &all, &[], "").await);
    let remedy = other.found("gateway_forbidden")["remedy"].as_str().unwrap();
    assert!(remedy.contains("as root"), "{remedy}");
    let as_root = check(&file).await;
    assert!(!as_root.has("gateway_forbidden"), "{:#?}", as_root.lines);

    // One that speaks another language, in the place of which the right one is named.
    let strange = stand.folder().join("strange.sock");
    let listener = UnixListener::bind(&strange).unwrap();
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
            let _ = stream.write_all(answer).await;
        }
    });
    let elsewhere = changed(&stand, |config| {
        config["listen"]["admin"] = json!(format!("unix:{}", strange.display()));
    });
    check(&elsewhere).await.found("gateway_unheard");
    answering.abort();
    let right = check(&changed(&stand, |_| {})).await;
    assert!(!right.has("gateway_unheard"), "{:#?}", right.lines);
}
