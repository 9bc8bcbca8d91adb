//! What a sign-in keeps: sessions, one-time codes, and the secrets that gateways share for them.

use std::fmt;

use zeroize::Zeroizing;

use super::Reply;
use crate::clock::Timestamp;
use crate::model::SessionId;

/// The part of a [`Store`](super::Store) that sign-in needs. Who somebody is never reaches it in the clear: records
/// are sealed by the caller, and people are found by keyed hashes ([`SessionName`]).
pub trait SessionStore: Send + Sync + fmt::Debug {
    /// The secrets of this name, the newest first. Where there is none `new` becomes the first: of
    /// two gateways that start at once, both go on with the same.
    fn secrets<'a>(
        &'a self,
        name: &'a str,
        new: SecretOctets,
        now: Timestamp,
    ) -> Reply<'a, Vec<SharedSecret>>;

    /// Adds a newest secret of this name, forgets all but `keep` others, and notes it in the change
    /// log.
    fn rotate_secret<'a>(
        &'a self,
        name: &'a str,
        new: SecretOctets,
        keep: u32,
        now: Timestamp,
    ) -> Reply<'a, ()>;

    /// Stores a session, all of it or nothing. The absolute end is at most its parent's.
    fn create_session(&self, new: NewSessionRecord) -> Reply<'_, Result<(), SessionRefusal>>;

    /// One session, ended or revoked ones included until they are swept.
    fn session<'a>(&'a self, id: &'a SessionId) -> Reply<'a, Option<SessionRecord>>;

    /// Notes that sessions were used, and their parents with them, in one synced write. Returns
    /// those that were gone or revoked.
    fn touch_sessions(&self, used: Vec<Used>) -> Reply<'_, Vec<SessionId>>;

    /// Asks for the right to replace the record of a sign-in, for 30 seconds.
    fn begin_refresh<'a>(&'a self, id: &'a SessionId, now: Timestamp) -> Reply<'a, Lease>;

    /// Gives that right back, and replaces the record where there is a new one. `false`, and nothing
    /// done, where somebody else was given the right meanwhile, or the session was revoked.
    fn end_refresh<'a>(
        &'a self,
        id: &'a SessionId,
        fence: u64,
        record: Option<Vec<u8>>,
    ) -> Reply<'a, bool>;

    /// Revokes a session and those below it, for good, wipes what could open them, and notes it in
    /// the change log; `false` where there is none, or it was revoked before.
    fn revoke_session<'a>(&'a self, id: &'a SessionId, now: Timestamp) -> Reply<'a, bool>;

    /// Whether there is a session of this name that was not revoked.
    fn has_sessions<'a>(&'a self, name: &'a SessionName) -> Reply<'a, bool>;

    /// Revokes all sessions of these names with those below them, and leaves tombstones: a sign-in
    /// that has begun comes to nothing. Always noted in the change log. Returns how many ended;
    /// `None`, and nothing done, where what asks for it came before.
    fn revoke_sessions<'a>(
        &'a self,
        names: &'a [SessionName],
        once: Option<Once>,
        now: Timestamp,
    ) -> Reply<'a, Option<u64>>;

    /// All sessions that were not swept, the newest first.
    fn sessions(&self) -> Reply<'_, Vec<ListedSession>>;

    /// Forgets what ended more than an hour ago (a clock that jumps must not end anything for good),
    /// tombstones and revoked sessions after a day, and what the change log has of sessions after a
    /// week; its newest row stays. Returns how many sessions went.
    fn sweep_sessions(&self, now: Timestamp) -> Reply<'_, u64>;

    /// Keeps a payload for whoever presents what hashes to this; `false` where too many are kept.
    fn put_code(
        &self,
        hash: [u8; 32],
        payload: Vec<u8>,
        now: Timestamp,
        expires: Timestamp,
    ) -> Reply<'_, bool>;

    /// The payload, once: it is gone with this call, even if its time was over.
    fn take_code(&self, hash: [u8; 32], now: Timestamp) -> Reply<'_, Option<Vec<u8>>>;

    /// Whether this comes for the first time.
    fn remember(&self, once: Once) -> Reply<'_, bool>;
}

