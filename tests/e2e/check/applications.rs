//! Applications, from the connector's side and through the tunnel.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

use super::{change, check, order, through_the_tunnel};
use crate::beds::check::Report;
use crate::beds::sign_in::{Corp, SECRET};
use crate::harness::{
    Authority, Backend, ResponseBody, Running, Stand, body, read_head, run, words,
};

async fn answering(status: u16, fields: &'static [(&'static str, &'static str)]) -> Backend {
    Backend::answering(move |_| async move {
        let mut response = Response::new(body("x"));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            let name = http::HeaderName::from_static(name);
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    })
    .await
}

/// The codes of one application's lines.
fn codes_of(report: &Report, name: &str) -> Vec<String> {
    let begin = format!("{name} (");
    let own = report.lines.iter().filter(|line| {
        line["area"] == "applications" && line["subject"].as_str().unwrap().starts_with(&begin)
    });
    own.filter_map(|line| Some(line["code"].as_str()?.to_owned()))
        .collect()
}

/// What an application answers before it is put right, and after.
async fn put_right(
    is_right: &Arc<AtomicBool>,
    wrong: impl Fn(&Request<Incoming>) -> Response<ResponseBody> + Clone + Send + 'static,
) -> Backend {
    let is_right = Arc::clone(is_right);
    Backend::answering(move |request| {
        let response = match is_right.load(Ordering::Relaxed) {
            true => Response::new(body("right")),
            false => wrong(&request),
        };
        async move { response }
    })
    .await
}

fn moved_to(location: &str) -> Response<ResponseBody> {
    let mut response = Response::new(body(""));
    *response.status_mut() = StatusCode::FOUND;
    let location = location.parse().unwrap();
    response.headers_mut().insert("location", location);
    response
}

/// A listener whose queue is full: connections to it hang, as they do to a host that is off.
fn stalled() -> (Backend, Vec<Socket>) {
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = socket();
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let bound = listener.local_addr().unwrap();
    let mut kept = vec![listener];
    for _ in 0..4 {
        let filler = socket();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&bound);
        kept.push(filler);
    }
    let port = bound.as_socket().unwrap().port();
    (Backend::elsewhere(port), kept)
}

