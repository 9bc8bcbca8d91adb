//! The enrolment token: one string that tells a connector where to dial, whom to trust there and
//! what to say.
//!
//! ```text
//! apx1_ + base64url( version, pin 32, secret 32, count, { length, "host:port" }…, checksum 4 )
//! ```
//!
//! The checksum (the first octets of SHA-256 over what is before it) tells a paste that was cut or
//! mistyped from a token the gateway does not know. It protects nothing else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::certs::{Pin, RandomError, random, sha256};
use crate::model::Endpoint;

const PREFIX: &str = "apx1_";
const VERSION: u8 = 1;
const CHECKSUM: usize = 4;
/// More gateways than any installation prints into a token; keeps the string within a few lines.
const ENDPOINTS: usize = 16;
/// Far above what [`ENDPOINTS`] of the longest names need.
const LONGEST: usize = 8192;

/// A token, whole.
#[derive(Clone)]
pub struct Token {
    /// Where gateways are dialled, in order of preference; at least one.
    pub gateways: Vec<Endpoint>,
    /// The authority the gateway's certificate must come from.
    pub pin: Pin,
    /// What the connector presents.
    pub secret: TokenSecret,
}

/// The secret of a token. It cannot print itself, and is wiped when dropped.
#[derive(Clone)]
pub struct TokenSecret(Zeroizing<[u8; 32]>);

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing was given.
    #[error("no token was given")]
    Empty,
    /// It begins with something else.
    #[error(
        "this is not an enrolment token: one begins with `apx1_`; `appproxy gateway token create` prints it"
    )]
    NotAToken,
    /// It has a character no token has.
    #[error(
        "the token has a character that no token has: it was changed on the way; copy it again, whole"
    )]
    Character,
    /// Its checksum is wrong.
    #[error("the token is incomplete or was changed on the way: copy it again, whole")]
    Damaged,
    /// A newer appproxy made it.
    #[error("the token was made by a newer appproxy: update this one")]
    Newer,
}

impl TokenError {
    /// The word for it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "token_missing",
            Self::NotAToken => "not_a_token",
            Self::Character | Self::Damaged => "token_damaged",
            Self::Newer => "token_newer",
        }
    }
}

/// Why a token could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MakeTokenError {
    /// There is nowhere to dial.
    #[error("a token needs the address of at least one gateway, and has room for {ENDPOINTS}")]
    Gateways,
    /// The system's random generator failed.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Token {
    /// Makes a token with a new secret.
    ///
    /// # Errors
    /// Where there is no gateway, or more than 16, or randomness fails.
    pub fn new(gateways: Vec<Endpoint>, pin: Pin) -> Result<Self, MakeTokenError> {
        if gateways.is_empty() || gateways.len() > ENDPOINTS {
            return Err(MakeTokenError::Gateways);
        }
        Ok(Self {
            gateways,
            pin,
            secret: TokenSecret(Zeroizing::new(random()?)),
        })
    }

    /// The one string; it is the secret, so it goes to the operator alone.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let mut octets = Zeroizing::new(Vec::with_capacity(256));
        octets.push(VERSION);
        octets.extend_from_slice(&self.pin.0);
        octets.extend_from_slice(self.secret.expose());
        // At most 16 endpoints of at most 253 + 6 octets, by construction; a longer name than one
        // octet can count does not exist in the DNS and is left out.
        let endpoints: Vec<String> = self.gateways.iter().map(ToString::to_string).collect();
        let fitting = || {
            endpoints
                .iter()
                .filter_map(|e| Some((u8::try_from(e.len()).ok()?, e)))
        };
        octets.push(u8::try_from(fitting().count()).unwrap_or(0));
        for (length, endpoint) in fitting() {
            octets.push(length);
            octets.extend_from_slice(endpoint.as_bytes());
        }
        let sum = sha256(&octets);
        octets.extend_from_slice(&sum[..CHECKSUM]);
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*octets)))
    }

    /// Reads a token; white space around it, and line breaks a terminal put into it, do not count.
    ///
    /// # Errors
    /// In plain words, without quoting the text.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        if text.len() > LONGEST {
            return Err(TokenError::NotAToken);
        }
        let text: Zeroizing<String> =
            Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        let body = text.strip_prefix(PREFIX).ok_or(TokenError::NotAToken)?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !body.bytes().all(good) {
            return Err(TokenError::Character);
        }
        let octets = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(body)
                .map_err(|_| TokenError::Damaged)?,
        );
        let (content, sum) = octets
            .len()
            .checked_sub(CHECKSUM)
            .map(|at| octets.split_at(at))
            .ok_or(TokenError::Damaged)?;
        if sha256(content)[..CHECKSUM] != *sum {
            return Err(TokenError::Damaged);
        }
        match content.split_first() {
            Some((&VERSION, fields)) => Self::fields(fields).ok_or(TokenError::Damaged),
            _ => Err(TokenError::Newer),
        }
    }

    fn fields(fields: &[u8]) -> Option<Self> {
        let (pin, rest) = fields.split_first_chunk::<32>()?;
        let (secret, rest) = rest.split_first_chunk::<32>()?;
        let (&count, mut rest) = rest.split_first()?;
        let mut gateways = Vec::new();
        for _ in 0..count {
            let (&length, after) = rest.split_first()?;
            let (endpoint, after) = after.split_at_checked(usize::from(length))?;
            gateways.push(Endpoint::parse(std::str::from_utf8(endpoint).ok()?).ok()?);
            rest = after;
        }
        (!gateways.is_empty() && rest.is_empty()).then(|| Self {
            gateways,
            pin: Pin(*pin),
            secret: TokenSecret(Zeroizing::new(*secret)),
        })
    }
}

