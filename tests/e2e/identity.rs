//! A connector's identity lives by itself: renewal, late renewal, removal, rotation of the
//! authority, unregistering, and clocks that differ.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use appproxy::certs::PeerConnector;
use appproxy::clock::{Clock, Timestamp};
use appproxy::config::ConnectorConfig;
use appproxy::connector;
use appproxy::tunnel::token::Token;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Backend, Client, Output, Process, Running, Stand, until, within, words};

/// A gateway whose connectors' certificates live this long.
fn stand(backend: &Backend, life: &str, grace: &str) -> Stand {
    let tunnel = json!({ "certificate_life": life, "renewal_grace": grace });
    Stand::new()
        .application("wiki", backend)
        .gateway_setting("tunnel", tunnel)
}

async fn gateway(stand: &Running, arguments: &[&str]) -> Output {
    let file = stand.gateway_file().display().to_string();
    let all = [&["gateway"], arguments, &["--config", &file]].concat();
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    stand.program(&all, "").await
}

async fn connectors(stand: &Running) -> Vec<Value> {
    let text = gateway(stand, &["connector", "list", "--json"]).await;
    serde_json::from_str(&text.success()).unwrap()
}

/// The certificate that a connector keeps.
fn leaf(stand: &Running, connector: usize) -> CertificateDer<'static> {
    let file = format!("connector-{connector}/identity.pem");
    let text = fs::read(stand.folder().join(file)).unwrap();
    CertificateDer::pem_slice_iter(&text)
        .next()
        .unwrap()
        .unwrap()
}

/// What stands in it.
fn kept(stand: &Running, connector: usize) -> PeerConnector {
    PeerConnector::from_certificate(&leaf(stand, connector)).unwrap()
}

fn authorities(stand: &Running, connector: usize) -> usize {
    let file = format!("connector-{connector}/identity.pem");
    let text = fs::read(stand.folder().join(file)).unwrap();
    CertificateDer::pem_slice_iter(&text).count() - 1
}

fn count(process: &Process, message: &str) -> usize {
    let lines = process.log();
    let said = |line: &&String| words::message(line).as_deref() == Some(message);
    lines.iter().filter(said).count()
}

async fn until_time(what: &str, time: Timestamp) {
    until(what, || Clock::system().now() >= time).await;
}

