//! A signed token (RFC 7515, RFC 7519): its form, its header and its signature. What it says is judged
//! by whoever wants to know.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::ProviderError;
use super::json::{self, Fault};
use super::keys::Keys;
use super::text::shown;
use crate::model::SigningAlgorithm;

/// The longest token that is read, in octets; a browser's whole head has no more.
const LONGEST: usize = 64 * 1024;

/// What a token is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To say who signed in.
    Id,
    /// To say who signed out.
    Logout,
    /// To say who sends a request.
    Access,
}

/// A token that has the form of one, and nothing more is known of it.
pub(super) struct Unverified<'a> {
    pub(super) algorithm: SigningAlgorithm,
    /// Its header says that it is an access token (RFC 9068 section 2.1).
    pub(super) is_profiled: bool,
    kid: Option<String>,
    message: &'a str,
    signature: &'a str,
    claims: Map<String, Value>,
}

/// Without what it says: it may be a secret, or a lie.
impl std::fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unverified")
    }
}

impl<'a> Unverified<'a> {
    /// Reads a token. The algorithm is settled here, by the list and not by what keys there are.
    pub(super) fn read(
        token: &'a str,
        purpose: Purpose,
        allowed: &[SigningAlgorithm],
    ) -> Result<Self, ProviderError> {
        if token.len() > LONGEST {
            let octets = token.len();
            return Err(ProviderError::TokenTooLong { octets });
        }
        let malformed = |why| ProviderError::TokenMalformed { why };
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(match parts.len() {
                // RFC 7516 section 7.1.
                5 => ProviderError::TokenEncrypted,
                _ => malformed("it has not three parts"),
            });
        };
        let header = part(header, "header")?;
        if header.contains_key("enc") {
            return Err(ProviderError::TokenEncrypted);
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(malformed("a field of the header is no text")),
        };
        let said = text("alg")?.ok_or_else(|| malformed("the header has no `alg`"))?;
        let algorithm = SigningAlgorithm::from_name(said).filter(|one| allowed.contains(one));
        let algorithm = algorithm.ok_or_else(|| ProviderError::Algorithm { said: shown(said) })?;
        // RFC 7515 section 4.1.11: nothing that could stand there is understood.
        if header.contains_key("crit") {
            return Err(ProviderError::Critical);
        }
        let kind = text("typ")?.unwrap_or("JWT").to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        let fits = match purpose {
            Purpose::Id => !matches!(kind, "at+jwt" | "logout+jwt" | "secevent+jwt"),
            Purpose::Logout => matches!(kind, "jwt" | "logout+jwt" | "secevent+jwt"),
            Purpose::Access => matches!(kind, "jwt" | "at+jwt"),
        };
        if !fits {
            return Err(ProviderError::TokenKind);
        }
        if signature.is_empty() || URL_SAFE_NO_PAD.decode(signature).is_err() {
            return Err(malformed("the signature is not base64url"));
        }
        Ok(Self {
            algorithm,
            is_profiled: kind == "at+jwt",
            kid: text("kid")?.map(str::to_owned),
            message: token.rsplit_once('.').map_or("", |(message, _)| message),
            signature,
            claims: part(claims, "claims")?,
        })
    }

    /// Checks the signature.
    pub(super) fn verify(&self, keys: &Keys) -> Result<(), ProviderError> {
        let (kid, message) = (self.kid.as_deref(), self.message.as_bytes());
        keys.verify(self.algorithm, kid, message, self.signature)
    }

    /// What it says, once its signature is known to be good.
    pub(super) fn into_claims(self) -> Map<String, Value> {
        self.claims
    }
}

fn part(text: &str, name: &'static str) -> Result<Map<String, Value>, ProviderError> {
    let malformed = |why| ProviderError::TokenMalformed { why };
    let octets = URL_SAFE_NO_PAD.decode(text);
    let octets = octets.map_err(|_| malformed("a part is not base64url"))?;
    json::object(&octets).map_err(|fault| match fault {
        Fault::Duplicate => ProviderError::DuplicateKey { part: name },
        Fault::NotAnObject => malformed("a part is no JSON object"),
    })
}
