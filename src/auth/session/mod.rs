//! Sessions: who is signed in at which host, until when, and how everybody hears that it is over.
//!
//! The browser has a ticket, the store has a record that opens with the ticket's secret only, and
//! each process keeps the sessions it has seen in memory. A session in memory never waits for the
//! store. Whatever revokes one, in this process or another, is a row of the store's change log,
//! which is followed here: [`Session::revoked`] is cancelled within a second.
//!
//! A person's session belongs to the sign-in host; each application host gets one of its own below
//! it, by a one-time code ([`Sessions::mint_code`]). They share one sign-in, so what a provider says
//! anew ([`Sessions::refresh`]) holds for all of them.

mod follow;
mod hand_over;
mod live;
mod memory;
mod names;
mod record;
mod refresh;
mod revoke;
mod seal;
mod sign_in;
mod state;
#[cfg(test)]
mod tests;
mod ticket;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::certs::{RandomError, random, sha256};
use crate::clock::{Clock, Timestamp};
use crate::model::SessionId;
use crate::store::{Origin, SecretOctets, SessionRefusal, Store, StoreError};

pub use hand_over::{CODE_LIVES, CodeError, HandOver, LINK, NonceHash, Redeemed};
pub use live::{InUse, Session};
use live::{Judged, Root};
use memory::{Known, Memory};
pub use names::Owner;
pub use refresh::{Asked, Refreshed};
pub use revoke::{Listed, LoggedOut, LoggedOutOf, LogoutToken};
use seal::Ring;
pub use sign_in::{Device, SessionHost, Shown, SignIn};
pub use state::StateError;
use ticket::Ticket;

/// How long sessions live, and how many are kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionSettings {
    /// A session that is not used ends after this.
    pub idle: Duration,
    /// Any session ends after this.
    pub absolute: Duration,
    /// After so long without the change log nothing that needs a session is served.
    pub store_grace: Duration,
    /// Sessions in memory; what is held by something alive is kept beyond it.
    pub capacity: usize,
}

/// A working day, a working week, and what the design gives an outage.
impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(8 * 3600),
            absolute: Duration::from_secs(5 * 24 * 3600),
            store_grace: Duration::from_secs(15 * 60),
            // About 4 KiB each.
            capacity: 100_000,
        }
    }
}

/// All sessions, as one process knows them.
#[derive(Debug)]
pub struct Sessions {
    shared: Arc<Shared>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    settings: ArcSwap<SessionSettings>,
    keys: ArcSwap<Keys>,
    memory: Memory,
    /// The newest change that was heard of, and when the log was last read.
    heard: Mutex<(u64, Instant)>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The names of the secrets that gateways share.
const TICKETS: &str = "session tickets";
const INDEX: &str = "session index";
const STATE: &str = "sign-in state";

/// The secrets that gateways share.
struct Keys {
    tickets: Ring,
    /// One for good: rows and tombstones would not be found under another.
    index: SecretOctets,
    state: Ring,
}

impl Keys {
    async fn load(store: &dyn Store, now: Timestamp) -> Result<Self, StoreError> {
        let ring = async |name| {
            let new = seal::secret().map_err(|error| StoreError::Unavailable(error.to_string()))?;
            let none = || StoreError::Damaged(format!("there is no secret `{name}`"));
            Ring::new(store.secrets(name, new, now).await?).ok_or_else(none)
        };
        Ok(Self {
            tickets: ring(TICKETS).await?,
            index: ring(INDEX).await?.oldest().clone(),
            state: ring(STATE).await?,
        })
    }
}

/// A person who has just signed in.
#[derive(Debug)]
pub struct NewSession {
    /// The sign-in host.
    pub host: SessionHost,
    /// What the provider said.
    pub sign_in: SignIn,
    /// From where.
    pub device: Device,
    /// [`Sessions::mark`] of when the sign-in began: a sign-out since then ends it.
    pub began: LogMark,
}

/// A place in the change log, which tells what came before and after whatever clocks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogMark(u64);

/// What became of a ticket.
#[derive(Debug, Clone)]
pub enum Found {
    /// The session is alive; this use of it has been noted.
    Live(Arc<Session>),
    /// There is none: the person has to sign in.
    None(NoSession),
    /// It cannot be known now: 503, never a redirect, which would be a loop.
    Unavailable,
}

/// Why a ticket is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// It is none of ours, or was altered.
    #[error("the ticket is not one of this gateway")]
    Forged,
    /// It was ours, and nothing is kept of it any more.
    #[error("the session is not known any more")]
    Unknown,
    /// Its time is over.
    #[error("the session has ended")]
    Expired,
    /// Somebody ended it.
    #[error("the session was revoked")]
    Revoked,
    /// The provider's access token, which the application is to have, has ended, and there is nothing to
    /// get another with.
    #[error("the access token has ended, and the provider gave nothing to get another with")]
    AccessToken,
    /// It belongs to another host, scheme or port.
    #[error("the ticket is for another host")]
    OtherHost,
}

