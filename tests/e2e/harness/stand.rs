//! A stand: one gateway, its connectors and the applications behind them, in a folder of their own.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::Value;
use tempfile::TempDir;

use super::authority::Leaf;
use super::process::{self, Output};
use super::{Answer, Authority, Backend, Client, Process, until, words};

/// What a stand shall be.
pub(crate) struct Stand {
    applications: Vec<Published>,
    connectors: usize,
    redirects: bool,
    tunnel_apart: bool,
    held: bool,
    local_connector: bool,
    metrics: bool,
    listen_settings: Vec<(String, Value)>,
    gateway_settings: Vec<(String, Value)>,
    connector_settings: Vec<(String, Value)>,
    environment: Vec<(String, String)>,
    traced: bool,
}

struct Published {
    name: String,
    scheme: &'static str,
    port: u16,
    settings: Value,
}

/// A stand that runs. Dropped, all of it ends.
pub(crate) struct Running {
    // In the order in which they end: connectors leave before their gateway, the folder is last.
    connectors: Vec<Process>,
    gateway: Process,
    authority: Authority,
    leaf: Leaf,
    client: Client,
    address: SocketAddr,
    redirects: Option<SocketAddr>,
    tunnel_apart: Option<SocketAddr>,
    /// Kept open whatever becomes of gateways; empty where the gateway's own are the only ones.
    held: Vec<TcpListener>,
    local_connector: bool,
    metrics: Option<SocketAddr>,
    environment: Vec<(String, String)>,
    traced: bool,
    applications: Vec<(String, u16)>,
    connector_settings: Vec<(String, Value)>,
    enrolled: usize,
    folder: TempDir,
}

impl Stand {
    pub(crate) fn new() -> Self {
        Self {
            applications: Vec::new(),
            connectors: 1,
            redirects: false,
            tunnel_apart: false,
            held: false,
            local_connector: false,
            metrics: false,
            listen_settings: Vec::new(),
            gateway_settings: Vec::new(),
            connector_settings: Vec::new(),
            environment: Vec::new(),
            traced: false,
        }
    }

    /// Publishes an application as `https://NAME.localhost/`, open to everybody.
    pub(crate) fn application(self, name: &str, backend: &Backend) -> Self {
        self.application_with(name, backend, Value::Null)
    }

    /// Publishes an application with these keys over those that it has anyway; with `null` a key
    /// goes. In their texts `{https}`, `{http}` and `{backend}` stand for the ports of the gateway's
    /// listeners and of the application.
    pub(crate) fn application_with(self, name: &str, backend: &Backend, settings: Value) -> Self {
        self.publish(name, "http", backend, settings)
    }

    /// Publishes an application that the connector reaches over TLS.
    pub(crate) fn tls_application(self, name: &str, backend: &Backend, settings: Value) -> Self {
        self.publish(name, "https", backend, settings)
    }

    fn publish(
        mut self,
        name: &str,
        scheme: &'static str,
        backend: &Backend,
        settings: Value,
    ) -> Self {
        self.applications.push(Published {
            name: name.to_owned(),
            scheme,
            port: backend.address().port(),
            settings,
        });
        self
    }

    /// Starts that many connectors, each enrolled with a token of its own. One, where nobody says.
    pub(crate) fn connectors(mut self, count: usize) -> Self {
        self.connectors = count;
        self
    }

    /// Listens for plain HTTP too.
    pub(crate) fn redirects(mut self) -> Self {
        self.redirects = true;
        self
    }

    /// Listens for connectors at a port of its own too.
    pub(crate) fn tunnel_apart(mut self) -> Self {
        self.tunnel_apart = true;
        self
    }

    /// Keeps the listening sockets, as a service manager does: while no gateway runs, connections
    /// wait in them.
    pub(crate) fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// Has the gateway run a connector in its own process, and no other.
    pub(crate) fn local_connector(mut self) -> Self {
        self.local_connector = true;
        self.connectors = 0;
        self
    }

    /// Listens for those who watch the gateway; beside neither redirects nor a port for connectors,
    /// since standard error is the log.
    pub(crate) fn metrics(mut self) -> Self {
        self.metrics = true;
        self
    }

