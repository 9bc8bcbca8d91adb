//! Service tokens, by the verbs of [`ServiceTokenStore`].

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Decoded as _, SqliteStore, add_change, damaged, failed};
use crate::clock::Timestamp;
use crate::model::ApplicationName;
use crate::store::{NewServiceToken, Reply, ServiceTokenRecord, ServiceTokenStore, StoreError};

/// The kind of a change: there are other service tokens now.
pub(super) const SERVICE_TOKENS: &str = "service_tokens";

impl ServiceTokenStore for SqliteStore {
    fn create_service_token(&self, new: NewServiceToken) -> Reply<'_, ()> {
        Box::pin(async move {
            let names: Vec<&str> = new.applications.iter().map(|name| name.as_str()).collect();
            let mut transaction = self.begin().await?;
            sqlx::query(
                "INSERT INTO service_tokens
                     (id, name, secret_hash, applications, paths, created, expires)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&new.id)
            .bind(new.name)
            .bind(&new.secret_hash[..])
            .bind(serde_json::Value::from(names).to_string())
            .bind(serde_json::Value::from(new.paths).to_string())
            .bind(new.created.0)
            .bind(new.expires.0)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            add_change(&mut transaction, SERVICE_TOKENS, &new.id, new.created).await?;
            transaction.commit().await.map_err(failed)?;
            self.watch.wake();
            Ok(())
        })
    }

    fn service_tokens(&self) -> Reply<'_, Vec<ServiceTokenRecord>> {
        Box::pin(async {
            sqlx::query("SELECT * FROM service_tokens ORDER BY created DESC, rowid DESC")
                .fetch_all(&self.readers)
                .await
                .map_err(failed)?
                .iter()
                .map(record)
                .collect()
        })
    }

    fn revoke_service_tokens<'a>(&'a self, which: &'a str, now: Timestamp) -> Reply<'a, u64> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let done = sqlx::query(
                "UPDATE service_tokens SET revoked = ?1
                 WHERE (id = ?2 OR name = ?2) AND revoked IS NULL",
            )
            .bind(now.0)
            .bind(which)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            if done.rows_affected() == 0 {
                return Ok(0);
            }
            add_change(&mut transaction, SERVICE_TOKENS, which, now).await?;
            transaction.commit().await.map_err(failed)?;
            self.watch.wake();
            Ok(done.rows_affected())
        })
    }

    fn touch_service_tokens(&self, used: Vec<(String, Timestamp)>) -> Reply<'_, ()> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            for (id, at) in used {
                sqlx::query(
                    "UPDATE service_tokens SET last_used = max(coalesce(last_used, ?1), ?1)
                     WHERE id = ?2",
                )
                .bind(at.0)
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            }
            transaction.commit().await.map_err(failed)
        })
    }
}

fn record(row: &SqliteRow) -> Result<ServiceTokenRecord, StoreError> {
    let list = |column: &str| -> Result<Vec<String>, StoreError> {
        let text: &str = row.try_get(column).map_err(failed)?;
        serde_json::from_str(text).map_err(damaged)
    };
    let hash: &[u8] = row.try_get("secret_hash").map_err(failed)?;
    let applications = list("applications")?.into_iter();
    let applications = applications.map(|name| ApplicationName::new(&name).map_err(damaged));
    Ok(ServiceTokenRecord {
        id: row.try_get("id").map_err(failed)?,
        name: row.try_get("name").map_err(failed)?,
        secret_hash: hash.try_into().map_err(damaged)?,
        applications: applications.collect::<Result<_, _>>()?,
        paths: list("paths")?,
        created: row.time("created")?,
        expires: row.time("expires")?,
        revoked: row.maybe_time("revoked")?,
        last_used: row.maybe_time("last_used")?,
    })
}
