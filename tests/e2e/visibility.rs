//! What those who watch are told: metrics, health, readiness, `connector status`, and one line in
//! the log for each change of state.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use appproxy::telemetry::metrics;
use http::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;

use crate::harness::{Backend, Output, Running, Stand, body, until, within, words};

/// A page over any stream: status and text.
async fn page(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(path, stream.read_to_string(&mut answer))
        .await
        .unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").expect("a whole answer");
    (head[9..12].parse().unwrap(), text.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    page(TcpStream::connect(address).await.unwrap(), path).await
}

/// The value of a series, which stands there as it is written here; 0 where it is not there.
fn value(page: &str, series: &str) -> f64 {
    let row = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    row.map_or(0.0, |value| value.parse().unwrap())
}

/// The sum over all series of a metric.
pub(crate) fn sum(page: &str, name: &str) -> f64 {
    let rows = page.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    rows.map(|row| row.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Asks until a page is as it is wanted.
pub(crate) async fn until_page(
    address: SocketAddr,
    what: &str,
    wanted: impl Fn(&str) -> bool,
) -> String {
    within(what, async {
        loop {
            let (_, text) = get(address, "/metrics").await;
            if wanted(&text) {
                return text;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

/// An application that answers when it is let.
async fn holding() -> (Backend, Arc<Semaphore>) {
    let let_go = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&let_go);
    let backend = Backend::answering(move |request| {
        let wait = Arc::clone(&wait);
        async move {
            if request.uri().path() == "/held" {
                wait.acquire().await.unwrap().forget();
            }
            Response::new(body("ok"))
        }
    })
    .await;
    (backend, let_go)
}

/// Sends a request that the application holds, and waits until it is there.
async fn hold(stand: &Running) -> tokio::task::JoinHandle<u16> {
    let (client, url) = (stand.client().clone(), stand.url("wiki", "/held"));
    let held = tokio::spawn(async move { client.get(&url).await.status.as_u16() });
    let in_flight = "appproxy_requests_in_flight{application=\"wiki\"}";
    until_page(stand.metrics_address(), "a request in flight", |page| {
        value(page, in_flight) > 0.0
    })
    .await;
    held
}

async fn status(stand: &Running, config: &Path, json: bool) -> Output {
    let mut arguments = vec!["connector".to_owned(), "status".to_owned()];
    arguments.extend(["--config".to_owned(), config.display().to_string()]);
    arguments.extend(json.then(|| "--json".to_owned()));
    stand.program(&arguments, "").await
}

#[tokio::test]
async fn what_a_gateway_carries_is_in_its_metrics_and_comes_back_to_nothing() {
    let (backend, let_go) = holding().await;
    let mut stand = Stand::new()
        .application("wiki", &backend)
        .metrics()
        .start()
        .await;
    let at = stand.metrics_address();
    for _ in 0..3 {
        assert_eq!(stand.get("https://wiki.localhost/").await.status, 200);
    }
    assert_eq!(stand.get("https://other.apps.localhost/").await.status, 404);
    let held = hold(&stand).await;

    let counted = "appproxy_requests_total{application=\"wiki\",status=\"2xx\",code=\"none\"}";
    // The last of an answer is counted when its client has it, and its place comes back then.
    let page = until_page(at, "both tunnels, and four answers", |page| {
        sum(page, "appproxy_tunnels") == 2.0
            && value(page, counted) == 3.0
            && sum(page, "appproxy_requests_total") == 4.0
            && sum(page, "appproxy_tunnel_streams") == 1.0
    })
    .await;
    assert_eq!(sum(&page, "appproxy_requests_in_flight"), 1.0, "{page}");
    assert_eq!(sum(&page, "appproxy_tunnel_streams"), 1.0, "{page}");
    assert!(sum(&page, "appproxy_tunnel_places") >= 2048.0, "{page}");
    for (series, expected) in [
        (
            "appproxy_requests_total{application=\"wiki\",status=\"2xx\",code=\"none\"}",
            3.0,
        ),
        (
            "appproxy_requests_total{application=\"-\",status=\"4xx\",code=\"no_route\"}",
            1.0,
        ),
        (
            "appproxy_request_duration_seconds_count{application=\"wiki\"}",
            3.0,
        ),
        ("appproxy_group_connectors{group=\"default\"}", 1.0),
        (
            "appproxy_connectors{group=\"default\",state=\"connected\"}",
            1.0,
        ),
        (
            "appproxy_connectors{group=\"default\",state=\"inactive\"}",
            0.0,
        ),
        ("appproxy_tunnels_opened_total{group=\"default\"}", 2.0),
        ("appproxy_enrolments_total{outcome=\"enrolled\"}", 1.0),
        ("appproxy_draining", 0.0),
    ] {
        assert_eq!(value(&page, series), expected, "{series} in\n{page}");
    }
    let days = 24.0 * 3600.0;
    let tunnel =
        "appproxy_certificate_expiry_seconds{use=\"tunnel\",name=\"gateway.appproxy.internal\"}";
    assert!(
        (29.0 * days..=30.0 * days).contains(&value(&page, tunnel)),
        "{page}"
    );
    assert!(
        page.contains(
            "appproxy_certificate_expiry_seconds{use=\"people\",name=\"wiki.localhost\"}"
        ),
        "{page}"
    );
    assert!(
        sum(&page, "appproxy_connections_accepted_total") >= 4.0,
        "{page}"
    );
    for family in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = family.split(' ').next().unwrap();
        assert!(
            metrics::ALL.iter().any(|m| m.name == name),
            "{name} is not in the catalogue"
        );
        assert_eq!(
            page.matches(&format!("# TYPE {name} ")).count(),
            1,
            "{name}"
        );
    }

    let_go.add_permits(1);
    assert_eq!(held.await.unwrap(), 200);
    stand.connectors()[0].terminate();
    let gone = [
        "appproxy_tunnels",
        "appproxy_requests_in_flight",
        "appproxy_tunnel_streams",
        "appproxy_group_connectors",
    ];
    let page = until_page(at, "no tunnel", |page| {
        gone.iter().all(|name| sum(page, name) == 0.0)
    })
    .await;
    for name in [
        "appproxy_requests_in_flight",
        "appproxy_tunnel_streams",
        "appproxy_tunnel_places",
        "appproxy_group_connectors",
        "appproxy_websockets_open",
    ] {
        assert_eq!(sum(&page, name), 0.0, "{name} in\n{page}");
        assert!(
            page.contains(&format!("\n{name}")),
            "{name} is not in\n{page}"
        );
    }
    assert_eq!(
        value(
            &page,
            "appproxy_connectors{group=\"default\",state=\"away\"}"
        ),
        1.0,
        "{page}"
    );
    let closed = until_page(at, "both ends", |page| {
        sum(page, "appproxy_tunnels_closed_total") == 2.0
    })
    .await;
    assert!(
        closed.contains("appproxy_tunnels_closed_total{group=\"default\",reason=\""),
        "{closed}"
    );
}

#[tokio::test]
async fn a_gateway_that_drains_is_alive_and_not_ready() {
    let (backend, let_go) = holding().await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .metrics()
        .start()
        .await;
    let at = stand.metrics_address();
    assert_eq!(get(at, "/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(get(at, "/status").await.0, 404);
    let held = hold(&stand).await;
    stand.gateway().terminate();
    stand
        .gateway()
        .line("stopping", |line| {
            words::message(line).is_some_and(|m| m.starts_with("stopping"))
        })
        .await;
    let not_ready = within("a gateway that is not ready", async {
        loop {
            let answer = get(at, "/readyz").await;
            if answer.0 != 200 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(
        not_ready,
        (503, "it is stopping and takes nothing new\n".to_owned())
    );
    assert_eq!(get(at, "/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(
        value(&get(at, "/metrics").await.1, "appproxy_draining"),
        1.0
    );
    let_go.add_permits(1);
    assert_eq!(held.await.unwrap(), 200);
    assert!(stand.gateway().ended().await.success());
}

#[tokio::test]
async fn a_connectors_status_is_asked_over_the_socket_in_its_state() {
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new()
        .application("wiki", &backend)
        .connectors(0)
        .start()
        .await;
    let new = stand.connector_file();
    let refused = status(&stand, &new, false).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains(&format!(
            "run `appproxy connector register --config {}`",
            new.display()
        )),
        "{}",
        refused.stderr
    );

    let config = stand.enrol("default").await;
    let refused = status(&stand, &config, true).await;
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(refused.stdout, "{\"running\": false}\n");
    assert!(
        refused
            .stderr
            .contains("start it with `appproxy connector --config "),
        "{}",
        refused.stderr
    );

    stand.start_connector(&config).await;
    stand.get("https://wiki.localhost/").await;
    let told = status(&stand, &config, true).await.success();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["group"], "default");
    assert_eq!(told["missing"], json!([]));
    assert_eq!(told["allow"].as_array().unwrap().len(), 2);
    assert_eq!(told["connections"][0]["failure"], Value::Null);
    let gateway = format!("{}:{}", words::GATEWAY_NAME, stand.address().port());
    let table = status(&stand, &config, false).await.success();
    assert!(
        table.contains(&gateway) && table.contains("open"),
        "{table}"
    );
    assert!(table.contains("wiki.corp.internal:"), "{table}");
    let state: Value = serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    let socket = Path::new(state["state"].as_str().unwrap()).join("status.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let ready = page(UnixStream::connect(&socket).await.unwrap(), "/readyz").await;
    assert_eq!(ready, (200, "ready\n".to_owned()));

    // Without a gateway it runs and does not serve, and says why.
    stand.stop_gateway().await;
    let refused = within("a status without tunnels", async {
        loop {
            let output = status(&stand, &config, false).await;
            if !output.status.success() && output.stdout.contains("again in") {
                return output;
            }
        }
    })
    .await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stdout.contains("not serving: there is no tunnel"),
        "{}",
        refused.stdout
    );
    assert!(
        refused
            .stderr
            .contains("there is no tunnel to any gateway; the last reason: "),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("the last reason: ["),
        "no code: {}",
        refused.stderr
    );

    // What a dead process leaves does not stand in the way of the next.
    let connector = stand.connectors().pop().unwrap();
    connector.kill();
    connector.ended().await;
    assert!(socket.exists());
    let refused = status(&stand, &config, false).await;
    assert!(
        refused
            .stderr
            .contains("no connector runs with the state in "),
        "{}",
        refused.stderr
    );
    stand.restart_gateway().await;
    stand.start_connector(&config).await;
    status(&stand, &config, false).await.success();
    // Another one with the same state is noticed.
    let another = stand.spawn_connector(&config);
    let line = another.line("the other one", |line| {
        line.contains("another process runs with this state")
    });
    assert!(line.await.contains("\"code\":\"state_in_use\""));
    let connector = stand.connectors().pop().unwrap();
    for one in [connector, another] {
        one.terminate();
        assert!(one.ended().await.success());
    }
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_connectors_listener_tells_its_metrics_and_readiness() {
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new()
        .application("wiki", &backend)
        .connectors(0)
        .start()
        .await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap();
    let config = stand
        .enrol_with("default", json!({ "metrics": at.to_string() }))
        .await;
    let taken = stand.spawn_connector(&config);
    assert_eq!(taken.ended().await.code(), Some(1));
    let log = taken.log().join("\n");
    assert!(
        log.contains(&format!(": metrics: cannot listen on {at}: ")),
        "{log}"
    );

    let connector = stand.spawn_connector_at(&config, listener);
    connector.says(words::TUNNEL_OPEN).await;
    assert_eq!(get(at, "/readyz").await.0, 200);
    let gateway = format!("{}:{}", words::GATEWAY_NAME, stand.address().port());
    let tunnels = format!("appproxy_connector_tunnels{{gateway=\"{gateway}\"}}");
    until_page(at, "both tunnels", |page| value(page, &tunnels) == 2.0).await;
    stand.get("https://wiki.localhost/").await;
    let page = until_page(at, "the answer's end", |page| {
        value(page, "appproxy_connector_streams") == 0.0
            && value(page, "appproxy_connector_backend_idle_connections") == 1.0
    })
    .await;
    for (series, expected) in [
        (
            "appproxy_connector_backend_requests_total{application=\"wiki\",code=\"none\"}",
            1.0,
        ),
        ("appproxy_connector_backend_connect_seconds_count", 1.0),
        ("appproxy_connector_backend_first_byte_seconds_count", 1.0),
        ("appproxy_connector_backend_idle_connections", 1.0),
        ("appproxy_connector_streams", 0.0),
    ] {
        assert_eq!(value(&page, series), expected, "{series} in\n{page}");
    }
    assert_eq!(sum(&page, "appproxy_connector_dials_total"), 2.0, "{page}");
    assert!(
        sum(&page, "appproxy_certificate_expiry_seconds") > 80.0 * 24.0 * 3600.0,
        "{page}"
    );
    let told: Value = serde_json::from_str(&get(at, "/status").await.1).unwrap();
    assert_eq!(told["tunnels"], 2);

    // Gone, and then back, in numbers.
    stand.stop_gateway().await;
    let refused = format!(
        "appproxy_connector_dial_failures_total{{gateway=\"{gateway}\",reason=\"refused\"}}"
    );
    let page = until_page(at, "failures", |page| {
        value(page, &refused) > 0.0 && value(page, &tunnels) == 0.0
    })
    .await;
    let (status, why) = get(at, "/readyz").await;
    assert_eq!(
        (status, why.as_str()),
        (503, "there is no tunnel to any gateway\n")
    );
    assert_eq!(get(at, "/healthz").await.0, 200);
    for family in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = family.split(' ').next().unwrap();
        assert!(
            metrics::ALL.iter().any(|m| m.name == name),
            "{name} is not in the catalogue"
        );
    }
}

#[tokio::test]
async fn a_taken_port_for_metrics_is_a_start_error_that_names_its_key() {
    let backend = Backend::text("ok").await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .connectors(0)
        .start()
        .await;
    let text = std::fs::read_to_string(stand.gateway_file()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    let at = stand.address();
    config["listen"] = json!({ "https": ["127.0.0.1:1"], "metrics": at.to_string() });
    // Only the second is to be opened: the first is handed in.
    let file = stand.folder().join("second.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = std::process::Command::new(words::PROGRAM);
    command
        .args(words::gateway(&file, false))
        .envs(words::inherited(1));
    command.stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(
        listener,
    )));
    command.stdout(std::process::Stdio::null());
    let gateway = crate::harness::Process::start("gateway", &mut command);
    assert_eq!(gateway.ended().await.code(), Some(1));
    let log = gateway.log().join("\n");
    let expected = format!("second.yaml: listen.metrics: cannot listen on {at}: ");
    assert!(log.contains(&expected), "{log}");
}

#[tokio::test]
async fn each_change_of_state_is_one_line_in_the_log() {
    const EMPTY: &str = "connector group has no connector left";
    const PRESENT: &str = "connector group has a connector";
    const STANDS_IN: &str =
        "connector group stands in: the groups before it have no connector that can be chosen";
    const RETURNED: &str = "connector group serves again";
    let backend = Backend::text("ok").await;
    let groups = json!({ "connector_groups": ["hq", "backup"] });
    let mut stand = Stand::new()
        .application_with("wiki", &backend, groups)
        .connectors(0)
        .metrics()
        .start()
        .await;
    let hq = stand.enrol("hq").await;
    let backup = stand.enrol("backup").await;
    stand.start_connector(&hq).await;
    stand.start_connector(&backup).await;
    let served = async |stand: &Running| {
        for _ in 0..20 {
            assert_eq!(stand.get("https://wiki.localhost/").await.status, 200);
        }
    };
    served(&stand).await;
    let said =
        |stand: &Running| [PRESENT, EMPTY, STANDS_IN, RETURNED].map(|m| stand.gateway().said(m));
    let are_said = async |stand: &Running, counts: [usize; 4]| {
        until("each in the log", || said(stand) == counts).await;
    };
    are_said(&stand, [2, 0, 0, 0]).await;

    let connector = stand.connectors().remove(0);
    connector.terminate();
    let line = stand.gateway().says(EMPTY).await;
    assert!(line.contains("\"code\":\"group_away\""), "{line}");
    served(&stand).await;
    let line = stand.gateway().says(STANDS_IN).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["application"], &line["group"]),
        (&json!("wiki"), &json!("backup"))
    );
    are_said(&stand, [2, 1, 1, 0]).await;
    let at = stand.metrics_address();
    let (_, page) = get(at, "/metrics").await;
    assert_eq!(sum(&page, "appproxy_failovers_total"), 1.0, "{page}");
    assert_eq!(value(&page, "appproxy_group_connectors{group=\"hq\"}"), 0.0);
    assert_eq!(
        value(&page, "appproxy_group_connectors{group=\"backup\"}"),
        1.0
    );

    stand.start_connector(&hq).await;
    within("the first group", async {
        while stand.gateway().said(RETURNED) == 0 {
            served(&stand).await;
        }
    })
    .await;
    served(&stand).await;
    are_said(&stand, [3, 1, 1, 1]).await;
    // A gateway that stops loses everybody, which is no news.
    stand.stop_gateway().await;
    assert_eq!(said(&stand), [3, 1, 1, 1]);
}

/// A name that a visitor makes up is no label, whatever becomes of the request.
#[tokio::test]
async fn an_application_with_a_wildcard_host_is_one_label_however_many_hosts_are_asked_for() {
    let mut backend = Backend::text("ok").await;
    let stand = Stand::new()
        .application_with(
            "any",
            &backend,
            json!({ "external_url": "https://*.apps.localhost:{https}/" }),
        )
        .metrics()
        .start()
        .await;
    let at = stand.metrics_address();
    let visit = async |stand: &Running, hosts: std::ops::Range<usize>, status: u16| {
        for host in hosts {
            let url = format!("https://made-up-{host}.apps.localhost/");
            assert_eq!(stand.get(&url).await.status, status, "{host}");
        }
    };
    let series = |page: &str| {
        let rows = page.lines().filter(|line| !line.starts_with('#'));
        rows.filter_map(|row| Some(row.rsplit_once(' ')?.0.to_owned()))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let answered = "appproxy_requests_total{application=\"any\",status=\"2xx\",code=\"none\"}";
    visit(&stand, 0..1, 200).await;
    let page = until_page(at, "one answer", |page| value(page, answered) == 1.0).await;
    let before = series(&page);
    visit(&stand, 1..40, 200).await;
    let page = until_page(at, "forty answers", |page| value(page, answered) == 40.0).await;
    assert_eq!(series(&page), before);

    // The connector's health is that of the application, too.
    backend.stop().await;
    visit(&stand, 40..60, 502).await;
    let ejected = "appproxy_ejections_total{application=\"any\"}";
    let page = until_page(at, "an ejection", |page| value(page, ejected) == 1.0).await;
    assert!(!page.contains("made-up"), "{page}");
    let more: Vec<_> = series(&page).difference(&before).cloned().collect();
    let failed =
        "appproxy_requests_total{application=\"any\",status=\"5xx\",code=\"backend_refused\"}";
    assert_eq!(more, [ejected, failed]);
}
