//! Keeps tunnels open: dials every gateway, tries again when one is lost, drains at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::alerts::{self, Watched};
use super::backend::Backend;
use super::current::CurrentIdentity;
use super::fault::chain;
use super::renewal::Renewal;
use super::serve::InFlight;
use super::tunnel::{Ended, Tunnel};
use crate::clock::Clock;
use crate::model::{Endpoint, Host};
use crate::net::Dialler;
use crate::tunnel::control::Up;
use crate::tunnel::link;
use crate::tunnel::tls::{ALPN_TUNNEL, GatewayRefusal};

/// For the TCP connection and TLS together; and then again until the gateway has said welcome.
pub(super) const DIAL: Duration = Duration::from_secs(5);

/// The first pause after a failure; it doubles up to [`PAUSE_MOST`].
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(5);

/// A tunnel that stood this long was a good one: the next pause is short again.
const STABLE: Duration = Duration::from_secs(30);

/// How long a stopping connector waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(30);

/// How long WebSockets get to say Close, and the connection to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// What all tunnels of a connector share.
pub(super) struct Supervisor {
    pub(super) backend: Arc<Backend>,
    pub(super) dialler: Dialler,
    pub(super) identity: Arc<CurrentIdentity>,
    pub(super) renewal: Arc<Renewal>,
    pub(super) instance: String,
    pub(super) clock: Clock,
    /// No new requests: tell the gateways.
    pub(super) stop: CancellationToken,
}

impl Supervisor {
    /// Keeps `connections` tunnels to each gateway until `stop`, and drains them. Returns whether
    /// it ended because every gateway has removed this connector.
    pub(super) async fn run(self, gateways: &[Endpoint], connections: u8) -> Outcome {
        let shared = Arc::new(Shared {
            in_flight: Arc::default(),
            going_away: CancellationToken::new(),
            drained: CancellationToken::new(),
            tracker: TaskTracker::new(),
            supervisor: self,
        });
        let removed = Arc::new(AtomicBool::new(true));
        let tracker = shared.tracker.clone();
        for gateway in gateways {
            for connection in 1..=connections {
                let (shared, gateway) = (Arc::clone(&shared), gateway.clone());
                let removed = Arc::clone(&removed);
                tracker.spawn(async move {
                    if Arc::clone(&shared).keep(&gateway, connection).await != Ended::Removed {
                        removed.store(false, Ordering::Relaxed);
                    }
                });
            }
        }
        tracker.close();
        tokio::select! {
            // First, so that what it says stands in the log even where nothing is left to wait for.
            biased;
            () = shared.supervisor.stop.cancelled() => shared.drain(&tracker).await,
            () = tracker.wait() => {}
        }
        if removed.load(Ordering::Relaxed) {
            Outcome::Removed
        } else {
            Outcome::Stopped
        }
    }
}

/// How a connector's run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Stopped,
    Removed,
}

pub(super) struct Shared {
    pub(super) supervisor: Supervisor,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) going_away: CancellationToken,
    drained: CancellationToken,
    tracker: TaskTracker,
}

impl Shared {
    async fn drain(&self, tracker: &TaskTracker) {
        let waiting = self.in_flight.count();
        tracing::info!(
            in_flight = waiting,
            "draining: the gateways send no new requests"
        );
        // A gateway ends its tunnels when they carry nothing and nothing is on its way to them;
        // that is more than can be seen from here.
        if timeout(DRAIN, tracker.wait()).await.is_err() {
            let left = self.in_flight.count();
            tracing::warn!(
                in_flight = left,
                "the drain's deadline has come: what is left is cut"
            );
            self.going_away.cancel();
            let _ = timeout(FAREWELL, tracker.wait()).await;
        }
        self.drained.cancel();
        let _ = timeout(FAREWELL, tracker.wait()).await;
        tracing::info!("connector stopped");
    }

    /// Keeps one tunnel to one gateway.
    async fn keep(self: Arc<Self>, gateway: &Endpoint, connection: u8) -> Ended {
        let stop = &self.supervisor.stop;
        let mut failures = 0_u32;
        let mut told = String::new();
        loop {
            let began = Instant::now();
            let mut welcomed = false;
            let ended = tokio::select! {
                dialled = self.dial(gateway) => match dialled {
                    Ok(stream) => {
                        let tunnel = Arc::new(Tunnel::new(&self));
                        let serving = Arc::clone(&self).serve(Arc::clone(&tunnel), stream, gateway.clone(), connection);
                        let serving = self.tracker.spawn(serving);
                        tokio::select! {
                            ended = serving => {
                                welcomed = tunnel.welcome.is_cancelled();
                                ended.unwrap_or_else(|e| Ended::Lost(e.to_string()))
                            }
                            // The old one goes on until the gateway has nothing more for it.
                            () = tunnel.replace.cancelled() => {
                                tracing::info!(%gateway, connection, "the gateway asks for another tunnel in the place of this one");
                                (failures, told) = (0, String::new());
                                continue;
                            }
                        }
                    }
                    Err(reason) => Ended::Lost(reason),
                },
                () = stop.cancelled() => Ended::Stopped,
            };
            if welcomed {
                told.clear();
            }
            let reason = match ended {
                Ended::Lost(_) if stop.is_cancelled() => return Ended::Stopped,
                Ended::Lost(reason) => reason,
                Ended::Removed => {
                    tracing::error!(%gateway, connection, "this connector was removed at the gateway; register it again with a new token");
                    return Ended::Removed;
                }
                Ended::Stopped => return Ended::Stopped,
            };
            if began.elapsed() >= STABLE {
                failures = 0;
            }
            // The same reason again and again is said once.
            if told != reason {
                tracing::warn!(%gateway, connection, reason, "no tunnel; trying again");
                told = reason;
            }
            tokio::select! {
                () = tokio::time::sleep(pause(failures, random())) => {}
                () = stop.cancelled() => return Ended::Stopped,
            }
            failures = failures.saturating_add(1);
        }
    }

