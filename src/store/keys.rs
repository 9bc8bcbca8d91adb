//! Where the keys of a store come from: one line of base64 of 32 octets each; the first one seals.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::seal::{KEY_LEN, KeyOctets, StoreKeys};
use crate::config::{SecretError, SecretSource};
use crate::owner;

/// More than a thousand keys: whatever is longer is another file.
const MAX_FILE: u64 = 64 * 1024;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file, or its folder, cannot be read or written.
    #[error("cannot {attempt} the store key {path}: {error}")]
    File {
        /// `read` or `create`.
        attempt: &'static str,
        /// The key file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others than its owner may read or write the key file.
    #[error(
        "the store key {path} is open to others (mode {mode:04o}): run `chmod 600 {path}`, and make \
         a new key if somebody may have read it"
    )]
    Permissions {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is a store, and its key file is gone.
    #[error(
        "the store {store} exists, but its key {path} does not: put the key file back from a \
         backup (without it the store cannot be opened; to begin anew, move the store away)"
    )]
    Missing {
        /// The key file.
        path: PathBuf,
        /// The store's file.
        store: PathBuf,
    },
    /// A line is no key.
    #[error(
        "line {line} of the store key is not the base64 of 32 octets \
         (`head -c 32 /dev/urandom | base64` makes one)"
    )]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// No line at all.
    #[error("the store key is empty (`head -c 32 /dev/urandom | base64` makes one)")]
    Empty,
    /// The variable or credential that should hold the keys cannot be read.
    #[error("cannot read the store key: {0}")]
    Source(#[from] SecretError),
}

impl StoreKeys {
    /// The keys of the store in the file `store`: from where the configuration says, or from
    /// `store.key` beside it. A file is made where neither it nor the store exists.
    ///
    /// # Errors
    /// Where the keys cannot be read, are malformed, or lie open to others.
    pub fn for_store(source: Option<&SecretSource>, store: &Path) -> Result<Self, KeyError> {
        match source {
            None => Self::load_or_create(&store.with_file_name("store.key"), store),
            Some(SecretSource::File(path)) => Self::load_or_create(path, store),
            Some(source) => Self::parse(&source.read()?),
        }
    }

    /// The same without making anything: `None` where the key file is yet to be made.
    ///
    /// # Errors
    /// As [`StoreKeys::for_store`].
    pub fn existing(source: Option<&SecretSource>, store: &Path) -> Result<Option<Self>, KeyError> {
        match source {
            None => load_or_missing(&store.with_file_name("store.key"), store),
            Some(SecretSource::File(path)) => load_or_missing(path, store),
            Some(source) => Self::parse(&source.read()?).map(Some),
        }
    }

    /// Reads the key file `path`, or makes it with a new key where neither it nor the store in the
    /// file `store` exists. Of two callers at once both return the same key.
    ///
    /// # Errors
    /// As [`StoreKeys::for_store`]; [`KeyError::Missing`] where there is a store without its key:
    /// a new one would not open it.
    pub fn load_or_create(path: &Path, store: &Path) -> Result<Self, KeyError> {
        if let Some(keys) = load_or_missing(path, store)? {
            return Ok(keys);
        }
        create(path).map_err(|error| KeyError::File {
            attempt: "create",
            path: path.into(),
            error,
        })?;
        load(path)?.ok_or_else(|| KeyError::File {
            attempt: "read",
            path: path.into(),
            error: ErrorKind::NotFound.into(),
        })
    }

    /// Reads keys from the text of a key file.
    ///
    /// # Errors
    /// Where a line is not the base64 of 32 octets, or there is none.
    pub fn parse(text: &SecretString) -> Result<Self, KeyError> {
        let mut keys = text
            .expose_secret()
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty())
            .map(|(line, text)| key(text).ok_or(KeyError::Line { line }))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let sealing = keys.next().ok_or(KeyError::Empty)?;
        Ok(Self::new(sealing, keys.collect()))
    }
}

fn key(text: &str) -> Option<KeyOctets> {
    // 33: the decoder wants room for what 44 characters could hold at most.
    let mut decoded = Zeroizing::new([0; 33]);
    let len = STANDARD.decode_slice(text, &mut *decoded).ok()?;
    let mut octets = KeyOctets::default();
    octets.copy_from_slice(decoded.get(..len).filter(|d| d.len() == KEY_LEN)?);
    Some(octets)
}

/// Reads the key file; `None` where neither it nor the store exists.
fn load_or_missing(path: &Path, store: &Path) -> Result<Option<StoreKeys>, KeyError> {
    if let Some(keys) = load(path)? {
        return Ok(Some(keys));
    }
    // An empty file is no store yet: its maker died before its first write.
    if fs::metadata(store).is_ok_and(|file| file.len() > 0) {
        // Key and store may both have been made by somebody else since we looked.
        let keys = load(path)?.ok_or_else(|| KeyError::Missing {
            path: path.into(),
            store: store.into(),
        })?;
        return Ok(Some(keys));
    }
    Ok(None)
}

