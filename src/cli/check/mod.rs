//! `appproxy check`: what stands between this host and people who open an application.

mod report;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::json;

use self::report::{as_json, as_text};
use super::check_cert::severity;
use super::orders::{self, paths};
use super::{Exit, gateway};
use crate::certs::Loaded;
use crate::check::gateway::{Known, check};
use crate::check::{Area, Line};
use crate::clock::Clock;
use crate::config::{Described, GatewayConfig};
use crate::gateway::redirect_uri;
use crate::model::Severity;
use crate::store::ConnectorRecord;

/// Tell what is wrong with a gateway here, and what to do about it
///
/// Looks at the configuration, its files and certificates, ports, names in the DNS and where they lead,
/// identity providers, and connectors; within ten seconds, while the gateway runs or before. Changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The gateway's configuration
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/appproxy/gateway.yaml"
    )]
    config: PathBuf,
    /// From which severity on the exit code is 2
    #[arg(long, value_name = "SEVERITY", default_value = "error", value_parser = severity)]
    fail_on: Severity,
    /// For programs
    #[arg(long)]
    json: bool,
    /// Write all of it with the settings into a file as well, for whoever is asked for help: secrets are not
    /// in it, names and addresses are
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let clock = Clock::system();
        let (lines, config) = match gateway::examine(&self.config, &clock) {
            Ok((config, loaded)) => (look(&config, &loaded, &clock)?, Some(config)),
            Err(findings) => {
                let subject = self.config.display().to_string();
                let found = findings.into_iter();
                let mut lines: Vec<_> = found
                    .map(|one| Line::found(Area::Configuration, &subject, one))
                    .collect();
                let rest = "the configuration has to be right first";
                for area in [
                    Area::Certificates,
                    Area::Listeners,
                    Area::Names,
                    Area::Providers,
                    Area::Connectors,
                ] {
                    lines.push(Line::skip(area, "all of it", rest));
                }
                (lines, None)
            }
        };
        if let Some(file) = &self.bundle {
            bundle(file, config.as_ref(), &lines)?;
        }
        let text = match self.json {
            true => format!("{:#}\n", as_json(&lines)),
            false => as_text(&lines),
        };
        io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| Exit::failed(format!("the report cannot be written: {error}")))?;
        match lines.iter().filter_map(Line::severity).max() {
            Some(worst) if worst >= self.fail_on => Err(Exit::Found),
            _ => Ok(()),
        }
    }
}

fn look(config: &GatewayConfig, loaded: &Loaded, clock: &Clock) -> Result<Vec<Line>, Exit> {
    let connected: Option<Vec<String>> = orders::order(config, Method::GET, paths::CONNECTED)?;
    let runs = connected.is_some();
    super::runtime(None)?.block_on(async {
        let (connectors, store) = connectors(config).await;
        let known = Known {
            config,
            loaded,
            clock,
            runs,
            connected: connected.unwrap_or_default(),
            connectors: connectors.as_deref(),
            redirect_uri: redirect_uri(config),
        };
        let mut lines = vec![
            Line::pass(
                Area::Configuration,
                config.file.display().to_string(),
                summary(config),
            ),
            Line::pass(
                Area::Configuration,
                "gateway",
                if runs { "runs" } else { "does not run" },
            ),
            store,
        ];
        lines.extend(check(&known).await);
        lines.sort_by_key(|line| line.area);
        Ok(lines)
    })
}

fn summary(config: &GatewayConfig) -> String {
    format!(
        "applications: {}; identity providers: {}; certificates: {}",
        config.applications.len(),
        config.identity_providers.len(),
        config.certificates.len()
    )
}

/// The connectors of the store, which is not made by looking.
async fn connectors(config: &GatewayConfig) -> (Option<Vec<ConnectorRecord>>, Line) {
    let subject = config.store.display().to_string();
    if !config.store.exists() {
        let why = "it is not there yet: it is made at the first start";
        return (None, Line::skip(Area::Store, subject, why));
    }
    let read = match gateway::open_store(config).await {
        Ok(store) => store
            .connectors()
            .await
            .map_err(|error| Exit::failed(error.to_string())),
        Err(exit) => Err(exit),
    };
    match read {
        Ok(all) => (
            Some(all),
            Line::pass(Area::Store, subject, "it opens with its key"),
        ),
        Err(exit) => {
            let finding = match exit {
                Exit::Findings(mut found) if !found.is_empty() => found.remove(0),
                exit => crate::model::Finding::error(
                    "store_unreadable",
                    format!("the store cannot be opened: {}", exit.texts().join("; ")),
                    "run this as the account that the gateway runs as; where the file is damaged, `appproxy gateway restore` makes it out of a backup",
                ),
            };
            (None, Line::found(Area::Store, subject, finding))
        }
    }
}

/// Writes what somebody who helps has to know.
fn bundle(file: &Path, config: Option<&GatewayConfig>, lines: &[Line]) -> Result<(), Exit> {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let whole = json!({
        "appproxy": env!("CARGO_PKG_VERSION"),
        "made": Clock::system().now().to_rfc3339(),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "system": read("/etc/os-release"),
        "load": read("/proc/loadavg"),
        "configuration": config.map(Described::of),
        "check": as_json(lines),
    });
    std::fs::write(file, format!("{whole:#}\n"))
        .map_err(|error| Exit::failed(format!("cannot write {}: {error}", file.display())))
}
