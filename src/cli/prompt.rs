//! Secrets from standard input: asked for without echo where it is a terminal.

use std::any::Any;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use zeroize::Zeroizing;

/// The longest secret, in octets.
const LONGEST: u64 = 64 * 1024;

/// Reads a secret. `what` is what it is called where it is asked for.
pub(super) fn secret_from_standard_input(
    what: &str,
    hints: &mut dyn Write,
) -> anyhow::Result<SecretString> {
    let stdin = io::stdin();
    let mut text = Zeroizing::new(String::new());
    if stdin.is_terminal() {
        // Before it is asked for: what is pasted at once must not be shown either.
        let quiet = Quiet::new()?;
        write!(hints, "{what} (it will not be shown): ")?;
        hints.flush()?;
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

/// Turns the echo of standard input off for as long as this lives, where it is a terminal.
pub(super) fn hush() -> io::Result<Box<dyn Any>> {
    if !io::stdin().is_terminal() {
        return Ok(Box::new(()));
    }
    let quiet = Quiet::new().map_err(io::Error::other)?;
    Ok(Box::new(quiet))
}

/// The terminal does not echo while this lives.
struct Quiet(Termios);

impl Quiet {
    fn new() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("cannot ask the terminal for its settings")?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).context(
            "cannot turn the terminal's echo off: pipe the secret in, or name a file that holds it",
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
