//! What a service manager such as systemd is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, geteuid};
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
    let connector = &stand.connectors()[0];
    connector.signal(Signal::HUP);
    connector.says("configuration in force").await;
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

/// The system calls of each group of systemd's, as `systemd-analyze syscall-filter` prints them.
fn groups() -> BTreeMap<String, Vec<String>> {
    let output = Command::new("systemd-analyze")
        .args(["--no-pager", "syscall-filter"])
        .output()
        .expect("systemd-analyze is there");
    let mut groups = BTreeMap::<_, Vec<String>>::new();
    let mut group = String::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if line.starts_with('@') {
            line.clone_into(&mut group);
        } else if let Some(member) = line.strip_prefix("    ")
            && !member.starts_with('#')
        {
            let members = groups.entry(group.clone()).or_default();
            members.push(member.to_owned());
        }
    }
    groups
}

/// What a unit's `SystemCallFilter=` lines let through.
fn let_through(unit: &str) -> BTreeSet<String> {
    fn expand(groups: &BTreeMap<String, Vec<String>>, word: &str, all: &mut BTreeSet<String>) {
        if !word.starts_with('@') {
            all.insert(word.to_owned());
            return;
        }
        let members = groups.get(word);
        for member in members.unwrap_or_else(|| panic!("{word} is no group of systemd's")) {
            expand(groups, member, all);
        }
    }
    let groups = groups();
    let text = fs::read_to_string(unit).unwrap();
    let mut through = BTreeSet::new();
    let lines = text
        .lines()
        .filter_map(|l| l.strip_prefix("SystemCallFilter="));
    for line in lines {
        let mut named = BTreeSet::new();
        let words = line.trim_start_matches('~').split_whitespace();
        words.for_each(|word| expand(&groups, word, &mut named));
        if line.starts_with('~') {
            through.retain(|call| !named.contains(call));
        } else {
            through.append(&mut named);
        }
    }
    // The start itself is always let through, and so is this group.
    expand(&groups, "@default", &mut through);
    through
}

/// A run with all that a service does, watched by strace: the sandbox of the units would let all of
/// it happen.
#[tokio::test]
async fn the_units_let_every_system_call_through_that_a_service_makes() {
    let manager = Manager::listen();
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new()
        .traced()
        .application("wiki", &backend)
        .metrics()
        .environment("NOTIFY_SOCKET", &manager.address())
        .environment("WATCHDOG_USEC", "1000000")
        .gateway_setting("congestion", json!("cubic"))
        .connector_setting("congestion", json!("cubic"))
        .connector_setting("connections", json!(1))
        .start()
        .await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    let pages = format!("http://{}/metrics", stand.metrics_address());
    let page = stand.curl(&["--fail", &pages]).await.success();
    assert!(page.contains("appproxy_tunnels"), "{page}");
    let connector = stand.connectors().remove(0);
    connector.signal(Signal::HUP);
    connector.terminate();
    assert!(connector.ended().await.success());
    stand.gateway().signal(Signal::HUP);
    assert!(stand.stop_gateway().await.success());

    let folder = stand.folder();
    for (config, unit, own) in [
        (stand.gateway_file(), "gateway", "fsync"),
        (folder.join("connector-1.yaml"), "connector", "connect"),
    ] {
        let made = stand.calls(&config).await;
        for call in ["epoll_wait", "socket", "sendto", own] {
            assert!(made.contains(call), "{unit}: {call} is not in {made:?}");
        }
        let through = let_through(&format!("examples/service/appproxy-{unit}.service"));
        let mut stopped: Vec<_> = made.difference(&through).collect();
        // As root alone, which a service is not, SQLite gives its files to the owner of the store.
        stopped.retain(|call| !(geteuid().is_root() && *call == "fchown"));
        assert_eq!(stopped, Vec::<&String>::new(), "{unit}");
        // The filter is there to stop these.
        for call in ["chown", "setuid", "mount", "reboot", "ptrace", "bpf"] {
            assert!(!through.contains(call), "{unit}: {call} is let through");
        }
    }
}
