//! Connectors that are removed: by an operator, in whatever process, or by their own wish.

use std::sync::Arc;
use std::time::Duration;

use super::Gateway;
use super::tunnels::Tunnel;
use crate::auth::assertion;
use crate::certs::PeerConnector;
use crate::store::Changed;
use crate::telemetry::audit::{Actor, Record};
use crate::tunnel::control::Down;

/// Until the change log is read again where that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// Removes a connector that asks for it, as an operator would: the change log cuts its tunnels.
pub(super) async fn unregister(gateway: &Gateway, connector: &PeerConnector, tunnel: &Tunnel) {
    let removed = gateway
        .store
        .remove_connector(&connector.id, gateway.clock.now())
        .await;
    match removed {
        Ok(_) => tracing::info!(connector = %connector.id, "the connector unregistered itself"),
        Err(error) => {
            tracing::error!(code = "unavailable", connector = %connector.id, %error, "a connector cannot be unregistered");
            // Whoever cannot be told finds its tunnel lost.
            let _ = tunnel.say(&Down::Refused {
                reason: format!("it cannot be removed at the moment: {error}"),
            });
        }
    }
}

/// Cuts the tunnels of removed connectors, whoever removed them: the change log says so.
pub(super) async fn watch(gateway: Arc<Gateway>, mut after: u64) {
    let mut failing = false;
    loop {
        // The wait begins before the log is read, so that nothing falls between the two.
        let changed = gateway.store.changed();
        let changes = gateway.store.changes(after).await;
        match changes {
            Ok(changes) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("the store's change log can be read again");
                }
                for change in changes {
                    after = change.number;
                    match change.what {
                        Changed::ConnectorRemoved(id) => {
                            let tunnels = gateway.tunnels.cut(&id);
                            tracing::info!(connector = %id, tunnels, "connector removed, tunnels cut");
                            Record::new("connector_removed", Actor::Gateway)
                                .with("connector", id.as_str())
                                .write();
                        }
                        Changed::Authorities => gateway.rotated.notify_one(),
                        // Whoever keeps sessions follows the log for himself.
                        Changed::SecretRotated(name) if name == assertion::SECRET => {
                            gateway.signer.look();
                        }
                        Changed::SessionRevoked(_)
                        | Changed::SessionsRevoked(_)
                        | Changed::SecretRotated(_)
                        | Changed::ServiceTokens
                        | Changed::Unknown(_) => {}
                    }
                }
                // A failure shows at the next look.
                tokio::select! {
                    _ = changed => {}
                    () = gateway.drain.is_over() => return,
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "the store's change log cannot be read: removals take no effect until it can");
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
