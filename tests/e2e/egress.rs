//! The way out through proxies: real ones, with and without a password, right and wrong.

use std::fs;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Backend, Process, Running, Stand, body, temporary, until, within, words};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The gateway's name here: a proxy is not used for names below `localhost`.
pub(crate) const GATEWAY: &str = "gw.corp.internal";

/// The command of a proxy that keeps its files in this folder and listens on this port.
type Start = dyn Fn(&Path, u16) -> Command;

/// A proxy that runs; it ends with its folder.
pub(crate) struct Proxy {
    process: Option<Process>,
    port: u16,
    start: Box<Start>,
    folder: TempDir,
}

impl Proxy {
    pub(crate) async fn start(start: impl Fn(&Path, u16) -> Command + 'static) -> Self {
        let folder = temporary();
        // squid gives up root, and reads its files then.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut proxy = Self {
            process: None,
            port: free_port(),
            start: Box::new(start),
            folder,
        };
        // It cannot be handed a listener, so somebody else may have got the port before it.
        within("a proxy that listens", async {
            while !proxy.begins().await {
                proxy.port = free_port();
            }
        })
        .await;
        proxy
    }

    /// Starts it on its port; whether it listens there, and has not ended.
    async fn begins(&mut self) -> bool {
        let mut command = (self.start)(self.folder.path(), self.port);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = self.process.insert(Process::start("proxy", &mut command));
        let address: SocketAddr = ([127, 0, 0, 1], self.port).into();
        until("the proxy", || {
            process.has_ended() || StdStream::connect(address).is_ok()
        })
        .await;
        !process.has_ended()
    }

    async fn end(&mut self) {
        let process = self.process.take().unwrap();
        process.kill();
        process.ended().await;
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }
}

fn free_port() -> u16 {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A program that is installed where root finds it.
pub(crate) fn program(name: &str) -> Command {
    for folder in ["/usr/sbin", "/usr/bin", "/usr/local/bin"] {
        let path = Path::new(folder).join(name);
        if path.exists() {
            return Command::new(path);
        }
    }
    panic!("{name} is missing: run `make test-tools`");
}

/// squid that wants `svc` and `hunter2`.
pub(crate) fn squid(folder: &Path, port: u16) -> Command {
    let helper = folder.join("passwords");
    fs::write(
        &helper,
        "#!/bin/sh\nwhile read -r pair; do if [ \"$pair\" = 'svc hunter2' ]; then echo OK; else echo ERR; fi; done\n",
    )
    .unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    squid_that(
        folder,
        port,
        &format!(
            "auth_param basic program {}\nauth_param basic children 1\nauth_param basic realm squid\n",
            helper.display()
        ),
    )
}

/// squid that signs people in by NTLM alone.
pub(crate) fn squid_of_ntlm(folder: &Path, port: u16) -> Command {
    let helper = folder.join("ntlm");
    fs::write(
        &helper,
        "#!/bin/sh\nwhile read -r line; do echo 'NA no'; done\n",
    )
    .unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    squid_that(
        folder,
        port,
        &format!(
            "auth_param ntlm program {}\nauth_param ntlm children 1\n",
            helper.display()
        ),
    )
}

/// squid that signs people in so.
fn squid_that(folder: &Path, port: u16, signs_in: &str) -> Command {
    let file = folder.join("squid.conf");
    let text = format!(
        "http_port 127.0.0.1:{port}\npid_filename none\naccess_log none\ncache_log /dev/null\ncache deny all\n\
         shutdown_lifetime 1 seconds\n{signs_in}acl known proxy_auth REQUIRED\nhttp_access allow known\n\
         http_access deny all\n",
    );
    fs::write(&file, text).unwrap();
    let mut command = program("squid");
    command.args(["-N", "-f"]).arg(file);
    command
}

/// tinyproxy; `more` are further lines of its configuration.
pub(crate) fn tinyproxy(more: &'static str) -> impl Fn(&Path, u16) -> Command {
    move |folder, port| {
        let file = folder.join("tinyproxy.conf");
        let text = format!("Port {port}\nListen 127.0.0.1\nLogLevel Critical\n{more}\n");
        fs::write(&file, text).unwrap();
        let mut command = program("tinyproxy");
        command.arg("-d").arg("-c").arg(file);
        command
    }
}

fn microsocks(arguments: &'static [&'static str]) -> impl Fn(&Path, u16) -> Command {
    move |_, port| {
        let mut command = program("microsocks");
        command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
        command.args(arguments);
        command
    }
}

