//! Tunnels through bad weather: late, cut, half open or one-way. Nothing wedges and nothing grows.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::faults::{BROKEN, Load};
use crate::harness::{Backend, Relay, Running, Stand, Weather, until, within};

/// Clients that send one request after the other.
const WORKERS: usize = 8;

/// What is sent into a tunnel that has fallen silent is answered by the other within this time: PING
/// gives the tunnel up after ten seconds.
const ANSWERED: Duration = Duration::from_secs(12);

/// When the weather is fair again the tunnel is back within this time.
const BACK: Duration = Duration::from_secs(15);

/// Requests answered in each kind of weather.
const ENOUGH: usize = 200;

/// A gateway and two connectors, each behind a relay of its own.
async fn two_relays(backend: &Backend) -> (Running, [Relay; 2]) {
    let (gateway, known) = watch::channel(None);
    let relays = [Relay::start(known.clone()).await, Relay::start(known).await];
    let mut stand = Stand::new()
        .application("wiki", backend)
        .connectors(0)
        .connector_setting("connections", json!(1))
        .start()
        .await;
    gateway.send_replace(Some(stand.address()));
    for relay in &relays {
        let dialled = format!("gateway.localhost:{}", relay.address().port());
        let dialled = json!({ "gateways": [dialled] });
        let config = stand.enrol_with("default", dialled).await;
        stand.start_connector(&config).await;
    }
    (stand, relays)
}

/// Waits until both tunnels stand, however often each was lost before.
async fn both_stand(stand: &Running) {
    until("both tunnels", || stand.standing() == 2).await;
}

/// One connector's way is bad, the other's is good: every request is one without a body, so none of
/// them may fail whose answer had not begun, whatever became of the tunnel that carried it.
#[tokio::test]
async fn whatever_one_tunnel_goes_through_no_safe_request_fails() {
    let backend = Backend::text("ok").await;
    let (mut stand, [relay, _good]) = two_relays(&backend).await;
    let load = Load::start(&stand, WORKERS).await;
    load.answers(ENOUGH).await;
    let memory = (stand.gateway().memory(), stand.connectors()[0].memory());
    relay.turns(Weather::Slow(Duration::from_millis(50)));
    load.answers(ENOUGH).await;
    relay.turns(Weather::Fair);
    for cut in [
        Relay::cuts,
        Relay::cuts_gateways_ends,
        Relay::cuts_connectors_ends,
    ] {
        let before = stand.tunnels();
        cut(&relay);
        until("the tunnel's end", || stand.tunnels().1 > before.1).await;
        load.answers(ENOUGH).await;
        both_stand(&stand).await;
    }
    for weather in [
        Weather::Silent,
        Weather::SilentToGateway,
        Weather::SilentToConnector,
    ] {
        let before = stand.tunnels();
        relay.turns(weather);
        let mut started = JoinSet::new();
        for _ in 0..20 {
            let (client, url) = (stand.client().clone(), stand.url("wiki", "/"));
            let since = Instant::now();
            started.spawn(async move { (client.get(&url).await.status, since.elapsed()) });
        }
        for (status, took) in within("those sent into silence", started.join_all()).await {
            assert!(status == 200 && took < ANSWERED, "{status} after {took:?}");
        }
        until("the tunnel's end", || stand.tunnels().1 > before.1).await;
        load.answers(ENOUGH).await;
        relay.turns(Weather::Fair);
        let fair = Instant::now();
        both_stand(&stand).await;
        assert!(fair.elapsed() < BACK, "back after {:?}", fair.elapsed());
    }
    // An answer whose body was on its way cannot be had again. Each worker had one under way at
    // most, each of the six times, and the gateway had taken its head.
    let failures = load.end().await;
    assert!(failures.keys().all(|code| code == BROKEN), "{failures:?}");
    let broken = failures.values().sum::<usize>();
    assert!(broken <= 6 * WORKERS, "{failures:?}");
    until("a line of each answer that broke", || {
        let log = stand.gateway().log();
        let cut = log
            .iter()
            .filter(|line| line.contains("\"ended\":\"cut\"") && line.contains("\"status\":200"));
        cut.count() >= broken
    })
    .await;

    let grown = stand.gateway().memory().saturating_sub(memory.0);
    assert!(grown < 48, "the gateway has {grown} MiB more");
    let grown = stand.connectors()[0].memory().saturating_sub(memory.1);
    assert!(grown < 48, "the connector has {grown} MiB more");
    // The listener, two tunnels, and what the runtime and the store keep: none of the tunnels that
    // were lost is held.
    until("the gateway's sockets", || stand.gateway().sockets() < 12).await;
}
