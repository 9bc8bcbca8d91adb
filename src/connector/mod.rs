//! The private side: dials out and carries requests to applications.

mod alerts;
mod allow;
mod answer;
mod backend;
mod channel;
mod current;
mod fault;
mod identity;
mod late;
mod pool;
mod profiles;
mod register;
mod renewal;
mod serve;
mod skew;
mod special;
mod successor;
mod supervisor;
mod tunnel;
mod unregister;
mod upload;

use std::fmt::Write as _;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::certs::{self, RandomError};
use crate::clock::Clock;
use crate::config::{ConnectorConfig, Proxies};
use crate::net::{Dialler, Resolver};

use allow::AllowList;
use backend::Backend;
use current::CurrentIdentity;
use renewal::{Final, Renewal};
use supervisor::{Outcome, Supervisor};

pub use channel::AttemptError;
pub use identity::{Identity, StateError, StateFolder};
pub use register::{RegisterError, Registered, Registration, register};
pub use unregister::{UnregisterError, forget, unregister};

/// Why a connector does not run, or stopped to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// It has no identity it could use.
    #[error(transparent)]
    State(#[from] StateError),
    /// It knows no gateway.
    #[error("no gateway is known: write `gateways:` in the configuration, or register again")]
    NoGateways,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The system gives no random octets.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Every gateway has removed it.
    #[error("this connector was removed at its gateways; register it again with a new token")]
    Removed,
    /// Its certificate has ended and no gateway renews it.
    #[error("this connector's certificate cannot be renewed: {0} (with `--replace`)")]
    NotRenewed(String),
}

/// Keeps tunnels to every gateway open until `stop`, then drains them.
///
/// # Errors
/// Where the identity cannot be used, no gateway is known, or every gateway has removed this
/// connector.
pub async fn run(
    config: ConnectorConfig,
    proxies: Proxies,
    clock: Clock,
    stop: CancellationToken,
) -> Result<(), ConnectorError> {
    let state = StateFolder::new(&config.state);
    // One that has ended is renewed late.
    let identity = state.stored()?;
    let gateways = if config.gateways.is_empty() {
        state.gateways()?
    } else {
        config.gateways
    };
    if gateways.is_empty() {
        return Err(ConnectorError::NoGateways);
    }
    let resolver = Resolver::new(&config.dns.servers, config.dns.hosts.clone());
    let dialler = Dialler::new(resolver.clone()).through(proxies.tunnel);
    let to_backends = Dialler::new(resolver).through(proxies.backend);
    let allow = AllowList::new(config.allow, &config.dns.hosts);
    let backend = Backend::new(to_backends, allow, certs::system_roots())?;
    let mut instance = String::new();
    for octet in certs::random::<8>()? {
        let _ = write!(instance, "{octet:02x}");
    }
    tracing::info!(connector = %identity.id, group = %identity.group, gateways = gateways.len(), "connector starts");
    let current = Arc::new(CurrentIdentity::new(identity)?);
    let (renewal, task) = Renewal::new(
        Arc::clone(&current),
        clock.clone(),
        state,
        dialler.clone(),
        gateways.clone(),
    );
    let stop = stop.child_token();
    let supervisor = Supervisor {
        backend: Arc::new(backend),
        dialler,
        identity: current,
        renewal,
        instance,
        clock,
        stop: stop.clone(),
    };
    let mut tunnels = std::pin::pin!(supervisor.run(&gateways, config.connections));
    tokio::select! {
        outcome = &mut tunnels => match outcome {
            Outcome::Stopped => Ok(()),
            Outcome::Removed => Err(ConnectorError::Removed),
        },
        Some(why) = task.run(&stop) => {
            stop.cancel();
            tunnels.await;
            Err(match why {
                Final::Removed => ConnectorError::Removed,
                Final::Register(why) => ConnectorError::NotRenewed(why),
            })
        }
    }
}