#[tokio::test]
async fn what_is_put_right_at_an_application_is_told_no_more() {
    let authority = Authority::new();
    let is_right = Arc::new(AtomicBool::new(false));
    let nowhere = put_right(&is_right, |_| moved_to("http://[/")).await;
    let error = put_right(&is_right, |_| {
        let mut response = Response::new(body("x"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    })
    .await;
    // Its base URL is corrected.
    let away = put_right(&is_right, |_| moved_to("https://sso.example.org/")).await;
    let right = Arc::clone(&is_right);
    let slow = Backend::answering(move |_| {
        let is_slow = !right.load(Ordering::Relaxed);
        async move {
            if is_slow {
                tokio::time::sleep(Duration::from_millis(2_100)).await;
            }
            Response::new(body("x"))
        }
    })
    .await;
    let right = Arc::clone(&is_right);
    let ssh = Backend::raw(move |mut stream| {
        let answer: &[u8] = match right.load(Ordering::Relaxed) {
            true => b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            false => b"SSH-2.0-OpenSSH_9.6\r\n",
        };
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer).await;
        }
    })
    .await;
    // It answers nothing at all until it is restarted.
    let right = Arc::clone(&is_right);
    let late = Backend::answering(move |_| {
        let is_late = !right.load(Ordering::Relaxed);
        async move {
            if is_late {
                std::future::pending::<()>().await;
            }
            Response::new(body("x"))
        }
    })
    .await;
    // The certificate of ten days, and the one that it is renewed by.
    let names = ["ends.corp.internal"];
    let short = authority.issue_with(&names, |params| {
        params.not_after = OffsetDateTime::now_utc() + time::Duration::days(10);
    });
    let configs = [
        short.server_config(&["http/1.1"]),
        authority.server_config(&names, &["http/1.1"]),
    ];
    let acceptors = configs.map(TlsAcceptor::from);
    let right = Arc::clone(&is_right);
    let ends = Backend::raw(move |stream| {
        let acceptor = acceptors[usize::from(right.load(Ordering::Relaxed))].clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                read_head(&mut stream).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                    .await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await;
    let (stuck, kept) = stalled();
    let stand = Stand::new()
        .application("nowhere", &nowhere)
        .application("error", &error)
        .application("away", &away)
        .application("slow", &slow)
        .application("late", &late)
        .application("ssh", &ssh)
        .tls_application("ends", &ends, Value::Null)
        .application("stuck", &stuck)
        .start()
        .await;
    let connector = stand.folder().join("connector-1.yaml");
    let ca = connector.with_extension("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    change(&connector, |config| {
        let hosts = [format!("ends.corp.internal:{}", ends.address().port())];
        config["backend_tls"] = json!([{ "hosts": hosts, "ca": ca }]);
    });
    let wrong = check(&connector).await;
    let expected = [
        ("nowhere", "app_redirects_nowhere"),
        ("error", "app_answers_error"),
        ("away", "app_redirects_elsewhere"),
        ("slow", "app_slow"),
        ("late", "backend_first_byte_timeout"),
        ("ssh", "backend_bad_response"),
        ("ends", "app_certificate_ends"),
        ("stuck", "backend_connect_timeout"),
    ];
    for (name, code) in expected {
        let codes = codes_of(&wrong, name);
        assert_eq!(codes[0], code, "{name}: {:#?}", wrong.lines);
        let lines = wrong.lines.iter();
        let mut own = lines.filter(|line| line["code"] == code);
        assert!(own.all(|line| !line["remedy"].as_str().unwrap().is_empty()));
    }

    is_right.store(true, Ordering::Relaxed);
    drop(kept);
    let _up = Backend::answering_at(stuck.address(), |_| async { Response::new(body("up")) }).await;
    let after = check(&connector).await;
    for (name, _) in expected {
        assert_eq!(
            codes_of(&after, name),
            ["url_differs"],
            "{name}: {:#?}",
            after.lines
        );
    }
}

#[tokio::test]
async fn what_is_put_right_in_the_gateways_file_is_told_no_more() {
    // It has its pages below `/wiki/`.
    let missing = Backend::answering(|request| async move {
        let mut response = Response::new(body("x"));
        if !request.uri().path().starts_with("/wiki/") {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response
    })
    .await;
    // It knows itself by its external name alone.
    let host = Backend::answering(|request| async move {
        let mut response = Response::new(body("x"));
        let host = request.headers()["host"].to_str().unwrap();
        if !host.starts_with("host.localhost:") {
            *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        }
        response
    })
    .await;
    let authority = Authority::new();
    let tls = authority.server_config(&["moved.corp.internal"], &["http/1.1"]);
    let secured = Backend::tls(tls, |_| async { Response::new(body("x")) }).await;
    let to = format!("https://moved.corp.internal:{}/", secured.address().port());
    let moved = Backend::answering(move |_| {
        let response = moved_to(&to);
        async move { response }
    })
    .await;
    let challenge = |scheme: &'static str| {
        Backend::answering(move |_| async move {
            let mut response = Response::new(body("x"));
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let challenge = scheme.parse().unwrap();
            response.headers_mut().insert("www-authenticate", challenge);
            response
        })
    };
    let basic = challenge("Basic realm=\"x\"").await;
    let kerberos = challenge("Negotiate").await;
    let corp = Corp::new();
    let staff = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": [{ "group": "staff" }] },
    });
    let stand = Stand::new()
        .application("missing", &missing)
        .application("host", &host)
        .application("moved", &moved)
        .application_with("basic", &basic, staff.clone())
        .application_with("kerberos", &kerberos, staff)
        .gateway_setting(
            "sign_in",
            json!({ "url": "https://login.localhost:{https}/" }),
        )
        .gateway_setting("identity_providers", json!([corp.setting()]))
        .environment("CORP_SECRET", SECRET)
        .start()
        .await;
    // Nobody signs in here.
    drop(corp);
    let expected = [
        ("missing", "app_not_found"),
        ("host", "app_refuses_host"),
        ("moved", "app_redirects_scheme"),
        ("basic", "app_asks_for_password"),
        ("kerberos", "app_asks_for_kerberos"),
    ];
    let mut url = String::new();
    for (name, code) in expected {
        let wrong = through_the_tunnel(&stand, name).await;
        assert_eq!(
            codes_of(&wrong, name)[0],
            code,
            "{name}: {:#?}",
            wrong.lines
        );
        if code == "app_redirects_scheme" {
            // The remedy has the URL as it is to be written.
            let line = wrong.found(code)["remedy"].as_str().unwrap();
            let written = line.split('`').nth(1).unwrap();
            url = written.trim_start_matches("internal_url: ").to_owned();
        }
    }

    let password = stand.folder().join("password");
    fs::write(&password, "hunter2\n").unwrap();
    let file = stand.gateway_file();
    change(&file, |config| {
        for application in config["applications"].as_array_mut().unwrap() {
            match application["name"].as_str().unwrap() {
                "missing" => {
                    let internal = application["internal_url"].as_str().unwrap();
                    application["internal_url"] = json!(format!("{internal}wiki/"));
                }
                "host" => application["host_header"] = json!("external"),
                "moved" => application["internal_url"] = json!(url),
                "basic" => {
                    let with = json!({ "username": "svc", "password": { "file": password } });
                    application["single_sign_on"] = json!({ "basic": with });
                }
                _ => {
                    let with = json!({ "headers": { "X-User": "{sub}" } });
                    application["single_sign_on"] = with;
                }
            }
        }
    });
    let config = file.display().to_string();
    order(&stand, &["gateway", "reload", "--config", &config]).await;
    for (name, code) in expected {
        let after = through_the_tunnel(&stand, name).await;
        assert!(!after.has(code), "{name}: {:#?}", after.lines);
    }
    // What its new address wants is told next: the connector may not go there yet.
    let moved = through_the_tunnel(&stand, "moved").await;
    assert_eq!(codes_of(&moved, "moved")[0], "target_refused");
}

