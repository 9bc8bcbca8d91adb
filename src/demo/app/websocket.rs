//! The WebSocket that echoes.

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, SET_COOKIE, UPGRADE,
};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use crate::http::Body;
use crate::upgrade::{WebSocket, accept_for};

use super::{Answer, AppControl, Refusal, header, refuse, with};

/// Answers the handshake of RFC 6455, section 4.2, and echoes until the WebSocket ends.
pub(super) fn open(
    mut request: Request<Incoming>,
    control: &AppControl,
    running: CancellationToken,
) -> Answer {
    let names = |name, token: &str| {
        header(&request, name).is_some_and(|value| {
            value
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    };
    if !names(&UPGRADE, "websocket") || !names(&CONNECTION, "upgrade") {
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "open this as a WebSocket");
        return Err(refusal.with(UPGRADE, "websocket"));
    }
    if header(&request, &SEC_WEBSOCKET_VERSION) != Some("13") {
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "WebSocket version 13 only");
        return Err(refusal.with(SEC_WEBSOCKET_VERSION, "13"));
    }
    let Some(key) = header(&request, &SEC_WEBSOCKET_KEY) else {
        return Err(refuse("a WebSocket handshake has a Sec-WebSocket-Key"));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response = with(response, SEC_WEBSOCKET_ACCEPT, &accept_for(key));
    if names(&SEC_WEBSOCKET_PROTOCOL, "echo") {
        response = with(response, SEC_WEBSOCKET_PROTOCOL, "echo");
    }
    response = with(response, UPGRADE, "websocket");
    response = with(response, CONNECTION, "Upgrade");
    response = with(response, SET_COOKIE, &control.cookie("demo-ws", "1"));

    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(running.run_until_cancelled_owned(async move {
        let Ok(stream) = upgraded.await else { return };
        let mut socket = WebSocket::new(TokioIo::new(stream));
        // A client that goes away without Close is no concern of an echo.
        while let Ok(Some(message)) = socket.next().await {
            if socket.send(&message).await.is_err() {
                return;
            }
        }
    }));
    Ok(response)
}