    /// Sets a key of the gateway's `listen`.
    pub(crate) fn listen(mut self, key: &str, value: Value) -> Self {
        self.listen_settings.push((key.to_owned(), value));
        self
    }

    /// Sets a key at the top of the gateway's configuration; `{https}` stands for its port.
    pub(crate) fn gateway_setting(mut self, key: &str, value: Value) -> Self {
        self.gateway_settings.push((key.to_owned(), value));
        self
    }

    /// Sets a key at the top of each connector's configuration.
    pub(crate) fn connector_setting(mut self, key: &str, value: Value) -> Self {
        self.connector_settings.push((key.to_owned(), value));
        self
    }

    /// Sets a variable in the environment of every process.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has strace write down which system calls the gateway and the connectors make; see
    /// [`Running::calls`].
    pub(crate) fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// Starts the gateway, enrols the connectors, starts them, and waits until each can be used.
    pub(crate) async fn start(self) -> Running {
        let folder = tempfile::Builder::new()
            .prefix("appproxy-e2e-")
            .tempdir()
            .expect("a temporary folder");
        let https = bind("127.0.0.1:0");
        let http = self.redirects.then(|| bind("127.0.0.1:0"));
        let address = https.local_addr().unwrap();
        let redirects = http.as_ref().map(|http| http.local_addr().unwrap());
        let tunnel = self.tunnel_apart.then(|| bind("127.0.0.1:0"));
        let tunnel_apart = tunnel.as_ref().map(|door| door.local_addr().unwrap());
        let watched = self.metrics.then(|| bind("127.0.0.1:0"));
        let metrics = watched.as_ref().map(|door| door.local_addr().unwrap());

        let names: Vec<String> = self.applications.iter().map(|a| host(&a.name)).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        // What is not published, such as a wildcard's names, needs a certificate all the same.
        names.extend(["*.localhost", "*.apps.localhost", "login.localhost"]);
        let authority = Authority::new();
        let leaf = authority.issue(&names);
        write(&folder.path().join("ca.pem"), authority.pem());
        write(&folder.path().join("chain.pem"), &leaf.chain);
        write(&folder.path().join("key.pem"), &leaf.key);

        let applications: Vec<Value> = self
            .applications
            .iter()
            .map(|application| application.configuration(address.port(), redirects))
            .collect();
        let mut config = words::gateway_config(folder.path(), address, redirects, &applications);
        if let Some(address) = tunnel_apart {
            config["listen"]["tunnel"] = serde_json::json!([address.to_string()]);
        }
        if let Some(address) = metrics {
            config["listen"]["metrics"] = serde_json::json!(address.to_string());
        }
        set(&mut config["listen"], &self.listen_settings);
        set(&mut config, &self.gateway_settings);
        fill(&mut config, &[("{https}", address.port().to_string())]);
        let gateway_file = folder.path().join(words::GATEWAY_FILE);
        write_json(&gateway_file, &config);

        let listeners: Vec<TcpListener> = [Some(https), http, tunnel, watched]
            .into_iter()
            .flatten()
            .collect();
        let held = if self.held {
            copies(&listeners)
        } else {
            Vec::new()
        };
        let gateway = start_gateway(
            words::gateway(&gateway_file, self.local_connector),
            &gateway_file,
            listeners,
            &self.environment,
            self.traced,
        );
        gateway.says(words::GATEWAY_READY).await;
        let mut running = Running {
            connectors: Vec::new(),
            gateway,
            client: Client::new(&authority, address),
            authority,
            leaf,
            address,
            redirects,
            tunnel_apart,
            held,
            local_connector: self.local_connector,
            metrics,
            environment: self.environment,
            traced: self.traced,
            applications: self
                .applications
                .into_iter()
                .map(|application| (application.name, application.port))
                .collect(),
            connector_settings: self.connector_settings,
            enrolled: 0,
            folder,
        };
        for _ in 0..self.connectors {
            let state = running.enrol(words::GROUP).await;
            running.start_connector(&state).await;
        }
        running
    }
}

