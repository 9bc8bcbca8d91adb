//! A tunnel does not outlive the certificate it was opened with, nor the authority of that.
//!
//! Shortly before the end the connector is asked for another tunnel, which it opens with the
//! certificate it has renewed by then. The old one takes requests until the other is there, answers
//! what it has, and is closed. Whoever has not renewed is refused at the next handshake.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::Gateway;
use super::tunnels::Tunnel;
use crate::certs::{PeerConnector, Pin};
use crate::model::ConnectorId;
use crate::tunnel::control::Down;

/// How long what is in flight may take once the certificate has ended.
const DRAIN: Duration = Duration::from_secs(30);

/// The longest time between the request for another tunnel and the end; less where a certificate's
/// whole life is short.
const NOTICE_MOST: u64 = 300;

/// How long a tunnel whose authority was dropped waits for another of its connector.
const DROPPED: Duration = Duration::from_secs(5);

/// The wall clock is looked at this often: it may be set, and a machine may sleep.
const LOOK: Duration = Duration::from_secs(30);

/// How many tunnels each connector has opened so far.
#[derive(Debug, Default)]
pub(super) struct Openings(watch::Sender<HashMap<ConnectorId, u64>>);

impl Openings {
    pub(super) fn add(&self, connector: &ConnectorId) {
        self.0.send_modify(|all| {
            *all.entry(connector.clone()).or_default() += 1;
        });
    }

    /// Waits until a connector has opened one more than at this call.
    fn another(&self, connector: &ConnectorId) -> impl Future<Output = ()> {
        let mut seen = self.0.subscribe();
        let count = |all: &HashMap<ConnectorId, u64>| all.get(connector).copied().unwrap_or(0);
        let now = count(&seen.borrow());
        async move {
            // The sender lives in the gateway, as this does.
            let _ = seen.wait_for(|all| count(all) > now).await;
        }
    }
}

/// Waits until the certificate of a tunnel, or its authority, is worth nothing any more, and until
/// the tunnel can be closed for it.
pub(super) async fn ended(
    gateway: &Gateway,
    tunnel: &Arc<Tunnel>,
    peer: &PeerConnector,
    issuer: Pin,
) {
    let notice = Duration::from_secs((peer.life() / 10).clamp(1, NOTICE_MOST));
    let early = peer.not_after.minus(notice);
    // Whoever comes with a certificate that is about to end has no better one: asked again for
    // another tunnel, it would come over and over.
    let at = if gateway.clock.now() < early {
        early
    } else {
        peer.not_after
    };
    let dropped = wait(gateway, at.0, issuer).await;
    let reason = if dropped {
        "the authority of its certificate counts no more"
    } else {
        "its certificate ends"
    };
    tracing::info!(connector = %peer.id, tunnel = tunnel.number, reason, "tunnel draining");
    let message = Down::Drain {
        deadline_s: DRAIN.as_secs(),
    };
    let another = gateway.openings.another(&peer.id);
    // A connector that takes no messages loses the tunnel anyway.
    let _ = tunnel.say(&message);
    let left = peer.not_after.0.saturating_sub(gateway.clock.now().0);
    let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(notice);
    let patience = if dropped { left.min(DROPPED) } else { left };
    let _ = timeout(patience, another).await;
    tunnel.drain();
    let _ = timeout(DRAIN, tunnel.drained()).await;
}

/// Waits for a point in time by the wall clock, or until an authority is dropped, which is `true`.
async fn wait(gateway: &Gateway, until: i64, issuer: Pin) -> bool {
    let mut changes = gateway.issuer.changes();
    loop {
        if !gateway.issuer.trusts(issuer) {
            return true;
        }
        let left = until.saturating_sub(gateway.clock.now().0);
        let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
            return false;
        };
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(Duration::from_secs(left).min(LOOK)) => {}
        }
    }
}