/// Why a session or a code was not made.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Something ended it before it began.
    #[error(transparent)]
    Refused(#[from] SessionRefusal),
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no random octets.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Too many codes wait to be redeemed.
    #[error("too many sign-ins are under way")]
    TooMany,
    /// It would hang under a session that hangs under another itself, or the text is too long.
    #[error("the gateway asked for what cannot be kept: {0}")]
    Misuse(&'static str),
}

impl Sessions {
    /// Begins to follow the store's change log, in tasks of the runtime it is called on, which end
    /// when this is dropped.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Clock,
        settings: SessionSettings,
    ) -> Result<Arc<Self>, StoreError> {
        // Before anything is known: whatever is revoked from here on is heard of.
        let after = store.last_change().await?;
        let keys = Keys::load(&*store, clock.now()).await?;
        let shared = Arc::new(Shared {
            store,
            clock,
            settings: ArcSwap::from_pointee(settings),
            keys: ArcSwap::from_pointee(keys),
            memory: Memory::default(),
            heard: Mutex::new((after, Instant::now())),
        });
        let tasks = [
            tokio::spawn(follow::follow(Arc::clone(&shared))),
            tokio::spawn(follow::keep(Arc::clone(&shared))),
        ];
        Ok(Arc::new(Self {
            shared,
            _tasks: tasks.map(AbortOnDropHandle::new),
        }))
    }

    /// Goes on with other settings: a session that is there has the new ones from its next use on,
    /// and keeps its absolute end.
    pub fn set(&self, settings: SessionSettings) {
        self.shared.settings.store(Arc::new(settings));
    }

    /// Where the change log is; to be kept with a sign-in that begins now.
    #[must_use]
    pub fn mark(&self) -> LogMark {
        LogMark(self.shared.heard().0)
    }

    /// Makes the session of a person who signed in. Returns the ticket, for the cookie.
    ///
    /// # Errors
    /// Where the person was signed out since the sign-in began, or nothing can be stored.
    pub async fn create(
        &self,
        new: NewSession,
    ) -> Result<(SecretString, Arc<Session>), SessionError> {
        let shared = &self.shared;
        let id = SessionId::from_random(random()?);
        let key = seal::secret()?;
        let shown = Shown::new(&new.sign_in.person, &new.device);
        let origin = Origin::SignIn {
            began: new.began.0,
            names: names::all(&shared.keys.load().index, &new.sign_in),
            record: Root::seal(&id, &key, &new.sign_in).ok_or(RandomError)?,
        };
        shared.store_new(id, new.host, &key, origin, &shown).await
    }

    /// Makes the session of an application's host below the person's, out of a code that was
    /// redeemed there.
    ///
    /// # Errors
    /// Where the person's session has ended meanwhile, or nothing can be stored.
    pub async fn create_below(
        &self,
        redeemed: Redeemed,
        device: &Device,
    ) -> Result<(SecretString, Arc<Session>), SessionError> {
        let id = SessionId::from_random(random()?);
        let Redeemed { root, host, .. } = redeemed;
        let shown = Shown::new(&root.current.load().sign_in.person, device);
        let origin = Origin::Session(root.id.clone());
        let key = &root.key;
        self.shared.store_new(id, host, key, origin, &shown).await
    }

    /// Whose session a ticket is or was, whether anything is kept of it or not; `None` where it is none
    /// of ours.
    #[must_use]
    pub fn owner_of(&self, ticket: &[u8]) -> Option<Owner> {
        let ticket = Ticket::read(ticket, &self.shared.keys.load().tickets);
        ticket.map(|ticket| ticket.owner)
    }

    /// Finds the session of a ticket that came to this host. A forged one never reaches the store,
    /// one in memory never waits for it, and any other waits half a second at most.
    pub async fn find(&self, host: &SessionHost, ticket: &[u8]) -> Found {
        let shared = &self.shared;
        if !shared.is_confirmed() {
            return Found::Unavailable;
        }
        let session = match shared.judged(ticket) {
            Some(session) => session,
            None => match shared.judge(host, ticket).await {
                Found::Live(session) => session,
                other => return other,
            },
        };
        if session.host != *host {
            return Found::None(NoSession::OtherHost);
        }
        if session.revoked.is_cancelled() {
            return Found::None(NoSession::Revoked);
        }
        let now = shared.clock.now();
        if session.absolute <= now {
            shared.memory.end(&session);
            return Found::None(NoSession::Expired);
        }
        // Used elsewhere it may be alive, which the store knows.
        if session.ends() <= now
            && let Some(over) = shared.is_over(&session, now).await
        {
            return over;
        }
        shared.used(&session, now);
        Found::Live(session)
    }
}

impl Shared {
    /// The session of a ticket that was judged before, as it stands and by these keys.
    fn judged(&self, ticket: &[u8]) -> Option<Arc<Session>> {
        let session = self.memory.session(Ticket::id_of(ticket)?)?;
        let is_known = session.knows(&sha256(ticket), &self.keys.load());
        is_known.then_some(session)
    }

    /// The session of a ticket, if it is one of ours; whether it is alive was not asked.
    async fn judge(&self, host: &SessionHost, text: &[u8]) -> Found {
        let keys = self.keys.load_full();
        let Some(ticket) = Ticket::read(text, &keys.tickets) else {
            return Found::None(NoSession::Forged);
        };
        let proof = sha256(&*ticket.secret);
        let session = match self.memory.get(&ticket.id) {
            Known::Gone(why) => return Found::None(why),
            Known::Nothing => match self.load(host, &ticket, proof).await {
                Found::Live(session) => session,
                other => return other,
            },
            Known::Session(session) => session,
        };
        if !seal::same(&session.proof, &proof) {
            return Found::None(NoSession::Forged);
        }
        let digest = sha256(text);
        session
            .judged
            .store(Some(Arc::new(Judged { digest, keys })));
        Found::Live(session)
    }
}
