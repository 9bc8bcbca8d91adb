//! A store as one sealed file, and a store out of such a file.
//!
//! The file is a line that says what it is, and behind it the whole database sealed under the store's
//! key: whoever has the file alone reads nothing in it and can change nothing in it unnoticed.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions as _, Connection as _};

use super::failed;
use super::open;
use crate::store::StoreError;
use crate::store::seal::{Purpose, StoreKeys};

/// The first line of a backup; the number is that of its form.
const MAGIC: &[u8] = b"appproxy backup 1\n";

/// Why a store is not made of a backup.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is no backup, or was altered.
    #[error("this is no backup of a store, or a part of one")]
    NotOne,
    /// Another key sealed it.
    #[error(
        "the store key does not open this backup: put the key back that the store had when the \
         backup was made"
    )]
    WrongKey,
    /// There is a store already.
    #[error("there is a store at {0} already: move it away, or say `--replace`")]
    Exists(PathBuf),
    /// Somebody has the store open.
    #[error("the store at {0} is in use: stop the gateway first")]
    InUse(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {attempt} {path}: {error}")]
    File {
        /// What was tried.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// What is in it cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The whole store of the file `path`, sealed, while gateways go on using it.
///
/// # Errors
/// Where it cannot be read, or there is no room beside it for a copy.
pub async fn back_up(path: &Path, keys: &StoreKeys) -> Result<Vec<u8>, StoreError> {
    let copy = Beside::new(path, "backup")?;
    let mut connection = open::options(path)
        .create_if_missing(false)
        .connect()
        .await
        .map_err(failed)?;
    let copied = sqlx::query("VACUUM INTO ?")
        .bind(copy.0.to_string_lossy())
        .execute(&mut connection)
        .await;
    let closed = connection.close().await;
    copied.map_err(failed)?;
    closed.map_err(failed)?;
    let plain = fs::read(&copy.0).map_err(|error| unreadable(&copy.0, &error))?;
    let sealed = keys.seal(Purpose::Backup, &plain)?;
    Ok([MAGIC, &sealed].concat())
}

/// Makes the store of the file `path` out of a backup. With `replace` one that is there is moved
/// away; where to is returned.
///
/// # Errors
/// Where the backup is none, the key is another, or a store is there or in use. All is as it was then.
pub async fn restore(
    path: &Path,
    keys: &StoreKeys,
    backup: &[u8],
    replace: bool,
) -> Result<Option<PathBuf>, RestoreError> {
    let sealed = backup.strip_prefix(MAGIC).ok_or(RestoreError::NotOne)?;
    let plain = keys
        .open(Purpose::Backup, sealed)
        .map_err(|error| match error {
            StoreError::WrongKey => RestoreError::WrongKey,
            _ => RestoreError::NotOne,
        })?;
    let exists = path.exists();
    if exists && !replace {
        return Err(RestoreError::Exists(path.to_owned()));
    }
    if exists {
        close_for_good(path).await?;
    }
    let new = Beside::new(path, "restored")?;
    let at = |attempt| {
        let path = new.0.clone();
        move |error| RestoreError::File {
            attempt,
            path,
            error,
        }
    };
    let mut file = OpenOptions::new()
        .write(true)
        .open(&new.0)
        .map_err(at("write"))?;
    file.write_all(&plain.plain).map_err(at("write"))?;
    file.sync_all().map_err(at("write"))?;
    drop(file);
    // Its schema is brought up to date, and every key in it opened, before it takes a place.
    open::prepare(&new.0, keys).await?;
    close_for_good(&new.0).await?;
    let old = match exists {
        true => Some(move_away(path)?),
        false => None,
    };
    fs::rename(&new.0, path).map_err(at("rename"))?;
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(at("sync the folder of"))?;
    }
    Ok(old)
}

/// Ends the write-ahead log of a store, so that it is one file again. SQLite does that for whoever
/// is alone with it.
async fn close_for_good(path: &Path) -> Result<(), RestoreError> {
    let options = open::options(path)
        .create_if_missing(false)
        .busy_timeout(std::time::Duration::from_millis(200));
    let mut connection = match options.connect().await {
        Ok(connection) => connection,
        // What is there is no store that anybody could use.
        Err(sqlx::Error::Database(error)) if error.message().contains("not a database") => {
            return Ok(());
        }
        Err(error) => return Err(failed(error).into()),
    };
    let mode: Result<String, _> = sqlx::query_scalar("PRAGMA journal_mode = DELETE")
        .fetch_one(&mut connection)
        .await;
    let _ = connection.close().await;
    match mode {
        Ok(mode) if mode.eq_ignore_ascii_case("delete") => Ok(()),
        Ok(_) => Err(RestoreError::InUse(path.to_owned())),
        Err(sqlx::Error::Database(error)) if error.message().contains("locked") => {
            Err(RestoreError::InUse(path.to_owned()))
        }
        Err(sqlx::Error::Database(error)) if error.message().contains("not a database") => Ok(()),
        Err(error) => Err(failed(error).into()),
    }
}

/// Keeps what was there, under a name that is free.
fn move_away(path: &Path) -> Result<PathBuf, RestoreError> {
    for number in 1.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".replaced.{number}"));
        let away = PathBuf::from(name);
        // Makes no second name for one that another process has just taken.
        match fs::hard_link(path, &away) {
            Ok(()) => return Ok(away),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(RestoreError::File {
                    attempt: "keep",
                    path: path.to_owned(),
                    error,
                });
            }
        }
    }
    unreachable!("the numbers have no end")
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot use {}: {error}", path.display()))
}

