//! A process of the program, its log and its end.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

use super::{DEADLINE, within, words};

/// How long a process that a test leaves may take to end after SIGTERM before it is killed. Shorter
/// than a gateway's notice to its clients: a test that wants to see the drain waits for the end.
const GRACE: Duration = Duration::from_secs(3);

/// What on the machine of a developer would send requests elsewhere.
pub(super) const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// A running process. Dropped, it is ended, and its log is printed if the test has failed.
pub(crate) struct Process {
    name: String,
    id: Pid,
    // A handle on the very process: a signal to an id could meet a stranger.
    handle: OwnedFd,
    shared: Arc<Shared>,
    changed: watch::Receiver<()>,
}

struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// Where each message stands. The log of a gateway under load is too long to be read again and
    /// again by a test that waits.
    messages: HashMap<String, Vec<usize>>,
    exit: Option<ExitStatus>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }
}

impl Process {
    /// Starts a program. Its standard input and output are what `command` says, or nothing; its
    /// standard error is the log.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        for name in PROXIES {
            // What the test itself has set stays.
            if !command.get_envs().any(|(set, _)| set == OsStr::new(name)) {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: cannot start {:?}: {e}", command.get_program()));
        let id = Pid::from_child(&child);
        let handle = pidfd_open(id, PidfdFlags::empty()).expect("the child is there");
        let (notify, changed) = watch::channel(());
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            ended: Condvar::new(),
        });
        let log = child.stderr.take().expect("standard error is piped");
        let seen = Arc::clone(&shared);
        std::thread::spawn(move || follow(log, &mut child, &seen, &notify));
        Self {
            name: name.to_owned(),
            id,
            handle,
            shared,
            changed,
        }
    }

    /// Waits for a line of the log with this message and returns it whole.
    pub(crate) async fn says(&self, message: &str) -> String {
        self.line(message, |line| {
            words::message(line).as_deref() == Some(message)
        })
        .await
    }

    /// Waits for a line of the log that `wanted` takes, from the first line on.
    pub(crate) async fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let waiting = format!("{}: waiting for the line {what:?}", self.name);
        within(&waiting, async {
            let mut changed = self.changed.clone();
            let mut from = 0;
            loop {
                let ended = {
                    let state = self.shared.state();
                    if let Some(line) = state.lines[from..].iter().find(|line| wanted(line)) {
                        return line.clone();
                    }
                    from = state.lines.len();
                    state.exit
                };
                assert!(ended.is_none(), "{waiting}, it ended: {ended:?}");
                // An error is the end of the log; the state says the rest.
                let _ = changed.changed().await;
            }
        })
        .await
    }

    /// The lines of the log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.shared.state().lines.clone()
    }

    /// The lines of the log so far that have this message.
    pub(crate) fn lines(&self, message: &str) -> Vec<String> {
        let state = self.shared.state();
        let found = state.messages.get(message).into_iter().flatten();
        found.map(|&at| state.lines[at].clone()).collect()
    }

    /// How many lines of the log had this message so far.
    pub(crate) fn said(&self, message: &str) -> usize {
        let state = self.shared.state();
        state.messages.get(message).map_or(0, Vec::len)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.state().exit.is_some()
    }

    /// Its number, for those who look at it from outside.
    pub(crate) fn pid(&self) -> Pid {
        self.id
    }

    pub(crate) fn id(&self) -> String {
        self.id.to_string()
    }

    /// How much memory the process occupies, in MiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.trim().strip_suffix(" kB"));
        kib.expect("a line of the kernel").parse::<u64>().unwrap() / 1024
    }

    /// How many sockets the process has open.
    pub(crate) fn sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.id)).expect("it runs");
        // One that closes while the folder is read leads nowhere.
        let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        let is_socket = |target: &PathBuf| target.to_string_lossy().starts_with("socket:");
        targets.filter(is_socket).count()
    }

    /// Asks the process to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the process at once, as a power cut does.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends a signal; nothing happens where the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.handle, signal);
    }

    /// The most memory that the process has had at once, in octets.
    pub(crate) fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id.as_raw_nonzero());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        1024 * kibibytes
            .and_then(|n| n.parse::<u64>().ok())
            .expect("a peak")
    }

    /// Blocks until the end, and says whether it came in time.
    fn ends_within(&self, time: Duration) -> bool {
        let running = |state: &mut State| state.exit.is_none();
        let waited = self
            .shared
            .ended
            .wait_timeout_while(self.shared.state(), time, running)
            .expect("no thread panics with the lock");
        !waited.1.timed_out()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> ExitStatus {
        within(&format!("{}: waiting for its end", self.name), async {
            let mut changed = self.changed.clone();
            loop {
                if let Some(status) = self.shared.state().exit {
                    return status;
                }
                let _ = changed.changed().await;
            }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
        if !self.ends_within(GRACE) {
            self.kill();
            self.ends_within(GRACE);
        }
        if std::thread::panicking() {
            let state = self.shared.state();
            let mut text = format!("---- log of {} ({:?})\n", self.name, state.exit);
            for line in &state.lines {
                let _ = writeln!(text, "{line}");
            }
            eprint!("{text}");
        }
    }
}

/// Collects a process's log and then its exit status.
fn follow(log: impl Read, child: &mut Child, shared: &Shared, notify: &watch::Sender<()>) {
    let mut reader = BufReader::new(log);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let message = words::message(&text);
        let mut state = shared.state();
        let at = state.lines.len();
        state.lines.push(text);
        if let Some(message) = message {
            state.messages.entry(message).or_default().push(at);
        }
        drop(state);
        notify.send_replace(());
        line.clear();
    }
    shared.state().exit = child.wait().ok();
    shared.ended.notify_all();
    notify.send_replace(());
}

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Standard output of a command that must have succeeded.
    pub(crate) fn success(self) -> String {
        assert!(
            self.status.success(),
            "{}\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

/// Runs a command to its end with this on its standard input.
pub(crate) async fn run(
    program: &str,
    arguments: &[impl AsRef<OsStr>],
    environment: &[(&str, &str)],
    input: &str,
) -> Output {
    run_for(DEADLINE, program, arguments, environment, input).await
}

/// The same for a command that may take this long.
pub(crate) async fn run_for(
    time: Duration,
    program: &str,
    arguments: &[impl AsRef<OsStr>],
    environment: &[(&str, &str)],
    input: &str,
) -> Output {
    use tokio::io::AsyncWriteExt as _;

    let mut command = tokio::process::Command::new(program);
    for name in PROXIES {
        command.env_remove(name);
    }
    let mut child = command
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {program}: {e}"));
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let output = async {
        let write = async {
            // A command that does not read its input closes it early.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output.expect("its output can be read");
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    };
    tokio::time::timeout(time, output)
        .await
        .unwrap_or_else(|_| panic!("{program}: no end within {} s", time.as_secs()))
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt;

    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        // A pipe without an end keeps `cat` waiting.
        command.args(["-c", script]).stdin(Stdio::piped());
        Process::start("shell", &mut command)
    }

    #[tokio::test]
    async fn a_line_is_waited_for_whether_it_came_before_or_comes_later() {
        let process =
            shell(r#"echo '{"message":"one"}' >&2; echo '{"message":"two","n":2}' >&2; exec cat"#);
        assert_eq!(process.says("two").await, r#"{"message":"two","n":2}"#);
        assert_eq!(process.says("one").await, r#"{"message":"one"}"#);
        process.kill();
        process.ended().await;
    }

    #[tokio::test]
    async fn a_process_that_ends_early_fails_the_wait_at_once() {
        let process = shell("echo 'cannot read gateway.yaml' >&2; exit 64");
        let waited = AssertUnwindSafe(process.says("gateway ready"))
            .catch_unwind()
            .await;
        assert!(waited.is_err());
        assert_eq!(process.ended().await.code(), Some(64));
        assert_eq!(process.log(), ["cannot read gateway.yaml"]);
    }

    #[tokio::test]
    async fn memory_and_sockets_of_a_process_are_counted() {
        let process = shell(r#"echo '{"message":"up"}' >&2; exec cat"#);
        process.says("up").await;
        assert!(process.memory() < 64);
        assert_eq!(process.sockets(), 0);
    }

    #[tokio::test]
    async fn a_dropped_process_is_told_to_end_and_waited_for() {
        let process = shell(
            r#"exec 3<&0; cat <&3 2>&- & trap 'kill $!; echo ended >&2; exit 0' TERM; echo '{"message":"up"}' >&2; wait"#,
        );
        process.says("up").await;
        let shared = Arc::clone(&process.shared);
        drop(process);
        let state = shared.state();
        assert!(state.exit.is_some_and(|status| status.success()));
        assert_eq!(state.lines.last().map(String::as_str), Some("ended"));
    }

    #[tokio::test]
    async fn a_command_gets_its_input_and_gives_its_output() {
        let output = run("sh", &["-c", "cat; echo $WORD >&2"], &[("WORD", "x")], "in").await;
        assert_eq!(output.stderr, "x\n");
        assert_eq!(output.success(), "in");
    }
}
