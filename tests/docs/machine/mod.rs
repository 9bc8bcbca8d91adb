//! A machine to type the commands of a document on: namespaces of its own, made of what this one has
//! installed (`root.sh`), and terminals on it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::Duration;

use rustix::process::geteuid;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long any command may take: reached only by one that hangs.
const DEADLINE: Duration = Duration::from_secs(40);

/// How long an event is waited for before another one is looked at.
const TURN: Duration = Duration::from_millis(20);

/// No line of a program is like it.
const MARK: &str = "::a command has ended::";

/// A running machine; dropped, it is gone with all that runs on it.
pub(crate) struct Machine {
    shared: TempDir,
    unshare: Child,
    // Its end is the machine's.
    _lease: ChildStdin,
    first: String,
    terminals: usize,
}

impl Machine {
    pub(crate) fn start() -> Self {
        let shared = tempfile::tempdir().unwrap();
        let is_root = geteuid().is_root();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child"]);
        if !is_root {
            command.arg("--map-root-user");
        }
        let mut unshare = command
            .args(["--propagation", "private", "bash"])
            .arg(repository.join("tests/docs/machine/root.sh"))
            .arg(shared.path())
            .arg(env!("CARGO_BIN_EXE_appproxy"))
            .arg(repository)
            .arg(if is_root { "root" } else { "nobody" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run unshare (util-linux): {e}"));
        let mut said = BufReader::new(unshare.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        if line != "ready\n" {
            let mut why = String::new();
            let mut log = unshare.stderr.take().unwrap();
            log.read_to_string(&mut why).unwrap();
            panic!(
                "no machine for the commands of documents. It takes root, or user namespaces (sysctl \
                 kernel.unprivileged_userns_clone=1 user.max_user_namespaces=1000; in a container: \
                 --privileged), and bash, ip, mount, setpriv, /usr/bin/python3 and systemd:\n{why}"
            );
        }
        let id = unshare.id();
        let first = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        Self {
            shared,
            _lease: unshare.stdin.take().unwrap(),
            unshare,
            first: first.trim().to_owned(),
            terminals: 0,
        }
    }

    /// A file or folder that both the test and the machine have, there as `/harness/NAME`.
    pub(crate) fn shared(&self, name: &str) -> PathBuf {
        self.shared.path().join(name)
    }

    pub(crate) fn terminal(&mut self) -> Terminal {
        self.terminals += 1;
        let socket = format!("told-{}", self.terminals);
        let told = UnixDatagram::bind(self.shared(&socket)).unwrap();
        told.set_read_timeout(Some(TURN)).unwrap();
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--net", "--pid"]);
        command.arg("--root");
        if !geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        let mut child = command
            .args(["bash", "/host/terminal.sh", MARK])
            .arg(format!("/harness/{socket}"))
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root")
            .env("IS_ROOT", if geteuid().is_root() { "yes" } else { "" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run nsenter (util-linux): {e}"));
        let mut terminal = Terminal {
            typed: child.stdin.take().unwrap(),
            out: lines(child.stdout.take().unwrap()),
            errors: lines(child.stderr.take().unwrap()),
            seen: String::new(),
            child,
            told,
            shell: String::new(),
        };
        terminal.shell = terminal.run("echo $$").success();
        terminal
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// The lines of a pipe, as they come.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if send.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    receive
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) command: String,
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Said {
    /// Standard output of a command that went well.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        self.out
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            command,
            code,
            out,
            errors,
        } = self;
        write!(f, "`{command}` ended with {code}\n{out}\n--\n{errors}")
    }
}

/// A shell on a machine, which goes on from one command to the next.
pub(crate) struct Terminal {
    child: Child,
    typed: ChildStdin,
    out: Receiver<String>,
    errors: Receiver<String>,
    /// The standard output so far of a command that goes on.
    seen: String,
    /// What programs tell their service manager.
    told: UnixDatagram,
    /// The number of the shell's process there.
    pub(crate) shell: String,
}

impl Terminal {
    /// Types a command, and waits for its end.
    pub(crate) fn run(&mut self, command: &str) -> Said {
        self.type_in(command);
        self.ended(command)
    }

    pub(crate) fn type_in(&mut self, command: &str) {
        assert!(!command.contains('\n'), "{command}");
        writeln!(self.typed, "{command}").unwrap();
    }

    /// Waits for the end of what was typed.
    pub(crate) fn ended(&mut self, command: &str) -> Said {
        let mut out = std::mem::take(&mut self.seen);
        let mut errors = String::new();
        let until = Instant::now() + DEADLINE;
        let hung = |out: &str, errors: &str| -> ! {
            panic!("`{command}` does not end\n{out}\n--\n{errors}")
        };
        let code = loop {
            match self.out.recv_timeout(until - Instant::now()) {
                Ok(line) => match line.strip_prefix(MARK) {
                    Some(code) => break code.trim().parse().unwrap(),
                    None => out += &(line + "\n"),
                },
                Err(_) => {
                    errors.extend(self.errors.try_iter().map(|line| line + "\n"));
                    hung(&out, &errors);
                }
            }
        };
        loop {
            match self.errors.recv_timeout(until - Instant::now()) {
                Ok(line) if line == MARK => break,
                Ok(line) => errors += &(line + "\n"),
                Err(_) => hung(&out, &errors),
            }
        }
        Said {
            command: command.to_owned(),
            code,
            out: out.trim().to_owned(),
            errors: errors.trim().to_owned(),
        }
    }

    /// Waits until a program that was typed here, and goes on, says that it is ready.
    pub(crate) fn is_ready(&mut self, command: &str) {
        let until = Instant::now() + DEADLINE;
        let mut told = [0; 4096];
        while Instant::now() < until {
            if let Ok(n) = self.told.recv(&mut told) {
                let words = String::from_utf8_lossy(&told[..n]).into_owned();
                if words.lines().any(|word| word == "READY=1") {
                    return;
                }
            }
            self.goes_on(command);
        }
        panic!("`{command}` is not ready\n{}", self.errors_so_far());
    }

    /// Waits for a line on standard output of a program that was typed here and goes on.
    pub(crate) fn shows(&mut self, command: &str, words: &str) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.out.recv_timeout(until - Instant::now()) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) if line.starts_with(MARK) => {
                    panic!(
                        "`{command}`{}\n{}",
                        &line[MARK.len()..],
                        self.errors_so_far()
                    )
                }
                Ok(_) => {}
                Err(_) => panic!(
                    "`{command}` does not say {words:?}\n{}",
                    self.errors_so_far()
                ),
            }
        }
    }

    /// Waits for a line on standard error of a program that was typed here and goes on.
    pub(crate) fn tells(&mut self, command: &str, words: &str) {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.errors.recv_timeout(until - Instant::now()) {
                Ok(line) if line.contains(words) => return,
                Ok(_) => {}
                Err(_) => panic!("`{command}` does not tell {words:?}"),
            }
        }
    }

    /// Fails where a program that is to go on has ended.
    fn goes_on(&mut self, command: &str) {
        loop {
            match self.out.try_recv() {
                Ok(line) => match line.strip_prefix(MARK) {
                    Some(code) => panic!(
                        "`{command}` ended with{code} and was to go on\n{}",
                        self.errors_so_far()
                    ),
                    None => self.seen += &(line + "\n"),
                },
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => panic!("`{command}`: the machine is gone"),
            }
        }
    }

    fn errors_so_far(&self) -> String {
        let mut text = String::new();
        loop {
            match self.errors.recv_timeout(TURN) {
                Ok(line) => text += &(line + "\n"),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return text,
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
