//! The listeners for those who watch: metrics, health and status.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Exit;
use crate::config::GatewayConfig;
use crate::net;
use crate::telemetry::{Endpoint, Observed, Recorder};

/// Opens the listener that `key` names, unless one was handed in.
pub(super) fn open(
    inherited: Option<StdListener>,
    address: SocketAddr,
    key: &str,
    file: &Path,
) -> Result<TcpListener, Exit> {
    let listener = inherited.map_or_else(|| net::bind(address), Ok);
    listener
        .and_then(TcpListener::from_std)
        .map_err(|error| Exit::failed(format!("{}: {key}: {error}", file.display())))
}

/// A gateway's listener for those who watch, before there is something to watch.
pub(super) struct Watched(Option<(TcpListener, Recorder)>);

impl Watched {
    /// Listens, and counts from now on, where the configuration says so: before anything makes a
    /// counter.
    pub(super) fn prepare(
        config: &GatewayConfig,
        inherited: Option<StdListener>,
    ) -> Result<Self, Exit> {
        let Some(address) = config.listen.metrics else {
            return Ok(Self(None));
        };
        let listener = open(inherited, address, "listen.metrics", &config.file)?;
        Ok(Self(Some((listener, recorder()?))))
    }

    /// Answers from now on, and returns where.
    pub(super) fn serve<O: Observed>(self, observed: &Arc<O>) -> Option<SocketAddr> {
        let (listener, recorder) = self.0?;
        let address = listener.local_addr().ok();
        let observed = Arc::clone(observed) as Arc<dyn Observed>;
        tokio::spawn(Endpoint::new(Some(recorder), observed).serve_tcp(listener));
        address
    }
}

/// Counts from now on.
pub(super) fn recorder() -> Result<Recorder, Exit> {
    Recorder::install().map_err(|error| Exit::failed(error.to_string()))
}
