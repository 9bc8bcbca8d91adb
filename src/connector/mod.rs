//! The private side: dials out and carries requests to applications.

mod again;
mod alerts;
mod allow;
mod answer;
mod applications;
mod awake;
mod backend;
mod backoff;
mod channel;
mod current;
mod dial;
mod fault;
mod flight;
mod handshake;
mod http2;
mod identity;
mod informational;
mod inspect;
mod known;
mod late;
mod measure;
mod named;
mod open;
mod passthrough;
mod pinned;
mod pool;
mod probe;
mod profiles;
mod reach;
mod refusal;
mod register;
mod renewal;
mod says;
mod serve;
mod serving;
mod shared;
mod size;
mod skew;
mod special;
mod state_error;
mod status;
mod successor;
mod supervisor;
mod talk;
mod trial;
mod trust;
mod tunnel;
mod unopened;
mod unregister;
mod upload;
mod way;
mod ways;

use std::fmt::Write as _;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::certs::{self, RandomError};
use crate::clock::Clock;
use crate::config::ConnectorConfig;
use crate::model::{ConnectorId, Proxy};
use crate::net::{Dialler, Resolver, TunnelSockets};

use current::CurrentIdentity;
use known::Known;
use renewal::{Final, Renewal};
use status::{Connector, Status};
use supervisor::{Outcome, Supervisor};

pub use applications::Applications;
pub use channel::AttemptError;
pub use dial::DIAL;
pub use identity::{Identity, StateFolder};
pub use named::KeptGateway;
pub use open::OpenTunnels;
pub use register::{RegisterError, Registered, Registration, register};
pub use state_error::StateError;
pub use status::{SOCKET, Watch};
pub use trial::{Trial, try_gateway};
pub use trust::BackendTrust;
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

impl ConnectorError {
    /// The word that `check` on this host has for it too.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::State(error) => error.code(),
            Self::NoGateways => "no_gateways",
            Self::Tls(_) => "identity_unusable",
            Self::Random(_) => "internal",
            Self::Removed => "connector_removed",
            Self::NotRenewed(_) => "identity_not_renewed",
        }
    }
}

/// Keeps tunnels to every gateway open until `stop`, then drains them; `open` tells how many there
/// are. Who may ask how it stands is in `watch`; whoever may read the state's folder always may.
/// Gateways are dialled through `proxy`, where there is one.
///
/// # Errors
/// Where the identity cannot be used, no gateway is known, or every gateway has removed this
/// connector.
pub async fn run(
    config: ConnectorConfig,
    proxy: Option<Proxy>,
    applications: Applications,
    clock: Clock,
    stop: CancellationToken,
    open: OpenTunnels,
    watch: Watch,
) -> Result<(), ConnectorError> {
    let state = StateFolder::of(&config);
    // One that has ended is renewed late.
    let identity = state.stored()?;
    let known = known(&config, &state, &identity.id)?;
    let gateways = known.all().len();
    let known = Arc::new(known);
    let resolver = Resolver::new(&config.dns.servers, config.dns.hosts.clone());
    let tunnel_proxy = proxy.as_ref().map(ToString::to_string);
    let dialler = Dialler::new(resolver)
        .through(proxy)
        .tuning(TunnelSockets::new(config.congestion));
    let mut instance = String::new();
    for octet in certs::random::<8>()? {
        let _ = write!(instance, "{octet:02x}");
    }
    tracing::info!(connector = %identity.id, group = %identity.group, gateways, "connector starts");
    let folder = state.path().to_owned();
    let current = Arc::new(CurrentIdentity::new(identity)?);
    let (renewal, task) = Renewal::new(
        Arc::clone(&current),
        clock.clone(),
        state,
        dialler.clone(),
        Arc::clone(&known),
    );
    let stop = stop.child_token();
    let (backend, status) = (applications.backend, Status::new(clock.clone()));
    let observed = Connector {
        status: Arc::clone(&status),
        renewal: Arc::clone(&renewal),
        backend: Arc::clone(&backend),
        stop: stop.clone(),
        tunnel_proxy,
    };
    // Nobody is answered, and the socket's file goes, when the connector has ended.
    let _answering = status::serve(observed, watch, &folder).await;
    let supervisor = Supervisor {
        backend,
        status,
        dialler,
        identity: current,
        renewal,
        known,
        connections: config.connections,
        stream_window: config.stream_window,
        instance,
        clock,
        stop: stop.clone(),
        drain: config.drain,
        open,
    };
    let mut tunnels = std::pin::pin!(supervisor.run());
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

/// The gateways of the configuration and of the state; never none.
fn known(
    config: &ConnectorConfig,
    state: &StateFolder,
    id: &ConnectorId,
) -> Result<Known, ConnectorError> {
    if !config.follows_gateways {
        let configured = config.gateways.clone();
        return Ok(Known::alone(configured, state.clone(), id.clone()));
    }
    let kept = match state.gateways() {
        Err(error) if !config.gateways.is_empty() => {
            tracing::warn!(code = "gateways_not_kept", %error, "the list of gateways that is kept is passed over");
            Vec::new()
        }
        kept => kept?,
    };
    if config.gateways.is_empty() && kept.is_empty() {
        return Err(ConnectorError::NoGateways);
    }
    Ok(Known::new(
        config.gateways.clone(),
        kept,
        config.dns.hosts.clone(),
        state.clone(),
        id.clone(),
    ))
}
