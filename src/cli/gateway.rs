//! `appproxy gateway`: from the configuration to a running gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::listeners::{addresses, inherited, joined, listeners};
use super::reload::Reloader;
use super::service::Service;
use super::watched::Watched;
use super::{Exit, follow, orders, unusable};
use crate::certs;
use crate::clock::Clock;
use crate::config::{CertificateFiles, GatewayConfig};
use crate::gateway::{self, Gateway, Parts};
use crate::local::{self, Local, LocalError};
use crate::model::Finding;
use crate::shutdown::{Signals, Told};
use crate::store::{self, Store, StoreError, StoreKeys};
use crate::telemetry;
use crate::telemetry::audit::{Actor, Record};

/// For what still runs when everything is done.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the log says when the first signal has come.
const STOPPING: &str = "stopping: everybody is sent elsewhere; a second signal ends at once";

/// Runs a gateway until it is told to stop, with a connector beside it where one is wanted.
pub(super) fn run(config: &Path, local_connector: bool) -> Result<(), Exit> {
    let clock = Clock::system();
    let (config, loaded) = prepare(config, &clock)?;
    apply_log(&config)?;
    // What can be refused without a trace comes before the store, which may be made below; and
    // this belongs before there are threads.
    let inherited = inherited(&config)?;
    let runtime = super::runtime(config.workers)?;
    let outcome = runtime.block_on(async move {
        let mut signals = Signals::new().map_err(|e| Exit::failed(format!("no signals: {e}")))?;
        let hangups = signals.take_hangups();
        let store = open_store(&config).await?;
        let service = Arc::new(Service::from_environment());
        let mut inherited = inherited.into_iter();
        let [https, http, tunnel] = listeners(&config, &mut inherited)?;
        let watched = Watched::prepare(&config, inherited.next())?;
        let bound = [&https, &http, &tunnel].map(|all| addresses(all));
        let doors = tunnel.first().or_else(|| https.first());
        let door = doors.and_then(|door| door.local_addr().ok());
        let parts = Parts {
            config,
            loaded,
            store: Arc::clone(&store),
            https,
            http,
            tunnel,
            clock: clock.clone(),
        };
        let gateway = Gateway::start(parts)
            .await
            .map_err(|e| Exit::failed(e.to_string()))?;
        let on_metrics = watched.serve(&gateway);
        let all = bound.iter().flatten().copied();
        let reloader = Reloader::new(&gateway, all.chain(on_metrics).collect(), &clock);
        let _taking = take_orders(&reloader, &gateway.config()).await?;
        let _local = match door.filter(|_| local_connector) {
            Some(door) => Some(start_local(&gateway, &*store, door, &clock).await?),
            None => None,
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            applications = gateway.config().applications.len(),
            https = joined(&bound[0]),
            http = joined(&bound[1]),
            tunnel = joined(&bound[2]),
            metrics = on_metrics.map(|address| address.to_string()),
            "gateway ready"
        );
        record_start(&gateway);
        service.ready(&status(&gateway, "serving"));
        let followed = Arc::clone(&gateway);
        let _follows = Arc::clone(&service).follow(move || {
            let gateway = Arc::clone(&followed);
            async move {
                gateway.answers().await;
                let what = if gateway.is_stopping() {
                    "stopping"
                } else {
                    "serving"
                };
                status(&gateway, what)
            }
        });
        let _following = AbortOnDropHandle::new(tokio::spawn(follow::run(Arc::clone(&reloader))));
        let _reopens = super::reopen_logs()?;
        let _hangups = AbortOnDropHandle::new(tokio::spawn(hear(hangups, reloader)));
        let signal = signals.next().await;
        // Before it is said: whoever reads the line may count on it.
        gateway.begin_stop();
        tracing::info!(signal, "{STOPPING}");
        // As the configuration in force has it, and not that of the start.
        let deadline = gateway.config().drain.deadline;
        service.stopping(&status(&gateway, "stopping"), deadline);
        stop(&gateway, &mut signals).await;
        Ok(())
    });
    // A file on a disk that does not answer is looked at no longer.
    runtime.shutdown_timeout(FAREWELL);
    outcome
}

