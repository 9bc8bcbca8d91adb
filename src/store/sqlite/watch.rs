//! Notices what others wrote, this process's own writers included.

use std::path::Path;
use std::time::Duration;

use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use super::open;
use crate::store::StoreError;

/// A removed connector is cut within a second; this leaves most of it for the cutting.
const POLL: Duration = Duration::from_millis(250);

/// Wakes those who wait for a change.
#[derive(Debug)]
pub(super) struct Watch {
    pulse: watch::Sender<()>,
    _poller: AbortOnDropHandle<()>,
}

impl Watch {
    pub(super) fn start(path: &Path) -> Self {
        let pulse = watch::Sender::new(());
        let poller = tokio::spawn(poll(path.to_owned(), pulse.clone()));
        Self {
            pulse,
            _poller: AbortOnDropHandle::new(poller),
        }
    }

    /// Wakes them at once: this process has written a change.
    pub(super) fn wake(&self) {
        self.pulse.send_replace(());
    }

    /// Waits for what is written after this call, whenever the future is first polled.
    pub(super) fn changed(&self) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let mut pulses = self.pulse.subscribe();
        async move {
            pulses.changed().await.map_err(|_| {
                StoreError::Unavailable("it was closed while somebody waited for changes".into())
            })
        }
    }
}

/// Asks for `data_version`, which moves when another connection has committed. It means something
/// on one connection only, so the poller has its own.
///
/// A failure is a pulse too: those who wait then read the log themselves and get the error.
async fn poll(path: std::path::PathBuf, pulse: watch::Sender<()>) {
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Option<(SqliteConnection, i64)> = None;
    loop {
        ticks.tick().await;
        let before = known.as_ref().map(|(_, version)| *version);
        known = match known {
            Some((connection, _)) => version(connection).await.ok(),
            None => match open::options(&path).read_only(true).connect().await {
                Ok(connection) => version(connection).await.ok(),
                Err(_) => None,
            },
        };
        let now = known.as_ref().map(|(_, version)| *version);
        // A fresh connection cannot tell what it missed, so it counts as news.
        if before.is_none() || now != before {
            pulse.send_replace(());
        }
    }
}

async fn version(mut connection: SqliteConnection) -> Result<(SqliteConnection, i64), sqlx::Error> {
    let version = sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(&mut connection)
        .await?;
    Ok((connection, version))
}

#[cfg(test)]
mod tests {
    use sqlx::raw_sql;
    use tokio::time::Instant;

    use super::*;
    use crate::store::StoreKeys;

    /// Within a second a removed connector is cut: the gateway cuts at once what it hears of here.
    #[tokio::test]
    async fn what_another_process_writes_is_noticed_within_a_quarter_of_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.db");
        let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let keys = StoreKeys::parse(&key.into()).unwrap();
        open::prepare(&path, &keys).await.unwrap();
        let mut other = open::options(&path).connect().await.unwrap();
        // From here on time goes by only where nothing but a timer is waited for.
        tokio::time::pause();
        let watch = Watch::start(&path);
        // That it is there at all is news.
        watch.changed().await.unwrap();
        for sql in [
            "CREATE TABLE t (x)",
            "INSERT INTO t VALUES (1)",
            "DROP TABLE t",
        ] {
            let changed = watch.changed();
            raw_sql(sql).execute(&mut other).await.unwrap();
            let written = Instant::now();
            changed.await.unwrap();
            let noticed = written.elapsed();
            assert!(noticed <= Duration::from_millis(250), "{sql}: {noticed:?}");
        }
    }
}
