//! A store in memory for tests, as far as enrolment needs one.

use std::sync::Mutex;

use futures_util::FutureExt as _;

use crate::clock::Timestamp;
use crate::model::{ConnectorId, SessionId};
use crate::store::{
    AuthorityRecord, Change, ConnectorRecord, Lease, ListedSession, NewServiceToken,
    NewSessionRecord, NewToken, Once, Reply, SecretOctets, Seen, ServiceTokenRecord,
    ServiceTokenStore, SessionName, SessionRecord, SessionRefusal, SessionStore, SharedSecret,
    SpendRefusal, SpendToken, Store, StoreError, TokenRecord, Used,
};

/// A store in memory, as far as enrolment needs one.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    broken: bool,
    authorities: Vec<AuthorityRecord>,
    tokens: Vec<(TokenRecord, [u8; 32])>,
    connectors: Vec<(ConnectorRecord, [u8; 32])>,
    service_tokens: Vec<ServiceTokenRecord>,
}

impl Memory {
    /// From now on it gives no answer.
    pub(crate) fn break_down(&self) {
        self.state.lock().unwrap().broken = true;
    }

    fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut State) -> T) -> Reply<'_, T> {
        let mut state = self.state.lock().unwrap();
        let result = if state.broken {
            Err(StoreError::Unavailable("broken".to_owned()))
        } else {
            Ok(act(&mut state))
        };
        std::future::ready(result).boxed()
    }

    fn spend(
        state: &mut State,
        spend: &SpendToken,
    ) -> Result<crate::store::Enrolled, SpendRefusal> {
        let token = state.tokens.iter_mut().find(|t| t.1 == spend.secret_hash);
        let token = &mut token.ok_or(SpendRefusal::Unknown)?.0;
        let known = state
            .connectors
            .iter()
            .find(|c| c.1 == spend.public_key_hash);
        if let Some((known, _)) = known {
            return match known.removed {
                Some(_) => Err(SpendRefusal::Removed),
                None => Ok(crate::store::Enrolled {
                    id: known.id.clone(),
                    group: known.group.clone(),
                }),
            };
        }
        if token.revoked.is_some() {
            return Err(SpendRefusal::Revoked);
        }
        if spend.now >= token.expires {
            return Err(SpendRefusal::Expired);
        }
        if token.used >= token.uses {
            return Err(SpendRefusal::Spent);
        }
        token.used += 1;
        let record = ConnectorRecord {
            id: spend.id.clone(),
            group: token.group.clone(),
            name: spend.name.clone(),
            enrolled: spend.now,
            seen: None,
            removed: None,
        };
        state
            .connectors
            .push((record.clone(), spend.public_key_hash));
        Ok(crate::store::Enrolled {
            id: record.id,
            group: record.group,
        })
    }
}

impl Store for Memory {
    fn authorities(&self) -> Reply<'_, Vec<AuthorityRecord>> {
        self.with(|s| s.authorities.clone())
    }
    fn create_authority(&self, new: AuthorityRecord) -> Reply<'_, Vec<AuthorityRecord>> {
        self.with(|s| {
            if s.authorities.is_empty() {
                s.authorities.push(new);
            }
            s.authorities.clone()
        })
    }
    fn rotate_authority(
        &self,
        new: AuthorityRecord,
        old_ends: Timestamp,
        _now: Timestamp,
    ) -> Reply<'_, bool> {
        self.with(|s| {
            let [old] = &mut s.authorities[..] else {
                return false;
            };
            old.ends = Some(old_ends);
            s.authorities.insert(0, new);
            true
        })
    }
    fn finish_rotation(&self, until: Timestamp, _now: Timestamp) -> Reply<'_, bool> {
        self.with(|s| {
            let before = s.authorities.len();
            s.authorities
                .retain(|a| a.ends.is_none_or(|ends| ends > until));
            s.authorities.len() < before
        })
    }
    fn create_token(&self, new: NewToken) -> Reply<'_, ()> {
        let record = TokenRecord {
            id: new.id,
            group: new.group,
            uses: new.uses,
            used: 0,
            created: new.created,
            expires: new.expires,
            revoked: None,
        };
        self.with(|s| s.tokens.insert(0, (record, new.secret_hash)))
    }
    fn tokens(&self) -> Reply<'_, Vec<TokenRecord>> {
        self.with(|s| s.tokens.iter().map(|t| t.0.clone()).collect())
    }
    fn revoke_token<'a>(&'a self, id: &'a str, now: Timestamp) -> Reply<'a, bool> {
        self.with(|s| {
            let token = s.tokens.iter_mut().find(|t| t.0.id == id);
            token.map(|t| t.0.revoked = Some(now)).is_some()
        })
    }
    fn spend_token(
        &self,
        spend: SpendToken,
    ) -> Reply<'_, Result<crate::store::Enrolled, SpendRefusal>> {
        self.with(|s| Self::spend(s, &spend))
    }
    fn connectors(&self) -> Reply<'_, Vec<ConnectorRecord>> {
        self.with(|s| s.connectors.iter().map(|c| c.0.clone()).collect())
    }
    fn connector<'a>(&'a self, id: &'a ConnectorId) -> Reply<'a, Option<ConnectorRecord>> {
        self.with(|s| {
            let found = s.connectors.iter().find(|c| &c.0.id == id);
            found.map(|c| c.0.clone())
        })
    }
    fn remove_connector<'a>(&'a self, id: &'a ConnectorId, now: Timestamp) -> Reply<'a, bool> {
        self.with(|s| {
            let found = s.connectors.iter_mut().find(|c| &c.0.id == id);
            found.is_some_and(|c| c.0.removed.replace(now).is_none())
        })
    }
    fn connector_seen<'a>(&'a self, id: &'a ConnectorId, seen: Seen) -> Reply<'a, ()> {
        self.with(|s| {
            if let Some(found) = s.connectors.iter_mut().find(|c| &c.0.id == id) {
                found.0.seen = Some(seen);
            }
        })
    }
    fn last_change(&self) -> Reply<'_, u64> {
        self.with(|_| 0)
    }
    fn changes(&self, _after: u64) -> Reply<'_, Vec<Change>> {
        self.with(|_| Vec::new())
    }
    fn changed(&self) -> Reply<'_, ()> {
        std::future::pending().boxed()
    }
}

