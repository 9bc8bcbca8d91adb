//! The commands that look after tokens, connectors and the authority: they open the gateway's store directly, and
//! its change log tells every gateway on that store.

use std::io::{stderr, stdout};
use std::sync::Arc;

use super::{Exit, GatewayCommand, gateway};
use crate::clock::Clock;
use crate::config::GatewayConfig;

pub(super) fn run(command: &GatewayCommand) -> Result<(), Exit> {
    let file = match command {
        GatewayCommand::Token(command) => command.config(),
        GatewayCommand::Connector(command) => command.config(),
        GatewayCommand::Ca(command) => command.config(),
    };
    let config = GatewayConfig::load(file).map_err(Exit::Findings)?;
    let clock = Clock::system();
    super::runtime(None)?.block_on(async {
        let store = Arc::clone(&gateway::open_store(&config).await?);
        let (out, hints) = (&mut stdout(), &mut stderr());
        let outcome = match command {
            GatewayCommand::Token(command) => {
                command
                    .run(store, &config.listen.public, &clock, out, hints)
                    .await
            }
            GatewayCommand::Connector(command) => command.run(store, &clock, out, hints).await,
            GatewayCommand::Ca(command) => {
                let overlap = config.connector_certificates.overlap();
                command.run(&*store, overlap, &clock, out).await
            }
        };
        outcome.map_err(|e| Exit::failed(format!("{e:#}")))
    })
}
