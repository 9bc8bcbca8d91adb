//! `gateway backup` and `gateway restore`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{Exit, GatewayFile, gateway};
use crate::config::GatewayConfig;
use crate::store::{self, StoreKeys};

/// `gateway backup`.
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The backup; one that is there is replaced when the new one is whole
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    config: GatewayFile,
}

/// `gateway restore`.
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Move a store that is there away
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    config: GatewayFile,
}

impl Backup {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let config = load(&self.config)?;
        let keys = keys(&config, "there is no store yet")?;
        let backup = super::runtime(None)?.block_on(store::back_up(&config.store, &keys));
        let backup = backup.map_err(|error| Exit::failed(error.to_string()))?;
        write(&self.file, &backup).map_err(|error| {
            Exit::failed(format!("cannot write {}: {error}", self.file.display()))
        })?;
        say(&format!(
            "{} holds the store, sealed ({} octets); keep the store key {} in another place: without it the backup opens for nobody",
            self.file.display(),
            backup.len(),
            key_place(&config),
        ))
    }
}

impl Restore {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let config = load(&self.config)?;
        let missing = format!(
            "the store key is not there: put the one back that the store had, as {}",
            key_place(&config)
        );
        let keys = keys(&config, &missing)?;
        let backup = fs::read(&self.file).map_err(|error| {
            Exit::failed(format!("cannot read {}: {error}", self.file.display()))
        })?;
        let restoring = store::restore(&config.store, &keys, &backup, self.replace);
        let away = super::runtime(None)?.block_on(restoring);
        let away = away.map_err(|e| Exit::failed(format!("{}: {e}", self.file.display())))?;
        if let Some(away) = away {
            say(&format!("what was there is now {}", away.display()))?;
        }
        say(&format!(
            "{} is as it was when the backup was made. Connectors that were removed and tokens that were revoked since then count again: look at `appproxy gateway connector list` and `appproxy gateway token list`",
            config.store.display()
        ))
    }
}

fn load(file: &GatewayFile) -> Result<GatewayConfig, Exit> {
    GatewayConfig::load(&file.config).map_err(Exit::Findings)
}

/// The keys of the store; they are made with it, never here.
fn keys(config: &GatewayConfig, missing: &str) -> Result<StoreKeys, Exit> {
    if let Some(finding) = gateway::look_at_store(config) {
        return Err(Exit::Findings(vec![finding]));
    }
    let keys = StoreKeys::existing(config.store_key.as_ref(), &config.store);
    let keys = keys.map_err(|error| Exit::failed(error.to_string()))?;
    keys.ok_or_else(|| Exit::failed(missing))
}

fn key_place(config: &GatewayConfig) -> String {
    match &config.store_key {
        Some(source) => source.to_string(),
        None => config
            .store
            .with_file_name("store.key")
            .display()
            .to_string(),
    }
}

/// A name leads to the whole of it or to what was there before.
fn write(file: &Path, octets: &[u8]) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    // What one with the same number left that was killed.
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let mut opened = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let written = opened
        .write_all(octets)
        .and_then(|()| opened.sync_all())
        .and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn say(text: &str) -> Result<(), Exit> {
    writeln!(io::stdout(), "{text}").map_err(|e| Exit::failed(format!("cannot write: {e}")))
}
