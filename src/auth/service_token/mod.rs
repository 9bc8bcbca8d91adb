//! Tokens of the gateway's own, which programs show in place of a sign-in.
//!
//! The store has the digest of the secret alone. A gateway keeps all tokens in memory and looks into the
//! store's change log; where it cannot for a while, no token is believed any more.

mod secret;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::{Clock, Timestamp};
use crate::http::{CanonicalPath, canonical};
use crate::model::{ApplicationName, PathRule};
use crate::store::{ServiceTokenRecord, Store, StoreError};
use crate::telemetry::audit::{Actor, Record};

pub use secret::ServiceTokenSecret;

/// Until the store is asked again where it gave no answer.
const AGAIN: Duration = Duration::from_millis(500);

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(5);

/// It is looked so often even where nothing seems to have changed: that it can be is what counts.
const CONFIRM: Duration = Duration::from_secs(10);

/// How often, and for how long, it is looked because of a token that is not known.
const SOON: Duration = Duration::from_millis(200);

/// How long tokens are believed without a look.
const GRACE: Duration = Duration::from_secs(15 * 60);

/// How often the store is told of uses.
const TELL: Duration = Duration::from_secs(5);

/// Uses of one token are noted this often at most, seconds.
const NOTED_EVERY: i64 = 60;

/// What is wrong with a service token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceTokenError {
    /// It begins with something else.
    #[error("it is no service token: one begins with `apxs1_`")]
    Form,
    /// It is not whole.
    #[error("it is incomplete or was changed on the way")]
    Damaged,
    /// No gateway on this store made it, or it was revoked long ago.
    #[error("it is none of this gateway's: `appproxy gateway service-token list` shows them")]
    Unknown,
    /// It was revoked.
    #[error("it was revoked")]
    Revoked,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
}

/// A token that counts, or did.
pub struct ServiceToken {
    /// Its public identifier.
    pub id: Arc<str>,
    /// What rules know it by.
    pub name: Arc<str>,
    /// The applications it is for.
    applications: Vec<ApplicationName>,
    /// The paths it is for; empty: every path.
    paths: Vec<PathRule>,
    /// When it stops to work.
    pub expires: Timestamp,
    /// Cancelled when it does earlier than that.
    pub revoked: CancellationToken,
    /// When its use was noted last, in seconds.
    noted: AtomicI64,
}

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceToken({} {})", self.id, self.name)
    }
}

impl ServiceToken {
    /// Whether it is for this path of this application, octet by octet. SECURITY: where it is for some
    /// paths alone, none that servers read in several ways is among them, whatever the host is.
    #[must_use]
    pub fn covers(&self, application: &ApplicationName, path: CanonicalPath<'_>) -> bool {
        let path = path.as_str();
        let covers = |own: &PathRule| own.covers(path);
        self.applications.contains(application)
            && (self.paths.is_empty()
                || (canonical(path, true).is_ok() && self.paths.iter().any(covers)))
    }

