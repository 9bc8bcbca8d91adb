//! `appproxy connector register` = `appproxy register`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::SecretSource;
use crate::connector::{Registration, StateFolder, register};
use crate::model::Endpoint;
use crate::tunnel::token::Token;

/// Far more than a token has.
const LONGEST: u64 = 16 * 1024;

/// `connector register`: the token is read from a file, the environment, or standard input, where
/// a terminal is asked for it without echo.
#[derive(Debug, clap::Args)]
pub struct Register {
    /// Read the token from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    pub token_file: Option<PathBuf>,
    /// Read the token from this environment variable.
    #[arg(long, value_name = "VAR")]
    pub token_env: Option<String>,
    /// Give up the identity that is there.
    #[arg(long)]
    pub replace: bool,
    /// The connector's configuration.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/appproxy/connector.yaml"
    )]
    pub config: PathBuf,
    /// Taken only to be refused with the reason.
    #[arg(hide = true, value_name = "TOKEN")]
    pub argument: Option<SecretString>,
}

impl Register {
    /// Enrols into the state folder of a connector's configuration.
    ///
    /// # Errors
    /// In words for the person who typed it.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        state: &StateFolder,
        clock: &Clock,
        dial: impl AsyncFn(&Endpoint) -> io::Result<S>,
        out: &mut dyn Write,
        hints: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let text = self.token(hints)?;
        let token = Token::parse(text.expose_secret())?;
        let name = host_name();
        let registration = Registration {
            state,
            token: &token,
            name: &name,
            replace: self.replace,
            clock,
        };
        let registered = register(registration, dial).await?;
        writeln!(
            out,
            "Registered as {} in group {}.",
            registered.id, registered.group
        )?;
        if let Some(skew) = registered.skew {
            writeln!(hints, "Note: {skew}.")?;
        }
        writeln!(hints, "Start it with `appproxy connector`.")?;
        Ok(())
    }

    fn token(&self, hints: &mut dyn Write) -> anyhow::Result<SecretString> {
        if self.argument.is_some() {
            bail!(
                "the token must not stand on the command line: every user of this host can read it there, and the shell keeps it. Leave it out to be asked for it, pipe it in, or use --token-file or --token-env. Revoke this one if others use this host"
            );
        }
        let source = match (&self.token_file, &self.token_env) {
            (Some(file), _) => SecretSource::File(file.clone()),
            (None, Some(variable)) => SecretSource::Env(variable.clone()),
            (None, None) => return from_standard_input(hints),
        };
        Ok(source.read()?)
    }
}

fn from_standard_input(hints: &mut dyn Write) -> anyhow::Result<SecretString> {
    let stdin = io::stdin();
    let mut text = Zeroizing::new(String::new());
    if stdin.is_terminal() {
        write!(hints, "Enrolment token (it will not be shown): ")?;
        hints.flush()?;
        let quiet = Quiet::new()?;
        stdin
            .lock()
            .take(LONGEST)
            .read_line(&mut text)
            .context("cannot read the terminal")?;
        drop(quiet);
        writeln!(hints)?;
    } else {
        stdin
            .lock()
            .take(LONGEST)
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
    }
    Ok(SecretString::from(text.as_str()))
}

/// The terminal does not echo while this lives.
struct Quiet(Termios);

impl Quiet {
    fn new() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("cannot ask the terminal for its settings")?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).context(
            "cannot turn the terminal's echo off: pipe the token in, or use --token-file",
        )?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // There is nobody left to tell; the shell sets its terminal up again.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// What this host calls itself.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
