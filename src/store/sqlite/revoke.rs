//! Sessions end before their time, and one process at a time renews a sign-in.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::{add_change, damaged, failed};
use crate::clock::Timestamp;
use crate::model::SessionId;
use crate::store::{Lease, SessionName, StoreError};

/// The kinds of changes: one session was revoked, and all of one name were.
pub(super) const SESSION_CHANGES: [&str; 2] = ["session_revoked", "sessions_revoked"];

/// Longer than anybody asks a provider (10 s) and writes what came of it, so that a lease ends
/// before its time only where a process died.
const LEASE: Duration = Duration::from_secs(30);

/// Revokes one and those below it; `false` where there is none to revoke.
pub(super) async fn one(
    transaction: &mut SqliteConnection,
    id: &SessionId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    // What opens them is wiped: not even a ticket that was stolen and this file together say more.
    let done = sqlx::query(
        "UPDATE sessions SET revoked = ?1, opener = x'', record = x''
         WHERE (id = ?2 OR parent = ?2) AND revoked IS NULL",
    )
    .bind(now.0)
    .bind(id.as_str())
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    let [kind, _] = SESSION_CHANGES;
    add_change(transaction, kind, id.as_str(), now).await?;
    Ok(true)
}

/// Whether there is one of a name to revoke.
pub(super) async fn has(
    connection: &mut SqliteConnection,
    name: &SessionName,
) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM session_names JOIN sessions ON sessions.id = session
         WHERE name = ? AND revoked IS NULL)",
    )
    .bind(&name.0[..])
    .fetch_one(connection)
    .await
    .map_err(failed)
}

/// Revokes all of a name with those below them, and leaves a tombstone; returns how many.
pub(super) async fn named(
    transaction: &mut SqliteConnection,
    name: &SessionName,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "WITH named AS (SELECT session FROM session_names WHERE name = ?2)
         UPDATE sessions SET revoked = ?1, opener = x'', record = x''
         WHERE (id IN named OR parent IN named) AND revoked IS NULL",
    )
    .bind(now.0)
    .bind(&name.0[..])
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    let [_, kind] = SESSION_CHANGES;
    let text: String = name.0.iter().map(|octet| format!("{octet:02x}")).collect();
    let change = add_change(&mut *transaction, kind, &text, now).await?;
    sqlx::query(
        "INSERT INTO tombstones (name, change, at) VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET change = excluded.change, at = excluded.at",
    )
    .bind(&name.0[..])
    .bind(change)
    .bind(now.0)
    .execute(transaction)
    .await
    .map_err(failed)?;
    Ok(done.rows_affected())
}

/// Reads the name that a change has.
pub(super) fn name(text: &str) -> Result<SessionName, StoreError> {
    let wrong = || damaged(format!("`{text}` is no name of sessions"));
    let mut name = SessionName([0; 32]);
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (at, octet) in name.0.iter_mut().enumerate() {
        let digits = text.get(2 * at..2 * at + 2).ok_or_else(wrong)?;
        *octet = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(name)
}

/// Gives the right to replace a record, unless somebody has it.
pub(super) async fn begin_refresh(
    transaction: &mut SqliteConnection,
    id: &SessionId,
    now: Timestamp,
) -> Result<Lease, StoreError> {
    let found: Option<(i64, Vec<u8>, i64, Option<i64>)> = sqlx::query_as(
        "SELECT fence, record, version, lease_ends FROM sessions
         WHERE id = ? AND parent IS NULL AND revoked IS NULL",
    )
    .bind(id.as_str())
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed)?;
    let Some((fence, record, version, lease_ends)) = found else {
        return Ok(Lease::Gone);
    };
    let ends = now.plus(LEASE);
    // One that ends later was given by a clock that was ahead.
    if lease_ends.is_some_and(|held| now.0 < held && held <= ends.0) {
        return Ok(Lease::Held);
    }
    let fence = fence + 1;
    sqlx::query("UPDATE sessions SET fence = ?, lease_ends = ? WHERE id = ?")
        .bind(fence)
        .bind(ends.0)
        .bind(id.as_str())
        .execute(transaction)
        .await
        .map_err(failed)?;
    Ok(Lease::Granted {
        fence: u64::try_from(fence).map_err(damaged)?,
        record,
        version: u64::try_from(version).map_err(damaged)?,
    })
}

/// Takes it back; `false` where it was somebody else's meanwhile.
pub(super) async fn end_refresh(
    connection: &mut SqliteConnection,
    id: &SessionId,
    fence: u64,
    record: Option<&[u8]>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE sessions SET lease_ends = NULL, record = coalesce(?1, record),
             version = version + (?1 IS NOT NULL)
         WHERE id = ?2 AND fence = ?3 AND lease_ends IS NOT NULL AND revoked IS NULL",
    )
    .bind(record)
    .bind(id.as_str())
    .bind(i64::try_from(fence).unwrap_or(i64::MAX))
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(done.rows_affected() > 0)
}
