//! Names and identifiers.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than 63 octets: it would not fit a DNS label.
    #[error("a name has at most 63 characters, this one has {0}")]
    TooLong(usize),
    /// A character that is not `a`–`z`, `0`–`9` or an inner `-`.
    #[error(
        "`{0}` cannot stand here: a name is made of a–z, 0–9 and `-`, and begins and ends with a letter or digit"
    )]
    Character(char),
}

fn label(text: &str) -> Result<Arc<str>, NameError> {
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().last()) else {
        return Err(NameError::Empty);
    };
    if text.len() > 63 {
        return Err(NameError::TooLong(text.len()));
    }
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(c) = text.chars().find(|&c| !good(c) && c != '-') {
        return Err(NameError::Character(c));
    }
    if !good(first) || !good(last) {
        return Err(NameError::Character('-'));
    }
    Ok(text.into())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name: one lower-case DNS label.
            ///
            /// # Errors
            /// Where the text is not such a label.
            pub fn new(text: &str) -> Result<Self, NameError> {
                label(text).map(Self)
            }

            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// So that maps are asked without a copy.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// The name of a published application.
    ApplicationName
    /// The name of a connector group.
    GroupName
    /// The name of an identity provider.
    ProviderName
    /// The name of a service token, by which rules know it.
    ServiceTokenName
    /// The identifier of an enrolled connector, chosen by the gateway: `c` and 24 hexadecimal digits.
    ConnectorId
    /// The identifier of a session: `s` and 32 hexadecimal digits. It opens nothing by itself.
    SessionId
}

impl ConnectorId {
    /// A new identifier from 12 random octets.
    #[must_use]
    pub fn from_random(octets: [u8; 12]) -> Self {
        Self(format!("c{}", hex(&octets)).into())
    }
}

impl SessionId {
    /// A new identifier from 16 random octets.
    #[must_use]
    pub fn from_random(octets: [u8; 16]) -> Self {
        Self(format!("s{}", hex(&octets)).into())
    }
}

/// The reference of one request: in the log, on the error page, in `X-Request-Id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new reference from 8 random octets: 16 hexadecimal digits.
    #[must_use]
    pub fn from_random(octets: [u8; 8]) -> Self {
        Self(hex(&octets).into())
    }

    /// The reference as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    octets
        .iter()
        .flat_map(|o| [DIGITS[usize::from(o >> 4)], DIGITS[usize::from(o & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_labels() {
        for good in ["a", "hq", "site-2", "0"] {
            assert_eq!(GroupName::new(good).map(|n| n.to_string()), Ok(good.into()));
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a b", "ä", &"a".repeat(64)] {
            assert!(GroupName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_are_hexadecimal() {
        assert_eq!(
            RequestId::from_random([0, 255, 16, 1, 2, 3, 4, 5]).as_str(),
            "00ff100102030405"
        );
        let id = ConnectorId::from_random([7; 12]);
        assert_eq!(ConnectorId::new(id.as_str()), Ok(id));
        let id = SessionId::from_random([7; 16]);
        assert_eq!(SessionId::new(id.as_str()), Ok(id));
    }
}
