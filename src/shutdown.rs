//! The only place that listens to signals.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// A signal that does not end the process: SIGHUP, with which a server is told to read its
/// configuration again, or SIGUSR1, with which it is told to open its log's file again.
#[derive(Debug)]
pub struct Told(Option<tokio::signal::unix::Signal>);

impl Told {
    /// Waits for the next one.
    pub async fn next(&mut self) {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(hangup) => {
                let _ = hangup.recv().await;
            }
        }
    }
}

/// The signals that end the process, subscribed to from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
    quit: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    /// Starts to listen for SIGTERM and SIGINT. SIGHUP, with which other servers are told to read
    /// their configuration again, ends nothing.
    ///
    /// # Errors
    /// Where the system refuses the handlers.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: Some(signal(SignalKind::hangup())?),
            quit: None,
        })
    }

    /// Takes SIGHUP out, for whoever reads the configuration again with it.
    pub fn take_hangups(&mut self) -> Told {
        Told(self.hangup.take())
    }

    /// SIGUSR1.
    ///
    /// # Errors
    /// Where the system refuses the handler.
    pub fn reopenings() -> io::Result<Told> {
        Ok(Told(Some(signal(SignalKind::user_defined1())?)))
    }

    /// Ends at SIGHUP and SIGQUIT too, which a terminal sends when its window is closed and at
    /// Ctrl-\\.
    ///
    /// # Errors
    /// Where the system refuses the handlers.
    pub fn with_terminal(mut self) -> io::Result<Self> {
        self.quit = Some(signal(SignalKind::quit())?);
        Ok(self)
    }

    /// Waits for the next of them and names it.
    pub async fn next(&mut self) -> &'static str {
        loop {
            let quit = async {
                match &mut self.quit {
                    None => std::future::pending().await,
                    Some(quit) => quit.recv().await,
                }
            };
            let hangup = async {
                match &mut self.hangup {
                    None => std::future::pending().await,
                    Some(hangup) => hangup.recv().await,
                }
            };
            tokio::select! {
                _ = quit => return "SIGQUIT",
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = hangup => {}
            }
            if self.quit.is_some() {
                return "SIGHUP";
            }
        }
    }
}
