//! A token becomes a connector: one transaction, all of it or nothing.

use std::time::Duration;

use sqlx::{Row, SqliteConnection, SqlitePool};

use super::{Decoded, damaged, failed};
use crate::clock::Timestamp;
use crate::model::{ConnectorId, GroupName};
use crate::store::{Enrolled, SpendRefusal, SpendToken, StoreError};

/// How long after its token's end a connector may still fetch the answer it lost. The key has
/// enrolled already, so this opens nothing new; it ends so that no token lives forever.
const REPEAT: Duration = Duration::from_secs(24 * 60 * 60);

struct Token {
    id: String,
    group: GroupName,
    uses: u32,
    used: u32,
    expires: Timestamp,
    revoked: bool,
}

/// The connector that has this public key already.
struct Known {
    enrolled: Enrolled,
    removed: bool,
    /// It spent this very token.
    by_this_token: bool,
}

/// Whether there is such a token, whatever it is worth.
pub(super) async fn is_known(readers: &SqlitePool, spend: &SpendToken) -> Result<bool, StoreError> {
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tokens WHERE secret_hash = ?)")
            .bind(&spend.secret_hash[..])
            .fetch_one(readers)
            .await
            .map_err(failed)?;
    Ok(known)
}

/// Spends inside the transaction of `connection`; on a refusal nothing was written.
pub(super) async fn spend(
    connection: &mut SqliteConnection,
    spend: &SpendToken,
) -> Result<Result<Enrolled, SpendRefusal>, StoreError> {
    let Some(token) = token(connection, spend).await? else {
        return Ok(Err(SpendRefusal::Unknown));
    };
    let known = known(connection, spend, &token).await?;
    match judge(&token, known.as_ref(), spend.now) {
        Err(refusal) => return Ok(Err(refusal)),
        Ok(Verdict::Repeat(enrolled)) => return Ok(Ok(enrolled)),
        Ok(Verdict::Spend) => {}
    }
    // A key that comes back with another token keeps its identifier and joins that token's group.
    let enrolled = Enrolled {
        id: known.map_or_else(|| spend.id.clone(), |known| known.enrolled.id),
        group: token.group,
    };
    sqlx::query(
        "INSERT INTO connectors (id, public_key_hash, group_name, name, enrolled)
         VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (public_key_hash) DO UPDATE SET
             group_name = excluded.group_name, name = excluded.name, enrolled = excluded.enrolled",
    )
    .bind(enrolled.id.as_str())
    .bind(&spend.public_key_hash[..])
    .bind(enrolled.group.as_str())
    .bind(&spend.name)
    .bind(spend.now.0)
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    sqlx::query("INSERT INTO enrolments (token, public_key_hash, at) VALUES (?, ?, ?)")
        .bind(&token.id)
        .bind(&spend.public_key_hash[..])
        .bind(spend.now.0)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    sqlx::query("UPDATE tokens SET used = used + 1 WHERE id = ?")
        .bind(&token.id)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(Ok(enrolled))
}

enum Verdict {
    /// Buys an enrolment.
    Spend,
    /// Bought this one before.
    Repeat(Enrolled),
}

fn judge(token: &Token, known: Option<&Known>, now: Timestamp) -> Result<Verdict, SpendRefusal> {
    match known {
        Some(known) if known.removed => Err(SpendRefusal::Removed),
        _ if token.revoked => Err(SpendRefusal::Revoked),
        Some(known) if known.by_this_token && now < token.expires.plus(REPEAT) => {
            Ok(Verdict::Repeat(known.enrolled.clone()))
        }
        // Before `Expired`: that somebody else was faster is what its owner must hear.
        _ if token.used >= token.uses => Err(SpendRefusal::Spent),
        _ if now >= token.expires => Err(SpendRefusal::Expired),
        _ => Ok(Verdict::Spend),
    }
}

async fn token(
    connection: &mut SqliteConnection,
    spend: &SpendToken,
) -> Result<Option<Token>, StoreError> {
    sqlx::query(
        "SELECT id, group_name, uses, used, expires, revoked IS NOT NULL AS revoked
         FROM tokens WHERE secret_hash = ?",
    )
    .bind(&spend.secret_hash[..])
    .fetch_optional(connection)
    .await
    .map_err(failed)?
    .map(|row| {
        Ok(Token {
            id: row.try_get("id").map_err(failed)?,
            group: row.group()?,
            uses: row.try_get("uses").map_err(failed)?,
            used: row.try_get("used").map_err(failed)?,
            expires: row.time("expires")?,
            revoked: row.try_get("revoked").map_err(failed)?,
        })
    })
    .transpose()
}

async fn known(
    connection: &mut SqliteConnection,
    spend: &SpendToken,
    token: &Token,
) -> Result<Option<Known>, StoreError> {
    sqlx::query(
        "SELECT id, group_name, removed IS NOT NULL AS removed,
                EXISTS (SELECT 1 FROM enrolments e
                        WHERE e.token = ? AND e.public_key_hash = c.public_key_hash) AS by_this_token
         FROM connectors c WHERE public_key_hash = ?",
    )
    .bind(&token.id)
    .bind(&spend.public_key_hash[..])
    .fetch_optional(connection)
    .await
    .map_err(failed)?
    .map(|row| {
        let id: &str = row.try_get("id").map_err(failed)?;
        Ok(Known {
            enrolled: Enrolled {
                id: ConnectorId::new(id).map_err(damaged)?,
                group: row.group()?,
            },
            removed: row.try_get("removed").map_err(failed)?,
            by_this_token: row.try_get("by_this_token").map_err(failed)?,
        })
    })
    .transpose()
}