#[tokio::test]
async fn an_application_is_looked_at_from_the_connector_and_through_the_tunnel() {
    let authority = Authority::new();
    let fine = Backend::text("fine").await;
    let down = Backend::refusing().await;
    let tls = |names: &[&str]| authority.server_config(names, &["http/1.1"]);
    let text = |_| async { Response::new(body("x")) };
    let secured = Backend::tls(tls(&["untrusted.corp.internal"]), text).await;
    let named = Backend::tls(tls(&["other.corp.internal"]), text).await;
    let reverse = Backend::tls(tls(&["reverse.corp.internal"]), text).await;
    let plain = Backend::text("plain").await;
    let error = answering(503, &[]).await;
    let missing = answering(404, &[]).await;
    let host = answering(421, &[]).await;
    let moved = answering(301, &[("location", "https://moved.corp.internal/")]).await;
    let away = answering(302, &[("location", "https://sso.example.org/")]).await;
    let ntlm = answering(
        401,
        &[
            ("www-authenticate", "NTLM"),
            ("www-authenticate", "Negotiate"),
        ],
    )
    .await;
    let basic = answering(401, &[("www-authenticate", "Basic realm=\"x\"")]).await;
    let kerberos = answering(401, &[("www-authenticate", "Negotiate")]).await;
    let silent = Backend::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let elsewhere = Backend::text("x").await;
    let stand = Stand::new()
        .application("fine", &fine)
        .application("down", &down)
        .tls_application("untrusted", &secured, Value::Null)
        .tls_application("named", &named, Value::Null)
        .application("reverse", &reverse)
        .tls_application("plain", &plain, Value::Null)
        .application("error", &error)
        .application("missing", &missing)
        .application("host", &host)
        .application("moved", &moved)
        .application("away", &away)
        .application("ntlm", &ntlm)
        .application("basic", &basic)
        .application("kerberos", &kerberos)
        .application("silent", &silent)
        .application_with(
            "unnamed",
            &elsewhere,
            json!({ "internal_url": "http://unnamed.corp.internal:1/" }),
        )
        .application_with(
            "nowhere",
            &elsewhere,
            json!({ "internal_url": "http://nowhere.corp.invalid:{backend}/" }),
        )
        .connector_setting("log", Value::Null)
        .start()
        .await;
    let connector = stand.folder().join("connector-1.yaml");
    change(&connector, |config| {
        let line = format!("nowhere.corp.invalid:{}", elsewhere.address().port());
        config["allow"].as_array_mut().unwrap().push(json!(line));
    });

    let from_there = check(&connector).await;
    let expected: &[(&str, &[&str])] = &[
        ("fine", &["url_differs"]),
        ("down", &["backend_refused"]),
        ("untrusted", &["backend_tls_trust"]),
        ("named", &["backend_tls_trust"]),
        ("reverse", &["app_speaks_tls"]),
        ("plain", &["app_speaks_http"]),
        ("error", &["app_answers_error", "url_differs"]),
        ("missing", &["app_not_found", "url_differs"]),
        ("host", &["app_refuses_host", "url_differs"]),
        ("moved", &["app_redirects_scheme", "url_differs"]),
        ("away", &["app_redirects_elsewhere", "url_differs"]),
        ("ntlm", &["app_asks_for_ntlm", "url_differs"]),
        ("basic", &["app_asks_for_password", "url_differs"]),
        ("kerberos", &["app_asks_for_kerberos", "url_differs"]),
        ("silent", &["backend_first_byte_timeout"]),
        ("unnamed", &["target_refused"]),
        ("nowhere", &["backend_dns"]),
    ];
    for (name, codes) in expected {
        assert_eq!(
            codes_of(&from_there, name),
            *codes,
            "{name}: {:#?}",
            from_there.lines
        );
    }
    // The gateway hears the same from the connector that runs.
    // That one was told of after it had started.
    let known = expected.iter().filter(|(name, _)| *name != "nowhere");
    let looks =
        known.map(async |(name, codes)| (name, codes, through_the_tunnel(&stand, name).await));
    for (name, codes, here) in futures_util::future::join_all(looks).await {
        assert_eq!(codes_of(&here, name), *codes, "{name}: {:#?}", here.lines);
        let others = here
            .lines
            .iter()
            .filter(|line| line["area"] == "applications");
        for line in others {
            assert!(
                line["subject"].as_str().unwrap().starts_with(name),
                "{line}"
            );
        }
    }
    let nobody = through_the_tunnel(&stand, "nobody").await;
    assert_eq!(nobody.code, 2);
    let at_connector = async |name: &str| {
        let file = connector.display().to_string();
        let arguments = ["check", "--app", name, "--config", &file, "--json"];
        Report::of(&run(words::PROGRAM, &arguments, &[], "").await)
    };
    for unknown in [&nobody, &at_connector("nobody").await] {
        let remedy = unknown.found("app_unknown")["remedy"].as_str().unwrap();
        let (_, names) = remedy.split_once("write one of its names: ").unwrap();
        assert!(names.split(", ").any(|name| name == "fine"), "{remedy}");
    }
    for known in [
        through_the_tunnel(&stand, "fine").await,
        at_connector("fine").await,
    ] {
        assert!(!known.has("app_unknown"), "{:#?}", known.lines);
        assert_eq!(codes_of(&known, "fine"), ["url_differs"]);
    }

    mend_at_the_connector(&connector, &from_there, &authority, &down).await;
    mend_at_the_gateway(&stand).await;
}

