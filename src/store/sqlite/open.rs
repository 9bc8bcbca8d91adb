//! Opening: the file, its schema, and whether the keys fit.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{failed, secrets, sessions};
use crate::owner;
use crate::store::StoreError;
use crate::store::seal::{Purpose, StoreKeys};

/// In order; each ends by writing its number, counted from 1, to `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/sqlite/0001_first.sql"),
    include_str!("../migrations/sqlite/0002_authorities.sql"),
    include_str!("../migrations/sqlite/0003_sessions.sql"),
    include_str!("../migrations/sqlite/0004_service_tokens.sql"),
];

/// `PRAGMA application_id` of our files: `APXY`.
const APPLICATION_ID: i64 = 0x4150_5859;

/// Sealed when a store is made; the keys fit if it opens.
const CHECK: &[u8] = b"appproxy";

/// How long a connection waits for the lock of another one, maybe in another process.
const BUSY: Duration = Duration::from_secs(5);

/// How long to wait while another process opens the same store; it needs milliseconds.
const OPENING: Duration = Duration::from_secs(10);

/// How often the folder's lock is tried: the file system has no event for it.
const LOCK_TRIES: Duration = Duration::from_millis(10);

/// How every connection is opened.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        // Always, not only for what revokes, spends and enrols: what is written often, that
        // sessions were used, is written for many of them at once, and a setting that never changes
        // cannot be forgotten.
        .synchronous(SqliteSynchronous::Full)
}

/// Makes the file where there is none, brings its schema up to date, and tries the keys on it.
pub(super) async fn prepare(path: &Path, keys: &StoreKeys) -> Result<(), StoreError> {
    // One at a time, over all processes: SQLite turns to WAL without waiting for others.
    let folder = lock_folder(path).await?;
    create_file(path)?;
    let mut connection = options(path).connect().await.map_err(failed)?;
    let prepared = prepare_database(&mut connection, keys).await;
    let closed = connection.close().await.map_err(failed);
    prepared.and(closed)?;
    // SQLite syncs the file, and this its name.
    folder
        .sync_all()
        .map_err(|error| unavailable("sync the folder", &error))
}

fn unavailable(what: &str, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot {what}: {error}"))
}

/// Locks the folder of the store until the file that is returned is dropped. The folder and not
/// the store's own file: closing any descriptor of that would drop SQLite's locks on it.
pub(super) async fn lock_folder(path: &Path) -> Result<File, StoreError> {
    let (folder, file) = open_folder(path)?;
    let end = tokio::time::Instant::now() + OPENING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(unavailable("lock its folder", &error)),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() >= end => {
                return Err(StoreError::Unavailable(format!(
                    "another process has held a lock on its folder {} for {} seconds",
                    folder.display(),
                    OPENING.as_secs()
                )));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_TRIES).await,
        }
    }
}

/// Opens the folder of the store, which is never made: where it is on a volume that is not mounted,
/// a new store would be one without the connectors.
fn open_folder(path: &Path) -> Result<(&Path, File), StoreError> {
    // A path without any folder is below the current one.
    let folder = match path.parent() {
        Some(folder) if folder == Path::new("") => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    let unusable = |why| {
        let folder = folder.display();
        Err(StoreError::Unavailable(format!(
            "cannot open its folder {folder}: {why}"
        )))
    };
    match File::open(folder) {
        Ok(file) if file.metadata().is_ok_and(|found| !found.is_dir()) => {
            unusable("it is not a folder")
        }
        Ok(file) => Ok((folder, file)),
        Err(error) => Err(StoreError::Unavailable(match error.kind() {
            ErrorKind::NotFound => format!(
                "its folder {0} does not exist: make it with `install -d -m 700 {0}`, owned by the \
                 user that runs the gateway",
                folder.display()
            ),
            _ => format!("cannot open its folder {}: {error}", folder.display()),
        })),
    }
}

/// Whether the folder of a store is there and can be read; nothing is made.
///
/// # Errors
/// What is wrong with it.
pub fn check_folder(path: &Path) -> Result<(), StoreError> {
    open_folder(path).map(drop)
}

/// Makes an empty file, which to SQLite is an empty database; it gives the same permissions, and as
/// root the same owner, to the files it puts beside it.
fn create_file(path: &Path) -> Result<(), StoreError> {
    match owner::create_new(path, 0o600) {
        Ok(_) => Ok(()),
        // Not opened, not even to look at it: see `lock_folder`.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unavailable("create the file", &error)),
    }
}

pub(super) async fn prepare_database(
    connection: &mut SqliteConnection,
    keys: &StoreKeys,
) -> Result<(), StoreError> {
    // Before anything is written: the file may not be ours.
    let found = version(connection).await?;
    // Stays with the file; so that readers and the writer do not wait for one another.
    sqlx::raw_sql("PRAGMA journal_mode = WAL")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(failed)?;
    for migration in MIGRATIONS.iter().skip(found) {
        sqlx::raw_sql(*migration)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    if found == 0 {
        sqlx::query("INSERT INTO meta (name, value) VALUES ('check', ?)")
            .bind(keys.seal(Purpose::Check, CHECK)?)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    try_keys(&mut transaction, keys).await?;
    transaction.commit().await.map_err(failed)
}

/// The schema's version; 0 for a database that is empty.
async fn version(connection: &mut SqliteConnection) -> Result<usize, StoreError> {
    let (application, found, objects): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT application_id FROM pragma_application_id),
                (SELECT user_version FROM pragma_user_version),
                (SELECT count(*) FROM sqlite_schema)",
    )
    .fetch_one(connection)
    .await
    .map_err(failed)?;
    match (application, found, objects) {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, 1.., _) => usize::try_from(found)
            .ok()
            .filter(|found| *found <= MIGRATIONS.len())
            .ok_or_else(|| StoreError::TooNew {
                found,
                known: i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX),
            }),
        _ => Err(StoreError::Damaged(
            "the file is the database of another program: name another file".into(),
        )),
    }
}

/// Opens every sealed value, and seals anew what an older key sealed: after one start that key
/// may go.
async fn try_keys(connection: &mut SqliteConnection, keys: &StoreKeys) -> Result<(), StoreError> {
    let check: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'check'")
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    let check = check.ok_or_else(|| StoreError::Damaged("its check value is gone".into()))?;
    let check = keys.open(Purpose::Check, &check)?;
    if check.stale {
        sqlx::query("UPDATE meta SET value = ? WHERE name = 'check'")
            .bind(keys.seal(Purpose::Check, &check.plain)?)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    let sealed: Vec<(i64, Vec<u8>)> = sqlx::query_as("SELECT number, key_sealed FROM authorities")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    for (number, key) in sealed {
        let key = keys.open(Purpose::AuthorityKey, &key)?;
        if key.stale {
            sqlx::query("UPDATE authorities SET key_sealed = ? WHERE number = ?")
                .bind(keys.seal(Purpose::AuthorityKey, &key.plain)?)
                .bind(number)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
    }
    secrets::reseal(connection, keys).await?;
    sessions::reseal(connection, keys).await
}