/// 32 random octets, wiped when they are dropped.
pub type SecretOctets = Zeroizing<[u8; 32]>;

/// A keyed hash (HMAC-SHA-256) of what a session is found by: a person, a provider's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionName(pub [u8; 32]);

/// What may come once only: remembered until an hour after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Its keyed hash.
    pub name: SessionName,
    /// From when on it is worth nothing anyway.
    pub until: Timestamp,
}

/// A secret that the gateways of one store share.
#[derive(Clone)]
pub struct SharedSecret {
    /// The secret.
    pub octets: SecretOctets,
    /// When it was made.
    pub created: Timestamp,
}

/// Without the secret.
impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSecret({})", self.created.to_rfc3339())
    }
}

/// What a new session hangs on.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A person who signed in.
    SignIn {
        /// The newest change when that began: a tombstone after it refuses.
        began: u64,
        /// By what it can be found.
        names: Vec<SessionName>,
        /// The sealed sign-in.
        record: Vec<u8>,
    },
    /// A person's session, itself without a parent.
    Session(SessionId),
}

/// A session to be stored.
#[derive(Debug, Clone)]
pub struct NewSessionRecord {
    /// Its identifier.
    pub id: SessionId,
    /// Scheme, host and port it belongs to.
    pub host: String,
    /// What it hangs on.
    pub origin: Origin,
    /// What opens the record of the sign-in, sealed by the caller.
    pub opener: Vec<u8>,
    /// What lists show of it; sealed in the database.
    pub shown: Zeroizing<Vec<u8>>,
    /// Now.
    pub created: Timestamp,
    /// When it ends unless it is used.
    pub idle_ends: Timestamp,
    /// When it ends in any case.
    pub ends: Timestamp,
}

/// Why a session was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefusal {
    /// The person was signed out while this sign-in was under way.
    #[error("the person was signed out while this sign-in was under way")]
    SignedOut,
    /// The parent is revoked, has ended, or is none.
    #[error("the session this one would hang on has ended")]
    ParentEnded,
}

/// A stored session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its identifier.
    pub id: SessionId,
    /// Scheme, host and port it belongs to.
    pub host: String,
    /// The person's session it hangs under.
    pub parent: Option<SessionId>,
    /// What opens the record, sealed; empty once it is revoked.
    pub opener: Vec<u8>,
    /// The sealed sign-in, its own or its parent's; empty once that is revoked.
    pub record: Vec<u8>,
    /// How often that was replaced.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends unless it is used.
    pub idle_ends: Timestamp,
    /// When it ends in any case.
    pub ends: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
}

/// A session as lists have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSession {
    /// Its identifier.
    pub id: SessionId,
    /// Scheme, host and port it belongs to.
    pub host: String,
    /// The person's session it hangs under.
    pub parent: Option<SessionId>,
    /// What was to be shown.
    pub shown: Zeroizing<Vec<u8>>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to a minute.
    pub last_used: Timestamp,
    /// When it ends unless it is used.
    pub idle_ends: Timestamp,
    /// When it ends in any case.
    pub ends: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
}

/// A session was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Which.
    pub id: SessionId,
    /// When.
    pub at: Timestamp,
    /// When it ends unless it is used again.
    pub idle_ends: Timestamp,
}

/// The outcome of [`SessionStore::begin_refresh`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lease {
    /// The record may be replaced.
    Granted {
        /// To be shown at the end: whoever comes later has a higher one.
        fence: u64,
        /// The record as it is now.
        record: Vec<u8>,
        /// How often it was replaced.
        version: u64,
    },
    /// Somebody else may.
    Held,
    /// There is no such sign-in, or it was revoked.
    Gone,
}
