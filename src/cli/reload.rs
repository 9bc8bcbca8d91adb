//! Reads a gateway's configuration again and puts it in force: the whole, or nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::follow::Prints;
use super::{Exit, START_AGAIN, gateway};
use crate::clock::Clock;
use crate::config::{Change, GatewayConfig};
use crate::gateway::{Applied, ApplyError, Gateway};
use crate::net;
use crate::telemetry;
use crate::telemetry::audit::{Actor, Record};

/// Lines in the log about changes that let nobody in; those that do are all there.
const LINES: usize = 100;

/// Reads and applies; one at a time.
#[derive(Debug)]
pub(super) struct Reloader {
    file: PathBuf,
    /// Where it listens, since its start.
    listening: Vec<SocketAddr>,
    clock: Clock,
    gateway: Arc<Gateway>,
    /// Held by whoever reads, on a thread that may wait.
    one: Mutex<()>,
    /// What was said of the last one that was refused: the same is not said again and again.
    refused: Mutex<Vec<String>>,
}

/// How it ended, as it is told over the admin socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(super) enum Reloaded {
    /// Another configuration is in force.
    Done {
        /// Its number.
        generation: u64,
        /// What is different by it.
        changes: Vec<Change>,
    },
    /// All is as it was.
    Refused {
        /// The number of the configuration that stays in force.
        generation: u64,
        /// What is wrong with the one that was read.
        findings: Vec<String>,
    },
}

/// Which file a gateway goes by, and what it has of its host, as it is told over the admin socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct InForce {
    /// The whole path.
    pub(super) file: PathBuf,
    /// Whether it says what is in force.
    pub(super) is_current: bool,
    /// Where it listens; a gateway of an earlier version does not tell.
    pub(super) listening: Option<Vec<SocketAddr>>,
    /// How many files and sockets it may have open; `None` where there is no limit, or it does not tell.
    pub(super) open_files: Option<u64>,
}

/// What is read, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause<'a> {
    /// Somebody said so.
    Told(&'a str),
    /// The files of a watched configuration have changed.
    Files,
    /// The files of certificates have.
    Certificates,
}

impl Cause<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Told(by) => by,
            Self::Files => "changed files",
            Self::Certificates => "changed certificates",
        }
    }
}

impl Reloader {
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        listening: Vec<SocketAddr>,
        clock: &Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            file: gateway.config().file,
            listening,
            clock: clock.clone(),
            gateway: Arc::clone(gateway),
            one: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Reads the file to see whether it says what is in force, and changes nothing.
    pub(super) async fn in_force(self: &Arc<Self>) -> InForce {
        let this = Arc::clone(self);
        let compare = spawn_blocking(move || {
            let _one = this.one();
            let read = this.read();
            read.is_ok_and(|(config, certificates)| this.gateway.has(&config, &certificates))
        });
        let file = std::fs::canonicalize(&self.file);
        InForce {
            file: file.unwrap_or_else(|_| self.file.clone()),
            is_current: compare.await.unwrap_or(false),
            listening: Some(self.listening.clone()),
            open_files: net::most_descriptors(),
        }
    }

    /// Because somebody said so, and `by` what.
    pub(super) async fn reload(self: &Arc<Self>, by: &str) -> Reloaded {
        let (this, by, began) = (Arc::clone(self), by.to_owned(), Instant::now());
        // Thousands of applications take a while to read and to build, and disks may be slow.
        let reloading = spawn_blocking(move || {
            let _one = this.one();
            let read = this.read();
            this.take(Cause::Told(&by), began, read)
        });
        match reloading.await {
            Ok(reloaded) => reloaded,
            Err(error) => Reloaded::Refused {
                generation: self.gateway.generation(),
                findings: vec![error.to_string()],
            },
        }
    }

    /// Because files have changed: where they say the same as before, nothing happens.
    pub(super) async fn follow(self: &Arc<Self>) {
        let (this, began) = (Arc::clone(self), Instant::now());
        let following = spawn_blocking(move || {
            let _one = this.one();
            let first = this.read();
            // SECURITY: of a file that changes while it is read a part may be missing, and with it
            // what keeps somebody out. One that changes is looked at again when it has rested.
            let prints = |read: &Result<gateway::Prepared, Exit>| {
                read.as_ref().ok().map(|(config, _)| Prints::of_all(config))
            };
            let before = prints(&first);
            let read = this.read();
            if before != prints(&read) {
                return;
            }
            match &read {
                Ok((config, certificates)) if this.gateway.has(config, certificates) => {
                    // What was wrong in between is right again.
                    this.gateway.note_current();
                }
                _ => drop(this.take(Cause::Files, began, read)),
            }
        });
        let _ = following.await;
    }

