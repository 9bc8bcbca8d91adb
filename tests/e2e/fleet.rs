//! A hundred connectors that lose their gateway at once come back soon, and not as a storm.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::harness::{Backend, Process, Relay, Running, Stand, until, within};

/// Connectors, each with two tunnels.
const CONNECTORS: usize = 100;
const TUNNELS: usize = 2 * CONNECTORS;

/// How soon everybody must be back.
const BACK: Duration = Duration::from_secs(15);

/// Enrols a connector and gives its identity to nine others, which run from copies of its state:
/// what a gateway has to do for each is the same, and a hundred enrolments from one address are
/// refused.
async fn enrol_ten(stand: &mut Running, relay: &Relay, files: &mut Vec<PathBuf>) {
    let settings = json!({
        "gateways": [relay.address().to_string()],
        "connections": 2,
        "workers": 1,
    });
    let file = stand.enrol_with("default", settings).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    let state = Path::new(config["state"].as_str().unwrap()).to_owned();
    for copy in 1..10 {
        let name = format!("{}-{copy}", state.file_name().unwrap().display());
        let folder = state.with_file_name(&name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(state.join("identity.pem"), folder.join("identity.pem")).unwrap();
        let mut config = config.clone();
        config["state"] = json!(folder);
        let copied = file.with_file_name(format!("{name}.yaml"));
        std::fs::write(&copied, config.to_string()).unwrap();
        files.push(copied);
    }
    files.push(file);
}

/// Dials through the relay since a moment, by tenths of a second.
struct Attempts {
    begun: Instant,
    at: Vec<Instant>,
}

impl Attempts {
    fn worst_tenth(&self) -> usize {
        let tenth = Duration::from_millis(100);
        let within = |from: usize| {
            self.at[from..]
                .iter()
                .take_while(move |at| **at - self.at[from] < tenth)
        };
        (0..self.at.len())
            .map(|from| within(from).count())
            .max()
            .unwrap_or(0)
    }
}

/// Waits until every tunnel stands again, and tells how long that took and how often was dialled.
async fn come_back(stand: &Running, relay: &Relay, begun: Instant) -> Attempts {
    within("every tunnel", async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            if stand.standing() == TUNNELS {
                return;
            }
        }
    })
    .await;
    let took = begun.elapsed();
    let at: Vec<Instant> = relay
        .attempts()
        .into_iter()
        .filter(|at| *at >= begun)
        .collect();
    let attempts = Attempts { begun, at };
    eprintln!(
        "all back after {took:?}, {} attempts, {} in the worst tenth of a second, the last after {:?}",
        attempts.at.len(),
        attempts.worst_tenth(),
        attempts.at.last().map(|at| *at - attempts.begun),
    );
    assert!(took < BACK, "{took:?}");
    attempts
}

/// A stand whose gateway a hundred connectors have dialled, through a relay that counts.
async fn fleet(stand: Stand) -> (Running, Relay, Vec<Process>) {
    let backend = Backend::text("ok").await;
    let (gateway, known) = watch::channel(None);
    let relay = Relay::start(known).await;
    let stand = stand.application("wiki", &backend).connectors(0);
    let mut stand = stand.start().await;
    gateway.send_replace(Some(stand.address()));
    let mut files = Vec::new();
    for _ in 0..CONNECTORS / 10 {
        enrol_ten(&mut stand, &relay, &mut files).await;
    }
    assert_eq!(files.len(), CONNECTORS);
    let connectors: Vec<Process> = files.iter().map(|f| stand.spawn_connector(f)).collect();
    come_back(&stand, &relay, Instant::now()).await;
    (stand, relay, connectors)
}

async fn end(connectors: Vec<Process>) {
    for connector in &connectors {
        connector.terminate();
    }
    for connector in connectors {
        assert_eq!(connector.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_hundred_connectors_come_back_to_a_successor_that_inherits_the_listener() {
    let drain = json!({ "notice": "1s", "deadline": "20s" });
    let stand = Stand::new().held().gateway_setting("drain", drain);
    let (mut stand, relay, connectors) = fleet(stand).await;
    // As an operator restarts it: each is asked for a tunnel in the place of each.
    let old = stand.successor().await;
    let begun = Instant::now();
    old.terminate();
    let restarted = come_back(&stand, &relay, begun).await;
    assert!(old.ended().await.success());
    let most = 2 * TUNNELS;
    assert!(
        restarted.at.len() <= most,
        "{} attempts",
        restarted.at.len()
    );
    assert!(
        restarted.worst_tenth() <= TUNNELS / 2,
        "{}",
        restarted.worst_tenth()
    );

    // And as a power cut does.
    stand.gateway().kill();
    stand.gateway().ended().await;
    let begun = Instant::now();
    drop(stand.successor().await);
    let killed = come_back(&stand, &relay, begun).await;
    assert!(killed.at.len() <= most, "{} attempts", killed.at.len());
    end(connectors).await;
}

#[tokio::test]
async fn a_hundred_connectors_are_back_within_15_seconds_and_are_no_storm() {
    let (mut stand, relay, connectors) = fleet(Stand::new()).await;

    // Every tunnel is cut at once, and the gateway is there: each is dialled once, spread out.
    let begun = Instant::now();
    let lost = stand.tunnels().1;
    relay.cuts();
    until("every loss", || stand.tunnels().1 == lost + TUNNELS).await;
    let cut = come_back(&stand, &relay, begun).await;
    assert_eq!(cut.at.len(), TUNNELS);
    assert!(cut.worst_tenth() <= TUNNELS / 2, "{}", cut.worst_tenth());

    // The gateway is killed, and its port refuses for three seconds.
    stand.gateway().kill();
    stand.gateway().ended().await;
    let away = Instant::now();
    until("three seconds", || away.elapsed() > Duration::from_secs(3)).await;
    drop(stand.successor().await);
    let mut killed = come_back(&stand, &relay, Instant::now()).await;
    killed.at = relay.attempts();
    killed.at.retain(|at| *at >= away);
    // While it is away a connector tries for all its tunnels together: a few times, and then once
    // for each tunnel.
    let most = 8 * CONNECTORS;
    assert!(killed.at.len() <= most, "{} attempts", killed.at.len());
    assert!(
        killed.worst_tenth() <= TUNNELS / 2,
        "{}",
        killed.worst_tenth()
    );
    end(connectors).await;
}
