//! The authorities: one that issues, and while a rotation is under way the one before it.

use secrecy::{ExposeSecret, SecretString};
use sqlx::SqliteConnection;

use super::failed;
use crate::clock::Timestamp;
use crate::store::seal::{Purpose, StoreKeys};
use crate::store::{AuthorityRecord, StoreError};

/// All of them, the newest first.
pub(super) async fn all(
    connection: &mut SqliteConnection,
    keys: &StoreKeys,
) -> Result<Vec<AuthorityRecord>, StoreError> {
    let rows: Vec<(String, Vec<u8>, Option<i64>)> = sqlx::query_as(
        "SELECT certificate_pem, key_sealed, ends FROM authorities ORDER BY number DESC",
    )
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    rows.into_iter()
        .map(|(certificate_pem, sealed, ends)| {
            let key = keys.open(Purpose::AuthorityKey, &sealed)?.plain;
            let key = std::str::from_utf8(&key)
                .map_err(|_| StoreError::Damaged("an authority's key is no text".into()))?;
            Ok(AuthorityRecord {
                certificate_pem,
                key_pem: SecretString::new(key.into()),
                ends: ends.map(Timestamp),
            })
        })
        .collect()
}

/// Stores the first one unless there is one.
pub(super) async fn create(
    transaction: &mut SqliteConnection,
    keys: &StoreKeys,
    new: &AuthorityRecord,
) -> Result<Vec<AuthorityRecord>, StoreError> {
    let stored = all(transaction, keys).await?;
    if !stored.is_empty() {
        return Ok(stored);
    }
    insert(transaction, keys, new).await?;
    all(transaction, keys).await
}

/// Stores another one, before which the newest ends; `false` where there is not exactly one.
pub(super) async fn rotate(
    transaction: &mut SqliteConnection,
    keys: &StoreKeys,
    new: &AuthorityRecord,
    old_ends: Timestamp,
) -> Result<bool, StoreError> {
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM authorities")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    if stored != 1 {
        return Ok(false);
    }
    sqlx::query("UPDATE authorities SET ends = ?")
        .bind(old_ends.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    insert(transaction, keys, new).await?;
    Ok(true)
}

/// Forgets those that end by then; `false` where there is none.
pub(super) async fn finish(
    transaction: &mut SqliteConnection,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM authorities WHERE ends <= ?")
        .bind(until.0)
        .execute(transaction)
        .await
        .map_err(failed)?;
    Ok(done.rows_affected() > 0)
}

async fn insert(
    transaction: &mut SqliteConnection,
    keys: &StoreKeys,
    new: &AuthorityRecord,
) -> Result<(), StoreError> {
    let key = new.key_pem.expose_secret().as_bytes();
    sqlx::query(
        "INSERT INTO authorities (number, certificate_pem, key_sealed)
         SELECT coalesce(max(number), 0) + 1, ?, ? FROM authorities",
    )
    .bind(&new.certificate_pem)
    .bind(keys.seal(Purpose::AuthorityKey, key)?)
    .execute(transaction)
    .await
    .map_err(failed)?;
    Ok(())
}