pub(crate) fn mitmproxy(folder: &Path, port: u16) -> Command {
    let mut command = program("mitmdump");
    command.args(["--quiet", "--listen-host", "127.0.0.1", "--ssl-insecure"]);
    command.args(["--listen-port", &port.to_string()]);
    command
        .arg("--set")
        .arg(format!("confdir={}", folder.display()));
    command.env("HOME", folder);
    command
}

/// A stand whose connectors reach the gateway through this, and have not started.
pub(crate) async fn stand(app: &Backend, tunnel_proxy: Value) -> Running {
    Stand::new()
        .application("wiki", app)
        .connectors(0)
        .gateway_setting(
            "listen",
            json!({ "https": ["127.0.0.1:{https}"], "public": [format!("{GATEWAY}:{{https}}")] }),
        )
        .connector_setting("tunnel_proxy", tunnel_proxy)
        .connector_setting(
            "dns",
            json!({ "hosts": { GATEWAY: ["127.0.0.1"], "wiki.corp.internal": ["127.0.0.1"] } }),
        )
        .start()
        .await
}

/// The reason that a connector gives for having no tunnel.
async fn reason(connector: &Process) -> String {
    let line = connector
        .line("why there is no tunnel", |line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["reason"].is_string()
        })
        .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    line["reason"].as_str().unwrap().to_owned()
}

/// Starts a connector with these settings over those of the stand, and says why it has no tunnel.
async fn fails_with(stand: &mut Running, config: &Path, settings: Value) -> String {
    let text = fs::read_to_string(config).unwrap();
    let mut changed: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in settings.as_object().unwrap() {
        changed[key] = value.clone();
    }
    let other = config.with_extension("other.yaml");
    fs::write(&other, changed.to_string()).unwrap();
    let connector = stand.spawn_connector(&other);
    let reason = reason(&connector).await;
    let secrets = connector.log().iter().any(|line| line.contains("hunter2"));
    assert!(!secrets, "{:?}", connector.log());
    connector.kill();
    connector.ended().await;
    reason
}

pub(crate) fn password(folder: &Path, password: &str) -> Value {
    let file = folder.join(format!("{password}.password"));
    fs::write(&file, format!("{password}\n")).unwrap();
    json!({ "file": file })
}

async fn application() -> Backend {
    Backend::answering(|request| async move {
        let octets = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(body(octets))
    })
    .await
}

/// 10 MiB there and back.
async fn carries(stand: &Running) {
    let octets = Bytes::from(vec![b'x'; 10 << 20]);
    let request = Request::post("https://wiki.localhost/")
        .body(Full::new(octets.clone()))
        .unwrap();
    let answer = stand.send(request).await;
    let answer = within("10 MiB", answer.into_body().collect())
        .await
        .unwrap();
    assert!(answer.to_bytes() == octets);
}

