//! Connections to applications that belong to one client connection each.
//!
//! NTLM signs a connection in, and not a request: what is sent over it afterwards is that person's.
//! So it carries the requests of one client connection, one after the other, is given to nobody
//! else, and ends with that client connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::fault::BackendError;
use super::pool::{Connection, Target};
use crate::model::ErrorCode;
use crate::tunnel::Profile;

/// How long a connection waits at most for its client's next request. The gateway says when a
/// client connection has ended; this is for a word that was lost. Longer than the gateway keeps an
/// idle client.
const LONGEST: Duration = Duration::from_secs(120);

/// Client connections that one tunnel keeps connections for. Beyond it the one goes that was idle
/// longest: its client signs in again.
const MOST: usize = 4096;

/// How often connections are looked at whose time has come.
const SWEEP: Duration = Duration::from_secs(1);

/// The connections of one tunnel, by the client connection they belong to.
#[derive(Debug, Default)]
pub(super) struct Pinned(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    slots: HashMap<String, Arc<Slot>>,
    /// The tunnel has ended.
    closed: bool,
}

/// What one client connection has.
#[derive(Debug)]
struct Slot {
    /// One request at a time.
    turn: Arc<Semaphore>,
    idle: Mutex<Option<Idle>>,
}

#[derive(Debug)]
struct Idle {
    target: Target,
    connection: Connection,
    since: Instant,
    until: Instant,
}

/// The turn of one request. Dropped, the next has it.
#[derive(Debug)]
pub(super) struct Turn {
    slot: Arc<Slot>,
    _permit: OwnedSemaphorePermit,
}

/// Whose connection a request wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) pinned: &'a Pinned,
    /// The client connection.
    pub(super) id: &'a str,
}

impl Client<'_> {
    /// The turn of this request, after those before it.
    pub(super) async fn turn(
        self,
        target: &Target,
        profile: &Profile,
    ) -> Result<Turn, BackendError> {
        let deadline = Instant::now() + profile.connect();
        let turn = self.pinned.turn(self.id, deadline).await;
        turn.ok_or_else(|| {
            let endpoint = &target.endpoint;
            let detail = format!("the client's connection to {endpoint} is not free in time");
            BackendError::new(ErrorCode::BackendConnectTimeout, detail)
        })
    }
}

impl Pinned {
    /// Nothing yet; old connections are closed in time.
    pub(super) fn new() -> Arc<Self> {
        let pinned = Arc::new(Self::default());
        tokio::spawn(sweep(Arc::downgrade(&pinned)));
        pinned
    }

    /// The turn of a client connection's request; `None` where the one before does not end in time.
    pub(super) async fn turn(&self, client: &str, deadline: Instant) -> Option<Turn> {
        let slot = self.slot(client);
        let turn = Arc::clone(&slot.turn).acquire_owned();
        let permit = timeout_at(deadline, turn).await.ok()?.ok()?;
        Some(Turn {
            slot,
            _permit: permit,
        })
    }

    fn slot(&self, client: &str) -> Arc<Slot> {
        let mut state = self.lock();
        if let Some(slot) = state.slots.get(client) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot {
            turn: Arc::new(Semaphore::new(1)),
            idle: Mutex::default(),
        });
        if state.closed {
            return slot;
        }
        if state.slots.len() >= MOST {
            let oldest = state.slots.iter().filter_map(|(client, slot)| {
                let since = slot.lock().as_ref()?.since;
                Some((since, client.clone()))
            });
            if let Some((_, oldest)) = oldest.min() {
                state.slots.remove(&oldest);
            }
        }
        state.slots.insert(client.to_owned(), Arc::clone(&slot));
        slot
    }

    /// The client connection has ended, and what belongs to it. A request of it that is under way
    /// has no place to leave its connection.
    pub(super) fn end(&self, client: &str) {
        let ended = self.lock().slots.remove(client);
        drop(ended);
    }

    /// The tunnel has ended.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let slots = std::mem::take(&mut state.slots);
        drop(state);
        drop(slots);
    }

    fn close_old(&self) {
        let now = Instant::now();
        self.lock().slots.retain(|_, slot| {
            let mut idle = slot.lock();
            idle.take_if(|idle| idle.until <= now || idle.connection.sender.is_closed());
            // Nobody can take a turn meanwhile that is not one of a clone's.
            idle.is_some() || Arc::strong_count(slot) > 1
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// The connection of the request before, if it is still good and leads there.
    pub(super) async fn take(&self, target: &Target, deadline: Instant) -> Option<Connection> {
        let idle = self.slot.lock().take()?;
        if idle.target != *target || idle.until <= Instant::now() {
            return None;
        }
        let mut connection = idle.connection;
        match timeout_at(deadline, connection.sender.ready()).await {
            Ok(Ok(())) => Some(connection),
            _ => None,
        }
    }

    /// Keeps a connection for the next request, for as long as the application said.
    pub(super) fn put(&self, target: Target, connection: Connection, keep: Option<Duration>) {
        let keep = keep.unwrap_or(LONGEST).min(LONGEST);
        if connection.sender.is_closed() || keep.is_zero() {
            return;
        }
        let since = Instant::now();
        *self.slot.lock() = Some(Idle {
            target,
            connection,
            since,
            until: since + keep,
        });
    }
}

async fn sweep(pinned: Weak<Pinned>) {
    let mut every = tokio::time::interval(SWEEP);
    loop {
        every.tick().await;
        match pinned.upgrade() {
            Some(pinned) => pinned.close_old(),
            None => return,
        }
    }
}
