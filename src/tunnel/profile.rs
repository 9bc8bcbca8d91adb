//! What a connector must know of an application, sent once over the control stream and named by
//! its hash from then on: a connector keeps nothing else of an application, and a change takes
//! effect with the next request.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::model::BackendTimeouts;

/// An application's settings that bind the connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Milliseconds for the TCP connection and the TLS handshake together.
    pub connect_ms: u64,
    /// Milliseconds from the last octet of the request to the head of the answer.
    pub first_byte_ms: u64,
    /// Milliseconds between two parts of the answer's body.
    pub idle_ms: u64,
}

/// The name of a profile: the first half of the SHA-256 of its JSON, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProfileHash(String);

impl Profile {
    /// The profile of an application with these timeouts.
    #[must_use]
    pub fn new(timeouts: &BackendTimeouts) -> Self {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            connect_ms: millis(timeouts.connect),
            first_byte_ms: millis(timeouts.first_byte),
            idle_ms: millis(timeouts.idle),
        }
    }

    /// Its name.
    #[must_use]
    pub fn hash(&self) -> ProfileHash {
        // Numbers under fixed names always have a JSON form.
        let text = serde_json::to_vec(self).unwrap_or_default();
        let hash = digest::digest(&digest::SHA256, &text);
        ProfileHash(
            hash.as_ref()
                .iter()
                .take(16)
                .map(|b| format!("{b:02x}"))
                .collect(),
        )
    }

    /// How long to wait for a connection.
    #[must_use]
    pub fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_ms)
    }

    /// How long to wait for the next part of the answer's body.
    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }

    /// How long to wait for the head of the answer.
    #[must_use]
    pub fn first_byte(&self) -> Duration {
        Duration::from_millis(self.first_byte_ms)
    }
}

impl ProfileHash {
    /// The hash as it stands in a field.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A hash as it stood in a field; compared, never trusted.
    #[must_use]
    pub fn from_field(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for ProfileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_settings_have_one_name_and_others_another() {
        let usual = Profile::new(&BackendTimeouts::default());
        let longer = Profile {
            first_byte_ms: 180_000,
            ..usual
        };
        assert_eq!(
            usual.hash(),
            Profile::new(&BackendTimeouts::default()).hash()
        );
        assert_ne!(usual.hash(), longer.hash());
        assert_eq!(usual.hash().as_str().len(), 32);
    }
}
