//! Where internal names lead in a browser that has no business with them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Backend, until};

/// A server that answers nobody and knows who came.
pub(crate) struct Trap {
    backend: Backend,
    came: Arc<Mutex<Vec<Option<SocketAddr>>>>,
}

impl Trap {
    pub(crate) async fn new() -> Self {
        let came = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&came);
        let backend = Backend::raw(move |stream| {
            // One that has gone already counts too.
            seen.lock().unwrap().push(stream.peer_addr().ok());
            async {}
        })
        .await;
        Self { backend, came }
    }

    /// Leads every internal name here.
    pub(crate) fn rule(&self) -> String {
        format!("*.corp.internal={}", self.backend.address())
    }

    /// How many connections came.
    pub(crate) async fn caught(&self) -> usize {
        let own = TcpStream::connect(self.backend.address()).await.unwrap();
        let address = own.local_addr().unwrap();
        let place = || {
            let came = self.came.lock().unwrap();
            came.iter().position(|came| *came == Some(address))
        };
        // They are taken in the order in which they came.
        until("the trap's own connection", || place().is_some()).await;
        let before = place().unwrap();
        self.came.lock().unwrap().remove(before);
        before
    }

    /// All that a browser with this rule did went to this host, over TLS, and no step failed.
    pub(crate) async fn assert_empty(&self, seen: &Value, host: &str) {
        let last = seen["steps"].as_array().and_then(|steps| steps.last());
        assert_eq!(last.expect("a step")["error"], Value::Null, "{seen:#}");
        assert_eq!(seen["hosts"], json!([host]), "{seen:#}");
        assert_eq!(seen["mixed"], json!([]), "{seen:#}");
        assert_eq!(self.caught().await, 0, "{seen:#}");
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Response};

    use super::super::{Authority, body, browse};
    use super::*;

    const PAGE: &str = "<!doctype html><link rel=icon href=data:,><p></p>\
        <script>const done = () => { document.querySelector('p').textContent = 'done'; }</script>\
        <img src=http://wiki.corp.internal:8888/upgraded.png onerror=done()>\
        <script src=http://wiki.corp.internal:8888/blocked.js></script>";

    /// Otherwise a test that sees nothing would say nothing.
    #[tokio::test]
    async fn what_shall_not_happen_is_seen() {
        let authority = Authority::new();
        let leaf = authority.issue(&["wiki.localhost"]);
        let backend = Backend::tls(leaf.server_config(&["http/1.1"]), |_| async {
            let mut response = Response::new(body(PAGE));
            let html = HeaderValue::from_static("text/html");
            response.headers_mut().insert("content-type", html);
            response
        })
        .await;
        let trap = Trap::new().await;
        for _ in 0..2 {
            assert_eq!(trap.caught().await, 0);
        }
        let host = format!("wiki.localhost:{}", backend.address().port());
        let steps =
            json!([{ "goto": format!("https://{host}/") }, { "wait": "p", "text": "done" }]);
        let seen = browse(&[&leaf.spki], &[&trap.rule()], &steps).await;
        let internal = "wiki.corp.internal:8888";
        assert_eq!(seen["hosts"], json!([internal, host]), "{seen:#}");
        let mixed = json!([
            format!("http://{internal}/blocked.js: MixedContentBlocked"),
            format!("http://{internal}/blocked.js: blockable"),
            format!("http://{internal}/upgraded.png: MixedContentAutomaticallyUpgraded"),
        ]);
        assert_eq!(seen["mixed"], mixed, "{seen:#}");
        assert_ne!(trap.caught().await, 0);
    }
}