#[tokio::test]
async fn squid_with_a_password_carries_everything_and_names_what_is_wrong() {
    let app = application().await;
    let mut proxy = Proxy::start(squid).await;
    let (url, folder) = (proxy.url("http"), temporary());
    let right = json!({
        "url": url, "username": "svc", "password": password(folder.path(), "hunter2"),
    });
    let mut stand = stand(&app, right.clone()).await;

    // Registration takes the same way.
    let config = stand.enrol("default").await;
    stand.start_connector(&config).await;
    carries(&stand).await;

    // It dies and comes back.
    until("both tunnels", || stand.tunnels() == (2, 0)).await;
    proxy.end().await;
    until("the tunnels' end", || stand.tunnels().1 == 2).await;
    within("its return", async { while !proxy.begins().await {} }).await;
    until("a tunnel", || stand.tunnels().0 > 2).await;

    let told = format!(
        "cannot reach {GATEWAY}:{} through the proxy",
        stand.address().port()
    );
    let none = json!({ "tunnel_proxy": { "url": url } });
    let none = fails_with(&mut stand, &config, none).await;
    assert!(none.starts_with(&told), "{none}");
    assert!(
        none.contains("(`tunnel_proxy` in ")
            && none.contains("wants a name and a password (Basic)"),
        "{none}"
    );
    let wrong = json!({ "tunnel_proxy": {
        "url": url, "username": "svc", "password": password(folder.path(), "wrong"),
    } });
    let wrong = fails_with(&mut stand, &config, wrong).await;
    assert!(
        wrong.contains("does not accept the password of `svc`"),
        "{wrong}"
    );
    let gone = json!({ "tunnel_proxy": right, "gateways": [format!("{GATEWAY}:1")] });
    let gone = fails_with(&mut stand, &config, gone).await;
    assert!(
        gone.contains("it could not reach it (503 Service Unavailable)"),
        "{gone}"
    );
    let spoken = json!({ "tunnel_proxy": { "url": proxy.url("socks5") } });
    let spoken = fails_with(&mut stand, &config, spoken).await;
    // It waits for the rest of what it takes for HTTP.
    assert!(
        spoken.contains("did not answer in time (tried through proxy "),
        "{spoken}"
    );
    let dead = json!({ "tunnel_proxy": { "url": "http://127.0.0.1:1" } });
    let dead = fails_with(&mut stand, &config, dead).await;
    assert!(
        dead.contains("no connection to the proxy 127.0.0.1:1 (`tunnel_proxy` in "),
        "{dead}"
    );
}

#[tokio::test]
async fn tinyproxy_carries_and_what_it_answers_is_named() {
    let app = application().await;
    let proxy = Proxy::start(tinyproxy("")).await;
    let mut stand = stand(&app, json!({ "url": proxy.url("http") })).await;
    let config = stand.enrol("default").await;
    stand.start_connector(&config).await;
    carries(&stand).await;

    let narrow = Proxy::start(tinyproxy("ConnectPort 443")).await;
    let forbidden = json!({ "tunnel_proxy": { "url": narrow.url("http") } });
    let forbidden = fails_with(&mut stand, &config, forbidden).await;
    assert!(
        forbidden.contains("it forbids the connection (403 "),
        "{forbidden}"
    );
    let gone = json!({ "gateways": [format!("{GATEWAY}:1")] });
    let gone = fails_with(&mut stand, &config, gone).await;
    assert!(gone.contains("it could not reach it (50"), "{gone}");
}

#[tokio::test]
async fn socks5_carries_with_and_without_a_password() {
    let app = application().await;
    let open = Proxy::start(microsocks(&[])).await;
    let mut stand = stand(&app, json!({ "url": open.url("socks5") })).await;
    let config = stand.enrol("default").await;
    stand.start_connector(&config).await;
    carries(&stand).await;

    let guarded = Proxy::start(microsocks(&["-u", "svc", "-P", "hunter2"])).await;
    let folder = temporary();
    let none = json!({ "tunnel_proxy": { "url": guarded.url("socks5h") } });
    let none = fails_with(&mut stand, &config, none).await;
    assert!(none.contains("wants a name and a password"), "{none}");
    let with = |secret| {
        json!({ "tunnel_proxy": {
        "url": guarded.url("socks5h"), "username": "svc", "password": password(folder.path(), secret),
    } })
    };
    let wrong = fails_with(&mut stand, &config, with("wrong")).await;
    assert!(
        wrong.contains("does not accept the password of `svc`"),
        "{wrong}"
    );

    stand.connectors().clear();
    let mut settings: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    settings["tunnel_proxy"] = with("hunter2")["tunnel_proxy"].clone();
    fs::write(&config, settings.to_string()).unwrap();
    stand.start_connector(&config).await;
    carries(&stand).await;
}

