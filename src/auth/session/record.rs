//! Sessions as the store has them: stored, read, opened, and noted as used.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::live::{self, Root, Session};
use super::names::Owner;
use super::seal::{same, secret};
use super::sign_in::{SessionHost, Shown};
use super::ticket::Ticket;
use super::{Found, NoSession, SessionError, Shared};
use crate::certs::{RandomError, sha256};
use crate::clock::Timestamp;
use crate::model::SessionId;
use crate::store::{
    NewSessionRecord, Origin, SecretOctets, SessionRecord, SessionRefusal, StoreError, Used,
};

/// How long a request waits for the store.
const READ: Duration = Duration::from_millis(500);

/// How often a record is read again because something was revoked meanwhile.
const READS: usize = 3;

/// The store is told of a session's use this often, seconds.
const NOTED_EVERY: i64 = 60;

impl Shared {
    pub(super) fn heard(&self) -> MutexGuard<'_, (u64, Instant)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the change log was read lately enough.
    pub(super) fn is_confirmed(&self) -> bool {
        let (_, at) = *self.heard();
        at.elapsed() <= self.settings.load().store_grace
    }

    /// Stores a session, and takes it into memory.
    pub(super) async fn store_new(
        &self,
        id: SessionId,
        host: SessionHost,
        key: &SecretOctets,
        origin: Origin,
        shown: &Shown,
    ) -> Result<(SecretString, Arc<Session>), SessionError> {
        let now = self.clock.now();
        let settings = **self.settings.load();
        let ticket = Ticket {
            secret: secret()?,
            id: id.clone(),
            owner: Owner::of(&self.keys.load().index, &shown.person),
        };
        let opener = live::seal_opener(&ticket.secret, &id, host.as_str(), key);
        let shown = serde_json::to_vec(shown)
            .map_err(|_| SessionError::Misuse("what is shown of it cannot be written"))?;
        let record = NewSessionRecord {
            id: id.clone(),
            host: host.as_str().to_owned(),
            origin,
            opener: opener.ok_or(RandomError)?,
            shown: Zeroizing::new(shown),
            created: now,
            idle_ends: now.plus(settings.idle),
            ends: now.plus(settings.absolute),
        };
        self.store.create_session(record).await??;
        let text = ticket.text(&self.keys.load().tickets, now);
        // Read back: the end may be its parent's, and it may have been revoked already.
        match self.load(&host, &ticket, sha256(&*ticket.secret)).await {
            Found::Live(session) => Ok((text, session)),
            Found::None(_) => Err(SessionRefusal::SignedOut.into()),
            Found::Unavailable => Err(StoreError::Unavailable(
                "it stored a session and gives no answer".into(),
            )
            .into()),
        }
    }

    /// Reads a session from the store into memory.
    pub(super) async fn load(&self, host: &SessionHost, ticket: &Ticket, proof: [u8; 32]) -> Found {
        let deadline = Instant::now() + READ;
        for _ in 0..READS {
            let generation = self.memory.generation();
            let read = self.store.session(&ticket.id);
            let record = match timeout_at(deadline, read).await {
                Ok(Ok(record)) => record,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a session cannot be read");
                    return Found::Unavailable;
                }
                Err(_) => {
                    tracing::error!("the store has not said in time what it knows of a session");
                    return Found::Unavailable;
                }
            };
            let (record, root) = match self.open_record(host, ticket, record) {
                Ok(opened) => opened,
                Err(why) => {
                    if matches!(why, NoSession::Unknown | NoSession::Revoked) {
                        self.memory.is_gone(&ticket.id, why);
                    }
                    return Found::None(why);
                }
            };
            let capacity = self.settings.load().capacity;
            let host = host.clone();
            let session = self
                .memory
                .insert(generation, root, capacity, |root| Session {
                    id: record.id,
                    host,
                    created: record.created,
                    absolute: record.ends,
                    idle: record.idle_ends.0.into(),
                    noted: self.clock.now().0.into(),
                    proof,
                    judged: None.into(),
                    revoked: root.revoked.child_token(),
                    root,
                });
            if let Some(session) = session {
                return Found::Live(session);
            }
        }
        tracing::error!("so much is revoked that a session cannot be read in peace");
        Found::Unavailable
    }

    /// What a record says to whoever has this ticket.
    fn open_record(
        &self,
        host: &SessionHost,
        ticket: &Ticket,
        record: Option<SessionRecord>,
    ) -> Result<(SessionRecord, Arc<Root>), NoSession> {
        let record = record.ok_or(NoSession::Unknown)?;
        if record.revoked.is_some() {
            return Err(NoSession::Revoked);
        }
        if record.host != host.as_str() {
            return Err(NoSession::OtherHost);
        }
        let now = self.clock.now();
        if record.ends <= now || record.idle_ends <= now {
            return Err(NoSession::Expired);
        }
        let (id, sealed) = (&ticket.id, &record.opener);
        let key = live::open_opener(&ticket.secret, id, host.as_str(), sealed);
        let key = key.ok_or_else(|| {
            tracing::error!(session = %id, "its record does not open with its ticket");
            NoSession::Forged
        })?;
        let root_id = record.parent.as_ref().unwrap_or(&record.id);
        let root = self.root(root_id, key, record.version, &record.record);
        let root = root.ok_or_else(|| {
            tracing::error!(session = %id, "its sign-in does not open");
            NoSession::Unknown
        })?;
        Ok((record, root))
    }

    /// The sign-in of a record that was read: the one in memory, which learns what is new, or else
    /// what the record has.
    pub(super) fn root(
        &self,
        id: &SessionId,
        key: SecretOctets,
        version: u64,
        record: &[u8],
    ) -> Option<Arc<Root>> {
        if let Some(root) = self.memory.root(id) {
            if !same(&*root.key, &*key) {
                return None;
            }
            if root.current.load().version < version {
                root.learn(version, Root::open(id, &key, record)?);
            }
            return Some(root);
        }
        let sign_in = Root::open(id, &key, record)?;
        let index = &self.keys.load().index;
        Some(Arc::new(Root::new(
            id.clone(),
            key,
            version,
            sign_in,
            index,
        )))
    }

    /// Asks the store of a session that nobody used here for too long; `None` where it is alive.
    pub(super) async fn is_over(&self, session: &Session, now: Timestamp) -> Option<Found> {
        let read = timeout(READ, self.store.session(&session.id)).await;
        let Ok(Ok(record)) = read else {
            return Some(Found::Unavailable);
        };
        let why = match record {
            None => NoSession::Unknown,
            Some(record) if record.revoked.is_some() => NoSession::Revoked,
            Some(record) if record.ends <= now || record.idle_ends <= now => NoSession::Expired,
            Some(record) => {
                session.idle.store(record.idle_ends.0, Ordering::Relaxed);
                return None;
            }
        };
        self.memory.end(session);
        Some(Found::None(why))
    }

    /// Moves the end of a session that is used, and tells the store so now and then.
    pub(super) fn used(&self, session: &Session, now: Timestamp) {
        let idle_ends = now.plus(self.settings.load().idle);
        session.idle.store(idle_ends.0, Ordering::Relaxed);
        let noted = session.noted.load(Ordering::Relaxed);
        if (noted..noted.saturating_add(NOTED_EVERY)).contains(&now.0) {
            return;
        }
        session.noted.store(now.0, Ordering::Relaxed);
        self.memory.note(Used {
            id: session.id.clone(),
            at: now,
            idle_ends,
        });
    }
}
