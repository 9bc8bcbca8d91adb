//! What a connector must know of an application, sent once over the control stream and named by
//! its hash from then on: a connector keeps nothing else of an application, and a change takes
//! effect with the next request.
//!
//! The hash is of the text as it was sent, so that a connector which does not know every setting of
//! a newer gateway still knows the profile by its name.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::model::{BackendProtocol, BackendTimeouts, ProxyProtocol};

/// An application's settings that bind the connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Milliseconds for the TCP connection and the TLS handshake together.
    pub connect_ms: u64,
    /// Milliseconds from the last octet of the request to the head of the answer.
    pub first_byte_ms: u64,
    /// Milliseconds between two parts of the answer's body.
    pub idle_ms: u64,
    /// What is spoken with the application. A gateway of before this setting does not send it.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    protocol: Protocol,
    /// In which version a connection says first whose it is. A connector of before this setting is
    /// told no such profile: it has not the feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy_protocol: Option<Version>,
}

/// A version of the PROXY protocol as it is written in a profile. Another one is no profile: to say
/// nothing, or something else, would be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Version {
    V1,
    V2,
}

/// A protocol as it is written in a profile. One that a newer gateway knows and this version does
/// not is HTTP/1.1, which every application speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    Http2,
    #[default]
    #[serde(other)]
    Http1,
}

impl Protocol {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_http1(&self) -> bool {
        *self == Self::Http1
    }
}

/// The name of a profile: the first half of the SHA-256 of its text, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProfileHash(String);

impl Profile {
    /// The profile of an application with these settings.
    #[must_use]
    pub fn new(timeouts: &BackendTimeouts, protocol: BackendProtocol) -> Self {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            connect_ms: millis(timeouts.connect),
            first_byte_ms: millis(timeouts.first_byte),
            idle_ms: millis(timeouts.idle),
            protocol: match protocol {
                BackendProtocol::Http1 => Protocol::Http1,
                BackendProtocol::Http2 => Protocol::Http2,
            },
            proxy_protocol: None,
        }
    }

    /// The same where connections say first whose they are.
    #[must_use]
    pub fn with_proxy_protocol(self, version: Option<ProxyProtocol>) -> Self {
        let version = version.map(|version| match version {
            ProxyProtocol::V1 => Version::V1,
            ProxyProtocol::V2 => Version::V2,
        });
        Self {
            proxy_protocol: version,
            ..self
        }
    }

    /// Its text, as it is sent.
    #[must_use]
    pub fn text(&self) -> String {
        // Numbers and strings under fixed names always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a text; settings this version does not know are passed over.
    ///
    /// # Errors
    /// Where it is no profile.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// What is spoken with the application.
    #[must_use]
    pub fn protocol(&self) -> BackendProtocol {
        match self.protocol {
            Protocol::Http1 => BackendProtocol::Http1,
            Protocol::Http2 => BackendProtocol::Http2,
        }
    }

    /// In which version a connection says first whose it is, where it does.
    #[must_use]
    pub fn proxy_protocol(&self) -> Option<ProxyProtocol> {
        self.proxy_protocol.map(|version| match version {
            Version::V1 => ProxyProtocol::V1,
            Version::V2 => ProxyProtocol::V2,
        })
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
    /// The name of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let half = hash.as_ref().iter().take(16);
        Self(half.map(|b| format!("{b:02x}")).collect())
    }

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

    fn plain() -> Profile {
        Profile::new(&BackendTimeouts::default(), BackendProtocol::default())
    }

    #[test]
    fn equal_settings_have_one_name_and_others_another() {
        let usual = plain();
        let longer = Profile {
            first_byte_ms: 180_000,
            ..usual
        };
        let again = plain();
        let name = |profile: &Profile| ProfileHash::of(&profile.text());
        assert_eq!(name(&usual), name(&again));
        assert_ne!(name(&usual), name(&longer));
        assert_eq!(name(&usual).as_str().len(), 32);
        assert_eq!(Profile::parse(&usual.text()).unwrap(), usual);
    }

    #[test]
    fn a_setting_of_a_newer_gateway_is_passed_over() {
        let usual = plain();
        let newer = usual.text().replacen('{', "{\"song\":1,", 1);
        assert_eq!(Profile::parse(&newer).unwrap(), usual);
        assert!(Profile::parse("{}").is_err());
    }

    #[test]
    fn a_gateway_of_before_the_protocol_means_http1_and_so_does_an_unknown_one() {
        let old = r#"{"connect_ms":1,"first_byte_ms":2,"idle_ms":3}"#;
        let profile = Profile::parse(old).unwrap();
        assert_eq!(profile.protocol(), BackendProtocol::Http1);
        // Its name stays what it was, so that nothing is sent anew.
        assert_eq!(profile.text(), old);
        let newer = old.replacen('{', r#"{"protocol":"http9","#, 1);
        assert_eq!(
            Profile::parse(&newer).unwrap().protocol(),
            BackendProtocol::Http1
        );
        let http2 = Profile::new(&BackendTimeouts::default(), BackendProtocol::Http2);
        assert_eq!(Profile::parse(&http2.text()).unwrap(), http2);
        assert_ne!(http2.text(), plain().text());
    }

    #[test]
    fn a_version_of_the_proxy_protocol_is_in_the_name_and_an_unknown_one_is_refused() {
        for version in [None, Some(ProxyProtocol::V1), Some(ProxyProtocol::V2)] {
            let profile = plain().with_proxy_protocol(version);
            assert_eq!(profile.proxy_protocol(), version);
            assert_eq!(Profile::parse(&profile.text()).unwrap(), profile);
            assert_eq!(profile.text() == plain().text(), version.is_none());
        }
        let newer = plain()
            .text()
            .replacen('{', r#"{"proxy_protocol":"v3","#, 1);
        assert!(Profile::parse(&newer).is_err());
    }
}
