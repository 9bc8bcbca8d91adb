//! The screen, written by a thread of its own: a pipe that nobody reads stops that thread, and
//! never the end of the demo.

use std::io::{self, Write};

use tokio::sync::{mpsc, oneshot};

use super::DemoError;

type Page = (String, oneshot::Sender<io::Result<()>>);

pub(super) struct Screen(mpsc::Sender<Page>);

impl Screen {
    pub(super) fn new(mut out: impl Write + Send + 'static) -> Self {
        let (sender, mut pages) = mpsc::channel::<Page>(1);
        // A blocking write cannot be cancelled; the end of the process ends it.
        std::thread::spawn(move || {
            while let Some((text, done)) = pages.blocking_recv() {
                let _ = done.send(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
            }
        });
        Self(sender)
    }

    /// Writes the text, and returns once it is written.
    pub(super) async fn show(&self, text: String) -> Result<(), DemoError> {
        let (done, written) = oneshot::channel();
        // Where the thread has ended, so has the other half of `written`.
        let _ = self.0.send((text, done)).await;
        let written = written
            .await
            .unwrap_or_else(|_| Err(io::Error::other("its thread ended")));
        written.map_err(DemoError::Screen)
    }
}
