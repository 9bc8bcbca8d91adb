//! `gateway reload` and `gateway plan`: what another configuration changes, told after or before.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use http::Method;
use serde::Serialize;

use super::orders::{self, paths};
use super::reload::Reloaded;
use super::{Exit, GatewayFile};
use crate::config::{Change, Described, GatewayConfig};

/// `gateway reload`.
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: GatewayFile,
}

/// `gateway plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Plan {
    /// The configuration as it would be
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: GatewayFile,
}

impl Reload {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let config = socket_of(&self.config)?;
        let reloaded: Option<Reloaded> = orders::order(&config, Method::POST, paths::RELOAD)?;
        let reloaded = reloaded.ok_or_else(|| orders::not_running(&config))?;
        if self.json {
            print(&as_json(&reloaded))?;
        }
        match reloaded {
            Reloaded::Done { .. } if self.json => Ok(()),
            Reloaded::Done {
                generation,
                changes,
            } => print(&format!(
                "{}generation {generation} is in force\n",
                listed(&changes)
            )),
            Reloaded::Refused {
                generation,
                findings,
            } => Err(Exit::Refused(format!(
                "{}\nnothing was changed: generation {generation} stays in force",
                findings.join("\n")
            ))),
        }
    }
}

impl Plan {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let planned = GatewayConfig::load(&self.file).map_err(Exit::Findings)?;
        let config = socket_of(&self.config)?;
        let in_force: Option<Described> =
            orders::order(&config, Method::GET, paths::CONFIGURATION)?;
        let compared_with = match &in_force {
            Some(_) => "the running gateway".to_owned(),
            None => format!("{} (no gateway runs)", config.file.display()),
        };
        let in_force = match in_force {
            Some(in_force) => in_force,
            None => Described::of(&GatewayConfig::load(&config.file).map_err(Exit::Findings)?),
        };
        let changes = in_force.changes(&Described::of(&planned));
        if self.json {
            return print(&as_json(&changes));
        }
        let wider = changes.iter().filter(|change| change.wider).count();
        print(&format!(
            "{}compared with {compared_with}: {} changes, {wider} of them wider\n",
            listed(&changes),
            changes.len()
        ))
    }
}

/// A configuration as far as the way to its gateway.
fn socket_of(file: &GatewayFile) -> Result<GatewayConfig, Exit> {
    GatewayConfig::load(&file.config).map_err(|findings| {
        let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
        Exit::Refused(format!(
            "{}\nnothing was changed: a gateway that runs goes on as it is",
            findings.join("\n")
        ))
    })
}

fn listed(changes: &[Change]) -> String {
    changes.iter().fold(String::new(), |mut text, change| {
        let _ = writeln!(text, "{change}");
        text
    })
}

fn as_json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    format!("{text}\n")
}

fn print(text: &str) -> Result<(), Exit> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| Exit::failed(format!("cannot write: {error}")))
}
