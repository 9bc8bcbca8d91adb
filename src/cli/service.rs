//! What the service manager is told, in the words of sd_notify(3); nothing where none listens.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

/// How often the status is looked at; it is sent where it has changed.
const LOOK: Duration = Duration::from_secs(1);

/// What a stop may take beyond its deadline: the farewells, and a machine with other work.
const EXTRA: Duration = Duration::from_secs(10);

/// The service manager, systemd or one that speaks like it.
#[derive(Debug)]
pub(super) struct Service {
    listens: bool,
    mouth: Mouth,
    /// Without a sign of life for so long it kills the process.
    watchdog: Option<Duration>,
    /// That it cannot be told is said once.
    failed: AtomicBool,
}

/// How the service manager is told.
struct Mouth(Box<Say>);

type Say = dyn Fn(&[NotifyState<'_>]) -> io::Result<()> + Send + Sync;

impl fmt::Debug for Mouth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mouth")
    }
}

impl Service {
    /// As the environment has it. It is left as it is: nothing is started from here that could take
    /// it for its own.
    pub(super) fn from_environment() -> Self {
        Self {
            listens: std::env::var_os("NOTIFY_SOCKET").is_some(),
            mouth: Mouth(Box::new(sd_notify::notify)),
            watchdog: sd_notify::watchdog_enabled().filter(|time| !time.is_zero()),
            failed: AtomicBool::new(false),
        }
    }

    /// The start is done.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// It ends, at the latest this long from now.
    pub(super) fn stopping(&self, status: &str, deadline: Duration) {
        // The manager's own limit may be shorter than what the operator has allowed here.
        let most = deadline.saturating_add(EXTRA).as_micros();
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(u32::try_from(most).unwrap_or(u32::MAX)),
            NotifyState::Status(status),
        ]);
    }

    /// Tells the status as it changes, and that the process lives: from a task of the runtime, so
    /// that it is no news of a runtime that hangs, and after `look`, which asks what has to answer.
    pub(super) fn follow<F>(
        self: std::sync::Arc<Self>,
        look: impl Fn() -> F + Send + 'static,
    ) -> AbortOnDropHandle<()>
    where
        F: Future<Output = String> + Send,
    {
        AbortOnDropHandle::new(tokio::spawn(async move {
            if !self.listens {
                return;
            }
            let beat = self.watchdog.map(|time| time / 2);
            let mut ticks = tokio::time::interval(beat.map_or(LOOK, |beat| beat.min(LOOK)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut told = String::new();
            let mut next_beat = Instant::now();
            loop {
                let now = ticks.tick().await;
                let status = look().await;
                if let Some(beat) = beat.filter(|_| now >= next_beat) {
                    self.tell(&[NotifyState::Watchdog]);
                    next_beat = now + beat;
                }
                if status != told {
                    self.tell(&[NotifyState::Status(&status)]);
                    told = status;
                }
            }
        }))
    }

    fn tell(&self, words: &[NotifyState<'_>]) {
        if !self.listens {
            return;
        }
        if let Err(error) = (self.mouth.0)(words)
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "the service manager cannot be told (NOTIFY_SOCKET)");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::*;

    /// Far longer than a beat, so that one that is due is not missed on a busy machine.
    const DUE: Duration = Duration::from_secs(20);

    /// A manager that wants a sign of life every 100 ms, and the signs that it is given.
    fn watching() -> (Arc<Service>, mpsc::Receiver<()>) {
        let (tell, signs) = mpsc::channel();
        let mouth = move |words: &[NotifyState<'_>]| {
            if words.iter().any(|w| matches!(w, NotifyState::Watchdog)) {
                let _ = tell.send(());
            }
            Ok(())
        };
        let service = Service {
            listens: true,
            mouth: Mouth(Box::new(mouth)),
            watchdog: Some(Duration::from_millis(100)),
            failed: AtomicBool::new(false),
        };
        (Arc::new(service), signs)
    }

    #[test]
    fn a_runtime_that_hangs_gives_no_sign_of_life_and_one_that_goes_on_does() {
        let (service, signs) = watching();
        let (hang, mut hangs) = tokio::sync::mpsc::unbounded_channel::<mpsc::Receiver<()>>();
        let (hung, has_hung) = mpsc::channel();
        // A runtime of one thread, as the process that hangs has no other that goes on.
        let serving = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let _follows = service.follow(|| std::future::ready("serving".to_owned()));
                while let Some(until) = hangs.recv().await {
                    hung.send(()).unwrap();
                    // As a loop without an await would.
                    let _ = until.recv();
                }
            });
        });
        for _ in 0..3 {
            signs.recv_timeout(DUE).unwrap();
        }
        let (go_on, until) = mpsc::channel();
        hang.send(until).unwrap();
        has_hung.recv_timeout(DUE).unwrap();
        while signs.try_recv().is_ok() {}
        let silence = signs.recv_timeout(Duration::from_secs(1));
        assert_eq!(silence, Err(mpsc::RecvTimeoutError::Timeout));
        go_on.send(()).unwrap();
        signs.recv_timeout(DUE).unwrap();
        drop(hang);
        serving.join().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_to_answer_and_does_not_is_no_sign_of_life() {
        let (service, signs) = watching();
        let answers = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&answers);
        let _follows = service.follow(move || {
            let answers = asked.load(Ordering::Relaxed);
            async move {
                if !answers {
                    std::future::pending::<()>().await;
                }
                String::new()
            }
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        // Half of the time, and not more often.
        let given = signs.try_iter().count();
        assert!((39..=41).contains(&given), "{given}");
        answers.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        while signs.try_recv().is_ok() {}
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(signs.try_iter().count(), 0);
    }
}
