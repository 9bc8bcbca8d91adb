//! HTTP/2 as nghttp2 speaks and judges it.

use http::Response;
use http_body_util::BodyExt;

use super::{TOOL, text};
use crate::harness::{Backend, Running, Stand, body, run_for, words};

const KIB: usize = 1024;

/// `/N` answers with N octets once the request's body was read.
async fn stand() -> (Backend, Running) {
    let backend = Backend::answering(|request| async move {
        let size = request.uri().path().trim_matches('/').parse().unwrap_or(2);
        let mut asked = request.into_body();
        while let Some(Ok(_)) = asked.frame().await {}
        Response::new(body(vec![b'x'; size]))
    })
    .await;
    let stand = Stand::new()
        .application("app", &backend)
        .gateway_setting("limits", words::no_limits())
        .start()
        .await;
    (backend, stand)
}

#[tokio::test]
async fn h2load_has_every_answer_and_no_error() {
    let (_backend, stand) = stand().await;
    let upload = stand.folder().join("upload");
    std::fs::write(&upload, vec![b'u'; 64 * KIB]).unwrap();
    let connect = format!("--connect-to={}", stand.address());
    // What is asked, the number of requests, of connections, and of streams on each at once.
    for (path, uploads, requests, connections, streams) in [
        ("/2", false, 4000, 4, 100),
        // More than the gateway takes at once: the client waits with them.
        ("/2", false, 1000, 2, 500),
        ("/131072", false, 400, 2, 64),
        ("/2", true, 400, 2, 64),
        ("/65536", true, 200, 4, 16),
    ] {
        let url = stand.url("app", path);
        let numbers = [
            ("-n", requests.to_string()),
            ("-c", connections.to_string()),
            ("-m", streams.to_string()),
        ];
        let mut arguments: Vec<&str> = numbers.iter().flat_map(|(n, v)| [*n, v]).collect();
        if uploads {
            arguments.extend(["-d", text(&upload)]);
        }
        arguments.extend([&connect, url.as_str()]);
        let output = run_for(TOOL, "h2load", &arguments, &[], "").await.success();
        let wanted = format!(
            "requests: {requests} total, {requests} started, {requests} done, {requests} succeeded, \
             0 failed, 0 errored, 0 timeout"
        );
        assert!(output.contains(&wanted), "{arguments:?}: {output}");
        let wanted = format!("status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx");
        assert!(output.contains(&wanted), "{arguments:?}: {output}");
        assert!(output.contains("Application protocol: h2"), "{output}");
    }
}

#[tokio::test]
async fn nghttp_finds_no_fault_in_a_frame() {
    let (_backend, stand) = stand().await;
    let upload = stand.folder().join("upload");
    std::fs::write(&upload, vec![b'u'; 64 * KIB]).unwrap();
    let upload = text(&upload);
    let authority = format!(":authority: app.localhost:{}", stand.address().port());
    // Octets that HPACK cannot make small.
    let long = format!("x-long: {}", "~".repeat(20 * KIB));
    // Options, a path, and the number of answers.
    let cases: [(&[&str], &str, usize); 9] = [
        (&[], "/2", 1),
        (&["--multiply=100"], "/2", 100),
        (&["--multiply=20"], "/131072", 20),
        // Windows of 2^10 - 1 octets, so that each answer needs many updates of them.
        (&["--window-bits=10"], "/32768", 1),
        (&["--multiply=10", "--padding=200"], "/131072", 10),
        (&["--multiply=10", "--data", upload], "/2", 10),
        (
            &["--data", upload, "--padding=200", "--trailer=x-after: all"],
            "/65536",
            1,
        ),
        // A head in several frames, the other side's table of 64 octets.
        (&["--continuation", "--header", &long], "/2", 1),
        (&["--header-table-size=64", "--multiply=20"], "/2", 20),
    ];
    for (options, path, answers) in cases {
        let url = format!("https://{}{path}", stand.address());
        let usual = [
            "--null-out",
            "--verbose",
            "--no-verify-peer",
            "--timeout=30",
        ];
        let mut arguments = [&usual[..], options].concat();
        arguments.extend(["--header", &authority, &url]);
        let output = run_for(TOOL, "nghttp", &arguments, &[], "").await;
        let seen = output.success();
        assert_eq!(seen.matches(":status: 200").count(), answers, "{seen}");
        for fault in ["INVALID", "RST_STREAM", "[ERROR]", "Some requests were not"] {
            assert!(!seen.contains(fault), "{arguments:?}: {seen}");
        }
        assert!(!seen.contains("recv GOAWAY"), "{arguments:?}: {seen}");
        assert!(
            seen.contains("The negotiated protocol: h2"),
            "{arguments:?}: {seen}"
        );
    }
}
