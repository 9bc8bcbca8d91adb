//! Reads a gateway's configuration again and puts it in force: the whole, or nothing.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Exit, gateway};
use crate::clock::Clock;
use crate::config::{Change, GatewayConfig};
use crate::gateway::{Applied, ApplyError, Gateway};

/// Lines in the log about changes that let nobody in; those that do are all there.
const LINES: usize = 100;

/// Reads and applies; one at a time.
#[derive(Debug)]
pub(super) struct Reloader {
    file: PathBuf,
    clock: Clock,
    gateway: Arc<Gateway>,
    one: Mutex<()>,
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

impl Reloader {
    pub(super) fn new(gateway: &Arc<Gateway>, clock: &Clock) -> Self {
        Self {
            file: gateway.config().file,
            clock: clock.clone(),
            gateway: Arc::clone(gateway),
            one: Mutex::default(),
        }
    }

    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Because somebody said so, and `by` what.
    pub(super) async fn reload(&self, by: &str) -> Reloaded {
        let _one = self.one.lock().await;
        let began = Instant::now();
        let read = self.read().await;
        self.take(by, false, began, read)
    }

    /// Because files have changed: where they say the same as before, nothing happens.
    pub(super) async fn follow(&self) {
        let _one = self.one.lock().await;
        let began = Instant::now();
        let read = match self.read().await {
            Ok((config, certificates)) if self.gateway.has(&config, &certificates) => {
                // What was wrong in between is right again.
                self.gateway.note_current();
                return;
            }
            read => read,
        };
        self.take("changed files", false, began, read);
    }

    /// As [`Reloader::follow`], of certificates alone.
    pub(super) async fn follow_certificates(&self) {
        let _one = self.one.lock().await;
        let began = Instant::now();
        let config = self.gateway.config();
        let clock = self.clock.clone();
        let read = tokio::task::spawn_blocking(move || {
            let certificates = gateway::load_certificates(&config.certificates, &clock)?;
            Ok((config, certificates))
        });
        let read = match flat(read.await) {
            Ok((config, certificates)) if self.gateway.has(&config, &certificates) => {
                // A pair that did not fit together is back to what it was.
                return self.gateway.note_certificates();
            }
            read => read,
        };
        self.take("changed certificates", true, began, read);
    }

    async fn read(&self) -> Result<gateway::Prepared, Exit> {
        let (file, clock) = (self.file.clone(), self.clock.clone());
        // Thousands of applications take a while to read, and disks may be slow.
        flat(tokio::task::spawn_blocking(move || gateway::prepare(&file, &clock)).await)
    }

    fn take(
        &self,
        by: &str,
        of_certificates: bool,
        began: Instant,
        read: Result<gateway::Prepared, Exit>,
    ) -> Reloaded {
        let applied = read.and_then(|(config, certificates)| self.apply(config, certificates));
        self.gateway.note_reload(applied.is_ok(), of_certificates);
        match applied {
            Ok(Applied {
                generation,
                changes,
            }) => {
                say(&changes);
                let wider = changes.iter().filter(|change| change.wider).count();
                tracing::info!(
                    generation,
                    by,
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
                let findings = match exit {
                    Exit::Failed(what) | Exit::Refused(what) => vec![what],
                    Exit::Findings(findings) => findings.iter().map(ToString::to_string).collect(),
                };
                let generation = self.gateway.generation();
                for finding in &findings {
                    tracing::error!(finding, "configuration refused");
                }
                tracing::error!(
                    generation,
                    by,
                    "the configuration that was read is refused; the one before stays in force"
                );
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
        certificates: Vec<crate::certs::LoadedCertificate>,
    ) -> Result<Applied, Exit> {
        if self.gateway.is_stopping() {
            return Err(Exit::failed("the gateway is stopping"));
        }
        let log = config.log.clone();
        let applied = self.gateway.apply(config, certificates);
        if applied.is_ok()
            && let Err(error) = crate::telemetry::apply_log(&log)
        {
            // It could be a moment ago.
            tracing::error!(%error, "the log goes on where it was");
        }
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

fn flat<T>(joined: Result<Result<T, Exit>, tokio::task::JoinError>) -> Result<T, Exit> {
    joined.unwrap_or_else(|error| Err(Exit::failed(error.to_string())))
}
