//! A gateway's end, so that nobody notices it.
//!
//! | from | what |
//! |---|---|
//! | the signal | connectors are asked for tunnels to the successor and get none here any more; HTTP/1 answers say `Connection: close`; people are served as ever |
//! | the end of the notice, or sooner where nobody is connected | no connection is accepted; HTTP/1 closes what has been idle for a notice, HTTP/2 gets GOAWAY, WebSockets Close 1001 |
//! | the end of all that is in flight, or the deadline | the tunnels are closed |
//!
//! GOAWAY and Close 1001 make a client connect again at once, so they wait for the moment from which
//! on that cannot lead back to here. Neither loses anything by coming late: HTTP/2 says in two steps
//! which requests it still takes. HTTP/1 has no such word but the header, which has to come with an
//! answer, and an idle connection that is closed may lose a request that is on its way; hence the
//! notice.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Gateway;
use super::kept::Kept;
use crate::config::GatewayDrain;
use crate::tunnel::control::Down;

/// How long tunnels get to close.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a connection that was accepted at the last moment has for its first request: TLS and a
/// request over a bad line.
const FIRST_REQUEST: Duration = Duration::from_secs(5);

/// How far a gateway's end has come.
#[derive(Debug)]
pub(super) struct Drain {
    times: Mutex<GatewayDrain>,
    /// The gateway goes: whoever can shall go to its successor.
    leaving: CancellationToken,
    /// Nothing new is accepted.
    closing: CancellationToken,
    /// No more tunnels: everything that could be waited for is done.
    over: CancellationToken,
}

impl Drain {
    pub(super) fn new(times: GatewayDrain) -> Self {
        Self {
            times: Mutex::new(times),
            leaving: CancellationToken::new(),
            closing: CancellationToken::new(),
            over: CancellationToken::new(),
        }
    }

    fn times(&self) -> GatewayDrain {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has others for a stop that is to come.
    pub(super) fn set_times(&self, times: GatewayDrain) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }

    /// From now on clients are told to go elsewhere.
    pub(super) fn begin(&self) {
        self.leaving.cancel();
    }

    /// Whether clients are to be told to go elsewhere.
    pub(super) fn has_begun(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Waits until connectors are to go elsewhere.
    pub(super) async fn begins(&self) {
        self.leaving.cancelled().await;
    }

    /// Waits until nothing new is accepted.
    pub(super) async fn closes(&self) {
        self.closing.cancelled().await;
    }

    /// Waits until a person's connection is to end. One that is new then may have its first
    /// request; `spoke` says that it came.
    pub(super) async fn ends_connection(&self, spoke: &CancellationToken) {
        self.closes().await;
        let _ = timeout(FIRST_REQUEST, spoke.cancelled()).await;
    }

    /// As [`Drain::ends_connection`], for HTTP/1: not before the client had a whole notice in which
    /// it could have sent a request and heard of the end.
    pub(super) async fn ends_kept(&self, spoke: &CancellationToken, kept: &Kept) {
        self.ends_connection(spoke).await;
        kept.idle_for(self.times().notice).await;
    }

    /// Waits until tunnels are to end.
    pub(super) async fn is_over(&self) {
        self.over.cancelled().await;
    }

    /// What connectors are told.
    pub(super) fn word(&self) -> Down {
        Down::Drain {
            deadline_s: self.times().deadline.as_secs(),
        }
    }
}

/// Goes through the stages. Returns whether everything ended by itself.
pub(super) async fn run(gateway: &Gateway) -> bool {
    let drain = &gateway.drain;
    let times = drain.times();
    let deadline = Instant::now() + times.deadline;
    drain.begin();
    // A tunnel that is taken into service after this sees that the drain has begun.
    gateway.tunnels.tell_all(&drain.word());
    for tracker in [
        &gateway.connections,
        &gateway.websockets,
        &gateway.tunnel_connections,
    ] {
        // Closed it can be waited for; it takes more all the same.
        tracker.close();
    }
    let _ = timeout(times.notice, gateway.connections.wait()).await;
    drain.closing.cancel();
    let (connections, websockets) = (gateway.connections.len(), gateway.websockets.len());
    tracing::info!(
        connections,
        websockets,
        "no connection is accepted any more; waiting for what is in flight"
    );
    let answered = async {
        gateway.connections.wait().await;
        gateway.websockets.wait().await;
    };
    let answered = timeout_at(deadline, answered).await.is_ok();
    drain.over.cancel();
    let closed = timeout(FAREWELL, gateway.tunnel_connections.wait())
        .await
        .is_ok();
    answered && closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::gateway::observe::tests::{NOW, gateway};

    /// Timers go by whole milliseconds.
    const TICK: Duration = Duration::from_millis(5);

    #[tokio::test(start_paused = true)]
    async fn nobody_is_given_notice_where_nobody_is_and_who_stays_is_waited_for_to_the_deadline() {
        let (unused, _) = gateway(&Clock::manual(NOW)).await;
        let since = Instant::now();
        assert!(run(&unused).await);
        assert!(since.elapsed() < TICK, "{:?}", since.elapsed());

        let (used, _) = gateway(&Clock::manual(NOW)).await;
        let GatewayDrain { notice, deadline } = used.drain.times();
        let _connection = used.connections.token();
        let since = Instant::now();
        let closes = async {
            used.drain.closes().await;
            since.elapsed()
        };
        let (ended, closed) = tokio::join!(run(&used), closes);
        assert!(!ended, "it was cut");
        assert!((notice..notice + TICK).contains(&closed), "{closed:?}");
        let took = since.elapsed();
        assert!((deadline..deadline + TICK).contains(&took), "{took:?}");
    }
}
