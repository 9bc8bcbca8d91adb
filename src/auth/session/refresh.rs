//! One at a time asks the provider again: in this process, and among all on the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::live::{Root, Session};
use super::sign_in::SignIn;
use super::{Sessions, Shared};
use crate::store::{Lease, StoreError};

/// How long a provider may take, and then it has failed. The store's lease is half as long again.
const ASK: Duration = Duration::from_secs(20);

/// How long a request waits for it; then it goes on with what was known.
const WAIT: Duration = Duration::from_secs(5);

/// How often the store is asked whether another process is done.
const LOOK: Duration = Duration::from_millis(200);

/// How often the store is asked to keep what a provider said.
const STORE_TRIES: usize = 5;

/// A provider that failed is left alone for so long.
const PAUSE: Duration = Duration::from_secs(10);

/// What the provider said.
#[derive(Debug)]
pub enum Asked {
    /// What holds from now on; the refresh token in it takes the old one's place.
    Renewed(Box<SignIn>),
    /// It will not have this any more (`invalid_grant`), or says it is somebody else.
    Refused,
    /// It gave no answer that says anything.
    Failed,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// The session has what the provider said just now, here or to another process.
    Renewed,
    /// Nothing new: the session goes on until its own end.
    Old,
    /// The session has been revoked.
    Ended,
}

impl Sessions {
    /// Asks the provider again for the sign-in of a session, unless somebody is doing that already,
    /// and waits 5 seconds at most; not at all where it failed last, so that a provider that is down
    /// holds up one request and not each. What is asked goes on when the request that wanted it is
    /// gone: a refresh token that rotates would be lost.
    ///
    /// `ask` is given what is known to be the newest, and 20 seconds.
    pub async fn refresh<A, F>(&self, session: &Session, ask: A) -> Refreshed
    where
        A: FnOnce(Arc<SignIn>) -> F + Send + 'static,
        F: Future<Output = Asked> + Send + 'static,
    {
        let root = &session.root;
        let before = root.current.load().version;
        let failed = root.renewal().not_before.is_some();
        if let Some(mut done) = self.begin_refresh(session, ask)
            && !failed
        {
            // Nothing is ever sent: it ends when the sender is dropped.
            let _ = timeout(WAIT, done.changed()).await;
        }
        outcome(root, before)
    }

    /// Asks as [`Sessions::refresh`] does, and does not wait. `None` where nobody asks, since it
    /// failed a moment ago.
    pub fn begin_refresh<A, F>(&self, session: &Session, ask: A) -> Option<watch::Receiver<()>>
    where
        A: FnOnce(Arc<SignIn>) -> F + Send + 'static,
        F: Future<Output = Asked> + Send + 'static,
    {
        let root = &session.root;
        let before = root.current.load().version;
        let mut renewal = root.renewal();
        let running = renewal.running.clone();
        if let Some(running) = running.filter(|running| running.has_changed().is_ok()) {
            return Some(running);
        }
        if renewal.not_before.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        let (guard, running) = watch::channel(());
        renewal.running = Some(running.clone());
        let (shared, root) = (Arc::clone(&self.shared), Arc::clone(root));
        tokio::spawn(async move {
            let done = renew(&shared, &root, before, ask).await;
            root.renewal().not_before = (!done).then(|| Instant::now() + PAUSE);
            drop(guard);
        });
        Some(running)
    }
}

fn outcome(root: &Root, before: u64) -> Refreshed {
    match () {
        () if root.revoked.is_cancelled() => Refreshed::Ended,
        () if root.current.load().version > before => Refreshed::Renewed,
        () => Refreshed::Old,
    }
}

