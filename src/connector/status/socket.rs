//! The socket in the state's folder over which `connector status` asks: there is nothing to
//! configure, and whoever may read the folder may ask.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// Its name in the folder.
pub const SOCKET: &str = "status.sock";

/// For whoever holds the socket to take a connection.
const KNOCK: Duration = Duration::from_secs(1);

/// The socket, as a file; the file goes with this, unless another process has put its own there.
#[derive(Debug)]
pub(in crate::connector) struct Socket {
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// Puts a socket in the folder, in the place of what a dead process left there. A live one is
    /// noticed: it goes on, and is asked no more.
    pub(in crate::connector) async fn open(folder: &Path) -> io::Result<(Self, UnixListener)> {
        let path = folder.join(SOCKET);
        if let Ok(Ok(_)) = timeout(KNOCK, UnixStream::connect(&path)).await {
            tracing::warn!(
                state = %folder.display(),
                "another process runs with this state: stop it when this one has its tunnels; `connector status` asks this one meanwhile"
            );
        }
        // The name appears with its final permissions, and at no moment is there none.
        let new = folder.join(format!(".{}.{}", SOCKET, std::process::id()));
        remove(&new)?;
        let listener = UnixListener::bind(&new)?;
        let placed = fs::set_permissions(&new, Permissions::from_mode(0o600))
            .and_then(|()| fs::metadata(&new))
            .and_then(|metadata| fs::rename(&new, &path).map(|()| metadata.ino()));
        match placed {
            Ok(inode) => Ok((Self { path, inode }, listener)),
            Err(error) => {
                let _ = remove(&new);
                Err(error)
            }
        }
    }
}

impl Drop for Socket {
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
        let path = folder.path().join(SOCKET);
        let (socket, _listener) = Socket::open(folder.path()).await.unwrap();
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
        let path = folder.path().join(SOCKET);
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).await.is_err());
        let (first, _one) = Socket::open(folder.path()).await.unwrap();
        let (second, two) = Socket::open(folder.path()).await.unwrap();
        drop(first);
        let asked = UnixStream::connect(&path);
        let (asked, accepted) = tokio::join!(asked, two.accept());
        assert!(asked.is_ok() && accepted.is_ok());
        drop(second);
        assert!(!path.exists());
    }
}
