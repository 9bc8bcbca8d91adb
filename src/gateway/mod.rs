//! The public side: TLS, routing, decisions, forwarding.

mod admit;
mod affinity;
mod attach;
mod bench;
mod choice;
mod client_tls;
mod connection;
mod cors;
mod crawl;
mod crowd;
mod current;
mod drain;
mod ended;
mod enrol;
mod exchange;
mod explain;
mod failover;
mod forward;
mod front;
mod health;
mod hello;
mod identify;
mod inspection;
mod issuer;
mod kept;
mod lease;
mod lifetime;
mod limits;
mod listener;
#[cfg(test)]
mod memory;
mod observe;
mod passed_on;
mod passthrough;
mod pins;
mod pipeline;
mod presence;
mod probing;
mod published;
mod question;
mod rates;
mod removal;
mod renewal;
mod report;
mod respond;
mod returning;
mod round_trip;
mod route;
mod scanned;
mod sign_in;
mod sign_on;
mod signed_in;
mod tls;
mod told;
mod translated;
mod tunnels;
mod upload;
mod waiting;
mod websocket;
mod written;

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use crate::auth::assertion::Signer;
use crate::auth::service_token::ServiceTokens;
use crate::auth::{SessionSettings, Sessions};
use crate::certs::{AuthorityError, Loaded};
use crate::clock::Clock;
use crate::config::{ConnectionLimits, GatewayConfig};
use crate::model::{ConnectorId, Finding};
use crate::net;
use crate::store::{Store, StoreError};
use crate::telemetry::RequestIds;
use crate::tunnel::late::Channel;
use crate::tunnel::tls::GatewayTls;

use crowd::Crowd;
use current::{Current, Refused};
use drain::Drain;
use inspection::Inspections;
use lifetime::Openings;
use limits::Clients;
use listener::{Door, Doors};
use passed_on::Balancers;
use presence::Presence;
use probing::Probes;
use returning::Returning;
use tunnels::Tunnels;

#[doc(hidden)]
pub use bench::Routes;
pub use current::{Applied, ApplyError, look_at_pictures};
pub use enrol::Enrolment;
pub use issuer::{EnrolError, Issuer, load_authorities, record};
#[cfg(test)]
pub(crate) use memory::Memory;
pub use question::{Explanation, NoQuestion, Question, Step, Visitor};
pub use respond::pages::LogoError;
pub use sign_in::{CALLBACK as CALLBACK_PATH, LINK as LINK_PATH, look_at_providers, redirect_uri};
pub use sign_on::look_at_passwords;

