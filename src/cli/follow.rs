//! Looks after the files of a gateway: certificates always, the configuration where it says
//! `reload: watch`. A connector's are looked at with the same eyes.
//!
//! The files are looked at once a second, and not watched by inotify: that tells nothing of files on
//! a network's disk, and little of the symbolic links that Kubernetes exchanges.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::reload::Reloader;
use crate::config::{BackendTls, GatewayConfig, Reload};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A file counts when it has been the same for so long. SECURITY: one that is being written may lack
/// what keeps somebody out.
const QUIET: Duration = Duration::from_secs(2);

/// What was refused is read again so often: the cure may lie in a file that is not looked at, since it
/// is named by no configuration in force.
const RETRY: Duration = Duration::from_secs(5);

/// What tells one state of files from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Prints(Vec<(PathBuf, Option<Print>)>);

/// A file's modification, length and number. All of them change with it, or it is another file under
/// its name.
type Print = (i64, i64, u64, u64);

impl Prints {
    fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        Self(
            files
                .into_iter()
                .map(|file| (file.to_owned(), print(file)))
                .collect(),
        )
    }

    /// Of a watched configuration; of any other there is nothing to see.
    fn of_configuration(config: &GatewayConfig) -> Self {
        match config.reload {
            Reload::Watch => Self::of_sources(config),
            Reload::Manual => Self::default(),
        }
    }

    /// Of a configuration and its certificates.
    pub(super) fn of_all(config: &GatewayConfig) -> Self {
        let Self(mut all) = Self::of_sources(config);
        all.extend(Self::of_certificates(config).0);
        Self(all)
    }

    fn of_sources(config: &GatewayConfig) -> Self {
        let sources = config.sources.now();
        let logo = config.brand.logo.iter().map(|logo| logo.path.as_path());
        Self::of(sources.iter().map(PathBuf::as_path).chain(logo))
    }

    pub(super) fn of_certificates(config: &GatewayConfig) -> Self {
        let files = config.certificates.iter();
        let files = files.flat_map(|files| files.paths());
        let authorities = config.client_authorities.iter();
        Self::of(files.chain(authorities.map(|one| one.file.as_path())))
    }

    /// Of what a connector knows applications by.
    pub(super) fn of_backend_tls(entries: &[BackendTls]) -> Self {
        Self::of(entries.iter().flat_map(|entry| {
            let authority = entry.ca.iter().map(|ca| ca.file.as_path());
            let own = entry.client_certificate.iter();
            authority.chain(own.flat_map(|files| files.paths()))
        }))
    }
}

fn print(file: &Path) -> Option<Print> {
    let file = fs::metadata(file).ok()?;
    Some((file.mtime(), file.mtime_nsec(), file.size(), file.ino()))
}

/// One set of files: what was read of it, and what has been seen since.
#[derive(Debug)]
pub(super) struct Followed {
    /// As they were when they were read; `None` where they may have changed while they were.
    read: Option<Prints>,
    seen: Prints,
    since: Instant,
}

impl Followed {
    /// Files that were just read.
    fn new(prints: Prints) -> Self {
        Self {
            read: None,
            seen: prints,
            since: Instant::now(),
        }
    }

    /// Files that were read when they were so.
    pub(super) fn read(prints: Prints) -> Self {
        Self {
            read: Some(prints.clone()),
            ..Self::new(prints)
        }
    }

    /// Whether they are to be read again: they are others than those that were read, and have been
    /// the same for long enough.
    pub(super) fn is_due(&mut self, now: Prints) -> bool {
        if self.seen != now {
            self.seen = now;
            self.since = Instant::now();
        }
        if self.read.as_ref() == Some(&self.seen) || self.since.elapsed() < QUIET {
            return false;
        }
        self.read = Some(self.seen.clone());
        true
    }
}

/// Follows the files until the gateway stops.
pub(super) async fn run(reloader: Arc<Reloader>) {
    let mut every = interval(LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let gateway = reloader.gateway();
    let look = async || {
        let config = gateway.config();
        let prints = tokio::task::spawn_blocking(move || {
            (
                Prints::of_configuration(&config),
                Prints::of_certificates(&config),
            )
        });
        prints.await.unwrap_or_default()
    };
    let (configuration, certificates) = look().await;
    let mut configuration = Followed::new(configuration);
    let mut certificates = Followed::new(certificates);
    let mut tried = Instant::now();
    loop {
        every.tick().await;
        if gateway.is_stopping() {
            return;
        }
        let (now_configuration, now_certificates) = look().await;
        let is_watched = !now_configuration.0.is_empty();
        let retries = gateway.is_behind() && tried.elapsed() >= RETRY;
        if is_watched && (configuration.is_due(now_configuration) || retries) {
            reloader.follow().await;
            tried = Instant::now();
        }
        if certificates.is_due(now_certificates) {
            reloader.follow_certificates().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(size: u64) -> Prints {
        Prints(vec![(PathBuf::from("a"), Some((0, 0, size, 0)))])
    }

    #[tokio::test(start_paused = true)]
    async fn files_count_when_they_have_rested_and_once() {
        let mut files = Followed::new(prints(1));
        // Seconds, what is seen then, and whether it is read.
        let steps = [
            (1, 1, false),
            // What was read at the start is read once more: it may have changed meanwhile.
            (1, 1, true),
            (60, 1, false),
            // Written in pieces over a long time.
            (1, 2, false),
            (1, 3, false),
            (1, 4, false),
            (1, 5, false),
            (1, 5, false),
            (1, 5, true),
            (1, 5, false),
            // There and back within the rest.
            (1, 6, false),
            (1, 5, false),
            (9, 5, false),
        ];
        for (number, (seconds, size, expected)) in steps.into_iter().enumerate() {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(files.is_due(prints(size)), expected, "step {number}");
        }
    }

    #[test]
    fn a_file_that_takes_the_place_of_another_is_noticed_also_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let see = || Prints::of([at("link").as_path()]);
        assert_eq!(see().0[0].1, None);
        for day in ["monday", "tuesday"] {
            fs::create_dir(at(day)).unwrap();
            fs::write(at(day).join("file"), "same").unwrap();
        }
        // As Kubernetes has it: the file leads through a folder that is exchanged.
        std::os::unix::fs::symlink(at("monday"), at("data")).unwrap();
        std::os::unix::fs::symlink(at("data").join("file"), at("link")).unwrap();
        let before = see();
        assert_eq!(before, see());
        std::os::unix::fs::symlink(at("tuesday"), at("new")).unwrap();
        fs::rename(at("new"), at("data")).unwrap();
        assert_ne!(before, see());
    }
}
