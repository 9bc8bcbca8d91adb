//! `appproxy connector`: from the configuration to open tunnels.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::Exit;
use crate::clock::Clock;
use crate::config::ConnectorConfig;
use crate::connector::{self, ConnectorError};
use crate::shutdown::Signals;

/// Runs a connector until it is told to stop.
pub(super) fn run(config: &Path) -> Result<(), Exit> {
    let config = ConnectorConfig::load(config).map_err(Exit::Findings)?;
    let runtime = super::runtime(config.workers)?;
    runtime.block_on(async move {
        let mut signals = Signals::new().map_err(|e| Exit::failed(format!("no signals: {e}")))?;
        let stop = CancellationToken::new();
        let file = config.file.clone();
        let mut running = std::pin::pin!(connector::run(config, Clock::system(), stop.clone()));
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
            ConnectorError::Removed => Exit::failed(error.to_string()),
            ConnectorError::Identity(_) | ConnectorError::NoGateways | ConnectorError::Tls(_) => {
                Exit::configuration(&file, "state", error.to_string())
            }
        })
    })
}
