//! A session in memory, and the sign-in it shares with others.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Keys;
use super::names::{self, Owner};
use super::seal::{open, same, seal};
use super::sign_in::{SessionHost, SignIn};
use crate::clock::Timestamp;
use crate::model::{Person, SessionId};
use crate::store::{SecretOctets, SessionName};

const RECORD: &[u8] = b"appproxy session record";
/// Hosts below wildcards that a person may have agreed to; any further one is asked for each time.
const MOST_CONFIRMED: usize = 64;

const OPENER: &[u8] = b"appproxy session opener";

/// One person at one host.
pub struct Session {
    pub(super) id: SessionId,
    pub(super) host: SessionHost,
    pub(super) root: Arc<Root>,
    pub(super) created: Timestamp,
    pub(super) absolute: Timestamp,
    pub(super) idle: AtomicI64,
    /// When the store was last told that it is used.
    pub(super) noted: AtomicI64,
    /// SHA-256 of the ticket's secret.
    pub(super) proof: [u8; 32],
    /// The ticket that was judged last.
    pub(super) judged: ArcSwapOption<Judged>,
    pub(super) revoked: CancellationToken,
}

impl Session {
    /// Whether a ticket of this digest was found to be its own by these keys.
    pub(super) fn knows(&self, digest: &[u8; 32], keys: &Arc<Keys>) -> bool {
        let judged = self.judged.load();
        let by = |judged: &Arc<Judged>| Arc::ptr_eq(&judged.keys, keys);
        let judged = judged.as_ref().filter(|judged| by(judged));
        judged.is_some_and(|judged| same(&judged.digest, digest))
    }

    /// Its identifier, which opens nothing by itself.
    #[must_use]
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// The session of the person's sign-in, which this one hangs under; its own identifier where it
    /// is that. To revoke it ends all of them.
    #[must_use]
    pub fn sign_in_id(&self) -> &SessionId {
        &self.root.id
    }

    /// What it belongs to.
    #[must_use]
    pub const fn host(&self) -> &SessionHost {
        &self.host
    }

    /// Whose it is, as [`Sessions::owner_of`] tells of its ticket.
    ///
    /// [`Sessions::owner_of`]: super::Sessions::owner_of
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.root.owner
    }

    /// What the provider said last.
    #[must_use]
    pub fn sign_in(&self) -> Arc<SignIn> {
        Arc::clone(&self.root.current.load().sign_in)
    }

    /// Who it is: a copy, where [`Session::sign_in`] shares it.
    #[must_use]
    pub fn person(&self) -> Person {
        self.root.current.load().sign_in.person.clone()
    }

    /// When it was made.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// When it ends unless it is used before; each [`super::Sessions::find`] moves it.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.absolute
            .min(Timestamp(self.idle.load(Ordering::Relaxed)))
    }

    /// Whether the provider is to be asked again whether it still knows the person.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let until = self.root.current.load().sign_in.fresh_until;
        until.is_some_and(|until| until <= now)
    }

    /// Completes when the provider has said something new of the person from now on.
    pub fn says_something_new(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changed = self.root.changed.subscribe();
        async move {
            if changed.changed().await.is_err() {
                // The session is gone, and whoever held it with it.
                std::future::pending::<()>().await;
            }
        }
    }

    /// One more request of the person, all sessions of the sign-in together in this process; `None`
    /// where they have `most` already.
    #[must_use]
    pub fn request(&self, most: u32) -> Option<InUse> {
        let requests = &self.root.requests;
        let more = |now: u32| (now < most).then_some(now + 1);
        let begun = requests
            .now
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        if begun.is_err() {
            if !requests.is_told.swap(true, Ordering::Relaxed) {
                tracing::info!(session = %self.root.id, limit = most, "a session has as many requests in tunnels as it may: further ones are refused; see `limits.requests_per_session`");
            }
            return None;
        }
        Some(InUse(Arc::clone(&self.root)))
    }

    /// Whether the person has agreed that this host, of which the configuration has only a wildcard,
    /// may learn who they are.
    #[must_use]
    pub fn has_confirmed(&self, host: &SessionHost) -> bool {
        self.root.confirmed().contains(host)
    }

    /// Notes that they have. It is forgotten with this process, and asked again then.
    pub fn confirm(&self, host: SessionHost) {
        let mut confirmed = self.root.confirmed();
        if confirmed.len() < MOST_CONFIRMED {
            confirmed.insert(host);
        }
    }

    /// Cancelled once it was revoked or has ended for good: what lives on it is to be cut.
    #[must_use]
    pub const fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }
}

/// Whose it is not, and no secret.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// A ticket that was found to be the session's: while neither its octets nor the keys have changed, that
/// need not be worked out again.
pub(super) struct Judged {
    /// SHA-256 of its text.
    pub(super) digest: [u8; 32],
    /// What it was judged by.
    pub(super) keys: Arc<Keys>,
}