impl Published {
    fn configuration(&self, https_port: u16, http: Option<SocketAddr>) -> Value {
        let mut application = words::application(
            &self.name,
            &format!("https://{}:{https_port}/", host(&self.name)),
            &format!(
                "{}://{}:{}/",
                self.scheme,
                words::internal_name(&self.name),
                self.port
            ),
        );
        if let Value::Object(settings) = &self.settings {
            let settings: Vec<_> = settings.clone().into_iter().collect();
            set(&mut application, &settings);
        }
        let mut ports = vec![
            ("{https}", https_port.to_string()),
            ("{backend}", self.port.to_string()),
        ];
        ports.extend(http.map(|http| ("{http}", http.port().to_string())));
        fill(&mut application, &ports);
        application
    }
}

impl Running {
    /// Gets a URL over HTTP/1.1; without a port it means the gateway's.
    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.client.get(url).await
    }

    /// Sends a request over HTTP/1.1; the answer's body comes as it comes.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.client.send(request).await
    }

    /// The client that [`Running::get`] uses.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// An application's URL, with the port, for clients that do not know the stand.
    pub(crate) fn url(&self, application: &str, path: &str) -> String {
        format!(
            "https://{}:{}{path}",
            host(application),
            self.address.port()
        )
    }

    /// Where the gateway listens for people and connectors.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the gateway listens for plain HTTP.
    pub(crate) fn plain_address(&self) -> SocketAddr {
        self.redirects
            .expect("a stand that was told to redirect listens there")
    }

    /// Where the gateway listens for connectors alone.
    pub(crate) fn tunnel_address(&self) -> SocketAddr {
        self.tunnel_apart
            .expect("a stand that was told to listen there")
    }

    /// Where the gateway tells how it stands.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.metrics.expect("a stand that was told to listen there")
    }

    /// The folder of the stand's files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority that signed the gateway's certificate for people.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The public key of that certificate, as a browser is told to take it.
    pub(crate) fn spki(&self) -> &str {
        &self.leaf.spki
    }

    /// The tunnels that the gateway has taken into service so far, and how many of them it has
    /// lost again.
    pub(crate) fn tunnels(&self) -> (usize, usize) {
        let said = |message| self.gateway.said(message);
        (said(words::TUNNEL_OPEN), said(words::TUNNEL_CLOSED))
    }

    /// How many tunnels the gateway has. What ended before it was a tunnel, as on a busy machine a
    /// handshake may, has a last word too and was never one.
    pub(crate) fn standing(&self) -> usize {
        let peers = |message| {
            let lines = self.gateway.lines(message).into_iter();
            lines.map(|line| {
                let line: Value = serde_json::from_str(&line).expect("JSON of our own");
                line["peer"].to_string()
            })
        };
        let mut open: HashMap<String, usize> = HashMap::new();
        for peer in peers(words::TUNNEL_OPEN) {
            *open.entry(peer).or_default() += 1;
        }
        for peer in peers(words::TUNNEL_CLOSED) {
            if let Some(count) = open.get_mut(&peer) {
                *count = count.saturating_sub(1);
            }
        }
        open.into_values().sum()
    }

    /// The gateway's process.
    pub(crate) fn gateway(&self) -> &Process {
        &self.gateway
    }

    /// The processes of connectors, in the order in which they were started.
    pub(crate) fn connectors(&mut self) -> &mut Vec<Process> {
        &mut self.connectors
    }

    /// The names of the system calls that the process with this configuration has made, of those
    /// that are [`traced`](Stand::traced); to be asked once it has ended.
    pub(crate) async fn calls(&self, config: &Path) -> BTreeSet<String> {
        let file = calls_file(config);
        let table = || fs::read_to_string(&file).unwrap_or_default();
        until("the table of strace", || table().contains("\ntotal")).await;
        let table = table();
        // Below the head and above the sum; both are set off with dashes.
        let rows = table.split("---\n").nth(1).unwrap_or_default().lines();
        let names = rows.filter_map(|row| row.split_whitespace().next());
        let names = names.filter(|name| !name.starts_with('-'));
        names.map(str::to_owned).collect()
    }

    /// The gateway's configuration file.
    pub(crate) fn gateway_file(&self) -> PathBuf {
        self.folder().join(words::GATEWAY_FILE)
    }

    /// Waits for the one line of the gateway's log about a request.
    pub(crate) async fn access_line(&self, request_id: &str) -> Value {
        let line = self
            .gateway
            .line(&format!("the access line of {request_id}"), |line| {
                let line: Value = serde_json::from_str(line).unwrap_or_default();
                line["target"] == words::ACCESS && line["request_id"] == request_id
            })
            .await;
        serde_json::from_str(&line).expect("it was JSON a moment ago")
    }

    /// Runs the program with these arguments to its end.
    pub(crate) async fn program(&self, arguments: &[String], input: &str) -> Output {
        let environment: Vec<_> = self
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        process::run(words::PROGRAM, arguments, &environment, input).await
    }

    /// Has the gateway make an enrolment token.
    pub(crate) async fn token(&self, group: &str) -> String {
        let arguments = words::token_create(&self.gateway_file(), group);
        self.program(&arguments, "").await.success()
    }

    /// Enrols another connector in a group and returns its configuration file.
    pub(crate) async fn enrol(&mut self, group: &str) -> PathBuf {
        let token = self.token(group).await;
        let file = self.connector_file();
        let token_file = file.with_extension("token");
        write(&token_file, &token);
        let output = self.program(&words::register(&file, &token_file), "").await;
        output.success();
        change(&file, words::lead_to_gateway);
        file
    }

    /// Enrols another connector, with these keys over those of the stand.
    pub(crate) async fn enrol_with(&mut self, group: &str, settings: Value) -> PathBuf {
        let file = self.enrol(group).await;
        let settings = settings.as_object().expect("keys").clone();
        change(&file, |config| {
            set(config, &settings.into_iter().collect::<Vec<_>>());
            words::lead_to_gateway(config);
        });
        file
    }

    /// Writes the configuration of another connector, which is not enrolled yet.
    pub(crate) fn connector_file(&mut self) -> PathBuf {
        self.enrolled += 1;
        let name = format!("connector-{}", self.enrolled);
        let state = self.folder().join(&name);
        let mut config = words::connector_config(&state, &self.applications);
        set(&mut config, &self.connector_settings);
        // Registering dials what the token names.
        config["dns"]["hosts"][words::GATEWAY_NAME] = serde_json::json!(["127.0.0.1"]);
        let file = self.folder().join(format!("{name}.yaml"));
        write_json(&file, &config);
        file
    }

    /// Starts a connector and waits until the gateway can send it requests.
    pub(crate) async fn start_connector(&mut self, config: &Path) {
        let connector = self.spawn_connector(config);
        connector.says(words::TUNNEL_OPEN).await;
        self.connectors.push(connector);
    }

    /// Starts a connector that may never get a tunnel.
    pub(crate) fn spawn_connector(&self, config: &Path) -> Process {
        let trace = self.traced.then(|| calls_file(config));
        let mut command = program(words::connector(config), &self.environment, trace);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let name = config.file_stem().unwrap_or_default().to_string_lossy();
        Process::start(&name, &mut command)
    }

    /// Starts a connector that inherits the listener of its `metrics`.
    pub(crate) fn spawn_connector_at(&self, config: &Path, metrics: TcpListener) -> Process {
        let mut command = program(words::connector(config), &self.environment, None);
        command.envs(words::inherited(1)).stdout(Stdio::null());
        command.stdin(Stdio::from(OwnedFd::from(metrics)));
        Process::start("connector", &mut command)
    }

    /// Ends the gateway; its port refuses.
    pub(crate) async fn stop_gateway(&self) -> ExitStatus {
        self.gateway.terminate();
        self.gateway.ended().await
    }

    /// Ends the gateway and starts it again on the same port.
    pub(crate) async fn restart_gateway(&mut self) {
        self.stop_gateway().await;
        self.successor().await;
    }

    /// Starts another gateway and waits until it takes connections; returns the one before it, which
    /// goes on where the sockets are held.
    pub(crate) async fn successor(&mut self) -> Process {
        let listeners = if self.held.is_empty() {
            let all = [
                Some(self.address),
                self.redirects,
                self.tunnel_apart,
                self.metrics,
            ];
            let all = all.into_iter().flatten();
            all.map(|address| bind(&address.to_string())).collect()
        } else {
            copies(&self.held)
        };
        let new = start_gateway(
            words::gateway(&self.gateway_file(), self.local_connector),
            &self.gateway_file(),
            listeners,
            &self.environment,
            self.traced,
        );
        new.says(words::GATEWAY_READY).await;
        std::mem::replace(&mut self.gateway, new)
    }
}

