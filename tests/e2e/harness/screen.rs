//! What a program shows, and the keys that a person presses.

use std::io::{PipeWriter, Read, Write};
use std::process::Command;

use tokio::sync::watch;

use super::{Process, within};

/// The standard input and output of a program, in the hands of a person.
pub(crate) struct Screen {
    name: &'static str,
    keys: PipeWriter,
    shown: watch::Receiver<String>,
    read: usize,
}

impl Screen {
    /// Starts a program with a screen.
    pub(crate) fn start(name: &'static str, mut command: Command) -> (Process, Self) {
        let (input, keys) = std::io::pipe().expect("a pipe");
        let (mut output, sink) = std::io::pipe().expect("a pipe");
        command.stdin(input).stdout(sink);
        let process = Process::start(name, &mut command);
        // Or our own copy of its end would keep the pipe open.
        drop(command);
        let (show, shown) = watch::channel(String::new());
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut octets) {
                let text = String::from_utf8_lossy(&octets[..length]).replace('\r', "");
                show.send_modify(|all| *all += &text);
            }
        });
        let screen = Self {
            name,
            keys,
            shown,
            read: 0,
        };
        (process, screen)
    }

    /// Starts a shell command on a terminal of its own that shows what is typed unless the program turns that
    /// off. Its exit code is the command's.
    pub(crate) fn start_on_a_terminal(name: &'static str, script: &str) -> (Process, Self) {
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--echo", "always"]);
        command.args(["--command", script, "/dev/null"]);
        Self::start(name, command)
    }

    /// Waits until it shows this, and returns all that it showed since the last time.
    pub(crate) async fn shows(&mut self, end: &str) -> String {
        let mut screen = self.shown.clone();
        let read = self.read;
        let text = within(
            &format!("the {}'s screen showing {end:?}", self.name),
            async {
                let found = screen.wait_for(|all| all[read..].contains(end)).await;
                let all = found.expect("it is shown before the end");
                let length = all[read..].find(end).expect("it is there") + end.len();
                all[read..read + length].to_owned()
            },
        )
        .await;
        self.read += text.len();
        text
    }

    /// All that it shows from the start to its end.
    pub(crate) async fn whole(&self) -> String {
        let mut screen = self.shown.clone();
        within(&format!("the end of the {}'s screen", self.name), async {
            let _ = screen.wait_for(|_| false).await;
        })
        .await;
        self.shown.borrow().clone()
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keys
            .write_all(keys)
            .expect("the program reads its keys");
    }
}
