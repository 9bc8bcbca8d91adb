//! `check` of a connector, and of an application through its tunnel: each fault is made for real, found by its
//! code, mended as the remedy says, and gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::beds::check::{Report, check_with};
use crate::egress::{self, GATEWAY, Proxy};
use crate::harness::{Authority, Backend, Running, Stand, body, gone, temporary, within, words};

async fn check(file: &Path) -> Report {
    check_with(file, &[]).await
}

/// Changes a configuration where it is.
fn change(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut config: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    change(&mut config);
    fs::write(file, config.to_string()).unwrap();
}

/// Looks, finds this; mends it, looks again, and it is gone. The line is what was found.
async fn mended(file: &Path, code: &str, mend: impl FnOnce(&mut Value)) -> Value {
    let line = check(file).await.found(code).clone();
    assert!(!line["remedy"].as_str().unwrap().is_empty(), "{line}");
    change(file, mend);
    let after = check(file).await;
    assert!(!after.has(code), "{:#?}", after.lines);
    line
}

async fn order(stand: &Running, arguments: &[&str]) -> String {
    let arguments: Vec<_> = arguments.iter().map(|&word| word.to_owned()).collect();
    stand.program(&arguments, "").await.success()
}

/// Registers with a new token of the group.
async fn register(stand: &Running, file: &Path, replace: bool) {
    let token = file.with_extension("token");
    fs::write(&token, stand.token("default").await).unwrap();
    let mut arguments = words::register(file, &token);
    if replace {
        arguments.push("--replace".to_owned());
    }
    stand.program(&arguments, "").await.success();
}

#[tokio::test]
async fn the_way_to_a_gateway_is_looked_at_step_by_step() {
    let app = Backend::text("wiki").await;
    let mut stand = egress::stand(&app, json!("none")).await;
    let port = stand.address().port();

    // Before it is registered; the remedy is to register.
    let file = stand.connector_file();
    change(&file, words::lead_to_gateway);
    let fresh = check(&file).await;
    assert_eq!(fresh.code, 2);
    fresh.found("not_registered");
    assert!(fresh.lines.iter().any(|line| line["outcome"] == "skip"));
    register(&stand, &file, false).await;
    let registered = check(&file).await;
    assert!(!registered.has("not_registered"));
    registered.passes(&format!("{GATEWAY}:{port}"));
    assert_eq!(registered.code, 0, "{:#?}", registered.lines);

    // A proxy that wants a password (407).
    let squid = Proxy::start(egress::squid).await;
    let folder = temporary();
    change(&file, |config| {
        config["tunnel_proxy"] = json!({ "url": squid.url("http") })
    });
    let right = egress::password(folder.path(), "hunter2");
    let wrong = egress::password(folder.path(), "wrong");
    let line = mended(&file, "proxy_password", |config| {
        config["tunnel_proxy"]["username"] = json!("svc");
        config["tunnel_proxy"]["password"] = right.clone();
    });
    let line = line.await;
    assert!(line["what"].as_str().unwrap().contains("Basic"), "{line}");
    check(&file).await.passes(&format!("{GATEWAY}:{port}"));
    change(&file, |config| config["tunnel_proxy"]["password"] = wrong);
    mended(&file, "proxy_password", |config| {
        config["tunnel_proxy"]["password"] = right;
    })
    .await;

    // One that does not get there (503); one that forbids it (403); none at all; what is no proxy.
    change(&file, |config| {
        config["gateways"] = json!([format!("{GATEWAY}:1")])
    });
    mended(&file, "proxy_no_way", |config| {
        config["gateways"] = json!([format!("{GATEWAY}:{port}")]);
    })
    .await;
    let narrow = Proxy::start(egress::tinyproxy("ConnectPort 443")).await;
    let wide = Proxy::start(egress::tinyproxy("")).await;
    let through =
        |url: String| move |config: &mut Value| config["tunnel_proxy"] = json!({ "url": url });
    change(&file, through(narrow.url("http")));
    mended(&file, "proxy_forbids", through(wide.url("http"))).await;
    change(&file, through("http://127.0.0.1:1".to_owned()));
    mended(&file, "proxy_away", through(wide.url("http"))).await;
    let no_proxy = Backend::raw(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await;
        gone(&mut stream).await;
    })
    .await;
    change(&file, through(format!("http://{}", no_proxy.address())));
    mended(&file, "not_a_proxy", through(wide.url("http"))).await;

    // Something opens TLS, and is named.
    let inspector = Proxy::start(egress::mitmproxy).await;
    change(&file, through(inspector.url("http")));
    let line = mended(&file, "tls_intercepted", |config| {
        config["tunnel_proxy"] = json!("none");
    })
    .await;
    assert!(
        line["what"].as_str().unwrap().contains("CN=mitmproxy"),
        "{line}"
    );

    // A gateway of somebody else; a port where nobody is; a name that leads nowhere.
    let other = Stand::new().connectors(0).start().await;
    let to = |gateway: String| move |config: &mut Value| config["gateways"] = json!([gateway]);
    let home = || to(format!("{GATEWAY}:{port}"));
    change(&file, to(format!("127.0.0.1:{}", other.address().port())));
    mended(&file, "other_installation", home()).await;
    change(&file, to("127.0.0.1:1".to_owned()));
    mended(&file, "port_closed", home()).await;
    change(&file, to(format!("{}:{port}", "gw.nowhere.invalid")));
    let nowhere = check(&file).await;
    assert!(
        ["dns_failed", "dns_no_server"]
            .iter()
            .any(|code| nowhere.has(code)),
        "{:#?}",
        nowhere.lines
    );
    change(&file, home());

    // Nothing may be reached.
    let mut allow = Value::Null;
    change(&file, |config| allow = config["allow"].take());
    change(&file, |config| {
        drop(config.as_object_mut().unwrap().remove("allow"))
    });
    mended(&file, "allow_empty", |config| config["allow"] = allow).await;

    // It does not run; then it runs, without a gateway; then with.
    check(&file).await.found("connector_not_running");
    stand.start_connector(&file).await;
    let running = check(&file).await;
    assert!(
        !running.has("connector_not_running"),
        "{:#?}",
        running.lines
    );
    running.passes("connector");
    stand.stop_gateway().await;
    look_until(&file, |report| {
        report.has("connector_no_tunnel") && report.has("port_closed")
    })
    .await;
    stand.successor().await;
    look_until(&file, |report| !report.has("connector_no_tunnel")).await;

    // The identity is damaged, and the connector removed: each time it registers anew.
    stand.connectors().clear();
    let state: PathBuf = {
        let text = fs::read_to_string(&file).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        config["state"].as_str().unwrap().into()
    };
    fs::write(state.join("identity.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    check(&file).await.found("identity_damaged");
    register(&stand, &file, true).await;
    let line = check(&file).await;
    assert!(!line.has("identity_damaged"));
    let line = line.lines.iter().find(|line| line["area"] == "enrolment");
    let seen = line.unwrap()["seen"].as_str().unwrap().to_owned();
    let id = seen.split(' ').nth(1).unwrap();
    let gateway = stand.gateway_file().display().to_string();
    order(
        &stand,
        &["gateway", "connector", "remove", id, "--config", &gateway],
    )
    .await;
    check(&file).await.found("connector_removed");
    register(&stand, &file, true).await;
    let after = check(&file).await;
    assert!(!after.has("connector_removed"), "{:#?}", after.lines);
    assert_eq!(after.code, 0, "{:#?}", after.lines);
}

/// Looks again and again: the connector notices in its own time.
async fn look_until(file: &Path, done: impl Fn(&Report) -> bool) {
    within("what a check is to say", async {
        while !done(&check(file).await) {}
    })
    .await;
}

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

/// What `check --app` says of an application's own lines.
async fn through_the_tunnel(stand: &Running, name: &str) -> Report {
    let file = stand.gateway_file();
    let file = file.display().to_string();
    let arguments = ["check", "--app", name, "--config", &file, "--json"];
    let arguments: Vec<_> = arguments.iter().map(|&word| word.to_owned()).collect();
    let output = stand.program(&arguments, "").await;
    let told: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}\n{}", output.stdout, output.stderr));
    Report {
        lines: told["lines"].as_array().unwrap().clone(),
        code: output.status.code().unwrap(),
    }
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
    nobody.found("app_unknown");
    assert_eq!(nobody.code, 2);

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
    let fine = through_the_tunnel(stand, "fine").await;
    assert!(codes_of(&fine, "fine").is_empty(), "{:#?}", fine.lines);
}

