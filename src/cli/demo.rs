//! `appproxy demo`.

use super::Exit;
use crate::demo;

/// Show the whole product on this machine, without root and without a network
///
/// Starts a gateway, a connector and an application, says what to open, and listens to keys that
/// break one of them and show what a visitor sees. It ends at `q` or a signal and leaves nothing
/// behind; while it runs, its files are in a folder below TMPDIR.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// The port to open; 8443 where it is free, else any
    #[arg(long)]
    port: Option<u16>,
}

pub(super) fn run(args: &DemoArgs) -> Result<(), Exit> {
    demo::run(args.port, std::io::stdout()).map_err(|e| Exit::failed(e.to_string()))
}
