//! A store as one sealed file, and a store out of such a file.
//!
//! The file is a line that says what it is, and behind it the whole database sealed under the store's
//! key: whoever has the file alone reads nothing in it and can change nothing in it unnoticed.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions as _, Connection as _};
use zeroize::Zeroizing;

use super::failed;
use super::open;
use crate::owner;
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
    let name = copy.0.to_str();
    let name = name.ok_or_else(|| StoreError::Unavailable("its path is not UTF-8".into()))?;
    let mut connection = open::options(path)
        .create_if_missing(false)
        .connect()
        .await
        .map_err(failed)?;
    let copied = sqlx::query("VACUUM INTO ?")
        .bind(name)
        .execute(&mut connection)
        .await;
    let closed = connection.close().await;
    copied.map_err(failed)?;
    closed.map_err(failed)?;
    let plain = fs::read(&copy.0).map_err(|error| unreadable(&copy.0, &error))?;
    let plain = Zeroizing::new(plain);
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
    let at = |attempt, path: &Path| {
        let path = path.to_owned();
        move |error| RestoreError::File {
            attempt,
            path,
            error,
        }
    };
    // Nobody opens the store from here on: whoever does takes this lock first.
    let folder = open::lock_folder(path).await?;
    let exists = path.exists();
    if exists && !replace {
        return Err(RestoreError::Exists(path.to_owned()));
    }
    if exists {
        close_for_good(path).await?;
    }
    let new = Beside::new(path, "restored")?;
    let mut file = OpenOptions::new()
        .write(true)
        .open(&new.0)
        .map_err(at("write", &new.0))?;
    let written = file.write_all(&plain.plain).and_then(|()| file.sync_all());
    written.map_err(at("write", &new.0))?;
    drop(file);
    // Its schema is brought up to date, and every key in it opened, before it takes a place.
    let mut connection = open::options(&new.0).connect().await.map_err(failed)?;
    let prepared = open::prepare_database(&mut connection, keys).await;
    connection.close().await.map_err(failed)?;
    prepared?;
    close_for_good(&new.0).await?;
    give_to_owner(&new.0, path).map_err(at("give to the owner of the store", &new.0))?;
    let old = match exists {
        true => Some(move_away(path)?),
        false => None,
    };
    // SQLite would take what lies there for a part of the new one.
    for end in ["-wal", "-shm", "-journal"] {
        let stray = with_end(path, end);
        if stray.exists() {
            move_away(&stray)?;
            fs::remove_file(&stray).map_err(at("remove", &stray))?;
        }
    }
    match exists {
        true => fs::rename(&new.0, path).map_err(at("rename", &new.0))?,
        // One that was made meanwhile stays.
        false => fs::hard_link(&new.0, path).map_err(at("name", path))?,
    }
    folder.sync_all().map_err(at("sync the folder of", path))?;
    Ok(old)
}

/// The store is for whom it was, or else for the owner of its folder: root may be the one who restores.
fn give_to_owner(new: &Path, store: &Path) -> std::io::Result<()> {
    let folder = store
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let owner =
        fs::metadata(store).or_else(|_| fs::metadata(folder.unwrap_or_else(|| Path::new("."))))?;
    let now = fs::metadata(new)?;
    if (now.uid(), now.gid()) == (owner.uid(), owner.gid()) || !rustix::process::geteuid().is_root()
    {
        return Ok(());
    }
    // SECURITY: not through a link, which whoever owns the folder may have put there by now.
    lchown(new, Some(owner.uid()), Some(owner.gid()))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
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
    let mut number = 0;
    loop {
        number += 1;
        let away = with_end(path, &format!(".replaced.{number}"));
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
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot use {}: {error}", path.display()))
}

/// Removes what processes left that were killed: the copies are not sealed.
fn clear_up(store: &Path, what: &str) {
    let Some((folder, name)) = store.parent().zip(store.file_name()) else {
        return;
    };
    let begins = format!("{}.{what}.", name.to_string_lossy());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(&begins));
        let id = rest.map(|rest| rest.split('-').next().unwrap_or_default());
        if let Some(id) = id.filter(|id| id.parse::<u32>().is_ok())
            && !Path::new("/proc").join(id).exists()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// An empty file beside the store, for its owner alone; what is left of it goes with this.
struct Beside(PathBuf);

impl Beside {
    fn new(path: &Path, what: &str) -> Result<Self, StoreError> {
        let store = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
        let beside = Self(with_end(&store, &format!(".{what}.{}", std::process::id())));
        clear_up(&store, what);
        let _ = fs::remove_file(&beside.0);
        owner::create_new(&beside.0, 0o600).map_err(|error| unreadable(&beside.0, &error))?;
        Ok(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(with_end(&self.0, end));
        }
    }
}

#[cfg(test)]
mod tests {
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

    /// As a gateway that was killed leaves it, and an operator who moves the store alone.
    #[tokio::test]
    async fn a_log_of_the_store_before_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.db");
        let store = open_sqlite(&path, keys(1)).await.unwrap();
        let backup = back_up(&path, &keys(1)).await.unwrap();
        store.create_token(token("later")).await.unwrap();
        let wal = with_end(&path, "-wal");
        let log = fs::read(&wal).unwrap();
        assert!(!log.is_empty());
        let elsewhere = folder.path().join("other.db");
        fs::write(with_end(&elsewhere, "-wal"), &log).unwrap();
        fs::write(with_end(&elsewhere, ".backup.4294967294"), "left").unwrap();
        restore(&elsewhere, &keys(1), &backup, false).await.unwrap();
        assert!(tokens(&elsewhere).await.is_empty());
        assert!(with_end(&elsewhere, "-wal.replaced.1").exists());
        back_up(&elsewhere, &keys(1)).await.unwrap();
        assert!(!with_end(&elsewhere, ".backup.4294967294").exists());
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
