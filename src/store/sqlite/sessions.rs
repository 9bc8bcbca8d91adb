//! Sessions: stored, read, used, listed and swept.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};
use zeroize::Zeroizing;

use super::revoke::SESSION_CHANGES;
use super::{Decoded, damaged, failed};
use crate::clock::Timestamp;
use crate::model::SessionId;
use crate::store::seal::{Purpose, StoreKeys};
use crate::store::{
    ListedSession, NewSessionRecord, Origin, SessionRecord, SessionRefusal, StoreError, Used,
};

/// A session that is used over and over is noted this often at most, seconds.
const USED_EVERY: i64 = 60;

/// A clock that jumps ahead and back must not have ended anything for good.
const ENDED_KEPT: Duration = Duration::from_secs(60 * 60);

/// So long it can be told that a session was revoked, and a sign-in under way is refused; none
/// takes nearly as long.
const REVOKED_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Whoever has not read the change log for so long has forgotten all sessions anyway.
const CHANGES_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Stores one inside the transaction; on a refusal nothing was written.
pub(super) async fn create(
    transaction: &mut SqliteConnection,
    keys: &StoreKeys,
    new: &NewSessionRecord,
) -> Result<Result<(), SessionRefusal>, StoreError> {
    let mut ends = new.ends;
    let (parent, record, names) = match &new.origin {
        Origin::SignIn {
            began,
            names,
            record,
        } => {
            for name in names {
                let signed_out: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT 1 FROM tombstones WHERE name = ? AND change > ?)",
                )
                .bind(&name.0[..])
                .bind(i64::try_from(*began).unwrap_or(i64::MAX))
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed)?;
                if signed_out {
                    return Ok(Err(SessionRefusal::SignedOut));
                }
            }
            (None, &record[..], &names[..])
        }
        Origin::Session(parent) => {
            let parent_ends: Option<i64> = sqlx::query_scalar(
                "SELECT ends FROM sessions
                 WHERE id = ?1 AND parent IS NULL AND revoked IS NULL
                     AND ends > ?2 AND idle_ends > ?2",
            )
            .bind(parent.as_str())
            .bind(new.created.0)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
            let Some(parent_ends) = parent_ends else {
                return Ok(Err(SessionRefusal::ParentEnded));
            };
            ends = ends.min(Timestamp(parent_ends));
            (Some(parent.as_str()), &[][..], &[][..])
        }
    };
    sqlx::query(
        "INSERT INTO sessions
             (id, host, parent, opener, record, shown, created, last_used, idle_ends, ends)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)",
    )
    .bind(new.id.as_str())
    .bind(&new.host)
    .bind(parent)
    .bind(&new.opener)
    .bind(record)
    .bind(seal_shown(keys, new.id.as_str(), &new.shown)?)
    .bind(new.created.0)
    .bind(new.idle_ends.0)
    .bind(ends.0)
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    for name in names {
        sqlx::query(
            "INSERT INTO session_names (name, session) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(&name.0[..])
        .bind(new.id.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    }
    Ok(Ok(()))
}

/// Sealed with the session's identifier, so that a row cannot show what is another's.
fn seal_shown(keys: &StoreKeys, id: &str, shown: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut plain = Zeroizing::new(id.as_bytes().to_vec());
    plain.extend_from_slice(shown);
    keys.seal(Purpose::SessionShown, &plain)
}

/// One of them, with the record of its parent where it has one.
pub(super) async fn one(
    readers: &SqlitePool,
    id: &SessionId,
) -> Result<Option<SessionRecord>, StoreError> {
    sqlx::query(
        "SELECT s.id, s.host, s.parent, s.opener, s.created, s.idle_ends, s.ends, s.revoked,
                coalesce(p.record, s.record) AS record, coalesce(p.version, s.version) AS version
         FROM sessions s LEFT JOIN sessions p ON p.id = s.parent WHERE s.id = ?",
    )
    .bind(id.as_str())
    .fetch_optional(readers)
    .await
    .map_err(failed)?
    .as_ref()
    .map(record)
    .transpose()
}

fn record(row: &SqliteRow) -> Result<SessionRecord, StoreError> {
    let version: i64 = row.try_get("version").map_err(failed)?;
    Ok(SessionRecord {
        id: session_id(row, "id")?.ok_or_else(|| damaged("a session without an identifier"))?,
        host: row.try_get("host").map_err(failed)?,
        parent: session_id(row, "parent")?,
        opener: row.try_get("opener").map_err(failed)?,
        record: row.try_get("record").map_err(failed)?,
        version: u64::try_from(version).map_err(damaged)?,
        created: row.time("created")?,
        idle_ends: row.time("idle_ends")?,
        ends: row.time("ends")?,
        revoked: row.maybe_time("revoked")?,
    })
}

fn session_id(row: &SqliteRow, column: &str) -> Result<Option<SessionId>, StoreError> {
    let id: Option<&str> = row.try_get(column).map_err(failed)?;
    id.map(SessionId::new).transpose().map_err(damaged)
}

/// Notes that they were used, with their parents; returns those that are gone.
pub(super) async fn touch(
    transaction: &mut SqliteConnection,
    used: &[Used],
) -> Result<Vec<SessionId>, StoreError> {
    let mut gone = Vec::new();
    for used in used {
        let lives: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ? AND revoked IS NULL)",
        )
        .bind(used.id.as_str())
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
        if !lives {
            gone.push(used.id.clone());
            continue;
        }
        // Never back in time, of two gateways the slower one may come last; but what a clock wrote
        // that was ahead does not stand until then.
        sqlx::query(
            "UPDATE sessions SET last_used = ?1, idle_ends = ?2
             WHERE (id = ?3 OR id = (SELECT parent FROM sessions WHERE id = ?3))
                 AND (last_used + ?4 <= ?1 OR last_used > ?1 + ?4)",
        )
        .bind(used.at.0)
        .bind(used.idle_ends.0)
        .bind(used.id.as_str())
        .bind(USED_EVERY)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    }
    Ok(gone)
}

