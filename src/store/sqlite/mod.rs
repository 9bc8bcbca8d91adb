//! The store in one SQLite file, shared by the processes of one host.
//!
//! One connection writes, a few read, one polls for the writes of other processes. Every write
//! takes its lock with `BEGIN IMMEDIATE`, so two at once wait instead of failing half-way.

mod authorities;
mod backup;
mod codes;
mod open;
mod revoke;
mod secrets;
mod service_tokens;
mod sessions;
mod signed_in;
mod spend;
#[cfg(test)]
pub(in crate::store) mod testing;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection, SqlitePool, Transaction};

pub use self::backup::{RestoreError, back_up, restore};
pub use self::open::check_folder;
use self::watch::Watch;
use super::seal::StoreKeys;
use super::{
    AuthorityRecord, Change, Changed, ConnectorRecord, Enrolled, NewToken, Reply, Seen,
    SpendRefusal, SpendToken, Store, StoreError, TokenRecord,
};
use crate::clock::Timestamp;
use crate::model::{ConnectorId, GroupName, SessionId};
use crate::telemetry::metrics::STORE_ERRORS;

const READERS: u32 = 4;

/// For a connection of the pool: longer than the 5 s that the one before may wait for its lock.
const ACQUIRE: Duration = Duration::from_secs(10);

/// A connector that connects over and over from one place is noted this often at most, seconds.
const SEEN_EVERY: i64 = 60;

/// The kind of a change: a connector was removed.
const CONNECTOR_REMOVED: &str = "connector_removed";

/// The kind of a change: the authorities are others now.
const AUTHORITIES: &str = "authorities";

/// Opens the store in the file `path`, and makes it (mode 0600) where there is none; its folder
/// must exist. Processes of one host may open it at the same time, even to make it.
///
/// Polls for changes in a task of the runtime it is called on, until it is dropped.
///
/// # Errors
/// [`StoreError::WrongKey`] where the keys do not open it, [`StoreError::TooNew`] where a newer
/// appproxy wrote it, [`StoreError::Damaged`] where it is no store, and else
/// [`StoreError::Unavailable`], with what to do about it.
pub async fn open_sqlite(path: &Path, keys: StoreKeys) -> Result<Arc<dyn Store>, StoreError> {
    let store = SqliteStore::open(path, keys, |writer| writer).await?;
    Ok(Arc::new(store))
}

struct SqliteStore {
    path: PathBuf,
    keys: StoreKeys,
    writer: SqlitePool,
    readers: SqlitePool,
    watch: Watch,
}

impl SqliteStore {
    async fn open(
        path: &Path,
        keys: StoreKeys,
        writer: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> Result<Self, StoreError> {
        let named = |error| match error {
            StoreError::Unavailable(why) => {
                StoreError::Unavailable(format!("{}: {why}", path.display()))
            }
            StoreError::Damaged(what) => StoreError::Damaged(format!("{}: {what}", path.display())),
            other => other,
        };
        // Absolute, so that SQLite cannot take a name such as `file:a?mode=memory` for a URI.
        let path = std::path::absolute(path)
            .map_err(|error| named(StoreError::Unavailable(error.to_string())))?;
        open::prepare(&path, &keys).await.map_err(named)?;
        let options = open::options(&path);
        let readers = options.clone().read_only(true);
        Ok(Self {
            writer: pool(1, writer(options)).await.map_err(named)?,
            readers: pool(READERS, readers).await.map_err(named)?,
            watch: Watch::start(&path),
            path,
            keys,
        })
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteStore({})", self.path.display())
    }
}

async fn pool(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        // Nothing is gained by opening the file anew, and it may not be possible any more.
        .idle_timeout(None)
        .max_lifetime(None)
        // On a full disk SQLite rolls back by itself, which sqlx does not notice: it would take
        // the next transaction for a nested one. Such a connection is closed.
        .before_acquire(|connection, _| {
            let clean = !sqlx::Connection::is_in_transaction(connection);
            async move { Ok(clean) }.boxed()
        })
        .connect_with(options)
        .await
        .map_err(failed)
}

impl Store for SqliteStore {
    fn authorities(&self) -> Reply<'_, Vec<AuthorityRecord>> {
        Box::pin(async {
            let mut reader = self.readers.acquire().await.map_err(failed)?;
            authorities::all(&mut reader, &self.keys).await
        })
    }

