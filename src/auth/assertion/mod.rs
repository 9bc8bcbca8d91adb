//! The gateway's signed word about a person, for an application: a JWT (RFC 7519) with ES256.
//!
//! | what | file |
//! |---|---|
//! | the keys that all gateways on a store share: made, rotated, published | `keys` |
//! | what is said, and how much of it fits into a field | `claims` |
//! | what was signed a moment ago, and is said again | `kept` |

mod claims;
mod kept;
mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::certs::RandomError;
use crate::clock::Clock;
use crate::model::{Assertion, Person};
use crate::store::{Store, StoreError};

pub use kept::Kept;
pub use keys::{SECRET, SigningKeys};

/// How long an application may take it.
pub const LIFE: Duration = Duration::from_secs(5 * 60);

/// How long a request waits for keys that are not known yet.
const WAIT: Duration = Duration::from_millis(500);

/// How often it is looked whether keys are due, whatever the change log says.
const LOOK: Duration = Duration::from_secs(600);

/// Until the store is asked again where that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// Signs for all applications of one process.
#[derive(Debug)]
pub struct Signer {
    store: Arc<dyn Store>,
    clock: Clock,
    /// None before somebody needs them.
    keys: watch::Sender<Option<Arc<SigningKeys>>>,
    look: Notify,
}

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// The store gives no keys.
    #[error("the keys that assertions are signed with are not known: the store has given none yet")]
    NoKeys,
    /// The name of the person, or of the application, is longer than a field may be.
    #[error("an assertion without any claim that can be left out is longer than 8 KiB")]
    TooLong,
    /// The key signs nothing.
    #[error("the key does not sign")]
    Key,
    /// There are no random octets.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Signer {
    /// One that knows no keys yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            keys: watch::Sender::new(None),
            look: Notify::new(),
        }
    }

    /// Has the keys looked at now: they were rotated, or somebody needs them who did not before.
    pub fn look(&self) {
        self.look.notify_one();
    }

    /// Keeps the keys as the store has them, and rotates them when it is time, as long as `is_needed`
    /// says that anything is signed; never ends.
    pub async fn follow(&self, is_needed: impl Fn() -> bool) {
        let mut failing = false;
        loop {
            let mut pause = LOOK;
            if is_needed() {
                match SigningKeys::current(&*self.store, self.clock.now()).await {
                    Ok(keys) => {
                        if std::mem::take(&mut failing) {
                            tracing::info!(
                                "the keys that assertions are signed with can be read again"
                            );
                        }
                        self.keys.send_replace(Some(Arc::new(keys)));
                    }
                    Err(error) => {
                        pause = AGAIN;
                        if !std::mem::replace(&mut failing, true) {
                            self.say(&error);
                        }
                    }
                }
            }
            let _ = timeout(pause, self.look.notified()).await;
            if failing {
                // However often somebody asks, the store is not.
                sleep(AGAIN).await;
            }
        }
    }

    fn say(&self, error: &StoreError) {
        let known = self.keys.borrow().is_some();
        let so = match known {
            true => "those that are known go on",
            false => "applications with `assertion` are not served until they can",
        };
        tracing::error!(%error, "the keys that assertions are signed with cannot be read: {so}");
    }

    /// The keys; where they are not known yet, what asks waits for half a second.
    ///
    /// # Errors
    /// Where they are not known then.
    pub async fn keys(&self) -> Result<Arc<SigningKeys>, NotSigned> {
        if let Some(keys) = &*self.keys.borrow() {
            return Ok(Arc::clone(keys));
        }
        let mut known = self.keys.subscribe();
        self.look();
        let known = timeout(WAIT, known.wait_for(Option::is_some)).await;
        let keys = known
            .ok()
            .and_then(Result::ok)
            .and_then(|keys| keys.clone());
        keys.ok_or(NotSigned::NoKeys)
    }

    /// What is said of a person to an application: what was signed for it within the last minute, where that
    /// is kept, or a new one.
    ///
    /// # Errors
    /// Where nothing can be signed: the application is not to be asked then.
    pub async fn assertion(
        &self,
        settings: &Arc<Assertion>,
        person: &Person,
        kept: Option<&Kept>,
    ) -> Result<HeaderValue, NotSigned> {
        let now = self.clock.now();
        if let Some(value) = kept.and_then(|kept| kept.get(settings, now)) {
            return Ok(value);
        }
        let keys = self.keys().await?;
        let (said, left_out) = claims::said(settings, person, now)?;
        if !left_out.is_empty() {
            tracing::warn!(
                audience = %settings.audience,
                subject = %person.key.subject,
                left_out = left_out.join(" "),
                "what is known of a person is longer than the 8 KiB of an assertion: claims are left out of it"
            );
        }
        let value = keys.sign(&said, now).ok_or(NotSigned::Key)?;
        if let Some(kept) = kept {
            kept.keep(settings, &value, now);
        }
        Ok(value)
    }
}
