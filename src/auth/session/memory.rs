//! The sessions this process knows: found without the store, cut when the change log says so.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::NoSession;
use super::live::{Root, Session};
use crate::clock::Timestamp;
use crate::model::SessionId;
use crate::store::{SessionName, Used};

/// Identifiers that are known to be worth nothing, so that they are not looked up again.
const MOST_GONE: usize = 10_000;

#[derive(Default)]
pub(super) struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    sessions: HashMap<SessionId, Arc<Session>>,
    roots: HashMap<SessionId, Weak<Root>>,
    gone: HashMap<SessionId, NoSession>,
    used: HashMap<SessionId, Used>,
    /// Rises with every revocation that was heard of: what was read from the store before may have
    /// been revoked since.
    generation: u64,
}

/// What is known of an identifier.
pub(super) enum Known {
    Session(Arc<Session>),
    Gone(NoSession),
    Nothing,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &SessionId) -> Known {
        let state = self.state();
        match (state.sessions.get(id), state.gone.get(id)) {
            (Some(session), _) => Known::Session(Arc::clone(session)),
            (None, Some(why)) => Known::Gone(*why),
            (None, None) => Known::Nothing,
        }
    }

    /// The session of this identifier, which nobody has judged.
    pub(super) fn session(&self, id: &str) -> Option<Arc<Session>> {
        self.state().sessions.get(id).cloned()
    }

    /// To be asked before the store is.
    pub(super) fn generation(&self) -> u64 {
        self.state().generation
    }

    pub(super) fn root(&self, id: &SessionId) -> Option<Arc<Root>> {
        self.state().roots.get(id)?.upgrade()
    }

    /// Takes in a session that was read at `generation`, under the sign-in of `root` or the one that
    /// is known of the same identifier. `None` where a revocation was heard of since: read it again.
    pub(super) fn insert(
        &self,
        generation: u64,
        root: Arc<Root>,
        capacity: usize,
        build: impl FnOnce(Arc<Root>) -> Session,
    ) -> Option<Arc<Session>> {
        let mut state = self.state();
        if state.generation != generation {
            return None;
        }
        let known = state.roots.get(&root.id).and_then(Weak::upgrade);
        let root = known.unwrap_or(root);
        state.roots.insert(root.id.clone(), Arc::downgrade(&root));
        let session = build(root);
        if let Some(known) = state.sessions.get(&session.id) {
            return Some(Arc::clone(known));
        }
        let session = Arc::new(session);
        let known = Arc::clone(&session);
        state.sessions.insert(session.id.clone(), session);
        if state.sessions.len() > capacity {
            state.evict(capacity);
        }
        Some(known)
    }

    /// Notes that an identifier is worth nothing, for good.
    pub(super) fn is_gone(&self, id: &SessionId, why: NoSession) {
        let mut state = self.state();
        if state.gone.len() >= MOST_GONE {
            state.gone.clear();
        }
        state.gone.insert(id.clone(), why);
    }

    /// Cuts a session, and those below it.
    pub(super) fn cut(&self, id: &SessionId) -> usize {
        self.cut_where(
            |session| session.id == *id || session.root.id == *id,
            |root| root.id == *id,
        )
    }

    /// Cuts the sessions of a name.
    pub(super) fn cut_named(&self, name: &SessionName) -> usize {
        let named = |root: &Root| root.names.contains(name);
        self.cut_where(|session| named(&session.root), named)
    }

    /// Cuts all: nobody knows what was revoked.
    pub(super) fn cut_all(&self) -> usize {
        self.cut_where(|_| true, |_| true)
    }

    fn cut_where(&self, session: impl Fn(&Session) -> bool, root: impl Fn(&Root) -> bool) -> usize {
        let mut state = self.state();
        state.generation += 1;
        let before = state.sessions.len();
        let mut cut = Vec::new();
        state.sessions.retain(|_, known| {
            let goes = session(known);
            if goes {
                cut.push(known.revoked.clone());
            }
            !goes
        });
        state.roots.retain(|_, known| match known.upgrade() {
            Some(known) if root(&known) => {
                cut.push(known.revoked.clone());
                false
            }
            known => known.is_some(),
        });
        let count = before - state.sessions.len();
        drop(state);
        // Whoever waits for it may look here at once.
        cut.into_iter().for_each(|token| token.cancel());
        count
    }

    /// Forgets one session that has ended, and cuts what lives on it.
    pub(super) fn end(&self, session: &Session) {
        self.state().sessions.remove(&session.id);
        session.revoked.cancel();
    }

    /// The store is to be told that it is used.
    pub(super) fn note(&self, used: Used) {
        self.state().used.insert(used.id.clone(), used);
    }

    /// What the store is to be told, `most` of it.
    pub(super) fn take_used(&self, most: usize) -> Vec<Used> {
        let mut state = self.state();
        let ids: Vec<_> = state.used.keys().take(most).cloned().collect();
        let taken = ids.iter().filter_map(|id| state.used.remove(id));
        taken.collect()
    }

    /// Puts back what the store could not be told, unless there is news.
    pub(super) fn put_back(&self, used: Vec<Used>) {
        let mut state = self.state();
        for used in used {
            if state.sessions.contains_key(&used.id) {
                state.used.entry(used.id.clone()).or_insert(used);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.state().sessions.len()
    }

    /// Forgets what has ended. What ended for good is cut where something lives on it; what nobody
    /// used for long may be known to the store as used elsewhere, so it is forgotten only.
    pub(super) fn sweep(&self, now: Timestamp) {
        let mut state = self.state();
        let mut cut = Vec::new();
        state.sessions.retain(|_, session| {
            if session.absolute <= now {
                cut.push(session.revoked.clone());
                return false;
            }
            session.ends() > now || Arc::strong_count(session) > 1
        });
        state.roots.retain(|_, root| root.strong_count() > 0);
        drop(state);
        cut.into_iter().for_each(|token| token.cancel());
    }
}

impl State {
    /// Forgets those that were not used for the longest, a tenth of what fits, so that not every
    /// new one has to look at all. One that somebody holds stays: only what is known can be cut.
    fn evict(&mut self, capacity: usize) {
        let idle = |session: &Session| session.idle.load(Ordering::Relaxed);
        let mut free: Vec<_> = self
            .sessions
            .values()
            .filter(|session| Arc::strong_count(session) == 1)
            .map(|session| (idle(session), session.id.clone()))
            .collect();
        let keep = capacity - capacity / 10;
        let goes = (self.sessions.len() - keep.min(self.sessions.len())).min(free.len());
        if goes < free.len() {
            free.select_nth_unstable(goes);
        }
        for (_, id) in free.into_iter().take(goes) {
            self.sessions.remove(&id);
        }
    }
}
