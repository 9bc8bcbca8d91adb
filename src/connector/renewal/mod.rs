//! Keeps this connector's identity alive: the next certificate before the present one ends, or
//! late by proof of the key, and the authorities that count.
//!
//! ```text
//! two thirds of its life over   renew over a tunnel
//! ended, or refused as ended    renew over a tunnel, or late at every gateway that is known
//! the authorities changed       keep them, and renew where another one issues by now
//! ```
//!
//! One task does all of it, so one renewal is under way at a time. The identity in use changes only
//! once the next one is on disk.

mod heard;
mod task;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::current::CurrentIdentity;
use super::identity::StateFolder;
use super::known::Known;
use super::skew::Skew;
use super::tunnel::Tunnel;
use crate::clock::Clock;
use crate::net::Dialler;
use crate::tunnel::control::Down;

use heard::Heard;
pub(super) use task::Task;

/// The wall clock is looked at this often: it may be set, and a machine may sleep over the end.
const LOOK: Duration = Duration::from_secs(10);

/// What tunnels and dialling know of renewal.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) identity: Arc<CurrentIdentity>,
    pub(super) clock: Clock,
    tunnels: Mutex<Vec<Weak<Tunnel>>>,
    heard: Heard,
    numbers: AtomicU64,
    wake: Notify,
    /// A gateway refused the certificate as ended or unknown.
    refused: AtomicBool,
    skew: Skew,
}

/// Why this connector can never be renewed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Final {
    /// It was removed.
    Removed,
    /// What the gateway said: only a new token helps.
    Register(String),
}

impl Renewal {
    /// The tunnels' end, and the task that does the work.
    pub(super) fn new(
        identity: Arc<CurrentIdentity>,
        clock: Clock,
        state: StateFolder,
        dialler: Dialler,
        known: Arc<Known>,
    ) -> (Arc<Self>, Task) {
        let renewal = Arc::new(Self {
            identity,
            clock,
            tunnels: Mutex::default(),
            heard: Heard::default(),
            numbers: AtomicU64::new(0),
            wake: Notify::new(),
            refused: AtomicBool::new(false),
            skew: Skew::default(),
        });
        let task = Task::new(Arc::clone(&renewal), state, dialler, known);
        (renewal, task)
    }

    /// A gateway said welcome over this tunnel, and what time it is there.
    pub(super) fn welcomed(&self, tunnel: &Arc<Tunnel>, time: i64) {
        self.skew.measure(self.clock.now().0, time);
        let mut tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        tunnels.retain(|known| known.strong_count() > 0);
        tunnels.push(Arc::downgrade(tunnel));
        drop(tunnels);
        self.wake.notify_one();
    }

    /// How far the clock here is ahead of a gateway's, in seconds, as measured last.
    pub(super) fn clock_skew(&self) -> Option<i64> {
        self.skew.last()
    }

    /// What tells a tunnel from all others, before it and after.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A gateway said something about the identity, over the tunnel of this number.
    pub(super) fn hear(&self, tunnel: u64, message: Down) {
        self.heard.hear(tunnel, message);
    }

    /// A gateway refused the certificate in a handshake.
    pub(super) fn refused(&self) {
        self.refused.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Waits until the certificate in use has not ended by the clock here: a handshake with it is
    /// in vain before. Another certificate may come, or a clock that was ahead be set right.
    pub(super) async fn usable(&self) {
        let mut changes = self.identity.changes();
        while self.clock.now() >= self.identity.identity().not_after {
            self.wake.notify_one();
            // The sender lives as long as this; a clock tells nobody that it was set.
            let _ = timeout(LOOK, changes.changed()).await;
        }
    }

    fn live(&self) -> Vec<Arc<Tunnel>> {
        let tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        let live = tunnels.iter().filter_map(Weak::upgrade);
        live.filter(|tunnel| !tunnel.over.is_cancelled()).collect()
    }
}
