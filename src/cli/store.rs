//! The commands that look after tokens, connectors, sessions and the authority: they open the gateway's store directly, and
//! its change log tells every gateway on that store.

use std::io::{stderr, stdout};
use std::sync::Arc;

use super::ca::CaCommand;
use super::connectors::ConnectorCommand;
use super::session::SessionCommand;
use super::token::TokenCommand;
use super::{Exit, gateway};
use crate::clock::Clock;
use crate::config::GatewayConfig;

/// A command that needs the store.
pub(super) enum StoreCommand<'a> {
    Token(&'a TokenCommand),
    Connector(&'a ConnectorCommand),
    Ca(&'a CaCommand),
    Session(&'a SessionCommand),
}

pub(super) fn run(command: &StoreCommand<'_>) -> Result<(), Exit> {
    let file = match command {
        StoreCommand::Token(command) => command.config(),
        StoreCommand::Connector(command) => command.config(),
        StoreCommand::Ca(command) => command.config(),
        StoreCommand::Session(command) => command.config(),
    };
    let config = GatewayConfig::load(file).map_err(Exit::Findings)?;
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
            StoreCommand::Ca(command) => {
                let overlap = config.connector_certificates.overlap();
                command.run(&*store, overlap, &clock, out).await
            }
        };
        outcome.map_err(|e| Exit::failed(format!("{e:#}")))
    })
}
