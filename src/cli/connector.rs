//! `appproxy connector`: from the configuration to open tunnels.

use std::io::{self, stderr, stdout};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::register::Register;
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
            ConnectorError::Removed | ConnectorError::Tls(_) | ConnectorError::Random(_) => {
                Exit::failed(error.to_string())
            }
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
