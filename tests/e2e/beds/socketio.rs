//! socket.io: polling, WebSockets, and the change from one to the other.

use serde_json::Value;

use super::{Server, TOOL, node};
use crate::harness::{Stand, run_for};

/// What the client in `socketio.mjs` sees.
const SEEN: usize = 58;

async fn client(arguments: &[&str]) -> Vec<Value> {
    let script = node("socketio.mjs");
    let all = [&[script.as_str(), "client"], arguments].concat();
    let output = run_for(TOOL, "node", &all, &[], "").await;
    serde_json::from_str(&output.success()).expect("what it saw")
}

#[tokio::test]
async fn every_transport_works_as_it_does_without_the_proxy() {
    let server = Server::start("node", &[&node("socketio.mjs"), "server"]).await;
    let stand = Stand::new()
        .application("chat", &server.backend())
        .start()
        .await;
    let (straight, port) = (server.port.to_string(), stand.address().port().to_string());
    let trusted = stand.folder().join("ca.pem").display().to_string();
    let direct = ["http://chat.localhost", &straight];
    let proxied = ["https://chat.localhost", &port, &trusted];
    let (direct, proxied) = tokio::join!(client(&direct), client(&proxied),);
    assert_eq!((direct.len(), proxied.len()), (SEEN, SEEN));
    for (direct, proxied) in direct.iter().zip(&proxied) {
        assert_eq!(direct, proxied);
    }
}
