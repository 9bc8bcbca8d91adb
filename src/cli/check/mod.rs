//! `appproxy check`: what stands between this host and people who open an application.

mod application;
mod bundle;
mod connector;
mod report;
mod running;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use self::bundle::Settings;
use self::report::{as_json, as_text};
use super::check_cert::severity;
use super::gateway::Examined;
use super::{Exit, gateway};
use crate::check::gateway::{Known, check};
use crate::check::{Area, Line, PATIENCE};
use crate::clock::Clock;
use crate::config::{CONNECTOR_FILE, GATEWAY_FILE, GatewayConfig};
use crate::gateway::redirect_uri;
use crate::model::{Finding, Severity};
use crate::store::ConnectorRecord;
use tokio::time::Instant;

/// Tell what is wrong with a gateway or a connector here, and what to do about it
///
/// Of a gateway it looks at the configuration, its files and certificates, ports, names in the DNS and where they
/// lead, identity providers, and connectors. Of a connector it looks at the configuration, its identity, the way to
/// each gateway, and every application that its group serves. With `--app` connectors look at an application
/// through their tunnels, from the gateway's host. It takes ten seconds at most, beside what runs or before
/// it does, and changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The configuration of a gateway or of a connector [default: what there is of /etc/appproxy/gateway.yaml
    /// and /etc/appproxy/connector.yaml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look at this application alone, from the gateway through the tunnels of its connectors
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// With `--app`: look for dead links on so many of its pages, which are asked for one after the other, as
    /// nobody; 1 to 100
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1,
        requires = "app",
        value_parser = clap::value_parser!(u8).range(1..=100)
    )]
    pages: u8,
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

/// What is known of one file.
struct Looked {
    lines: Vec<Line>,
    settings: Settings,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let clock = Clock::system();
        let (mut lines, mut settings) = (Vec::new(), Vec::new());
        let files = self.files();
        if files.is_empty() {
            lines.push(nothing_there());
        }
        // Side by side: a host may be a gateway's and a connector's, and each takes its time.
        let all = thread::scope(|scope| {
            let looks = files
                .iter()
                .map(|file| scope.spawn(|| self.look_at(file, &clock)));
            let looks: Vec<_> = looks.collect();
            let ended = looks.into_iter().map(|look| look.join());
            ended.collect::<Vec<_>>()
        });
        for looked in all {
            let looked = looked.map_err(|_| Exit::failed("a file could not be looked at"))??;
            lines.extend(looked.lines);
            settings.push(looked.settings);
        }
        if let Some(file) = &self.bundle {
            bundle::write(file, &settings, &lines)?;
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

    fn files(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.config {
            return vec![file.clone()];
        }
        let all = [GATEWAY_FILE, CONNECTOR_FILE].map(PathBuf::from);
        let mut there: Vec<_> = all.iter().filter(|file| file.exists()).cloned().collect();
        if self.app.is_some() {
            there.truncate(1);
        }
        there
    }

    fn look_at(&self, file: &Path, clock: &Clock) -> Result<Looked, Exit> {
        let examined = gateway::examine(file, clock);
        if examined.findings.iter().any(|one| one.code == "wrong_kind") {
            return connector::look(file, self.app.as_deref(), clock);
        }
        let lines = match (&examined.config, &self.app) {
            (None, _) => unread(file, examined.findings.clone()),
            (Some(config), None) => look(config, &examined, None, clock)?,
            (Some(config), Some(name)) => match application::only(config, name) {
                Ok(only) => look(&only, &examined, Some((name, self.pages)), clock)?,
                Err(finding) => vec![Line::found(Area::Applications, name, *finding)],
            },
        };
        let settings = match &examined.config {
            Some(config) => Settings::of_gateway(config),
            None => Settings::unread(file),
        };
        Ok(Looked { lines, settings })
    }
}

fn nothing_there() -> Line {
    let finding = Finding::error(
        "no_configuration",
        format!("there is neither {GATEWAY_FILE} nor {CONNECTOR_FILE}"),
        "on the gateway's host run `appproxy gateway init`; on a connector's host write its file (docs/quick-start.md) and run `appproxy register`; or name a file with `--config`",
    );
    Line::found(Area::Configuration, "this host", finding)
}

fn unread(file: &Path, findings: Vec<Finding>) -> Vec<Line> {
    let subject = file.display().to_string();
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
        Area::Applications,
    ] {
        lines.push(Line::skip(area, "all of it", rest));
    }
    lines
}

/// Looks at a gateway; and at an application, the one of this configuration, where it is named.
fn look(
    config: &GatewayConfig,
    examined: &Examined,
    app: Option<(&str, u8)>,
    clock: &Clock,
) -> Result<Vec<Line>, Exit> {
    let deadline = Instant::now() + PATIENCE;
    // What the connectors see of an application takes as long as all else, and comes beside it.
    thread::scope(|scope| {
        let asked =
            app.map(|(name, pages)| scope.spawn(move || application::ask(config, name, pages)));
        let (running, heard) = running::look(config)?;
        let here = super::runtime(None)?.block_on(async {
            let (connectors, store) = connectors(config).await;
            let known = Known {
                config,
                is_whole: app.is_none(),
                loaded: &examined.loaded,
                has_all_certificates: examined.loaded.certificates.len()
                    == config.certificates.len(),
                clock,
                running,
                connectors: connectors.as_deref(),
                redirect_uri: redirect_uri(config),
            };
            let mut lines = read(config, &examined.findings);
            lines.extend([heard, store]);
            lines.extend(check(&known, deadline).await);
            (lines, connectors)
        });
        let (mut lines, connectors) = here;
        if let Some((asked, application)) = asked.zip(config.applications.first()) {
            let told = asked
                .join()
                .map_err(|_| Exit::failed("the application could not be looked at"))?;
            let connectors = connectors.as_deref().unwrap_or_default();
            lines.extend(match told {
                Ok(told) => application::lines(application, told.as_ref(), connectors, clock),
                // Why, is a line of the gateway.
                Err(unheard) => {
                    let why = format!("the gateway cannot be asked: {unheard}");
                    vec![Line::skip(
                        Area::Applications,
                        application.name.as_str(),
                        why,
                    )]
                }
            });
        }
        lines.sort_by_key(|line| line.area);
        Ok(once(lines))
    })
}

/// What the file comes to; what keeps a gateway from starting does not keep the rest from being looked at.
fn read(config: &GatewayConfig, findings: &[Finding]) -> Vec<Line> {
    let subject = config.file.display().to_string();
    if findings.is_empty() {
        return vec![Line::pass(Area::Configuration, subject, summary(config))];
    }
    let lines = findings.iter();
    lines
        .map(|one| Line::found(Area::Configuration, &subject, one.clone()))
        .collect()
}

/// Each finding where it comes up first.
fn once(lines: Vec<Line>) -> Vec<Line> {
    let mut said: Vec<Finding> = Vec::new();
    let mut is_new = |line: &Line| match line.finding() {
        Some(finding) if finding.place.is_some() => {
            let is_new = !said.contains(finding);
            said.extend(is_new.then(|| finding.clone()));
            is_new
        }
        _ => true,
    };
    lines.into_iter().filter(|line| is_new(line)).collect()
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
                exit => Finding::error(
                    "store_unreadable",
                    format!("the store cannot be opened: {}", exit.texts().join("; ")),
                    "run this as the account that the gateway runs as; where the file is damaged, `appproxy gateway restore` makes it out of a backup",
                ),
            };
            (None, Line::found(Area::Store, subject, finding))
        }
    }
}
