//! `appproxy connector`: from the configuration to open tunnels.

use std::io::{self, Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::follow::{Followed, Prints};
use super::register::Register;
use super::registered::what_follows;
use super::reread::Rereader;
use super::service::Service;
use super::{ConnectorFile, Exit, START_AGAIN, watched};
use crate::clock::Clock;
use crate::config::{ConnectorConfig, Proxies};
use crate::connector::{
    self, Applications, BackendTrust, ConnectorError, DIAL, OpenTunnels, StateError, StateFolder,
    UnregisterError, Watch,
};
use crate::model::{Endpoint, Finding, Place};
use crate::net::{self, Dialled, Dialler, Resolver};
use crate::shutdown::Signals;
use crate::telemetry;

/// How long the service manager may wait for the first tunnel. It waits at all so that connectors
/// can be restarted one after the other without a gap; it does not wait longer, because a gateway
/// that is down is no reason for a start to fail here.
const FIRST_TUNNEL: Duration = Duration::from_secs(10);

/// Turns a token into this connector's identity.
pub(super) fn register(args: &Register) -> Result<(), Exit> {
    let config = ConnectorConfig::load(&args.config).map_err(Exit::Findings)?;
    let proxies = proxies(&config)?;
    let state = StateFolder::of(&config);
    super::runtime(None)?.block_on(async {
        let resolver = Resolver::new(&config.dns.servers, config.dns.hosts.clone());
        let dialler = Dialler::new(resolver).through(proxies.tunnel);
        let dial = async |gateway: &Endpoint| {
            let dialled = dialler.connect_tunnel(gateway, Instant::now() + DIAL).await;
            dialled.map_err(io::Error::other)
        };
        let (out, hints) = (&mut stdout(), &mut stderr());
        let outcome = args.run(&state, &Clock::system(), dial, out, hints).await;
        let registered = outcome.map_err(|e| Exit::failed(format!("{e:#}")))?;
        let follows = what_follows(&config, &registered).await;
        write!(hints, "{follows}").map_err(|e| Exit::failed(format!("cannot write: {e}")))
    })
}

/// `connector unregister`.
#[derive(Debug, clap::Args)]
pub(super) struct Unregister {
    /// Delete the state here although no gateway can be told
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    config: ConnectorFile,
}

/// Has a gateway remove this connector, and deletes its state.
pub(super) fn unregister(args: &Unregister) -> Result<(), Exit> {
    let config = ConnectorConfig::load(&args.config.config).map_err(Exit::Findings)?;
    let state = StateFolder::of(&config);
    let failed = |e: StateError| Exit::failed(format!("error [{}] {e}", e.code()));
    if args.force {
        let id = connector::forget(&state).map_err(failed)?;
        let id = id.map_or_else(|| "ID".to_owned(), |id| id.to_string());
        return say(&format!(
            "The state in {} is deleted; no gateway was told. Run `appproxy gateway connector remove {id}` on the gateway.",
            config.state.display()
        ));
    }
    let proxies = proxies(&config)?;
    let mut gateways = config.gateways;
    // The list in the state may be longer, or the only one.
    let mut kept = state.gateways().map_err(failed)?;
    kept.retain(|kept| !gateways.contains(&kept.endpoint));
    gateways.extend(kept.iter().map(|kept| kept.endpoint.clone()));
    super::runtime(None)?.block_on(async {
        let hosts = &config.dns.hosts;
        let resolver = Resolver::new(&config.dns.servers, hosts.clone());
        let dialler = Dialler::new(resolver).through(proxies.tunnel);
        let dial = async |gateway: &Endpoint| {
            let kept = kept.iter().find(|kept| kept.endpoint == *gateway);
            let permitted = |dialled: Dialled<'_>| kept.map_or(Ok(()), |k| k.check(hosts, dialled));
            let deadline = Instant::now() + DIAL;
            let dialled = dialler.connect_named(gateway, &permitted, deadline).await;
            dialled.map_err(io::Error::other)
        };
        let id = connector::unregister(&state, &gateways, &Clock::system(), dial).await;
        let id = id.map_err(|e| match e {
            UnregisterError::State(error) => failed(error),
            other => Exit::failed(other.to_string()),
        })?;
        say(&format!(
            "Connector {id} is removed at its gateways, and its state here is deleted."
        ))
    })
}

fn say(text: &str) -> Result<(), Exit> {
    writeln!(stdout(), "{text}").map_err(|e| Exit::failed(format!("cannot write: {e}")))
}

/// Runs a connector until it is told to stop.
pub(super) fn run(config: &Path) -> Result<(), Exit> {
    let clock = Clock::system();
    let Prepared {
        config,
        proxies,
        trust,
        prints,
    } = prepare(config, &clock)?;
    telemetry::apply_log(&config.log)
        .map_err(|e| Exit::configuration(&config.file, "log", e.to_string()))?;
    let handed_in = net::inherited_listeners()
        .map_err(|e| Exit::failed(format!("cannot take the inherited listeners: {e}")))?;
    net::raise_descriptors();
    let runtime = super::runtime(config.workers)?;
    runtime.block_on(async move {
        let mut handed_in = handed_in.into_iter();
        let metrics = config
            .metrics
            .map(|address| watched::open(handed_in.next(), address, "metrics", &config.file));
        let watch = Watch {
            recorder: Some(watched::recorder()?),
            listener: metrics.transpose()?,
        };
        let mut signals = Signals::new().map_err(|e| Exit::failed(format!("no signals: {e}")))?;
        let applications = Applications::new(&config, proxies.backend, trust);
        let rereader = Rereader {
            config: config.clone(),
            applications: applications.clone(),
            clock: clock.clone(),
            certificates: Followed::read(prints),
        };
        let hears = rereader.run(signals.take_hangups());
        let _hears = AbortOnDropHandle::new(tokio::spawn(hears));
        let _reopens = super::reopen_logs()?;
        let stop = CancellationToken::new();
        let file = config.file.clone();
        let deadline = config.drain.deadline;
        let open = OpenTunnels::default();
        let mut running = std::pin::pin!(connector::run(
            config,
            proxies.tunnel,
            applications,
            clock,
            stop.clone(),
            open.clone(),
            watch,
        ));
        let service = Arc::new(Service::from_environment());
        let _tells = tell(&service, &open, &stop);
        let outcome = tokio::select! {
            outcome = &mut running => outcome,
            signal = signals.next() => {
                tracing::info!(signal, "stopping; a second signal ends at once");
                stop.cancel();
                service.stopping(&status(&open, &stop), deadline);
                tokio::select! {
                    outcome = &mut running => outcome,
                    signal = signals.next() => {
                        tracing::warn!(signal, "stopped at once");
                        Ok(())
                    }
                }
            }
        };
        outcome.map_err(|error| why_it_ended(&error, file))
    })
}

/// What is said of a connector that ended by itself, with the word that `check` has for it.
fn why_it_ended(error: &ConnectorError, file: PathBuf) -> Exit {
    let code = error.code();
    let text = format!("error [{code}] {error}");
    match error {
        // Another start would end alike, until somebody registers it.
        ConnectorError::Removed | ConnectorError::NotRenewed(_) => {
            Exit::Refused(format!("appproxy: {text}"))
        }
        ConnectorError::Tls(_) | ConnectorError::Random(_) => Exit::Failed(text),
        ConnectorError::State(_) | ConnectorError::NoGateways => {
            let place = Place {
                file,
                key: "state".to_owned(),
                ..Place::default()
            };
            let finding = Finding::error(code, error.to_string(), START_AGAIN);
            Exit::Findings(vec![finding.at(place)])
        }
    }
}

/// Tells the service manager of the first tunnel, and then of all.
fn tell(
    service: &Arc<Service>,
    open: &OpenTunnels,
    stop: &CancellationToken,
) -> [AbortOnDropHandle<()>; 2] {
    let (one, all) = (Arc::clone(service), open.clone());
    let ends = stop.clone();
    let ready = tokio::spawn(async move {
        tokio::select! {
            _ = timeout(FIRST_TUNNEL, all.any()) => one.ready(&status(&all, &ends)),
            () = ends.cancelled() => {}
        }
    });
    let (open, stop) = (open.clone(), stop.clone());
    let follows = Arc::clone(service).follow(move || {
        let status = status(&open, &stop);
        async move { status }
    });
    [AbortOnDropHandle::new(ready), follows]
}

fn status(open: &OpenTunnels, stop: &CancellationToken) -> String {
    match (stop.is_cancelled(), open.count()) {
        (true, count) => format!("stopping; tunnels: {count}"),
        (false, 0) => "no tunnel to any gateway; the log says why".to_owned(),
        (false, count) => format!("serving; tunnels: {count}"),
    }
}

/// What a connector starts with, and what it goes on with after a reload.
pub(super) struct Prepared {
    pub(super) config: ConnectorConfig,
    pub(super) proxies: Proxies,
    pub(super) trust: BackendTrust,
    /// The files of `backend_tls`, as they were before they were read.
    pub(super) prints: Prints,
}

impl Prepared {
    /// What a configuration that is read already names.
    pub(super) fn of(config: ConnectorConfig, clock: &Clock) -> Result<Self, Exit> {
        let prints = Prints::of_backend_tls(&config.backend_tls);
        let trust = BackendTrust::load(&config.backend_tls, clock.now());
        match (proxies(&config), trust) {
            (Ok(proxies), Ok(trust)) => Ok(Self {
                config,
                proxies,
                trust,
                prints,
            }),
            (Err(Exit::Findings(mut found)), trust) => {
                found.extend(trust.err().into_iter().flatten());
                Err(Exit::Findings(found))
            }
            (Err(other), _) => Err(other),
            (Ok(_), Err(found)) => Err(Exit::Findings(found)),
        }
    }
}

/// Everything that can be wrong before a gateway is dialled, said together.
pub(super) fn prepare(file: &Path, clock: &Clock) -> Result<Prepared, Exit> {
    let reading = ConnectorConfig::read(file);
    match reading.config {
        Ok(config) => {
            let prepared = Prepared::of(config, clock)?;
            for idle in prepared.config.idle_backend_tls() {
                tracing::warn!(code = idle.code, "{idle}");
            }
            Ok(prepared)
        }
        Err(mut found) => {
            let trust = BackendTrust::load(&reading.backend_tls, clock.now());
            found.extend(trust.err().into_iter().flatten());
            Err(Exit::Findings(found))
        }
    }
}

/// The proxies on the way out, with a word for the log where it is the environment that names one.
fn proxies(config: &ConnectorConfig) -> Result<Proxies, Exit> {
    let variable = |name: &str| std::env::var(name).ok();
    let proxies = config.proxies(variable).map_err(Exit::Findings)?;
    for why in &proxies.unread {
        tracing::warn!(code = "bad_no_proxy", "NO_PROXY in the environment: {why}");
    }
    if let Some(proxy) = &proxies.tunnel {
        tracing::info!(%proxy, "gateways are dialled through a proxy");
    }
    if let Some(proxy) = &proxies.backend {
        tracing::info!(%proxy, "applications are dialled through a proxy");
    }
    Ok(proxies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_that_ends_says_the_word_that_check_has() {
        let folder = || PathBuf::from("/var/lib/appproxy/connector");
        let damaged = StateError::Damaged {
            path: folder(),
            what: "it is empty",
        };
        let none = StateError::None {
            folder: folder(),
            register: "appproxy register".to_owned(),
        };
        for (error, code) in [
            (ConnectorError::State(none), "not_registered"),
            (ConnectorError::State(damaged), "identity_damaged"),
            (
                ConnectorError::State(StateError::Busy(folder())),
                "identity_busy",
            ),
            (ConnectorError::NoGateways, "no_gateways"),
            (ConnectorError::Removed, "connector_removed"),
            (
                ConnectorError::NotRenewed("it is over".to_owned()),
                "identity_not_renewed",
            ),
            (
                ConnectorError::Tls(rustls::Error::EncryptError),
                "identity_unusable",
            ),
        ] {
            let texts = why_it_ended(&error, PathBuf::from("connector.yaml")).texts();
            assert_eq!(texts.len(), 1, "{texts:?}");
            assert!(texts[0].contains(&format!("error [{code}] ")), "{texts:?}");
        }
    }
}
