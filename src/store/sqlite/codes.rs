//! What may come once: codes that are handed over, and identifiers that were seen.

use sqlx::SqliteConnection;

use super::failed;
use crate::clock::Timestamp;
use crate::store::{Once, StoreError};

/// Codes that are kept at once. Each lives a minute, so this is more than 150 sign-ins a second.
pub(super) const MOST: i64 = 10_000;

/// Keeps one; `false` where too many are kept.
pub(super) async fn put(
    transaction: &mut SqliteConnection,
    hash: [u8; 32],
    payload: &[u8],
    now: Timestamp,
    expires: Timestamp,
) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM codes WHERE expires <= ?")
        .bind(now.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let done = sqlx::query(
        "INSERT INTO codes (hash, payload, expires)
         SELECT ?, ?, ? WHERE (SELECT count(*) FROM codes) < ?",
    )
    .bind(&hash[..])
    .bind(payload)
    .bind(expires.0)
    .bind(MOST)
    .execute(transaction)
    .await
    .map_err(failed)?;
    Ok(done.rows_affected() > 0)
}

/// Takes one away, in one statement: of two that present it, one has it.
pub(super) async fn take(
    connection: &mut SqliteConnection,
    hash: [u8; 32],
    now: Timestamp,
) -> Result<Option<Vec<u8>>, StoreError> {
    let taken: Option<(Vec<u8>, i64)> =
        sqlx::query_as("DELETE FROM codes WHERE hash = ? RETURNING payload, expires")
            .bind(&hash[..])
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
    Ok(taken.and_then(|(payload, expires)| (now.0 < expires).then_some(payload)))
}

/// Whether this comes for the first time.
pub(super) async fn remember(
    connection: &mut SqliteConnection,
    once: Once,
) -> Result<bool, StoreError> {
    let done = sqlx::query("INSERT INTO once (name, until) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(&once.name.0[..])
        .bind(once.until.0)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(done.rows_affected() > 0)
}