    /// Whether it is for some paths alone.
    #[must_use]
    pub const fn goes_by_path(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Whether it counts.
    fn check(&self, now: Timestamp) -> Result<(), ServiceTokenError> {
        if self.revoked.is_cancelled() {
            return Err(ServiceTokenError::Revoked);
        }
        match now < self.expires {
            true => Ok(()),
            false => Err(ServiceTokenError::Expired),
        }
    }

    /// `None` where it has a path that is none, which none of ours has.
    fn of(record: &ServiceTokenRecord) -> Option<Self> {
        let paths = record.paths.iter().map(|path| PathRule::new(path));
        let revoked = CancellationToken::new();
        if record.revoked.is_some() {
            revoked.cancel();
        }
        Some(Self {
            id: record.id.as_str().into(),
            name: record.name.as_str().into(),
            applications: record.applications.clone(),
            paths: paths.collect::<Option<_>>()?,
            expires: record.expires,
            revoked,
            noted: AtomicI64::new(i64::MIN),
        })
    }
}

/// All service tokens of a store, as a gateway knows them. What goes on in the background ends with it.
#[derive(Debug)]
pub struct ServiceTokens {
    shared: Arc<Shared>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    known: ArcSwap<HashMap<[u8; 32], Arc<ServiceToken>>>,
    /// The change they are as of, and when that was confirmed.
    heard: Mutex<(Option<u64>, Instant)>,
    used: Mutex<HashMap<Arc<str>, Timestamp>>,
    /// When it was looked last because of a token that is not known.
    looked: Mutex<Option<Instant>>,
}

impl ServiceTokens {
    /// Reads those of a store.
    ///
    /// # Errors
    /// Where it gives no answer.
    pub async fn open(store: Arc<dyn Store>, clock: Clock) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            store,
            clock,
            known: ArcSwap::default(),
            heard: Mutex::new((None, Instant::now())),
            used: Mutex::default(),
            looked: Mutex::default(),
        });
        shared.look().await?;
        let (following, keeping) = (Arc::clone(&shared), Arc::clone(&shared));
        Ok(Self {
            shared,
            _tasks: [
                AbortOnDropHandle::new(tokio::spawn(following.follow())),
                AbortOnDropHandle::new(tokio::spawn(keeping.keep())),
            ],
        })
    }

    /// The token that was shown, which may be newer than what was heard of last; `None` where none can be
    /// told at the moment.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub async fn find_or_look(
        &self,
        shown: &str,
    ) -> Result<Option<Arc<ServiceToken>>, ServiceTokenError> {
        let found = self.find(shown);
        // SECURITY: strangers have the store asked now and then, and not each time.
        if found.as_ref().err() == Some(&ServiceTokenError::Unknown) && self.shared.may_look() {
            let _ = timeout(SOON, self.shared.look()).await;
            return self.find(shown);
        }
        found
    }

    /// The token that was shown; `None` where none can be told at the moment.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn find(&self, shown: &str) -> Result<Option<Arc<ServiceToken>>, ServiceTokenError> {
        let secret = ServiceTokenSecret::parse(shown)?;
        let shared = &self.shared;
        if shared.heard().1.elapsed() > GRACE {
            return Ok(None);
        }
        let known = shared.known.load();
        let token = known
            .get(&secret.hash())
            .ok_or(ServiceTokenError::Unknown)?;
        let now = shared.clock.now();
        token.check(now)?;
        let noted = token.noted.load(Ordering::Relaxed);
        if now.0.saturating_sub(noted).saturating_abs() >= NOTED_EVERY {
            token.noted.store(now.0, Ordering::Relaxed);
            let mut used = shared.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.insert(Arc::clone(&token.id), now);
        }
        Ok(Some(Arc::clone(token)))
    }
}

impl Shared {
    fn heard(&self) -> std::sync::MutexGuard<'_, (Option<u64>, Instant)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody who shows what is not known may have the store asked.
    fn may_look(&self) -> bool {
        let mut last = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|at| at.elapsed() >= SOON);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    /// Looks whether there are others by now.
    async fn look(&self) -> Result<(), StoreError> {
        // Before the tokens are read: what comes in between is read twice, and not never.
        let last = self.store.last_change().await?;
        if self.heard().0 != Some(last) {
            self.replace(&self.store.service_tokens().await?);
        }
        *self.heard() = (Some(last), Instant::now());
        Ok(())
    }

    /// Takes what the store has, and cuts what does not count any more.
    fn replace(&self, records: &[ServiceTokenRecord]) {
        let before = self.known.load();
        let mut next = HashMap::new();
        for record in records {
            let Some(token) = ServiceToken::of(record) else {
                tracing::error!(token = %record.id, "a service token in the store has a path that is none: it does not count");
                continue;
            };
            let known = before.get(&record.secret_hash);
            let token = match known {
                Some(known) if !token.revoked.is_cancelled() => Arc::clone(known),
                _ => Arc::new(token),
            };
            next.insert(record.secret_hash, token);
        }
        for (hash, token) in before.iter() {
            let counts = next
                .get(hash)
                .is_some_and(|token| !token.revoked.is_cancelled());
            if !counts && !token.revoked.is_cancelled() {
                tracing::info!(token = %token.id, name = %token.name, "service token revoked");
                Record::new("service_token_ended", Actor::Gateway)
                    .with("token", &*token.id)
                    .with("name", &*token.name)
                    .with("cause", "it was revoked")
                    .write();
                token.revoked.cancel();
            }
        }
        self.known.store(Arc::new(next));
    }

    /// Follows the store.
    async fn follow(self: Arc<Self>) {
        let mut failing = false;
        loop {
            // The wait begins before the look, so that nothing falls between the two.
            let changed = self.store.changed();
            let error = match timeout(LOOK, self.look()).await {
                Ok(Ok(())) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("service tokens are heard of again");
                    }
                    let _ = timeout(CONFIRM, changed).await;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if !std::mem::replace(&mut failing, true) {
                let grace = GRACE.as_secs();
                tracing::error!(%error, "service tokens cannot be read: revocations take no effect, and after {grace} s none is believed any more");
            }
            sleep(AGAIN).await;
        }
    }

