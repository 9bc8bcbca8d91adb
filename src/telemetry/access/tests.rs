//! One line a request, whatever becomes of it.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::*;
use crate::model::LogFormat;
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
fn written(act: impl FnOnce()) -> Value {
    let lines = logged(LogFormat::Json, "info", act);
    let [line] = lines.json().try_into().unwrap();
    line
}

#[test]
fn a_whole_answer_is_one_line_with_everything_known() {
    let wrote = written(|| {
        let mut line = line("/page?code=secret");
        let application = Arc::new(RequestMeter::new("wiki"));
        let connector = ConnectorId::from_random([2; 12]);
        line.routed(&application);
        line.forwarded(&connector);
        let forwarded = line.started + Duration::from_micros(1500);
        line.forwarded = Some(forwarded);
        let backend = Duration::from_millis(28);
        line.returned_at(forwarded + Duration::from_millis(30), Some(backend));
        line.octets_in().add(3);
        line.answered(StatusCode::OK, None);
        line.sent(2);
        line.sent(3);
        line.ended(Ended::Complete);
    });
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
    assert!(wrote["duration_ms"].is_f64());
    assert_eq!(wrote.get("error"), None);
    assert!(!wrote.to_string().contains("secret"));
}

#[test]
fn a_client_that_goes_while_it_waits_has_a_line_without_status() {
    let wrote = written(|| drop(line("/slow")));
    assert_eq!(wrote["ended"], "client_gone");
    assert_eq!(wrote.get("status"), None);
    assert_eq!(wrote["level"], "INFO");
}

#[test]
fn as_many_octets_as_were_announced_are_a_whole_answer() {
    for (sent, ended) in [(4, "client_gone"), (5, "complete")] {
        let wrote = written(|| {
            let mut line = line("/");
            line.answered(StatusCode::OK, Some(5));
            line.sent(sent);
        });
        assert_eq!(wrote["ended"], ended);
    }
}

#[test]
fn an_upgraded_connection_is_written_when_it_closes() {
    let wrote = written(|| {
        let mut line = line("/socket");
        line.answered(StatusCode::SWITCHING_PROTOCOLS, None);
        line.upgraded();
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
    let wrote = written(|| drop(line(&long)));
    assert_eq!(wrote["host"], "wiki.example.com");
    let path = wrote["path"].as_str().unwrap();
    assert_eq!(path.chars().count(), LONGEST + 1);
    assert!(path.ends_with('…'));
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