/// What a gateway is made of: everything that can be wrong has been looked at.
#[derive(Debug)]
pub struct Parts {
    /// The checked configuration.
    pub config: GatewayConfig,
    /// Its certificates and authorities, loaded.
    pub loaded: Loaded,
    /// Its store, open.
    pub store: Arc<dyn Store>,
    /// Sockets that accept TLS.
    pub https: Vec<TcpListener>,
    /// Sockets that accept plain HTTP.
    pub http: Vec<TcpListener>,
    /// Sockets that accept connectors alone.
    pub tunnel: Vec<TcpListener>,
    /// The time.
    pub clock: Clock,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has no authority to enrol with.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The gateway's own authority issues no certificate.
    #[error("the gateway's own authority cannot be used: {0}")]
    Authority(#[from] AuthorityError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// There is no certificate for people.
    #[error("no certificate is configured")]
    NoCertificate,
    /// The brand's logo cannot be shown.
    #[error(transparent)]
    Logo(#[from] LogoError),
    /// An identity provider cannot be used as it is written.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Providers(Vec<Finding>),
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    current: ArcSwap<Current>,
    /// Held while another configuration is put in force.
    applying: Mutex<()>,
    refused: Refused,
    tunnels: Tunnels,
    /// Who has requests in them.
    clients: Arc<Clients>,
    /// Who is connected, tunnels apart.
    crowd: Arc<Crowd>,
    /// Who passes connections on.
    balancers: Balancers,
    probes: Probes,
    inspections: Inspections,
    returning: Returning,
    store: Arc<dyn Store>,
    /// Who is signed in.
    sessions: Arc<Sessions>,
    /// Programs that show a token of the gateway's own.
    service_tokens: ServiceTokens,
    /// Signs what applications are told of people.
    signer: Signer,
    /// Sign-ins whose answer has come.
    spent: sign_in::Spent,
    /// Who was asked for further proof.
    stepped: sign_in::Stepped,
    /// Sign-ins that begin again as soon as they are done.
    loops: sign_in::Loops,
    enrolment: Enrolment,
    issuer: Arc<Issuer>,
    /// The change log tells of a rotation.
    rotated: Notify,
    openings: Openings,
    presence: Presence,
    /// A listener cannot accept at the moment.
    accept_failing: AtomicBool,
    /// For connectors, with certificates of our own authorities.
    tunnel_tls: GatewayTls,
    ids: RequestIds,
    clock: Clock,
    drain: Drain,
    doors: Doors,
    /// Connections of people, and those of which it is not known yet whose they are.
    connections: TaskTracker,
    /// Connections of connectors: they go on until people's requests are answered.
    tunnel_connections: TaskTracker,
    /// WebSockets, which outlive their connections' requests.
    websockets: TaskTracker,
}

fn session_settings(config: &GatewayConfig) -> SessionSettings {
    SessionSettings {
        idle: config.session.idle,
        absolute: config.session.lifetime,
        ..SessionSettings::default()
    }
}

impl Gateway {
    /// Takes the sockets into service.
    ///
    /// # Errors
    /// Where the store, the authority or TLS cannot be used.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, StartError> {
        let Parts {
            config,
            loaded,
            store,
            https,
            http,
            tunnel,
            clock,
        } = parts;
        // Changes from here on are followed; what was removed before is refused at the handshake.
        let changes = store.last_change().await?;
        let authorities = load_authorities(&*store, clock.now()).await?;
        let tunnel_tls = GatewayTls::new(&authorities, clock.now())?;
        let issuer = Arc::new(Issuer::new(authorities, config.connector_certificates));
        let current = Arc::new(Current::after(None, config, loaded, &clock)?);
        let config = &current.config;
        let sessions =
            Sessions::open(Arc::clone(&store), clock.clone(), session_settings(config)).await?;
        let service_tokens = ServiceTokens::open(Arc::clone(&store), clock.clone()).await?;
        let gateway = Arc::new(Self {
            sessions,
            service_tokens,
            signer: Signer::new(Arc::clone(&store), clock.clone()),
            spent: sign_in::Spent::default(),
            stepped: sign_in::Stepped::default(),
            loops: sign_in::Loops::new(clock.now()),
            tunnels: Tunnels::default(),
            clients: Clients::new(config.requests_per_address, config.requests_total),
            crowd: Crowd::new(affordable(
                config.connections,
                config.connections_are_written,
            )),
            balancers: Balancers::default(),
            probes: Probes::default(),
            inspections: Inspections::default(),
            returning: Returning::known_to(&*store).await?,
            enrolment: Enrolment::new(
                Arc::clone(&issuer),
                Arc::clone(&store),
                config.listen.public.clone(),
                clock.clone(),
            ),
            issuer,
            rotated: Notify::new(),
            openings: Openings::default(),
            presence: Presence::default(),
            accept_failing: AtomicBool::new(false),
            store,
            tunnel_tls,
            ids: RequestIds::new(),
            clock,
            drain: Drain::new(config.drain),
            current: ArcSwap::new(Arc::clone(&current)),
            applying: Mutex::default(),
            refused: Refused::default(),
            doors: Doors::default(),
            connections: TaskTracker::new(),
            tunnel_connections: TaskTracker::new(),
            websockets: TaskTracker::new(),
        });
        tokio::spawn(removal::watch(Arc::clone(&gateway), changes));
        presence::begin(&gateway).await;
        tokio::spawn(presence::watch(Arc::clone(&gateway)));
        tokio::spawn(issuer::follow(Arc::clone(&gateway)));
        tokio::spawn(sign_on::follow(Arc::clone(&gateway)));
        gateway.probe(&current);
        for (listeners, door) in [
            (https, Door::Https),
            (http, Door::Http),
            (tunnel, Door::Tunnel),
        ] {
            for listener in listeners {
                listener::open(&gateway, listener, door);
            }
        }
        Ok(gateway)
    }

    /// How many connectors' tunnels are open.
    #[must_use]
    pub fn open_tunnels(&self) -> usize {
        self.tunnels.len()
    }

    /// The connectors that have a tunnel to this gateway.
    #[must_use]
    pub fn connected(&self) -> Vec<ConnectorId> {
        self.presence.here()
    }

    /// How many applications are published.
    #[must_use]
    pub fn applications(&self) -> usize {
        self.current().table.all().len()
    }

    /// Whether it was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.drain.has_begun()
    }

    /// How many connections of people are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    /// Waits until every listener's loop has shown that it runs: what a watchdog asks. The store is
    /// not asked, because a gateway that is killed for a busy store serves nobody, and finds it busy
    /// again.
    pub async fn answers(&self) {
        self.doors.answer().await;
    }

    /// From now on people are told to go elsewhere; [`Gateway::stop`] does the rest.
    pub fn begin_stop(&self) {
        self.drain.begin();
    }

    /// Stops: sends everybody to the successor while it still serves, then accepts nothing new, lets
    /// what is in flight end within the deadline, and ends the tunnels. Returns whether everything
    /// ended by itself.
    pub async fn stop(&self) -> bool {
        drain::run(self).await
    }

    async fn enrol(&self, stream: TlsStream<TcpStream>, peer: SocketAddr) {
        match Channel::of(stream.get_ref().1) {
            Ok(channel) => self.enrolment.serve(stream, channel, peer).await,
            Err(error) => {
                tracing::warn!(code = "tunnel_tls", %peer, %error, "TLS of an enrolment cannot be used")
            }
        }
    }
}

/// The limits of connections, as far as this process may have so many descriptors. A quarter is left
/// to tunnels, the store, and those that are about to be closed.
fn affordable(wanted: ConnectionLimits, is_written: bool) -> ConnectionLimits {
    let Some(descriptors) = net::raise_descriptors() else {
        return wanted;
    };
    let most = u32::try_from(descriptors / 4 * 3).unwrap_or(u32::MAX);
    if wanted.total <= most {
        return wanted;
    }
    // What nobody wrote, nobody misses.
    if is_written {
        tracing::warn!(
            descriptors,
            limit = most,
            wanted = wanted.total,
            "fewer connections than `limits.connections` says: raise the limit of open files \
             (`LimitNOFILE=` of the service)"
        );
    }
    ConnectionLimits {
        total: most,
        ..wanted
    }
}
