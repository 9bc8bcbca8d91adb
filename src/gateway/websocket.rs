//! The answer to a WebSocket's handshake, and the WebSocket when that is done.

use std::sync::Arc;

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{HeaderValue, Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::Gateway;
use super::crowd::Busy;
use super::forward::WebSocket;
use super::lease::{self, Lease};
use super::respond::Failure;
use crate::http::{Body, Paced};
use crate::model::ErrorCode;
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

/// The answer to a handshake of RFC 6455.
pub(super) fn switch_protocols(
    response: &mut Response<Body>,
    key: &HeaderValue,
) -> Result<(), Failure> {
    let internal = |e: &dyn std::fmt::Display| Failure::new(ErrorCode::Internal, e.to_string());
    let key = key.to_str().map_err(|e| internal(&e))?;
    let accept = HeaderValue::from_str(&upgrade::accept_for(key)).map_err(|e| internal(&e))?;
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(())
}
