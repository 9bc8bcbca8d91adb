//! The command line.

mod backup;
mod ca;
mod change;
mod check;
mod check_cert;
mod connector;
mod connectors;
mod demo;
mod explain;
mod follow;
mod gateway;
mod generate;
mod init;
mod link;
mod listeners;
mod login;
mod orders;
mod prompt;
mod register;
mod registered;
mod reload;
mod reread;
mod service;
mod service_token;
mod session;
mod status;
mod store;
mod token;
mod watched;

use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio_util::task::AbortOnDropHandle;

use self::store::StoreCommand;
use crate::clock::Clock;
use crate::config::{CONNECTOR_FILE, GATEWAY_FILE};
use crate::model::{Finding, LogFormat, Place};
use crate::shutdown::Signals;
use crate::telemetry::{self, LogOptions};

/// Publishes web applications of a private network to the internet.
#[derive(Debug, Parser)]
#[command(name = "appproxy", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct LogArgs {
    /// How much is logged: error, warn, info, debug or trace, or tracing directives
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How it is logged: text or json; goes before what the configuration says
    #[arg(long, global = true, value_name = "FORMAT", value_parser = log_format)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gateway, or look after its tokens and connectors
    #[command(args_conflicts_with_subcommands = true)]
    Gateway {
        #[command(flatten)]
        config: GatewayFile,
        /// Run a connector in this process too, for applications of this host or its network
        #[arg(long)]
        local_connector: bool,
        #[command(subcommand)]
        command: Option<GatewayCommand>,
    },
    /// Run a connector, or register it
    #[command(args_conflicts_with_subcommands = true)]
    Connector {
        #[command(flatten)]
        config: ConnectorFile,
        #[command(subcommand)]
        command: Option<ConnectorCommand>,
    },
    /// Register this connector with a one-time token (the same as `connector register`)
    Register(register::Register),
    /// Print an access token for an application, by signing in with any browser
    Login(login::Login),
    /// Show the whole product on this machine, without root and without a network
    Demo(demo::DemoArgs),
    Check(check::Check),
    CheckCert(check_cert::CheckCert),
    Completions(generate::Completions),
    Schema(generate::Schema),
    // For whoever makes a package.
    #[command(hide = true)]
    Man(generate::Man),
}

#[derive(Debug, Args)]
struct GatewayFile {
    /// The gateway's configuration
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct ConnectorFile {
    /// The connector's configuration
    #[arg(long, value_name = "FILE", default_value = CONNECTOR_FILE)]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum GatewayCommand {
    Init(Box<init::Init>),
    /// Read the configuration again, whole or not at all, and tell what is different by it
    Reload(change::Reload),
    /// Tell what a configuration would change, without changing anything
    Plan(change::Plan),
    /// Tell what would become of a request, decision by decision
    Explain(explain::Explain),
    /// Change from which level on the running gateway logs
    LogLevel(explain::LogLevel),
    /// Write the store, sealed, into one file, while the gateway runs
    Backup(backup::Backup),
    /// Make the store out of a backup, while no gateway runs
    Restore(backup::Restore),
    /// One-time tokens that turn into connectors
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Enrolled connectors
    #[command(subcommand)]
    Connector(connectors::ConnectorCommand),
    /// Who is signed in
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Tokens that programs show in place of a sign-in
    #[command(subcommand)]
    ServiceToken(service_token::ServiceTokenCommand),
    /// The gateways' own authority, which vouches for gateways and connectors
    #[command(subcommand)]
    Ca(ca::CaCommand),
}

#[derive(Debug, Subcommand)]
enum ConnectorCommand {
    /// Turn a one-time token into this connector's certificate
    Register(register::Register),
    /// Tell how the running connector stands; exit code 1 where it has no tunnel or does not run
    Status(status::Status),
    /// Leave for good: the gateway removes this connector, then its state is deleted
    Unregister(connector::Unregister),
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("write text or json".to_owned()),
    }
}

/// How a command ended, other than well.
#[derive(Debug)]
enum Exit {
    /// It failed while it ran: exit code 1.
    Failed(String),
    /// What the operator wrote cannot be used: exit code 64.
    Findings(Vec<Finding>),
    /// The same, as the running gateway said it.
    Refused(String),
    /// A check has found something that matters, and has said it: exit code 2.
    Found,
}

impl Exit {
    fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    fn configuration(file: &Path, key: &str, what: String) -> Self {
        let place = Place {
            file: file.to_owned(),
            key: key.to_owned(),
            ..Place::default()
        };
        Self::Findings(vec![unusable(&place, what)])
    }

