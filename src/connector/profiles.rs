//! Profiles of applications, as the control stream brought them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::tunnel::{Profile, ProfileHash};

/// A request may overtake its profile: both travel on one connection, but not on one stream.
const PATIENCE: Duration = Duration::from_secs(1);

/// Profiles one tunnel may bring: a gateway that changes its mind for ever does not fill the memory.
const MOST: usize = 10_000;

/// A profile has another hash than it was sent under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway sent a profile under a wrong hash")]
pub(super) struct WrongHash;

/// The profiles one tunnel has brought.
#[derive(Debug)]
pub(super) struct Profiles {
    known: watch::Sender<HashMap<ProfileHash, Arc<Profile>>>,
}

impl Profiles {
    pub(super) fn new() -> Self {
        Self {
            known: watch::Sender::new(HashMap::new()),
        }
    }

    /// Learns a profile.
    ///
    /// # Errors
    /// Where its name does not fit it: requests that name it could not be served.
    pub(super) fn learn(&self, hash: ProfileHash, profile: Profile) -> Result<(), WrongHash> {
        if profile.hash() != hash {
            return Err(WrongHash);
        }
        self.known.send_modify(|known| {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(hash, Arc::new(profile));
        });
        Ok(())
    }

    /// The profile of this name, waiting a second for it.
    pub(super) async fn get(&self, hash: &ProfileHash) -> Option<Arc<Profile>> {
        let mut known = self.known.subscribe();
        let found = known.wait_for(|known| known.contains_key(hash));
        let known = tokio::time::timeout(PATIENCE, found).await.ok()?.ok()?;
        known.get(hash).cloned()
    }
}

#[cfg(test)]
mod tests {
    use crate::model::BackendTimeouts;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_a_second_for_its_profile() {
        let profiles = Arc::new(Profiles::new());
        let profile = Profile::new(&BackendTimeouts::default());
        assert!(profiles.get(&profile.hash()).await.is_none());
        let waiting = tokio::spawn({
            let (profiles, hash) = (Arc::clone(&profiles), profile.hash());
            async move { profiles.get(&hash).await }
        });
        tokio::task::yield_now().await;
        profiles.learn(profile.hash(), profile.clone()).unwrap();
        assert_eq!(waiting.await.unwrap().as_deref(), Some(&profile));
    }

    #[tokio::test(start_paused = true)]
    async fn a_profile_under_a_wrong_hash_is_not_taken() {
        let profiles = Profiles::new();
        let hash = ProfileHash::from_field("00");
        let taken = profiles.learn(hash.clone(), Profile::new(&BackendTimeouts::default()));
        assert_eq!(taken, Err(WrongHash));
        assert!(profiles.get(&hash).await.is_none());
    }
}
