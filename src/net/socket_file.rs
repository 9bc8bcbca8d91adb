//! A socket as a file, through which other processes of this machine ask or order: whoever may read
//! its folder and owns it may connect.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// For whoever holds the socket to take a connection.
const KNOCK: Duration = Duration::from_secs(1);

/// The socket, as a file; the file goes with this, unless another process has put its own there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    /// Puts a socket at a path, for its owner alone, in the place of what a dead process left there.
    /// Returns too whether a live one was there: that goes on, and is asked no more.
    ///
    /// # Errors
    /// Where the folder cannot be written, or the path is too long for a socket.
    pub async fn open(path: &Path) -> io::Result<(Self, UnixListener, bool)> {
        let knock = timeout(KNOCK, UnixStream::connect(path)).await;
        let was_alive = matches!(knock, Ok(Ok(_)));
        // The name appears with its final permissions, and at no moment is there none.
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}", std::process::id()));
        let new = path.with_file_name(name);
        remove(&new)?;
        let listener = UnixListener::bind(&new)?;
        let placed = fs::set_permissions(&new, Permissions::from_mode(0o600))
            .and_then(|()| fs::metadata(&new))
            .and_then(|metadata| fs::rename(&new, path).map(|()| metadata.ino()));
        match placed {
            Ok(inode) => {
                let path = path.to_owned();
                Ok((Self { path, inode }, listener, was_alive))
            }
            Err(error) => {
                let _ = remove(&new);
                Err(error)
            }
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = remove(&self.path);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_for_its_owner_and_goes_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (socket, _listener, was_alive) = SocketFile::open(&path).await.unwrap();
        assert!(!was_alive);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        UnixStream::connect(&path).await.unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_replaced_and_a_live_one_keeps_its_hands_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).await.is_err());
        let (first, _one, was_alive) = SocketFile::open(&path).await.unwrap();
        assert!(!was_alive);
        let (second, two, was_alive) = SocketFile::open(&path).await.unwrap();
        assert!(was_alive);
        drop(first);
        let asked = UnixStream::connect(&path);
        let (asked, accepted) = tokio::join!(asked, two.accept());
        assert!(asked.is_ok() && accepted.is_ok());
        drop(second);
        assert!(!path.exists());
    }
}