impl ServiceTokenStore for Memory {
    fn create_service_token(&self, new: NewServiceToken) -> Reply<'_, ()> {
        let record = ServiceTokenRecord {
            id: new.id,
            name: new.name,
            secret_hash: new.secret_hash,
            applications: new.applications,
            paths: new.paths,
            created: new.created,
            expires: new.expires,
            revoked: None,
            last_used: None,
        };
        self.with(|s| s.service_tokens.insert(0, record))
    }
    fn service_tokens(&self) -> Reply<'_, Vec<ServiceTokenRecord>> {
        self.with(|s| s.service_tokens.clone())
    }
    fn revoke_service_tokens<'a>(&'a self, which: &'a str, now: Timestamp) -> Reply<'a, u64> {
        self.with(|s| {
            let all = s.service_tokens.iter_mut();
            let named = all.filter(|one| one.id == which || one.name == which);
            let mut revoked = 0;
            for one in named.filter(|one| one.revoked.is_none()) {
                one.revoked = Some(now);
                revoked += 1;
            }
            revoked
        })
    }
    fn touch_service_tokens(&self, used: Vec<(String, Timestamp)>) -> Reply<'_, ()> {
        self.with(|s| {
            for (id, at) in used {
                let found = s.service_tokens.iter_mut().find(|one| one.id == id);
                if let Some(one) = found {
                    one.last_used = Some(at);
                }
            }
        })
    }
}

/// Verbs that no test with this store needs: no answer.
macro_rules! without {
    ($($name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        impl SessionStore for Memory {
            // A gateway begins with these; they are the same until it ends.
            fn secrets<'a>(
                &'a self,
                _: &'a str,
                octets: SecretOctets,
                created: Timestamp,
            ) -> Reply<'a, Vec<SharedSecret>> {
                std::future::ready(Ok(vec![SharedSecret { octets, created }])).boxed()
            }
            $(
            fn $name<'a>(&'a self, $(_: $argument),*) -> Reply<'a, $answer> {
                std::future::ready(Err(StoreError::Unavailable("no sessions".to_owned()))).boxed()
            }
        )*}
    };
}

without! {
    rotate_secret(&'a str, SecretOctets, u32, Timestamp) -> ();
    create_session(NewSessionRecord) -> Result<(), SessionRefusal>;
    session(&'a SessionId) -> Option<SessionRecord>;
    touch_sessions(Vec<Used>) -> Vec<SessionId>;
    begin_refresh(&'a SessionId, Timestamp) -> Lease;
    end_refresh(&'a SessionId, u64, Option<Vec<u8>>) -> bool;
    revoke_session(&'a SessionId, Timestamp) -> bool;
    has_sessions(&'a SessionName) -> bool;
    revoke_sessions(&'a [SessionName], Option<Once>, Timestamp) -> Option<u64>;
    sessions() -> Vec<ListedSession>;
    sweep_sessions(Timestamp) -> u64;
    put_code([u8; 32], Vec<u8>, Timestamp, Timestamp) -> bool;
    take_code([u8; 32], Timestamp) -> Option<Vec<u8>>;
    remember(Once) -> bool;
}