#[tokio::test]
async fn a_name_whose_alias_leads_nowhere_is_told_from_one_that_is_not_there() {
    let app = Backend::text("wiki").await;
    let stand = Stand::new().application("wiki", &app).start().await;
    let file = stand.folder().join("changed.yaml");
    fs::copy(stand.gateway_file(), &file).unwrap();
    let socket = stand.folder().join("gateway.sock");
    change(&file, |config| {
        config["listen"]["admin"] = json!(format!("unix:{}", socket.display()));
        config["applications"][0]["external_url"] = json!("https://wiki.corp.test/");
    });
    // In a network of its own, where the name server of this machine is the test's.
    let look = async |zone: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/python/dangling.py");
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "python3"])
            .arg(script)
            .arg(zone);
        command
            .arg(words::PROGRAM)
            .args(["check", "--json", "--config"])
            .arg(&file);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let told: Value = serde_json::from_str(&told)
            .unwrap_or_else(|e| panic!("{e}: {told}\n{}", String::from_utf8_lossy(&output.stderr)));
        Report {
            lines: told["lines"].as_array().unwrap().clone(),
            code: output.status.code().unwrap(),
        }
    };
    let dangling = look("dangling").await;
    let line = dangling.found("dns_dangling");
    let (what, remedy) = (
        line["what"].as_str().unwrap(),
        line["remedy"].as_str().unwrap(),
    );
    assert!(what.contains("gone.hoster.test"), "{line}");
    assert!(remedy.contains("wiki.corp.test"), "{line}");
    let missing = look("missing").await;
    missing.found("dns_missing");
    assert!(!missing.has("dns_dangling"));
    // As the remedy says: an address.
    let mended = look("mended").await;
    assert!(!mended.has("dns_dangling"), "{:#?}", mended.lines);
    let own = mended.lines.iter().filter(|line| {
        line["area"] == "names" && line["subject"].as_str().unwrap().starts_with("wiki")
    });
    assert!(own.count() > 0);
    let missing = |line: &Value| line["code"] == "dns_missing";
    let names: Vec<_> = mended.lines.iter().filter(|line| missing(line)).collect();
    // The name where connectors dial is not in this zone.
    assert_eq!(names.len(), 1, "{names:#?}");
}

