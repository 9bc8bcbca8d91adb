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

mod ask;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::channel;
use super::current::CurrentIdentity;
use super::identity::{Identity, StateFolder};
use super::skew::Skew;
use super::tunnel::Tunnel;
use crate::clock::{Clock, Timestamp};
use crate::model::Endpoint;
use crate::net::Dialler;
use crate::telemetry::printable;
use crate::tunnel::control::{Down, Up};
use crate::tunnel::enrol::RefusalCode;

/// How long a gateway may take to answer over a tunnel.
const ANSWER: Duration = Duration::from_secs(10);

/// How many tunnels are asked before the attempt counts as failed.
const TUNNELS: usize = 3;

/// The wall clock is looked at this often: it may be set, and a machine may sleep over the end.
const LOOK: Duration = Duration::from_secs(10);

/// The longest pause between two attempts, in seconds; less where a whole life is short.
const PAUSE_MOST: u64 = 600;

/// The longest pause while the certificate has ended and nothing is served, in seconds.
const PAUSE_ENDED: u64 = 60;

/// Renewals because of a new authority are spread over this time, in seconds; less where a whole
/// life is short.
const SPREAD_MOST: u64 = 300;

/// Messages of gateways that may wait for the task.
const QUEUE: usize = 16;

/// The longest reason of a gateway that is shown.
const REASON: usize = 512;

/// What tunnels and dialling know of renewal.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) identity: Arc<CurrentIdentity>,
    pub(super) clock: Clock,
    tunnels: Mutex<Vec<Weak<Tunnel>>>,
    heard: mpsc::Sender<Down>,
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

/// Why an attempt brought nothing.
enum Failure {
    /// There is nobody to ask yet.
    NoTunnel,
    Again(String),
    Final(Final),
}

