//! `appproxy demo`.

use super::Exit;
use crate::demo;

/// Starts a gateway, a connector and an application, and shows what a visitor sees.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// The port to open; 8443 where it is free, else any
    #[arg(long)]
    port: Option<u16>,
}

pub(super) fn run(args: &DemoArgs) -> Result<(), Exit> {
    demo::run(args.port, &mut std::io::stdout()).map_err(|e| Exit::failed(e.to_string()))
}
