//! The public side: TLS, routing, decisions, forwarding.

mod attach;
mod connection;
mod enrol;
mod exchange;
mod forward;
mod health;
mod issuer;
mod lifetime;
mod listener;
#[cfg(test)]
mod memory;
mod pipeline;
mod renewal;
mod respond;
mod returning;
mod route;
mod tls;
mod tunnels;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certs::{AuthorityError, LoadedCertificate};
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::model::Scheme;
use crate::store::{Store, StoreError};
use crate::telemetry::RequestIds;
use crate::tunnel::late::Channel;
use crate::tunnel::tls::GatewayTls;

use lifetime::Openings;
use returning::Returning;
use route::RouteTable;
use tunnels::Tunnels;

pub use enrol::Enrolment;
pub use issuer::{EnrolError, Issuer, load_authorities, record};
#[cfg(test)]
pub(crate) use memory::Memory;

/// How long a stopping gateway waits for answers in flight.
const DRAIN: Duration = Duration::from_secs(30);

/// How long tunnels get to close.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often the gateway gives itself a new certificate for the tunnel.
const REISSUE: Duration = Duration::from_secs(24 * 3600);

/// What a gateway is made of: everything that can be wrong has been looked at.
#[derive(Debug)]
pub struct Parts {
    /// The checked configuration.
    pub config: GatewayConfig,
    /// Its certificates, loaded.
    pub certificates: Vec<LoadedCertificate>,
    /// Its store, open.
    pub store: Arc<dyn Store>,
    /// Sockets that accept TLS.
    pub https: Vec<TcpListener>,
    /// Sockets that accept plain HTTP.
    pub http: Vec<TcpListener>,
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
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    table: RouteTable,
    tunnels: Tunnels,
    returning: Returning,
    store: Arc<dyn Store>,
    enrolment: Enrolment,
    issuer: Arc<Issuer>,
    /// The change log tells of a rotation.
    rotated: Notify,
    openings: Openings,
    /// For browsers and programs.
    people_tls: Arc<ServerConfig>,
    /// For connectors, with certificates of our own authorities.
    tunnel_tls: GatewayTls,
    /// Where connectors dial, handed to them in welcome.
    public: Vec<String>,
    ids: RequestIds,
    clock: Clock,
    /// No new connections and requests.
    stop: CancellationToken,
    /// No more tunnels: everything that could be waited for is done.
    cut_tunnels: CancellationToken,
    /// Connections of people, and those of which it is not known yet whose they are.
    connections: TaskTracker,
    /// Connections of connectors: they go on until people's requests are answered.
    tunnel_connections: TaskTracker,
    /// WebSockets, which outlive their connections' requests.
    websockets: TaskTracker,
}

impl Gateway {
    /// Takes the sockets into service.
    ///
    /// # Errors
    /// Where the store, the authority or TLS cannot be used.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, StartError> {
        let Parts {
            config,
            certificates,
            store,
            https,
            http,
            clock,
        } = parts;
        // Changes from here on are followed; what was removed before is refused at the handshake.
        let changes = store.last_change().await?;
        let authorities = load_authorities(&*store, clock.now()).await?;
        let by_name = tls::ByName::new(&certificates).ok_or(StartError::NoCertificate)?;
        let tunnel_tls = GatewayTls::new(&authorities, clock.now())?;
        let issuer = Arc::new(Issuer::new(authorities, config.connector_certificates));
        let public: Vec<String> = config
            .listen
            .public
            .iter()
            .map(ToString::to_string)
            .collect();
        let gateway = Arc::new(Self {
            table: RouteTable::new(&config.applications),
            tunnels: Tunnels::default(),
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
            store,
            people_tls: tls::for_people(by_name)?,
            tunnel_tls,
            public,
            ids: RequestIds::new(),
            clock,
            stop: CancellationToken::new(),
            cut_tunnels: CancellationToken::new(),
            connections: TaskTracker::new(),
            tunnel_connections: TaskTracker::new(),
            websockets: TaskTracker::new(),
        });
        tokio::spawn(attach::watch_removals(Arc::clone(&gateway), changes));
        tokio::spawn(issuer::follow(Arc::clone(&gateway)));
        tokio::spawn(reissue(Arc::clone(&gateway)));
        for (listeners, scheme) in [(https, Scheme::Https), (http, Scheme::Http)] {
            for listener in listeners {
                tokio::spawn(listener::accept(Arc::clone(&gateway), listener, scheme));
            }
        }
        Ok(gateway)
    }

    /// How many connectors' tunnels are open.
    #[must_use]
    pub fn open_tunnels(&self) -> usize {
        self.tunnels.len()
    }

    /// Stops: accepts nothing new, lets answers in flight end within their deadline, then ends
    /// the tunnels. Returns whether everything ended by itself.
    pub async fn stop(&self) -> bool {
        self.stop.cancel();
        for tracker in [
            &self.connections,
            &self.websockets,
            &self.tunnel_connections,
        ] {
            tracker.close();
        }
        let answered = async {
            self.connections.wait().await;
            self.websockets.wait().await;
        };
        let answered = timeout(DRAIN, answered).await.is_ok();
        self.cut_tunnels.cancel();
        let closed = timeout(FAREWELL, self.tunnel_connections.wait())
            .await
            .is_ok();
        answered && closed
    }

    async fn enrol(&self, stream: TlsStream<TcpStream>, peer: SocketAddr) {
        match Channel::of(stream.get_ref().1) {
            Ok(channel) => self.enrolment.serve(stream, channel, peer).await,
            Err(error) => tracing::warn!(%peer, %error, "TLS of an enrolment cannot be used"),
        }
    }
}

/// Renews the gateway's own certificate long before it ends.
async fn reissue(gateway: Arc<Gateway>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(REISSUE) => {}
            () = gateway.stop.cancelled() => return,
        }
        let authorities = gateway.issuer.authorities();
        if let Err(error) = gateway.tunnel_tls.renew(&authorities, gateway.clock.now()) {
            tracing::error!(%error, "cannot renew the gateway's own certificate for the tunnel");
        }
    }
}
