//! From the sign-in host to an application's host: a one-time code in the browser's hands.
//!
//! The code is the key: what it stands for is sealed under it, and the store has only its hash. It
//! burns when it is presented, at the right place or a wrong one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::live::{Root, Session};
use super::seal::{derive, mac, open, same, seal, secret};
use super::sign_in::{Secret, SessionHost, SignIn};
use super::ticket::octets;
use super::{SessionError, Sessions, Shared};
use crate::certs::sha256;
use crate::model::SessionId;
use crate::store::{SecretOctets, SessionRefusal, StoreError};

const PURPOSE: &str = "appproxy hand-over";

/// How long a browser has to go from one host to the other.
pub const CODE_LIVES: Duration = Duration::from_secs(60);

/// The longest path and query that is carried along; a longer one is no address a person opened.
const LONGEST_TARGET: usize = 16 * 1024;

/// Octets of the keyed hash in a code, which keeps made-up ones away from the store.
const MAC: usize = 16;

/// In a cookie's place, for a code that an operator hands to somebody.
pub const LINK: &[u8] = b"one-time link";

/// SHA-256 of what ties a sign-in to the browser that began it: the value of its cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceHash([u8; 32]);

impl NonceHash {
    /// Of the cookie's value.
    #[must_use]
    pub fn of(nonce: &[u8]) -> Self {
        Self(sha256(nonce))
    }

    /// Of no browser: whoever has the code may redeem it with [`LINK`].
    #[must_use]
    pub fn of_link() -> Self {
        Self::of(LINK)
    }
}

/// What is handed over.
#[derive(Debug, Clone)]
pub struct HandOver {
    /// The only place that may redeem it.
    pub to: SessionHost,
    /// The only browser that may.
    pub nonce: NonceHash,
    /// Where to go there: path and query.
    pub target: String,
}

/// A code that was redeemed: a session may be made of it, once ([`Sessions::create_below`]).
pub struct Redeemed {
    pub(super) root: Arc<Root>,
    pub(super) host: SessionHost,
    /// Where to go: path and query.
    pub target: String,
}

impl Redeemed {
    /// What the provider said of the person.
    #[must_use]
    pub fn sign_in(&self) -> Arc<SignIn> {
        Arc::clone(&self.root.current.load().sign_in)
    }
}

impl std::fmt::Debug for Redeemed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redeemed")
            .field("session", &self.root.id)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Why a code is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// It is none of ours, was presented before, or its minute is over.
    #[error("the code is not known: it serves once, within a minute")]
    Unknown,
    /// It is for another host, scheme or port.
    #[error("the code is for another host")]
    OtherHost,
    /// This browser did not begin the sign-in.
    #[error("another browser began this sign-in")]
    OtherBrowser,
    /// The person's session has ended meanwhile.
    #[error("the session it is of has ended")]
    Ended,
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Serialize, Deserialize)]
struct Payload {
    to: String,
    nonce: NonceHash,
    target: String,
    session: String,
    key: Secret,
}

impl Sessions {
    /// Makes a code for an application's host, out of the person's own session; it is good for so long.
    ///
    /// # Errors
    /// Where that has ended or hangs under another, or nothing can be stored.
    pub async fn mint_code(
        &self,
        session: &Session,
        hand_over: HandOver,
        within: Duration,
    ) -> Result<SecretString, SessionError> {
        let Shared { store, clock, .. } = &*self.shared;
        let root = &session.root;
        if root.id != session.id {
            return Err(SessionError::Misuse(
                "a code out of an application's session",
            ));
        }
        if hand_over.target.len() > LONGEST_TARGET {
            return Err(SessionError::Misuse("a code with too long a target"));
        }
        if session.revoked.is_cancelled() {
            return Err(SessionRefusal::ParentEnded.into());
        }
        let code = secret()?;
        let payload = Payload {
            to: hand_over.to.as_str().to_owned(),
            nonce: hand_over.nonce,
            target: hand_over.target,
            session: root.id.to_string(),
            key: Secret(Zeroizing::new(URL_SAFE_NO_PAD.encode(*root.key))),
        };
        let payload = serde_json::to_vec(&payload).map(Zeroizing::new);
        let payload = payload.map_err(|_| SessionError::Misuse("a code that is no JSON"))?;
        let sealed = seal(&derive(&code, PURPOSE), &[PURPOSE.as_bytes()], &payload)?;
        let now = clock.now();
        let kept = store.put_code(sha256(&*code), sealed, now, now.plus(within));
        if !kept.await? {
            return Err(SessionError::TooMany);
        }
        let mut text = URL_SAFE_NO_PAD.encode(*code);
        text.push('.');
        let keys = self.shared.keys.load();
        let mac = short_mac(keys.tickets.current(now), &code);
        URL_SAFE_NO_PAD.encode_string(mac, &mut text);
        Ok(text.into())
    }

    /// Redeems a code that came to this host with the value of this browser's cookie. Right or wrong,
    /// it is worth nothing from then on.
    ///
    /// # Errors
    /// With the reason, for an explanation: none of them is to begin anew by itself.
    pub async fn redeem_code(
        &self,
        code: &str,
        host: &SessionHost,
        nonce: &[u8],
    ) -> Result<Redeemed, CodeError> {
        let Shared { store, clock, .. } = &*self.shared;
        let code = self.read_code(code).ok_or(CodeError::Unknown)?;
        let sealed = store.take_code(sha256(&*code), clock.now()).await?;
        let sealed = sealed.ok_or(CodeError::Unknown)?;
        let plain = open(&derive(&code, PURPOSE), &[PURPOSE.as_bytes()], &sealed);
        let payload = plain.and_then(|plain| serde_json::from_slice::<Payload>(&plain).ok());
        let payload = payload.ok_or(CodeError::Unknown)?;
        if payload.to != host.as_str() {
            return Err(CodeError::OtherHost);
        }
        if !same(&payload.nonce.0, &NonceHash::of(nonce).0) {
            return Err(CodeError::OtherBrowser);
        }
        let id = SessionId::new(&payload.session).map_err(|_| CodeError::Unknown)?;
        let key = octets(&payload.key.0).ok_or(CodeError::Unknown)?;
        let record = store.session(&id).await?.ok_or(CodeError::Ended)?;
        if record.revoked.is_some() {
            return Err(CodeError::Ended);
        }
        let root = self.shared.root(&id, key, record.version, &record.record);
        Ok(Redeemed {
            root: root.ok_or(CodeError::Ended)?,
            host: host.clone(),
            target: payload.target,
        })
    }

    fn read_code(&self, text: &str) -> Option<SecretOctets> {
        let (code, shown) = text.split_once('.')?;
        let code: SecretOctets = octets(code)?;
        let shown = octets::<MAC>(shown)?;
        let keys = self.shared.keys.load();
        let ours = |key| same(&short_mac(key, &code), &*shown);
        keys.tickets.all().any(ours).then_some(code)
    }
}

fn short_mac(key: &SecretOctets, code: &SecretOctets) -> [u8; MAC] {
    let whole = mac(key, PURPOSE, &[&**code]);
    let mut short = [0; MAC];
    short.copy_from_slice(&whole[..MAC]);
    short
}
