//! Something that is fetched when it is first needed, and again when it is old.
//!
//! One fetch at a time, whoever waits. What was fetched once is kept while a later fetch fails, so a
//! provider that is down for an hour stops nobody whose token can be checked without it. After a
//! failure the next attempt waits, longer each time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::error::ProviderError;

/// When a value is fetched again: providers change keys over days, and announce them as long before.
pub(super) const FRESH: Duration = Duration::from_secs(60 * 60);

/// How soon a value is fetched again because something is not in it that a token names. Anybody can
/// send such a token.
pub(super) const AGAIN: Duration = Duration::from_secs(30);

/// From a failure to the next attempt, at first and at most: people wait in front of it.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(15);

/// A value and when it was fetched.
#[derive(Debug)]
pub(super) struct Fetched<T> {
    state: Mutex<State<T>>,
    /// Whoever fetches has it.
    turn: Semaphore,
}

#[derive(Debug)]
struct State<T> {
    value: Option<(Arc<T>, Instant)>,
    failure: Option<Failure>,
    /// When the latest attempt began.
    tried: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Failure {
    error: ProviderError,
    until: Instant,
    back_off: Duration,
}

impl<T> Fetched<T> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                value: None,
                failure: None,
                tried: None,
            }),
            turn: Semaphore::new(1),
        }
    }

    /// The value, fetched where there is none or it is old.
    ///
    /// # Errors
    /// Where there never was one and it cannot be fetched.
    pub(super) async fn get(
        &self,
        fetch: impl AsyncFnOnce() -> Result<T, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        if let Some(known) = self.known() {
            return known;
        }
        let _turn = match self.stale() {
            // One asks anew; the others go on with what there is.
            Some(stale) => match self.turn.try_acquire() {
                Ok(turn) => turn,
                Err(_) => return Ok(stale),
            },
            None => self.turn.acquire().await.map_err(|_| ProviderError::Busy)?,
        };
        // Somebody may have fetched it meanwhile, or tried to.
        if let Some(known) = self.known() {
            return known;
        }
        self.fetch(fetch).await
    }

    /// The value, fetched anew because something is not in `seen`; as it is where it is another by
    /// now, or was asked for a moment ago.
    ///
    /// # Errors
    /// Never where `seen` came from here: a value that cannot be fetched anew is kept.
    pub(super) async fn again(
        &self,
        seen: &Arc<T>,
        fetch: impl AsyncFnOnce() -> Result<T, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        let _turn = self.turn.acquire().await.map_err(|_| ProviderError::Busy)?;
        if let Some(current) = self.stale() {
            let recent = self.lock().tried.is_some_and(|at| at.elapsed() < AGAIN);
            if !Arc::ptr_eq(&current, seen) || recent {
                return Ok(current);
            }
        }
        self.fetch(fetch).await
    }

    /// What needs no fetch: a fresh value, or the answer to whoever comes while nothing is tried.
    fn known(&self) -> Option<Result<Arc<T>, ProviderError>> {
        let state = self.lock();
        let waits = state.failure.as_ref().filter(|f| Instant::now() < f.until);
        match (&state.value, waits) {
            (Some((value, at)), _) if at.elapsed() < FRESH => Some(Ok(Arc::clone(value))),
            (Some((value, _)), Some(_)) => Some(Ok(Arc::clone(value))),
            (None, Some(failure)) => Some(Err(failure.error.clone())),
            (_, None) => None,
        }
    }

    fn stale(&self) -> Option<Arc<T>> {
        let state = self.lock();
        state.value.as_ref().map(|(value, _)| Arc::clone(value))
    }

    async fn fetch(
        &self,
        fetch: impl AsyncFnOnce() -> Result<T, ProviderError>,
    ) -> Result<Arc<T>, ProviderError> {
        self.lock().tried = Some(Instant::now());
        let fetched = fetch().await;
        let mut state = self.lock();
        match fetched {
            Ok(value) => {
                let value = Arc::new(value);
                state.value = Some((Arc::clone(&value), Instant::now()));
                state.failure = None;
                Ok(value)
            }
            Err(error) => {
                let earlier = state.failure.as_ref().map(|failure| failure.back_off * 2);
                let back_off = earlier.unwrap_or(FIRST_BACK_OFF).min(LONGEST_BACK_OFF);
                state.failure = Some(Failure {
                    error: error.clone(),
                    until: Instant::now() + back_off,
                    back_off,
                });
                match &state.value {
                    Some((kept, _)) => {
                        tracing::warn!(code = error.code(), %error, "what is known of the provider is kept");
                        Ok(Arc::clone(kept))
                    }
                    None => Err(error),
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::advance;

    use super::*;

    const DOWN: ProviderError = ProviderError::Busy;

    /// Counts the fetches of a value.
    #[derive(Default)]
    struct Source(AtomicU32);

    impl Source {
        async fn good(&self) -> Result<u32, ProviderError> {
            tokio::task::yield_now().await;
            Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
        }

        async fn down(&self) -> Result<u32, ProviderError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(DOWN)
        }

        fn count(&self) -> u32 {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_one_fetch_and_an_hour_later_another() {
        let (fetched, source) = (Fetched::new(), Source::default());
        let all = (0..50).map(|_| fetched.get(async || source.good().await));
        for value in futures_util::future::join_all(all).await {
            assert_eq!(*value.unwrap(), 1);
        }
        assert_eq!(source.count(), 1);
        advance(FRESH).await;
        assert_eq!(*fetched.get(async || source.good().await).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_each_time_and_end() {
        let (fetched, source) = (Fetched::new(), Source::default());
        for (wait, fetches) in [
            (0, 1),
            (999, 1),
            (1, 2),
            (1999, 2),
            (1, 3),
            (4000, 4),
            (8000, 5),
        ] {
            advance(Duration::from_millis(wait)).await;
            let failed = fetched.get(async || source.down().await).await;
            assert_eq!(failed, Err(DOWN));
            assert_eq!(source.count(), fetches, "{wait}");
        }
        advance(LONGEST_BACK_OFF).await;
        assert!(fetched.get(async || source.good().await).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_fetched_is_kept_while_the_source_is_down() {
        let (fetched, source) = (Fetched::new(), Source::default());
        fetched.get(async || source.good().await).await.unwrap();
        for _ in 0..240 {
            advance(FRESH).await;
            let kept = fetched.get(async || source.down().await).await;
            assert_eq!(*kept.unwrap(), 1);
        }
        // Not one attempt a request.
        let before = source.count();
        for _ in 0..10 {
            fetched.get(async || source.down().await).await.unwrap();
        }
        assert_eq!(source.count(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn again_is_bounded() {
        let (fetched, source) = (Fetched::new(), Source::default());
        let first = fetched.get(async || source.good().await).await.unwrap();
        for _ in 0..10 {
            let same = fetched.again(&first, async || source.good().await);
            assert_eq!(*same.await.unwrap(), 1);
        }
        advance(AGAIN).await;
        let second = fetched.again(&first, async || source.good().await);
        assert_eq!(*second.await.unwrap(), 2);
        // Whoever saw the old one gets the new one without a fetch.
        let newer = fetched.again(&first, async || source.good().await);
        assert_eq!(*newer.await.unwrap(), 2);
        assert_eq!(source.count(), 2);
    }
}
