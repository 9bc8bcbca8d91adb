//! Sign-ins that begin again as soon as they are done: the browser does not keep what it is given, or
//! the session ends at once. Unstopped the person would see pages flicker for ever.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::auth::{NoSession, SessionHost};
use crate::clock::Timestamp;
use crate::model::SessionId;

/// Sign-ins in a row that are let through, each begun after the one before was done.
const MOST: u32 = 3;

/// What is further apart is no loop.
const APART: Duration = Duration::from_secs(60);

/// Sign-ins at hosts that are remembered; beyond it the oldest are forgotten, which only costs an
/// explanation.
const REMEMBERED: usize = 10_000;

/// When a sign-in began, in milliseconds since 1970: the same for another process, if not to a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Began(u64);

/// What was wrong with the session for which a sign-in began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lacking {
    /// The browser sent no ticket.
    Cookie,
    /// It sent one that is none of ours, or of which nothing is kept.
    Known,
    /// The session had ended, or was ended.
    Alive,
    /// It was the ticket of another host.
    Host,
    /// The rules want further proof of who it is.
    Proof,
    /// It is alive, and the application's access token is not.
    Token,
}

impl Lacking {
    pub(super) const fn of(why: Option<&NoSession>) -> Self {
        match why {
            None => Self::Cookie,
            Some(NoSession::Forged | NoSession::Unknown) => Self::Known,
            Some(NoSession::Expired | NoSession::Revoked) => Self::Alive,
            Some(NoSession::OtherHost) => Self::Host,
            Some(NoSession::AccessToken) => Self::Token,
        }
    }

    /// The word for the check that fails, on the page and in the log.
    pub(super) const fn finding(self) -> &'static str {
        match self {
            Self::Cookie => "loop_no_cookie",
            Self::Known => "loop_unknown_session",
            Self::Alive => "loop_session_ends",
            Self::Host => "loop_other_host",
            Self::Proof => "loop_proof",
            Self::Token => "loop_access_token",
        }
    }

    /// What it is, in the log.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Cookie => {
                "the browser does not send back the session's cookie: it blocks cookies, or something in \
                 between removes `Set-Cookie`, or the page is opened under another scheme or name"
            }
            Self::Known => {
                "the cookie that comes back is none of this gateway's: two gateways without a common store, \
                 or something in between alters cookies"
            }
            Self::Alive => {
                "the session has ended as soon as it is made: clocks of gateways differ, or something ends it"
            }
            Self::Host => "the cookie that comes back is of another host, scheme or port",
            Self::Proof => {
                "the provider does not say what the rules want to hear (`acr`, `amr`, `auth_time`)"
            }
            Self::Token => {
                "the application is to have an access token, and the identity provider gives none that lives, \
                 nor a refresh token: many give one for the scope `offline_access`"
            }
        }
    }
}

/// From where, to which host, by which sign-in: another browser is no loop of this one, and one that keeps
/// nothing at all does not come back from the provider.
type Key = (IpAddr, SessionHost, SessionId);

#[derive(Debug)]
struct Last {
    done: Instant,
    in_a_row: u32,
}

/// Sign-ins of the last minute.
#[derive(Debug)]
pub(crate) struct Loops {
    start: (Instant, Timestamp),
    last: Mutex<HashMap<Key, Last>>,
}

impl Loops {
    /// At this time.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            start: (Instant::now(), now),
            last: Mutex::default(),
        }
    }

    /// Now.
    pub(super) fn begin(&self) -> Began {
        self.at(Instant::now())
    }

    fn at(&self, moment: Instant) -> Began {
        let (instant, time) = self.start;
        let since = moment.saturating_duration_since(instant).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        let start = u64::try_from(time.0).unwrap_or_default();
        Began(start.saturating_mul(1000).saturating_add(since))
    }

    /// Whether one that began then may go on, or is one too many. Whoever starts again by hand gets as
    /// many attempts.
    pub(super) fn may_go_on(&self, key: &Key, began: Began) -> bool {
        let mut all = self.last();
        let Some(last) = all.get(key) else {
            return true;
        };
        if last.in_a_row < MOST || !self.follows(last, began) {
            return true;
        }
        all.remove(key);
        false
    }

    /// Counts one that is done. Tabs that were opened together began before the first of them was done,
    /// and are no loop.
    pub(super) fn done(&self, key: Key, began: Began) {
        let now = Instant::now();
        let mut all = self.last();
        if all.len() >= REMEMBERED {
            all.retain(|_, last| now.duration_since(last.done) < APART);
        }
        if all.len() >= REMEMBERED {
            all.clear();
        }
        let known = all.get(&key);
        let in_a_row = match known {
            Some(last) if self.follows(last, began) => last.in_a_row + 1,
            Some(last) if now.duration_since(last.done) < APART => last.in_a_row,
            _ => 1,
        };
        all.insert(
            key,
            Last {
                done: now,
                in_a_row,
            },
        );
    }

    /// Whether one began after the last one was done, and soon.
    fn follows(&self, last: &Last, began: Began) -> bool {
        last.done.elapsed() < APART && self.at(last.done) <= began
    }

    fn last(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::model::{ExternalUrl, Host};

    fn key(client: [u8; 4], session: u8) -> Key {
        let url = ExternalUrl::parse("https://wiki.example.com/").unwrap();
        let host = SessionHost::of(&url, &Host::parse("wiki.example.com").unwrap());
        (client.into(), host, SessionId::from_random([session; 16]))
    }

    #[tokio::test(start_paused = true)]
    async fn the_fourth_in_a_row_stops_and_tabs_opened_together_do_not() {
        let loops = Loops::new(Timestamp(1000));
        let me = || key([192, 0, 2, 1], 1);
        let turn = async |key: Key| {
            advance(Duration::from_millis(20)).await;
            let began = loops.begin();
            advance(Duration::from_millis(20)).await;
            let may = loops.may_go_on(&key, began);
            if may {
                loops.done(key, began);
            }
            may
        };
        for _ in 0..3 {
            assert!(turn(me()).await);
        }
        // Another browser at the same address, and the same one elsewhere.
        assert!(turn(key([192, 0, 2, 1], 2)).await);
        assert!(turn(key([192, 0, 2, 2], 1)).await);
        assert!(!turn(me()).await);
        // By hand again, as often.
        for _ in 0..3 {
            assert!(turn(me()).await);
        }
        assert!(!turn(me()).await);

        let tabs: Vec<_> = (0..20).map(|_| loops.begin()).collect();
        let other = || key([192, 0, 2, 9], 9);
        for tab in tabs {
            advance(Duration::from_millis(300)).await;
            assert!(loops.may_go_on(&other(), tab));
            loops.done(other(), tab);
        }
        // A minute apart.
        for _ in 0..10 {
            advance(APART).await;
            assert!(turn(other()).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let loops = Loops::new(Timestamp(1000));
        let host = key([0; 4], 0).1;
        for number in 0..=u32::try_from(REMEMBERED).unwrap() {
            let client = IpAddr::from(number.to_be_bytes());
            let key = (client, host.clone(), key([0; 4], 0).2);
            loops.done(key, loops.begin());
        }
        assert_eq!(loops.last.lock().unwrap().len(), 1);
    }
}