impl Renewal {
    /// The tunnels' end, and the task that does the work.
    pub(super) fn new(
        identity: Arc<CurrentIdentity>,
        clock: Clock,
        state: StateFolder,
        dialler: Dialler,
        gateways: Vec<Endpoint>,
    ) -> (Arc<Self>, Task) {
        let (heard, messages) = mpsc::channel(QUEUE);
        let renewal = Arc::new(Self {
            identity,
            clock,
            tunnels: Mutex::default(),
            heard,
            wake: Notify::new(),
            refused: AtomicBool::new(false),
            skew: Skew::default(),
        });
        let task = Task {
            due: due(&renewal.identity.identity()),
            renewal: Arc::clone(&renewal),
            state,
            dialler,
            gateways,
            messages,
            failures: 0,
            not_before: Instant::now(),
            said: String::new(),
            since: Instant::now(),
        };
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

    /// A gateway said something about the identity.
    pub(super) fn hear(&self, message: Down) {
        // More than the task can take is not news; what is lost is asked for again.
        let _ = self.heard.try_send(message);
    }

    /// A gateway refused the certificate in a handshake.
    pub(super) fn refused(&self) {
        self.refused.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Waits until the certificate in use has not ended by the clock here: a handshake with it is
    /// in vain before.
    pub(super) async fn usable(&self) {
        let mut changes = self.identity.changes();
        while self.clock.now() >= self.identity.identity().not_after {
            self.wake.notify_one();
            // The sender lives as long as this.
            let _ = changes.changed().await;
        }
    }

    fn live(&self) -> Vec<Arc<Tunnel>> {
        let tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        let live = tunnels.iter().filter_map(Weak::upgrade);
        live.filter(|tunnel| !tunnel.over.is_cancelled()).collect()
    }
}

/// The task of renewal.
#[derive(Debug)]
pub(super) struct Task {
    renewal: Arc<Renewal>,
    state: StateFolder,
    dialler: Dialler,
    gateways: Vec<Endpoint>,
    messages: mpsc::Receiver<Down>,
    due: Timestamp,
    failures: u32,
    /// Not to be tried before.
    not_before: Instant,
    said: String,
    /// Since when the identity in use is in use.
    since: Instant,
}

impl Task {
    /// Renews until `stop`, or until it is clear that nobody will ever renew it.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Option<Final> {
        let renewal = Arc::clone(&self.renewal);
        loop {
            let next = self.next();
            tokio::select! {
                Some(message) = self.messages.recv() => {
                    if let Down::Authorities { authorities } = message {
                        self.trust(&authorities);
                    }
                }
                () = tokio::time::sleep_until(next) => {}
                () = renewal.wake.notified() => {}
                () = stop.cancelled() => return None,
            }
            if !self.is_due() || Instant::now() < self.not_before {
                continue;
            }
            let attempt = tokio::select! {
                attempt = self.attempt() => attempt,
                () = stop.cancelled() => return None,
            };
            match attempt {
                Ok(()) => {
                    self.failures = 0;
                    self.said.clear();
                }
                Err(Failure::NoTunnel) => {}
                Err(Failure::Again(reason)) => self.failed(reason),
                Err(Failure::Final(why)) => return Some(why),
            }
        }
    }

    fn is_due(&self) -> bool {
        let now = self.renewal.clock.now();
        now >= self.due || self.has_ended() || self.is_refused()
    }

    fn has_ended(&self) -> bool {
        self.renewal.clock.now() >= self.renewal.identity.identity().not_after
    }

    /// A gateway whose own clock is wrong refuses the next certificate too: one that is new is not
    /// renewed for it again at once.
    fn is_refused(&self) -> bool {
        let young = Duration::from_secs((self.life() / 10).min(3600));
        self.renewal.refused.load(Ordering::Relaxed) && self.since.elapsed() >= young
    }

    fn life(&self) -> u64 {
        self.renewal.identity.identity().life()
    }

    /// When to look again. The clock may be set, so a far end is not slept for in one piece.
    fn next(&self) -> Instant {
        let left = self.due.0.saturating_sub(self.renewal.clock.now().0);
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(LOOK);
        let now = Instant::now();
        // What is due and has nobody to ask waits for a tunnel, and looks now and then.
        let left = if left.is_zero() {
            Duration::from_secs(1)
        } else {
            left
        };
        (now + left).max(self.not_before)
    }

    fn failed(&mut self, reason: String) {
        let most = if self.has_ended() {
            PAUSE_ENDED
        } else {
            PAUSE_MOST
        };
        let most = (self.life() / 30).clamp(1, most);
        let pause = Duration::from_secs((1_u64 << self.failures.min(16)).min(most));
        self.failures = self.failures.saturating_add(1);
        // Between a half and the whole: a fleet does not come back in step.
        let half = pause / 2;
        self.not_before = Instant::now() + half + fraction(half);
        // The same reason again and again is said once.
        if self.said != reason {
            let until = self.renewal.identity.identity().not_after.to_rfc3339();
            tracing::warn!(reason, until, "certificate not renewed; trying again");
            self.said = reason;
        }
    }

    async fn attempt(&mut self) -> Result<(), Failure> {
        let needs_late = self.has_ended() || self.is_refused();
        match self.over_tunnel().await {
            Ok(()) => Ok(()),
            Err(_) if needs_late => self.late().await,
            Err(failure) => Err(failure),
        }
    }
}

/// When to renew: at two thirds of the life, and up to a fifteenth of it before that, so that
/// connectors that were enrolled together do not come together.
fn due(identity: &Identity) -> Timestamp {
    let life = identity.life();
    let early = fraction(Duration::from_secs(life / 15));
    let two_thirds = Duration::from_secs(life / 3 * 2 + life % 3 * 2 / 3);
    identity.issued.plus(two_thirds).minus(early)
}

/// A random part of a time, of whole milliseconds.
fn fraction(of: Duration) -> Duration {
    let millis = u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
    // Without randomness all come in step, which is no reason not to come.
    let random = crate::certs::random().map_or(0, u64::from_ne_bytes);
    Duration::from_millis(random % millis.saturating_add(1))
}

#[cfg(test)]
mod tests;
