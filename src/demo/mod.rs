//! `appproxy demo`: the whole product on one machine, without root and without a network. A
//! gateway, a connector that enrols and dials out to it, and an application that listens only on
//! the private side; keys break one after the other, and the screen says what a visitor sees.

mod answers;
pub mod app;
mod files;
mod folder;
mod keys;
mod probe;
pub mod provider;
mod screen;
mod stage;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::certs::RandomError;
use crate::gateway::StartError;
use crate::http::BodyError;
use crate::local::LocalError;
use crate::model::{ErrorCode, Finding};
use crate::shutdown::Signals;
use crate::store::StoreError;

use keys::Keys;
use probe::{Probe, Seen};
use screen::Screen;
use stage::Stage;

/// Why the demo cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file, a socket or a thread.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The folder of temporary files cannot be used.
    #[error("cannot make a folder in {}: {error}; TMPDIR can name another place", parent.display())]
    Folder {
        /// What `TMPDIR` says, or `/tmp`.
        parent: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The screen cannot be written.
    #[error("cannot write the screen: {0}; the demo has ended")]
    Screen(io::Error),
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
    #[error(transparent)]
    Enrol(#[from] LocalError),
    /// The identity provider.
    #[error(transparent)]
    Provider(#[from] provider::ProviderError),
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

/// How long the last words may take where nobody reads them.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a terminal sends at Ctrl-D.
const END_OF_INPUT: u8 = 4;

/// Shows the demo until `q`, Ctrl-D or a signal; nothing of it is left behind.
///
/// # Errors
/// Where it cannot be started or the screen cannot be written.
pub fn run(port: Option<u16>, screen: impl Write + Send + 'static) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Before there is anything that could be left behind.
    let mut signals = runtime.block_on(async { Signals::new()?.with_terminal() })?;
    let screen = Screen::new(screen);
    let mut stage = Stage::start(port)?;
    let folder = stage.folder().to_owned();
    let probe = Probe::new(stage.address, stage::HOST, stage.authority())?;
    let mut keys = Keys::new();
    let mut words = introduction(&stage);
    let mut changed = false;
    loop {
        let key = async {
            screen.show(words).await?;
            if changed {
                screen.show(description(probe.look().await)).await?;
            }
            Ok::<_, DemoError>(keys.next().await.to_ascii_lowercase())
        };
        let key = runtime.block_on(async {
            tokio::select! {
                key = key => key.map(Some),
                _ = signals.next() => Ok(None),
            }
        })?;
        let done: Option<String> = match key {
            None | Some(b'q' | END_OF_INPUT) => break,
            Some(b'k') => Some(stage.toggle_connector()?.into()),
            Some(b'a') => Some(stage.toggle_application()?.into()),
            Some(b's') => Some(stage.toggle_slow().into()),
            Some(b'o') => Some(stage.sign_newest_out()?),
            Some(_) => None,
        };
        changed = done.is_some();
        words = match (key, done) {
            (Some(key), Some(done)) => format!("\n[{}] {done}\n", char::from(key)),
            (Some(b'!'..=b'~'), None) => "\nThe keys are k, a, s, o and q.\n".to_owned(),
            // Enter, and what is no letter.
            _ => String::new(),
        };
    }
    drop(keys);
    drop(stage);
    let farewell = if folder.exists() {
        format!("\nStopped; {} cannot be removed.\n", folder.display())
    } else {
        "\nStopped; nothing is left behind.\n".to_owned()
    };
    // Nobody may be there to read it.
    let _ = runtime.block_on(async { tokio::time::timeout(FAREWELL, screen.show(farewell)).await });
    Ok(())
}

/// At most 15 lines; but for the command of curl none is wider than 80 columns.
fn introduction(stage: &Stage) -> String {
    format!(
        "\
appproxy demo: a gateway, a connector that enrolled and dialled out to it, and a
private application, {internal} (it listens on {application}).

  Open   {url}
         (its certificate is a throw-away: let the browser go on, this once)
  Or     curl --cacert {authority} {url}request
  Try    the links there: form, upload, cookie, redirect, WebSocket, events
  Or     {staff} asks who you are: Alice may, Bob may not

  Keys   k  kill the connector, or start it again
         a  stop the application, or start it again
         s  slow the application down, or heal it
         o  sign out who signed in last: WebSockets there end too
         q  quit; so does Ctrl-C
",
        internal = stage.internal_url(),
        application = stage.application,
        url = format_args!("https://{}:{}/", stage::HOST, stage.address.port()),
        staff = format_args!("https://{}:{}/", stage::STAFF, stage.address.port()),
        authority = shell_word(&stage.authority_file().display().to_string()),
    )
}

/// A text as one word of a shell's command.
fn shell_word(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&octet);
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn description(looked: Result<Seen, BodyError>) -> String {
    let seen = match looked {
        Ok(seen) => seen,
        Err(error) => return format!("    The visitor sees no answer at all: {error}\n"),
    };
    let Some(error) = &seen.error else {
        return format!("    The visitor sees: {}\n", seen.status);
    };
    let mut text = format!(
        "    The visitor sees: {}, reference {}\n      {}\n    Code:   {}\n",
        seen.status, error.request_id, error.message, error.code
    );
    if let Some(remedy) = ErrorCode::from_word(&error.code).and_then(remedy) {
        let _ = writeln!(text, "    Remedy: {remedy}");
    }
    text
}

/// What an administrator does about the errors that the keys bring about.
fn remedy(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::NoConnector => "start the connector; its log says why it has no tunnel. Here: k",
        ErrorCode::TunnelLost => "the connector went away in mid-request: try again",
        ErrorCode::BackendRefused => "start the application, or correct internal_url. Here: a",
        ErrorCode::BackendFirstByteTimeout => {
            "make the application faster, or raise timeouts.first_byte. Here: s"
        }
        _ => return None,
    })
}