    async fn dial(&self, gateway: &Endpoint) -> Result<TlsStream<TcpStream>, String> {
        let supervisor = &self.supervisor;
        supervisor.renewal.usable().await;
        let deadline = Instant::now() + DIAL;
        let stream = supervisor.dialler.connect_tunnel(gateway, deadline).await;
        let stream = stream.map_err(|e| e.to_string())?;
        // The name in the handshake is for routing on the way; what is verified is the fixed name.
        let name = match &gateway.host {
            Host::Name(name) => {
                ServerName::try_from(name.to_string()).map_err(|e| e.to_string())?
            }
            Host::Address(address) => ServerName::from(*address),
        };
        let connector = TlsConnector::from(supervisor.identity.tls());
        let stream = timeout_at(deadline, connector.connect(name, stream))
            .await
            .map_err(|_| format!("{gateway} did not finish the TLS handshake within {DIAL:?}"))?
            .map_err(|error| match GatewayRefusal::of(&error) {
                Some(refusal) => format!("{gateway}: {}", alerts::of(refusal)),
                None => format!("TLS with {gateway} failed: {}", chain(&error)),
            })?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN_TUNNEL) {
            return Err(format!(
                "{gateway} did not agree to the tunnel's protocol (ALPN): something in between changes TLS"
            ));
        }
        Ok(stream)
    }

    /// Serves one tunnel until it ends.
    async fn serve(
        self: Arc<Self>,
        tunnel: Arc<Tunnel>,
        stream: TlsStream<TcpStream>,
        gateway: Endpoint,
        connection: u8,
    ) -> Ended {
        let service = service_fn({
            let tunnel = Arc::clone(&tunnel);
            move |request| Arc::clone(&tunnel).call(request)
        });
        let (stream, alert) = Watched::new(stream);
        let mut http =
            std::pin::pin!(link::server().serve_connection(TokioIo::new(stream), service));
        let stop = &self.supervisor.stop;
        let welcome_by = Instant::now() + DIAL;
        let (mut welcomed, mut drain_said) = (false, false);
        loop {
            tokio::select! {
                ended = &mut http => {
                    if let Some(refusal) = alert.refusal(&self.supervisor.renewal) {
                        return Ended::Lost(refusal);
                    }
                    return tunnel.reason().unwrap_or_else(|| Ended::Lost(match ended {
                        Ok(()) => "the gateway closed the tunnel".to_owned(),
                        Err(error) => format!("the tunnel broke: {}", chain(&error)),
                    }));
                }
                () = tunnel.over.cancelled() => {
                    return tunnel.reason().unwrap_or_else(|| Ended::Lost("the control stream ended".to_owned()));
                }
                () = tunnel.welcome.cancelled(), if !welcomed => {
                    welcomed = true;
                    tracing::info!(%gateway, connection, "tunnel open");
                }
                () = tokio::time::sleep_until(welcome_by), if !welcomed => {
                    return Ended::Lost(format!("{gateway} did not say welcome within {DIAL:?}"));
                }
                () = stop.cancelled(), if !drain_said => {
                    drain_said = true;
                    if !tunnel.say(&Up::Drain { deadline_s: DRAIN.as_secs() }) {
                        return Ended::Stopped;
                    }
                }
                () = self.drained.cancelled() => {
                    tunnel.hang_up();
                    http.as_mut().graceful_shutdown();
                    let _ = timeout(FAREWELL, http.as_mut()).await;
                    return Ended::Stopped;
                }
            }
        }
    }
}

/// Exponential back-off with full jitter: a thousand connectors do not come back in step.
fn pause(failures: u32, random: u64) -> Duration {
    let most = PAUSE_FIRST
        .saturating_mul(1 << failures.min(8))
        .min(PAUSE_MOST);
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % (millis + 1))
}

fn random() -> u64 {
    // Without randomness all come back in step, which is no reason not to come back.
    crate::certs::random().map(u64::from_ne_bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds_and_are_spread_over_all_of_it() {
        let most = |failures| {
            (0..10_000)
                .map(|r| pause(failures, r))
                .max()
                .unwrap()
                .as_millis()
        };
        assert_eq!(
            [0, 1, 2, 3, 4, 40].map(most),
            [500, 1000, 2000, 4000, 5000, 5000]
        );
        assert_eq!(pause(9, 0), Duration::ZERO);
    }
}