    fn create_authority(&self, new: AuthorityRecord) -> Reply<'_, Vec<AuthorityRecord>> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let stored = authorities::create(&mut transaction, &self.keys, &new).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(stored)
        })
    }

    fn rotate_authority(
        &self,
        new: AuthorityRecord,
        old_ends: Timestamp,
        now: Timestamp,
    ) -> Reply<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            if !authorities::rotate(&mut transaction, &self.keys, &new, old_ends).await? {
                return Ok(false);
            }
            add_change(&mut transaction, AUTHORITIES, "rotation began", now).await?;
            transaction.commit().await.map_err(failed)?;
            self.watch.wake();
            Ok(true)
        })
    }

    fn finish_rotation(&self, until: Timestamp, now: Timestamp) -> Reply<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            if !authorities::finish(&mut transaction, until).await? {
                return Ok(false);
            }
            add_change(&mut transaction, AUTHORITIES, "rotation ended", now).await?;
            transaction.commit().await.map_err(failed)?;
            self.watch.wake();
            Ok(true)
        })
    }

    fn create_token(&self, new: NewToken) -> Reply<'_, ()> {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO tokens (id, secret_hash, group_name, uses, created, expires)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(new.id)
            .bind(&new.secret_hash[..])
            .bind(new.group.as_str())
            .bind(new.uses)
            .bind(new.created.0)
            .bind(new.expires.0)
            .execute(&self.writer)
            .await
            .map_err(failed)?;
            Ok(())
        })
    }

    fn tokens(&self) -> Reply<'_, Vec<TokenRecord>> {
        Box::pin(async {
            sqlx::query(
                "SELECT id, group_name, uses, used, created, expires, revoked FROM tokens
                 ORDER BY created DESC, rowid DESC",
            )
            .fetch_all(&self.readers)
            .await
            .map_err(failed)?
            .iter()
            .map(token)
            .collect()
        })
    }

    fn revoke_token<'a>(&'a self, id: &'a str, now: Timestamp) -> Reply<'a, bool> {
        Box::pin(async move {
            // The first revocation keeps its time.
            let done = sqlx::query("UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE id = ?")
                .bind(now.0)
                .bind(id)
                .execute(&self.writer)
                .await
                .map_err(failed)?;
            Ok(done.rows_affected() > 0)
        })
    }

    fn spend_token(&self, spend: SpendToken) -> Reply<'_, Result<Enrolled, SpendRefusal>> {
        Box::pin(async move {
            // SECURITY: whoever guesses holds up nobody who writes.
            if !spend::is_known(&self.readers, &spend).await? {
                return Ok(Err(SpendRefusal::Unknown));
            }
            let mut transaction = self.begin().await?;
            let outcome = spend::spend(&mut transaction, &spend).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(outcome)
        })
    }

    fn connectors(&self) -> Reply<'_, Vec<ConnectorRecord>> {
        Box::pin(async {
            sqlx::query("SELECT * FROM connectors ORDER BY enrolled, rowid")
                .fetch_all(&self.readers)
                .await
                .map_err(failed)?
                .iter()
                .map(connector)
                .collect()
        })
    }

    fn connector<'a>(&'a self, id: &'a ConnectorId) -> Reply<'a, Option<ConnectorRecord>> {
        Box::pin(async move {
            sqlx::query("SELECT * FROM connectors WHERE id = ?")
                .bind(id.as_str())
                .fetch_optional(&self.readers)
                .await
                .map_err(failed)?
                .as_ref()
                .map(connector)
                .transpose()
        })
    }

    fn remove_connector<'a>(&'a self, id: &'a ConnectorId, now: Timestamp) -> Reply<'a, bool> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let done =
                sqlx::query("UPDATE connectors SET removed = ? WHERE id = ? AND removed IS NULL")
                    .bind(now.0)
                    .bind(id.as_str())
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
            if done.rows_affected() == 0 {
                return Ok(false);
            }
            add_change(&mut transaction, CONNECTOR_REMOVED, id.as_str(), now).await?;
            transaction.commit().await.map_err(failed)?;
            self.watch.wake();
            Ok(true)
        })
    }

    fn connector_seen<'a>(&'a self, id: &'a ConnectorId, seen: Seen) -> Reply<'a, ()> {
        Box::pin(async move {
            // Never back in time: of two gateways the slower one may come last. But what a clock
            // wrote that was ahead does not stand until then.
            sqlx::query(
                "UPDATE connectors SET seen_at = ?1, seen_address = ?2, seen_version = ?3
                 WHERE id = ?4 AND (seen_at IS NULL OR seen_at <= ?1 OR seen_at > ?1 + ?5)
                     AND NOT coalesce(seen_address = ?2 AND seen_version = ?3
                         AND seen_at BETWEEN ?1 - ?5 + 1 AND ?1 + ?5, FALSE)",
            )
            .bind(seen.at.0)
            .bind(seen.address.to_string())
            .bind(seen.version)
            .bind(id.as_str())
            .bind(SEEN_EVERY)
            .execute(&self.writer)
            .await
            .map_err(failed)?;
            Ok(())
        })
    }

    fn last_change(&self) -> Reply<'_, u64> {
        Box::pin(async {
            let last: i64 = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM changes")
                .fetch_one(&self.readers)
                .await
                .map_err(failed)?;
            u64::try_from(last).map_err(damaged)
        })
    }

    fn changes(&self, after: u64) -> Reply<'_, Vec<Change>> {
        Box::pin(async move {
            sqlx::query(
                "SELECT number, kind, subject FROM changes WHERE number > ? ORDER BY number",
            )
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await
            .map_err(failed)?
            .iter()
            .map(change)
            .collect()
        })
    }

    fn changed(&self) -> Reply<'_, ()> {
        Box::pin(self.watch.changed())
    }
}

