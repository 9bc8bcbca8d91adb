//! Keeps tunnels to every gateway until the end, and drains them then.
//!
//! ```text
//! ways      which ways there are to the gateways that are known: one task that follows the list
//! way       keeps the tunnels of one of them: a task each, and one for each tunnel
//! serving   serves one tunnel, however little its way is wanted by then
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::awake;
use super::backend::Backend;
use super::current::CurrentIdentity;
use super::known::Known;
use super::open::OpenTunnels;
use super::renewal::Renewal;
use super::status::Status;
use super::ways::Ways;
use crate::clock::Clock;
use crate::config::{Connections, ConnectorDrain};
use crate::model::StreamWindow;
use crate::net::Dialler;

/// How long WebSockets get to say Close, and the connection to say goodbye.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// What all tunnels of a connector share.
pub(super) struct Supervisor {
    pub(super) backend: Arc<Backend>,
    pub(super) dialler: Dialler,
    pub(super) identity: Arc<CurrentIdentity>,
    pub(super) status: Arc<Status>,
    pub(super) renewal: Arc<Renewal>,
    pub(super) known: Arc<Known>,
    pub(super) connections: Connections,
    pub(super) stream_window: StreamWindow,
    pub(super) instance: String,
    pub(super) clock: Clock,
    /// No new requests: tell the gateways.
    pub(super) stop: CancellationToken,
    /// How long what is in flight may take then.
    pub(super) drain: ConnectorDrain,
    pub(super) open: OpenTunnels,
}

/// How a connector's run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Stopped,
    Removed,
}

/// What they share while they run.
pub(super) struct Shared {
    pub(super) supervisor: Supervisor,
    pub(super) going_away: CancellationToken,
    pub(super) drained: CancellationToken,
    /// Every tunnel that is served, whoever waits for it.
    pub(super) tracker: TaskTracker,
    /// How many tunnels stand.
    pub(super) standing: watch::Sender<usize>,
    /// One stood since the start.
    pub(super) worked: AtomicBool,
    /// This machine slept: tunnels are of no use and pauses without meaning.
    pub(super) woken: watch::Sender<()>,
}

impl Supervisor {
    /// Keeps tunnels to every gateway until `stop`, and drains them. Returns whether it ended
    /// because every gateway that ever answered has removed this connector.
    pub(super) async fn run(self) -> Outcome {
        let shared = Arc::new(Shared {
            going_away: CancellationToken::new(),
            drained: CancellationToken::new(),
            tracker: TaskTracker::new(),
            standing: watch::Sender::new(0),
            worked: AtomicBool::new(false),
            woken: watch::Sender::new(()),
            supervisor: self,
        });
        let outcome = tokio::select! {
            biased;
            () = shared.supervisor.stop.cancelled() => Outcome::Stopped,
            outcome = Ways::new(&shared).run() => outcome,
            () = shared.watch_sleep() => Outcome::Stopped,
            () = shared.supervisor.known.keep() => Outcome::Stopped,
        };
        shared.tracker.close();
        match outcome {
            Outcome::Stopped => shared.drain().await,
            Outcome::Removed => {
                // The gateways have cut what there was.
                let _ = timeout(FAREWELL, shared.tracker.wait()).await;
            }
        }
        outcome
    }
}

impl Shared {
    async fn watch_sleep(&self) {
        loop {
            let slept = awake::slept(&self.supervisor.clock).await;
            tracing::info!(
                seconds = slept.as_secs(),
                "this machine slept or stood still, or its clock was set: every tunnel is opened anew"
            );
            self.woken.send_replace(());
        }
    }

    async fn drain(&self) {
        let in_flight = &self.supervisor.status.in_flight;
        let waiting = in_flight.count();
        tracing::info!(
            in_flight = waiting,
            "draining: the gateways send no new requests"
        );
        // A gateway ends its tunnels when they carry nothing and nothing is on its way to them;
        // that is more than can be seen from here.
        let deadline = self.supervisor.drain.deadline;
        if timeout(deadline, self.tracker.wait()).await.is_err() {
            let left = in_flight.count();
            tracing::warn!(
                in_flight = left,
                "the drain's deadline has come: what is left is cut"
            );
            self.going_away.cancel();
            let _ = timeout(FAREWELL, self.tracker.wait()).await;
        }
        self.drained.cancel();
        let _ = timeout(FAREWELL, self.tracker.wait()).await;
        tracing::info!("connector stopped");
    }
}