/// Starts a gateway that inherits its listeners: the ports are in its configuration, so they have to
/// be known, and taken, before it starts.
fn start_gateway(
    arguments: Vec<String>,
    config: &Path,
    listeners: Vec<TcpListener>,
    environment: &[(String, String)],
    traced: bool,
) -> Process {
    let trace = traced.then(|| calls_file(config));
    let mut command = program(arguments, environment, trace);
    command.envs(words::inherited(listeners.len()));
    // Where the harness holds no copy, the ports refuse when the gateway ends.
    let mut listeners = listeners.into_iter().map(|l| Stdio::from(OwnedFd::from(l)));
    command.stdin(listeners.next().expect("https"));
    command.stdout(listeners.next().unwrap_or_else(Stdio::null));
    assert!(listeners.next().is_none(), "standard error is the log");
    Process::start("gateway", &mut command)
}

/// The program; where `trace` is a file, strace writes there in the end how often it made which
/// system call. The process is the program's own all the same (`-D`), signals reach it.
fn program(
    arguments: Vec<String>,
    environment: &[(String, String)],
    trace: Option<PathBuf>,
) -> Command {
    let mut command = Command::new(words::PROGRAM);
    if let Some(file) = trace {
        command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "-c", "-U", "name,calls", "-o"]);
        command.arg(file).arg(words::PROGRAM);
    }
    command.args(arguments).args(words::LOG_AS_JSON);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Where the system calls of the process with this configuration are written.