    /// As [`Reloader::follow`], of certificates alone. Whether the configuration as a whole is right
    /// again is looked at too, since it may have been refused for a certificate.
    pub(super) async fn follow_certificates(self: &Arc<Self>) {
        let (this, began) = (Arc::clone(self), Instant::now());
        let following = spawn_blocking(move || {
            let _one = this.one();
            let config = this.gateway.config();
            let before = Prints::of_certificates(&config);
            let certificates = gateway::load_certificates(&config, &this.clock);
            if before != Prints::of_certificates(&config) {
                return;
            }
            match certificates {
                Ok(same) if this.gateway.has(&config, &same) => this.gateway.note_certificates(),
                certificates => {
                    let read = certificates.map(|certificates| (config, certificates));
                    this.take(Cause::Certificates, began, read);
                }
            }
            if this.gateway.is_behind()
                && let Ok((config, certificates)) = this.read()
                && this.gateway.has(&config, &certificates)
            {
                this.gateway.note_current();
            }
        });
        let _ = following.await;
    }

    fn one(&self) -> MutexGuard<'_, ()> {
        self.one.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<gateway::Prepared, Exit> {
        gateway::prepare(&self.file, &self.clock)
    }

    fn take(
        &self,
        cause: Cause<'_>,
        began: Instant,
        read: Result<gateway::Prepared, Exit>,
    ) -> Reloaded {
        let applied = read.and_then(|(config, certificates)| {
            let log = (cause != Cause::Certificates).then(|| config.log.clone());
            let applied = self.apply(config, certificates)?;
            if let Some(log) = log
                && let Err(error) = telemetry::apply_log(&log)
            {
                // It could be a moment ago.
                tracing::error!(%error, "the log goes on where it was");
            }
            Ok(applied)
        });
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match applied {
            Ok(Applied {
                generation,
                changes,
            }) => {
                self.gateway.note_reload(true, cause == Cause::Certificates);
                refused.clear();
                say(&changes);
                let wider = changes.iter().filter(|change| change.wider).count();
                for change in &changes {
                    Record::new("configuration_changed", Actor::Operator(cause.as_str()))
                        .with("cause", change.to_string())
                        .with("wider", if change.wider { "yes" } else { "no" })
                        .with("generation", generation.to_string())
                        .write();
                }
                tracing::info!(
                    generation,
                    by = cause.as_str(),
                    changes = changes.len(),
                    wider,
                    took = ?began.elapsed(),
                    "configuration in force"
                );
                Reloaded::Done {
                    generation,
                    changes,
                }
            }
            Err(exit) => {
                let findings = exit.texts();
                let again = |text: String| text.replace(START_AGAIN, "correct it and reload again");
                let findings: Vec<_> = findings.into_iter().map(again).collect();
                let generation = self.gateway.generation();
                let is_new = *refused != findings;
                if is_new || matches!(cause, Cause::Told(_)) {
                    self.gateway
                        .note_reload(false, cause == Cause::Certificates);
                    for finding in &findings {
                        tracing::error!(finding, "configuration refused");
                    }
                    Record::new("configuration_changed", Actor::Operator(cause.as_str()))
                        .failed()
                        .with("cause", findings.join("; "))
                        .write();
                    tracing::error!(
                        generation,
                        by = cause.as_str(),
                        "the configuration that was read is refused; the one before stays in force"
                    );
                    refused.clone_from(&findings);
                }
                Reloaded::Refused {
                    generation,
                    findings,
                }
            }
        }
    }

    fn apply(
        &self,
        config: GatewayConfig,
        certificates: crate::certs::Loaded,
    ) -> Result<Applied, Exit> {
        if self.gateway.is_stopping() {
            return Err(Exit::failed("the gateway is stopping"));
        }
        let applied = self.gateway.apply(config, certificates);
        applied.map_err(|error| match error {
            ApplyError::NeedsRestart(keys) => {
                Exit::Findings(keys.iter().map(|key| key.finding()).collect())
            }
            error => Exit::failed(error.to_string()),
        })
    }
}

/// What lets in more is said first and always; a line each.
fn say(changes: &[Change]) {
    let (wider, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.wider);
    for change in wider {
        tracing::warn!(%change, "access is wider");
    }
    for change in others.iter().take(LINES) {
        tracing::info!(%change, "configuration changed");
    }
    if let Some(more) = others.len().checked_sub(LINES).filter(|more| *more > 0) {
        tracing::info!(more, "further changes are not listed");
    }
}
