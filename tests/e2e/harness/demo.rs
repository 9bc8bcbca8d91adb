//! `appproxy demo` as a person has it: keys, and a screen.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tokio::time::Instant;

use super::{Process, Screen, process, words};

/// A running demo in a folder for temporary files of its own.
pub(crate) struct Demo {
    // Ends before the folder goes.
    pub(crate) process: Process,
    screen: Screen,
    /// What it said at the beginning.
    pub(crate) introduction: String,
    /// How long that took.
    pub(crate) ready: std::time::Duration,
}

impl Demo {
    /// Starts a demo that keeps its files below this folder, and waits until it can be used.
    pub(crate) async fn start(temporary: &Path, arguments: &[&str]) -> Self {
        let began = Instant::now();
        let mut command = Command::new(words::PROGRAM);
        command.arg("demo").args(arguments);
        Self::start_command(temporary, command, began).await
    }

    /// Runs this shell script on a terminal of its own; it starts the demo.
    pub(crate) async fn on_a_terminal(temporary: &Path, script: &str) -> Self {
        let began = Instant::now();
        let mut command = Command::new("script");
        command.args([
            "--quiet",
            "--echo",
            "never",
            "--command",
            script,
            "/dev/null",
        ]);
        Self::start_command(temporary, command, began).await
    }

    async fn start_command(temporary: &Path, mut command: Command, began: Instant) -> Self {
        command.env("TMPDIR", temporary);
        let (process, screen) = Screen::start("demo", command);
        let mut demo = Self {
            process,
            screen,
            introduction: String::new(),
            ready: std::time::Duration::ZERO,
        };
        demo.introduction = demo.shows("q  quit; so does Ctrl-C\n").await;
        demo.ready = began.elapsed();
        demo
    }

    /// Waits until the screen shows this, and returns all that it showed since the last time.
    pub(crate) async fn shows(&mut self, end: &str) -> String {
        self.screen.shows(end).await
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.screen.press(keys);
    }

    /// The word of the introduction that begins like this.
    pub(crate) fn word(&self, begin: &str) -> &str {
        let mut words = self.introduction.split_whitespace();
        words.find(|word| word.starts_with(begin)).expect(begin)
    }

    /// What it says to open.
    pub(crate) fn url(&self) -> &str {
        self.word("https://")
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        let authority = self.url().trim_end_matches('/');
        authority.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Runs the line that is printed for curl, in a shell, as somebody who copied it does.
    pub(crate) async fn curl_as_printed(&self) -> process::Output {
        let line = self
            .introduction
            .lines()
            .find(|line| line.contains("curl "));
        let line = line.expect("a line for curl");
        let line = &line[line.find("curl ").unwrap()..];
        process::run("sh", &["-c", line], &[], "").await
    }
}

/// A folder for temporary files.
pub(crate) fn temporary() -> TempDir {
    let prefix = "appproxy-e2e-";
    let folder = tempfile::Builder::new().prefix(prefix).tempdir();
    folder.expect("a temporary folder")
}

/// What is in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("it can be read");
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
