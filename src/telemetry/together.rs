//! Access lines on their way out: many in one write.
//!
//! A system call for each request costs as much as what the line says, and while one worker is in it
//! the others wait for their turn. So these lines wait, for [`LONGEST`] at most; every other line is
//! written at once, behind those that were before it. What is lost of them is what a process that is
//! killed had not written in that time.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::access::TARGET;

/// How long a line waits: short enough that nobody who looks on notices, and a hundred writes in a
/// second cost nothing.
const LONGEST: Duration = Duration::from_millis(10);

/// Octets that wait at most; whoever brings more writes them. Where the log is slow, requests wait for
/// it as they would without this.
const MOST: usize = 64 * 1024;

/// The log, and what waits for it.
#[derive(Debug)]
pub(super) struct Together<W>(Arc<Shared<W>>);

#[derive(Debug)]
struct Shared<W> {
    state: Mutex<State<W>>,
    /// There is something to write, or nobody will have anything any more.
    news: Condvar,
}

#[derive(Debug)]
struct State<W> {
    out: W,
    waiting: Vec<u8>,
    over: bool,
}

/// Writes what still waits when it is dropped, and ends the thread that writes.
#[derive(Debug)]
pub(super) struct LogGuard(Box<dyn Finish>);

trait Finish: Send + Sync + std::fmt::Debug {
    fn finish(&self);
}

impl LogGuard {
    /// Writes what still waits; what comes from now on does not.
    pub(super) fn finish(&self) {
        self.0.finish();
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl<W: Write + Send + std::fmt::Debug + 'static> Together<W> {
    /// Writes to `out` from now on.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn new(out: W) -> io::Result<(Self, LogGuard)> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                out,
                waiting: Vec::new(),
                over: false,
            }),
            news: Condvar::new(),
        });
        let writes = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writes.run())?;
        let guard = LogGuard(Box::new(Finisher(Arc::clone(&shared))));
        Ok((Self(shared), guard))
    }
}

impl<W: Write> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.over {
            if state.waiting.is_empty() {
                state = self
                    .news
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // More come meanwhile; nothing but the end is news.
            let waited = self
                .news
                .wait_timeout_while(state, LONGEST, |state| !state.over);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.flush();
        }
    }
}

impl<W: Write> State<W> {
    /// A line that cannot be written is lost, as there is nowhere else to say so.
    fn flush(&mut self) {
        if !self.waiting.is_empty() {
            let _ = self.out.write_all(&self.waiting);
            self.waiting.clear();
        }
    }
}

#[derive(Debug)]
struct Finisher<W>(Arc<Shared<W>>);

impl<W: Write + Send + std::fmt::Debug> Finish for Finisher<W> {
    fn finish(&self) {
        let mut state = self.0.lock();
        state.flush();
        state.over = true;
        drop(state);
        self.0.news.notify_all();
    }
}

/// Where one line goes.
#[derive(Debug)]
pub(super) struct Line<'s, W> {
    shared: &'s Shared<W>,
    may_wait: bool,
}

impl<'s, W: Write + 's> MakeWriter<'s> for Together<W> {
    type Writer = Line<'s, W>;

    fn make_writer(&'s self) -> Self::Writer {
        Line {
            shared: &self.0,
            may_wait: false,
        }
    }

    fn make_writer_for(&'s self, about: &Metadata<'_>) -> Self::Writer {
        Line {
            shared: &self.0,
            may_wait: about.target() == TARGET,
        }
    }
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.lock();
        if self.may_wait && !state.over && state.waiting.len() + line.len() <= MOST {
            let is_first = state.waiting.is_empty();
            state.waiting.extend_from_slice(line);
            drop(state);
            if is_first {
                self.shared.news.notify_one();
            }
            return Ok(line.len());
        }
        state.flush();
        state.out.write_all(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.flush();
        state.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Tells of every write.
    #[derive(Debug)]
    struct Told(mpsc::Sender<Vec<u8>>);

    impl Write for Told {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.send(octets.to_vec()).map_err(io::Error::other)?;
            Ok(octets.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn together() -> (Together<Told>, LogGuard, mpsc::Receiver<Vec<u8>>) {
        let (tell, told) = mpsc::channel();
        let (together, guard) = Together::new(Told(tell)).unwrap();
        (together, guard, told)
    }

    fn say(together: &Together<Told>, may_wait: bool, line: &[u8]) {
        let shared = &together.0;
        Line { shared, may_wait }.write_all(line).unwrap();
    }

    /// Far longer than a line waits, on any machine.
    const DUE: Duration = Duration::from_secs(20);

    #[test]
    fn access_lines_are_written_soon_by_themselves_and_again() {
        let (together, _guard, told) = together();
        for _ in 0..3 {
            say(&together, true, b"a\n");
            let mut came = told.recv_timeout(DUE).unwrap();
            assert_eq!(came, b"a\n");
            say(&together, true, b"b\n");
            say(&together, true, b"c\n");
            came.clear();
            while came.len() < 4 {
                came.extend(told.recv_timeout(DUE).unwrap());
            }
            assert_eq!(came, b"b\nc\n");
        }
    }

    #[test]
    fn other_lines_are_written_at_once_and_in_order() {
        let (together, _guard, told) = together();
        say(&together, true, b"access\n");
        say(&together, false, b"other\n");
        let written: Vec<u8> = told.try_iter().flatten().collect();
        assert_eq!(written, b"access\nother\n");
    }

    #[test]
    fn what_waits_is_bounded_and_written_at_the_end() {
        let (together, guard, told) = together();
        let line = vec![b'x'; MOST - 1];
        say(&together, true, &line);
        say(&together, true, b"more\n");
        let written: Vec<u8> = told.try_iter().flatten().collect();
        assert_eq!(written.len(), line.len() + 5);
        say(&together, true, b"last\n");
        drop(guard);
        let written: Vec<u8> = told.try_iter().flatten().collect();
        assert_eq!(written, b"last\n");
        // A straggler does not wait for a thread that has ended.
        say(&together, true, b"late\n");
        let written: Vec<u8> = told.try_iter().flatten().collect();
        assert_eq!(written, b"late\n");
    }

    #[test]
    fn a_log_that_is_closed_costs_lines_and_nothing_else() {
        let (together, guard, told) = together();
        drop(told);
        say(&together, true, b"lost\n");
        let line = Line {
            shared: &together.0,
            may_wait: false,
        };
        assert!({ line }.write_all(b"lost\n").is_err());
        drop(guard);
    }
}