/// All of them, the newest first.
pub(super) async fn all(
    connection: &mut SqliteConnection,
    keys: &StoreKeys,
) -> Result<Vec<ListedSession>, StoreError> {
    sqlx::query(
        "SELECT id, host, parent, shown, created, last_used, idle_ends, ends, revoked
         FROM sessions ORDER BY created DESC, rowid DESC",
    )
    .fetch_all(connection)
    .await
    .map_err(failed)?
    .iter()
    .map(|row| {
        let id = session_id(row, "id")?;
        let id = id.ok_or_else(|| damaged("a session without an identifier"))?;
        let sealed: &[u8] = row.try_get("shown").map_err(failed)?;
        let opened = keys.open(Purpose::SessionShown, sealed)?.plain;
        let shown = opened
            .strip_prefix(id.as_str().as_bytes())
            .ok_or_else(|| damaged(format!("what session {id} shows is another's")))?;
        Ok(ListedSession {
            host: row.try_get("host").map_err(failed)?,
            parent: session_id(row, "parent")?,
            shown: Zeroizing::new(shown.to_vec()),
            created: row.time("created")?,
            last_used: row.time("last_used")?,
            idle_ends: row.time("idle_ends")?,
            ends: row.time("ends")?,
            revoked: row.maybe_time("revoked")?,
            id,
        })
    })
    .collect()
}

/// Forgets what is of no use any more; returns how many sessions.
pub(super) async fn sweep(
    transaction: &mut SqliteConnection,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut swept = 0;
    // Those below a parent go with it, and first, because what cascades is not counted.
    for sql in [
        "WITH ended AS (
             SELECT id FROM sessions WHERE ends <= ?1 OR idle_ends <= ?1 OR revoked <= ?2
         )
         DELETE FROM sessions WHERE parent IS NOT NULL AND (id IN ended OR parent IN ended)",
        "DELETE FROM sessions WHERE ends <= ?1 OR idle_ends <= ?1 OR revoked <= ?2",
    ] {
        let done = sqlx::query(sql)
            .bind(now.minus(ENDED_KEPT).0)
            .bind(now.minus(REVOKED_KEPT).0)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        swept += done.rows_affected();
    }
    for (sql, until) in [
        ("DELETE FROM codes WHERE expires <= ?", ENDED_KEPT),
        ("DELETE FROM once WHERE until <= ?", ENDED_KEPT),
        ("DELETE FROM tombstones WHERE at <= ?", REVOKED_KEPT),
    ] {
        sqlx::query(sql)
            .bind(now.minus(until).0)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    // The newest row stays: its number is what the next one is counted from.
    let [session, sessions] = SESSION_CHANGES;
    sqlx::query(
        "DELETE FROM changes WHERE kind IN (?, ?) AND at <= ?
             AND number < (SELECT max(number) FROM changes)",
    )
    .bind(session)
    .bind(sessions)
    .bind(now.minus(CHANGES_KEPT).0)
    .execute(transaction)
    .await
    .map_err(failed)?;
    Ok(swept)
}

/// Seals anew what an older key sealed.
pub(super) async fn reseal(
    connection: &mut SqliteConnection,
    keys: &StoreKeys,
) -> Result<(), StoreError> {
    let shown: Vec<(String, Vec<u8>)> = sqlx::query_as("SELECT id, shown FROM sessions")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    for (id, sealed) in shown {
        let shown = keys.open(Purpose::SessionShown, &sealed)?;
        if shown.stale {
            sqlx::query("UPDATE sessions SET shown = ? WHERE id = ?")
                .bind(keys.seal(Purpose::SessionShown, &shown.plain)?)
                .bind(id)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
    }
    Ok(())
}
