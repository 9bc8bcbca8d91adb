//! `appproxy connector`: from the configuration to open tunnels.

use std::io::{self, Write as _, stderr, stdout};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::register::Register;
use super::{ConnectorFile, Exit};
use crate::clock::Clock;
use crate::config::{ConnectorConfig, Proxies};
use crate::connector::{self, ConnectorError, StateFolder};
use crate::model::Endpoint;
use crate::net::{Dialler, Resolver};
use crate::shutdown::Signals;

/// For a connection to one of the token's gateways.
const DIAL: Duration = Duration::from_secs(5);

/// Turns a token into this connector's identity.
pub(super) fn register(args: &Register) -> Result<(), Exit> {
    let config = ConnectorConfig::load(&args.config).map_err(Exit::Findings)?;
    let proxies = proxies(&config)?;
    let state = StateFolder::new(&config.state);
    super::runtime(None)?.block_on(async {
        let resolver = Resolver::new(&config.dns.servers, config.dns.hosts);
        let dialler = Dialler::new(resolver).through(proxies.tunnel);
        let dial = async |gateway: &Endpoint| {
            let dialled = dialler.connect_tunnel(gateway, Instant::now() + DIAL).await;
            dialled.map_err(io::Error::other)
        };
        let (out, hints) = (&mut stdout(), &mut stderr());
        let outcome = args.run(&state, &Clock::system(), dial, out, hints).await;
        outcome.map_err(|e| Exit::failed(format!("{e:#}")))
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
    let state = StateFolder::new(&config.state);
    let failed = |e: &dyn std::fmt::Display| Exit::failed(e.to_string());
    if args.force {
        let id = connector::forget(&state).map_err(|e| failed(&e))?;
        let id = id.map_or_else(|| "ID".to_owned(), |id| id.to_string());
        return say(&format!(
            "The state in {} is deleted; no gateway was told. Run `appproxy gateway connector remove {id}` on the gateway.",
            config.state.display()
        ));
    }
    let proxies = proxies(&config)?;
    let mut gateways = config.gateways;
    // The list in the state may be longer, or the only one.
    let kept = state.gateways().map_err(|e| failed(&e))?;
    let new: Vec<Endpoint> = kept.into_iter().filter(|g| !gateways.contains(g)).collect();
    gateways.extend(new);
    super::runtime(None)?.block_on(async {
        let resolver = Resolver::new(&config.dns.servers, config.dns.hosts);
        let dialler = Dialler::new(resolver).through(proxies.tunnel);
        let dial = async |gateway: &Endpoint| {
            let dialled = dialler.connect_tunnel(gateway, Instant::now() + DIAL).await;
            dialled.map_err(io::Error::other)
        };
        let id = connector::unregister(&state, &gateways, &Clock::system(), dial).await;
        let id = id.map_err(|e| failed(&e))?;
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
    let config = ConnectorConfig::load(config).map_err(Exit::Findings)?;
    let proxies = proxies(&config)?;
    let runtime = super::runtime(config.workers)?;
    runtime.block_on(async move {
        let mut signals = Signals::new().map_err(|e| Exit::failed(format!("no signals: {e}")))?;
        let stop = CancellationToken::new();
        let file = config.file.clone();
        let mut running = std::pin::pin!(connector::run(
            config,
            proxies,
            Clock::system(),
            stop.clone()
        ));
        let outcome = tokio::select! {
            outcome = &mut running => outcome,
            signal = signals.next() => {
                tracing::info!(signal, "stopping; a second signal ends at once");
                stop.cancel();
                tokio::select! {
                    outcome = &mut running => outcome,
                    signal = signals.next() => {
                        tracing::warn!(signal, "stopped at once");
                        Ok(())
                    }
                }
            }
        };
        outcome.map_err(|error| match error {
            ConnectorError::Removed
            | ConnectorError::NotRenewed(_)
            | ConnectorError::Tls(_)
            | ConnectorError::Random(_) => Exit::failed(error.to_string()),
            ConnectorError::State(_) | ConnectorError::NoGateways => {
                Exit::configuration(&file, "state", error.to_string())
            }
        })
    })
}

/// The proxies on the way out, with a word for the log where it is the environment that names one.
fn proxies(config: &ConnectorConfig) -> Result<Proxies, Exit> {
    let variable = |name: &str| std::env::var(name).ok();
    let proxies = config.proxies(variable).map_err(Exit::Findings)?;
    for why in &proxies.unread {
        tracing::warn!("NO_PROXY in the environment: {why}");
    }
    if let Some(proxy) = &proxies.tunnel {
        tracing::info!(%proxy, "gateways are dialled through a proxy");
    }
    if let Some(proxy) = &proxies.backend {
        tracing::info!(%proxy, "applications are dialled through a proxy");
    }
    Ok(proxies)
}
