//! The only place that listens to signals.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// The signals that end the process, subscribed to from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    of_terminal: Option<[tokio::signal::unix::Signal; 2]>,
}

impl Signals {
    /// Starts to listen for SIGTERM and SIGINT.
    ///
    /// # Errors
    /// Where the system refuses the handlers.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            of_terminal: None,
        })
    }

    /// Listens for SIGHUP and SIGQUIT too, which a terminal sends when its window is closed and at
    /// Ctrl-\\.
    ///
    /// # Errors
    /// Where the system refuses the handlers.
    pub fn with_terminal(mut self) -> io::Result<Self> {
        self.of_terminal = Some([signal(SignalKind::hangup())?, signal(SignalKind::quit())?]);
        Ok(self)
    }

    /// Waits for the next of them and names it.
    pub async fn next(&mut self) -> &'static str {
        let of_terminal = async {
            match &mut self.of_terminal {
                None => std::future::pending().await,
                Some([hangup, quit]) => tokio::select! {
                    _ = hangup.recv() => "SIGHUP",
                    _ = quit.recv() => "SIGQUIT",
                },
            }
        };
        tokio::select! {
            word = of_terminal => word,
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
