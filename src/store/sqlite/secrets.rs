//! The secrets that gateways share, by name.

use sqlx::SqliteConnection;
use zeroize::Zeroizing;

use super::{damaged, failed};
use crate::clock::Timestamp;
use crate::store::seal::{Opened, Purpose, StoreKeys};
use crate::store::{SecretOctets, SharedSecret, StoreError};

/// All of one name, the newest first.
pub(super) async fn all(
    connection: &mut SqliteConnection,
    keys: &StoreKeys,
    name: &str,
) -> Result<Vec<SharedSecret>, StoreError> {
    let rows: Vec<(Vec<u8>, i64)> =
        sqlx::query_as("SELECT sealed, created FROM secrets WHERE name = ? ORDER BY number DESC")
            .bind(name)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    rows.into_iter()
        .map(|(sealed, created)| {
            let opened = keys.open(Purpose::SharedSecret, &sealed)?;
            Ok(SharedSecret {
                octets: octets(name, &opened)?,
                created: Timestamp(created),
            })
        })
        .collect()
}

/// Adds the newest one.
pub(super) async fn add(
    transaction: &mut SqliteConnection,
    keys: &StoreKeys,
    name: &str,
    new: &SecretOctets,
    now: Timestamp,
) -> Result<(), StoreError> {
    // With its name, so that a row cannot be put in the place of another.
    let mut plain = Zeroizing::new(name.as_bytes().to_vec());
    plain.extend_from_slice(&**new);
    sqlx::query(
        "INSERT INTO secrets (name, number, sealed, created)
         SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM secrets WHERE name = ?1",
    )
    .bind(name)
    .bind(keys.seal(Purpose::SharedSecret, &plain)?)
    .bind(now.0)
    .execute(transaction)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Forgets all but the newest and `keep` others.
pub(super) async fn forget(
    transaction: &mut SqliteConnection,
    name: &str,
    keep: u32,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM secrets WHERE name = ?1
         AND number < (SELECT max(number) FROM secrets WHERE name = ?1) - ?2",
    )
    .bind(name)
    .bind(keep)
    .execute(transaction)
    .await
    .map_err(failed)?;
    Ok(())
}

fn octets(name: &str, opened: &Opened) -> Result<SecretOctets, StoreError> {
    let mut octets = SecretOctets::default();
    let found = opened.plain.strip_prefix(name.as_bytes());
    let found = found.filter(|found| found.len() == octets.len());
    let found = found.ok_or_else(|| damaged(format!("the secret `{name}` is another one")))?;
    octets.copy_from_slice(found);
    Ok(octets)
}

/// Opens every one, and seals anew what an older key sealed.
pub(super) async fn reseal(
    connection: &mut SqliteConnection,
    keys: &StoreKeys,
) -> Result<(), StoreError> {
    let sealed: Vec<(String, i64, Vec<u8>)> =
        sqlx::query_as("SELECT name, number, sealed FROM secrets")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    for (name, number, sealed) in sealed {
        let secret = keys.open(Purpose::SharedSecret, &sealed)?;
        octets(&name, &secret)?;
        if secret.stale {
            sqlx::query("UPDATE secrets SET sealed = ? WHERE name = ? AND number = ?")
                .bind(keys.seal(Purpose::SharedSecret, &secret.plain)?)
                .bind(name)
                .bind(number)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
    }
    Ok(())
}