async fn start_local(
    gateway: &Arc<Gateway>,
    store: &dyn Store,
    door: SocketAddr,
    clock: &Clock,
) -> Result<Local, Exit> {
    let started = local::start(gateway, store, door, clock).await;
    started.map_err(|error| match error {
        LocalError::Balanced(_) | LocalError::Configuration(_) => {
            Exit::configuration(&gateway.config().file, "listen", error.to_string())
        }
        error => Exit::failed(error.to_string()),
    })
}

/// What the service manager shows.
fn status(gateway: &Gateway, what: &str) -> String {
    let (tunnels, people) = (gateway.open_tunnels(), gateway.open_connections());
    let applications = gateway.applications();
    format!("{what}; tunnels: {tunnels}, applications: {applications}, connections: {people}")
}

async fn stop(gateway: &Gateway, signals: &mut Signals) {
    tokio::select! {
        all = gateway.stop() => {
            if !all {
                tracing::warn!("the drain's deadline has come: what was left is cut");
            }
        }
        signal = signals.next() => tracing::warn!(signal, "stopped at once"),
    }
    tracing::info!("gateway stopped");
}

fn record_start(gateway: &Gateway) {
    Record::new("started", Actor::Operator("start"))
        .with("about", gateway.config().file.display().to_string())
        .with("version", env!("CARGO_PKG_VERSION"))
        .write();
}

/// Reads the configuration again with each SIGHUP.
async fn hear(mut hangups: Told, reloader: Arc<Reloader>) {
    loop {
        hangups.next().await;
        reloader.reload("SIGHUP").await;
    }
}

/// A gateway without its own folder for a socket serves all the same, unless one was asked for.
async fn take_orders(
    reloader: &Arc<Reloader>,
    config: &GatewayConfig,
) -> Result<Option<orders::Taking>, Exit> {
    let path = config.admin_socket();
    match orders::take(reloader, &path).await {
        Ok(taking) => Ok(Some(taking)),
        Err(error) if config.listen.admin.is_some() => {
            let text = format!("no socket can be made at {}: {error}", path.display());
            Err(Exit::Findings(vec![unusable(&config.places.listen, text)]))
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "`gateway reload` and the like will not work: their socket cannot be made; SIGHUP does");
            Ok(None)
        }
    }
}

/// What a gateway starts with, and what a reload puts in force.
pub(super) type Prepared = (GatewayConfig, certs::Loaded);

/// Everything that can be wrong before a socket is opened or a file is written, said together; and what is
/// worth a warning, in the log.
pub(super) fn prepare(file: &Path, clock: &Clock) -> Result<Prepared, Exit> {
    let examined = examine(file, clock);
    let Some(config) = examined.config.filter(|_| examined.findings.is_empty()) else {
        return Err(Exit::Findings(examined.findings));
    };
    warn_of(&examined.loaded);
    for provider in &config.identity_providers {
        for ending in provider.ending_secrets(clock.now()) {
            tracing::warn!("{ending}");
        }
    }
    Ok((config, examined.loaded))
}

/// A configuration with all that it names, right or not.
#[derive(Debug)]
pub(super) struct Examined {
    /// `None` where it cannot be understood.
    pub(super) config: Option<GatewayConfig>,
    /// What can be loaded of its certificates.
    pub(super) loaded: certs::Loaded,
    /// Everything that keeps a gateway from starting with it.
    pub(super) findings: Vec<Finding>,
}

/// Looks for everything that can be wrong before a socket is opened or a file is written.
pub(super) fn examine(file: &Path, clock: &Clock) -> Examined {
    let reading = GatewayConfig::read(file);
    let (certificates, of_certificates) = load_all(&reading.certificates, clock);
    let mut loaded = certs::Loaded {
        certificates,
        ..certs::Loaded::default()
    };
    let (config, mut findings) = match reading.config {
        Ok(config) => (Some(config), Vec::new()),
        Err(found) => (None, found),
    };
    findings.extend(of_certificates);
    if let Some(config) = &config {
        findings.extend(load_authorities(config, &mut loaded, clock));
        findings.extend(look_at_store(config));
        findings.extend(gateway::look_at_pictures(config));
        let of_providers = gateway::look_at_providers(config, clock).err();
        findings.extend(of_providers.into_iter().flatten());
        findings.extend(gateway::look_at_passwords(config));
        if let Err(error) = telemetry::check_log(&config.log) {
            findings.push(unusable(&config.places.log, error.to_string()));
        }
    }
    Examined {
        config,
        loaded,
        findings,
    }
}

