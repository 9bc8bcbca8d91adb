//! Connectors that are on their way back to a gateway that has just started.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::model::GroupName;
use crate::store::{Store, StoreError};

/// How long after its start a gateway waits for connectors that it knows.
const WAIT: Duration = Duration::from_secs(10);

/// Requests that may wait at once; more are told at once that nobody is there.
const WAITERS: usize = 1000;

/// Which groups have connectors in the store, and until when they are waited for.
#[derive(Debug)]
pub(super) struct Returning {
    groups: HashSet<GroupName>,
    until: Instant,
    waiters: Arc<Semaphore>,
}

impl Returning {
    /// What the store knows at the gateway's start.
    pub(super) async fn known_to(store: &dyn Store) -> Result<Self, StoreError> {
        let known = store.connectors().await?.into_iter();
        let groups = known.filter(|c| c.removed.is_none()).map(|c| c.group);
        Ok(Self {
            groups: groups.collect(),
            until: Instant::now() + WAIT,
            waiters: Arc::new(Semaphore::new(WAITERS)),
        })
    }

    /// Until when to wait for a connector of these groups; `None` where nobody is to be waited for,
    /// or too many wait already. The permit is held while waiting.
    pub(super) fn wait_for(&self, groups: &[GroupName]) -> Option<(Instant, OwnedSemaphorePermit)> {
        if Instant::now() >= self.until || !groups.iter().any(|g| self.groups.contains(g)) {
            return None;
        }
        let permit = Arc::clone(&self.waiters).try_acquire_owned().ok()?;
        Some((self.until, permit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupName {
        GroupName::new(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn known_groups_are_waited_for_a_while_and_by_so_many() {
        let returning = Returning {
            groups: HashSet::from([group("hq")]),
            until: Instant::now() + WAIT,
            waiters: Arc::new(Semaphore::new(2)),
        };
        assert!(returning.wait_for(&[group("other")]).is_none());
        let both = [group("other"), group("hq")];
        let first = returning.wait_for(&both).unwrap();
        let _second = returning.wait_for(&both).unwrap();
        assert!(returning.wait_for(&both).is_none());
        drop(first);
        assert!(returning.wait_for(&both).is_some());
        tokio::time::advance(WAIT).await;
        assert!(returning.wait_for(&both).is_none());
    }
}
