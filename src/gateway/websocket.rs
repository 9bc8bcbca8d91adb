//! A WebSocket whose handshake is done.

use std::sync::Arc;

use hyper_util::rt::TokioIo;

use super::Gateway;
use super::crowd::Busy;
use super::forward::WebSocket;
use super::lease::{self, Lease};
use crate::http::Paced;
use crate::telemetry::{AccessLine, Ended};
use crate::upgrade::{self, Cut, End};

/// Carries a WebSocket until one side ends it or the gateway stops; its access line comes then.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    websocket: WebSocket,
    mut lease: Lease,
    access: AccessLine,
    _busy: Busy,
) {
    let WebSocket {
        client,
        application,
        held,
    } = websocket;
    let _held = held;
    // Where one end is gone before both are streams, dropping the other ends it too.
    if let (Ok(client), Ok(application)) = (client.await, application.await) {
        let cut = async {
            tokio::select! {
                () = gateway.drain.closes() => Cut::going_away(),
                // It is the policy's word (RFC 6455 section 7.4.1).
                ended = lease.ends() => Cut::new(1008, lease::told(ended.code())),
            }
        };
        let client = Paced::new(TokioIo::new(client));
        let summary = upgrade::splice(client, TokioIo::new(application), cut).await;
        let ended = match summary.end {
            End::Closed(_) => Ended::Complete,
            End::Failed(upgrade::Side::Client, _) => Ended::ClientGone,
            End::Failed(upgrade::Side::Application, _) | End::Cut { .. } => Ended::Cut,
        };
        access.end(ended, summary.to_application, summary.to_client);
    }
}