/// Adds to the change log and returns the number, which is taken under the lock of the transaction,
/// so that a rolled-back one leaves no gap.
async fn add_change(
    transaction: &mut SqliteConnection,
    kind: &str,
    subject: &str,
    at: Timestamp,
) -> Result<i64, StoreError> {
    sqlx::query_scalar(
        "INSERT INTO changes (number, kind, subject, at)
         SELECT coalesce(max(number), 0) + 1, ?, ?, ? FROM changes RETURNING number",
    )
    .bind(kind)
    .bind(subject)
    .bind(at.0)
    .fetch_one(transaction)
    .await
    .map_err(failed)
}

/// Columns that several tables have.
trait Decoded {
    fn group(&self) -> Result<GroupName, StoreError>;
    fn time(&self, column: &str) -> Result<Timestamp, StoreError>;
    fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError>;
}

impl Decoded for SqliteRow {
    fn group(&self) -> Result<GroupName, StoreError> {
        let name: &str = self.try_get("group_name").map_err(failed)?;
        GroupName::new(name).map_err(damaged)
    }

    fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.try_get(column).map(Timestamp).map_err(failed)
    }

    fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let time: Option<i64> = self.try_get(column).map_err(failed)?;
        Ok(time.map(Timestamp))
    }
}

fn token(row: &SqliteRow) -> Result<TokenRecord, StoreError> {
    Ok(TokenRecord {
        id: row.try_get("id").map_err(failed)?,
        group: row.group()?,
        uses: row.try_get("uses").map_err(failed)?,
        used: row.try_get("used").map_err(failed)?,
        created: row.time("created")?,
        expires: row.time("expires")?,
        revoked: row.maybe_time("revoked")?,
    })
}

fn connector(row: &SqliteRow) -> Result<ConnectorRecord, StoreError> {
    let id: &str = row.try_get("id").map_err(failed)?;
    let seen = match row.maybe_time("seen_at")? {
        None => None,
        Some(at) => {
            let address: &str = row.try_get("seen_address").map_err(failed)?;
            Some(Seen {
                at,
                address: address.parse().map_err(damaged)?,
                version: row.try_get("seen_version").map_err(failed)?,
            })
        }
    };
    Ok(ConnectorRecord {
        id: ConnectorId::new(id).map_err(damaged)?,
        group: row.group()?,
        name: row.try_get("name").map_err(failed)?,
        enrolled: row.time("enrolled")?,
        seen,
        removed: row.maybe_time("removed")?,
    })
}

fn change(row: &SqliteRow) -> Result<Change, StoreError> {
    let number: i64 = row.try_get("number").map_err(failed)?;
    let kind: &str = row.try_get("kind").map_err(failed)?;
    let subject: &str = row.try_get("subject").map_err(failed)?;
    Ok(Change {
        number: u64::try_from(number).map_err(damaged)?,
        what: match kind {
            CONNECTOR_REMOVED => {
                Changed::ConnectorRemoved(ConnectorId::new(subject).map_err(damaged)?)
            }
            AUTHORITIES => Changed::Authorities,
            service_tokens::SERVICE_TOKENS => Changed::ServiceTokens,
            signed_in::SECRET_ROTATED => Changed::SecretRotated(subject.into()),
            kind if kind == revoke::SESSION_CHANGES[0] => {
                Changed::SessionRevoked(SessionId::new(subject).map_err(damaged)?)
            }
            kind if kind == revoke::SESSION_CHANGES[1] => {
                Changed::SessionsRevoked(revoke::name(subject)?)
            }
            other => Changed::Unknown(other.into()),
        },
    })
}

fn damaged(error: impl fmt::Display) -> StoreError {
    StoreError::Damaged(error.to_string())
}

/// Says what an error of the database means to an operator. By result code
/// (<https://sqlite.org/rescode.html>), whose low octet is its class; never by its text.
fn failed(error: sqlx::Error) -> StoreError {
    STORE_ERRORS.count(&[]);
    let code = error
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<u32>().ok())
        .map(|code| code & 0xff);
    let why = match (code, &error) {
        (Some(11 | 26), _) | (_, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
            return damaged(error);
        }
        (Some(3 | 8), _) => "the file or its folder cannot be written by this user",
        (Some(5 | 6), _) => "another process has kept it locked for 5 seconds",
        (Some(10), _) => "the disk reports an error",
        (Some(13), _) => "the disk is full",
        (Some(14), _) => "the file cannot be opened",
        (_, sqlx::Error::PoolTimedOut) => "it has been busy for 10 seconds",
        _ => return StoreError::Unavailable(error.to_string()),
    };
    StoreError::Unavailable(format!("{why} ({error})"))
}
