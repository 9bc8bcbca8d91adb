//! A provider's public keys (RFC 7517, RFC 7518 section 6), and which of them a token is checked with.
//!
//! A key that cannot be used here is no fault of the set: there may be others for other clients.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::client::{Client, Sent};
use super::error::{Document, ProviderError};
use super::text::shown;
use crate::model::SigningAlgorithm;
use url::Url;

/// The least length of an RSA key (NIST SP 800-131A).
const RSA_BITS: usize = 2048;

/// Keys that are read of one set: a long one would make each token costly.
const MOST_KEYS: usize = 100;

/// The keys that tokens can be signed with.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The one algorithm it is for, where it says so; a name that is not known here is for none.
    algorithm: Option<Option<SigningAlgorithm>>,
    kind: Kind,
    key: DecodingKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With its length in bits.
    Rsa(usize),
    P256,
    P384,
    Ed25519,
}

impl Keys {
    pub(super) async fn fetch(client: &Client, url: &Url) -> Result<Self, ProviderError> {
        let document = Document::Keys;
        let answer = client.ask(document, url, None, Sent::Nothing).await?;
        if answer.status != 200 {
            let status = answer.status;
            return Err(ProviderError::Status { document, status });
        }
        let unfit = |why| ProviderError::Answer { document, why };
        let set: Value =
            serde_json::from_slice(&answer.body).map_err(|_| unfit("it is not JSON"))?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or_else(|| unfit("it has no list `keys`"))?;
        Ok(Self(
            keys.iter().filter_map(Key::read).take(MOST_KEYS).collect(),
        ))
    }

    /// Checks a signature over a message.
    pub(super) fn verify(
        &self,
        algorithm: SigningAlgorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &str,
    ) -> Result<(), ProviderError> {
        let candidates: Vec<&Key> = match kid {
            Some(kid) => {
                let named: Vec<_> = self
                    .0
                    .iter()
                    .filter(|k| k.id.as_deref() == Some(kid))
                    .collect();
                let kid = || shown(kid);
                if named.is_empty() {
                    return Err(ProviderError::UnknownKey { kid: kid() });
                }
                let fit: Vec<_> = named.into_iter().filter(|k| k.fits(algorithm)).collect();
                if fit.is_empty() {
                    return Err(ProviderError::UnfitKey { kid: kid() });
                }
                fit
            }
            None => {
                let fit: Vec<_> = self.0.iter().filter(|k| k.fits(algorithm)).collect();
                match fit.len() {
                    0 => {
                        let algorithm = algorithm.as_str();
                        return Err(ProviderError::NoKey { algorithm });
                    }
                    1 => fit,
                    _ => return Err(ProviderError::AmbiguousKey),
                }
            }
        };
        let weak = candidates.iter().find_map(|key| match key.kind {
            Kind::Rsa(bits) if bits < RSA_BITS => Some(bits),
            _ => None,
        });
        if let Some(bits) = weak {
            return Err(ProviderError::WeakKey { bits });
        }
        let good = |key: &&Key| {
            let algorithm = algorithm_of(algorithm);
            jsonwebtoken::crypto::verify(signature, message, &key.key, algorithm).unwrap_or(false)
        };
        candidates
            .iter()
            .find(|key| good(key))
            .map(drop)
            .ok_or(ProviderError::Signature)
    }
}

impl Key {
    /// A key that signatures can be checked with; `None` for every other.
    fn read(key: &Value) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if let Some(operations) = key.get("key_ops").and_then(Value::as_array)
            && !operations.iter().any(|one| one == "verify")
        {
            return None;
        }
        let octets = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let (kind, read) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let modulus = octets("n")?;
                let (n, e) = (text("n")?, text("e")?);
                (
                    Kind::Rsa(bits(&modulus)),
                    DecodingKey::from_rsa_components(n, e),
                )
            }
            ("EC", Some(curve)) => {
                let (kind, length) = match curve {
                    "P-256" => (Kind::P256, 32),
                    "P-384" => (Kind::P384, 48),
                    _ => return None,
                };
                // Some leave leading zeros out, against RFC 7518 section 6.2.1.2: no key then.
                if octets("x")?.len() != length || octets("y")?.len() != length {
                    return None;
                }
                (
                    kind,
                    DecodingKey::from_ec_components(text("x")?, text("y")?),
                )
            }
            ("OKP", Some("Ed25519")) if octets("x")?.len() == 32 => {
                (Kind::Ed25519, DecodingKey::from_ed_components(text("x")?))
            }
            _ => return None,
        };
        Some(Self {
            id: text("kid").map(str::to_owned),
            algorithm: text("alg").map(SigningAlgorithm::from_name),
            kind,
            key: read.ok()?,
        })
    }

    fn fits(&self, algorithm: SigningAlgorithm) -> bool {
        use SigningAlgorithm as A;
        let kind = match algorithm {
            A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512 => {
                matches!(self.kind, Kind::Rsa(_))
            }
            A::Es256 => self.kind == Kind::P256,
            A::Es384 => self.kind == Kind::P384,
            A::EdDsa => self.kind == Kind::Ed25519,
        };
        kind && self.algorithm.is_none_or(|own| own == Some(algorithm))
    }
}

/// The length of a number in bits.
fn bits(octets: &[u8]) -> usize {
    let leading = octets.iter().take_while(|&&octet| octet == 0).count();
    let significant = &octets[leading..];
    let unused = significant.first().map_or(0, |first| first.leading_zeros());
    significant.len() * 8 - usize::try_from(unused).unwrap_or(0)
}

const fn algorithm_of(algorithm: SigningAlgorithm) -> Algorithm {
    match algorithm {
        SigningAlgorithm::Rs256 => Algorithm::RS256,
        SigningAlgorithm::Rs384 => Algorithm::RS384,
        SigningAlgorithm::Rs512 => Algorithm::RS512,
        SigningAlgorithm::Ps256 => Algorithm::PS256,
        SigningAlgorithm::Ps384 => Algorithm::PS384,
        SigningAlgorithm::Ps512 => Algorithm::PS512,
        SigningAlgorithm::Es256 => Algorithm::ES256,
        SigningAlgorithm::Es384 => Algorithm::ES384,
        SigningAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
