//! Sessions end: by the person, by the provider, by an operator; and are listed for the last.

use std::fmt::Write as _;

use super::{Sessions, Shared, Shown, names};
use crate::clock::Timestamp;
use crate::model::{PersonKey, SessionId};
use crate::store::{ListedSession, Once, SecretOctets, SessionName, StoreError};

/// A session, for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its identifier.
    pub id: SessionId,
    /// What it belongs to.
    pub host: String,
    /// The person's session it hangs under.
    pub parent: Option<SessionId>,
    /// Whose it is; `None` where another version wrote it.
    pub shown: Option<Shown>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to about a minute.
    pub last_used: Timestamp,
    /// When it ends unless it is used.
    pub ends: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
}

/// A logout token that was verified.
#[derive(Debug, Clone, Copy)]
pub struct LogoutToken<'a> {
    /// Its issuer (`iss`).
    pub issuer: &'a str,
    /// Its identifier (`jti`).
    pub jti: &'a str,
    /// When it ends (`exp`).
    pub ends: Timestamp,
    /// What it ends.
    pub of: LoggedOutOf<'a>,
}

/// What a logout token ends.
#[derive(Debug, Clone, Copy)]
pub enum LoggedOutOf<'a> {
    /// One session at the provider (`sid`), of this person where it names one (`sub`): with it goes
    /// what of the person belongs to no session that the provider told of.
    Session(&'a str, Option<&'a str>),
    /// All of a person (`sub`), where it has no `sid`.
    Subject(&'a str),
}

/// What came of a logout token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedOut {
    /// So many sessions have ended, and sign-ins that are under way will come to nothing.
    Ended(u64),
    /// This token came before; nothing was done.
    Repeated,
}

impl Sessions {
    /// Ends a session for good, with those below it. Where this has returned it is on the disk, and
    /// cut in this process; others follow within a second. `false` where there is none to end.
    ///
    /// # Errors
    /// Where the store gives no answer: it may or may not have ended.
    pub async fn revoke(&self, id: &SessionId) -> Result<bool, StoreError> {
        let Shared { store, clock, .. } = &*self.shared;
        let revoked = store.revoke_session(id, clock.now()).await?;
        self.shared.memory.cut(id);
        Ok(revoked)
    }

    /// A word for a person that is the same for all sessions of theirs, on all gateways of this store,
    /// and that nobody without its keys can turn back.
    #[must_use]
    pub fn pseudonym(&self, person: &PersonKey) -> String {
        let name = names::person(&self.index(), person);
        name.0[..8].iter().fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        })
    }

    /// Ends all sessions of a person, and sign-ins of theirs that are under way. Returns how many.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn revoke_person(&self, person: &PersonKey) -> Result<u64, StoreError> {
        let name = names::person(&self.index(), person);
        Ok(self.revoke_named(&[name], None).await?.unwrap_or(0))
    }

    /// Does what a logout token of a provider asks for, which must have been verified (OpenID Connect
    /// Back-Channel Logout 1.0, section 2.6): ends what its `sid` names, or else all of its `sub`.
    /// With this answer it is on the disk, and the token has been remembered in the same write: a
    /// failure has done nothing, and the provider may send the token again.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn log_out(&self, token: &LogoutToken<'_>) -> Result<LoggedOut, StoreError> {
        let key = self.index();
        let mut all = Vec::new();
        match token.of {
            LoggedOutOf::Session(sid, subject) => {
                all.push(names::sid(&key, token.issuer, sid));
                let of = |subject| names::subject_without_sid(&key, token.issuer, subject);
                all.extend(subject.map(of));
            }
            LoggedOutOf::Subject(subject) => {
                all.push(names::subject(&key, token.issuer, subject));
            }
        }
        let once = Once {
            name: names::token(&key, token.issuer, token.jti),
            until: token.ends,
        };
        let ended = self.revoke_named(&all, Some(once)).await?;
        Ok(ended.map_or(LoggedOut::Repeated, LoggedOut::Ended))
    }

    /// Ends what belongs to one session at the provider (`sid`), where no token says so: front-channel
    /// logout. Returns how many ended. SECURITY: anybody may ask; where there is none nothing is
    /// written.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn revoke_sid(&self, issuer: &str, sid: &str) -> Result<u64, StoreError> {
        let name = names::sid(&self.index(), issuer, sid);
        if !self.shared.store.has_sessions(&name).await? {
            return Ok(0);
        }
        Ok(self.revoke_named(&[name], None).await?.unwrap_or(0))
    }

    async fn revoke_named(
        &self,
        names: &[SessionName],
        once: Option<Once>,
    ) -> Result<Option<u64>, StoreError> {
        let Shared { store, clock, .. } = &*self.shared;
        let ended = store.revoke_sessions(names, once, clock.now()).await?;
        if ended.is_some() {
            for name in names {
                self.shared.memory.cut_named(name);
            }
        }
        Ok(ended)
    }

    fn index(&self) -> SecretOctets {
        self.shared.keys.load().index.clone()
    }

    /// Whether a token of an issuer (`jti`) comes for the first time; remembered until it ends. For
    /// logout tokens [`Sessions::log_out`] does it.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn remember_jti(
        &self,
        issuer: &str,
        jti: &str,
        ends: Timestamp,
    ) -> Result<bool, StoreError> {
        let once = Once {
            name: names::token(&self.index(), issuer, jti),
            until: ends,
        };
        self.shared.store.remember(once).await
    }

    /// All sessions, the newest first.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let listed = self.shared.store.sessions().await?;
        Ok(listed.into_iter().map(Listed::of).collect())
    }

    /// Gives new tickets, and states, a new key, in all processes within two minutes. Those of the
    /// last one stay good; those of the one before do not.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn rotate_keys(&self) -> Result<(), StoreError> {
        let Shared { store, clock, .. } = &*self.shared;
        for name in [super::TICKETS, super::STATE] {
            let new = super::seal::secret();
            let new = new.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            store.rotate_secret(name, new, 1, clock.now()).await?;
        }
        Ok(())
    }
}

impl Listed {
    fn of(listed: ListedSession) -> Self {
        Self {
            shown: serde_json::from_slice(&listed.shown).ok(),
            id: listed.id,
            host: listed.host,
            parent: listed.parent,
            created: listed.created,
            last_used: listed.last_used,
            ends: listed.ends.min(listed.idle_ends),
            revoked: listed.revoked,
        }
    }
}
