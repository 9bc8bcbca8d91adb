//! A folder of our own that goes with us; what a killed demo left goes with the next one.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::DemoError;
use crate::certs;

/// How its name begins.
const PREFIX: &str = "appproxy-demo-";

/// The file in it that says that it is in use.
const LOCK: &str = "demo.lock";

/// How often removal is tried: SQLite's threads may write one more file while it goes on.
const TRIES: usize = 1000;

/// The folder, below `TMPDIR`. Dropping it removes it.
pub(super) struct Folder {
    path: PathBuf,
    // Held as long as the folder is in use: the system lets go of it however the process ends.
    _lock: File,
}

impl Folder {
    pub(super) fn new() -> Result<Self, DemoError> {
        let parent = std::env::temp_dir();
        let cannot = |error| DemoError::Folder {
            parent: parent.clone(),
            error,
        };
        // Files of the configuration name others: a relative path would be looked for beside them.
        let absolute = std::path::absolute(&parent).map_err(cannot)?;
        sweep(&absolute);
        let mut name = String::from(PREFIX);
        for octet in certs::random::<4>()? {
            let _ = write!(name, "{octet:02x}");
        }
        let path = absolute.join(&name);
        // It gets its name once it is locked, so that another demo never takes it for left behind.
        let new = absolute.join(format!(".{name}"));
        let made = fs::DirBuilder::new().mode(0o700).create(&new);
        made.map_err(cannot)?;
        let lock = lock(&new, OpenOptions::new().create_new(true).mode(0o600))
            .and_then(|lock| fs::rename(&new, &path).map(|()| lock));
        match lock {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                let _ = fs::remove_dir_all(&new);
                Err(cannot(error))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path.join(name));
        file?.write_all(text.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            match fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::yield_now(),
                _ => return,
            }
        }
    }
}

/// Locks a folder by a file in it; the folder itself is for the store to lock.
fn lock(folder: &Path, file: &mut OpenOptions) -> io::Result<File> {
    let lock = file.write(true).open(folder.join(LOCK))?;
    lock.try_lock()?;
    Ok(lock)
}

/// Removes the folders of demos that were killed: our own, and locked by nobody. What cannot be
/// removed is left to the next one.
fn sweep(parent: &Path) {
    let me = rustix::process::getuid().as_raw();
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let demo = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // SECURITY: of the entry itself, not of what a link of a stranger points to.
        let ours = |meta: fs::Metadata| meta.is_dir() && meta.uid() == me;
        if demo
            && entry.metadata().is_ok_and(ours)
            && lock(&entry.path(), &mut OpenOptions::new()).is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
