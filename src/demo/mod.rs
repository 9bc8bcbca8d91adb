//! `appproxy demo`: the whole product on one machine, without root and without a network. A
//! gateway, a connector that enrols and dials out to it, and an application that listens only on
//! the private side; keys break one after the other, and the screen says what a visitor sees.

pub mod app;
mod files;
mod keys;
mod probe;
mod stage;

use std::io::{self, Write};

use crate::certs::RandomError;
use crate::connector::RegisterError;
use crate::gateway::StartError;
use crate::model::{ErrorCode, Finding};
use crate::shutdown::Signals;
use crate::store::StoreError;

use keys::Keys;
use probe::{Probe, Seen};
use stage::Stage;

/// Why the demo cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file, a socket or a thread.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A certificate of the demo's own cannot be made.
    #[error("cannot make the demo's certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The system gives no random octets.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The demo's configuration has faults: a fault of ours.
    #[error("the demo's own configuration is refused: {}", list(.0))]
    Configuration(Vec<Finding>),
    /// The demo's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway does not start.
    #[error(transparent)]
    Gateway(#[from] StartError),
    /// The connector cannot enrol.
    #[error("the connector cannot enrol: {0}")]
    Enrol(#[from] RegisterError),
    /// Something never came up.
    #[error("{0}")]
    Late(&'static str),
}

fn list(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Shows the demo until `q`, SIGINT or SIGTERM; nothing of it is left behind.
///
/// # Errors
/// Where it cannot be started or the screen cannot be written.
pub fn run(port: Option<u16>, screen: &mut dyn Write) -> Result<(), DemoError> {
    let mut stage = Stage::start(port)?;
    let probe = Probe::new(stage.address, stage::HOST, stage.authority())?;
    introduce(&stage, screen)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut keys = Keys::new();
    let mut signals = runtime.block_on(async { Signals::new() })?;
    loop {
        let key = runtime.block_on(async {
            tokio::select! {
                key = keys.next() => key,
                _ = signals.next() => b'q',
            }
        });
        let done = match key {
            b'k' => stage.toggle_connector()?,
            b'a' => stage.toggle_application()?,
            b's' => stage.toggle_slow(),
            b'q' => break,
            _ => continue,
        };
        writeln!(screen, "\n[{}] {done}", char::from(key))?;
        screen.flush()?;
        match runtime.block_on(probe.look()) {
            Ok(seen) => describe(&seen, screen)?,
            Err(error) => writeln!(screen, "    The visitor sees no answer at all: {error}")?,
        }
        screen.flush()?;
    }
    drop(keys);
    drop(stage);
    writeln!(screen, "\nStopped; nothing is left behind.")?;
    Ok(())
}

fn introduce(stage: &Stage, screen: &mut dyn Write) -> io::Result<()> {
    let url = format!("https://{}:{}/", stage::HOST, stage.address.port());
    let authority = stage.authority_file();
    writeln!(
        screen,
        "\
appproxy demo: a gateway, a connector that enrolled and dialled out to it, a private application.

  Open   {url}
         (a throw-away authority signed its certificate: let your browser go on once)
  Or     curl --cacert {authority} {url}request
  Try    redirect, cookie, form, upload, ws-page (WebSocket), events-page, request; all are linked.
         The application listens on {application} only and believes to be
         {internal}; its links, redirects and cookies say so.

  Keys   k  kill the connector, or start it again
         a  stop the application, or start it again
         s  slow the application down, or heal it
         q  quit",
        authority = authority.display(),
        application = stage.application,
        internal = stage.internal_url(),
    )?;
    screen.flush()
}

fn describe(seen: &Seen, screen: &mut dyn Write) -> io::Result<()> {
    let Some(error) = &seen.error else {
        return writeln!(
            screen,
            "    The visitor sees: {} from the application",
            seen.status
        );
    };
    writeln!(
        screen,
        "    The visitor sees: {}, \"{}\", reference {}\n    Code:   {}",
        seen.status, error.message, error.request_id, error.code
    )?;
    match ErrorCode::from_word(&error.code).and_then(remedy) {
        Some(remedy) => writeln!(screen, "    Remedy: {remedy}"),
        None => Ok(()),
    }
}

/// What an administrator does about the errors that the keys bring about.
fn remedy(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::NoConnector => {
            "start the connector (appproxy connector), and see its log for why it has no tunnel; here: k"
        }
        ErrorCode::TunnelLost => "the connector went away in mid-request: try again",
        ErrorCode::BackendRefused => {
            "start the application, or correct host and port of internal_url; here: a"
        }
        ErrorCode::BackendFirstByteTimeout => {
            "make the application faster, or raise timeouts.first_byte (here 3s); here: s"
        }
        _ => return None,
    })
}