/// Makes the log as a configuration says.
pub(super) fn apply_log(config: &GatewayConfig) -> Result<(), Exit> {
    let applied = telemetry::apply_log(&config.log);
    applied.map_err(|e| Exit::Findings(vec![unusable(&config.places.log, e.to_string())]))
}

/// The certificates and authorities of a configuration.
pub(super) fn load_certificates(
    config: &GatewayConfig,
    clock: &Clock,
) -> Result<certs::Loaded, Exit> {
    let (certificates, mut findings) = load_all(&config.certificates, clock);
    let mut loaded = certs::Loaded {
        certificates,
        ..certs::Loaded::default()
    };
    findings.extend(load_authorities(config, &mut loaded, clock));
    if !findings.is_empty() {
        return Err(Exit::Findings(findings));
    }
    warn_of(&loaded);
    Ok(loaded)
}

/// The authorities whose certificates clients may show.
fn load_authorities(
    config: &GatewayConfig,
    loaded: &mut certs::Loaded,
    clock: &Clock,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &config.client_authorities {
        match certs::ClientAuthorities::load(&file.file, &file.place, clock.now()) {
            Ok(read) => loaded.client_authorities.push(Arc::new(read)),
            Err(finding) => findings.push(*finding),
        }
    }
    findings
}

fn load_all(
    files: &[CertificateFiles],
    clock: &Clock,
) -> (Vec<certs::LoadedCertificate>, Vec<Finding>) {
    let (mut certificates, mut findings) = (Vec::new(), Vec::new());
    for files in files {
        let loaded = files
            .read_password()
            .and_then(|password| certs::load(files, password.as_ref(), clock.now()));
        match loaded {
            Ok(loaded) => certificates.push(loaded),
            Err(found) => findings.extend(found),
        }
    }
    (certificates, findings)
}

fn warn_of(loaded: &certs::Loaded) {
    let of_authorities = loaded.client_authorities.iter();
    let of_authorities = of_authorities.flat_map(|authorities| &authorities.warnings);
    let of_certificates = loaded.certificates.iter().flat_map(|one| &one.warnings);
    for warning in of_certificates.chain(of_authorities) {
        tracing::warn!("{warning}");
    }
}

/// What can be told of the store without opening it, which could make it.
pub(super) fn look_at_store(config: &GatewayConfig) -> Option<Finding> {
    if let Err(error) = store::check_folder(&config.store) {
        return Some(unusable(&config.places.store, error.to_string()));
    }
    let keys = StoreKeys::existing(config.store_key.as_ref(), &config.store);
    let error = keys.err()?;
    Some(unusable(&config.places.store_key, error.to_string()))
}

/// Opens the store of a configuration; the gateway and the commands beside it do so alike.
pub(super) async fn open_store(config: &GatewayConfig) -> Result<Arc<dyn Store>, Exit> {
    if let Some(finding) = look_at_store(config) {
        return Err(Exit::Findings(vec![finding]));
    }
    let at_key = |what| Exit::Findings(vec![unusable(&config.places.store_key, what)]);
    let keys = StoreKeys::for_store(config.store_key.as_ref(), &config.store)
        .map_err(|e| at_key(e.to_string()))?;
    let opened = store::open_sqlite(&config.store, keys).await;
    opened.map_err(|error| match error {
        StoreError::WrongKey => Exit::Findings(vec![wrong_key(config, error.to_string())]),
        error => Exit::failed(error.to_string()),
    })
}

fn wrong_key(config: &GatewayConfig, what: String) -> Finding {
    let remedy = format!(
        "name the key that it was made with, in `store_key` or beside {0}; where that is lost, `appproxy gateway restore` makes another store out of a backup and its key",
        config.store.display()
    );
    Finding::error("store_key_wrong", what, remedy).at(config.places.store_key.clone())
}