/// What `check --app` says of an application's links, on so many pages.
async fn links_of(stand: &Running, name: &str, pages: &str) -> Report {
    let file = stand.gateway_file().display().to_string();
    let output = {
        let arguments = [
            "check", "--app", name, "--pages", pages, "--config", &file, "--json",
        ];
        let arguments: Vec<_> = arguments.iter().map(|&word| word.to_owned()).collect();
        stand.program(&arguments, "").await
    };
    let told: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}\n{}", output.stdout, output.stderr));
    let mut lines = told["lines"].as_array().unwrap().clone();
    lines.retain(|line| line["area"] == "links");
    Report {
        lines,
        code: output.status.code().unwrap(),
    }
}

#[tokio::test]
async fn links_that_are_dead_for_people_outside_are_listed_and_mended() {
    let fine = Backend::text("fine").await;
    let port = fine.address().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let site = Backend::answering(move |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        assert!(!request.headers().contains_key("cookie"));
        log.lock().unwrap().push(path.clone());
        async move {
            let text = match path.as_str() {
                "/wiki/" => format!(
                    "<a href=\"http://intranet/news?id=1\">n</a><a href=/other>o</a>\
                     <script src=http://cdn.example.org/x.js></script><a href=http://example.org/>e</a>\
                     <a href=\"http://fine.corp.internal:{port}/a\">f</a>\
                     <a href=admin/users>a</a><a href=next>next</a><a href=logout>out</a><a href=\"delete?id=1\">d</a>"
                ),
                "/wiki/next" => {
                    "<a href=http://printer.corp.internal/>p</a><a href=gone>g</a>".to_owned()
                }
                "/wiki/gone" => {
                    let mut response = Response::new(body("no"));
                    *response.status_mut() = StatusCode::NOT_FOUND;
                    return response;
                }
                other => panic!("{other} was asked for"),
            };
            let mut response = Response::new(body(text));
            let html = http::HeaderValue::from_static("text/html");
            response.headers_mut().insert("content-type", html);
            response
        }
    })
    .await;
    let stand = Stand::new()
        .application("fine", &fine)
        .application_with(
            "site",
            &site,
            json!({
                "external_url": "https://site.localhost:{https}/wiki/",
                "internal_url": "http://site.corp.internal:{backend}/wiki/",
                "paths": [{
                    "path": "/wiki/admin/",
                    "pre_authentication": ["passthrough"],
                    "access": { "allow": [{ "ip": ["127.0.0.0/8"] }] },
                }],
            }),
        )
        .start()
        .await;

    let one = links_of(&stand, "site", "1").await;
    let what = |code: &str| one.found(code)["what"].as_str().unwrap().to_owned();
    assert!(what("link_unpublished").contains("http://intranet/news ("));
    assert!(!what("link_unpublished").contains("printer"));
    assert!(what("link_out_of_path").contains("/other"));
    assert!(what("link_mixed_content").contains("http://cdn.example.org/x.js"));
    assert!(what("link_not_translated").contains(&format!("http://fine.corp.internal:{port}/a")));
    assert!(
        !one.lines
            .iter()
            .any(|line| line.to_string().contains("http://example.org/"))
    );
    one.passes("site: /wiki/");
    // Warnings are no failures.
    assert_eq!(one.code, 0, "{:#?}", one.lines);

    let more = links_of(&stand, "site", "5").await;
    let unpublished = more.found("link_unpublished")["what"].as_str().unwrap();
    assert!(
        unpublished.contains("printer.corp.internal"),
        "{unpublished}"
    );
    let asked: Vec<_> = asked
        .lock()
        .unwrap()
        .iter()
        .filter(|p| *p != "/wiki/")
        .cloned()
        .collect();
    assert_eq!(
        asked,
        ["/wiki/next", "/wiki/gone"],
        "what acts is left alone"
    );
    let gone = more.found("link_gone");
    assert!(
        gone["subject"].as_str().unwrap().ends_with("/wiki/gone"),
        "{gone}"
    );

    // As the remedies say: translate, and publish the whole of it.
    let file = stand.gateway_file();
    change(&file, |config| {
        let site = &mut config["applications"][1];
        site["link_translation"] = json!({ "body": ["html"] });
    });
    order(
        &stand,
        &["gateway", "reload", "--config", &file.display().to_string()],
    )
    .await;
    let mended = links_of(&stand, "site", "1").await;
    assert!(!mended.has("link_not_translated"), "{:#?}", mended.lines);
    assert!(mended.has("link_unpublished"));
}