    /// Tells the store of uses.
    async fn keep(self: Arc<Self>) {
        let mut ticks = interval(TELL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell().await;
        }
    }

    /// Tells the store of all uses that it was not told of.
    async fn tell(&self) {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return;
        }
        let told = used.iter().map(|(id, at)| (id.to_string(), *at)).collect();
        if let Err(error) = self.store.touch_service_tokens(told).await {
            tracing::warn!(%error, "the use of service tokens cannot be noted");
            let mut newer = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, at) in used {
                newer.entry(id).or_insert(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Memory;
    use crate::store::{NewServiceToken, ServiceTokenStore as _};

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[tokio::test]
    async fn a_token_counts_until_it_is_revoked_or_ends() {
        let store = Arc::new(Memory::default());
        let clock = Clock::manual(NOW);
        let secret = ServiceTokenSecret::new().unwrap();
        let app = |name: &str| ApplicationName::new(name).unwrap();
        let new = NewServiceToken {
            id: secret.id(),
            name: "ci".to_owned(),
            secret_hash: secret.hash(),
            applications: vec![app("wiki")],
            paths: vec!["/api".to_owned()],
            created: NOW,
            expires: NOW.plus(Duration::from_secs(100)),
        };
        store.create_service_token(new).await.unwrap();
        let tokens = ServiceTokens::open(store.clone(), clock.clone())
            .await
            .unwrap();
        let shown = secret.encode();
        let found = tokens.find(&shown).unwrap().unwrap();
        for (application, path, expected) in [
            ("wiki", "/api", true),
            ("wiki", "/api/x", true),
            ("wiki", "/apis", false),
            ("wiki", "/API/x", false),
            ("wiki", "/", false),
            ("crm", "/api", false),
            // Whatever the host is, what servers read in several ways is none of them.
            ("wiki", "/api/../admin", false),
            ("wiki", "/api/%2e%2e/admin", false),
            ("wiki", "/api/..%2fadmin", false),
            ("wiki", "/api/..;/admin", false),
            ("wiki", "/api/..\\admin", false),
            ("wiki", "/api/;%3f/../admin", false),
        ] {
            let clear = canonical(path, false).unwrap();
            assert_eq!(found.covers(&app(application), clear), expected, "{path}");
        }
        let other = ServiceTokenSecret::new().unwrap().encode();
        assert_eq!(tokens.find(&other).err(), Some(ServiceTokenError::Unknown));
        tokens.shared.tell().await;
        assert_eq!(
            store.service_tokens().await.unwrap()[0].last_used,
            Some(NOW)
        );

        clock.set(NOW.plus(Duration::from_secs(100)));
        assert_eq!(tokens.find(&shown).err(), Some(ServiceTokenError::Expired));
        clock.set(NOW);
        store.revoke_service_tokens("ci", NOW).await.unwrap();
        tokens
            .shared
            .replace(&store.service_tokens().await.unwrap());
        assert!(found.revoked.is_cancelled(), "what lives on it is cut");
        assert_eq!(tokens.find(&shown).err(), Some(ServiceTokenError::Revoked));
        tokens.shared.replace(&[]);
        assert_eq!(tokens.find(&shown).err(), Some(ServiceTokenError::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn rule_01_tokens_are_not_believed_for_long_without_the_store() {
        let store = Arc::new(Memory::default());
        let clock = Clock::manual(NOW);
        let secret = ServiceTokenSecret::new().unwrap();
        let new = NewServiceToken {
            id: secret.id(),
            name: "ci".to_owned(),
            secret_hash: secret.hash(),
            applications: Vec::new(),
            paths: Vec::new(),
            created: NOW,
            expires: NOW.plus(GRACE * 10),
        };
        store.create_service_token(new).await.unwrap();
        let tokens = ServiceTokens::open(store.clone(), clock).await.unwrap();
        let shown = secret.encode();
        store.break_down();
        assert!(tokens.shared.look().await.is_err());
        tokio::time::advance(GRACE).await;
        assert!(tokens.find(&shown).unwrap().is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(tokens.find(&shown).unwrap().is_none(), "it cannot be told");
    }
}
