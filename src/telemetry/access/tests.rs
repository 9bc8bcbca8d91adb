//! One line a request, whatever becomes of it.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::*;
use crate::http::{Body, BodyError};
use crate::telemetry::logs::LogFormat;
use crate::telemetry::logs::tests::logged;

fn line(target: &str) -> AccessLine {
    let request = Request::builder()
        .method("POST")
        .uri(target)
        .header(HOST, "wiki.example.com:8443")
        .body(())
        .unwrap();
    let id = RequestId::from_random([1; 8]);
    AccessLine::begin(id, Ipv4Addr::new(192, 0, 2, 7).into(), &request)
}

/// Runs `act` and gives the one line it must have written.
fn written(act: impl AsyncFnOnce()) -> Value {
    let lines = logged(LogFormat::Json, "info", || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(act());
    });
    let [line] = lines.json().try_into().unwrap();
    line
}

#[test]
fn a_whole_answer_is_one_line_with_everything_known() {
    let wrote = written(async || {
        let mut line = line("/page?code=secret");
        let application = ApplicationName::new("wiki").unwrap();
        let connector = ConnectorId::from_random([2; 12]);
        line.routed(&application);
        line.forwarded(&connector);
        let forwarded = line.started + Duration::from_micros(1500);
        line.forwarded = Some(forwarded);
        let backend = Duration::from_millis(28);
        line.returned_at(forwarded + Duration::from_millis(30), Some(backend));
        let upload = Body::full("abc").with_guard(line.octets_in());
        upload.collect().await.unwrap();
        let answer = line.carried_by(Response::new(Body::full("hello")));
        answer.into_body().collect().await.unwrap();
    });
    assert!(wrote["duration_ms"].as_f64().unwrap() >= 0.0);
    assert_eq!(wrote["target"], "access");
    assert_eq!(wrote["level"], "INFO");
    for (field, expected) in [
        ("message", Value::from("request")),
        ("request_id", "0101010101010101".into()),
        ("client", "192.0.2.7".into()),
        ("method", "POST".into()),
        ("host", "wiki.example.com:8443".into()),
        ("path", "/page".into()),
        ("protocol", "HTTP/1.1".into()),
        ("status", 200.into()),
        ("application", "wiki".into()),
        ("connector", "c020202020202020202020202".into()),
        ("gateway_ms", 1.5.into()),
        ("tunnel_ms", 2.0.into()),
        ("backend_ms", 28.0.into()),
        ("octets_in", 3.into()),
        ("octets_out", 5.into()),
        ("ended", "complete".into()),
    ] {
        assert_eq!(wrote[field], expected, "{field}");
    }
    assert_eq!(wrote.get("error"), None);
    assert!(!wrote.to_string().contains("secret"));
}

/// A guard that says when it is dropped.
struct Slot(Arc<AtomicU64>);

impl Guard for Slot {}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_answer_that_hyper_need_not_read_to_its_end_is_complete() {
    let source = || {
        let frame = Ok::<_, BodyError>(Frame::data(Bytes::from_static(b"x")));
        Body::boxed(StreamBody::new(futures_util::stream::iter([frame])))
    };
    let cases: [(Method, StatusCode, fn() -> Body, &str); 5] = [
        (Method::GET, StatusCode::OK, Body::empty, "complete"),
        (Method::HEAD, StatusCode::OK, source, "complete"),
        (Method::GET, StatusCode::NOT_MODIFIED, source, "complete"),
        (
            Method::GET,
            StatusCode::OK,
            || Body::full("x"),
            "client_gone",
        ),
        (Method::GET, StatusCode::OK, source, "client_gone"),
    ];
    for (method, status, body, ended) in cases {
        let wrote = written(async || {
            let mut line = line("/");
            line.method = method;
            let mut response = Response::new(body());
            *response.status_mut() = status;
            drop(line.carried_by(response));
        });
        assert_eq!(wrote["ended"], ended, "{wrote}");
    }
}

#[test]
fn a_guard_that_stands_already_stays() {
    let dropped = Arc::new(AtomicU64::new(0));
    let slot = Slot(Arc::clone(&dropped));
    written(async || {
        let body = Body::full("x").with_guard(slot);
        let answer = line("/").carried_by(Response::new(body));
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        answer.into_body().collect().await.unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_body_that_breaks_was_cut_and_one_that_is_dropped_lost_its_client() {
    let frames = || {
        [
            Ok(Frame::data(Bytes::from_static(b"half"))),
            Err(BodyError::from("tunnel lost")),
        ]
    };
    for (read, ended) in [(1, "client_gone"), (2, "cut")] {
        let wrote = written(async || {
            let source = StreamBody::new(futures_util::stream::iter(frames()));
            let answer = line("/").carried_by(Response::new(Body::boxed(source)));
            let mut body = answer.into_body();
            for _ in 0..read {
                drop(body.frame().await);
            }
        });
        assert_eq!(wrote["ended"], ended);
        assert_eq!(wrote["octets_out"], 4);
    }
}

#[test]
fn a_client_that_goes_while_it_waits_has_a_line_without_status() {
    let wrote = written(async || drop(line("/slow")));
    assert_eq!(wrote["ended"], "client_gone");
    assert_eq!(wrote.get("status"), None);
    assert_eq!(wrote["level"], "INFO");
}

#[test]
fn an_upgraded_connection_is_written_when_it_closes() {
    let wrote = written(async || {
        let mut line = line("/socket");
        line.answered(StatusCode::SWITCHING_PROTOCOLS);
        line.failed(ErrorCode::TunnelLost);
        line.end(Ended::Cut, 10, 20);
    });
    assert_eq!(wrote["status"], 101);
    assert_eq!(wrote["error"], "tunnel_lost");
    assert_eq!(
        (&wrote["octets_in"], &wrote["octets_out"]),
        (&10.into(), &20.into())
    );
    assert_eq!(wrote["ended"], "cut");
}

#[test]
fn a_password_in_the_target_is_not_written_and_length_is_bounded() {
    let long = format!("http://user:hidden@wiki.example.com/{}", "a".repeat(9000));
    let wrote = written(async || drop(line(&long)));
    assert_eq!(wrote["host"], "wiki.example.com");
    let path = wrote["path"].as_str().unwrap();
    assert_eq!(
        (path.chars().count(), path.ends_with('…')),
        (LONGEST + 1, true)
    );
    assert!(!wrote.to_string().contains("hidden"));
}

#[test]
fn control_characters_of_a_host_stay_on_the_line() {
    let lines = logged(LogFormat::Text, "info", || {
        let mut line = line("/");
        line.host = Named::Field(HeaderValue::from_bytes(b"a\tb\xc2\x9bc\xff").unwrap());
    });
    let text = lines.text();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(r#"host="a\tb\u{9b}c"#), "{text}");
    assert!(!text.contains(['\t', '\u{9b}']));
}