/// Reads the key file; `None` where there is none.
fn load(path: &Path) -> Result<Option<StoreKeys>, KeyError> {
    let failed = |error| KeyError::File {
        attempt: "read",
        path: path.into(),
        error,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Of the open file, so that it cannot be exchanged between the look and the reading.
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions {
            path: path.into(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(failed)?;
    StoreKeys::parse(&SecretString::new(text.as_str().into())).map(Some)
}

/// Makes the key file unless it exists. It appears under its name whole and synced, or not at all:
/// a hard link, unlike a rename, never replaces what somebody else made meanwhile.
fn create(path: &Path) -> io::Result<()> {
    let no_random = |_| io::Error::other("no random numbers");
    let mut octets = KeyOctets::default();
    aws_lc_rs::rand::fill(&mut *octets).map_err(no_random)?;
    let mut suffix = [0; 8];
    aws_lc_rs::rand::fill(&mut suffix).map_err(no_random)?;

    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let draft = folder.join(format!(".store-key-{:016x}", u64::from_be_bytes(suffix)));
    let linked = owner::create_new(&draft, 0o600).and_then(|mut file| {
        let mut text = Zeroizing::new(STANDARD.encode(*octets));
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&draft, path)
    });
    // Where it was not even made, the first error says more.
    let _ = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked.and_then(|()| File::open(folder)?.sync_all()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::owner::tests::{folder_of_an_account, owner};
    use crate::store::seal::Purpose;

    const ONE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    const TWO: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

    fn parse(text: &str) -> Result<StoreKeys, KeyError> {
        StoreKeys::parse(&text.into())
    }

    #[test]
    fn the_first_line_seals_and_every_line_opens() {
        let sealed = parse(ONE).unwrap().seal(Purpose::Check, b"x").unwrap();
        let rotated = parse(&format!("{TWO}\r\n\n{ONE}\n")).unwrap();
        assert!(rotated.open(Purpose::Check, &sealed).unwrap().stale);
        let anew = rotated.seal(Purpose::Check, b"x").unwrap();
        assert!(
            !parse(TWO)
                .unwrap()
                .open(Purpose::Check, &anew)
                .unwrap()
                .stale
        );
    }

    #[test]
    fn malformed_keys_are_told_by_their_line_and_never_quoted() {
        for (text, line) in [
            (format!("{ONE}\nnot base64"), 2),
            (format!("\n{}", &ONE[..40]), 2),
            (format!("{ONE}{TWO}"), 1),
            (ONE.replace('=', ""), 1),
            ("AAAA".into(), 1),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(
                matches!(error, KeyError::Line { line: l } if l == line),
                "{text}"
            );
            assert!(!error.to_string().contains("AQEB"));
        }
        assert!(matches!(parse("\n \n"), Err(KeyError::Empty)));
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let (path, store) = (folder.path().join("store.key"), folder.path().join("a.db"));
        let sealed: Vec<_> = std::thread::scope(|scope| {
            let one = || {
                StoreKeys::for_store(None, &store)
                    .unwrap()
                    .seal(Purpose::Check, b"x")
                    .unwrap()
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let keys = StoreKeys::load_or_create(&path, &store).unwrap();
        for sealed in sealed {
            assert_eq!(&keys.open(Purpose::Check, &sealed).unwrap().plain[..], b"x");
        }
        let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no drafts");
    }

    #[test]
    fn a_key_that_root_makes_is_for_the_account_whose_folder_it_is_in() {
        let (folder, account) = folder_of_an_account();
        StoreKeys::for_store(None, &folder.path().join("a.db")).unwrap();
        assert_eq!(owner(&folder.path().join("store.key")), account);
    }

    #[test]
    fn a_store_without_its_key_gets_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, store) = (folder.path().join("k"), folder.path().join("a.db"));
        fs::write(&store, "something").unwrap();
        let error = StoreKeys::load_or_create(&path, &store).unwrap_err();
        assert!(matches!(error, KeyError::Missing { .. }), "{error}");
        assert!(!path.exists());
        fs::write(&store, "").unwrap();
        StoreKeys::load_or_create(&path, &store).unwrap();
    }

    #[test]
    fn a_key_open_to_others_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        fs::write(&path, ONE).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let source = SecretSource::File(path.clone());
            let error = StoreKeys::for_store(Some(&source), &folder.path().join("a.db"));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(&format!("{mode:04o}")), "{error}");
            assert!(
                error.contains(&format!("chmod 600 {}", path.display())),
                "{error}"
            );
        }
    }

    #[test]
    fn a_missing_folder_is_told_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("no/a.db");
        let error = StoreKeys::for_store(None, &store).unwrap_err().to_string();
        assert!(error.contains("no/store.key"), "{error}");
    }
}
