//! Keys of the terminal, one at a time and without Enter; of a pipe, octet by octet.

use std::io::Read;

use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// What the keyboard sends in front of every key that is no letter, such as an arrow.
const ESCAPE: u8 = 0x1b;

/// Standard input, with the terminal set so that a key counts at once. The terminal is as it was
/// once this is dropped.
pub(super) struct Keys {
    before: Option<Termios>,
    pressed: mpsc::Receiver<u8>,
}

impl Keys {
    pub(super) fn new() -> Self {
        let stdin = rustix::stdio::stdin();
        let before = if isatty(stdin) {
            tcgetattr(stdin).ok()
        } else {
            None
        };
        if let Some(before) = &before {
            let mut now = before.clone();
            // Ctrl-C still is a signal.
            now.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            let _ = tcsetattr(stdin, OptionalActions::Now, &now);
        }
        let (sender, pressed) = mpsc::channel(16);
        // A blocking read cannot be cancelled, so it has a thread of its own, which the end of the
        // process ends.
        std::thread::spawn(move || {
            let mut octets = [0; 64];
            while let Ok(length @ 1..) = std::io::stdin().lock().read(&mut octets) {
                // An arrow arrives whole, and its last letter is not that key.
                let pressed = match octets[0] {
                    ESCAPE => &[],
                    _ => &octets[..length],
                };
                for key in pressed {
                    if sender.blocking_send(*key).is_err() {
                        return;
                    }
                }
            }
        });
        Self { before, pressed }
    }

    /// The next key; never, once the input has ended: a demo without a keyboard runs on.
    pub(super) async fn next(&mut self) -> u8 {
        match self.pressed.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
    }
}
