//! What a program shows.
//!
//! ```text
//! apxs1_ + base64url( secret 32, checksum 4 )
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::ServiceTokenError;
use crate::certs::{RandomError, random, sha256};

const PREFIX: &str = "apxs1_";
const CHECKSUM: usize = 4;

/// What a program shows. It cannot print itself, and is wiped when dropped.
pub struct ServiceTokenSecret(Zeroizing<[u8; 32]>);

impl fmt::Debug for ServiceTokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceTokenSecret")
    }
}

impl ServiceTokenSecret {
    /// A new one.
    ///
    /// # Errors
    /// Where randomness fails.
    pub fn new() -> Result<Self, RandomError> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// As it is shown; it goes to the operator alone.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let mut octets = Zeroizing::new(self.0.to_vec());
        octets.extend_from_slice(&sha256(&*self.0)[..CHECKSUM]);
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*octets)))
    }

    /// Reads what was shown.
    ///
    /// # Errors
    /// Where it is none, or not whole.
    pub fn parse(text: &str) -> Result<Self, ServiceTokenError> {
        let encoded = text.strip_prefix(PREFIX);
        let encoded = encoded.ok_or(ServiceTokenError::Form)?;
        let octets = URL_SAFE_NO_PAD.decode(encoded).map(Zeroizing::new);
        let octets = octets.map_err(|_| ServiceTokenError::Damaged)?;
        let (secret, sum) = octets
            .split_last_chunk::<CHECKSUM>()
            .ok_or(ServiceTokenError::Damaged)?;
        let secret: [u8; 32] = secret.try_into().map_err(|_| ServiceTokenError::Damaged)?;
        match sha256(&secret)[..CHECKSUM] == *sum {
            true => Ok(Self(Zeroizing::new(secret))),
            false => Err(ServiceTokenError::Damaged),
        }
    }

    /// The identifier of a token that was written where its identifier belongs; whatever else stands there.
    #[must_use]
    pub fn id_of(text: &str) -> String {
        match Self::parse(text) {
            Ok(secret) => secret.id(),
            // SECURITY: of a part of one nothing is repeated.
            Err(_) if text.contains(PREFIX) => "(a part of a token)".to_owned(),
            Err(_) => text.to_owned(),
        }
    }

    /// What the store has of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(&*self.0)
    }

    /// What it is called in lists: it follows from the secret and gives nothing of it away.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = sha256(&self.hash());
        digest[..6]
            .iter()
            .fold("st".to_owned(), |id, octet| id + &format!("{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_a_changed_one_does_not() {
        let secret = ServiceTokenSecret::new().unwrap();
        let text = secret.encode();
        assert_eq!(
            ServiceTokenSecret::parse(&text).unwrap().hash(),
            secret.hash()
        );
        let form = |text: &str| ServiceTokenSecret::parse(text).err();
        assert_eq!(form("apx1_aaaa"), Some(ServiceTokenError::Form));
        assert_eq!(form(""), Some(ServiceTokenError::Form));
        for cut in PREFIX.len()..text.len() {
            assert_eq!(
                form(&text[..cut]),
                Some(ServiceTokenError::Damaged),
                "{cut}"
            );
        }
        assert_eq!(
            form(&format!("{}a", *text)),
            Some(ServiceTokenError::Damaged)
        );
        // By its place: the letter may stand in the prefix too.
        let mut other = text.to_string();
        let letter = if &text[10..11] == "a" { "b" } else { "a" };
        other.replace_range(10..11, letter);
        assert_eq!(form(&other), Some(ServiceTokenError::Damaged));
        assert!(!format!("{secret:?} {}", secret.id()).contains(&text[6..20]));
    }
}
