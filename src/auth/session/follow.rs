//! What goes on in the background: the change log is followed, uses are noted, what ended is swept.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::{Keys, Shared};
use crate::store::{Change, Changed};
use crate::telemetry::audit::{Actor, Record};

/// Until the change log is read again where that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// How long one look at it may take.
const LOOK: Duration = Duration::from_secs(5);

/// It is read so often even where nothing seems to have changed: that it can be is what counts.
const CONFIRM: Duration = Duration::from_secs(10);

/// How often the store is told of uses: one synced write for all of them.
const TELL: Duration = Duration::from_secs(5);

/// Uses in one write, so that nobody else who writes waits for long.
const AT_ONCE: usize = 500;

/// How often memory is swept, and the store, in rounds of [`TELL`].
const SWEEP_MEMORY: u32 = 12;
const SWEEP_STORE: u32 = 120;

/// Follows the change log.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut failing = false;
    loop {
        // The wait begins before the log is read, so that nothing falls between the two.
        let changed = shared.store.changed();
        let after = shared.heard().0;
        let error = match timeout(LOOK, shared.store.changes(after)).await {
            Ok(Ok(changes)) => match take_in(&shared, after, changes).await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("revoked sessions are heard of again");
                    }
                    let _ = timeout(CONFIRM, changed).await;
                    continue;
                }
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if !std::mem::replace(&mut failing, true) {
            let grace = shared.settings.load().store_grace.as_secs();
            tracing::error!(
                %error,
                "the store's change log cannot be read: nobody can sign in, and after {grace} s \
                 sessions are not served any more"
            );
        }
        if !shared.is_confirmed() {
            let cut = shared.memory.cut_all();
            if cut > 0 {
                tracing::error!(sessions = cut, "what lived on sessions is cut");
            }
        }
        sleep(AGAIN).await;
    }
}

/// Cuts what was revoked.
async fn take_in(
    shared: &Shared,
    after: u64,
    changes: Vec<Change>,
) -> Result<(), crate::store::StoreError> {
    // Rows of sessions are forgotten after a week, so whoever was away for longer has missed some.
    if changes
        .first()
        .is_some_and(|first| first.number != after + 1)
    {
        shared.memory.cut_all();
    }
    for change in changes {
        match change.what {
            Changed::SessionRevoked(id) => {
                let cut = shared.memory.cut(&id);
                tracing::info!(session = %id, cut, "session revoked");
                Record::new("session_ended", Actor::Gateway)
                    .with("session", id.as_str())
                    .with("cause", "it was revoked")
                    .write();
            }
            Changed::SessionsRevoked(name) => {
                let cut = shared.memory.cut_named(&name);
                tracing::info!(
                    cut,
                    "sessions of a person or of a provider's session revoked"
                );
            }
            Changed::SecretRotated(_) => {
                let keys = Keys::load(&*shared.store, shared.clock.now()).await?;
                shared.keys.store(Arc::new(keys));
            }
            Changed::ConnectorRemoved(_)
            | Changed::Authorities
            | Changed::ServiceTokens
            | Changed::Unknown(_) => {}
        }
        shared.heard().0 = change.number;
    }
    shared.heard().1 = Instant::now();
    Ok(())
}

/// Tells the store of uses, and sweeps.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut ticks = interval(TELL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0_u32;
    loop {
        ticks.tick().await;
        tell(&shared).await;
        round = round.wrapping_add(1);
        if round.is_multiple_of(SWEEP_MEMORY) {
            shared.memory.sweep(shared.clock.now());
        }
        if round.is_multiple_of(SWEEP_STORE)
            && let Err(error) = shared.store.sweep_sessions(shared.clock.now()).await
        {
            tracing::warn!(%error, "ended sessions cannot be swept out of the store");
        }
    }
}

/// Tells the store of all uses that it was not told of.
pub(super) async fn tell(shared: &Shared) {
    loop {
        let used = shared.memory.take_used(AT_ONCE);
        if used.is_empty() {
            return;
        }
        match shared.store.touch_sessions(used.clone()).await {
            // Revoked, or swept while nobody noted its use.
            Ok(gone) => gone.iter().for_each(|id| {
                shared.memory.cut(id);
            }),
            Err(error) => {
                tracing::warn!(%error, "the use of sessions cannot be noted");
                shared.memory.put_back(used);
                return;
            }
        }
    }
}