/// An empty file beside the store, for its owner alone; what is left of it goes with this.
struct Beside(PathBuf);

impl Beside {
    fn new(path: &Path, what: &str) -> Result<Self, StoreError> {
        let mut name = std::path::absolute(path)
            .map_err(|error| unreadable(path, &error))?
            .into_os_string();
        name.push(format!(".{what}.{}", std::process::id()));
        let beside = Self(PathBuf::from(name));
        let _ = fs::remove_file(&beside.0);
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside.0);
        made.map_err(|error| unreadable(&beside.0, &error))?;
        Ok(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.0.as_os_str().to_owned();
            name.push(end);
            let _ = fs::remove_file(PathBuf::from(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::super::open_sqlite;
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::GroupName;
    use crate::store::NewToken;

    fn keys(octet: u8) -> StoreKeys {
        StoreKeys::new(Zeroizing::new([octet; 32]), Vec::new())
    }

    fn token(id: &str) -> NewToken {
        NewToken {
            id: id.to_owned(),
            secret_hash: [id.len() as u8; 32],
            group: GroupName::new("hq").unwrap(),
            uses: 1,
            created: Timestamp(0),
            expires: Timestamp(60),
        }
    }

    async fn tokens(path: &Path) -> Vec<String> {
        let store = open_sqlite(path, keys(1)).await.unwrap();
        let tokens = store.tokens().await.unwrap();
        tokens.into_iter().map(|token| token.id).collect()
    }

    #[tokio::test]
    async fn a_backup_of_a_store_in_use_is_that_store_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.db");
        let store = open_sqlite(&path, keys(1)).await.unwrap();
        store.create_token(token("a")).await.unwrap();
        let backup = back_up(&path, &keys(1)).await.unwrap();
        // Nothing of it can be read.
        let shows = |text: &[u8]| backup.windows(text.len()).any(|window| window == text);
        assert!(!shows(b"SQLite") && !shows(b"tokens") && shows(b"appproxy backup 1\n"));
        store.create_token(token("bb")).await.unwrap();

        let elsewhere = folder.path().join("other.db");
        assert_eq!(
            restore(&elsewhere, &keys(1), &backup, false).await.unwrap(),
            None
        );
        assert_eq!(tokens(&elsewhere).await, ["a"]);

        // In use, it is not replaced, whoever says so; free, only where somebody says so.
        let in_use = restore(&path, &keys(1), &backup, true).await.unwrap_err();
        assert!(matches!(in_use, RestoreError::InUse(_)), "{in_use}");
        drop(store);
        let exists = restore(&path, &keys(1), &backup, false).await.unwrap_err();
        assert!(matches!(exists, RestoreError::Exists(_)), "{exists}");
        assert_eq!(tokens(&path).await.len(), 2);
        // A pool closes its connections in its own time.
        let away = loop {
            match restore(&path, &keys(1), &backup, true).await {
                Ok(away) => break away.unwrap(),
                Err(RestoreError::InUse(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(tokens(&path).await, ["a"]);
        assert_eq!(tokens(&away).await.len(), 2);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        let strays = left.iter().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            let name = name.to_string_lossy();
            name.contains(".backup.") || name.contains(".restored.")
        });
        assert_eq!(strays.count(), 0);
    }

    #[tokio::test]
    async fn what_is_no_backup_or_of_another_key_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.db");
        drop(open_sqlite(&path, keys(1)).await.unwrap());
        let backup = back_up(&path, &keys(1)).await.unwrap();
        let new = folder.path().join("new.db");
        let mut altered = backup.clone();
        *altered.last_mut().unwrap() ^= 1;
        for (what, octets) in [
            ("nothing", &b""[..]),
            ("a line", MAGIC),
            ("a part", &backup[..backup.len() - 1]),
            ("altered", &altered),
            ("another form", b"appproxy backup 2\nxxxx"),
        ] {
            let error = restore(&new, &keys(1), octets, true).await.unwrap_err();
            assert!(matches!(error, RestoreError::NotOne), "{what}: {error}");
        }
        let error = restore(&new, &keys(2), &backup, true).await.unwrap_err();
        assert!(matches!(error, RestoreError::WrongKey), "{error}");
        assert!(!new.exists());
        let nowhere = back_up(&folder.path().join("no.db"), &keys(1)).await;
        assert!(nowhere.is_err());
        assert!(!folder.path().join("no.db").exists());
    }
}
