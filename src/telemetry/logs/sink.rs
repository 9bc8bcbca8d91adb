//! Where lines of the log are written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::super::metrics::LOG_LINES_LOST;
use super::super::together::{self, LogGuard, Together};
use super::LogError;
use crate::clock::{Clock, Timestamp};
use crate::model::LogTarget;
use crate::owner;

/// The time as RFC 3164 (section 4.1.2) has it.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[month repr:short] [day padding:space] [hour]:[minute]:[second]");

/// The facility of services (RFC 3164 section 4.1.1).
const DAEMON: u8 = 3;

/// Of a file: it names visitors, so there is nothing for everybody on the machine.
const MODE: u32 = 0o640;

/// One place for lines.
#[derive(Debug, Clone)]
pub(super) struct Sink(Arc<Place>);

#[derive(Debug)]
enum Place {
    /// Lines of requests wait for one another.
    Stream {
        lines: Together<Out>,
        guard: LogGuard,
        is_stderr: bool,
    },
    Syslog {
        socket: UnixDatagram,
        daemon: PathBuf,
    },
}

/// A stream of octets.
#[derive(Debug)]
pub(super) enum Out {
    Stderr,
    Stdout,
    File(File),
}

impl Write for Out {
    /// Writes all, so that lines of several threads do not run into one another.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Stderr => io::stderr().lock().write_all(octets),
            Self::Stdout => io::stdout().lock().write_all(octets),
            Self::File(file) => file.write_all(octets),
        };
        if written.is_err() {
            let lines = octets.iter().filter(|octet| **octet == b'\n').count();
            LOG_LINES_LOST.counter(&[]).increment(lines.max(1) as u64);
        }
        written.map(|()| octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line on its way; it comes as a whole.
#[derive(Debug)]
pub(super) enum Line<'s> {
    Stream(together::Line<'s, Out>),
    Syslog {
        socket: &'s UnixDatagram,
        daemon: &'s Path,
        level: Level,
    },
}

impl Sink {
    /// # Errors
    /// Where the file cannot be opened, or nobody listens at the socket.
    pub(super) fn open(target: &LogTarget) -> Result<Self, LogError> {
        let place = match target {
            LogTarget::Stderr => stream(Out::Stderr)?,
            LogTarget::Stdout => stream(Out::Stdout)?,
            LogTarget::File(path) => {
                let at = |e| LogError::Target(path.display().to_string(), e);
                make(path).map_err(at)?;
                let mut options = OpenOptions::new();
                let file = options
                    .append(true)
                    .create(true)
                    .mode(MODE)
                    // A pipe without a reader would be waited for.
                    .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
                    .open(path);
                let file = file.map_err(at)?;
                // Whoever writes to a pipe waits for its reader.
                if !file.metadata().map_err(at)?.is_file() {
                    return Err(at(io::Error::other("it is no file")));
                }
                stream(Out::File(file))?
            }
            LogTarget::Syslog(path) => {
                let connect = || {
                    let socket = UnixDatagram::unbound()?;
                    // A daemon that does not keep up loses lines; it must not stop requests.
                    socket.set_nonblocking(true)?;
                    // Only to find out: one that is restarted is another one under the same path.
                    UnixDatagram::unbound()?.connect(path)?;
                    Ok(socket)
                };
                let socket = connect();
                let at = |e| LogError::Target(path.display().to_string(), e);
                Place::Syslog {
                    socket: socket.map_err(at)?,
                    daemon: path.clone(),
                }
            }
        };
        Ok(Self(Arc::new(place)))
    }

    pub(super) fn is_stderr(&self) -> bool {
        matches!(
            *self.0,
            Place::Stream {
                is_stderr: true,
                ..
            }
        )
    }

    /// Writes what still waits; what comes from now on does not.
    pub(super) fn finish(&self) {
        if let Place::Stream { guard, .. } = &*self.0 {
            guard.finish();
        }
    }
}

impl<'s> MakeWriter<'s> for Sink {
    type Writer = Line<'s>;

    fn make_writer(&'s self) -> Line<'s> {
        match &*self.0 {
            Place::Stream { lines, .. } => Line::Stream(lines.make_writer()),
            Place::Syslog { socket, daemon } => Line::Syslog {
                socket,
                daemon,
                level: Level::INFO,
            },
        }
    }

    fn make_writer_for(&'s self, event: &Metadata<'_>) -> Line<'s> {
        match &*self.0 {
            Place::Stream { lines, .. } => Line::Stream(lines.make_writer_for(event)),
            Place::Syslog { socket, daemon } => Line::Syslog {
                socket,
                daemon,
                level: *event.level(),
            },
        }
    }
}

/// Makes the file unless something has its name: a command of root's may be the first to write, and the
/// gateway goes on as the account that the folder is for. What is there, a link too, stays whose it is.
fn make(path: &Path) -> io::Result<()> {
    match owner::create_new(path, MODE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

fn stream(out: Out) -> Result<Place, LogError> {
    let is_stderr = matches!(out, Out::Stderr);
    let (lines, guard) = Together::new(out)?;
    Ok(Place::Stream {
        lines,
        guard,
        is_stderr,
    })
}

impl Write for Line<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(line) => line.write(octets),
            Self::Syslog {
                socket,
                daemon,
                level,
            } => {
                let message = message(*level, octets, Clock::system().now());
                let sent = socket.send_to(&message, daemon);
                if sent.is_err() {
                    LOG_LINES_LOST.count(&[]);
                }
                sent.map(|_| octets.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line as a local daemon takes it.
fn message(level: Level, line: &[u8], now: Timestamp) -> Vec<u8> {
    let severity = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    let time = OffsetDateTime::from_unix_timestamp(now.0);
    let time = time.ok().and_then(|time| time.format(TIME).ok());
    let time = time.unwrap_or_default();
    let (priority, process) = (DAEMON * 8 + severity, std::process::id());
    let mut message = format!("<{priority}>{time} appproxy[{process}]: ").into_bytes();
    message.extend_from_slice(line.trim_ascii_end());
    message
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::owner::tests::{folder_of_an_account, owner};

    #[test]
    fn a_line_for_syslog_is_as_rfc_3164_has_it() {
        let now = Timestamp(1_780_000_000);
        let id = std::process::id();
        for (level, priority) in [
            (Level::ERROR, 27),
            (Level::WARN, 28),
            (Level::INFO, 30),
            (Level::DEBUG, 31),
            (Level::TRACE, 31),
        ] {
            let message = message(level, b"a line\n", now);
            let expected = format!("<{priority}>May 28 20:26:40 appproxy[{id}]: a line");
            assert_eq!(String::from_utf8(message).unwrap(), expected);
        }
        let early = message(Level::INFO, b"x", Timestamp(0));
        assert!(
            String::from_utf8(early)
                .unwrap()
                .starts_with("<30>Jan  1 00:00:00 ")
        );
    }

    #[test]
    fn lines_reach_a_daemon_also_when_it_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let target = LogTarget::Syslog(path.clone());
        let text = Sink::open(&target).unwrap_err().to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        let read = |daemon: &UnixDatagram| {
            let mut octets = [0; 256];
            let length = daemon.recv(&mut octets).unwrap();
            String::from_utf8(octets[..length].to_vec()).unwrap()
        };
        let daemon = UnixDatagram::bind(&path).unwrap();
        let sink = Sink::open(&target).unwrap();
        sink.make_writer().write_all(b"one\n").unwrap();
        assert!(read(&daemon).ends_with("]: one"));
        drop(daemon);
        assert!(sink.make_writer().write_all(b"lost\n").is_err());
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        sink.make_writer().write_all(b"two\n").unwrap();
        assert!(read(&daemon).ends_with("]: two"));
    }

    #[test]
    fn a_daemon_that_does_not_read_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let _daemon = UnixDatagram::bind(&path).unwrap();
        let sink = Sink::open(&LogTarget::Syslog(path)).unwrap();
        // More than any queue of a kernel.
        let lost = (0..100_000).find(|_| sink.make_writer().write_all(b"x\n").is_err());
        assert!(lost.is_some());
    }

    #[test]
    fn a_file_is_appended_to_and_not_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.log");
        for line in ["one\n", "two\n"] {
            let sink = Sink::open(&LogTarget::File(path.clone())).unwrap();
            sink.make_writer().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0);
        let nowhere = folder.path().join("no/such/folder");
        assert!(Sink::open(&LogTarget::File(nowhere)).is_err());
        let device = LogTarget::File("/dev/null".into());
        assert!(Sink::open(&device).is_err());
    }

    #[test]
    fn a_file_is_for_the_owner_of_its_folder_and_what_a_link_leads_to_stays_whose_it_was() {
        let (folder, account) = folder_of_an_account();
        let open = |path: &Path| drop(Sink::open(&LogTarget::File(path.to_owned())).unwrap());
        let path = folder.path().join("gateway.log");
        open(&path);
        assert_eq!(owner(&path), account);
        let elsewhere = tempfile::tempdir().unwrap();
        let (there, new) = (elsewhere.path().join("there"), elsewhere.path().join("new"));
        std::fs::write(&there, "").unwrap();
        for target in [there, new] {
            let link = folder.path().join(target.file_name().unwrap());
            std::os::unix::fs::symlink(&target, &link).unwrap();
            open(&link);
            assert_eq!(owner(&target), owner(elsewhere.path()));
        }
    }
}
