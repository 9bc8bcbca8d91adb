//! What outlives a gateway's process: its authorities, enrolment tokens, connectors and sessions.
//!
//! [`Store`] speaks in the product's verbs. Private keys and secrets are sealed before they reach
//! the database, so that a dump of it is not the tunnel's trust. Everything another process must
//! learn of is a row of the change log, whose numbers have no gaps.

#[cfg(test)]
mod contract;
mod keys;
mod seal;
mod service_tokens;
mod sessions;
mod sqlite;

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use secrecy::SecretString;

use crate::clock::Timestamp;
use crate::model::{ConnectorId, GroupName, SessionId};

pub use keys::KeyError;
pub use seal::StoreKeys;
pub use service_tokens::{NewServiceToken, ServiceTokenRecord, ServiceTokenStore};
pub use sessions::{
    Lease, ListedSession, NewSessionRecord, Once, Origin, SecretOctets, SessionName, SessionRecord,
    SessionRefusal, SessionStore, SharedSecret, Used,
};
#[cfg(test)]
pub(crate) use sqlite::testing::Fragile;
pub use sqlite::{RestoreError, back_up, check_folder, open_sqlite, restore};

/// Persistent state, shared by every gateway on it.
pub trait Store: SessionStore + ServiceTokenStore {
    /// The stored authorities, the newest first; none before [`Store::create_authority`].
    fn authorities(&self) -> Reply<'_, Vec<AuthorityRecord>>;

    /// Stores the first authority unless one is stored already, and returns those that count: of
    /// two gateways that start at once, both go on with the same.
    fn create_authority(&self, new: AuthorityRecord) -> Reply<'_, Vec<AuthorityRecord>>;

    /// Begins a rotation: stores a new authority, lets the one before it count until `old_ends`,
    /// and notes it in the change log. `false`, and nothing done, where a rotation is under way,
    /// or there is no authority yet.
    fn rotate_authority(
        &self,
        new: AuthorityRecord,
        old_ends: Timestamp,
        now: Timestamp,
    ) -> Reply<'_, bool>;

    /// Ends a rotation: forgets the authorities that end at `until` or before, and notes it in the
    /// change log; `false` where there is none. What has no end, and so issues, always stays.
    fn finish_rotation(&self, until: Timestamp, now: Timestamp) -> Reply<'_, bool>;

    /// Stores an enrolment token.
    fn create_token(&self, new: NewToken) -> Reply<'_, ()>;

    /// All tokens, newest first.
    fn tokens(&self) -> Reply<'_, Vec<TokenRecord>>;

    /// Makes a token worthless from `now` on, also for keys that spent it; `false` where there is
    /// none of this id.
    fn revoke_token<'a>(&'a self, id: &'a str, now: Timestamp) -> Reply<'a, bool>;

    /// Spends one use of a token and stores the connector, as one atomic statement. A second call
    /// with the same secret and public key returns the same connector without spending another
    /// use, until a day after the token's end, so that a lost answer strands nobody. A key that
    /// comes with another token keeps its identifier and joins that token's group.
    fn spend_token(&self, spend: SpendToken) -> Reply<'_, Result<Enrolled, SpendRefusal>>;

    /// All connectors, removed ones included, oldest first.
    fn connectors(&self) -> Reply<'_, Vec<ConnectorRecord>>;

    /// One connector; `None` where it was never enrolled here.
    fn connector<'a>(&'a self, id: &'a ConnectorId) -> Reply<'a, Option<ConnectorRecord>>;

    /// Revokes a connector for good and notes it in the change log; `false` where there is none,
    /// or it was removed before.
    fn remove_connector<'a>(&'a self, id: &'a ConnectorId, now: Timestamp) -> Reply<'a, bool>;

    /// Notes that a connector was connected; nothing where there is none. To be called when a
    /// tunnel comes up, never per heartbeat: it may be a synced write. What repeats within a
    /// minute, from the same address and version, may be left out.
    fn connector_seen<'a>(&'a self, id: &'a ConnectorId, seen: Seen) -> Reply<'a, ()>;

    /// The number of the newest change; 0 where there is none.
    fn last_change(&self) -> Reply<'_, u64>;

    /// The changes after number `after`, in order. Those of sessions are forgotten after a week
    /// ([`SessionStore::sweep_sessions`]), so the first one may be a later one.
    fn changes(&self, after: u64) -> Reply<'_, Vec<Change>>;

    /// Waits until another writer may have added a change (at most a quarter of a second after it
    /// did). It may also return without one, and does where the log cannot be read.
    ///
    /// The wait begins with this call, before the future is first polled. So call it, then read
    /// [`Store::changes`], then await it: what is written in between is not missed.
    fn changed(&self) -> Reply<'_, ()>;
}

