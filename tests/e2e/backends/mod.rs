//! Applications over TLS on the connector's own terms, and over HTTP/2.

mod frames;
mod http2;
mod keep_alive;
mod proxy_protocol;
mod tls;

use serde_json::Value;

use crate::harness::{Answer, Running};

/// What the connector's operator is told of a request that failed, under the reference its answer
/// shows.
async fn detail(stand: &Running, answer: &Answer) -> (String, String) {
    let id = answer.header("x-request-id");
    let access = stand.access_line(id).await;
    let line = stand
        .gateway()
        .line(&format!("the detail of {id}"), |line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["request_id"] == id && line["detail"].is_string()
        })
        .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&access["error"]), text(&line["detail"]))
}
