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

/// What the gateway sent is no profile.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadProfile {
    #[error("the gateway sent a profile under a wrong hash")]
    WrongHash,
    #[error("the gateway sent a profile that cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The gateway counts on what it told, so none is forgotten: the next tunnel is told anew.
    #[error("the gateway sent more than {MOST} profiles over this tunnel")]
    TooMany,
}

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
    /// Where its name does not fit it, it cannot be read, or there are too many: requests that name
    /// it could not be served.
    pub(super) fn learn(&self, hash: ProfileHash, text: &str) -> Result<(), BadProfile> {
        if ProfileHash::of(text) != hash {
            return Err(BadProfile::WrongHash);
        }
        let profile = Profile::parse(text)?;
        let mut full = false;
        self.known.send_modify(|known| {
            full = known.len() >= MOST && !known.contains_key(&hash);
            if !full {
                known.insert(hash, Arc::new(profile));
            }
        });
        if full {
            Err(BadProfile::TooMany)
        } else {
            Ok(())
        }
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
    use crate::model::{BackendProtocol, BackendTimeouts};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_a_second_for_its_profile() {
        let profiles = Arc::new(Profiles::new());
        let profile = Profile::new(&BackendTimeouts::default(), BackendProtocol::default());
        let (text, hash) = (profile.text(), ProfileHash::of(&profile.text()));
        assert!(profiles.get(&hash).await.is_none());
        let waiting = tokio::spawn({
            let (profiles, hash) = (Arc::clone(&profiles), hash.clone());
            async move { profiles.get(&hash).await }
        });
        tokio::task::yield_now().await;
        profiles.learn(hash, &text).unwrap();
        assert_eq!(waiting.await.unwrap().as_deref(), Some(&profile));
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_forgotten_and_those_beyond_the_most_are_not_taken() {
        let profiles = Profiles::new();
        let told: Vec<_> = (0..=MOST)
            .map(|n| {
                let timeouts = BackendTimeouts {
                    idle: Duration::from_millis(n as u64 + 1),
                    ..BackendTimeouts::default()
                };
                let text = Profile::new(&timeouts, BackendProtocol::default()).text();
                (ProfileHash::of(&text), text)
            })
            .collect();
        for (hash, text) in &told[..MOST] {
            profiles.learn(hash.clone(), text).unwrap();
        }
        let (hash, text) = &told[MOST];
        let taken = profiles.learn(hash.clone(), text);
        assert!(matches!(taken, Err(BadProfile::TooMany)), "{taken:?}");
        let (first, text) = &told[0];
        assert!(profiles.get(first).await.is_some());
        profiles.learn(first.clone(), text).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_profile_under_a_wrong_hash_and_one_without_sense_are_not_taken() {
        let profiles = Profiles::new();
        let hash = ProfileHash::from_field("00");
        let taken = profiles.learn(
            hash.clone(),
            &Profile::new(&BackendTimeouts::default(), BackendProtocol::default()).text(),
        );
        assert!(matches!(taken, Err(BadProfile::WrongHash)));
        assert!(profiles.get(&hash).await.is_none());
        let taken = profiles.learn(ProfileHash::of("{}"), "{}");
        assert!(matches!(taken, Err(BadProfile::Unreadable(_))));
    }
}
