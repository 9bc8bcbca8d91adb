//! What sign-in keeps, by the verbs of [`SessionStore`].

use super::{SqliteStore, add_change, codes, failed, revoke, secrets, sessions};
use crate::clock::Timestamp;
use crate::model::SessionId;
use crate::store::{
    Lease, ListedSession, NewSessionRecord, Once, Reply, SecretOctets, SessionName, SessionRecord,
    SessionRefusal, SessionStore, SharedSecret, Used,
};

/// The kind of a change: there is a newer secret of a name.
pub(super) const SECRET_ROTATED: &str = "secret_rotated";

impl SessionStore for SqliteStore {
    fn secrets<'a>(
        &'a self,
        name: &'a str,
        new: SecretOctets,
        now: Timestamp,
    ) -> Reply<'a, Vec<SharedSecret>> {
        Box::pin(async move {
            // Most find it there, and hold up nobody who writes.
            let mut reader = self.readers.acquire().await.map_err(failed)?;
            let stored = secrets::all(&mut reader, &self.keys, name).await?;
            drop(reader);
            if !stored.is_empty() {
                return Ok(stored);
            }
            let mut transaction = self.begin().await?;
            let stored = secrets::all(&mut transaction, &self.keys, name).await?;
            if !stored.is_empty() {
                return Ok(stored);
            }
            secrets::add(&mut transaction, &self.keys, name, &new, now).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(vec![SharedSecret {
                octets: new,
                created: now,
            }])
        })
    }

    fn rotate_secret<'a>(
        &'a self,
        name: &'a str,
        new: SecretOctets,
        keep: u32,
        now: Timestamp,
    ) -> Reply<'a, ()> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            secrets::add(&mut transaction, &self.keys, name, &new, now).await?;
            secrets::forget(&mut transaction, name, keep).await?;
            add_change(&mut transaction, SECRET_ROTATED, name, now).await?;
            transaction.commit().await.map_err(failed)?;
            self.watch.wake();
            Ok(())
        })
    }

    fn create_session(&self, new: NewSessionRecord) -> Reply<'_, Result<(), SessionRefusal>> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            if let Err(refusal) = sessions::create(&mut transaction, &self.keys, &new).await? {
                return Ok(Err(refusal));
            }
            transaction.commit().await.map_err(failed)?;
            Ok(Ok(()))
        })
    }

    fn session<'a>(&'a self, id: &'a SessionId) -> Reply<'a, Option<SessionRecord>> {
        Box::pin(sessions::one(&self.readers, id))
    }

    fn touch_sessions(&self, used: Vec<Used>) -> Reply<'_, Vec<SessionId>> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let gone = sessions::touch(&mut transaction, &used).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(gone)
        })
    }

    fn begin_refresh<'a>(&'a self, id: &'a SessionId, now: Timestamp) -> Reply<'a, Lease> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let lease = revoke::begin_refresh(&mut transaction, id, now).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(lease)
        })
    }

    fn end_refresh<'a>(
        &'a self,
        id: &'a SessionId,
        fence: u64,
        record: Option<Vec<u8>>,
    ) -> Reply<'a, bool> {
        Box::pin(async move {
            let mut writer = self.writer.acquire().await.map_err(failed)?;
            revoke::end_refresh(&mut writer, id, fence, record.as_deref()).await
        })
    }

    fn revoke_session<'a>(&'a self, id: &'a SessionId, now: Timestamp) -> Reply<'a, bool> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            if !revoke::one(&mut transaction, id, now).await? {
                return Ok(false);
            }
            transaction.commit().await.map_err(failed)?;
            self.watch.wake();
            Ok(true)
        })
    }

    fn has_sessions<'a>(&'a self, name: &'a SessionName) -> Reply<'a, bool> {
        Box::pin(async move {
            let mut reader = self.readers.acquire().await.map_err(failed)?;
            revoke::has(&mut reader, name).await
        })
    }

    fn revoke_sessions<'a>(
        &'a self,
        names: &'a [SessionName],
        once: Option<Once>,
        now: Timestamp,
    ) -> Reply<'a, Option<u64>> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            if let Some(once) = once
                && !codes::remember(&mut transaction, once).await?
            {
                return Ok(None);
            }
            let mut ended = 0;
            for name in names {
                ended += revoke::named(&mut transaction, name, now).await?;
            }
            transaction.commit().await.map_err(failed)?;
            self.watch.wake();
            Ok(Some(ended))
        })
    }

    fn sessions(&self) -> Reply<'_, Vec<ListedSession>> {
        Box::pin(async {
            let mut reader = self.readers.acquire().await.map_err(failed)?;
            sessions::all(&mut reader, &self.keys).await
        })
    }

    fn sweep_sessions(&self, now: Timestamp) -> Reply<'_, u64> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let swept = sessions::sweep(&mut transaction, now).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(swept)
        })
    }

    fn put_code(
        &self,
        hash: [u8; 32],
        payload: Vec<u8>,
        now: Timestamp,
        expires: Timestamp,
    ) -> Reply<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let kept = codes::put(&mut transaction, hash, &payload, now, expires).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(kept)
        })
    }

    fn take_code(&self, hash: [u8; 32], now: Timestamp) -> Reply<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            // The payload is given out only once its end is on the disk.
            let mut transaction = self.begin().await?;
            let payload = codes::take(&mut transaction, hash, now).await?;
            transaction.commit().await.map_err(failed)?;
            Ok(payload)
        })
    }

    fn remember(&self, once: Once) -> Reply<'_, bool> {
        Box::pin(async move {
            let mut writer = self.writer.acquire().await.map_err(failed)?;
            codes::remember(&mut writer, once).await
        })
    }
}
