//! How this gateway proves to a provider who it is: RFC 6749 section 2.3, RFC 7523.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivateKeyDer;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::error::ProviderError;
use super::metadata::Metadata;
use crate::certs;
use crate::clock::Timestamp;
use crate::config::{ClientAuthentication, ClientSecret, IdentityProvider};
use crate::model::{Finding, Preset};

/// How long a signed proof is good for, in seconds.
const ASSERTION_LIFE: i64 = 60;

/// What is added to a request to the token endpoint.
pub(super) struct Proof {
    pub(super) authorization: Option<Zeroizing<String>>,
    pub(super) fields: Vec<(&'static str, Zeroizing<String>)>,
}

/// A key that proofs are signed with.
enum SigningKey {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
}

/// Looks at what proofs are made with, so that a start says what is wrong with it.
pub(super) fn check(config: &IdentityProvider) -> Vec<Finding> {
    let unusable = |what: String| {
        let remedy = "make it readable for the account appproxy runs as, or correct the place";
        Finding::error("bad_secret", what, remedy)
    };
    match &config.authentication {
        ClientAuthentication::Public => Vec::new(),
        ClientAuthentication::Secrets(secrets) => {
            let bad = |secret: &ClientSecret| {
                let error = secret.source.read().err()?;
                Some(unusable(error.to_string()).at(secret.place.clone()))
            };
            secrets.iter().filter_map(bad).collect()
        }
        ClientAuthentication::PrivateKeyJwt { key, key_place, .. } => {
            match certs::load_private_key(key, key_place) {
                Err(finding) => vec![*finding],
                Ok(der) => match SigningKey::read(&der) {
                    Some(_) => Vec::new(),
                    None => {
                        let what =
                            format!("the key in {} cannot sign RS256 or ES256", key.display());
                        let remedy = "use an RSA key of 2048 bits or more, or an EC key on P-256";
                        vec![Finding::error("key_unsupported", what, remedy).at(key_place.clone())]
                    }
                },
            }
        }
    }
}

/// The proofs to try, one after the other; made when asked for.
pub(super) fn count(config: &IdentityProvider) -> usize {
    match &config.authentication {
        ClientAuthentication::Public | ClientAuthentication::PrivateKeyJwt { .. } => 1,
        ClientAuthentication::Secrets(secrets) => secrets.len(),
    }
}

/// The proof of this number. Reads files, so that what was replaced counts at once.
pub(super) fn proof(
    config: &IdentityProvider,
    metadata: &Metadata,
    number: usize,
    now: Timestamp,
) -> Result<Proof, ProviderError> {
    let takes = |method: &str| {
        let methods = metadata.authentication.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|one| one == method))
    };
    let client_id = || Zeroizing::new(config.client_id.to_string());
    match &config.authentication {
        ClientAuthentication::Public => Ok(Proof {
            authorization: None,
            fields: vec![("client_id", client_id())],
        }),
        ClientAuthentication::Secrets(secrets) => {
            let source = secrets.get(number).map(|secret| secret.source.read());
            let secret = match source {
                Some(Ok(secret)) => secret,
                Some(Err(error)) => {
                    let why = error.to_string();
                    return Err(ProviderError::Secret { why });
                }
                None => {
                    let why = "there is none".to_owned();
                    return Err(ProviderError::Secret { why });
                }
            };
            if takes("client_secret_basic") {
                return Ok(basic(&config.client_id, &secret));
            }
            if !takes("client_secret_post") {
                let wanted = "a client secret (client_secret_basic, client_secret_post)";
                return Err(ProviderError::AuthenticationMethod { wanted });
            }
            let secret = Zeroizing::new(secret.expose_secret().to_owned());
            Ok(Proof {
                authorization: None,
                fields: vec![("client_id", client_id()), ("client_secret", secret)],
            })
        }
        ClientAuthentication::PrivateKeyJwt { .. } => {
            if !takes("private_key_jwt") {
                let wanted = "a signature (private_key_jwt)";
                return Err(ProviderError::AuthenticationMethod { wanted });
            }
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
            Ok(Proof {
                authorization: None,
                fields: vec![
                    ("client_id", client_id()),
                    ("client_assertion_type", Zeroizing::new(kind)),
                    ("client_assertion", assertion(config, metadata, now)?),
                ],
            })
        }
    }
}

/// RFC 6749 section 2.3.1 has both encoded as in a form before they are put together.
fn basic(client_id: &str, secret: &SecretString) -> Proof {
    let encoded = |text: &str| {
        let parts = form_urlencoded::byte_serialize(text.as_bytes());
        Zeroizing::new(parts.collect::<String>())
    };
    let (name, secret) = (encoded(client_id), encoded(secret.expose_secret()));
    let pair = Zeroizing::new(format!("{}:{}", *name, *secret));
    let field = format!("Basic {}", STANDARD.encode(pair.as_bytes()));
    Proof {
        authorization: Some(Zeroizing::new(field)),
        fields: Vec::new(),
    }
}

fn assertion(
    config: &IdentityProvider,
    metadata: &Metadata,
    now: Timestamp,
) -> Result<Zeroizing<String>, ProviderError> {
    let unusable = |why: String| ProviderError::Secret { why };
    let ClientAuthentication::PrivateKeyJwt {
        key,
        key_place,
        key_id,
    } = &config.authentication
    else {
        return Err(unusable("there is no key".to_owned()));
    };
    let der = certs::load_private_key(key, key_place).map_err(|found| unusable(found.what))?;
    let key = SigningKey::read(&der)
        .ok_or_else(|| unusable("the key cannot sign RS256 or ES256".to_owned()))?;
    let mut header = json!({ "typ": "JWT", "alg": key.algorithm() });
    if let Some(id) = key_id {
        header["kid"] = (**id).into();
        // Entra knows a key by the thumbprint of its certificate.
        if config.preset == Some(Preset::Entra) {
            header["x5t#S256"] = (**id).into();
        }
    }
    let id: [u8; 16] = certs::random().map_err(|error| unusable(error.to_string()))?;
    let claims = json!({
        "iss": *config.client_id,
        "sub": *config.client_id,
        "aud": metadata.tokens.as_str(),
        "jti": URL_SAFE_NO_PAD.encode(id),
        "iat": now.0,
        "nbf": now.0,
        "exp": now.0 + ASSERTION_LIFE,
    });
    let encoded = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = key.sign(message.as_bytes());
    let signature = signature.ok_or_else(|| unusable("the key does not sign".to_owned()))?;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    Ok(Zeroizing::new(format!("{message}.{signature}")))
}

impl SigningKey {
    fn read(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let octets = der.secret_der();
        let rsa = RsaKeyPair::from_pkcs8(octets).or_else(|_| RsaKeyPair::from_der(octets));
        if let Ok(key) = rsa {
            return Some(Self::Rsa(Box::new(key)));
        }
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(curve, octets)
            .or_else(|_| EcdsaKeyPair::from_private_key_der(curve, octets));
        key.ok().map(Self::P256)
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.ok().map(|()| signature)
            }
            Self::P256(key) => {
                let signature = key.sign(&random, message).ok()?;
                Some(signature.as_ref().to_vec())
            }
        }
    }
}