    /// What there is to say of it, one text a fault.
    fn texts(&self) -> Vec<String> {
        match self {
            Self::Failed(what) | Self::Refused(what) => vec![what.clone()],
            Self::Findings(findings) => findings.iter().map(ToString::to_string).collect(),
            Self::Found => Vec::new(),
        }
    }
}

/// What to do about what is found before anything is started.
const START_AGAIN: &str = "correct it and start again; nothing was started";

/// What is written well and cannot be used.
fn unusable(place: &Place, what: String) -> Finding {
    Finding::error("unusable", what, START_AGAIN).at(place.clone())
}

/// Runs the command line and returns the process's exit code: 0 done, 1 failed while running,
/// 2 where a check found something, 64 usage or configuration.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    // The demo's screen is for its own words.
    let quiet = matches!(cli.command, Command::Demo(_)).then(|| "error".to_owned());
    let options = LogOptions {
        format: cli.log.log_format,
        level: cli.log.log_level.or(quiet),
    };
    let log = match telemetry::init(&options) {
        Ok(log) => log,
        Err(error) => return report(&Exit::Failed(error.to_string()), 64),
    };
    let outcome = run(cli.command);
    // What requests said last comes before the word that ends all.
    drop(log);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit @ Exit::Failed(_)) => report(&exit, 1),
        Err(Exit::Found) => ExitCode::from(2),
        Err(exit @ (Exit::Findings(_) | Exit::Refused(_))) => report(&exit, 64),
    }
}

fn run(command: Command) -> Result<(), Exit> {
    match command {
        Command::Gateway {
            config,
            local_connector,
            command: None,
        } => gateway::run(&config.config, local_connector),
        Command::Gateway {
            command: Some(command),
            ..
        } => match command {
            GatewayCommand::Init(command) => command.run(
                &mut std::io::stdin().lock(),
                &mut std::io::stdout(),
                &prompt::hush,
                &Clock::system(),
            ),
            GatewayCommand::Reload(command) => command.run(),
            GatewayCommand::Plan(command) => command.run(),
            GatewayCommand::Backup(command) => command.run(),
            GatewayCommand::Restore(command) => command.run(),
            GatewayCommand::Explain(command) => command.run(),
            GatewayCommand::LogLevel(command) => command.run(),
            GatewayCommand::Token(command) => store::run(&StoreCommand::Token(&command)),
            GatewayCommand::Connector(command) => store::run(&StoreCommand::Connector(&command)),
            GatewayCommand::Session(command) => store::run(&StoreCommand::Session(&command)),
            GatewayCommand::ServiceToken(command) => {
                store::run(&StoreCommand::ServiceToken(&command))
            }
            GatewayCommand::Ca(command) => store::run(&StoreCommand::Ca(&command)),
        },
        Command::Connector {
            config,
            command: None,
        } => connector::run(&config.config),
        Command::Connector {
            command: Some(ConnectorCommand::Register(args)),
            ..
        }
        | Command::Register(args) => connector::register(&args),
        Command::Connector {
            command: Some(ConnectorCommand::Unregister(args)),
            ..
        } => connector::unregister(&args),
        Command::Connector {
            command: Some(ConnectorCommand::Status(args)),
            ..
        } => status::run(&args),
        Command::Login(args) => login::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => args.run(),
        Command::CheckCert(args) => args.run(),
        Command::Completions(args) => generate::completions(&args),
        Command::Schema(args) => generate::schema(&args),
        Command::Man(args) => generate::man(&args),
    }
}

fn report(exit: &Exit, code: u8) -> ExitCode {
    let mut text = String::new();
    match exit {
        Exit::Failed(what) => {
            let _ = writeln!(text, "appproxy: {what}");
        }
        Exit::Refused(text_of_gateway) => {
            let _ = writeln!(text, "{text_of_gateway}");
        }
        Exit::Found => {}
        Exit::Findings(findings) => {
            for finding in findings {
                let _ = writeln!(text, "{finding}");
            }
        }
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(code)
}

/// Opens the log's file again with each SIGUSR1: it was moved away.
fn reopen_logs() -> Result<AbortOnDropHandle<()>, Exit> {
    let told = Signals::reopenings();
    let mut told = told.map_err(|e| Exit::failed(format!("no signals: {e}")))?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            told.next().await;
            if let Err(error) = telemetry::reopen_log() {
                tracing::error!(%error, "the log goes on where it was");
            }
        }
    })))
}

fn runtime(workers: Option<NonZeroUsize>) -> Result<tokio::runtime::Runtime, Exit> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers.get());
    }
    builder
        .enable_all()
        .build()
        .map_err(|e| Exit::failed(format!("cannot start threads: {e}")))
}