/// The answer of a store.
pub type Reply<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened, read or written.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// What is sealed in the store does not open with the given key.
    #[error("the store key does not open this store")]
    WrongKey,
    /// What is stored cannot be understood.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store was written by a newer appproxy.
    #[error("the store is of version {found}, and this appproxy knows versions up to {known}")]
    TooNew {
        /// The version of the store.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
}

/// One of the gateways' own certificate authorities.
#[derive(Debug, Clone)]
pub struct AuthorityRecord {
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PKCS#8 PEM; sealed in the database.
    pub key_pem: SecretString,
    /// From when on it is worth nothing; `None` for the newest, which issues.
    pub ends: Option<Timestamp>,
}

/// A token to be stored. The secret itself is never stored.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its public identifier, for `token list` and `token revoke`.
    pub id: String,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// The group its connectors join.
    pub group: GroupName,
    /// How many connectors it may enrol.
    pub uses: u32,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to work.
    pub expires: Timestamp,
}

/// A stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its public identifier.
    pub id: String,
    /// The group its connectors join.
    pub group: GroupName,
    /// How many connectors it may enrol in all.
    pub uses: u32,
    /// How many it has enrolled.
    pub used: u32,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to work.
    pub expires: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
}

/// A connector's attempt to enrol.
#[derive(Debug, Clone)]
pub struct SpendToken {
    /// SHA-256 of the secret that was presented.
    pub secret_hash: [u8; 32],
    /// SHA-256 of the connector's public key (SubjectPublicKeyInfo, DER).
    pub public_key_hash: [u8; 32],
    /// The identifier to give, unless this key has one already.
    pub id: ConnectorId,
    /// What the connector calls itself: its host's name.
    pub name: String,
    /// Now.
    pub now: Timestamp,
}

/// The outcome of a token well spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The connector's identifier.
    pub id: ConnectorId,
    /// Its group.
    pub group: GroupName,
}

/// Why a token bought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpendRefusal {
    /// No token has this secret.
    #[error("this gateway has not issued this token")]
    Unknown,
    /// Every use is spent.
    #[error("this token has been used")]
    Spent,
    /// Its time is over.
    #[error("this token has expired")]
    Expired,
    /// An operator revoked it.
    #[error("this token was revoked")]
    Revoked,
    /// The connector of this key was removed.
    #[error("the connector of this key was removed")]
    Removed,
}

/// A stored connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorRecord {
    /// Its identifier.
    pub id: ConnectorId,
    /// Its group.
    pub group: GroupName,
    /// What it calls itself.
    pub name: String,
    /// When it was enrolled.
    pub enrolled: Timestamp,
    /// When it was last connected, and from where.
    pub seen: Option<Seen>,
    /// When it was removed, if it was.
    pub removed: Option<Timestamp>,
}

/// A connector that has not been connected for so long is inactive. The store is told of those that
/// stay connected every few minutes.
const INACTIVE: Duration = Duration::from_secs(15 * 60);

/// What has been away for so long is listed only where all are asked for.
const HIDDEN: Duration = Duration::from_secs(10 * 24 * 3600);

/// How a connector stands, as far as the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was enrolled a moment ago and has not been connected yet.
    Enrolled,
    /// It was connected within the last minutes.
    Active,
    /// It was not.
    Inactive,
    /// Nor within the last ten days.
    Hidden,
    /// It was removed.
    Removed,
}

impl ConnectorRecord {
    /// When it was last heard of: connected, or else enrolled.
    #[must_use]
    pub fn last_known(&self) -> Timestamp {
        let seen = self.seen.as_ref().map(|seen| seen.at);
        seen.unwrap_or(self.enrolled)
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        let last = self.last_known();
        match () {
            () if self.removed.is_some() => Standing::Removed,
            () if last <= now.minus(HIDDEN) => Standing::Hidden,
            () if last <= now.minus(INACTIVE) => Standing::Inactive,
            () if self.seen.is_some() => Standing::Active,
            () => Standing::Enrolled,
        }
    }

    /// Whether it is gone for so long, away or removed, that a list need not have it.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let since = self.removed.unwrap_or_else(|| self.last_known());
        since <= now.minus(HIDDEN)
    }
}

/// A connector was here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// From which address.
    pub address: IpAddr,
    /// With which version of appproxy.
    pub version: String,
}

/// One row of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number: the one before plus one.
    pub number: u64,
    /// What changed.
    pub what: Changed,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// A connector was removed: its tunnels are cut.
    ConnectorRemoved(ConnectorId),
    /// The authorities are others now: a rotation began or ended.
    Authorities,
    /// A session was revoked, and those below it.
    SessionRevoked(SessionId),
    /// All sessions of this name were revoked, and those below them.
    SessionsRevoked(SessionName),
    /// There is a newer secret of this name.
    SecretRotated(String),
    /// There are other service tokens now, or fewer that count.
    ServiceTokens,
    /// Something this version does not know, written by a newer one on the same store.
    Unknown(String),
}