impl TokenSecret {
    /// What the store keeps of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.expose())
    }

    /// The public identifier of its token: it begins with a letter and cannot be turned back.
    #[must_use]
    pub fn id(&self) -> String {
        // A second hash, so that the identifier in a log is no part of what the store keeps.
        let hash = sha256(&self.hash());
        hash[..6].iter().fold(String::from("t"), |mut id, octet| {
            use fmt::Write as _;
            // Writing to a string cannot fail.
            let _ = write!(id, "{octet:02x}");
            id
        })
    }

    fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// As base64url, inside an enrolment message.
impl Serialize for TokenSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.expose()));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for TokenSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let octets = URL_SAFE_NO_PAD.decode(&*text).map(Zeroizing::new);
        // The text is not quoted: it may be a good secret with one wrong character.
        let malformed = || D::Error::custom("not a token's secret");
        let octets = octets.map_err(|_| malformed())?;
        let secret = <[u8; 32]>::try_from(&octets[..]).map_err(|_| malformed())?;
        Ok(Self(Zeroizing::new(secret)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("gateways", &self.gateways)
            .field("pin", &self.pin)
            .field("secret", &self.secret)
            .finish()
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        let gateways = ["gw1.example.com:443", "[2001:db8::1]:8443"];
        Token::new(
            gateways.map(|g| Endpoint::parse(g).unwrap()).to_vec(),
            Pin([7; 32]),
        )
        .unwrap()
    }

    #[test]
    fn a_token_comes_back_as_it_was() {
        let token = token();
        let text = token.encode();
        for paste in [
            text.to_string(),
            format!("  {}\r\n", *text),
            format!("{}\n{}", &text[..80], &text[80..]),
        ] {
            let read = Token::parse(&paste).unwrap();
            assert_eq!(read.gateways, token.gateways);
            assert_eq!(read.pin, token.pin);
            assert_eq!(read.secret.hash(), token.secret.hash());
            assert_eq!(read.secret.id(), token.secret.id());
        }
    }

    #[test]
    fn every_cut_and_every_typing_error_is_told_from_a_wrong_token() {
        let text = token().encode();
        for end in PREFIX.len()..text.len() {
            assert_eq!(
                Token::parse(&text[..end]).unwrap_err(),
                TokenError::Damaged,
                "{end}"
            );
        }
        for at in PREFIX.len()..text.len() {
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let typed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(
                Token::parse(&typed).unwrap_err(),
                TokenError::Damaged,
                "{at}"
            );
        }
        for (text, expected, code) in [
            ("", TokenError::Empty, "token_missing"),
            (" \n", TokenError::Empty, "token_missing"),
            ("hello", TokenError::NotAToken, "not_a_token"),
            ("apx1_ä", TokenError::Character, "token_damaged"),
            ("apx1_a=", TokenError::Character, "token_damaged"),
            ("apx1_", TokenError::Damaged, "token_damaged"),
        ] {
            let error = Token::parse(text).unwrap_err();
            assert_eq!((error, error.code()), (expected, code), "{text:?}");
        }
    }

    #[test]
    fn a_newer_token_is_said_to_be_newer() {
        let mut octets = vec![VERSION + 1, 1, 2, 3];
        let sum = sha256(&octets);
        octets.extend_from_slice(&sum[..CHECKSUM]);
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(octets));
        let error = Token::parse(&text).unwrap_err();
        assert_eq!((error, error.code()), (TokenError::Newer, "token_newer"));
    }

    #[test]
    fn a_token_does_not_print_its_secret() {
        let token = token();
        let text = format!("{token:?}");
        assert!(text.contains("[secret]"));
        assert!(!text.contains(&serde_json::to_string(&token.secret).unwrap()[1..10]));
        assert!(!token.encode().contains(&token.secret.id()));
    }

    #[test]
    fn a_token_needs_somewhere_to_dial() {
        assert!(Token::new(Vec::new(), Pin([0; 32])).is_err());
        let one = Endpoint::parse("a:1").unwrap();
        assert!(Token::new(vec![one; 17], Pin([0; 32])).is_err());
    }
}
