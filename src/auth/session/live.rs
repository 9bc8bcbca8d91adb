//! A session in memory, and the sign-in it shares with others.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::names;
use super::seal::{open, seal};
use super::sign_in::{SessionHost, SignIn};
use crate::clock::Timestamp;
use crate::model::{Person, SessionId};
use crate::store::{SecretOctets, SessionName};

const RECORD: &[u8] = b"appproxy session record";
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
    pub(super) revoked: CancellationToken,
}

impl Session {
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

/// A sign-in as all its sessions in this process share it.
pub(super) struct Root {
    pub(super) id: SessionId,
    /// Opens the record; each session has it, sealed under its own ticket's secret.
    pub(super) key: SecretOctets,
    pub(super) current: ArcSwap<Current>,
    /// By what it is revoked.
    pub(super) names: Vec<SessionName>,
    pub(super) revoked: CancellationToken,
    pub(super) renewal: Mutex<Renewal>,
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
    /// Not before, since it failed.
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
            current: ArcSwap::from_pointee(Current {
                version,
                sign_in: Arc::new(sign_in),
            }),
            revoked: CancellationToken::new(),
            renewal: Mutex::default(),
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
    }

    pub(super) fn renewal(&self) -> std::sync::MutexGuard<'_, Renewal> {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
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