/// A request that goes by a session, until it is dropped.
#[derive(Debug)]
pub struct InUse(Arc<Root>);

impl Drop for InUse {
    fn drop(&mut self) {
        let Requests { now, is_told } = &self.0.requests;
        if now.fetch_sub(1, Ordering::AcqRel) == 1 {
            is_told.store(false, Ordering::Relaxed);
        }
    }
}

/// The requests of a person in this process.
#[derive(Debug, Default)]
pub(super) struct Requests {
    now: AtomicU32,
    /// The log was told that more are refused, since there were none last.
    is_told: AtomicBool,
}

/// A sign-in as all its sessions in this process share it.
pub(super) struct Root {
    pub(super) id: SessionId,
    /// Opens the record; each session has it, sealed under its own ticket's secret.
    pub(super) key: SecretOctets,
    pub(super) current: ArcSwap<Current>,
    /// How often that was replaced, for whoever waits for it.
    changed: watch::Sender<u64>,
    /// By what it is revoked.
    pub(super) names: Vec<SessionName>,
    owner: Owner,
    pub(super) revoked: CancellationToken,
    pub(super) renewal: Mutex<Renewal>,
    pub(super) requests: Requests,
    confirmed: Mutex<BTreeSet<SessionHost>>,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What is known, and how often it was replaced.
pub(super) struct Current {
    pub(super) version: u64,
    pub(super) sign_in: Arc<SignIn>,
}

/// Who is asking the provider.
#[derive(Default)]
pub(super) struct Renewal {
    /// Closed when the one who asks is done.
    pub(super) running: Option<watch::Receiver<()>>,
    /// Not before, since it failed. Until one succeeds nobody waits for it again.
    pub(super) not_before: Option<Instant>,
}

impl Root {
    pub(super) fn new(
        id: SessionId,
        key: SecretOctets,
        version: u64,
        sign_in: SignIn,
        index: &SecretOctets,
    ) -> Self {
        Self {
            id,
            key,
            names: names::all(index, &sign_in),
            owner: Owner::of(index, &sign_in.person.key),
            current: ArcSwap::from_pointee(Current {
                version,
                sign_in: Arc::new(sign_in),
            }),
            changed: watch::Sender::new(version),
            revoked: CancellationToken::new(),
            renewal: Mutex::default(),
            requests: Requests::default(),
            confirmed: Mutex::default(),
        }
    }

    /// Goes on with a newer record, unless it knows one that is newer still.
    pub(super) fn learn(&self, version: u64, sign_in: SignIn) {
        let new = Arc::new(Current {
            version,
            sign_in: Arc::new(sign_in),
        });
        self.current.rcu(|known| {
            let newer = version > known.version;
            Arc::clone(if newer { &new } else { known })
        });
        self.changed.send_if_modified(|known| {
            let newer = version > *known;
            *known = version.max(*known);
            newer
        });
    }

    pub(super) fn renewal(&self) -> std::sync::MutexGuard<'_, Renewal> {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn confirmed(&self) -> std::sync::MutexGuard<'_, BTreeSet<SessionHost>> {
        self.confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seal(id: &SessionId, key: &SecretOctets, sign_in: &SignIn) -> Option<Vec<u8>> {
        seal(
            key,
            &[RECORD, id.as_str().as_bytes()],
            &sign_in.to_octets()?,
        )
        .ok()
    }

    pub(super) fn open(id: &SessionId, key: &SecretOctets, record: &[u8]) -> Option<SignIn> {
        let plain = open(key, &[RECORD, id.as_str().as_bytes()], record)?;
        SignIn::from_octets(&plain)
    }
}

/// Seals what opens a record, under a key of the ticket's secret, for the session and its host.
pub(super) fn seal_opener(
    ticket: &SecretOctets,
    id: &SessionId,
    host: &str,
    key: &SecretOctets,
) -> Option<Vec<u8>> {
    let of: &[&[u8]] = &[OPENER, id.as_str().as_bytes(), host.as_bytes()];
    seal(&opener_key(ticket), of, &**key).ok()
}

/// Opens it.
pub(super) fn open_opener(
    ticket: &SecretOctets,
    id: &SessionId,
    host: &str,
    sealed: &[u8],
) -> Option<SecretOctets> {
    let of: &[&[u8]] = &[OPENER, id.as_str().as_bytes(), host.as_bytes()];
    let plain = open(&opener_key(ticket), of, sealed)?;
    let mut key = SecretOctets::default();
    if plain.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&plain);
    Some(key)
}

fn opener_key(ticket: &SecretOctets) -> SecretOctets {
    super::seal::derive(ticket, "appproxy session opener key")
}