fn calls_file(config: &Path) -> PathBuf {
    config.with_extension("calls")
}

/// The host under which an application is published.
fn host(application: &str) -> String {
    format!("{application}.localhost")
}

fn copies(listeners: &[TcpListener]) -> Vec<TcpListener> {
    let copy = |listener: &TcpListener| listener.try_clone().expect("a socket");
    listeners.iter().map(copy).collect()
}

fn bind(address: &str) -> TcpListener {
    let listener =
        TcpListener::bind(address).unwrap_or_else(|e| panic!("cannot bind {address}: {e}"));
    listener.set_nonblocking(true).expect("a socket");
    listener
}

/// Sets keys of an object; `null` takes one away.
fn set(object: &mut Value, settings: &[(String, Value)]) {
    let object = object.as_object_mut().expect("an object");
    for (key, value) in settings {
        if value.is_null() {
            object.remove(key);
        } else {
            object.insert(key.clone(), value.clone());
        }
    }
}

/// Puts values in the place of the words that stand for them.
fn fill(value: &mut Value, words: &[(&str, String)]) {
    match value {
        Value::String(text) => {
            for (word, meaning) in words {
                *text = text.replace(word, meaning);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| fill(value, words)),
        Value::Object(object) => object.values_mut().for_each(|value| fill(value, words)),
        _ => {}
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}

/// Changes a configuration file.
fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let text = fs::read_to_string(path).expect("it was written a moment ago");
    let mut config: Value = serde_json::from_str(&text).expect("JSON of our own");
    change(&mut config);
    write_json(path, &config);
}

fn write_json(path: &Path, value: &Value) {
    write(path, &serde_json::to_string_pretty(value).unwrap());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::harness::{Backend, Stand};

    #[tokio::test]
    async fn settings_of_an_application_go_over_the_usual_ones() {
        let backend = Backend::text("hello").await;
        let settings = json!({
            "host_header": "external:{https}",
            "pre_authentication": null,
        });
        let stand = Stand::new().application_with("wiki", &backend, settings);
        let application = stand.applications[0].configuration(4443, None);
        assert_eq!(application["external_url"], "https://wiki.localhost:4443/");
        let internal = format!("http://wiki.corp.internal:{}/", backend.address().port());
        assert_eq!(application["internal_url"], internal);
        assert_eq!(application["host_header"], "external:4443");
        assert!(application.get("pre_authentication").is_none());
    }
}
