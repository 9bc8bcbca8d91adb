//! Reads a connector's configuration again: what it says of applications, and of the log, counts from
//! then on; the whole, or nothing.

use std::path::Path;

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::connector::{Prepared, prepare};
use super::follow::{Followed, Prints};
use super::{Exit, START_AGAIN};
use crate::clock::Clock;
use crate::config::ConnectorConfig;
use crate::connector::Applications;
use crate::shutdown::Told;
use crate::telemetry;

/// How often the files of certificates are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Follows the hang-ups and the certificates of one connector.
pub(super) struct Rereader {
    pub(super) config: ConnectorConfig,
    pub(super) applications: Applications,
    pub(super) clock: Clock,
    /// The files of `backend_tls`.
    pub(super) certificates: Followed,
}

impl Rereader {
    /// Reads again whenever somebody says so, and whenever certificates have changed; never ends.
    pub(super) async fn run(mut self, mut hangups: Told) {
        let mut every = interval(LOOK);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = hangups.next() => self.reread("SIGHUP", false).await,
                _ = every.tick() => {
                    let entries = self.config.backend_tls.clone();
                    let prints = spawn_blocking(move || Prints::of_backend_tls(&entries)).await;
                    if self.certificates.is_due(prints.unwrap_or_default()) {
                        self.reread("changed certificates", true).await;
                    }
                }
            }
        }
    }

    /// Reads everything; where only certificates have changed, the rest of the file does not count.
    async fn reread(&mut self, by: &str, certificates: bool) {
        let (before, clock) = (self.config.clone(), self.clock.clone());
        let reading = spawn_blocking(move || read(&before, &clock, certificates));
        let read = reading.await;
        let read = read.unwrap_or_else(|error| Err(Exit::failed(error.to_string())));
        match read {
            Ok(Prepared {
                config,
                proxies,
                trust,
                prints,
            }) => {
                say(&self.config, &config);
                if let Err(error) = telemetry::apply_log(&config.log) {
                    tracing::error!(%error, "the log goes on where it was");
                }
                self.applications.replace(&config, proxies.backend, trust);
                self.applications.note(true);
                let generation = self.applications.generation();
                tracing::info!(generation, by, "configuration in force");
                self.config = config;
                self.certificates = Followed::read(prints);
            }
            Err(exit) => {
                self.applications.note(false);
                let findings = exit.texts();
                for finding in findings {
                    let finding = finding.replace(START_AGAIN, "correct it and reload again");
                    tracing::error!(finding, "configuration refused");
                }
                let generation = self.applications.generation();
                tracing::error!(
                    generation,
                    by,
                    "the configuration that was read is refused; the one before stays in force"
                );
            }
        }
    }
}

fn read(before: &ConnectorConfig, clock: &Clock, certificates: bool) -> Result<Prepared, Exit> {
    if certificates {
        return Prepared::of(before.clone(), clock);
    }
    let read = prepare(Path::new(&before.file), clock)?;
    let restart = before.needs_restart(&read.config);
    if restart.is_empty() {
        telemetry::check_log(&read.config.log)
            .map_err(|e| Exit::configuration(&read.config.file, "log", e.to_string()))?;
        return Ok(read);
    }
    Err(Exit::Findings(restart))
}

/// What lets in more is said first and always.
fn say(before: &ConnectorConfig, after: &ConnectorConfig) {
    let lines = |config: &ConnectorConfig| -> Vec<String> {
        config.allow.iter().map(ToString::to_string).collect()
    };
    let (before, after) = (lines(before), lines(after));
    for line in after.iter().filter(|line| !before.contains(line)) {
        tracing::warn!(change = format!("allow has {line}"), "access is wider");
    }
    for line in before.iter().filter(|line| !after.contains(line)) {
        tracing::info!(
            change = format!("allow has {line} no more"),
            "configuration changed"
        );
    }
}
