//! How many connections a listener holds at once, and which of them makes place for a new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    silent: Mutex<Silent>,
}

/// The connections that have sent no whole head, by age.
#[derive(Debug, Default)]
struct Silent {
    next: u64,
    oldest_first: BTreeMap<u64, Arc<Notify>>,
}

/// The place of one connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// So many.
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(count)),
            silent: Mutex::default(),
        })
    }

    fn silent(&self) -> MutexGuard<'_, Silent> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place. Where all are taken, the oldest connection that has sent no whole head leaves its
    /// own; where every one of them has, the first to end.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Place> {
        let free = Arc::clone(&self.free);
        let permit = match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                // SECURITY: whoever opens connections and says nothing would otherwise keep out
                // those who ask how this process is.
                if let Some((_, leave)) = self.silent().oldest_first.pop_first() {
                    leave.notify_one();
                }
                // It is never closed.
                free.acquire_owned().await.ok()?
            }
        };
        let leave = Arc::new(Notify::new());
        let mut silent = self.silent();
        let number = silent.next;
        silent.next += 1;
        silent.oldest_first.insert(number, Arc::clone(&leave));
        drop(silent);
        Some(Place {
            places: Arc::clone(self),
            number,
            leave,
            _permit: permit,
        })
    }
}

impl Place {
    /// A whole head is here: the connection may stay until it is answered.
    pub(super) fn has_spoken(&self) {
        self.places.silent().oldest_first.remove(&self.number);
    }

    /// Waits until another connection needs this place.
    pub(super) async fn wanted(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.has_spoken();
    }
}