/// What the connector's own file, or the application, is to be changed in.
async fn mend_at_the_connector(
    file: &Path,
    report: &Report,
    authority: &Authority,
    down: &Backend,
) {
    // The line that the finding prints is put into the file as it stands there.
    let line = report.found("target_refused")["what"]
        .as_str()
        .unwrap()
        .to_owned();
    let (_, line) = line.split_once("add to connector.yaml: allow: ").unwrap();
    let line: Vec<String> = serde_json::from_str(line).unwrap();
    let ca = file.with_extension("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let _up = Backend::answering_at(down.address(), |_| async { Response::new(body("up")) }).await;
    change(file, |config| {
        let allow = config["allow"].as_array_mut().unwrap();
        allow.extend(line.iter().map(|one| json!(one)));
        config["backend_tls"] = json!([
            { "hosts": [endpoint_of(report, "untrusted")], "ca": ca },
            { "hosts": [endpoint_of(report, "named")], "ca": ca },
        ]);
        config["dns"]["hosts"]["nowhere.corp.invalid"] = json!(["127.0.0.1"]);
        let endpoint = endpoint_of(report, "nowhere");
        let (_, port) = endpoint.rsplit_once(':').unwrap();
        allow_loopback(config, port);
    });
    let after = check(file).await;
    // The one that runs has not heard of it.
    after.found("not_in_force");
    for (name, codes) in [
        ("down", &["url_differs"][..]),
        ("untrusted", &["url_differs"]),
        ("named", &["backend_tls_name"]),
        ("nowhere", &["url_differs"]),
        // Behind the list nobody listens.
        ("unnamed", &["backend_refused"]),
    ] {
        assert_eq!(codes_of(&after, name), codes, "{name}: {:#?}", after.lines);
    }
    change(file, |config| {
        config["backend_tls"][1]["server_name"] = json!("other.corp.internal");
    });
    let after = check(file).await;
    assert_eq!(
        codes_of(&after, "named"),
        ["url_differs"],
        "{:#?}",
        after.lines
    );
}

/// Host and port of an application's internal URL.
fn endpoint_of(report: &Report, name: &str) -> String {
    let begin = format!("{name} (");
    let mut subjects = report
        .lines
        .iter()
        .map(|line| line["subject"].as_str().unwrap());
    let subject = subjects
        .find_map(|subject| subject.strip_prefix(&begin))
        .unwrap();
    let (_, rest) = subject.split_once("://").unwrap();
    rest.split_once('/').unwrap().0.to_owned()
}

fn allow_loopback(config: &mut Value, port: &str) {
    let allow = config["allow"].as_array_mut().unwrap();
    allow.push(json!(format!("127.0.0.1:{port}")));
}

/// What the gateway's file is to be changed in.
async fn mend_at_the_gateway(stand: &Running) {
    let file = stand.gateway_file();
    let plain = through_the_tunnel(stand, "plain").await;
    let remedy = plain.found("app_speaks_http")["remedy"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = remedy
        .split('`')
        .nth(1)
        .unwrap()
        .trim_start_matches("internal_url: ")
        .to_owned();
    change(&file, |config| {
        for application in config["applications"].as_array_mut().unwrap() {
            let name = application["name"].as_str().unwrap().to_owned();
            match name.as_str() {
                "plain" => application["internal_url"] = json!(url),
                "reverse" => {
                    let url = application["internal_url"].as_str().unwrap();
                    application["internal_url"] = json!(url.replacen("http:", "https:", 1));
                }
                "ntlm" => application["connection_authentication"] = json!(true),
                "fine" => application["link_translation"] = json!({ "body": ["html", "css"] }),
                _ => {}
            }
        }
    });
    let behind = through_the_tunnel(stand, "fine").await;
    let remedy = behind.found("not_in_force")["remedy"].as_str().unwrap();
    assert!(remedy.contains("appproxy gateway reload"), "{remedy}");
    order(
        stand,
        &["gateway", "reload", "--config", &file.display().to_string()],
    )
    .await;
    assert!(!through_the_tunnel(stand, "fine").await.has("not_in_force"));
    let plain = through_the_tunnel(stand, "plain").await;
    assert_eq!(codes_of(&plain, "plain"), ["url_differs"]);
    let reverse = through_the_tunnel(stand, "reverse").await;
    assert!(!reverse.has("app_speaks_tls"), "{:#?}", reverse.lines);
    let ntlm = through_the_tunnel(stand, "ntlm").await;
    assert!(!ntlm.has("app_asks_for_ntlm"), "{:#?}", ntlm.lines);
    let fine = through_the_tunnel(stand, "fine").await;
    assert!(codes_of(&fine, "fine").is_empty(), "{:#?}", fine.lines);
}
