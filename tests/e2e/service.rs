//! What a service manager such as systemd is told.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::time::Instant;

use crate::harness::{Backend, Process, Stand, until, within, words};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn listen() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { socket, folder }
    }

    fn address(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    /// The next that it is told.
    async fn hears(&self) -> String {
        let mut octets = [0; 4096];
        let count = within(
            "a word to the service manager",
            self.socket.recv(&mut octets),
        );
        let count = count.await.unwrap();
        String::from_utf8(octets[..count].to_vec()).unwrap()
    }

    /// Waits for a word that has all of these lines.
    async fn hears_of(&self, lines: &[&str]) -> String {
        loop {
            let word = self.hears().await;
            if lines.iter().all(|line| word.lines().any(|l| l == *line)) {
                return word;
            }
        }
    }
}

/// What other servers read their configuration again for, and a terminal that closes.
#[tokio::test]
async fn a_hangup_ends_nothing_and_is_answered_in_words() {
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    stand.gateway().signal(Signal::HUP);
    stand.gateway().says("configuration in force").await;
    let said = "SIGHUP: a connector reads its configuration at the start alone";
    let hears = |line: &str| line.contains(said);
    let connector = &stand.connectors()[0];
    connector.signal(Signal::HUP);
    connector.line("the connector's word", hears).await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    // The second may still have been on its way.
    until("both tunnels", || stand.tunnels() == (2, 0)).await;
}

fn connector(config: &Path, manager: &Manager) -> Process {
    let mut command = Command::new(words::PROGRAM);
    command
        .args(words::connector(config))
        .args(words::LOG_AS_JSON);
    command.env("NOTIFY_SOCKET", manager.address());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Process::start("connector", &mut command)
}

#[tokio::test]
async fn a_gateway_tells_of_start_state_life_and_stop() {
    let manager = Manager::listen();
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new()
        .application("wiki", &backend)
        .connectors(0)
        .connector_setting("connections", json!(1))
        .gateway_setting("drain", json!({ "notice": "1s", "deadline": "7s" }))
        .environment("NOTIFY_SOCKET", &manager.address())
        .environment("WATCHDOG_USEC", "1000000")
        .start()
        .await;
    let state = "STATUS=serving; tunnels: 0, applications: 1, connections: 0";
    assert_eq!(manager.hears().await, format!("READY=1\n{state}\n"));
    // How often is a unit's test.
    for _ in 0..4 {
        manager.hears_of(&["WATCHDOG=1"]).await;
    }
    let config = stand.enrol("default").await;
    // This one has a manager of its own.
    let other = Manager::listen();
    let connector = connector(&config, &other);
    let ready = other.hears_of(&["READY=1"]).await;
    assert_eq!(ready, "READY=1\nSTATUS=serving; tunnels: 1\n");
    let state = "STATUS=serving; tunnels: 1, applications: 1, connections: 0";
    manager.hears_of(&[state]).await;

    connector.terminate();
    let stopping = ["STOPPING=1", "EXTEND_TIMEOUT_USEC=40000000"];
    other.hears_of(&stopping).await;
    assert!(connector.ended().await.success());
    let open = stand.client().raw("wiki.localhost").await;
    stand.gateway().terminate();
    manager
        .hears_of(&["STOPPING=1", "EXTEND_TIMEOUT_USEC=17000000"])
        .await;
    // It lives until its end.
    manager.hears_of(&["WATCHDOG=1"]).await;
    drop(open);
    assert!(stand.gateway().ended().await.success());
}

#[tokio::test]
async fn a_connector_without_a_tunnel_is_started_all_the_same() {
    let mut stand = Stand::new().connectors(0).start().await;
    let config = stand.enrol("default").await;
    stand.stop_gateway().await;
    let manager = Manager::listen();
    let since = Instant::now();
    let connector = connector(&config, &manager);
    let ready = manager.hears_of(&["READY=1"]).await;
    assert!(
        since.elapsed() >= Duration::from_secs(9),
        "it waits for the first"
    );
    assert_eq!(
        ready,
        "READY=1\nSTATUS=no tunnel to any gateway; the log says why\n"
    );
    stand.restart_gateway().await;
    manager.hears_of(&["STATUS=serving; tunnels: 2"]).await;
    connector.terminate();
    manager.hears_of(&["STOPPING=1"]).await;
    assert!(connector.ended().await.success());
}

#[tokio::test]
async fn a_manager_that_is_not_there_is_said_once_and_no_reason_to_fail() {
    let backend = Backend::text("ok").await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .environment("NOTIFY_SOCKET", "/nonexistent/notify")
        .environment("WATCHDOG_USEC", "200000")
        .start()
        .await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    let word = "the service manager cannot be told (NOTIFY_SOCKET)";
    stand.gateway().says(word).await;
    stand.stop_gateway().await;
    assert_eq!(stand.gateway().said(word), 1);
}
