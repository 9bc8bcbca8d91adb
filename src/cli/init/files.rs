//! Files that are written all together or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A file to be written.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) content: Zeroizing<String>,
    /// Nobody but the gateway may read it.
    pub(super) is_secret: bool,
}

/// Whether something has this name; a link that leads nowhere does, too.
pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Writes all of them. First each is on the disk under another name, so that a full disk, or a folder
/// that cannot be written, leaves everything as it was.
///
/// # Errors
/// In words for the person who typed it, with the path and what to do.
pub(super) fn write(files: &[NewFile], replace: bool) -> Result<(), String> {
    for (index, file) in files.iter().enumerate() {
        if files
            .iter()
            .skip(index + 1)
            .any(|other| other.path == file.path)
        {
            return Err(format!(
                "{} is to be two files at once: give each a name of its own. Nothing was changed",
                file.path.display()
            ));
        }
    }
    let mut made = Made::default();
    let mut staged = Vec::with_capacity(files.len());
    for file in files {
        let folder = file.path.parent().unwrap_or_else(|| Path::new("/"));
        made.folder(folder)
            .map_err(|error| failed("make the folder", folder, &error))?;
        let new = made
            .stage(file, folder)
            .map_err(|error| failed("write", &file.path, &error))?;
        staged.push((new, file, folder));
    }
    for (new, file, folder) in staged {
        let was_there = is_there(&file.path);
        if was_there && !replace {
            return Err(exists(&file.path));
        }
        fs::rename(&new, &file.path).map_err(|error| failed("write", &file.path, &error))?;
        if !was_there {
            made.files.push(file.path.clone());
        }
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed("write", &file.path, &error))?;
    }
    made.keep();
    Ok(())
}

/// What is said of a file that is there already.
pub(super) fn exists(path: &Path) -> String {
    format!(
        "{} is there already: name another, or replace it with --force; nothing was changed",
        path.display()
    )
}

fn failed(what: &str, path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; run it as root (`sudo`), or name another place with --config FILE"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room and run it again",
        _ => "",
    };
    format!(
        "cannot {what} {}: {error}{remedy}. Nothing was changed",
        path.display()
    )
}

/// What is there for now; it goes away again with this, unless it is kept.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Made {
    /// Makes a folder where there is none, and those above it. It may hold keys.
    fn folder(&mut self, folder: &Path) -> io::Result<()> {
        let missing: Vec<_> = folder.ancestors().take_while(|one| !one.exists()).collect();
        for one in missing.into_iter().rev() {
            DirBuilder::new().mode(0o750).create(one)?;
            self.folders.push(one.to_owned());
        }
        Ok(())
    }

    /// Writes a file under a name of its own in the same folder.
    fn stage(&mut self, file: &NewFile, folder: &Path) -> io::Result<PathBuf> {
        let name = file.path.file_name().unwrap_or_default();
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let new = folder.join(hidden);
        // What one with the same number left that was killed.
        let _ = fs::remove_file(&new);
        let mut options = OpenOptions::new();
        let mut opened = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        self.files.push(new.clone());
        opened.write_all(file.content.as_bytes())?;
        let group = group_of(folder)?;
        if let Some(group) = group {
            fchown(&opened, None, Some(group))?;
        }
        let mode = match (file.is_secret, group) {
            (true, None) => 0o600,
            // The gateway reads it as a member of this group.
            (true, Some(_)) | (false, _) => 0o640,
        };
        opened.set_permissions(Permissions::from_mode(mode))?;
        opened.sync_all()?;
        Ok(new)
    }

    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed is not worth hiding why it was to be.
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The group whose files are in this folder, where root writes for a service: the package's folder is
/// root's, its group is the service's, and everybody else is kept out.
fn group_of(folder: &Path) -> io::Result<Option<u32>> {
    let found = fs::metadata(folder)?;
    let is_root = rustix::process::geteuid().is_root();
    let for_service = found.uid() == 0 && found.gid() != 0 && found.mode() & 0o007 == 0;
    Ok((is_root && for_service).then_some(found.gid()))
}