/// Asks under the store's lease; `false` where the provider or the store failed.
async fn renew<A, F>(shared: &Shared, root: &Root, before: u64, ask: A) -> bool
where
    A: FnOnce(Arc<SignIn>) -> F,
    F: Future<Output = Asked>,
{
    let lease = shared.store.begin_refresh(&root.id, shared.clock.now());
    let (fence, record, version) = match lease.await {
        Ok(Lease::Granted {
            fence,
            record,
            version,
        }) => (fence, record, version),
        Ok(Lease::Held) => return wait_for_another(shared, root, before).await,
        Ok(Lease::Gone) => {
            shared.memory.cut(&root.id);
            return true;
        }
        Err(error) => return failed(&error),
    };
    let Some(newest) = Root::open(&root.id, &root.key, &record) else {
        tracing::error!(session = %root.id, "its sign-in does not open");
        let _ = shared.store.end_refresh(&root.id, fence, None).await;
        return false;
    };
    if version > before {
        // Another process was faster.
        root.learn(version, newest);
        return give_back(shared, root, fence).await;
    }
    let known = Arc::new(newest);
    let asked = timeout(ASK, ask(Arc::clone(&known))).await;
    match asked.unwrap_or(Asked::Failed) {
        Asked::Renewed(new) if new.person.key == known.person.key => {
            let new = SignIn {
                // By these it is found and revoked.
                issuer: known.issuer.clone(),
                subject: known.subject.clone(),
                sid: known.sid.clone(),
                ..*new
            };
            keep(shared, root, fence, version, new).await
        }
        Asked::Renewed(_) => {
            tracing::error!(session = %root.id, "the provider says it is somebody else: revoked");
            refused(shared, root, fence, version).await
        }
        Asked::Refused => refused(shared, root, fence, version).await,
        Asked::Failed => {
            give_back(shared, root, fence).await;
            false
        }
    }
}

/// Writes what the provider said.
async fn keep(shared: &Shared, root: &Root, fence: u64, version: u64, new: SignIn) -> bool {
    let Some(record) = Root::seal(&root.id, &root.key, &new) else {
        return false;
    };
    // The token it has now may be the only one that serves: a store that is busy is asked again.
    let mut stored = Err(StoreError::Unavailable("not asked".to_owned()));
    for _ in 0..STORE_TRIES {
        let record = Some(record.clone());
        stored = shared.store.end_refresh(&root.id, fence, record).await;
        if stored.is_ok() {
            break;
        }
        sleep(LOOK).await;
    }
    match stored {
        Ok(true) => {
            root.learn(version + 1, new);
            true
        }
        // Somebody else was given the lease, or the session was revoked.
        Ok(false) => read_again(shared, root, version).await,
        Err(error) => failed(&error),
    }
}

/// The provider will have no more of it: unless another process has got something newer meanwhile,
/// the session is over.
async fn refused(shared: &Shared, root: &Root, fence: u64, version: u64) -> bool {
    match shared.store.end_refresh(&root.id, fence, None).await {
        Ok(false) => return read_again(shared, root, version).await,
        Ok(true) => {}
        Err(error) => return cut_off(shared, root, &error),
    }
    let now = shared.clock.now();
    match shared.store.revoke_session(&root.id, now).await {
        Ok(_) => {
            shared.memory.cut(&root.id);
            true
        }
        Err(error) => cut_off(shared, root, &error),
    }
}

/// SECURITY: the provider said no, and the store cannot be told: here it is over, and whoever comes again
/// is asked about again.
fn cut_off(shared: &Shared, root: &Root, error: &StoreError) -> bool {
    shared.memory.cut(&root.id);
    failed(error)
}

async fn give_back(shared: &Shared, root: &Root, fence: u64) -> bool {
    match shared.store.end_refresh(&root.id, fence, None).await {
        Ok(_) => true,
        Err(error) => failed(&error),
    }
}

/// Another process is asking: its answer is waited for as long as a request waits.
async fn wait_for_another(shared: &Shared, root: &Root, before: u64) -> bool {
    let until = Instant::now() + WAIT;
    while Instant::now() < until {
        sleep(LOOK).await;
        if !read_again(shared, root, before).await {
            return false;
        }
        if outcome(root, before) != Refreshed::Old {
            break;
        }
    }
    true
}

/// Learns what the store has that is newer.
async fn read_again(shared: &Shared, root: &Root, version: u64) -> bool {
    match shared.store.session(&root.id).await {
        Ok(Some(record)) if record.revoked.is_none() => {
            if record.version > version
                && let Some(newer) = Root::open(&root.id, &root.key, &record.record)
            {
                root.learn(record.version, newer);
            }
            true
        }
        Ok(_) => {
            shared.memory.cut(&root.id);
            true
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &StoreError) -> bool {
    tracing::error!(%error, "a sign-in cannot be renewed");
    false
}
