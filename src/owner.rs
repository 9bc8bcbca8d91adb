//! Files that root makes for a service: what is made in somebody's folder is theirs.
//!
//! `sudo appproxy gateway token create` may come before the first start of the service, and `sudo appproxy register`
//! always may. Without this the service could not open its own store, or its own identity.
//!
//! SECURITY: the account may put what it likes into its folder while root works there. So a name is
//! only ever made in a folder that is held open, never through a link, and an owner is given to the open
//! file: no other file can be given away, and none elsewhere be made.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::fchown;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

/// How often a file is looked for that others make and remove at the same time.
const TRIES: u32 = 8;

/// The owner and group of a folder that root works in for another account.
type Owner = (u32, u32);

/// Makes a file that can be written, with these permissions; root makes it for the owner of its folder.
///
/// # Errors
/// Where something has the name already, even a link that leads nowhere, or the folder cannot be
/// written.
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let (folder, name) = (open_folder(folder_of(path))?, name_of(path)?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(mode))?;
    let given = owner_of(&folder).and_then(|owner| give(&file, owner));
    if let Err(error) = given {
        // One that its reader cannot open only hides what is wrong until later.
        let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
        return Err(error);
    }
    Ok(file.into())
}

/// Opens a file to write to, and makes it as [`create_new`] does where there is none. What is in it
/// stays.
///
/// # Errors
/// Where it is a link, or cannot be opened or made.
pub fn open_or_create(path: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        match rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened.map(File::from),
        }
        match create_new(path, mode) {
            // By another process, just now.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made,
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Makes a folder for its owner alone (0700) where there is none, and those above it; root makes them
/// for the owner of the folder that they are made in.
///
/// # Errors
/// Where something else has the name, or it cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path
        .ancestors()
        .take_while(|one| !one.as_os_str().is_empty() && !one.is_dir())
        .collect();
    for one in missing.into_iter().rev() {
        let (above, name) = (open_folder(folder_of(one))?, name_of(one)?);
        match rustix::fs::mkdirat(&above, name, Mode::RWXU).map_err(io::Error::from) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && one.is_dir() => continue,
            made => made?,
        }
        let Some(owner) = owner_of(&above)? else {
            continue;
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&above, name, flags, Mode::empty())?;
        give(&made, Some(owner))?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        // A name alone is below the current folder.
        _ => Path::new("."),
    }
}

fn name_of(path: &Path) -> io::Result<&std::ffi::OsStr> {
    let none = || io::Error::new(ErrorKind::InvalidInput, "it ends in no name");
    path.file_name().ok_or_else(none)
}

/// A folder as a place, for which it need not be readable.
fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// For whom root makes what is in this folder; nobody else can give files away.
fn owner_of(folder: impl AsFd) -> io::Result<Option<Owner>> {
    let found = rustix::fs::fstat(folder)?;
    let for_another = rustix::process::geteuid().is_root() && found.st_uid != 0;
    Ok(for_another.then_some((found.st_uid, found.st_gid)))
}

fn give(file: impl AsFd, owner: Option<Owner>) -> io::Result<()> {
    let Some((user, group)) = owner else {
        return Ok(());
    };
    fchown(file, Some(user), Some(group)).map_err(|error| {
        let what = format!("it cannot be given to the owner of its folder (uid {user}): {error}");
        io::Error::new(error.kind(), what)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    use super::*;

    /// An account that is not root's, whether or not it has a name here.
    pub(crate) const ACCOUNT: (u32, u32) = (64_321, 64_322);

    /// A folder of [`ACCOUNT`], where root may make one; else one of whoever runs the tests.
    pub(crate) fn folder_of_an_account() -> (tempfile::TempDir, (u32, u32)) {
        let folder = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(ACCOUNT.0), Some(ACCOUNT.1)).unwrap();
        }
        let owner = owner(folder.path());
        (folder, owner)
    }

    pub(crate) fn owner(path: &Path) -> (u32, u32) {
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_in_the_folder_of_an_account_is_that_accounts() {
        let (folder, account) = folder_of_an_account();
        let at = |name: &str| folder.path().join(name);
        drop(create_new(&at("new"), 0o600).unwrap());
        drop(open_or_create(&at("lock"), 0o600).unwrap());
        make_folder(&at("deep/er")).unwrap();
        drop(create_new(&at("deep/er/new"), 0o640).unwrap());
        for (name, bits) in [
            ("new", 0o600),
            ("lock", 0o600),
            ("deep", 0o700),
            ("deep/er", 0o700),
            ("deep/er/new", 0o640),
        ] {
            assert_eq!(
                (owner(&at(name)), mode(&at(name))),
                (account, bits),
                "{name}"
            );
        }
        // What is there is not made, and stays whose it is.
        make_folder(&at("deep")).unwrap();
        let again = create_new(&at("new"), 0o600).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_root_makes_in_its_own_folder_stays_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        drop(create_new(&path, 0o600).unwrap());
        assert_eq!(owner(&path), owner(folder.path()));
    }

    #[test]
    fn nothing_is_made_or_given_away_through_a_link() {
        let (folder, _) = folder_of_an_account();
        let elsewhere = tempfile::tempdir().unwrap();
        let (target, dangling) = (elsewhere.path().join("target"), elsewhere.path().join("no"));
        fs::write(&target, "").unwrap();
        let before = owner(&target);
        for (name, leads_to) in [("a", &target), ("b", &dangling)] {
            let link = folder.path().join(name);
            symlink(leads_to, &link).unwrap();
            assert!(create_new(&link, 0o600).is_err());
            assert!(open_or_create(&link, 0o600).is_err());
            assert!(make_folder(&link.join("state")).is_err());
        }
        assert_eq!(owner(&target), before);
        assert!(!dangling.exists());
    }

    #[test]
    fn what_cannot_be_made_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = create_new(&folder.path().join("no/new"), 0o600).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(create_new(Path::new("/"), 0o600).is_err());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(make_folder(&folder.path().join("file/er")).is_err());
    }
}
