//! gRPC as Python's grpcio speaks it.

use serde_json::{Value, json};

use super::{Server, TOOL, python};
use crate::harness::{Stand, run_for};

/// What the client in `grpc_bed.py` goes through.
const CALLS: usize = 43;

/// Goes through the calls and returns what each gave. The gateway's own fields are taken out: the id
/// of the request, and the date that an answer without one gets from a proxy (RFC 9110 section 6.6.1).
async fn calls(arguments: &[&str]) -> Vec<Value> {
    let script = python("grpc_bed.py");
    let all = [&[script.as_str(), "client"], arguments].concat();
    let output = run_for(TOOL, &python("venv/bin/python"), &all, &[], "").await;
    let mut calls: Vec<Value> = serde_json::from_str(&output.success()).expect("calls");
    for call in &mut calls {
        for part in ["initial", "trailing"] {
            if let Some(fields) = call.get_mut(part).and_then(Value::as_array_mut) {
                fields.retain(|field| field[0] != "x-request-id" && field[0] != "date");
            }
        }
    }
    calls
}

#[tokio::test]
async fn every_call_gives_what_it_gives_without_the_proxy() {
    let server = Server::start(
        &python("venv/bin/python"),
        &[&python("grpc_bed.py"), "server"],
    )
    .await;
    let stand = Stand::new()
        .application_with(
            "grpc",
            &server.backend(),
            json!({ "backend_protocol": "http2" }),
        )
        .start()
        .await;
    let port = stand.address().port().to_string();
    let authority = format!("grpc.localhost:{port}");
    let trusted = stand.folder().join("ca.pem").display().to_string();
    let straight = server.port.to_string();
    let direct = ["127.0.0.1", &straight, &authority];
    let proxied = ["127.0.0.1", &port, &authority, &trusted];
    let (direct, proxied) = tokio::join!(calls(&direct), calls(&proxied),);
    assert_eq!((direct.len(), proxied.len()), (CALLS, CALLS));
    for (direct, proxied) in direct.iter().zip(&proxied) {
        assert_eq!(direct, proxied);
    }
    // The bed itself is sound: what shall be seen is seen.
    let call = |name: &str| direct.iter().find(|call| call["name"] == name).expect(name);
    assert_eq!(call("a deadline passes")["code"], "DEADLINE_EXCEEDED");
    assert_eq!(
        call("the service learns of the deadline")["result"],
        "cancelled"
    );
    assert_eq!(
        call("the service learns of the cancelling")["result"],
        "cancelled"
    );
    assert_eq!(call("a deadline is told")["result"], "within 100 s");
}