/// Two clients that ask one request after the other, and what they got.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(stand: &Running) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let client = |client: Client| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.get("https://wiki.localhost/").await;
                    if answer.status != 200 {
                        failed.push(format!("{} {}", answer.status, answer.text()));
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        };
        let clients = vec![
            client(stand.client().clone()),
            client(stand.client().http2()),
        ];
        Self {
            stop,
            answered,
            clients,
        }
    }

    /// Ends them; all their requests must have been answered by the application.
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            assert_eq!(client.await.unwrap(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn a_short_lived_certificate_is_renewed_over_and_over_and_no_request_fails() {
    let backend = Backend::text("hello").await;
    let stand = stand(&backend, "15s", "1h").start();
    let mut stand = stand.await;
    let first = kept(&stand, 1);
    assert_eq!(first.not_after.0 - first.issued.0, 15);
    let load = Load::on(&stand);
    let connector = stand.connectors().remove(0);
    let mut ends = vec![first.not_after];
    // Three renewals are two lives and more.
    for _ in 0..3 {
        let last = *ends.last().unwrap();
        until("another certificate", || kept(&stand, 1).not_after > last).await;
        let new = kept(&stand, 1);
        ends.push(new.not_after);
        // Before the other's end, whenever this is looked at; that it is at two thirds of its life is
        // a unit's test.
        assert!(new.issued < last, "{new:?} {ends:?}");
    }
    let end_of_third = ends[2];
    until_time("the end of the third certificate", end_of_third).await;
    until("many answers", || {
        load.answered.load(Ordering::Relaxed) > 100
    })
    .await;
    load.end().await;
    let now = kept(&stand, 1);
    assert_eq!(
        (&now.id, now.public_key_hash),
        (&first.id, first.public_key_hash)
    );

    assert_eq!(count(&connector, "no tunnel; trying again"), 0);
    assert_eq!(
        count(&connector, "certificate not renewed; trying again"),
        0
    );
    assert_eq!(count(stand.gateway(), "certificate not renewed"), 0);
    // One renewal at a time, as many as the time that has passed has room for, and of tunnels two for
    // each certificate.
    let renewed = || count(&connector, "certificate renewed");
    until("both ends' word on each", || {
        count(stand.gateway(), "certificate renewed") == renewed()
    })
    .await;
    let (opened, closed) = stand.tunnels();
    let renewed = renewed();
    let passed = kept(&stand, 1).not_after.0 - first.not_after.0;
    let most = usize::try_from(passed / 9).unwrap();
    assert!((3..=most).contains(&renewed), "{renewed} in {passed} s");
    assert!(
        (6..=2 * (renewed + 1)).contains(&opened),
        "{opened} opened, {closed} closed"
    );
    assert_eq!(connectors(&stand).await.len(), 1);
}

#[tokio::test]
async fn an_ended_certificate_is_renewed_late_unless_it_was_removed_or_the_grace_is_over() {
    let backend = Backend::text("hello").await;
    let mut stand = stand(&backend, "10s", "1h").connectors(3).start().await;
    let files: Vec<PathBuf> = (1..=3)
        .map(|n| stand.folder().join(format!("connector-{n}.yaml")))
        .collect();
    let running: Vec<Process> = stand.connectors().drain(..).collect();
    for connector in &running {
        connector.terminate();
    }
    for connector in &running {
        assert_eq!(connector.ended().await.code(), Some(0));
    }
    drop(running);
    let old: Vec<PeerConnector> = (1..=3).map(|n| kept(&stand, n)).collect();
    let removed = old[1].id.to_string();
    gateway(&stand, &["connector", "remove", &removed])
        .await
        .success();
    let last_end = old.iter().map(|peer| peer.not_after).max().unwrap();
    until_time("the end of the certificates", last_end).await;

    // The first comes back by itself.
    stand.start_connector(&files[0]).await;
    let back = &stand.connectors()[0];
    back.says("certificate renewed").await;
    let new = kept(&stand, 1);
    assert_eq!(
        (&new.id, new.public_key_hash),
        (&old[0].id, old[0].public_key_hash)
    );
    assert!(new.not_after > old[0].not_after);
    let answer = stand.get("https://wiki.localhost/").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "hello"));
    let late = stand
        .gateway()
        .line("late", |l| {
            l.contains("renewed_late") && l.contains(old[0].id.as_str())
        })
        .await;
    let late: Value = serde_json::from_str(&late).unwrap();
    assert_eq!(late["connector"], old[0].id.as_str());

    // The second is refused for ever, and says why.
    let ends = "appproxy: error [connector_removed] this connector was removed at its gateways; register it again with a new token";
    for _ in 0..2 {
        let again = stand.spawn_connector(&files[1]);
        assert_eq!(again.ended().await.code(), Some(64));
        assert_eq!(again.log().last().unwrap(), ends);
    }
    assert_eq!(kept(&stand, 2), old[1]);

    // While no gateway can be reached it keeps trying, and says so once.
    stand.stop_gateway().await;
    let waiting = stand.spawn_connector(&files[2]);
    let line = waiting.says("certificate not renewed; trying again").await;
    assert!(line.contains("refused the connection"), "{line}");
    assert!(line.contains("\"code\":\"identity_not_renewed\""), "{line}");
    stand.restart_gateway().await;
    waiting.says(words::TUNNEL_OPEN).await;
    assert_eq!(count(&waiting, "certificate not renewed; trying again"), 1);
    waiting.terminate();
    waiting.ended().await;
    drop(waiting);

    // And once the grace is over only a new token helps.
    let text = fs::read_to_string(stand.gateway_file()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["tunnel"]["renewal_grace"] = json!("2s");
    fs::write(stand.gateway_file(), config.to_string()).unwrap();
    stand.restart_gateway().await;
    let over = kept(&stand, 3).not_after.0 + 2;
    until_time("the end of the grace", Timestamp(over)).await;
    let late = stand.spawn_connector(&files[2]);
    assert_eq!(late.ended().await.code(), Some(64));
    let said = late.log().last().unwrap().clone();
    assert!(
        said.contains(
            "the time in which it could be renewed is over too: register again with a new token"
        ),
        "{said}"
    );
}

#[tokio::test]
async fn the_authority_is_rotated_under_load_and_nobody_notices() {
    let backend = Backend::text("hello").await;
    let stand = stand(&backend, "60s", "1h").connectors(3);
    let mut stand = stand.start().await;
    // One is away from before the rotation until after its end, another one comes back in between.
    for _ in 0..2 {
        let away = stand.connectors().remove(1);
        away.terminate();
        away.ended().await;
    }
    let old_token = stand.token(words::GROUP).await;
    let late_token = stand.token(words::GROUP).await;
    let nothing = gateway(&stand, &["ca", "rotate", "--finish"]).await;
    assert_eq!(nothing.status.code(), Some(1));

    let load = Load::on(&stand);
    // Two certificates may be of the same second.
    let before = leaf(&stand, 1);
    let said = gateway(&stand, &["ca", "rotate"]).await.success();
    let again = gateway(&stand, &["ca", "rotate"]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(
        again.stderr.contains("a rotation is under way"),
        "{}",
        again.stderr
    );
    until("both authorities at the connector", || {
        authorities(&stand, 1) == 2
    })
    .await;
    until("a certificate of the new one", || leaf(&stand, 1) != before).await;

    let (back, was) = (stand.folder().join("connector-3.yaml"), leaf(&stand, 3));
    assert_eq!(authorities(&stand, 3), 1);
    stand.start_connector(&back).await;
    until("it has changed over too", || {
        authorities(&stand, 3) == 2 && leaf(&stand, 3) != was
    })
    .await;

    // A token of before still works, and one of now carries the new pin.
    let new_token = stand.token(words::GROUP).await;
    let (old_pin, new_pin) = (
        Token::parse(&old_token).unwrap().pin,
        Token::parse(&new_token).unwrap().pin,
    );
    assert_ne!(old_pin, new_pin);
    for part in [
        format!("{new_pin} is new"),
        format!("{old_pin} counts until "),
    ] {
        assert!(said.contains(&part), "{said}");
    }
    for token in [&old_token, &new_token] {
        let file = register(&mut stand, token).await;
        stand.start_connector(&file).await;
    }
    assert_eq!((authorities(&stand, 4), authorities(&stand, 5)), (2, 2));

    gateway(&stand, &["ca", "rotate", "--finish"])
        .await
        .success();
    for connector in [1, 3, 4, 5] {
        let what = format!("the new authority alone at connector {connector}");
        until(&what, || authorities(&stand, connector) == 1).await;
    }
    // Tunnels that were opened with a certificate of the old one are given up, gently.
    until("two tunnels of each", || stand.tunnels().0 >= 8).await;
    let gone = |line: &str| line.contains("authority of its certificate counts no more");
    stand
        .gateway()
        .line("a tunnel of the old authority", gone)
        .await;
    let token = stand.token(words::GROUP).await;
    let file = register(&mut stand, &token).await;
    stand.start_connector(&file).await;
    until("some answers", || {
        load.answered.load(Ordering::Relaxed) > 20
    })
    .await;
    load.end().await;

    // A token of the old authority is worthless, and the one that was away is told what to do.
    let spent = stand.connector_file();
    let arguments = ["register", "--config", spent.to_str().unwrap()].map(str::to_owned);
    let refused = stand.program(&arguments, &late_token).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("another installation"),
        "{}",
        refused.stderr
    );
    let file = stand.folder().join("connector-2.yaml");
    let late = stand.spawn_connector(&file);
    let told = |line: &str| {
        words::message(line).as_deref() == Some("no tunnel; trying again")
            && line.contains("register it again with a new token")
            && line.contains("\"code\":\"other_installation\"")
    };
    late.line("what to do", told).await;
}

async fn register(stand: &mut Running, token: &str) -> PathBuf {
    let file = stand.connector_file();
    let arguments = ["register", "--config", file.to_str().unwrap()].map(str::to_owned);
    stand.program(&arguments, token).await.success();
    file
}

async fn unregister(stand: &Running, file: &Path, force: bool) -> Output {
    let mut arguments = [
        "connector",
        "unregister",
        "--config",
        file.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(force.then(|| "--force".to_owned()));
    stand.program(&arguments, "").await
}

#[tokio::test]
async fn a_connector_that_unregisters_leaves_no_ghost_on_either_side() {
    let backend = Backend::text("hello").await;
    let stand = Stand::new().application("wiki", &backend).connectors(3);
    let mut stand = stand.start().await;
    let file = |stand: &Running, n| stand.folder().join(format!("connector-{n}.yaml"));
    let state = |stand: &Running, n| {
        let folder = stand.folder().join(format!("connector-{n}"));
        fs::read_dir(folder).unwrap().count()
    };
    let ids: Vec<String> = (1..=3).map(|n| kept(&stand, n).id.to_string()).collect();

    // One that runs: it is cut, and ends as if an operator had removed it.
    let first = stand.connectors().remove(0);
    let done = unregister(&stand, &file(&stand, 1), false).await;
    assert_eq!(
        done.success(),
        format!(
            "Connector {} is removed at its gateways, and its state here is deleted.\n",
            ids[0]
        )
    );
    assert_eq!(first.ended().await.code(), Some(64));
    assert_eq!(state(&stand, 1), 0);
    let list = connectors(&stand).await;
    let removed: Vec<bool> = list.iter().map(|c| !c["removed"].is_null()).collect();
    assert_eq!(removed, [true, false, false]);
    assert_eq!(stand.get("https://wiki.localhost/").await.status, 200);
    let again = unregister(&stand, &file(&stand, 1), false).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(
        again
            .stderr
            .contains("error [not_registered] there is no identity in"),
        "{}",
        again.stderr
    );

    // One that was removed before: what was wanted is done, and the state goes.
    gateway(&stand, &["connector", "remove", &ids[1]])
        .await
        .success();
    unregister(&stand, &file(&stand, 2), false).await.success();
    assert_eq!(state(&stand, 2), 0);

    // No gateway: nothing is deleted, unless somebody insists.
    stand.stop_gateway().await;
    let refused = unregister(&stand, &file(&stand, 3), false).await;
    assert_eq!(refused.status.code(), Some(1));
    let command = format!("`appproxy gateway connector remove {}`", ids[2]);
    for part in [
        "nothing was deleted",
        "error [port_closed] ",
        "refused the connection",
        "`--force`",
        &command,
    ] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert_eq!(kept(&stand, 3).id.as_str(), ids[2]);
    let forced = unregister(&stand, &file(&stand, 3), true).await.success();
    assert!(forced.contains(&command), "{forced}");
    assert_eq!(state(&stand, 3), 0);
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines in which this occurs.
    fn lines(&self, wanted: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = log.lines().filter(|line| line.contains(wanted));
        lines.map(str::to_owned).collect()
    }
}

/// The program is static, so nothing can be put between it and the system's clock: the connector
/// runs in the test, with a clock of the test's, against a gateway that is a process.
#[tokio::test]
async fn a_clock_that_is_wrong_is_said_by_how_much_and_in_which_direction() {
    let backend = Backend::text("hello").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    stand.connectors().clear();
    let file = stand.folder().join("connector-1.yaml");
    let remedy = "set one of them right, or certificates will seem expired or not valid yet";
    let mut seen = 0;
    for (off, wanted) in [
        (0, None),
        (-30, None),
        (-200, Some("behind")),
        (10_800, Some("ahead of")),
    ] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        // The test has one thread, and so has the connector.
        let _guard = tracing::subscriber::set_default(subscriber);
        let config = ConnectorConfig::load(&file).unwrap();
        let began = Clock::system().now().0;
        let clock = Clock::manual(Timestamp(began + off));
        let trust = connector::BackendTrust::load(&config.backend_tls, clock.now()).unwrap();
        let stop = CancellationToken::new();
        let applications = connector::Applications::new(&config, None, trust);
        let running = tokio::spawn(connector::run(
            config,
            None,
            applications,
            clock,
            stop.clone(),
            connector::OpenTunnels::default(),
            connector::Watch::default(),
        ));
        until("both tunnels", || log.lines("tunnel open").len() == 2).await;
        // Two tunnels, one clock, one sentence at most.
        let said = log.lines("this host's clock is");
        assert_eq!(said.len(), usize::from(wanted.is_some()), "{said:?}");
        if let Some(direction) = wanted {
            let (_, sentence) = said[0].split_once("clock is ").unwrap();
            let (seconds, rest) = sentence.split_once(' ').unwrap();
            // The test's clock stands still while the gateway's goes on, for as long as this took.
            let took = Clock::system().now().0 - began;
            let seconds: i64 = seconds.parse().unwrap();
            let ahead = seconds * off.signum();
            assert!((off - took..=off).contains(&ahead), "{sentence}");
            let rest = rest.strip_suffix(" code=\"clock_wrong\"").unwrap();
            assert_eq!(rest, format!("s {direction} the gateway's: {remedy}"));
        }
        stop.cancel();
        within("the connector's end", running)
            .await
            .unwrap()
            .unwrap();
        seen += 1;
    }
    assert_eq!(seen, 4);
}
