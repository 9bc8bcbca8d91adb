//! The commands that look after tokens, connectors, sessions and the authority: they open the gateway's store directly, and
//! its change log tells every gateway on that store.

use std::io::{stderr, stdout};
use std::sync::Arc;

use super::ca::CaCommand;
use super::connectors::ConnectorCommand;
use super::service_token::ServiceTokenCommand;
use super::session::SessionCommand;
use super::token::TokenCommand;
use super::{Exit, gateway};
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::telemetry;
use crate::telemetry::audit::{Actor, Record};

/// A command that needs the store.
pub(super) enum StoreCommand<'a> {
    Token(&'a TokenCommand),
    Connector(&'a ConnectorCommand),
    Ca(&'a CaCommand),
    Session(&'a SessionCommand),
    ServiceToken(&'a ServiceTokenCommand),
}

impl StoreCommand<'_> {
    /// What it does that is recorded, and to what; nothing where it only looks.
    fn recorded(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Token(command) => command.recorded(),
            Self::Connector(command) => command.recorded(),
            Self::Ca(command) => command.recorded(),
            Self::Session(command) => command.recorded(),
            Self::ServiceToken(command) => command.recorded(),
        }
    }
}

pub(super) fn run(command: &StoreCommand<'_>) -> Result<(), Exit> {
    let file = match command {
        StoreCommand::Token(command) => command.config(),
        StoreCommand::Connector(command) => command.config(),
        StoreCommand::Ca(command) => command.config(),
        StoreCommand::Session(command) => command.config(),
        StoreCommand::ServiceToken(command) => command.config(),
    };
    let config = GatewayConfig::load(file).map_err(Exit::Findings)?;
    // What cannot be recorded is not done.
    let unrecorded = |error: telemetry::LogError| Exit::failed(error.to_string());
    telemetry::apply_audit(&config.log).map_err(unrecorded)?;
    let recorded = command.recorded().filter(|_| config.log.audit.is_some());
    let user = rustix::process::getuid().as_raw();
    let who = match std::env::var("SUDO_USER") {
        Ok(name) if !name.is_empty() => format!("uid {user} (sudo by {name})"),
        _ => format!("uid {user}"),
    };
    let record = || {
        let (event, about) = recorded.as_ref()?;
        Some(Record::new(event, Actor::Operator(&who)).with("about", about))
    };
    if let Some(record) = record() {
        let unwritten = |error: std::io::Error| {
            Exit::failed(format!(
                "nothing was done, since it cannot be recorded: {error}"
            ))
        };
        record.intended().try_write().map_err(unwritten)?;
    }
    let clock = Clock::system();
    super::runtime(None)?.block_on(async {
        let store = Arc::clone(&gateway::open_store(&config).await?);
        let (out, hints) = (&mut stdout(), &mut stderr());
        let outcome = match command {
            StoreCommand::Token(command) => {
                command
                    .run(store, &config.listen.public, &clock, out, hints)
                    .await
            }
            StoreCommand::Connector(command) => command.run(store, &clock, out, hints).await,
            StoreCommand::Session(command) => command.run(store, &config, &clock, out, hints).await,
            StoreCommand::ServiceToken(command) => {
                command.run(store, &config, &clock, out, hints).await
            }
            StoreCommand::Ca(command) => {
                let overlap = config.connector_certificates.overlap();
                command.run(&*store, overlap, &clock, out).await
            }
        };
        if let Some(mut record) = record() {
            if let Err(error) = &outcome {
                record = record.failed().with("cause", format!("{error:#}"));
            }
            record.write();
        }
        outcome.map_err(|e| Exit::failed(format!("{e:#}")))
    })
}