#[tokio::test]
async fn an_interceptor_is_named_by_its_issuer() {
    let app = application().await;
    let proxy = Proxy::start(mitmproxy).await;
    let mut stand = stand(&app, json!("none")).await;
    let config = stand.enrol("default").await;
    let through = json!({ "tunnel_proxy": { "url": proxy.url("http") } });
    let told = fails_with(&mut stand, &config, through).await;
    assert!(
        told.contains("issued by `CN=mitmproxy") && told.contains("inspects TLS"),
        "{told}"
    );
}

#[tokio::test]
async fn the_environment_names_a_proxy_unless_the_file_does() {
    let app = application().await;
    let refusing = Proxy::start(tinyproxy("ConnectPort 443")).await;
    let open = Proxy::start(tinyproxy("")).await;
    let mut stand = stand(&app, Value::Null).await;
    let config = stand.enrol("default").await;
    let start = |config: &Path, variables: &[(&str, &str)]| {
        let mut command = Command::new(words::PROGRAM);
        command
            .args(words::connector(config))
            .args(words::LOG_AS_JSON);
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Process::start("connector", &mut command)
    };
    let refused = start(&config, &[("HTTPS_PROXY", &refusing.url("http"))]);
    let told = reason(&refused).await;
    assert!(
        told.contains("(HTTPS_PROXY in the environment)") && told.contains("403"),
        "{told}"
    );
    drop(refused);
    for variables in [
        vec![("HTTPS_PROXY", open.url("http"))],
        vec![
            ("HTTPS_PROXY", refusing.url("http")),
            ("https_proxy", open.url("http")),
        ],
        vec![
            ("ALL_PROXY", refusing.url("http")),
            ("NO_PROXY", ".corp.internal".to_owned()),
        ],
        vec![("HTTP_PROXY", refusing.url("http"))],
    ] {
        let variables: Vec<_> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let connector = start(&config, &variables);
        connector.says(words::TUNNEL_OPEN).await;
    }
    let mut settings: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    settings["tunnel_proxy"] = json!("none");
    fs::write(&config, settings.to_string()).unwrap();
    let direct = start(&config, &[("HTTPS_PROXY", &refusing.url("http"))]);
    direct.says(words::TUNNEL_OPEN).await;
}

#[tokio::test]
async fn applications_are_reached_through_a_proxy_of_their_own() {
    let app = application().await;
    let proxy = Proxy::start(tinyproxy("")).await;
    let port = app.address().port();
    let allow_of = |lines: Value| {
        Stand::new()
            .application_with(
                "wiki",
                &app,
                // A name that only the proxy's machine resolves: tinyproxy asks the system.
                json!({ "internal_url": format!("http://ip6-localhost:{port}/") }),
            )
            .application_with("fixed", &app, Value::Null)
            .connector_setting("backend_proxy", json!({ "url": proxy.url("http") }))
            .connector_setting("allow", lines)
            .start()
    };
    let stand = allow_of(json!([
        "127.0.0.0/8:{port}".replace("{port}", &port.to_string())
    ]))
    .await;
    // The operator fixed this name's address, so it is known here and the network counts.
    assert_eq!(stand.get("https://fixed.localhost/").await.status, 200);
    let refused = stand.get("https://wiki.localhost/").await;
    assert_eq!(
        refused.header("appproxy-answer"),
        "gateway;error=target_refused"
    );
    let expected =
        format!("does not name ip6-localhost:{port}, whose address only the proxy learns");
    let tells = |line: &str| line.contains(&expected);
    stand.gateway().line("the refusal", tells).await;
}
