//! What a browser carries for us and cannot read: the `state` of a sign-in, and where to go after it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::seal::{mac, open, seal};
use super::{SessionError, Sessions};
use crate::store::SecretOctets;

const PURPOSE: &[u8] = b"appproxy state";

/// Octets that tell which key sealed it.
const KEY_ID: usize = 4;

/// The longest text that is looked at; a URL of more is refused by most of what it passes through.
const LONGEST: usize = 8 * 1024;

/// Why a sealed text is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It is none of ours, for another purpose, or was altered.
    #[error("it is not one of this gateway")]
    Forged,
    /// Its time is over.
    #[error("its time is over")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Within<T> {
    /// Seconds since 1970.
    until: i64,
    what: T,
}

impl Sessions {
    /// Seals a value for a URL or a form, for this purpose and so long.
    ///
    /// # Errors
    /// Where it cannot be written as JSON, or is too long for a URL.
    pub fn seal_state<T: Serialize>(
        &self,
        purpose: &str,
        what: &T,
        within: Duration,
    ) -> Result<String, SessionError> {
        let now = self.shared.clock.now();
        let until = now.plus(within).0;
        let plain = serde_json::to_vec(&Within { until, what });
        let plain = plain.map_err(|_| SessionError::Misuse("a state is no JSON"))?;
        let keys = self.shared.keys.load();
        let key = keys.state.current(now);
        let sealed = seal(key, &[PURPOSE, purpose.as_bytes()], &Zeroizing::new(plain))?;
        let text = URL_SAFE_NO_PAD.encode([&id(key)[..], &sealed].concat());
        if text.len() > LONGEST {
            return Err(SessionError::Misuse("a state is too long for a URL"));
        }
        Ok(text)
    }

    /// Opens it.
    ///
    /// # Errors
    /// Where it was not sealed here for this purpose, or its time is over.
    pub fn open_state<T: DeserializeOwned>(
        &self,
        purpose: &str,
        text: &str,
    ) -> Result<T, StateError> {
        if text.len() > LONGEST {
            return Err(StateError::Forged);
        }
        let octets = URL_SAFE_NO_PAD.decode(text);
        let octets = octets.map_err(|_| StateError::Forged)?;
        let (shown, sealed) = octets
            .split_first_chunk::<KEY_ID>()
            .ok_or(StateError::Forged)?;
        let keys = self.shared.keys.load();
        let plain = keys
            .state
            .all()
            .filter(|key| id(key) == *shown)
            .find_map(|key| open(key, &[PURPOSE, purpose.as_bytes()], sealed))
            .ok_or(StateError::Forged)?;
        let within: Within<T> = serde_json::from_slice(&plain).map_err(|_| StateError::Forged)?;
        if within.until <= self.shared.clock.now().0 {
            return Err(StateError::Expired);
        }
        Ok(within.what)
    }
}

fn id(key: &SecretOctets) -> [u8; KEY_ID] {
    let whole = mac(key, "appproxy state key id", &[]);
    let mut id = [0; KEY_ID];
    id.copy_from_slice(&whole[..KEY_ID]);
    id
}
